"""A screen prepared for estimation: its cells, its blocks, and linear estimators of effects as weights.

Legend: n runs, C conditions (cells), m terms, K block levels. An estimate is linear in the responses, W y
with W (m, n); everything that depends on the design alone is computed here once, so that thousands of
simulated studies are then a few matrix products.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foldover.core import AnalysisError
from foldover.stats.ols import require_full_rank
from foldover.stats.table import Table
from foldover.stats.terms import Term, resolve_terms, term_columns, term_text

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Screen:
    """The design of one analysis.

    X: (n, m) term columns; cell: (n,) condition of each run; cells: (C, m) term columns of the conditions;
    block: (n,) block of each run, or None; extra: (n, e) columns of further fixed terms (hosts, packages);
    balanced: whether every block holds every condition the same number of times.
    """

    letters: tuple[str, ...]
    terms: tuple[Term, ...]
    X: Array
    levels: Array
    cell: Integers
    cell_labels: tuple[str, ...]
    cells: Array
    block: Integers | None
    block_labels: tuple[str, ...]
    extra: Array
    balanced: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The terms as text."""
        return tuple(term_text(term) for term in self.terms)

    @property
    def num_runs(self) -> int:
        """n."""
        return len(self.cell)

    def counts(self) -> Integers:
        """Runs of each condition, (C,)."""
        return np.bincount(self.cell, minlength=len(self.cell_labels)).astype(np.int64)

    def block_columns(self) -> Array:
        """Dummies of all blocks but the first, and the further fixed terms: (n, K - 1 + e)."""
        if self.block is None:
            return self.extra
        dummies = np.eye(len(self.block_labels))[self.block][:, 1:]
        return np.column_stack([dummies, self.extra])

    def block_names(self) -> tuple[str, ...]:
        """Names of `block_columns`."""
        blocks = self.block_labels[1:] if self.block is not None else ()
        return (*(f"block {label}" for label in blocks), *(f"extra {i + 1}" for i in range(self.extra.shape[1])))


def prepare_screen(
    table: Table,
    *,
    terms: Sequence[str] | str = "main",
    block: str | None = "seed",
    adjust_for: Sequence[str] = (),
) -> Screen:
    """Check that the runs may be pooled and the terms told apart, and prepare the design.

    block: the column whose values pair runs; adjust_for: further columns that get a fixed term each.
    Raises AnalysisError for runs of several packages, budgets or hosts without a term for the difference,
    for runs that occur twice, constant factors, and aliased or inestimable terms (naming them).
    """
    parsed = resolve_terms(terms, table.letters)
    require_poolable(table, block, adjust_for)
    _require_distinct_runs(table, block)
    _require_varying(table, parsed)
    cell, cell_labels, first = _cells(table)
    columns = term_columns(parsed, table.levels, table.letters)
    cells = columns[first]
    names = [term_text(term) for term in parsed]
    require_full_rank(np.column_stack([np.ones(len(first)), cells]), ["1", *names], rows="conditions")
    block_index, block_labels = _index(table.column(block)) if block is not None else (None, ())
    extra = [np.eye(len(labels))[index][:, 1:] for index, labels in (_index(table.column(c)) for c in adjust_for)]
    return Screen(
        letters=table.letters,
        terms=parsed,
        X=columns,
        levels=table.levels,
        cell=cell,
        cell_labels=cell_labels,
        cells=cells,
        block=block_index,
        block_labels=block_labels,
        extra=np.column_stack(extra) if extra else np.empty((len(table), 0)),
        balanced=_is_balanced(cell, block_index, len(cell_labels), len(block_labels)),
    )


def require_poolable(table: Table, block: str | None, adjust_for: Sequence[str]) -> None:
    """Raise AnalysisError when the rows differ in package, budget or host and the model has no term for it.

    A difference is accounted for when it is the block, in `adjust_for`, or constant within each level of one
    of these.
    """
    accounted = [*adjust_for, *([block] if block is not None else [])]
    levels = [table.column(name) for name in accounted]
    for name in ("package", "budget", "host"):
        labels = table.column(name)
        nested = any(len(set(zip(level, labels, strict=True))) == len(set(level)) for level in levels)
        if len(set(labels)) == 1 or name in accounted or nested:
            continue
        values = sorted(set(labels))
        shown = ", ".join(value or "(none)" for value in values[:6]) + (", ..." if len(values) > 6 else "")
        raise AnalysisError(
            f"the runs come from {len(values)} {name}s and the model has no term for the difference",
            value=shown,
            fix=f"Analyse each apart (table.where({name}=...)), or add {name} to adjust_for.",
        )


def _require_distinct_runs(table: Table, block: str | None) -> None:
    """Two runs of one condition in one block are repeats, not replicates."""
    if block is None:
        return
    rows: dict[tuple[str, ...], list[str]] = {}
    labels = (table.packages, table.budgets, table.hosts, table.conditions, table.column(block))
    for i in range(len(table)):
        rows.setdefault(tuple(column[i] for column in labels), []).append(table.run_ids[i])
    twice = {key: ids for key, ids in rows.items() if len(ids) > 1}
    if twice:
        key, ids = next(iter(twice.items()))
        raise AnalysisError(
            f"condition {key[3]} has {len(ids)} runs in {block} {key[4]} ({len(twice)} such cells)",
            value=ids,
            fix="Repeats are not replicates: exclude all but one, or name the column that tells them apart as block.",
        )


def _require_varying(table: Table, terms: Sequence[Term]) -> None:
    if len(table) < 2:
        raise AnalysisError("one run carries no effect", value=table.run_ids)
    if np.ptp(table.y) == 0.0:
        raise AnalysisError(
            f"`{table.response}` is the same in all {len(table)} runs", value=float(table.y[0]), fix="Is it measured?"
        )
    used = {name for term in terms for name in term}
    constant = [
        f"{letter} (always {table.levels[0, j]:g})"
        for j, letter in enumerate(table.letters)
        if letter in used and np.ptp(table.levels[:, j]) == 0.0
    ]
    if constant:
        raise AnalysisError(
            f"factors do not vary in these {len(table)} runs",
            value=", ".join(constant),
            fix="Leave them out of the terms.",
        )


def _cells(table: Table) -> tuple[Integers, tuple[str, ...], list[int]]:
    """Conditions by their coded levels: index of each run, labels, first run of each."""
    seen: dict[tuple[float, ...], int] = {}
    cell, labels, first = [], [], []
    for i, row in enumerate(map(tuple, table.levels.tolist())):
        if row not in seen:
            seen[row] = len(seen)
            labels.append(table.conditions[i])
            first.append(i)
        cell.append(seen[row])
    return np.array(cell, dtype=np.int64), tuple(labels), first


def _index(labels: Sequence[str]) -> tuple[Integers, tuple[str, ...]]:
    names = sorted(set(labels))
    order = {name: i for i, name in enumerate(names)}
    return np.array([order[label] for label in labels], dtype=np.int64), tuple(names)


def _is_balanced(cell: Integers, block: Integers | None, num_cells: int, num_blocks: int) -> bool:
    if block is None:
        return len(set(np.bincount(cell, minlength=num_cells).tolist())) == 1
    counts = Counter(zip(cell.tolist(), block.tolist(), strict=True))
    return len(counts) == num_cells * num_blocks and len(set(counts.values())) == 1
