"""Fractions that keep chosen two-factor interactions estimable (a requirement set).

`clear`: each required interaction is aliased with no main effect and no other two-factor interaction.
`distinct`: required interactions and main effects are told from each other; other interactions are assumed
to be nil (Greenfield 1976; Wu and Chen 1992, Technometrics 34; Groemping 2012, J. Stat. Software 46).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Literal

from foldover.core import DesignError
from foldover.designs.aberration import fractions
from foldover.designs.catalogue import catalogue_columns, num_basic_of

Requirement = Literal["clear", "distinct"]

# Up to here every fraction is looked at, so the answer has the least aberration and "none" is a proof.
_EXHAUSTIVE_RUNS = 32
_EXHAUSTIVE_FACTORS = 12
_MAX_STEPS = 200_000

_Pair = tuple[int, int]


def find_generators(
    letters: Sequence[str],
    clear: Sequence[str],
    *,
    runs: int | None = None,
    least: int = 8,
    requirement: Requirement = "clear",
) -> tuple[str, ...]:
    """Generators of a fraction that meets the requirement set, of least aberration where that is known.

    runs: None for the fewest, from `least` on. Raises DesignError that names the fewest runs that do it and
    what can be kept in the runs asked for.
    """
    pairs = _pairs(letters, clear)
    if runs is not None:
        found = _find(len(letters), pairs, runs, requirement)
        if found is None:
            raise _impossible(letters, clear, pairs, runs, requirement)
        return _as_generators(found, letters, num_basic_of(runs))
    size = least
    while size < 2 ** len(letters):
        found = _find(len(letters), pairs, size, requirement) if len(letters) < size else None
        if found is not None:
            return _as_generators(found, letters, num_basic_of(size))
        size *= 2
    return ()


def _find(k: int, pairs: Sequence[_Pair], runs: int, requirement: Requirement) -> tuple[int, ...] | None:
    """One column a letter, or None."""
    num_basic = num_basic_of(runs)
    if k <= num_basic:
        return tuple(1 << i for i in range(k))
    if k > runs - 1:
        return None
    exhaustive = runs <= _EXHAUSTIVE_RUNS and k <= _EXHAUSTIVE_FACTORS
    for generated in _candidates(k, runs, requirement, exhaustive=exhaustive):
        columns = (*(1 << i for i in range(num_basic)), *generated)
        found = _embed(columns, k, pairs, requirement)
        if found is not None:
            return found
    return None if exhaustive else _build(k, pairs, num_basic, requirement)


def _candidates(k: int, runs: int, requirement: Requirement, *, exhaustive: bool) -> Iterator[tuple[int, ...]]:
    if exhaustive:
        yield from fractions(k, num_basic_of(runs))
        return
    for criterion in ("aberration", "clear"):
        columns = catalogue_columns(k, runs, "clear" if criterion == "clear" else "aberration")
        if columns is not None:
            yield columns


def _embed(columns: Sequence[int], k: int, pairs: Sequence[_Pair], requirement: Requirement) -> tuple[int, ...] | None:
    """Give each letter one of the columns so that the required pairs are kept, by backtracking."""
    mains = set(columns)
    sums = [a ^ b for a, b in itertools.combinations(columns, 2)]
    once = {s for s in sums if sums.count(s) == 1 and s not in mains}
    order = _by_degree(k, pairs)
    given: dict[int, int] = {}

    def fits(letter: int, column: int) -> bool:
        new = [
            column ^ given[b if a == letter else a] for a, b in pairs if letter in (a, b) and (a + b - letter) in given
        ]
        if requirement == "clear":
            return all(s in once for s in new)
        old = [given[a] ^ given[b] for a, b in pairs if a in given and b in given]
        return len({*old, *new}) == len(old) + len(new) and not mains & set(new)

    def assign(position: int) -> bool:
        if position == k:
            return True
        letter = order[position]
        for column in columns:
            if column not in given.values() and fits(letter, column):
                given[letter] = column
                if assign(position + 1):
                    return True
                del given[letter]
        return False

    return tuple(given[i] for i in range(k)) if assign(0) else None


def _build(k: int, pairs: Sequence[_Pair], num_basic: int, requirement: Requirement) -> tuple[int, ...] | None:
    """Give each letter a column of GF(2)^m, most required letters first; None if not found within the limit.

    A new letter is the next basis vector or lies in the span of the earlier ones: every other choice is the
    same design in another basis.
    """
    order = _by_degree(k, pairs)
    given: dict[int, int] = {}
    steps = 0

    def is_kept() -> bool:
        mains = set(given.values())
        required = [given[a] ^ given[b] for a, b in pairs if a in given and b in given]
        if len(set(required)) < len(required) or mains & set(required):
            return False
        if requirement == "distinct":
            return True
        sums = [a ^ b for a, b in itertools.combinations(given.values(), 2)]
        return all(sums.count(s) == 1 for s in required)

    def assign(position: int, rank: int) -> bool:
        nonlocal steps
        if position == k:
            return rank == num_basic
        steps += 1
        if steps > _MAX_STEPS or num_basic - rank > k - position:
            return False
        letter = order[position]
        inside = sorted(set(range(1, 1 << rank)) - set(given.values()), key=lambda c: (-c.bit_count(), c))
        for column in [*([1 << rank] if rank < num_basic else []), *inside]:
            given[letter] = column
            if is_kept() and assign(position + 1, rank + (column == 1 << rank)):
                return True
            del given[letter]
        return False

    return tuple(given[i] for i in range(k)) if assign(0, 0) else None


def _by_degree(k: int, pairs: Sequence[_Pair]) -> list[int]:
    return sorted(range(k), key=lambda i: -sum(i in pair for pair in pairs))


def _as_generators(columns: Sequence[int], letters: Sequence[str], num_basic: int) -> tuple[str, ...]:
    """Generators over the first letters whose columns are independent."""
    basis: list[tuple[int, int]] = []  # (reduced column, which basic letters make it)
    basic: list[str] = []
    generators = []
    for letter, original in zip(letters, columns, strict=True):
        column, made_of = original, 0
        for row, names in basis:
            if column ^ row < column:
                column, made_of = column ^ row, made_of ^ names
        if column:
            basis = sorted([*basis, (column, made_of ^ 1 << len(basic))], reverse=True)
            basic.append(letter)
        else:
            generators.append(f"{letter}=" + "".join(b for i, b in enumerate(basic) if made_of >> i & 1))
    assert len(basic) == num_basic, "the columns span the design"
    return tuple(generators)


def _pairs(letters: Sequence[str], clear: Sequence[str]) -> list[_Pair]:
    place = {letter: i for i, letter in enumerate(letters)}
    pairs = []
    for text in clear:
        names = text.strip().replace(":", "")
        if len(set(names)) != 2 or len(names) != 2:
            raise DesignError("a requirement is a two-factor interaction", value=text, fix='Write e.g. "AB".')
        for letter in names:
            if letter not in place:
                raise DesignError(
                    f"requirement {text}: there is no factor {letter}", fix=f"There are {', '.join(letters)}."
                )
        pairs.append((place[names[0]], place[names[1]]))
    return list(dict.fromkeys((min(p), max(p)) for p in pairs))


def _impossible(
    letters: Sequence[str], clear: Sequence[str], pairs: Sequence[_Pair], runs: int, requirement: Requirement
) -> DesignError:
    k = len(letters)
    enough = 2 * runs
    while enough < 2**k and _find(k, pairs, enough, requirement) is None:
        enough *= 2
    kept: list[_Pair] = []
    for pair in pairs:
        if _find(k, [*kept, pair], runs, requirement) is not None:
            kept.append(pair)
    names = ", ".join(letters[a] + letters[b] for a, b in kept) or "none"
    other = (
        "" if requirement == "distinct" else ', or `requirement="distinct"` if other interactions may be assumed nil'
    )
    return DesignError(
        f"no fraction of {k} factors in {runs} runs keeps {', '.join(clear)} {requirement}",
        value=tuple(clear),
        fix=f"{enough} runs do; {runs} runs can keep {names}{other}.",
    )
