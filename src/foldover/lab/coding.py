"""From a table of text to coded columns under letters, whatever the file calls its factors and their levels.

Letters are given here because names such as C, Q and I mean something to formula engines and to alias algebra: a
column of one letter keeps it (but I, the identity), any other gets the next free one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foldover.core import AnalysisError, Design, DesignError, Direction, Factor, Scalar
from foldover.designs import ALPHABET
from foldover.lab.tables import TextTable
from foldover.report import Caution, FactorColumn
from foldover.stats import Table, table_from_columns

# Words that say which level is low; other words are coded in alphabetical order.
_PAIRS = (
    ("low", "high"), ("lo", "hi"), ("l", "h"), ("min", "max"), ("minus", "plus"), ("-", "+"), ("off", "on"),
    ("no", "yes"), ("n", "y"), ("false", "true"), ("f", "t"), ("small", "large"), ("short", "long"), ("old", "new"),
    ("without", "with"), ("baseline", "variant"), ("control", "treatment"),
)  # fmt: skip
_BLANK = frozenset({"", "na", "n/a", "nan", "none", "null"})
_NOT_A_NUMBER = frozenset({"nan", "inf", "-inf", "+inf", "infinity", "-infinity"})
_FINISHED = frozenset({"", "finished", "ok", "done", "success", "completed"})
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisRequest:
    """What to analyse. Names are those of the file's columns.

    block: `auto` takes a column `seed` whose values pair runs, None takes none; budget: `auto` takes a column of that
    name; model: `auto`, `main`, `main+2fi`, `paper`, `second-order`, or terms such as `A, B, A:B`; family: terms that
    share one error rate (None: main effects); where: (column, value) pairs that rows must have; log: factors coded on
    a logarithmic scale; leave_out_missing: rows without a response are left out by name instead of refused.
    """

    response: str
    factors: tuple[str, ...]
    block: str | None = "auto"
    budget: str | None = "auto"
    model: str = "auto"
    method: str = "auto"
    level: float = 0.95
    q: float = 0.05
    correction: str = "bh"
    family: tuple[str, ...] | None = None
    direction: Direction = "minimize"
    design: Design | None = None
    adjust_for: tuple[str, ...] = ()
    where: tuple[tuple[str, str], ...] = ()
    log: tuple[str, ...] = ()
    leave_out_missing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Coded:
    """The table with coded levels under letters; block: the column that pairs runs, if any."""

    table: Table
    factors: tuple[FactorColumn, ...]
    block: str | None
    cautions: tuple[Caution, ...]


def code_table(text: TextTable, request: AnalysisRequest) -> Coded:
    """The runs of a file as an analysis table.

    Raises AnalysisError, with columns and lines, for what is missing, constant, or cannot be coded.
    """
    _check_request(text, request)
    keep = _matching(text, request.where)
    columns = {name: tuple(cells[i] for i in keep) for name, cells in text.columns.items()}
    lines = tuple(text.lines[i] for i in keep)
    letters = _letters(request, columns)
    cautions = [Caution(kind="file", message=note) for note in text.notes]
    coded: dict[str, tuple[str, ...]] = {}
    factors = []
    for name, letter in letters.items():
        cells, factor, notes = _code(name, letter, columns[name], lines, request)
        coded[letter] = cells
        factors.append(factor)
        cautions += [Caution(kind="coding", message=note) for note in notes]
    others = {name: cells for name, cells in columns.items() if name not in letters}
    budget = _budget_column(request, others)
    if budget is not None:
        cells = others.pop(budget)
        others = {"budget": cells, **{name: labels for name, labels in others.items() if name != "budget"}}
    else:
        others.pop("budget", None)
    others, missing = _with_statuses(others, lines, request)
    others.setdefault("run_id", tuple(f"line {line}" for line in lines))
    block, seeds = _block_column(request, others, coded)
    table = table_from_columns({**coded, **others}, response=request.response, factors=list(coded), block=block)
    cautions += [*missing, *seeds, *_table_cautions(table.notes)]
    return Coded(table=table, factors=tuple(factors), block=block, cautions=tuple(cautions))


def _check_request(text: TextTable, request: AnalysisRequest) -> None:
    if not request.factors:
        raise AnalysisError("no factor is named", fix="Give the varied columns: --factors A,B,C.")
    twice = sorted({name for name in request.factors if request.factors.count(name) > 1})
    if twice:
        raise AnalysisError("a factor is named twice", value=twice, fix="Name each column once.")
    if len(request.factors) > len(ALPHABET):
        raise AnalysisError(f"more than {len(ALPHABET)} factors", value=len(request.factors))
    named = [request.response, *request.factors, *request.adjust_for, *request.log]
    named += [name for name, _ in request.where]
    named += [name for name in (request.block, request.budget) if name is not None and name != "auto"]
    for name in named:
        text.column(name)
    if request.response in request.factors:
        raise AnalysisError("the response is named as a factor, too", value=request.response)
    for what, other in (("block", request.block), ("budget", request.budget)):
        if other in request.factors or other == request.response:
            raise AnalysisError(f"the {what} is a factor or the response, too", value=other)
    unknown = sorted(set(request.log) - set(request.factors))
    if unknown:
        raise AnalysisError("a logarithmic scale is asked for columns that are no factors", value=unknown)


def _matching(text: TextTable, where: Sequence[tuple[str, str]]) -> list[int]:
    keep = list(range(len(text.lines)))
    for name, value in where:
        cells = text.columns[name]
        keep = [i for i in keep if cells[i] == value]
        if not keep:
            there = ", ".join(sorted(set(cells))[:8])
            raise AnalysisError(f"no row has {name} = {value}", fix=f"There are {there}.")
    return keep


def _letters(request: AnalysisRequest, columns: Mapping[str, object]) -> dict[str, str]:
    """Column to letter: those of a given design, the column's own single letter, else the next one that is free."""
    given: dict[str, str] = {}
    for name in request.factors:
        if request.design is not None:
            given[name] = _of_design(request.design, name).letter
        elif len(name) == 1 and name in ALPHABET:
            given[name] = name
    if len(set(given.values())) < len(given):
        raise AnalysisError("two columns are the same factor of the design", value=given)
    taken = {*given.values(), *columns}
    free = iter([letter for letter in ALPHABET if letter not in taken])
    letters = {}
    for name in request.factors:
        letter = given.get(name) or next(free, None)
        if letter is None:
            raise AnalysisError("the file has too many columns of one letter to give the factors letters")
        letters[name] = letter
    return letters


