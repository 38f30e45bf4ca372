"""Designs as text: CSV and JSON, without loss, and plain CSV that other tools write."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Literal, cast

from foldover.core import Design, DesignError, Factor, FoldoverError, Row, RowKind, Scalar, from_plain, to_plain
from foldover.core import to_json as _write
from foldover.designs.order import randomize

Levels = Literal["auto", "coded", "natural"]

FORMAT = "foldover-design"
FORMAT_VERSION = 1

_MARK = f"# {FORMAT}: "
_ROW_FIELDS = ("label", "order", "block", "whole_plot", "replicate", "kind")
_LABELS = ("label", "condition", "run", "name")
_ORDERS = ("order", "run_order", "runorder", "run.no")
_BLOCKS = ("block", "blocks")
_TOLERANCE = 1e-9


def to_json(design: Design, *, indent: int | None = None) -> str:
    """The whole design as JSON, with the format's name and version."""
    return _write({"format": FORMAT, "version": FORMAT_VERSION, "design": to_plain(design)}, indent=indent)


def from_json(text: str) -> Design:
    """The design that `to_json` wrote. Raises DesignError if the text is something else."""
    try:
        plain = json.loads(text)
    except ValueError as error:
        raise DesignError(f"not JSON: {error}", fix="Give a file that `foldover design --json` wrote.") from None
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        raise DesignError("the JSON is not a design of foldover", fix=f'It needs `"format": "{FORMAT}"`.')
    if plain.get("version") != FORMAT_VERSION:
        raise DesignError("the design was written by another version", value=plain.get("version"))
    return _read_design(plain.get("design"))


