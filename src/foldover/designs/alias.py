"""What cannot be told from what in a regular fraction: alias sets, chains, clear effects.

Effects with one column of the basic factors are aliased: the run data give only their signed sum.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foldover.core import DesignError
from foldover.designs.gf2 import MAX_LISTED_GENERATORS, Word, by_length, columns_of, defining_words, generator_words

# With so few generators an effect has at most three aliases, so all are shown whatever their length.
_ALWAYS_COMPLETE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearEffects:
    """Main effects and two-factor interactions that are aliased with no other effect of those two kinds.

    strongly_clear: of these, the ones that are not aliased with a three-factor interaction either.
    """

    main: tuple[str, ...]
    two_factor: tuple[str, ...]
    strongly_clear: tuple[str, ...]


def alias_sets(
    letters: Sequence[str], generators: Sequence[str], max_order: int = 3
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Each main effect and two-factor interaction with its aliases, short ones first.

    Aliases of up to `max_order` letters are listed; all of them where there are one or two generators.
    A minus marks an alias that is subtracted. Nothing is listed for a full factorial.

    >>> dict(alias_sets("ABCDE", ["E=ABCD"]))["AB"]
    ('CDE',)
    """
    if not generators:
        return ()
    effects = _effects(letters, 2)
    if len(generators) <= _ALWAYS_COMPLETE:
        group = defining_words(generator_words(generators, letters))
        found = {effect: [Word.parse(effect) * word for word in group] for effect in effects}
    else:
        found = _aliases_by_column(letters, generators, effects, max_order)
    return tuple((effect, tuple(str(w) for w in sorted(found[effect], key=by_length))) for effect in effects)


def alias_chain(effect: str, letters: Sequence[str], generators: Sequence[str], max_order: int = 2) -> str:
    """What the contrast of `effect` estimates, in words.

    >>> alias_chain("A", "ABCDE", ["D=-AB", "E=AC"])
    'A - BD + CE'
    """
    own = Word.parse(effect)
    found = _aliases_by_column(letters, generators, [effect], max_order)[effect]
    text = str(own)
    for word in sorted(found, key=by_length):
        text += f" {'-' if word.sign < 0 else '+'} {word.letters}"
    return text


def alias_groups(letters: Sequence[str], generators: Sequence[str], order: int = 2) -> tuple[tuple[str, ...], ...]:
    """Sets of two or more effects of up to `order` letters that share a column, in alphabetical order."""
    groups: dict[int, list[str]] = {}
    columns = columns_of(letters, generators)
    for effect in _effects(letters, order):
        groups.setdefault(column_of(effect, columns).mask, []).append(effect)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def clear_effects(letters: Sequence[str], generators: Sequence[str]) -> ClearEffects:
    """Main effects and two-factor interactions that are clear of each other (Wu and Chen 1992)."""
    columns = columns_of(letters, generators)
    count: dict[int, int] = {}
    for effect in _effects(letters, 2):
        mask = column_of(effect, columns).mask
        count[mask] = count.get(mask, 0) + 1
    third = {column_of("".join(t), columns).mask for t in itertools.combinations(letters, 3)}
    clear = [e for e in _effects(letters, 2) if count[column_of(e, columns).mask] == 1]
    return ClearEffects(
        main=tuple(e for e in clear if len(e) == 1),
        two_factor=tuple(e for e in clear if len(e) == 2),
        strongly_clear=tuple(e for e in clear if column_of(e, columns).mask not in third),
    )


def refuse_aliased_terms(terms: Sequence[str], letters: Sequence[str], generators: Sequence[str]) -> None:
    """Raise DesignError if the fraction cannot tell two terms of a model apart, or one from the mean.

    terms: products of letters, `A:B` or `AB`. The error lists the whole alias set.
    """
    columns = columns_of(letters, generators)
    seen: dict[int, str] = {0: "the mean"}
    for term in terms:
        effect = term.replace(":", "")
        mask = column_of(effect, columns).mask
        if mask in seen:
            same = [e for e in _effects(letters, max(2, len(effect))) if column_of(e, columns).mask == mask]
            raise DesignError(
                f"{term} cannot be told from {seen[mask]}: they are one column of this fraction",
                value=tuple(same),
                fix="Keep one of them, or add runs that separate them (fold over, or ask for a higher resolution).",
            )
        seen[mask] = term


def column_of(effect: str, columns: Mapping[str, Word]) -> Word:
    """The product of the columns of an effect's letters."""
    product = Word(mask=0)
    for letter in effect:
        if letter not in columns:
            raise DesignError(f"effect {effect}: there is no factor {letter}", value=effect)
        product = product * columns[letter]
    return product


def _effects(letters: Sequence[str], order: int) -> list[str]:
    return ["".join(c) for size in range(1, order + 1) for c in itertools.combinations(letters, size)]


def _aliases_by_column(
    letters: Sequence[str], generators: Sequence[str], effects: Sequence[str], max_order: int
) -> dict[str, list[Word]]:
    columns = columns_of(letters, generators)
    by_mask: dict[int, list[tuple[str, int]]] = {}
    for other in _effects(letters, max_order):
        column = column_of(other, columns)
        by_mask.setdefault(column.mask, []).append((other, column.sign))
    found: dict[str, list[Word]] = {}
    for effect in effects:
        own = column_of(effect, columns)
        found[effect] = [
            Word(mask=Word.parse(other).mask, sign=sign * own.sign)
            for other, sign in by_mask.get(own.mask, [])
            if other != effect
        ]
    return found


def is_listable(num_generators: int) -> bool:
    """Whether all defining words can be listed."""
    return num_generators <= MAX_LISTED_GENERATORS
