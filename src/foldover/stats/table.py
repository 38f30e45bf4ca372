"""The runs that an analysis uses, column by column, and those it leaves out with the reason.

Nothing is dropped silently: what does not count is in `Table.left_out`, and whoever fits a model can say so.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from foldover.core import AnalysisError, RunRecord

Array = npt.NDArray[np.float64]
Labels = tuple[str, ...]

TRUNK = "trunk"
"""The column that names the state with which runs began."""

RERUN = "rerun"
"""The column that numbers the runs of a condition under one seed."""

# Statuses that say something of the recipe; lost and cancelled runs do not.
INFORMATIVE: tuple[str, ...] = ("diverged", "failed", "timeout", "over_cap")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A run that the analysis does not use, and why. levels: coded, as planned (they say where runs fail)."""

    run_id: str
    reason: str
    status: str
    package: str
    condition: str
    budget: str
    seed: int
    host: str
    levels: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """Runs to analyse: n rows, k factors.

    levels: (n, k) coded levels, one column a letter; y: (n,) responses; budgets: labels, amounts: the same as
    numbers in their own unit; fired: the events that each run recorded; others: further label columns, by
    name; left_out: the runs that do not count; notes: what a reader of any result must know.
    seeded: False when the file had no seeds; they then only number the runs of a condition and pair nothing.
    """

    response: str
    letters: tuple[str, ...]
    levels: Array
    y: Array
    run_ids: Labels
    packages: Labels
    conditions: Labels
    budgets: Labels
    amounts: tuple[float, ...]
    seeds: tuple[int, ...]
    hosts: Labels
    statuses: Labels
    fired: tuple[tuple[str, ...], ...]
    others: Mapping[str, Labels]
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    seeded: bool = True

    def __len__(self) -> int:
        return len(self.run_ids)

    def column(self, name: str) -> Labels:
        """The labels of `seed`, `host`, `package`, `budget`, `condition`, or of another column of the file.

        Raises AnalysisError for a name that is none of these.
        """
        own = {
            "seed": tuple(str(seed) for seed in self.seeds),
            "host": self.hosts,
            "package": self.packages,
            "budget": self.budgets,
            "condition": self.conditions,
        }
        if name == "seed" and not self.seeded:
            raise AnalysisError("the table has no seeds", fix="Name the column that pairs runs, or use no block.")
        found = own.get(name) or self.others.get(name)
        if found is None:
            known = ", ".join([*own, *self.others])
            raise AnalysisError("the table has no such column", value=name, fix=f"Columns are {known}.")
        return found

    def where(
        self,
        *,
        package: str | None = None,
        budget: str | None = None,
        condition: str | None = None,
        seed: str | int | None = None,
        host: str | None = None,
    ) -> Table:
        """The rows, and the runs left out, that have these labels. Raises AnalysisError when no row is left."""
        wanted = {
            name: str(value)
            for name, value in (
                ("package", package),
                ("budget", budget),
                ("condition", condition),
                ("seed", seed),
                ("host", host),
            )
            if value is not None
        }
        columns = [(self.column(name), value) for name, value in wanted.items()]
        keep = [i for i in range(len(self)) if all(labels[i] == value for labels, value in columns)]
        if not keep:
            there = "; ".join(f"{name}: {', '.join(sorted(set(self.column(name))))}" for name in wanted)
            raise AnalysisError("no run of the table matches", value=wanted, fix=f"The table has {there}.")
        left = tuple(o for o in self.left_out if all(str(getattr(o, name)) == value for name, value in wanted.items()))
        return replace(self.rows(keep), left_out=left)

    def rows(self, keep: Sequence[int]) -> Table:
        """The rows at these positions, in this order."""
        return replace(
            self,
            levels=_frozen(self.levels[list(keep)]),
            y=_frozen(self.y[list(keep)]),
            run_ids=_pick(self.run_ids, keep),
            packages=_pick(self.packages, keep),
            conditions=_pick(self.conditions, keep),
            budgets=_pick(self.budgets, keep),
            amounts=tuple(self.amounts[i] for i in keep),
            seeds=tuple(self.seeds[i] for i in keep),
            hosts=_pick(self.hosts, keep),
            statuses=_pick(self.statuses, keep),
            fired=tuple(self.fired[i] for i in keep),
            others={name: _pick(labels, keep) for name, labels in self.others.items()},
        )

    def with_response(self, y: Array) -> Table:
        """The same runs with other responses (n,), e.g. transformed ones."""
        if y.shape != self.y.shape:
            raise AnalysisError("there must be one response a run", value=y.shape)
        return replace(self, y=_frozen(np.array(y, dtype=np.float64)))

    def budget_labels(self) -> Labels:
        """The budgets, smallest first."""
        amounts = dict(zip(self.budgets, self.amounts, strict=True))
        return tuple(sorted(amounts, key=lambda label: (math.isnan(amounts[label]), amounts[label], label)))

    def left_out_note(self) -> tuple[str, ...]:
        """How many runs are left out and why, and whether that may bias the rest; nothing when all count."""
        if not self.left_out:
            return ()
        reasons = Counter(o.reason for o in self.left_out)
        total = len(self) + len(self.left_out)
        counted = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        notes: tuple[str, ...] = (f"{len(self.left_out)} of {total} runs left out: {counted}",)
        if any(o.status in INFORMATIVE for o in self.left_out):
            notes += ("failures may follow the levels: survivors alone can hide the worst effects",)
        return notes


