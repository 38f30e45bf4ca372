"""The coded matrix of a design with everything needed to read it later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from foldover.core.errors import DesignError
from foldover.core.factor import Factor, natural_levels
from foldover.core.values import EMPTY, Values

RowKind = Literal["factorial", "center", "axial", "edge", "anchor", "free"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One condition. levels: coded, one a factor; order: position in the randomised run order (from 0).

    block: what is alike for its rows beside the factors (a host, a day); whole_plot: rows of one name are
    made without resetting the hard-to-change factors; replicate: 1 for the first run of the condition.
    """

    label: str
    levels: tuple[float, ...]
    order: int
    block: str = ""
    kind: RowKind = "factorial"
    whole_plot: str = ""
    replicate: int = 1

    @property
    def condition(self) -> str:
        """The label without the mark of a replicate: `c07` for `c07-r2`."""
        return self.label.removesuffix(f"-r{self.replicate}") if self.replicate > 1 else self.label


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A design and how it was made.

    kind: `full`, `fraction`, `plackett_burman`, ...; generators such as `E=ABCD`; words: the defining
    relation without I; resolution: None where there is no defining relation; aliases: (term, its aliases);
    seed: of the run order (None: standard order); parent: the name of the design this one augments.
    block_words: terms that cannot be told from the blocks; whole_plot: letters of the hard-to-change
    factors; model: the terms that an optimal design was made for; constraints: as written; request: further
    arguments that made the design (`alpha`, `criterion`, ...).
    """

    name: str
    kind: str
    factors: tuple[Factor, ...]
    rows: tuple[Row, ...]
    generators: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    resolution: int | None = None
    aliases: tuple[tuple[str, tuple[str, ...]], ...] = ()
    seed: int | None = None
    parent: str | None = None
    notes: tuple[str, ...] = ()
    block_words: tuple[str, ...] = ()
    whole_plot: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    request: Values = EMPTY

    def __post_init__(self) -> None:
        letters = self.letters
        if len(set(letters)) != len(letters):
            raise DesignError("two factors have one letter", value="".join(letters))
        labels = [row.label for row in self.rows]
        if len(set(labels)) != len(labels):
            raise DesignError("two rows have one label", value=sorted(labels))
        for row in self.rows:
            if len(row.levels) != len(self.factors):
                raise DesignError(f"row {row.label} does not have one level a factor", value=row.levels)

    @property
    def letters(self) -> tuple[str, ...]:
        """The factors' letters, in column order."""
        return tuple(factor.letter for factor in self.factors)

    def decode(self, row: Row) -> Values:
        """Natural levels of a row, by lever name."""
        return natural_levels(self.factors, row.levels)

    def realised(self, row: Row) -> tuple[float, ...]:
        """Coded levels of what the row decodes to: whole numbers, powers of two and listed levels round."""
        return tuple(f.realised(x) for f, x in zip(self.factors, row.levels, strict=True))

    def in_run_order(self) -> tuple[Row, ...]:
        """The rows as they are to be run."""
        return tuple(sorted(self.rows, key=lambda row: row.order))

    def factor(self, letter: str) -> Factor:
        """The factor of that letter. Raises DesignError if there is none."""
        for factor in self.factors:
            if factor.letter == letter:
                return factor
        raise DesignError(
            "there is no factor of that letter", value=letter, fix=f"There are {', '.join(self.letters)}."
        )

    def aliased_with(self, term: str) -> tuple[str, ...]:
        """The terms that cannot be told from `term` (empty where no alias is listed)."""
        return dict(self.aliases).get(term, ())
