"""Tables and designs from files, and results into files: the only input and output of a plain analysis.

A table is read as text: what its columns mean is decided later, by whoever analyses it. Files are plain CSV with a
header, as other tools write it: comma, semicolon or tab, quoted or not, with or without a byte order mark.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from foldover.core import AnalysisError, DataError, Design, to_plain

MAX_BYTES = 256 * 1024**2
MAX_ROWS = 1_000_000
MAX_COLUMNS = 4_096
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_COMMA_NUMBER = re.compile(r"[+-]?[0-9]+(,[0-9]+)?(e[+-]?[0-9]+)?", re.IGNORECASE)
_SHOWN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTable:
    """A file with a header: column name to cells, stripped, all of one length.

    lines: the line of each row in the file (from 1); notes: what was understood beyond the plain reading.
    """

    path: str
    columns: Mapping[str, tuple[str, ...]]
    lines: tuple[int, ...]
    delimiter: str
    notes: tuple[str, ...] = ()

    def column(self, name: str) -> tuple[str, ...]:
        """The cells of a column. Raises AnalysisError that names the nearest column."""
        if name in self.columns:
            return self.columns[name]
        from difflib import get_close_matches  # late: only for a message

        same = [column for column in self.columns if column.lower() == name.lower()]
        near = same or get_close_matches(name, list(self.columns), n=1)
        hint = f"Did you mean `{near[0]}`? " if near else ""
        known = ", ".join(list(self.columns)[:24]) + (", ..." if len(self.columns) > 24 else "")
        raise AnalysisError(f"{self.path} has no column `{name}`", fix=f"{hint}It has {known}.")


def read_table(path: Path) -> TextTable:
    """The table of a CSV file.

    The delimiter is the one that splits the header into most cells. Lines that are empty or begin with `#` are passed
    over. Raises DataError, with the lines at fault, for an empty file, bytes that are not text, a header without names
    or with one name twice, rows of another length than the header, and sizes past what is analysed in memory.
    """
    text, notes = text_of(path)
    lines = _logical_lines(path, text)
    if not lines:
        raise DataError(f"{path} is empty", fix="A table needs a header and one row a run.")
    delimiter = _delimiter(path, lines)
    table = [(number, _cells(line, delimiter)) for number, line in lines]
    (_, header), rows = table[0], table[1:]
    names, more = _names(path, header)
    _refuse_sizes(path, names, rows)
    _refuse_ragged(path, names, rows, delimiter)
    columns = _columns(path, names, rows)
    if delimiter == ";":
        columns, points = _decimal_points(columns)
        more += points
    return TextTable(
        path=str(path),
        columns=columns,
        lines=tuple(number for number, _ in rows),
        delimiter=_DELIMITERS.get(delimiter, "one column"),
        notes=(*notes, *more),
    )


def read_design(path: Path) -> Design:
    """The design that `foldover design` wrote as JSON or CSV. Raises DesignError for anything else."""
    from foldover.designs import from_csv, from_json  # late: not every analysis has a design

    text, _ = text_of(path)
    return from_json(text) if text.lstrip().startswith("{") else from_csv(text)


def write_text(path: Path, text: str) -> None:
    """Write a file whole: the old one stays until the new one is on the disk. Raises DataError for a missing folder."""
    from foldover.rundir import write_atomic  # late: it brings the locks of run folders

    if not path.parent.is_dir():
        raise DataError(f"the folder of {path} does not exist", fix="Make it first.")
    write_atomic(path, text)


def write_json(path: Path, content: object) -> None:
    """The content as an indented JSON document with full numbers."""
    write_text(path, json.dumps(to_plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def text_of(path: Path) -> tuple[str, tuple[str, ...]]:
    """The text of a file, and what its encoding needed. Raises DataError for what is no text."""
    if path.is_dir():
        raise DataError(f"{path} is a folder, not a file")
    if not path.exists():
        raise DataError(f"there is no file {path}")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise DataError(f"{path} has {size:,} bytes, more than {MAX_BYTES:,}", fix="Give the rows to analyse only.")
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif b"\0" in data:
        raise DataError(f"{path} is not a text file", fix="Export the table as CSV.")
    else:
        encoding = "utf-8-sig"
    try:
        return data.decode(encoding), () if encoding == "utf-8-sig" else ("read as UTF-16",)
    except UnicodeDecodeError as error:
        if encoding == "utf-16":
            raise DataError(f"{path} is not readable as UTF-16", fix="Save it as UTF-8.") from None
        line = data[: error.start].count(b"\n") + 1
        return data.decode("latin-1"), (f"line {line} is not UTF-8: the file was read as Latin-1",)


def _logical_lines(path: Path, text: str) -> list[tuple[int, str]]:
    """Rows as they stand in the file with the number of their first line; quoted cells may hold line breaks."""
    found: list[tuple[int, str]] = []
    kept: list[str] = []
    start, is_open = 0, False
    for number, line in enumerate(text.splitlines(), start=1):
        if not kept:
            if not line.strip() or line.startswith("#"):
                continue
            start = number
        kept.append(line)
        is_open ^= line.count('"') % 2 == 1
        if not is_open:
            found.append((start, "\n".join(kept)))
            kept = []
    if kept:
        raise DataError(f"{path}: the quote that line {start} opens is never closed", fix="Close it, or drop it.")
    return found


def _delimiter(path: Path, lines: Sequence[tuple[int, str]]) -> str:
    widths = {delimiter: len(_cells(lines[0][1], delimiter)) for delimiter in _DELIMITERS}
    best = max(widths, key=lambda delimiter: widths[delimiter])
    if widths[best] == 1 and len(lines[0][1].split()) > 2:
        raise DataError(
            f"{path}, line {lines[0][0]}: the header is one column",
            value=lines[0][1][:60],
            fix="Separate columns by comma, semicolon or tab.",
        )
    return best


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader(io.StringIO(line, newline=""), delimiter=delimiter))]
    except csv.Error as error:
        raise DataError(f"a line is not readable as CSV: {error}", value=line[:60]) from None


def _names(path: Path, header: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    notes: tuple[str, ...] = ()
    names = list(header)
    if not names[0] and len(names) > 1:
        # Data frames are often written with their index, which has no name.
        names[0], notes = "index", ("the first column has no name and is called `index`",)
    blank = [i + 1 for i, name in enumerate(names) if not name]
    if blank:
        raise DataError(f"{path}: columns {_listed(blank)} have no name", fix="Give every column of the header a name.")
    if all(_is_number(name) for name in names):
        raise DataError(f"{path} has no header: its first line holds numbers only", fix="Add a line of column names.")
    return names, notes


def _refuse_sizes(path: Path, names: Sequence[str], rows: Sequence[object]) -> None:
    if not rows:
        raise DataError(f"{path} has a header but no rows", value=list(names)[:_SHOWN])
    if len(rows) > MAX_ROWS or len(names) > MAX_COLUMNS:
        raise DataError(
            f"{path} has {len(rows):,} rows and {len(names):,} columns, more than {MAX_ROWS:,} and {MAX_COLUMNS:,}",
            fix="Give the rows and columns of one analysis.",
        )


def _refuse_ragged(path: Path, names: Sequence[str], rows: Sequence[tuple[int, Sequence[str]]], delimiter: str) -> None:
    ragged = [number for number, cells in rows if len(cells) != len(names)]
    if ragged:
        number, cells = next((n, c) for n, c in rows if len(c) != len(names))
        raise DataError(
            f"{path}: {len(ragged)} rows do not have the {len(names)} cells of the header "
            f"(lines {_listed(ragged)}; line {number} has {len(cells)})",
            fix=f"The delimiter was taken to be {_DELIMITERS[delimiter]}: quote cells that contain it.",
        )


def _columns(path: Path, names: Sequence[str], rows: Sequence[tuple[int, Sequence[str]]]) -> dict[str, tuple[str, ...]]:
    """Columns by name; one that stands twice with the same cells is one (a worksheet of factors without names)."""
    columns: dict[str, tuple[str, ...]] = {}
    for j, name in enumerate(names):
        cells = tuple(row[j] for _, row in rows)
        if columns.setdefault(name, cells) != cells:
            raise DataError(
                f"{path}: the header has the name `{name}` twice over different cells",
                fix="Rename or drop one of the columns.",
            )
    return columns


def _decimal_points(
    columns: Mapping[str, tuple[str, ...]],
) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Columns of numbers with decimal commas get points: `0,25` between semicolons is a number."""
    changed = [
        name
        for name, cells in columns.items()
        if any("," in cell for cell in cells) and all(not cell or _COMMA_NUMBER.fullmatch(cell) for cell in cells)
    ]
    if not changed:
        return dict(columns), ()
    new = {n: tuple(c.replace(",", ".") for c in cells) if n in changed else cells for n, cells in columns.items()}
    return new, (f"decimal commas are read as points in {', '.join(changed)}",)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _listed(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:_SHOWN]))
    return shown if len(numbers) <= _SHOWN else f"{shown} and {len(numbers) - _SHOWN} more"