def _of_design(design: Design, column: str) -> Factor:
    for factor in design.factors:
        if column in (factor.letter, factor.lever, factor.lever.rpartition(".")[2]):
            return factor
    known = ", ".join(f"{f.letter} (`{f.lever}`)" for f in design.factors)
    raise AnalysisError(f"column `{column}` is no factor of the design", fix=f"It has {known}.")


def _code(
    name: str, letter: str, cells: tuple[str, ...], lines: Sequence[int], request: AnalysisRequest
) -> tuple[tuple[str, ...], FactorColumn, tuple[str, ...]]:
    blank = [line for cell, line in zip(cells, lines, strict=True) if cell.lower() in _BLANK]
    if blank:
        raise AnalysisError(f"factor `{name}` has no level in lines {_shown(blank)}", fix="Fill them in.")
    if request.design is not None:
        factor = _of_design(request.design, name)
        return _code_by(factor, name, cells, lines)
    distinct = sorted(set(cells))
    numbers = {cell: _number(cell) for cell in distinct}
    if any(number is None for number in numbers.values()):
        return _code_words(name, letter, cells, distinct)
    values = {cell: number for cell, number in numbers.items() if number is not None}
    levels = sorted(set(values.values()))
    if len(levels) == 1:
        raise _constant(name, distinct[0], len(cells))
    if {-1.0, 1.0} <= set(levels) and levels[0] == -levels[-1] and name not in request.log:
        return (
            _coded(name, letter, cells, values, ("-1", "+1"), "coded"),
            _column(name, letter, "-1", "+1", len(levels), "coded"),
            (),
        )
    coding = "log" if name in request.log else "natural"
    if coding == "log" and levels[0] <= 0:
        raise AnalysisError(f"factor `{name}` has no logarithm at {levels[0]:g}", fix="Leave it out of --log.")
    place = {x: math.log(x) if coding == "log" else x for x in levels}
    low, high = place[levels[0]], place[levels[-1]]
    codes = {cell: 2.0 * (place[x] - (low + high) / 2.0) / (high - low) for cell, x in values.items()}
    ends = (f"{levels[0]:g}", f"{levels[-1]:g}")
    scale = " on a logarithmic scale" if coding == "log" else ""
    note = f"{letter} (`{name}`): {ends[0]} is coded -1 and {ends[1]} is coded +1{scale}"
    return _coded(name, letter, cells, codes, ends, coding), _column(name, letter, *ends, len(levels), coding), (note,)


