"""Sections on what sharing saves: common seeds in the variance of differences, common trunks in training."""

from __future__ import annotations

from collections.abc import Sequence

from foldover.core import AnalysisError, RunRecord
from foldover.lab.evidence import StageView
from foldover.lab.sections_bridges import BRIDGE, ordered
from foldover.report.numbers import counted, listed, percent
from foldover.report.section import Section, SectionTable, columns
from foldover.stats import PairingGain, pair_gain, pairing_gain


def pairing(view: StageView) -> Section | None:
    """What common seeds saved in the effects of a screen: sd paired by seed beside that of unpaired runs."""
    found = []
    for package in view.packages if not view.is_fixed else ():
        table = view.rows(package)
        if table is None or len(set(table.seeds)) < 2:
            continue
        try:
            gains = pairing_gain(table, terms=view.varying(table), level=view.evidence.study.gate.level)
        except AnalysisError:
            continue
        found += [(package.budget.label(), gain) for gain in gains]
    return _pairing(view, found, "the effect of one run a condition")


def pairing_of_anchors(view: StageView) -> Section | None:
    """The same of the differences between the best bridge and every other condition of a stage."""
    found = []
    for package in view.packages if not view.is_fixed else ():
        values = view.values(package)
        for bridge in ordered(view, values, BRIDGE)[:1]:
            for other in (label for label in values if label != bridge):
                try:
                    gain = pair_gain(
                        values[bridge],
                        values[other],
                        term=f"{bridge} \u2212 {other}",
                        level=view.evidence.study.gate.level,
                    )
                except AnalysisError:
                    continue
                found.append((package.budget.label(), gain))
    return _pairing(view, found, "the difference of two runs")


def _pairing(view: StageView, found: Sequence[tuple[str, PairingGain]], of: str) -> Section | None:
    if not found:
        return None
    level = percent(view.evidence.study.gate.level)
    return Section(
        name=f"pairing-{view.slug}",
        title=f"What common seeds save: {view.where}",
        claims=tuple(
            _saved(view, budget, [gain for at, gain in found if at == budget])
            for budget in dict.fromkeys(budget for budget, _ in found)
        ),
        notes=(
            f"Sd over seeds of {of}. Unpaired: what independent seeds would give, from the conditions' own sds. A "
            "negative saving says that seeds act more alike on conditions that differ in sd.",
            f"{level} intervals of the saving: the jackknife over seeds for effects, Pitman and Morgan's for two "
            "conditions; none below three seeds.",
        ),
        tables=(
            SectionTable(
                name=f"pairing-{view.slug}",
                title=f"Paired beside unpaired ({view.where})",
                columns=columns(
                    "budget",
                    "term",
                    "seeds:count",
                    "paired_sd:number:paired sd",
                    "unpaired_sd:number:unpaired sd",
                    "saved:share:variance saved",
                    "low:share",
                    "high:share",
                ),
                rows=tuple(
                    (at, gain.term, gain.seeds, gain.paired_sd, gain.unpaired_sd, gain.saved, gain.low, gain.high)
                    for at, gain in found
                ),
                decimals=5,
            ),
        ),
    )


def _saved(view: StageView, budget: str, gains: Sequence[PairingGain]) -> str:
    """What the intervals carry: a saving, a loss, or neither."""
    saved = [f"{g.term} ({g.saved:.0%} [{g.low:.0%}, {g.high:.0%}])" for g in gains if g.low is not None and g.low > 0]
    lost = [g.term for g in gains if g.high is not None and g.high < 0]
    told = {g.term for g in gains if g.low is not None and g.high is not None and (g.low > 0 or g.high < 0)}
    open_ = [g.term for g in gains if g.term not in told]
    says = [f"save variance of {listed(saved)}"] if saved else []
    says += [f"add variance to {listed(lost)}"] if lost else []
    says += [f"are not shown to change {'that' if says else 'the variance'} of {listed(open_)}"] if open_ else []
    seeds = counted(max(g.seeds for g in gains), "seed")
    return f"At {budget} in {view.where} common seeds {'; they '.join(says)} ({seeds})."


def trunks(view: StageView) -> Section | None:
    """What a stage trained whose warm-downs branch from trunks, beside the same runs from their first steps.

    None before all runs have ended.
    """
    runs = [run for plan in view.plans for run in plan.runs]
    made = [run.budget.limit.amount for run in runs if run.branch_points]
    records = {record.spec.run_id: record for record in view.evidence.records}
    compared = [run for run in runs if not run.is_trunk]
    kinds = {run.budget.limit.kind for run in runs}
    if not made or len(kinds) > 1 or any(run.run_id not in records for run in compared):
        return None
    kind = kinds.pop()
    own = {run: share for run in compared if (share := _own_share(records[run.run_id])) is not None}
    longest = max(run.budget.limit.amount for run in compared)
    whole = sum(run.budget.limit.amount for run in own)
    alone = sum(run.budget.limit.amount for run in own if run.budget.limit.amount == longest)
    spent = sum(made) + sum(run.budget.limit.amount * share for run, share in own.items())
    if not alone:
        return None
    rows: list[tuple[str, int, float, float]] = [("trunks", len(made), 0.0, sum(made))]
    for package in view.packages:
        there = [run for run in own if run.budget == package.budget]
        trained = sum(run.budget.limit.amount * own[run] for run in there)
        rows.append((package.budget.label(), len(there), sum(run.budget.limit.amount for run in there), trained))
    left = len(compared) - len(own)
    return Section(
        name=f"trunks-{view.slug}",
        title=f"Warm-downs branched from trunks: {view.where}",
        claims=(
            f"{counted(len(rows) - 1, 'budget')} of {view.where} took {_amount(kind, spent)} of training: "
            f"{spent / alone:.2f} times the longest alone ({_amount(kind, alone)}), and {1 - spent / whole:.0%} less "
            f"than from their first steps ({_amount(kind, whole)}).",
        ),
        notes=(
            "A trunk is trained once at constant rates; each budget branches from it where its warm-down begins. Runs "
            "of one seed at several budgets share that part, so what seeds do to them is alike.",
            *([f"{counted(left, 'run')} without a number of steps left out."] if left else []),
        ),
        tables=(
            SectionTable(
                name=f"trunks-{view.slug}",
                title=f"Training by budget, in {kind} ({view.where})",
                columns=columns("what", "runs:count", "from_first_step:setting:from the first step", "trained:setting"),
                rows=tuple(rows),
            ),
        ),
    )


def _own_share(record: RunRecord) -> float | None:
    """What of a run's training it did itself; None where it does not say."""
    steps, first = (record.outcome.counters.get(name, 0) for name in ("steps", "continued_from_step"))
    if not isinstance(steps, int) or not isinstance(first, int) or not steps:
        return None
    return None if record.spec.starts_from and not first else 1.0 - first / steps


def _amount(kind: str, amount: float) -> str:
    return f"{amount:,.6g} {kind}"
