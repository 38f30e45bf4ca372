"""Stored generators of minimum-aberration fractions, 4 to 128 runs, and of those with most clear interactions.

A number is a column as a product of basic factors: bit i for the i-th basic factor, so 7 is ABC and 11 is ABD.

Sources: the catalogue of FrF2 2.3-4 (Groemping 2014, J. Stat. Software 56(1)), which goes back to Chen, Sun and
Wu (1993, Int. Stat. Review 61) and Xu (2009, Technometrics 51); patterns compared with csw93 0.6.0 and, where
feasible, with exhaustive search. Isomorphic choices are equally good.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from foldover.core import DesignError
from foldover.designs.gf2 import ALPHABET

Criterion = Literal["aberration", "clear"]

# Runs -> factors -> columns of the generated factors, of least aberration.
_MINIMUM_ABERRATION: dict[int, dict[int, tuple[int, ...]]] = {
    4: {
        3: (3,),
    },
    8: {
        4: (7,),
        5: (3, 5),
        6: (3, 5, 6),
        7: (3, 5, 6, 7),
    },
    16: {
        5: (15,),
        6: (7, 11),
        7: (7, 11, 13),
        8: (7, 11, 13, 14),
        9: (3, 5, 9, 14, 15),
        10: (3, 5, 6, 9, 14, 15),
        11: (3, 5, 6, 9, 10, 13, 14),
        12: (3, 5, 6, 9, 10, 13, 14, 15),
        13: (3, 5, 6, 7, 9, 10, 11, 12, 13),
        14: (3, 5, 6, 7, 9, 10, 11, 12, 13, 14),
        15: (3, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15),
    },
    32: {
        6: (31,),
        7: (7, 27),
        8: (7, 11, 29),
        9: (7, 11, 19, 29),
        10: (7, 11, 19, 29, 30),
        11: (7, 11, 13, 19, 21, 25),
        12: (7, 11, 13, 14, 19, 21, 25),
        13: (7, 11, 13, 14, 19, 21, 22, 25),
        14: (7, 11, 13, 14, 19, 21, 22, 25, 26),
        15: (7, 11, 13, 14, 19, 21, 22, 25, 26, 28),
        16: (7, 11, 13, 14, 19, 21, 22, 25, 26, 28, 31),
        17: (3, 5, 9, 14, 15, 17, 22, 23, 26, 27, 28, 29),
        18: (3, 5, 6, 9, 14, 15, 17, 22, 23, 26, 27, 28, 29),
        19: (3, 5, 6, 9, 10, 14, 15, 17, 22, 23, 26, 27, 28, 29),
        20: (3, 5, 6, 9, 10, 14, 15, 17, 18, 22, 23, 26, 27, 28, 29),
        21: (3, 5, 6, 9, 10, 14, 15, 17, 18, 22, 23, 26, 27, 28, 29, 31),
        22: (3, 5, 6, 9, 10, 13, 14, 15, 17, 18, 21, 22, 23, 25, 26, 29, 30),
        23: (3, 5, 6, 9, 10, 13, 14, 15, 17, 18, 21, 22, 23, 25, 26, 27, 28, 29),
        24: (3, 5, 6, 9, 10, 13, 14, 15, 17, 18, 21, 22, 23, 25, 26, 27, 28, 29, 30),
        25: (3, 5, 6, 7, 9, 10, 11, 12, 13, 17, 18, 19, 20, 21, 26, 27, 28, 29, 30, 31),
        26: (3, 5, 6, 7, 9, 10, 11, 12, 13, 14, 17, 18, 19, 20, 21, 26, 27, 28, 29, 30, 31),
        27: (3, 5, 6, 7, 9, 10, 11, 12, 13, 14, 17, 18, 19, 20, 21, 22, 25, 26, 27, 28, 29, 30),
        28: (3, 5, 6, 7, 9, 10, 11, 12, 13, 14, 17, 18, 19, 20, 21, 22, 25, 26, 27, 28, 29, 30, 31),
        29: (3, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29),
        30: (3, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30),
        31: (3, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31),
    },
    64: {
        7: (63,),
        8: (15, 51),
        9: (7, 27, 45),
        10: (7, 27, 43, 53),
        11: (7, 11, 29, 45, 51),
        12: (7, 11, 29, 45, 51, 62),
        13: (7, 11, 21, 25, 38, 58, 60),
        14: (7, 11, 19, 30, 37, 41, 49, 60),
        15: (7, 11, 19, 30, 37, 41, 49, 60, 63),
        16: (7, 11, 13, 19, 21, 35, 37, 57, 58, 60),
        17: (7, 11, 13, 14, 19, 21, 35, 37, 57, 58, 60),
        18: (7, 11, 13, 14, 19, 21, 22, 35, 37, 57, 58, 60),
        19: (7, 11, 13, 14, 19, 21, 22, 35, 37, 38, 57, 58, 60),
        20: (7, 11, 13, 14, 19, 21, 22, 35, 37, 38, 57, 58, 60, 63),
        21: (7, 11, 13, 14, 19, 21, 22, 25, 35, 41, 42, 49, 52, 56, 62),
        22: (7, 11, 13, 14, 19, 21, 22, 25, 35, 37, 41, 42, 49, 52, 56, 62),
        23: (7, 11, 13, 14, 19, 21, 22, 25, 26, 35, 37, 41, 44, 49, 52, 56, 62),
        24: (7, 11, 13, 14, 19, 21, 22, 25, 26, 35, 37, 38, 41, 42, 49, 52, 56, 62),
        25: (7, 11, 13, 14, 19, 21, 22, 25, 26, 28, 35, 37, 38, 41, 42, 49, 52, 56, 62),
        26: (7, 11, 13, 14, 19, 21, 22, 25, 26, 28, 35, 37, 38, 41, 42, 44, 49, 50, 52, 56),
        27: (7, 11, 13, 14, 19, 21, 22, 25, 26, 28, 31, 35, 37, 38, 41, 42, 44, 49, 50, 52, 56),
        28: (7, 11, 13, 14, 19, 21, 22, 25, 26, 28, 31, 35, 37, 38, 41, 42, 44, 47, 49, 50, 52, 56),
        29: (7, 11, 13, 14, 19, 21, 22, 25, 26, 28, 31, 35, 37, 38, 41, 42, 44, 47, 49, 50, 52, 55, 56),
        30: (7, 11, 13, 14, 19, 21, 22, 25, 26, 28, 31, 35, 37, 38, 41, 42, 44, 47, 49, 50, 52, 55, 56, 59),
        31: (7, 11, 13, 14, 19, 21, 22, 25, 26, 28, 31, 35, 37, 38, 41, 42, 44, 47, 49, 50, 52, 55, 56, 59, 61),
        32: (7, 11, 13, 14, 19, 21, 22, 25, 26, 28, 31, 35, 37, 38, 41, 42, 44, 47, 49, 50, 52, 55, 56, 59, 61, 62),
    },
    128: {
        8: (127,),
        9: (31, 103),
        10: (31, 103, 43),
        11: (31, 103, 43, 85),
        12: (31, 103, 43, 85, 121),
        13: (31, 103, 43, 85, 44, 86),
        14: (31, 103, 43, 85, 46, 61, 114),
        15: (31, 103, 43, 85, 46, 61, 114, 67),
        16: (31, 103, 43, 85, 44, 86, 88, 53, 110),
        17: (31, 103, 43, 85, 46, 61, 114, 67, 78, 116),
        18: (31, 103, 43, 85, 46, 61, 114, 67, 78, 116, 121),
        19: (31, 103, 43, 85, 46, 61, 114, 67, 78, 55, 58, 86),
        20: (31, 103, 43, 85, 46, 61, 114, 67, 78, 55, 58, 86, 91),
        21: (31, 103, 43, 85, 44, 82, 54, 56, 88, 78, 123, 125, 104, 25),
        22: (31, 103, 43, 85, 44, 86, 88, 53, 78, 58, 83, 97, 28, 104, 114),
        23: (31, 103, 43, 85, 44, 82, 54, 56, 88, 78, 123, 125, 104, 25, 112, 49),
        24: (31, 103, 43, 85, 44, 86, 88, 53, 110, 19, 28, 57, 67, 98, 100, 26, 105),
    },
}

# Runs -> factors -> columns of the resolution IV design with the most clear two-factor interactions, where
# that is not the one of least aberration.
_MOST_CLEAR: dict[int, dict[int, tuple[int, ...]]] = {
    32: {9: (7, 11, 13, 30)},
    64: {
        13: (7, 11, 13, 30, 46, 49, 63),
        14: (7, 11, 13, 14, 19, 21, 25, 54),
        15: (7, 11, 13, 14, 19, 21, 22, 25, 58),
        16: (7, 11, 13, 14, 19, 21, 22, 25, 26, 60),
        17: (7, 11, 13, 14, 19, 21, 22, 25, 26, 28, 63),
    },
}

# The most factors that a resolution allows: runs -> {resolution: factors} (III allows runs - 1).
_MOST_FACTORS: dict[int, dict[int, int]] = {
    8: {4: 4, 5: 3},
    16: {4: 8, 5: 5},
    32: {4: 16, 5: 6},
    64: {4: 32, 5: 8},
    128: {4: 64, 5: 11},
}


def catalogue_columns(num_factors: int, runs: int, criterion: Criterion = "aberration") -> tuple[int, ...] | None:
    """Columns of the generated factors over the basic ones; None where nothing is stored.

    criterion: `aberration` for the lexicographically smallest word-length pattern, `clear` for the most
    two-factor interactions that are clear of main effects and of each other.
    """
    best = _MOST_CLEAR.get(runs, {}).get(num_factors) if criterion == "clear" else None
    return best or _MINIMUM_ABERRATION.get(runs, {}).get(num_factors)


def generators_for(
    num_factors: int, runs: int, *, criterion: Criterion = "aberration", letters: Sequence[str] | None = None
) -> tuple[str, ...]:
    """Generators such as `E=ABCD` of the stored fraction; the first factors are the basic ones.

    letters: the factors' own (None: A, B, C, ... without I). Empty for a full factorial.
    Raises DesignError if there is no such fraction or none is stored.

    >>> generators_for(6, 16)
    ('E=ABC', 'F=ABD')
    """
    names = tuple(letters) if letters is not None else tuple(ALPHABET[:num_factors])
    num_basic = num_basic_of(runs)
    if num_factors == num_basic:
        return ()
    refuse_impossible_fraction(num_factors, runs)
    columns = catalogue_columns(num_factors, runs, criterion)
    if columns is None:
        raise DesignError(
            f"no fraction of {num_factors} factors in {runs} runs is stored",
            value=(num_factors, runs),
            fix=f"Give its {num_factors - num_basic} generators, or ask for fewer factors.",
        )
    return generators_from_columns(columns, names, num_basic)


def resolution_chart(most: int = 15) -> tuple[tuple[int, int, int | None], ...]:
    """(runs, factors, resolution) of every stored fraction of up to `most` factors; None for a full factorial.

    The chart that a design is picked from: more runs across, more factors down.
    """
    chart: list[tuple[int, int, int | None]] = []
    for runs, stored in sorted(_MINIMUM_ABERRATION.items()):
        num_basic = num_basic_of(runs)
        chart.append((runs, num_basic, None))
        chart += [(runs, k, shortest_word(columns)) for k, columns in sorted(stored.items()) if k <= most]
    return tuple(chart)


def generators_from_columns(columns: Sequence[int], letters: Sequence[str], num_basic: int) -> tuple[str, ...]:
    """`E=ABCD` for each column of the factors that follow the basic ones."""
    return tuple(
        f"{letter}=" + "".join(letters[i] for i in range(num_basic) if column >> i & 1)
        for letter, column in zip(letters[num_basic:], columns, strict=True)
    )


def num_basic_of(runs: int) -> int:
    """log2 of a number of runs. Raises DesignError if it is not a power of two of at least 4."""
    if runs < 4 or runs & (runs - 1):
        below = max(4, 1 << max(runs, 4).bit_length() - 1)
        raise DesignError(
            "a regular fraction has a power of two of runs, at least 4",
            value=runs,
            fix=f"Ask for {below} or {2 * below} runs, or for a Plackett-Burman or an optimal design.",
        )
    return runs.bit_length() - 1


def refuse_impossible_fraction(num_factors: int, runs: int, resolution: int | None = None) -> None:
    """Raise DesignError for too many factors, too few, or a resolution that so many runs cannot give."""
    num_basic = num_basic_of(runs)
    if num_factors < num_basic:
        raise DesignError(
            f"{num_factors} factors have only {2**num_factors} combinations, fewer than {runs} runs",
            fix=f"Ask for {2**num_factors} runs and replicate them.",
        )
    if num_factors > runs - 1:
        raise DesignError(
            f"{runs} runs carry at most {runs - 1} factors",
            value=num_factors,
            fix=f"Ask for {1 << num_factors.bit_length()} runs.",
        )
    most = most_factors(runs, resolution) if resolution is not None else num_factors
    if resolution is not None and num_factors > most:
        raise DesignError(
            f"{num_factors} factors in {runs} runs cannot have resolution {roman(resolution)}",
            fix=f"{runs} runs give it for at most {most} factors; ask for more runs or a lower resolution.",
        )


def most_factors(runs: int, resolution: int) -> int:
    """The most factors that `runs` runs carry at a resolution (known for III to V, 8 to 128 runs)."""
    if resolution <= 3:
        return runs - 1
    num_basic = num_basic_of(runs)
    if resolution > num_basic + 1:
        return num_basic
    if resolution == 4:
        return runs // 2
    known = _MOST_FACTORS.get(runs, {}).get(resolution)
    stored = _MINIMUM_ABERRATION.get(runs, {})
    reachable = [k for k, columns in stored.items() if shortest_word(columns) >= resolution]
    return known if known is not None else max(reachable, default=num_basic)


def shortest_word(columns: Sequence[int]) -> int:
    """The resolution of a fraction given by its generated columns (from the fewest columns that cancel)."""
    words = [(1 << i, column) for i, column in enumerate(columns)]
    # Resolution above V needs few generators, so the products can be listed; below, pairs and triples decide.
    if len(words) > 12:
        return _short_by_sums(columns)
    group: list[tuple[int, int]] = [(0, 0)]
    for left, right in words:
        group += [(left ^ a, right ^ b) for a, b in group]
    return min((a.bit_count() + b.bit_count() for a, b in group[1:]), default=0)


def roman(number: int) -> str:
    """A resolution as it is written: III, IV, V."""
    numerals = ("0", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X")
    return numerals[number] if 0 <= number < len(numerals) else str(number)


def _short_by_sums(columns: Sequence[int]) -> int:
    num_basic = max(column.bit_length() for column in columns)
    everything = [*(1 << i for i in range(num_basic)), *columns]
    present = set(everything)
    if any(a ^ b in present for i, a in enumerate(everything) for b in everything[:i]):
        return 3
    sums = [a ^ b for i, a in enumerate(everything) for b in everything[:i]]
    return 4 if len(set(sums)) < len(sums) else 5
