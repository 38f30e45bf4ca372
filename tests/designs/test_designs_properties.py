"""Properties that hold for every design, checked on designs that hypothesis makes up."""

import itertools
import math

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from foldover.core import Design, DesignError, Factor, Row, Values
from foldover.designs import (
    ALPHABET,
    Word,
    alias_sets,
    block,
    defining_relation,
    estimability,
    fold_over,
    fractional_factorial,
    from_csv,
    from_json,
    full_factorial,
    randomize,
    replicate,
    resolution,
    to_csv,
    to_json,
    wordlength_pattern,
    wordlength_pattern_of_columns,
)
from foldover.designs.gf2 import columns_of


def _factors(n):
    return tuple(Factor(letter=x, lever=f"lever.{x}", low=0.0, high=1.0) for x in ALPHABET[:n])


@st.composite
def generator_sets(draw, *, least_length=2):
    """Generators of a fraction of 3 to 9 factors in 4 to 32 runs, with signs, resolution III or more."""
    num_basic = draw(st.integers(max(2, least_length), 5))
    products = [c for c in range(1, 1 << num_basic) if c.bit_count() >= least_length]
    columns = draw(st.lists(st.sampled_from(products), min_size=1, max_size=min(4, len(products)), unique=True))
    signs = draw(st.lists(st.sampled_from(["", "-"]), min_size=len(columns), max_size=len(columns)))
    return num_basic + len(columns), tuple(
        f"{ALPHABET[num_basic + i]}={sign}" + "".join(ALPHABET[j] for j in range(num_basic) if column >> j & 1)
        for i, (column, sign) in enumerate(zip(columns, signs, strict=True))
    )


@settings(max_examples=60)
@given(generator_sets())
def test_columns_of_a_regular_fraction_are_orthogonal_and_balanced(made):
    k, generators = made
    columns = list(
        zip(*(row.levels for row in fractional_factorial(_factors(k), generators=generators).rows), strict=True)
    )
    assert all(sum(column) == 0 for column in columns)
    assert all(_dot(a, b) == 0 for a, b in _pairs(columns))


@settings(max_examples=60)
@given(generator_sets())
def test_defining_words_with_the_identity_form_a_group(made):
    words = {Word.parse(word) for word in defining_relation(made[1])} | {Word(mask=0)}
    assert len(words) == 2 ** len(made[1])
    assert all(a * b in words for a, b in itertools.product(words, repeat=2))


@settings(max_examples=60)
@given(generator_sets())
def test_every_defining_word_is_constant_over_the_rows(made):
    k, generators = made
    design = fractional_factorial(_factors(k), generators=generators)
    for word in map(Word.parse, design.words):
        products = {math.prod(row.levels[ALPHABET.index(x)] for x in word.letters) for row in design.rows}
        assert products == {float(word.sign)}


@settings(max_examples=60)
@given(generator_sets())
def test_pattern_from_the_words_is_that_from_the_runs(made):
    k, generators = made
    masks = [word.mask for word in columns_of(ALPHABET[:k], generators).values()]
    pattern = wordlength_pattern(defining_relation(generators), k)
    assert wordlength_pattern_of_columns(masks, k - len(generators)) == pattern


@settings(max_examples=60)
@given(generator_sets())
def test_aliasing_is_mutual(made):
    k, generators = made
    aliases = {e: {w.lstrip("-") for w in others} for e, others in alias_sets(ALPHABET[:k], generators)}
    assert all(effect in aliases[other] for effect, others in aliases.items() for other in others if other in aliases)


@settings(max_examples=60)
@given(generator_sets())
def test_rank_counts_the_alias_sets_of_main_effects_and_interactions(made):
    k, generators = made
    design = fractional_factorial(_factors(k), generators=generators)
    columns = columns_of(design.letters, generators)
    masks = [w.mask for w in columns.values()]
    distinct = {0, *masks, *(a ^ b for a, b in itertools.combinations(masks, 2))}
    assert estimability(design, "main+2fi").rank == len(distinct)


@settings(max_examples=60)
@given(generator_sets())
def test_full_fold_over_of_resolution_iii_is_iv(made):
    k, generators = made
    design = fractional_factorial(_factors(k), generators=generators)
    assume(design.resolution == 3)
    folded = fold_over(design)
    assert folded.resolution is None or folded.resolution >= 4
    assert folded.resolution == resolution(folded.words)


