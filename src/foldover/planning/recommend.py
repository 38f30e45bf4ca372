"""The recipe a study ends with, in sentences that the evidence bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foldover.core import (
    AnalysisError,
    ConditionSummary,
    Direction,
    Recommendation,
    Regime,
    RunRecord,
    Study,
    Verdict,
)
from foldover.core.finding import FEWEST_SEEDS
from foldover.planning.plan import Condition
from foldover.stats import paired_difference, welch


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A condition with its results under fresh seeds. by_seed: seed -> response; of a fixed seed, rerun -> response."""

    condition: Condition
    summary: ConditionSummary
    by_seed: Mapping[int, float]
    is_fixed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """First minus second with its interval. n: seeds, or reruns a side; what: in words."""

    mean: float
    low: float
    high: float
    p: float
    n: int
    what: str


def candidates(
    records: Sequence[RunRecord],
    summaries: Sequence[ConditionSummary],
    conditions: Mapping[tuple[str, str], Condition],
    *,
    packages: Mapping[str, Regime],
    response: str,
) -> tuple[Candidate, ...]:
    """Conditions of the packages that have a result. conditions: by (package, label); packages: name to regime."""
    found = []
    for summary in summaries:
        key = (summary.package, summary.condition)
        if summary.package not in packages or key not in conditions:
            continue
        is_fixed = packages[summary.package] == "fixed"
        by_seed = {
            r.spec.rerun if is_fixed else r.spec.seed: r.outcome.responses.number(response)
            for r in records
            if r.counts and (r.spec.package, r.spec.condition) == key
        }
        found.append(Candidate(condition=conditions[key], summary=summary, by_seed=by_seed, is_fixed=is_fixed))
    return tuple(found)


def best_candidate(found: Sequence[Candidate], direction: Direction) -> Candidate:
    """The one with the best mean. ValueError if there is none."""
    sign = 1.0 if direction == "minimize" else -1.0
    return min(found, key=lambda c: (sign * c.summary.mean, c.condition.label))


def compare(a: Candidate, b: Candidate, *, level: float) -> Difference | None:
    """First minus second, paired over common seeds; reruns of one seed pair nothing and are compared by Welch's test.

    None where either side has too few runs, or no spread to make an interval of.
    """
    try:
        if a.is_fixed or b.is_fixed:
            found = welch(list(a.by_seed.values()), list(b.by_seed.values()), level=level)
            return Difference(
                mean=found.difference,
                low=found.low,
                high=found.high,
                p=found.p,
                n=min(found.n_a, found.n_b),
                what="difference of reruns",
            )
        common = sorted(set(a.by_seed) & set(b.by_seed))
        if len(common) < 2:
            return None
        paired = paired_difference(
            {seed: a.by_seed[seed] for seed in common}, {seed: b.by_seed[seed] for seed in common}, level=level
        )
    except AnalysisError:
        return None  # no spread at all, or single runs: there is no interval to give
    return Difference(
        mean=paired.mean, low=paired.low, high=paired.high, p=paired.p, n=paired.n, what="paired difference"
    )


def recommend(study: Study, found: Sequence[Candidate], verdicts: Sequence[Verdict]) -> Recommendation:
    """The candidate with the best mean, and how far the evidence carries it. found: at least one, one budget."""
    chosen = best_candidate(found, study.direction)
    others = [c for c in found if c is not chosen]
    differences = [(c, compare(chosen, c, level=study.gate.level)) for c in others]
    better = [c for c, d in differences if d is not None and _favours(d, study.direction)]
    open_ = [c for c in others if c not in better]
    return Recommendation(
        condition=chosen.condition.label,
        package=chosen.summary.package,
        recipe=chosen.condition.recipe,
        changes=chosen.condition.recipe.diff(study.baseline),
        summary=chosen.summary,
        supports=(*_standing(study, chosen, better, is_alone=not others), *_of_factors(verdicts)),
        does_not_support=_does_not_support(study, chosen, open_, len(found)),
        comparisons=tuple(_difference_sentence(chosen, c, d) for c, d in differences),
    )


def _favours(difference: Difference, direction: Direction) -> bool:
    return difference.high < 0 if direction == "minimize" else difference.low > 0


def _standing(study: Study, chosen: Candidate, better: Sequence[Candidate], *, is_alone: bool) -> list[str]:
    """How the chosen condition stands among those that it was compared with."""
    summary = chosen.summary
    seeds = "one fixed seed" if chosen.is_fixed else "fresh seeds"
    of = f"the {'only' if is_alone else 'best'} mean {study.response} of the conditions run at {summary.budget}"
    sentences = [f"{summary.condition} has {of} under {seeds} ({summary.mean:.4f}, n = {summary.n})."]
    if better:
        names = ", ".join(c.condition.label for c in better)
        what = "difference of its reruns" if chosen.is_fixed else "seed-paired difference"
        text = f"Its {study.gate.level:.0%} interval of the {what} excludes 0 against {names}"
        sentences.append(f"{text}{_caveat(chosen)}.")
    return sentences


def _caveat(chosen: Candidate) -> str:
    """What a sentence on its order ends with."""
    if chosen.is_fixed:
        return ": descriptive only, one fixed seed"
    return f": descriptive only, {chosen.summary.n} seeds" if len(chosen.by_seed) < FEWEST_SEEDS else ""


def _of_factors(verdicts: Sequence[Verdict]) -> list[str]:
    return [f"Factor {v.subject}: {v.because}." for v in verdicts if v.decision in ("fix_low", "fix_high", "drop")]


def _does_not_support(
    study: Study, chosen: Candidate, open_: Sequence[Candidate], num_compared: int
) -> tuple[str, ...]:
    sentences = []
    if open_:
        names = ", ".join(c.condition.label for c in open_)
        sentences.append(f"That it beats {names}: these differences are not resolved by {chosen.summary.n} seeds.")
    sentences.append(
        f"Anything beyond {chosen.summary.budget}, this host and these levels: effects may relax or change sign."
    )
    if num_compared > 1:
        sentences.append(
            f"The mean as an unbiased forecast: it is the best of {num_compared}, and the best of several is "
            "flattered by chance."
        )
    return tuple(sentences)


def _difference_sentence(chosen: Candidate, other: Candidate, difference: Difference | None) -> str:
    names = f"{chosen.condition.label} - {other.condition.label}"
    if difference is None:
        plain = chosen.summary.mean - other.summary.mean
        return f"{names}: {plain:+.4f}, without an interval (fewer than two common seeds)."
    return (
        f"{names}: {difference.mean:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}] "
        f"({_pairs(difference)}, p = {difference.p:.2g})."
    )


def _pairs(difference: Difference) -> str:
    if difference.what == "paired difference":
        return f"paired, {difference.n} seeds"
    return f"{difference.n} reruns of one seed"
