"""A part of a report as plain data: sentences, tables and pictures, whatever it is about.

Every rendering (page, Markdown, CSV, LaTeX, SVG) works on these alone, so a new finding needs no new rendering.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from foldover.core import Scalar
from foldover.report.numbers import decimals_for

ColumnKind = Literal["text", "number", "signed", "probability", "share", "count", "setting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its name for programs, its title for readers, and how its values are printed.

    number, signed: with the table's decimals; share: as a percentage; setting: a lever's value.
    """

    name: str
    title: str
    kind: ColumnKind = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionTable:
    """Rows of plain values, one a column; None where there is nothing to say."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Scalar, ...], ...]
    decimals: int = 4
    note: str = ""

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), f"table {self.name}: a row has other columns"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A point with its interval. series: what it shares a colour with; hollow: described, not tested.

    runs: the single values that a mean is of; panel: the part of the picture that it stands in, with its own axis.
    """

    label: str
    series: str
    value: float
    low: float | None = None
    high: float | None = None
    hollow: bool = False
    runs: tuple[float, ...] = ()
    panel: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionPicture:
    """Points with intervals in rows, one a label, top to bottom. zero: whether 0 means that nothing happens.

    bars: drawn as bars from 0 in place of points, as shares are.
    """

    name: str
    title: str
    axis: str
    marks: tuple[Mark, ...]
    zero: bool = False
    bars: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One finding. claims: sentences bounded by the evidence, fit for a summary; notes: how to read the rest.

    name: unique in a report, of letters, digits and hyphens, so that files can be called after it.
    """

    name: str
    title: str
    claims: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    tables: tuple[SectionTable, ...] = ()
    pictures: tuple[SectionPicture, ...] = ()


def columns(*specs: str) -> tuple[Column, ...]:
    """Columns from `name`, `name:kind` or `name:kind:title`; the title is the name with spaces where it is left out."""
    found = []
    for spec in specs:
        name, _, rest = spec.partition(":")
        kind, _, title = rest.partition(":")
        known: ColumnKind = kind or "text"  # type: ignore[assignment]
        found.append(Column(name=name, title=title or name.replace("_", " "), kind=known))
    return tuple(found)


def decimals_of(intervals: Sequence[tuple[float | None, float | None]]) -> int:
    """Decimals that the narrowest of some intervals justifies."""
    return decimals_for([(high - low) / 2 for low, high in intervals if low is not None and high is not None])