def tabulate(records: Sequence[RunRecord], *, response: str, letters: Sequence[str]) -> Table:
    """The records that count as a Table, all others with their reason in `left_out`.

    letters: of the factors, in the order of `spec.levels`. A record is left out when its run did not finish
    (reason: the status), was excluded (reason: the exclusion), has no number under `response`, or belongs to a
    condition without one level a letter. Where runs begin with the state of another, the column TRUNK says with
    which (a run that trained from its first step: with its own); where runs are repeated under their seed, the column
    RERUN numbers them.
    Raises AnalysisError when one run counts twice, and when nothing is left.
    """
    kept: list[RunRecord] = []
    left: list[LeftOut] = []
    for record in records:
        reason = _reason(record, response, len(letters))
        if reason:
            left.append(_left_out(record, reason))
        else:
            kept.append(record)
    twice = sorted(run_id for run_id, count in Counter(r.spec.run_id for r in kept).items() if count > 1)
    if twice:
        raise AnalysisError("runs count twice", value=twice, fix="Exclude all attempts of a run but one.")
    if not kept:
        reasons = "; ".join(sorted({o.reason for o in left})) or "there is no record"
        raise AnalysisError(f"no run has a result to analyse: {reasons}", fix="Run the package, or collect it.")
    levels = np.array([record.spec.levels for record in kept], dtype=np.float64).reshape(len(kept), len(letters))
    table = Table(
        response=response,
        letters=tuple(letters),
        levels=_frozen(levels),
        y=_frozen(np.array([record.outcome.responses.number(response) for record in kept], dtype=np.float64)),
        run_ids=tuple(record.spec.run_id for record in kept),
        packages=tuple(record.spec.package for record in kept),
        conditions=tuple(record.spec.condition for record in kept),
        budgets=tuple(record.spec.budget.label() for record in kept),
        amounts=tuple(record.spec.budget.limit.amount for record in kept),
        seeds=tuple(record.spec.seed for record in kept),
        hosts=tuple(_host(record) for record in kept),
        statuses=tuple(record.outcome.status for record in kept),
        fired=tuple(record.outcome.fired for record in kept),
        others={**_trunks(kept), **_reruns(kept)},
        left_out=tuple(left),
    )
    return replace(table, notes=_same_results(table))


def _reason(record: RunRecord, response: str, num_letters: int) -> str:
    if record.exclusion:
        return f"excluded: {record.exclusion}"
    if not record.counts:
        return record.outcome.status
    value = record.outcome.responses.get(response)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"finished without `{response}`"
    if len(record.spec.levels) != num_letters:
        return f"condition {record.spec.condition} has {len(record.spec.levels)} coded levels, not {num_letters}"
    return ""


def _left_out(record: RunRecord, reason: str) -> LeftOut:
    spec = record.spec
    return LeftOut(
        run_id=spec.run_id,
        reason=reason,
        status=record.outcome.status,
        package=spec.package,
        condition=spec.condition,
        budget=spec.budget.label(),
        seed=spec.seed,
        host=_host(record),
        levels=spec.levels,
    )


def _trunks(records: Sequence[RunRecord]) -> Mapping[str, Labels]:
    if all(record.spec.starts_from is None for record in records):
        return {}
    return {TRUNK: tuple(record.spec.starts_from or record.spec.run_id for record in records)}


def _reruns(records: Sequence[RunRecord]) -> Mapping[str, Labels]:
    if all(record.spec.rerun == 0 for record in records):
        return {}
    return {RERUN: tuple(str(record.spec.rerun) for record in records)}


def _host(record: RunRecord) -> str:
    """The kind of machine that the run was planned for; where the study names none, the machine that it ran on."""
    return record.spec.host or str(record.outcome.machine.get("host") or "")


def _same_results(table: Table) -> tuple[str, ...]:
    """A warning for conditions that gave the same number under every seed: equal once resolved?"""
    seen: dict[tuple[str, str], dict[int, float]] = {}
    for i in range(len(table)):
        where = (table.packages[i] + "|" + table.budgets[i], table.conditions[i])
        seen.setdefault(where, {})[table.seeds[i]] = float(table.y[i])
    by_result: dict[tuple[str, tuple[tuple[int, float], ...]], list[str]] = {}
    for (where_run, condition), results in seen.items():
        by_result.setdefault((where_run, tuple(sorted(results.items()))), []).append(condition)
    groups = sorted({tuple(sorted(conditions)) for conditions in by_result.values() if len(conditions) > 1})
    return tuple(
        f"conditions {', '.join(group)} gave the same results under every seed: are their levels equal after resolving?"
        for group in groups
    )


def _pick(labels: Labels, keep: Iterable[int]) -> Labels:
    return tuple(labels[i] for i in keep)


def _frozen(array: Array) -> Array:
    array.setflags(write=False)
    return array