def _coded(
    name: str, letter: str, cells: tuple[str, ...], codes: Mapping[str, float], ends: tuple[str, str], coding: str
) -> tuple[str, ...]:
    return tuple(repr(_tidy(codes[cell])) for cell in cells)


def _column(name: str, letter: str, low: str, high: str, levels: int, coding: str) -> FactorColumn:
    return FactorColumn(letter=letter, column=name, low=low, high=high, levels=levels, coding=coding)


def _code_words(
    name: str, letter: str, cells: tuple[str, ...], distinct: Sequence[str]
) -> tuple[tuple[str, ...], FactorColumn, tuple[str, ...]]:
    if len(distinct) == 1:
        raise _constant(name, distinct[0], len(cells))
    if len(distinct) > 2:
        raise AnalysisError(
            f"factor `{name}` has {len(distinct)} levels that are words",
            value=list(distinct)[:8],
            fix="Give two of them (--where), or columns of two levels each.",
        )
    known = {word.lower(): word for word in distinct}
    pair = next((p for p in _PAIRS if set(p) == set(known)), None)
    low, high = (known[pair[0]], known[pair[1]]) if pair else (distinct[0], distinct[1])
    codes = {low: -1.0, high: 1.0}
    why = "" if pair else " (alphabetical order: nothing says which is low)"
    note = f"{letter} (`{name}`): {low} is coded -1 and {high} is coded +1{why}"
    return tuple(repr(codes[cell]) for cell in cells), _column(name, letter, low, high, 2, "words"), (note,)


def _code_by(
    factor: Factor, name: str, cells: tuple[str, ...], lines: Sequence[int]
) -> tuple[tuple[str, ...], FactorColumn, tuple[str, ...]]:
    """Codes by the design's factor: natural levels where a value is one, else coded ones."""
    own = {str(level).lower(): level for level in (factor.low, factor.high, factor.center, *factor.levels)}
    own.pop("none", None)
    codes: dict[str, float] = {}
    is_coded = factor.lever == name and name != factor.letter
    numbers = {_number(cell) for cell in cells}
    natural = [x for x in (factor.low, factor.high) if isinstance(x, int | float)]
    looks_coded = not is_coded and numbers <= {-1.0, 0.0, 1.0} and not set(natural) <= {-1, 0, 1}
    for cell in dict.fromkeys(cells):
        number = _number(cell)
        if looks_coded and number is not None:
            codes[cell] = number
            continue
        level: Scalar = own.get(cell.lower(), number if number is not None else cell)
        try:
            codes[cell] = factor.encode(level)
        except DesignError as error:
            at = next(line for c, line in zip(cells, lines, strict=True) if c == cell)
            raise AnalysisError(f"line {at}: {error}") from None
    if len(set(codes.values())) == 1:
        raise _constant(name, cells[0], len(cells))
    column = _column(name, factor.letter, str(factor.low), str(factor.high), len(codes), "design")
    return tuple(repr(_tidy(codes[cell])) for cell in cells), column, ()


