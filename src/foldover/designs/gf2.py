"""Words, defining relations and alias sets of regular two-level fractions, over GF(2).

A word is a product of letters with a sign; equal letters cancel. It is held as a bit mask over `ALPHABET`,
so a product is an exclusive or (Box and Hunter 1961, Technometrics 3; Wu and Hamada, Experiments, ch. 5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import comb

from foldover.core import DesignError

ALPHABET = "ABCDEFGHJKLMNOPQRSTUVWXYZabcdefghjklmnopqrstuvwxyz"

# 4095 words are read by nobody, but listed in a moment; beyond, patterns are counted from the runs.
MAX_LISTED_GENERATORS = 12

_BIT = {letter: 1 << i for i, letter in enumerate(ALPHABET)}
_GENERATOR = re.compile(r"\s*(?:([A-Za-z])\s*=)?\s*([+-]?)\s*([A-Za-z]+)\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A signed product of letters: mask has bit i for ALPHABET[i]; sign is +1 or -1."""

    mask: int
    sign: int = 1

    @classmethod
    def parse(cls, text: str) -> Word:
        """`"ABD"`, `"-ABD"`, `"I"`. Raises DesignError for what is not a product of letters."""
        body = text.strip().lstrip("+-")
        sign = -1 if text.strip().startswith("-") else 1
        if body == "I":
            return cls(mask=0, sign=sign)
        mask = 0
        for letter in body:
            if letter not in _BIT:
                raise DesignError("a word is a product of letters other than I", value=text, fix='Write e.g. "ABD".')
            mask ^= _BIT[letter]
        if not body:
            raise DesignError("a word is empty", value=text, fix='Write e.g. "ABD".')
        return cls(mask=mask, sign=sign)

    def __mul__(self, other: Word) -> Word:
        return Word(mask=self.mask ^ other.mask, sign=self.sign * other.sign)

    def __len__(self) -> int:
        return self.mask.bit_count()

    def __str__(self) -> str:
        return ("-" if self.sign < 0 else "") + self.letters

    @property
    def letters(self) -> str:
        """The letters in alphabetical order, without the sign (I for the identity)."""
        return "".join(letter for letter in ALPHABET if self.mask & _BIT[letter]) or "I"


def by_length(word: Word) -> tuple[int, tuple[int, ...]]:
    """Sort key: short words first, then by alphabet."""
    return len(word), tuple(i for i in range(len(ALPHABET)) if word.mask >> i & 1)


def generator_words(generators: Sequence[str], letters: Sequence[str] | None = None) -> tuple[Word, ...]:
    """One word for each generator, `E=ABCD` (word `ABCDE`) or the word itself, independent of each other.

    letters: the factors there are (None: any). Raises DesignError for what is not readable, for unknown
    letters, a letter inside its own generator and a generator that follows from the others.
    """
    words: list[Word] = []
    basis: list[tuple[int, list[str]]] = []
    lefts = [text.partition("=")[0].strip() for text in generators if "=" in text]
    for text in generators:
        word = _generator_word(text, letters)
        if "=" in text and lefts.count(left := text.partition("=")[0].strip()) > 1:
            _refuse_second_generator(left, generators)
        mask, used = word.mask, [text]
        for row, names in basis:
            if mask ^ row < mask:
                mask, used = mask ^ row, used + names
        if mask == 0:
            raise DesignError(
                f"generator {text} follows from {_and(sorted(set(used[1:])))}",
                value=tuple(generators),
                fix="Leave it out, or give an independent one: p generators make a 1/2^p fraction.",
            )
        basis = sorted([*basis, (mask, used)], reverse=True)
        words.append(word)
    return tuple(words)


def defining_words(words: Iterable[Word]) -> tuple[Word, ...]:
    """All products of one or more of `words`, short ones first. Raises DesignError beyond 12 words."""
    words = tuple(words)
    if len(words) > MAX_LISTED_GENERATORS:
        raise DesignError(
            f"{len(words)} generators have {2 ** len(words) - 1} defining words, too many to list",
            fix="Ask for `wordlength_pattern_of_columns` instead.",
        )
    group = [Word(mask=0)]
    for word in words:
        group += [word * other for other in group]
    return tuple(sorted(group[1:], key=by_length))


def defining_relation(generators: Sequence[str]) -> tuple[str, ...]:
    """The words that equal the identity, without I itself, by length and alphabet; `-` marks a negative one.

    >>> defining_relation(["D=AB", "E=AC"])
    ('ABD', 'ACE', 'BCDE')
    """
    return tuple(str(word) for word in defining_words(generator_words(generators)))


def resolution(words: Iterable[str]) -> int | None:
    """Length of the shortest word; None without words (a full factorial)."""
    return min((len(Word.parse(word)) for word in words), default=None)


def wordlength_pattern(words: Iterable[str], num_factors: int) -> tuple[int, ...]:
    """(A3, A4, ..., Ak): how many words have 3, 4, ..., k letters."""
    counts = [0] * (num_factors + 1)
    for word in words:
        counts[len(Word.parse(word))] += 1
    return tuple(counts[3:])