@settings(max_examples=60)
@given(generator_sets(), st.data())
def test_words_of_a_fold_over_hold_in_both_halves(made, data):
    k, generators = made
    design = fractional_factorial(_factors(k), generators=generators)
    letters = "".join(data.draw(st.lists(st.sampled_from(design.letters), min_size=1, unique=True)))
    try:
        folded = fold_over(design, letters)
    except DesignError:
        assert {row.levels for row in design.rows} == {
            tuple(-x if f in letters else x for f, x in zip(design.letters, row.levels, strict=True))
            for row in design.rows
        }
        return
    assert len({row.levels for row in folded.rows}) == 2 * len(design.rows)
    for word in map(Word.parse, folded.words):
        products = {math.prod(row.levels[ALPHABET.index(x)] for x in word.letters) for row in folded.rows}
        assert products == {float(word.sign)}


@settings(max_examples=60)
@given(st.integers(3, 5), st.integers(1, 2), st.integers(0, 10**6))
def test_blocks_of_a_full_factorial_are_balanced_in_every_factor(k, b, seed):
    blocked = block(full_factorial(_factors(k)), 2**b, seed=seed)
    for name in {row.block for row in blocked.rows}:
        rows = [row.levels for row in blocked.rows if row.block == name]
        assert len(rows) == 2 ** (k - b)
        assert all(sum(column) == 0 for column in zip(*rows, strict=True))


@settings(max_examples=60)
@given(st.integers(1, 5), st.integers(0, 10**9), st.integers(2, 3))
def test_run_order_is_always_a_permutation(k, seed, times):
    design = replicate(full_factorial(_factors(k), seed=seed), times)
    assert sorted(row.order for row in design.rows) == list(range(times * 2**k))
    assert randomize(randomize(design, seed + 1), seed) == design


_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
_NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: x + 0.0)


@st.composite
def factors_of_any_kind(draw, letter):
    kind = draw(st.sampled_from(["float", "int", "log", "pow2", "choice", "listed"]))
    lever = f"part.{draw(st.sampled_from(['lr', 'depth', 'kind']))}_{letter.lower()}"
    if kind == "choice":
        names = draw(
            st.lists(st.sampled_from(["a", "b,c", 'say "d"', "e;f", "g"]), min_size=2, max_size=4, unique=True)
        )
        return Factor(letter=letter, lever=lever, low=names[0], high=names[-1], levels=tuple(names), kind="choice")
    if kind == "pow2":
        low = draw(st.integers(0, 10))
        return Factor(letter=letter, lever=lever, low=2**low, high=2 ** (low + 3), kind="int", scale="pow2")
    if kind == "int":
        low = draw(st.integers(-50, 50))
        return Factor(letter=letter, lever=lever, low=low, high=low + draw(st.integers(1, 40)), kind="int")
    if kind == "listed":
        levels = tuple(sorted(draw(st.lists(st.integers(1, 99), min_size=3, max_size=5, unique=True))))
        return Factor(letter=letter, lever=lever, low=levels[0], high=levels[-1], levels=levels, kind="int")
    low = draw(st.floats(1e-6, 1e3))
    scale = "log" if kind == "log" else "linear"
    return Factor(letter=letter, lever=lever, low=low, high=low * draw(st.floats(1.5, 100)), scale=scale)


@st.composite
def designs_of_any_kind(draw):
    factors = tuple(draw(factors_of_any_kind(letter)) for letter in "ABC"[: draw(st.integers(1, 3))])
    rows = []
    for i in range(draw(st.integers(1, 5))):
        levels = tuple(
            draw(st.sampled_from(f.coded_levels()) if f.kind == "choice" else st.floats(-1.5, 1.5)) for f in factors
        )
        kind = draw(st.sampled_from(["factorial", "center", "axial", "edge", "anchor", "free"]))
        rows.append(
            Row(
                label=f"c{i}", levels=levels, order=i, block=draw(_TEXT), kind=kind, whole_plot=draw(_TEXT), replicate=1
            )
        )
    return Design(
        name=draw(_TEXT),
        kind="explicit",
        factors=factors,
        rows=tuple(rows),
        seed=draw(st.none() | st.integers(0, 99)),
        notes=tuple(draw(st.lists(_TEXT, max_size=2))),
        request=Values(alpha=draw(_NUMBERS), name=draw(_TEXT)),
    )


@settings(max_examples=60)
@given(designs_of_any_kind())
def test_json_round_trip_of_any_design(design):
    assert from_json(to_json(design)) == design


@settings(max_examples=60)
@given(designs_of_any_kind())
def test_csv_round_trip_of_any_design(design):
    assert from_csv(to_csv(design)) == design


def _pairs(columns):
    return itertools.combinations(columns, 2)


def _dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))
