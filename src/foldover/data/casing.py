"""Text without capital letters and back: markers say what was one, so that `The` and `the` share their tokens.

    U+0001  the next letter is a capital               The cat  ->  <1>the cat
    U+0002  the next run of cased letters is in capitals        of NASA  ->  of<2> nasa
    U+0003  the next character is itself, though it is a marker

A marker stands before the one space that a word has in front of it, so that the word keeps the token it has inside a
sentence. Markers are characters of one byte that text hardly uses; where it does, they are escaped. Only letters are
folded that come back: one character whose lower case is one character of as many bytes, whose upper case is that
character again. They are those of Unicode 3.2, a table that Python freezes, so that every Python folds alike.
Source: CaseOps of openai/parameter-golf's records of 2026-04 (which publish no set of operators: this one is ours).
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CAPITAL, CAPITALS, ESCAPE = "\x01", "\x02", "\x03"
MARKERS = CAPITAL + CAPITALS + ESCAPE
# Unicode 3.2 has no cased letter beyond its second plane.
NUM_CODE_POINTS = 0x20000

_INSERTED = re.compile(rb"\x03(?=[\x01-\x03])[\x01-\x03]|[\x01\x02]")


class _Rules(NamedTuple):
    """lower, upper: translations; foldable: what folding changes; folded: what unfolding changes."""

    lower: dict[int, int]
    upper: dict[int, int]
    foldable: re.Pattern[str]
    folded: re.Pattern[str]


def fold(text: str) -> str:
    """The text with its capitals marked; `unfold` gives it back, whatever it is."""
    rules = _rules()

    def folded(match: re.Match[str]) -> str:
        found = match.group()
        if found in MARKERS:
            return ESCAPE + found
        run = found.removeprefix(" ")
        space = found[: len(found) - len(run)]
        lower = run.translate(rules.lower)
        if lower[1:] == run[1:]:
            return CAPITAL + space + lower
        changed = [small != letter for small, letter in zip(lower, run, strict=True)]
        if all(changed):
            return CAPITALS + space + lower
        first = CAPITAL if changed[0] else ""
        rest = (CAPITAL + small if is_changed else small for small, is_changed in zip(lower, changed, strict=True))
        return first + space + "".join(rest).removeprefix(first)

    return rules.foldable.sub(folded, text)


def unfold(text: str) -> str:
    """The text that was folded; markers with no letter behind them, as a model may write, are left where they are."""
    rules = _rules()

    def unfolded(match: re.Match[str]) -> str:
        found = match.group()
        return found[1:] if found[0] == ESCAPE else found[1:].translate(rules.upper)

    return rules.folded.sub(unfolded, text)


def original_bytes(folded: bytes, sizes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Bytes of the original text under tokens that cover so many bytes each of the folded one: all but its markers."""
    inserted = np.fromiter((match.start() for match in _INSERTED.finditer(folded)), dtype=np.int64)
    before = np.searchsorted(inserted, np.cumsum(sizes, dtype=np.int64))
    return (sizes - np.diff(before, prepend=0)).astype(np.uint32)


def without_markers(piece: bytes) -> bytes:
    """What a token of folded text writes of the text itself, in small letters."""
    return piece.translate(None, MARKERS.encode())


@lru_cache(maxsize=1)
def _rules() -> _Rules:
    pairs = [(letter, letter.lower()) for letter in map(chr, range(NUM_CODE_POINTS)) if _comes_back(letter)]
    capital = "".join(letter for letter, _ in pairs)
    small = "".join(lower for _, lower in pairs)
    # Possessive, and only at the beginning of a run: a word without capitals is read once.
    run = f" ?(?<![{capital}{small}])[{small}]*+[{capital}][{capital}{small}]*"
    return _Rules(
        lower=str.maketrans(capital, small),
        upper=str.maketrans(small, capital),
        foldable=re.compile(f"{run}|[{MARKERS}]"),
        folded=re.compile(f"{ESCAPE}[{MARKERS}]|{CAPITAL} ?[{small}]|{CAPITALS} ?[{small}]+"),
    )


def _comes_back(letter: str) -> bool:
    lower, known = letter.lower(), unicodedata.ucd_3_2_0.category
    return (
        len(lower) == 1
        and lower != letter
        and lower.upper() == letter
        and "Cn" not in (known(letter), known(lower))
        and len(lower.encode()) == len(letter.encode())
    )
