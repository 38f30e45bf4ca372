"""Effects -> verdicts, by the rule that the study declared before it ran."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from foldover.core import AnalysisError, Decision, Direction, Effect, Factor, Gate, Regime, Verdict
from foldover.stats import seeds_needed

POWER = 0.8  # with which an effect that just matters has to be found
BETTER_LEVEL: Mapping[Decision, float] = {"fix_low": -1.0, "fix_high": 1.0}


def rule_text(gate: Gate) -> str:
    """The rule in one sentence."""
    return (
        f"at the longest budget of the stage: retained if the {gate.level:.0%} interval excludes 0 and "
        f"{gate.correction.upper()} q <= {gate.q:g}; fixed at its better level if also |effect| >= "
        f"{gate.smallest_effect:g}; dropped if retained below that or the interval lies inside "
        f"+-{gate.smallest_effect:g}; kept open if retained only at a shorter budget; sent back if an earlier screen "
        "fixed it at its other level; else undecided; single runs of a fixed seed: retained if |effect| exceeds "
        "Lenth's margin of error"
    )


def judge(
    effects: Sequence[Effect],
    factors: Sequence[Factor],
    gate: Gate,
    *,
    stage: str,
    packages: Sequence[str],
    direction: Direction,
    evidence: str,
    regime: Regime = "explicit",
    seeds: int = 1,
) -> tuple[Verdict, ...]:
    """One verdict a factor. packages: of the stage, shortest budget first; evidence: digest of the records.

    seeds: under which each condition of the longest budget ran.
    """
    verdicts = []
    for factor in factors:
        own = {e.package: e for e in effects if e.term == factor.letter}
        decision, because = _decide([own.get(p) for p in packages], gate, direction)
        wish = _wish(own.get(packages[-1]) if packages else None, decision, gate, regime, seeds)
        if wish is not None:
            decision, because = wish[0], f"{because}; {wish[1]}"
        if regime == "fixed":
            because += "; one fixed seed: it says nothing of others"
        verdicts.append(
            Verdict(
                stage=stage,
                subject=factor.letter,
                decision=decision,
                because=because,
                rule=rule_text(gate),
                evidence=evidence,
                more_seeds=0 if wish is None else wish[2],
            )
        )
    return tuple(verdicts)


def send_back(verdicts: Sequence[Verdict], earlier: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """The verdicts, but a factor that would be fixed at the other level than before is open again.

    earlier: of screens that may speak against this one, the last on a factor counting.
    """
    fixed = {verdict.subject: verdict for verdict in earlier if verdict.decision in BETTER_LEVEL}
    return tuple(_against(verdict, fixed.get(verdict.subject)) for verdict in verdicts)


def _against(verdict: Verdict, before: Verdict | None) -> Verdict:
    if before is None or verdict.decision not in BETTER_LEVEL or verdict.decision == before.decision:
        return verdict
    because = f"{verdict.because}; stage {before.stage} found the other level better, so neither is fixed"
    return replace(verdict, decision="send_back", because=because)


def _wish(
    effect: Effect | None, decision: Decision, gate: Gate, regime: Regime, seeds: int
) -> tuple[Decision, str, int] | None:
    """What the gate asks for instead of its decision, where the study allows it and it would help; how many seeds."""
    if effect is None or effect.low is None or effect.high is None or regime == "fixed":
        return None
    doubtful = [term for term in effect.aliased_with if len(term.lstrip("-")) == 2]
    if gate.fold_over and doubtful and effect.retained:
        return "fold_over", f"aliased with {', '.join(doubtful)}: the folded design tells them apart", 0
    if decision == "undecided" and abs(effect.estimate) >= gate.smallest_effect:
        more = _more_seeds(effect, gate, seeds)
        half = (effect.high - effect.low) / 2.0
        return ("more_seeds", f"half-width {half:.4f}: {more} more seeds are asked for", more) if more else None
    return None


def _more_seeds(effect: Effect, gate: Gate, seeds: int) -> int:
    """How many seeds an effect that just matters lacks to be found with POWER, as far as the study allows them.

    All that it allows where the study does not say what matters; 0 where power is not what lacks.
    """
    if not gate.more_seeds or not gate.smallest_effect or not effect.se:
        return gate.more_seeds
    sd = effect.se * math.sqrt(effect.n) / 2.0
    try:
        needed = seeds_needed(gate.smallest_effect, sd, runs=effect.n // seeds, power=POWER, level=gate.level).seeds
    except AnalysisError:
        return gate.more_seeds  # no number that could be run is enough
    return max(0, min(gate.more_seeds, needed - seeds))


def _decide(by_budget: Sequence[Effect | None], gate: Gate, direction: Direction) -> tuple[Decision, str]:
    effect = by_budget[-1] if by_budget else None
    if effect is None:
        return "undecided", "no effect could be estimated at the longest budget"
    if effect.retained is None:
        return "undecided", f"{_describe(effect)}: described only, the data carry no error"
    if effect.retained and abs(effect.estimate) >= gate.smallest_effect:
        is_low_better = (effect.estimate > 0) == (direction == "minimize")
        decision: Decision = "fix_low" if is_low_better else "fix_high"
        how = "retained" if effect.low is not None else "beyond Lenth's margin"
        return decision, f"{_describe(effect)}: {how}, {'low' if is_low_better else 'high'} is better"
    if effect.retained:
        return "drop", f"{_describe(effect)}: real, but smaller than what matters ({gate.smallest_effect:g})"
    if effect.low is None or effect.high is None:
        return "undecided", f"{_describe(effect)}: within Lenth's margin"
    if -gate.smallest_effect < effect.low and effect.high < gate.smallest_effect:
        return "drop", f"{_describe(effect)}: the interval lies inside +-{gate.smallest_effect:g}"
    earlier = [e for e in by_budget[:-1] if e is not None and e.retained]
    if earlier:
        return "keep_open", f"{_describe(effect)}: retained at {earlier[-1].budget} only"
    return "undecided", f"{_describe(effect)}: neither retained nor shown to be negligible"


def _describe(effect: Effect) -> str:
    text = f"{effect.estimate:+.4f} at {effect.budget}"
    if effect.low is not None and effect.high is not None:
        text += f" [{effect.low:+.4f}, {effect.high:+.4f}]"
    if effect.q is not None:
        text += f", q = {effect.q:.2g}"
    return text
