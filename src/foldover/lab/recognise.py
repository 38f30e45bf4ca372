"""Which regular design do coded runs make? Full factorials and fractions are recognised by their columns."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

# 2^10 corners: the products of ten basic columns are listed in a moment.
_MAX_CORNERS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognised:
    """A regular design: its generators such as `E=ABCD` (none for a full factorial)."""

    generators: tuple[str, ...]


def recognise(levels: Sequence[Sequence[float]], letters: Sequence[str]) -> Recognised | None:
    """The regular two-level design whose corners the rows are; None where they are no whole one.

    levels: coded, one row a run; rows that are not at -1 and +1 (centre points) are passed over, replicates count
    once.
    """
    corners = sorted({tuple(row) for row in levels if all(abs(x) == 1 for x in row)})
    num = len(corners)
    if num < 2 or num > _MAX_CORNERS or num & (num - 1) or len(letters) < 2:
        return None
    columns = [tuple(row[j] for row in corners) for j in range(len(letters))]
    products: dict[tuple[float, ...], str] = {(1.0,) * num: ""}
    generators = []
    for letter, column in zip(letters, columns, strict=True):
        opposite = tuple(-x for x in column)
        if column in products or opposite in products:
            word = products.get(column, products.get(opposite, ""))
            if not word:
                return None  # a constant column
            generators.append(f"{letter}={'' if column in products else '-'}{word}")
            continue
        products |= {_times(column, other): word + letter for other, word in products.items()}
        if len(products) > num:
            return None
    is_whole = len(products) == num and not any(len(g.partition("=")[2].lstrip("-")) < 2 for g in generators)
    return Recognised(generators=tuple(generators)) if is_whole else None


def _times(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(a * b for a, b in zip(one, other, strict=True))


def pairs_of(letters: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The two-factor interactions of some factors."""
    return tuple(itertools.combinations(letters, 2))