def to_csv(design: Design) -> str:
    """A header, one line a row in standard order, and before them a comment with all that is not in the rows.

    Columns: label, order, block, whole_plot, replicate, kind; coded levels under the letters; natural levels
    under the levers' names. Numbers are written in full.
    """
    rest = {name: value for name, value in to_plain(design).items() if name != "rows"}
    text = io.StringIO()
    text.write(_MARK + json.dumps({"version": FORMAT_VERSION, **rest}, sort_keys=True) + "\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_ROW_FIELDS, *design.letters, *(factor.lever for factor in design.factors)])
    for row in design.rows:
        natural = design.decode(row)
        coded = [repr(x) for x in row.levels]
        own = [row.label, row.order, row.block, row.whole_plot, row.replicate, row.kind]
        writer.writerow([*own, *coded, *(_shown(natural[factor.lever]) for factor in design.factors)])
    return text.getvalue()


def from_csv(
    text: str, factors: Sequence[Factor] = (), *, levels: Levels = "auto", name: str = "table", seed: int | None = None
) -> Design:
    """The design that `to_csv` wrote; or a plain table with one column for each of `factors`.

    In a plain table a column is named by the factor's letter, its lever, or the lever's last part, in any
    case; separated by comma, semicolon or tab. levels: `coded`, `natural`, or `auto`: natural where every
    value is one of the factor's own levels, else coded. Columns for label, run order and block are
    read if there; others are left alone. Rows that repeat become replicates.
    Raises DesignError that names line and column for what is missing or cannot be read, and where coded and
    natural levels of a written design disagree.
    """
    comment, body = _split_comment(text.removeprefix("\ufeff"))
    if comment is not None:
        table = list(csv.reader(io.StringIO(body, newline="")))
        return _own_table(comment, table[0] if table else [], table[1:])
    header, rows = _cells(body)
    if not factors:
        raise DesignError("a table of another tool can only be read with its factors", fix="Give `factors`.")
    design = Design(name=name, kind="explicit", factors=tuple(factors), rows=_plain_rows(header, rows, factors, levels))
    has_order = _find(header, _ORDERS) is not None
    return design if has_order and seed is None else randomize(design, seed)


def _own_table(comment: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Design:
    try:
        rest = json.loads(comment)
    except ValueError as error:
        raise DesignError(f"the comment line of the table is damaged: {error}") from None
    if rest.pop("version", None) != FORMAT_VERSION:
        raise DesignError("the table was written by another version of foldover")
    # A lever may be called like a letter; coded columns come first, natural ones last.
    place = {name: header.index(name) for name in header}
    last = {name: i for i, name in enumerate(header)}
    bare = _read_design({**rest, "rows": []})
    ragged = [i for i, cells in enumerate(rows, start=1) if len(cells) != len(header)]
    if ragged:
        raise DesignError("rows of the table lack cells", value=tuple(ragged))
    missing = [n for n in (*_ROW_FIELDS, *bare.letters) if n not in place]
    if missing:
        raise DesignError("the table lacks columns", value=missing)
    made = [_own_row(bare, place, last, cells) for cells in rows]
    return _read_design({**rest, "rows": to_plain(made)})


def _own_row(bare: Design, place: Mapping[str, int], last: Mapping[str, int], cells: Sequence[str]) -> Row:
    def text(name: str) -> str:
        return cells[place[name]]

    label = text("label")
    coded = tuple(_number(text(letter), label, letter) for letter in bare.letters)
    for factor, x in zip(bare.factors, coded, strict=True):
        at = last.get(factor.lever, place[factor.letter])
        if at != place[factor.letter] and cells[at] != _shown(factor.decode(x)):
            raise DesignError(
                f"row {label}: `{factor.lever}` is {cells[at]}, but {factor.letter} = {x:g} is "
                f"{_shown(factor.decode(x))}",
                fix="Change the coded level, or read the table with its natural levels as a plain one.",
            )
    return Row(
        label=label,
        levels=coded,
        order=int(_number(text("order"), label, "order")),
        block=text("block"),
        kind=cast(RowKind, text("kind")),
        whole_plot=text("whole_plot"),
        replicate=int(_number(text("replicate"), label, "replicate")),
    )


def _read_design(plain: object) -> Design:
    try:
        return from_plain(Design, plain)
    except FoldoverError as error:
        raise DesignError(f"the text is not a design: {error}") from error


def _split_comment(text: str) -> tuple[str | None, str]:
    """What follows our mark in the comment line of a written design (None: not ours), and the table."""
    first, _, rest = text.partition("\n")
    return (first.removeprefix(_MARK), rest) if first.startswith(_MARK) else (None, text)


def _cells(text: str) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a plain table, without comments and empty lines."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not lines:
        raise DesignError("the table is empty", fix="A table needs a header and at least one row.")
    delimiter = max(",;\t", key=lines[0].count)
    table = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    header, rows = table[0], table[1:]
    if not rows:
        raise DesignError("the table has a header and no rows", value=tuple(header))
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise DesignError(f"row {number} has {len(row)} cells and the header {len(header)}", value=tuple(row))
    return header, rows


def _plain_rows(
    header: Sequence[str], rows: Sequence[Sequence[str]], factors: Sequence[Factor], levels: Levels
) -> tuple[Row, ...]:
    coded = [_column(header, rows, factor, levels) for factor in factors]
    label_at, order_at, block_at = (_find(header, names) for names in (_LABELS, _ORDERS, _BLOCKS))
    orders = _orders(rows, order_at)
    width = max(2, len(str(len(rows))))
    first: dict[tuple[float, ...], tuple[str, int]] = {}
    own_labels = [row[label_at] for row in rows] if label_at is not None else []
    keep = len(set(own_labels)) == len(rows)
    made = []
    for i, cells in enumerate(rows):
        point = tuple(column[i] for column in coded)
        own = own_labels[i] if own_labels else f"c{len(first) + 1:0{width}d}"
        label, times = first.get(point, (own, 0))
        first[point] = (label, times + 1)
        made.append(
            Row(
                label=own if keep or times == 0 else f"{label}-r{times + 1}",
                levels=point,
                order=orders[i],
                block=cells[block_at] if block_at is not None else "",
                kind=_kind(point),
                replicate=times + 1,
            )
        )
    return tuple(made)


def _column(header: Sequence[str], rows: Sequence[Sequence[str]], factor: Factor, levels: Levels) -> list[float]:
    short = factor.lever.rpartition(".")[2]
    at = next((i for i, cell in enumerate(header) if cell == factor.letter), None)
    if at is None:
        at = _find(header, (factor.letter.lower(), factor.lever.lower(), short.lower()))
    if at is None:
        raise DesignError(
            f"the table has no column for factor {factor.letter} (`{factor.lever}`)",
            value=tuple(header),
            fix=f"Name it {factor.letter}, {factor.lever} or {short}.",
        )
    cells = [row[at] for row in rows]
    natural = [_natural(factor, cell) for cell in cells]
    known = {factor.low, factor.high, factor.center, *factor.levels}
    if levels == "natural" or (levels == "auto" and all(value in known for value in natural)):
        return [_encoded(factor, value, i) for i, value in enumerate(natural, start=1)]
    signs = {"+": 1.0, "-": -1.0}
    return [
        signs[cell] if cell in signs else _number(cell, str(i), header[at]) for i, cell in enumerate(cells, start=1)
    ]


def _encoded(factor: Factor, value: Scalar, number: int) -> float:
    try:
        return factor.encode(value)
    except DesignError as error:
        raise DesignError(f"row {number}: {error}") from None


def _natural(factor: Factor, cell: str) -> Scalar:
    """The cell as a level of the factor, by its text or as a number."""
    for level in (factor.low, factor.high, factor.center, *factor.levels):
        if level is not None and _shown(level).lower() == cell.lower():
            return level
    try:
        number = float(cell)
    except ValueError:
        return cell
    for level in (factor.low, factor.high, factor.center, *factor.levels):
        if isinstance(level, int | float) and not isinstance(level, bool) and level == number:
            return level
    return int(number) if factor.kind == "int" and number == int(number) else number


def _orders(rows: Sequence[Sequence[str]], at: int | None) -> list[int]:
    """Positions from 0, whatever the table counts from."""
    if at is None:
        return list(range(len(rows)))
    numbers = [_number(row[at], str(i), "run order") for i, row in enumerate(rows, start=1)]
    if len(set(numbers)) != len(numbers):
        raise DesignError("the run order of the table has a position twice")
    place = {number: i for i, number in enumerate(sorted(numbers))}
    return [place[number] for number in numbers]


def _kind(point: Sequence[float]) -> RowKind:
    if all(abs(x) == 1 for x in point):
        return "factorial"
    moved = sum(abs(x) > _TOLERANCE for x in point)
    return "center" if moved == 0 else "axial" if moved == 1 and len(point) > 1 else "free"


def _find(header: Sequence[str], names: Sequence[str]) -> int | None:
    return next((i for i, cell in enumerate(header) if cell.lower() in names), None)


def _number(cell: str, row: str, column: str) -> float:
    try:
        return float(cell)
    except ValueError:
        raise DesignError(f"row {row}, column {column}: not a number", value=cell) from None


def _shown(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