def columns_of(letters: Sequence[str], generators: Sequence[str]) -> dict[str, Word]:
    """Each factor as a signed product of the basic ones; their masks count the basic letters from bit 0.

    The basic factors are those that are not generated, in the order of `letters`. A generator without a left
    side makes its last letter that is not yet taken a generated one. Raises DesignError as
    `generator_words`, and for generators that make two factors equal (resolution below III).
    """
    words = generator_words(generators, letters)
    reduced = _reduced(words, generators, letters)
    basic = [letter for letter in letters if letter not in reduced]
    place = {letter: 1 << i for i, letter in enumerate(basic)}
    columns = {letter: Word(mask=place[letter]) for letter in basic}
    for letter, word in reduced.items():
        mask = sum(place[other] for other in word.letters if other != letter)
        columns[letter] = Word(mask=mask, sign=word.sign)
    ordered = {letter: columns[letter] for letter in letters}
    _refuse_equal_columns(ordered, generators)
    return ordered


def basic_letters(letters: Sequence[str], generators: Sequence[str]) -> tuple[str, ...]:
    """The factors that are not generated, in the order of `letters`."""
    words = generator_words(generators, letters)
    reduced = _reduced(words, generators, letters)
    return tuple(letter for letter in letters if letter not in reduced)


def wordlength_pattern_of_columns(columns: Sequence[int], num_basic: int) -> tuple[int, ...]:
    """(A3, ..., Ak) counted from the runs by MacWilliams' identity, without listing the words.

    columns: masks over the basic factors. With w_r the number of high levels in run r and B_i the runs
    of weight i, A_j = sum_i B_i K_j(i) / N with Krawtchouk polynomials K_j (Xu and Wu 2001, Ann. Statist. 29).
    """
    num_factors, num_runs = len(columns), 1 << num_basic
    weights = [0] * (num_factors + 1)
    for run in range(num_runs):
        weights[sum((run & column).bit_count() & 1 for column in columns)] += 1
    pattern = []
    for j in range(3, num_factors + 1):
        total = sum(count * krawtchouk(j, i, num_factors) for i, count in enumerate(weights) if count)
        assert total % num_runs == 0, "a word count is a whole number"
        pattern.append(total // num_runs)
    return tuple(pattern)


def krawtchouk(j: int, i: int, n: int) -> int:
    """K_j(i) = sum_s (-1)^s C(i, s) C(n - i, j - s)."""
    return sum((-1) ** s * comb(i, s) * comb(n - i, j - s) for s in range(j + 1))


def _generator_word(text: str, letters: Sequence[str] | None) -> Word:
    match = _GENERATOR.fullmatch(text)
    if match is None:
        raise DesignError("a generator is not readable", value=text, fix='Write e.g. "E=ABCD" or "E=-ABCD".')
    left, sign, right = match.group(1) or "", match.group(2), match.group(3)
    for letter in left + right:
        if letter not in (ALPHABET if letters is None else letters):
            known = "letters other than I" if letters is None else ", ".join(letters)
            raise DesignError(f"generator {text}: there is no factor {letter}", value=letter, fix=f"There are {known}.")
    if left and left in right:
        raise DesignError(
            f"generator {text}: factor {left} stands in its own generator",
            value=text,
            fix="Multiply other factors on the right side.",
        )
    if len(set(right)) != len(right):
        raise DesignError(f"generator {text}: a letter stands twice", value=text, fix="Equal letters cancel.")
    return Word.parse(sign + left + right)


def _refuse_second_generator(left: str, generators: Sequence[str]) -> None:
    rivals = [text for text in generators if text.partition("=")[0].strip() == left]
    words = {str(_generator_word(text, None)) for text in rivals}
    if len(words) > 1:
        raise DesignError(f"factor {left} is generated twice", value=tuple(rivals), fix="Keep one of them.")


def _refuse_equal_columns(columns: dict[str, Word], generators: Sequence[str]) -> None:
    seen: dict[int, str] = {}
    for letter, column in columns.items():
        if column.mask == 0:
            raise DesignError(
                f"generators {_and(generators)} hold factor {letter} constant",
                fix="Multiply two or more other letters.",
            )
        if column.mask in seen:
            raise DesignError(
                f"generators {_and(generators)} alias {seen[column.mask]} with {letter} (resolution II)",
                value=tuple(generators),
                fix=f"Change the generator of {letter}: it must differ from every other column.",
            )
        seen[column.mask] = letter


def _reduced(words: Sequence[Word], generators: Sequence[str], letters: Sequence[str]) -> dict[str, Word]:
    """For each generated letter its word, in which no other generated letter stands."""
    taken: dict[str, Word] = {}
    order = {letter: i for i, letter in enumerate(letters)}
    for original, text in zip(words, generators, strict=True):
        word = original
        for letter, other in taken.items():
            if letter in word.letters:
                word = word * other
        left = text.partition("=")[0].strip() if "=" in text else ""
        pivot = left if left and left in word.letters else max(word.letters, key=lambda x: order[x])
        taken = {k: (w * word if pivot in w.letters else w) for k, w in taken.items()}
        taken[pivot] = word
    return taken


def _and(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
