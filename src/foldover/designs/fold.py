"""Fold-over and semifold: a second set of runs with signs reversed, to separate what the first aliases.

A defining word survives if it has an even number of reversed letters (Box and Hunter 1961, Technometrics 3;
Mee and Peralta 2000, Technometrics 42, for half of the second set).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from foldover.core import Design, DesignError, Row, Values
from foldover.designs.alias import alias_sets, clear_effects, is_listable
from foldover.designs.estimable import matrix_rank
from foldover.designs.gf2 import Word, by_length, columns_of, defining_words, generator_words, wordlength_pattern
from foldover.designs.model import expand_model, model_columns, model_matrix
from foldover.designs.order import randomize

# 2^10 classes of reversals are compared in a moment.
_MAX_GENERATORS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldOption:
    """A fold-over: reversed letters, the words that are left, and what becomes clear."""

    reverse: str
    words: tuple[str, ...]
    resolution: int | None
    pattern: tuple[int, ...]
    clear_main: int
    clear_two_factor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SemifoldOption:
    """A semifold: `reverse` reversed in the rows where `subset` is at `level`, and the rank it gives.

    rank: of the mean, main effects and two-factor interactions; base_rank: before; full_rank: after the
    whole fold-over on `reverse`.
    """

    reverse: str
    subset: str
    level: int
    rank: int
    base_rank: int
    full_rank: int


def fold_over(design: Design, reverse: str = "all") -> Design:
    """The design and a second half with the signs of `reverse` changed, as a block of its own.

    reverse: `all`, or letters. Only factorial rows are folded; they are labelled f01, f02, ... and run after
    the others. Words, resolution and aliases are those of the whole.
    Raises DesignError where nothing would change (every word has an even number of the letters), for
    a full factorial, and for factors that are not at -1 and +1.
    """
    letters = _reversed_letters(design, reverse)
    kept: tuple[str, ...] = ()
    if design.kind != "plackett_burman":
        kept = _surviving(design, letters)
        if len(kept) == len(design.generators):
            raise _changes_nothing(design, reverse)
    whole = _with_added(design, _flipped(design, letters, _factorial_rows(design)), reverse=letters, kind="foldover")
    words = tuple(str(w) for w in defining_words(generator_words(kept))) if is_listable(len(kept)) else ()
    return replace(
        whole,
        generators=kept,
        words=words,
        resolution=min((len(Word.parse(w)) for w in words), default=None),
        aliases=alias_sets(design.letters, kept) if design.generators else (),
    )


def semifold(design: Design, reverse: str, *, subset: str, level: int = 1) -> Design:
    """Half a fold-over: only the rows with factor `subset` at `level` (-1 or +1) are repeated with signs changed.

    The result is not orthogonal: analyse it by least squares, and look at `evaluate_design`.
    Raises DesignError as `fold_over`.
    """
    letters = _reversed_letters(design, reverse)
    if level not in (-1, 1):
        raise DesignError("a subset is taken at level -1 or +1", value=level)
    place = design.letters.index(design.factor(subset).letter)
    rows = [row for row in _factorial_rows(design) if row.levels[place] == level]
    whole = _with_added(design, _flipped(design, letters, rows), reverse=letters, kind="semifold")
    note = f"not orthogonal: {len(rows)} rows with {subset} at {level:+d} repeated with {letters} reversed"
    request = whole.request.with_(subset=subset, subset_level=level)
    return replace(
        whole, generators=(), words=(), resolution=None, aliases=(), request=request, notes=(*design.notes, note)
    )


def fold_over_options(design: Design, most: int = 64) -> tuple[FoldOption, ...]:
    """The `most` best of all fold-overs that differ: best word-length pattern first, then most clear interactions.

    Reversing a generated factor changes its own word alone, so the subsets of the generated factors are all
    classes (Li and Lin 2003, Technometrics 45). Raises DesignError for designs without words or too many.
    """
    if not design.generators:
        raise DesignError("the design has no defining words, so there is nothing to fold", value=design.kind)
    if len(design.generators) > _MAX_GENERATORS:
        raise DesignError("there are too many fold-overs to compare", value=2 ** len(design.generators))
    columns = columns_of(design.letters, design.generators)
    generated = [letter for letter, column in columns.items() if column.mask.bit_count() > 1]
    classes = ["".join(c) for size in range(1, len(generated) + 1) for c in itertools.combinations(generated, size)]
    words = defining_words(generator_words(design.generators))
    classes.sort(key=lambda letters: _left_lengths(words, letters))
    options = [_option(design, letters) for letters in classes[:most]]
    # Reversing everything is the easiest to explain, so it stands for its class.
    everything = _option(design, "".join(design.letters))
    options = [replace(o, reverse="all") if o.words == everything.words else o for o in options]
    return tuple(sorted(options, key=lambda o: (o.pattern, -o.clear_two_factor, len(o.reverse), o.reverse)))


def best_fold_over(design: Design) -> Design:
    """The fold-over with the best combined word-length pattern."""
    return fold_over(design, fold_over_options(design)[0].reverse)


def semifold_options(design: Design) -> tuple[SemifoldOption, ...]:
    """Semifolds on single factors with the rank of mean, main effects and interactions, largest rank first."""
    base = _rank(design, [row.levels for row in design.rows])
    full = {
        x: _rank(design, _levels(_with_added(design, _flipped(design, x, design.rows), x, "foldover")))
        for x in design.letters
    }
    options = []
    for reverse, subset, level in itertools.product(design.letters, design.letters, (1, -1)):
        rank = _rank(design, _levels(semifold(design, reverse, subset=subset, level=level)))
        options.append(
            SemifoldOption(
                reverse=reverse, subset=subset, level=level, rank=rank, base_rank=base, full_rank=full[reverse]
            )
        )
    return tuple(sorted(options, key=lambda o: -o.rank))


def _left_lengths(words: Sequence[Word], letters: str) -> list[int]:
    """How many words of 3, 4, ... letters have an even number of these letters."""
    flips = Word.parse(letters).mask
    counts = [0] * (max(len(word) for word in words) + 1)
    for word in words:
        if (word.mask & flips).bit_count() % 2 == 0:
            counts[len(word)] += 1
    return counts


def _option(design: Design, letters: str) -> FoldOption:
    kept = _surviving(design, letters)
    words = tuple(str(word) for word in defining_words(generator_words(kept)))
    clear = clear_effects(design.letters, kept)
    return FoldOption(
        reverse=letters,
        words=words,
        resolution=min((len(Word.parse(w)) for w in words), default=None),
        pattern=wordlength_pattern(words, len(design.factors)),
        clear_main=len(clear.main),
        clear_two_factor=len(clear.two_factor),
    )


def _surviving(design: Design, letters: str) -> tuple[str, ...]:
    """Words that generate the defining relation of both halves together."""
    if not design.generators:
        raise DesignError(
            f"a {design.kind} design has no aliases that a fold-over could break",
            value=design.name,
            fix="Replicate it, or add centre or axial points.",
        )
    flips = Word.parse(letters).mask
    words = generator_words(design.generators, design.letters)
    odd = [word for word in words if (word.mask & flips).bit_count() % 2]
    even = [word for word in words if (word.mask & flips).bit_count() % 2 == 0]
    even += [word * odd[0] for word in odd[1:]]
    return tuple(str(word) for word in sorted(even, key=by_length))


def _changes_nothing(design: Design, reverse: str) -> DesignError:
    single = [x for x in design.letters if any(x in word for word in design.words)]
    fix = f"Reverse a single factor, e.g. {single[0]}." if single and reverse == "all" else "Reverse other letters."
    return DesignError(
        f"folding over on {reverse} repeats the same runs: each defining word has an even number of these letters",
        value=design.words[:8],
        fix=fix,
    )


def _reversed_letters(design: Design, reverse: str) -> str:
    letters = "".join(design.letters) if reverse == "all" else reverse
    if not letters or len(set(letters)) != len(letters):
        raise DesignError("a fold-over reverses one or more different letters", value=reverse)
    for letter in letters:
        if design.factor(letter).num_levels > 2:
            raise DesignError(f"factor {letter} has more than two levels and cannot be reversed", value=reverse)
    return letters


def _factorial_rows(design: Design) -> list[Row]:
    rows = [row for row in design.rows if row.kind == "factorial"]
    if not rows or any(abs(x) != 1 for row in rows for x in row.levels):
        raise DesignError("only rows at -1 and +1 can be folded over", value=design.kind)
    return rows


def _flipped(design: Design, letters: str, rows: Sequence[Row]) -> list[Row]:
    signs = [-1.0 if letter in letters else 1.0 for letter in design.letters]
    width = max(2, len(str(len(rows))))
    return [
        Row(
            label=f"f{i + 1:0{width}d}",
            levels=tuple(s * x for s, x in zip(signs, row.levels, strict=True)),
            order=i,
            block=f"{row.block} foldover".strip(),
        )
        for i, row in enumerate(rows)
    ]


def _with_added(design: Design, added: Sequence[Row], reverse: str, kind: str) -> Design:
    """Old rows keep their order and become a block if they were none; new ones follow in a random order."""
    old = tuple(row if row.block else replace(row, block="original") for row in design.rows)
    new = tuple(added)
    if design.seed is not None:
        new = randomize(replace(design, rows=new), design.seed).rows
    new = tuple(replace(row, order=len(old) + row.order) for row in new)
    request = Values({**design.request, "reverse": reverse})
    return replace(design, kind=kind, rows=(*old, *new), parent=design.name, request=request)


def _levels(design: Design) -> list[tuple[float, ...]]:
    return [row.levels for row in design.rows]


def _rank(design: Design, levels: Sequence[Sequence[float]]) -> int:
    columns = model_columns(design.factors, expand_model("main+2fi", design.factors))
    return matrix_rank(model_matrix(design.factors, levels, columns))
