"""A Table from plain columns of text, as any tool writes them to CSV."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from foldover.core import AnalysisError, BudgetError, Limit
from foldover.stats.table import LeftOut, Table

Array = npt.NDArray[np.float64]

_MISSING = frozenset({"", "na", "n/a", "nan", "none", "null", "-", "inf", "-inf"})
_FINISHED = frozenset({"", "finished", "ok", "done", "success", "completed"})
_OWN = ("run_id", "package", "condition", "budget", "seed", "host", "status")


def table_from_columns(
    columns: Mapping[str, Sequence[object]],
    *,
    response: str,
    factors: Sequence[str],
    block: str | None = None,
) -> Table:
    """The Table of a file with a header: column name to values, all of one length.

    Columns named run_id, package, condition, budget, seed, host, status are understood; all others are kept as
    labels in `Table.others`. A factor whose values include -1 and +1 is taken as coded; other numbers are
    coded linearly from the lowest (-1) to the highest (+1), two words in alphabetical order, and a note says
    so. Rows whose `status` is not a finished one go to `left_out`, as do rows without a response if `status`
    says why. Without a `condition` column equal levels make a condition; without a `seed` column the runs of
    a condition are numbered and nothing is paired (`Table.seeded` is False).
    Raises AnalysisError for unknown columns (with the nearest names), uneven lengths, a response that is
    missing or not a number in a row that no status explains, and factors that cannot be coded.
    """
    text = {name: tuple(_clean(value) for value in values) for name, values in columns.items()}
    num_rows = _check_columns(text, [response, *factors, *([block] if block else [])], factors)
    coded, notes = _code_all(text, factors)
    conditions = text.get("condition") or _conditions(coded)
    budgets = text.get("budget") or ("",) * num_rows
    seeds, seed_notes = _seeds(text.get("seed"), conditions, budgets)
    keep, failed, y = _responses(text, response, num_rows)
    empty = ("",) * num_rows
    table = Table(
        response=response,
        letters=tuple(factors),
        levels=coded,
        y=y,
        run_ids=text.get("run_id") or tuple(f"line {i + 2}" for i in range(num_rows)),
        packages=text.get("package") or empty,
        conditions=conditions,
        budgets=budgets,
        amounts=tuple(_amount(value) for value in budgets),
        seeds=seeds,
        hosts=text.get("host") or empty,
        statuses=tuple(value or "finished" for value in text.get("status") or empty),
        fired=((),) * num_rows,
        others={name: values for name, values in text.items() if name not in (*_OWN, response, *factors)},
        notes=notes + seed_notes,
        seeded="seed" in text,
    )
    _check_ids(table)
    kept = table.rows(keep)
    return replace(kept, left_out=tuple(_left_out(table, i) for i in failed), notes=kept.notes + _identical_rows(kept))


def _check_columns(text: Mapping[str, tuple[str, ...]], needed: Sequence[str], factors: Sequence[str]) -> int:
    from difflib import get_close_matches  # late: only for a message

    for name in needed:
        if name not in text:
            near = get_close_matches(name, list(text), n=1)
            hint = f"Did you mean `{near[0]}`? " if near else ""
            raise AnalysisError("the file has no such column", value=name, fix=f"{hint}It has {', '.join(text)}.")
    if not factors:
        raise AnalysisError("no factor is named", fix="Name the columns that were varied.")
    if len(set(factors)) != len(factors):
        raise AnalysisError("a factor is named twice", value=list(factors))
    lengths = {name: len(values) for name, values in text.items()}
    if len(set(lengths.values())) > 1:
        raise AnalysisError("columns differ in length", value=lengths)
    num_rows = next(iter(lengths.values()))
    if num_rows == 0:
        raise AnalysisError("the file has a header but no rows")
    return num_rows


def _check_ids(table: Table) -> None:
    twice = sorted(name for name, count in Counter(table.run_ids).items() if count > 1)
    if twice:
        raise AnalysisError("two rows have one run_id", value=twice, fix="Keep one of them.")


def _identical_rows(table: Table) -> tuple[str, ...]:
    """A warning for rows that agree in everything: duplicates would pass for replicates."""
    seen: dict[tuple[object, ...], list[str]] = {}
    for i, run_id in enumerate(table.run_ids):
        seed = table.seeds[i] if table.seeded else 0
        others = tuple(labels[i] for labels in table.others.values())
        labels = (table.packages[i], table.conditions[i], table.budgets[i], seed, table.hosts[i])
        seen.setdefault((*labels, *table.levels[i].tolist(), float(table.y[i]), others), []).append(run_id)
    return tuple(
        f"rows {', '.join(ids)} are identical in every column: duplicated?" for ids in seen.values() if len(ids) > 1
    )


def _code_all(text: Mapping[str, tuple[str, ...]], factors: Sequence[str]) -> tuple[Array, tuple[str, ...]]:
    columns, notes = [], []
    for name in factors:
        column, note = _code(name, text[name])
        columns.append(column)
        if note:
            notes.append(note)
    return np.stack(columns, axis=1), tuple(notes)


def _code(name: str, values: tuple[str, ...]) -> tuple[Array, str]:
    blank = [i + 2 for i, value in enumerate(values) if value.lower() in _MISSING]
    if blank:
        raise AnalysisError(f"factor {name} has no level in some rows", value=f"lines {blank}", fix="Fill them in.")
    levels = sorted(set(values))
    if not all(_is_number(value) for value in levels):
        if len(levels) > 2:
            raise AnalysisError(
                f"factor {name} has more than two levels that are words",
                value=levels,
                fix="Compare conditions instead, or recode it as two-level factors.",
            )
        return np.array([2.0 * levels.index(v) - 1.0 for v in values]), _note(name, levels[0], levels[-1])
    numbers = np.array([_number(value) for value in values])
    low, high = float(numbers.min()), float(numbers.max())
    if low == high or ({-1.0, 1.0} <= set(numbers.tolist()) and low == -high):
        return numbers, ""
    return 2.0 * (numbers - (low + high) / 2.0) / (high - low), _note(name, f"{low:g}", f"{high:g}")


def _note(name: str, low: str, high: str) -> str:
    return f"factor {name}: {low} is coded -1 and {high} is coded +1"


def _responses(text: Mapping[str, tuple[str, ...]], response: str, num_rows: int) -> tuple[list[int], list[int], Array]:
    """Rows with a response, rows that a status explains, and the responses (0 where there is none)."""
    keep: list[int] = []
    failed: list[int] = []
    unexplained: list[int] = []
    y = np.zeros(num_rows)
    statuses = text.get("status") or ("",) * num_rows
    for i, value in enumerate(text[response]):
        if statuses[i].lower() not in _FINISHED:
            failed.append(i)
        elif value.lower() in _MISSING or not _is_number(value):
            unexplained.append(i + 2)
        else:
            y[i] = _number(value)
            keep.append(i)
    if unexplained:
        raise AnalysisError(
            f"`{response}` is missing or not a number",
            value=f"lines {unexplained}",
            fix="Add a column `status` that says what became of these runs (diverged, timeout, lost, ...): "
            "they are then left out by name.",
        )
    if not keep:
        raise AnalysisError(f"no row has a `{response}` to analyse")
    return keep, failed, y


def _left_out(table: Table, i: int) -> LeftOut:
    return LeftOut(
        run_id=table.run_ids[i],
        reason=table.statuses[i],
        status=table.statuses[i],
        package=table.packages[i],
        condition=table.conditions[i],
        budget=table.budgets[i],
        seed=table.seeds[i],
        host=table.hosts[i],
        levels=tuple(table.levels[i].tolist()),
    )


def _conditions(coded: Array) -> tuple[str, ...]:
    """Labels c01, c02, ... by first appearance of each combination of levels."""
    rows = [tuple(row) for row in coded.tolist()]
    order = {row: i for i, row in enumerate(dict.fromkeys(rows))}
    width = max(2, len(str(len(order))))
    return tuple(f"c{order[row] + 1:0{width}d}" for row in rows)


def _seeds(
    column: tuple[str, ...] | None, conditions: tuple[str, ...], budgets: tuple[str, ...]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    if column is None:
        seen: Counter[tuple[str, str]] = Counter()
        numbers = []
        for cell in zip(conditions, budgets, strict=True):
            seen[cell] += 1
            numbers.append(seen[cell])
        return tuple(numbers), ()
    if all(_is_number(value) and _number(value).is_integer() for value in column):
        return tuple(int(_number(value)) for value in column), ()
    names = sorted(set(column))
    return tuple(names.index(value) + 1 for value in column), (
        "seeds are numbered " + ", ".join(f"{i + 1} = {name}" for i, name in enumerate(names)),
    )


def _amount(label: str) -> float:
    """The number in a budget's label, in seconds, steps, tokens or flops if it has a unit; NaN if it has none."""
    if _is_number(label):
        return _number(label)
    try:
        return Limit.parse(label.replace(",", "")).amount
    except BudgetError:
        return math.nan


def _clean(value: object) -> str:
    return "" if value is None else str(value).strip()


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _number(text: str) -> float:
    return float(text)
