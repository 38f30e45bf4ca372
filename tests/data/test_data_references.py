from __future__ import annotations

import math
from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldover.core import DataError
from foldover.data import PreparedData, load_sotu, witten_bell_bits

# Computed with another program; see the trivial baselines of the embedded corpus in the documentation.
SOTU_BITS = (4.3652, 3.4028, 2.6626, 2.0226, 1.6785, 1.5440, 1.5043, 1.5111)

TEXTS = st.lists(st.text("abn", max_size=12).map(str.encode), min_size=1, max_size=4).filter(any)


def plain_bits(train: list[bytes], val: list[bytes], order: int) -> float:
    """The same model with dictionaries, byte by byte."""
    counts: defaultdict[bytes, Counter[int]] = defaultdict(Counter)
    for text in train:
        padded = bytes(order) + text
        for i, byte in enumerate(text):
            for k in range(order + 1):
                counts[padded[i + order - k : i + order]][byte] += 1

    def p(context: bytes, byte: int) -> float:
        lower = p(context[1:], byte) if context else 1 / 256
        seen = counts.get(context)
        if seen is None:
            return lower
        return (seen[byte] + len(seen) * lower) / (seen.total() + len(seen))

    bits = 0.0
    for text in val:
        padded = bytes(order) + text
        for i, byte in enumerate(text):
            bits -= math.log2(p(padded[i : i + order], byte))
    return bits / sum(map(len, val))


@settings(max_examples=60)
@given(train=TEXTS, val=TEXTS, order=st.integers(0, 7))
def test_bits_agree_with_a_plain_loop(train: list[bytes], val: list[bytes], order: int) -> None:
    expected = [plain_bits(train, val, k) for k in range(order + 1)]
    assert witten_bell_bits(train, val, order) == pytest.approx(expected, rel=1e-12)


def test_the_embedded_corpus_has_its_published_lines() -> None:
    corpus = load_sotu()
    bits = witten_bell_bits([d.text for d in corpus.train], [d.text for d in corpus.val], 7)
    assert tuple(round(value, 4) for value in bits) == SOTU_BITS


def test_the_prepared_corpus_records_three_of_them(prepared: PreparedData) -> None:
    found = {name: round(prepared.references.number(name), 4) for name in prepared.references}
    assert found == {"order_0": SOTU_BITS[0], "order_2": SOTU_BITS[2], "order_6": SOTU_BITS[6]}


def test_contexts_do_not_cross_documents() -> None:
    apart = witten_bell_bits([b"ab", b"cd"], [b"bc"], 1)[1]
    together = witten_bell_bits([b"abcd"], [b"bc"], 1)[1]
    assert apart > together


def test_the_first_byte_is_predicted_from_how_documents_begin() -> None:
    # Order 0 gives a and b alike; as a beginning, a was seen twice and b never.
    bits = [witten_bell_bits([b"ab", b"ab"], [first], 1)[1] for first in (b"a", b"b")]
    assert bits[0] < bits[1]


def test_bytes_never_seen_are_possible() -> None:
    # C = 4, T = 1: p = (0 + 1/256) / 5.
    assert witten_bell_bits([b"aaaa"], [b"z"], 0)[0] == pytest.approx(math.log2(5 * 256))


def test_progress_ends_at_one() -> None:
    fractions: list[float] = []
    witten_bell_bits([b"ab"], [b"ab"], 3, progress=fractions.append)
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("order", [-1, 8])
def test_an_impossible_order_is_refused(order: int) -> None:
    with pytest.raises(DataError, match="0 to 7"):
        witten_bell_bits([b"a"], [b"a"], order)


@pytest.mark.parametrize(("train", "val"), [([b""], [b"a"]), ([b"a"], [])])
def test_a_side_without_bytes_is_refused(train: list[bytes], val: list[bytes]) -> None:
    with pytest.raises(DataError, match="needs bytes"):
        witten_bell_bits(train, val, 1)