def _constant(name: str, level: str, rows: int) -> AnalysisError:
    return AnalysisError(
        f"factor `{name}` does not vary: it is {level} in all {rows} rows", fix="Leave it out of --factors."
    )


def _budget_column(request: AnalysisRequest, others: Mapping[str, tuple[str, ...]]) -> str | None:
    if request.budget == "auto":
        return "budget" if "budget" in others else None
    return request.budget


def _with_statuses(
    others: dict[str, tuple[str, ...]], lines: Sequence[int], request: AnalysisRequest
) -> tuple[dict[str, tuple[str, ...]], list[Caution]]:
    """Rows without a response: explained by their status, left out by name if the user said so, else refused."""
    cells = others[request.response]
    statuses = list(others.get("status") or ("",) * len(cells))
    reasons: dict[str, list[int]] = {}
    wrong: list[tuple[int, str]] = []
    for i, cell in enumerate(cells):
        if statuses[i].lower() not in _FINISHED:
            continue
        reason = "missing" if cell.lower() in _BLANK - {"nan"} else "not a number" if _number(cell) is None else ""
        if reason == "not a number" and cell.lower() not in _NOT_A_NUMBER:
            wrong.append((lines[i], cell))
        elif reason:
            reasons.setdefault(reason, []).append(lines[i])
            statuses[i] = reason
    if wrong:
        raise AnalysisError(
            f"`{request.response}` is not a number in lines {_shown([line for line, _ in wrong])}",
            value=wrong[0][1],
            fix="Correct it, or say in a column `status` what became of the run.",
        )
    if reasons and not request.leave_out_missing:
        said = "; ".join(f"{reason} in lines {_shown(at)}" for reason, at in reasons.items())
        raise AnalysisError(
            f"`{request.response}` is {said}",
            fix="Say in a column `status` what became of these runs (diverged, timeout, lost), "
            "or leave them out by name with --leave-out-missing.",
        )
    if not reasons:
        return others, []
    cautions = [
        Caution(
            kind="left_out",
            message=f"`{request.response}` is {reason} in lines {_shown(at)}: left out; if such runs failed because of "
            "their levels, the effects of the rest are biased",
            rows=tuple(f"line {line}" for line in at),
        )
        for reason, at in reasons.items()
    ]
    return {**others, "status": tuple(statuses)}, cautions


def _block_column(
    request: AnalysisRequest, others: Mapping[str, tuple[str, ...]], coded: Mapping[str, tuple[str, ...]]
) -> tuple[str | None, list[Caution]]:
    if request.block != "auto":
        return request.block, []
    seeds = others.get("seed")
    if seeds is None or len(set(seeds)) < 2:
        return None, []
    if len(set(seeds)) == len(seeds):
        note = "every row has a seed of its own: runs are taken as independent (name the column that pairs them)"
        return None, [Caution(kind="seeds", message=note)]
    return "seed", []


def _table_cautions(notes: Sequence[str]) -> list[Caution]:
    """The table's notes; identical rows are told together, however many there are."""
    same = [note for note in notes if "identical" in note]
    found = [Caution(kind="seeds" if "seed" in n else "coding", message=n) for n in notes if "identical" not in n]
    if same:
        more = f"; and {len(same) - 5:,} more such groups" if len(same) > 5 else ""
        found.append(Caution(kind="duplicates", message="; ".join(same[:5]) + more))
    return found


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _tidy(code: float) -> float:
    """Codes that differ from a whole one by rounding are that one."""
    return float(round(code)) if abs(code - round(code)) < _TOLERANCE else code


def _shown(lines: Sequence[int]) -> str:
    shown = ", ".join(map(str, lines[:8]))
    return shown if len(lines) <= 8 else f"{shown} and {len(lines) - 8} more"
