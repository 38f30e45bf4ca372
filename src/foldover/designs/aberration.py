"""Search for regular fractions of minimum aberration, and the list of all that differ.

Fractions are built one generated column at a time. Two are taken for isomorphic if they agree in how many words
of each length there are, contain each factor, and (short words) contain each pair of factors; the numbers
of different fractions found so at 16 and 32 runs are those of Chen, Sun and Wu (1993). Dropping a factor never
shortens the shortest word, so a resolution can be demanded from the start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from foldover.core import DesignError
from foldover.designs.catalogue import num_basic_of, refuse_impossible_fraction

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Words = NDArray[np.int64]

# More fractions than this at one step mean that the search would not end in reasonable time.
MAX_CLASSES = 20_000

_Key = tuple[tuple[int, ...], bytes]


def minimum_aberration(num_factors: int, runs: int) -> tuple[int, ...]:
    """Columns of the generated factors of a fraction with the lexicographically least pattern, by search.

    Exhaustive; instant up to 32 runs and 11 factors, seconds for few generators at 64 and 128 runs (the
    catalogue is for the rest). Raises DesignError where no fraction exists.
    """
    refuse_impossible_fraction(num_factors, runs)
    num_basic = num_basic_of(runs)
    if num_factors == num_basic:
        return ()
    for least in range(num_factors, 2, -1):
        found = fractions(num_factors, num_basic, least_resolution=least)
        if found:
            return found[0]
    raise AssertionError("every number of factors below the runs has a fraction of resolution III")


def fractions(num_factors: int, num_basic: int, *, least_resolution: int = 3) -> list[tuple[int, ...]]:
    """All fractions up to isomorphism as columns of the generated factors, least aberration first.

    Raises DesignError if there are too many to enumerate.
    """
    import numpy as np  # late: designs from the catalogue do not need it

    classes: dict[_Key, tuple[tuple[int, ...], Words]] = {((), b""): ((), np.zeros(1, dtype=np.int64))}
    for p in range(1, num_factors - num_basic + 1):
        extended: dict[_Key, tuple[tuple[int, ...], Words]] = {}
        for columns, words in classes.values():
            for column in _possible(columns, num_basic, least_resolution):
                # Bits of a word: basic factors first, then the generated ones in their order.
                new = np.concatenate([words, words ^ (column | 1 << (num_basic + p - 1))])
                key = _key(new, num_basic + p)
                if _resolution_of(key) >= least_resolution:
                    extended.setdefault(key, ((*columns, column), new))
        if len(extended) > MAX_CLASSES:
            raise DesignError(
                f"there are too many fractions of {num_factors} factors in {2**num_basic} runs to search",
                fix="Give the generators.",
            )
        classes = extended
    return [classes[key][0] for key in sorted(classes)]


def _possible(columns: Sequence[int], num_basic: int, least_resolution: int) -> list[int]:
    """Columns that may be added: not used, and for resolution IV no product of two used ones."""
    used = [*(1 << i for i in range(num_basic)), *columns]
    closed = set(used)
    if least_resolution >= 4:
        closed |= {a ^ b for i, a in enumerate(used) for b in used[:i]}
    return [column for column in range(3, 1 << num_basic) if column not in closed]


def _key(words: Words, num_factors: int) -> _Key:
    import numpy as np  # late, as above

    bits = (words[:, None] >> np.arange(num_factors)) & 1
    lengths = bits.sum(axis=1)
    by_length = np.zeros((num_factors + 1, len(words)), dtype=np.int64)
    by_length[lengths, np.arange(len(words))] = 1
    pattern = tuple(int(n) for n in by_length.sum(axis=1)[3:])
    per_factor = by_length @ bits
    # Of each factor: its words of each length, then in how many short words it meets each other factor.
    meetings = [np.sort(bits[lengths == n].T @ bits[lengths == n], axis=0) for n in (3, 4)]
    signature = np.vstack([per_factor, *meetings])
    order = np.lexsort(signature)
    return pattern, signature[:, order].astype(np.int32).tobytes()


def _resolution_of(key: _Key) -> int:
    return next((i + 3 for i, count in enumerate(key[0]) if count), len(key[0]) + 3)
