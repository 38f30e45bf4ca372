"""The coder against one of plain Python integers, and against the entropy of what it codes."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldover.core import ArtifactError
from foldover.export.ans import Tables, decode, encode, lanes_of, overhead_of, tail_of
from foldover.export.frequencies import TOTAL, cost_bits, to_frequencies, to_weights


def plain_encode(symbols: list[int], frequencies: list[int]) -> bytes:
    """One symbol after the other, from the last to the first, as the format is written down."""
    starts = [sum(frequencies[:s]) for s in range(len(frequencies))]

    def run(values: list[int], states: list[int]) -> list[int]:
        words: list[int] = []
        for i in reversed(range(len(values))):
            f, c, x = frequencies[values[i]], starts[values[i]], states[i % len(states)]
            if x >= f << 18:
                words.append(x & 0xFFFF)
                x >>= 16
            states[i % len(states)] = (x // f) * TOTAL + c + x % f
        return words[::-1]

    count = len(symbols)
    lanes, (tail, tail_lanes) = lanes_of(count), tail_of(count)
    tail_states = [1 << 16] * tail_lanes
    tail_words = run(symbols[count - tail :], tail_states)
    states = [(1 << 16) + word for word in (tail_words + [0] * lanes)[:lanes]]
    words = run(symbols[: count - tail], states) + tail_words[lanes:]
    return struct.pack(f"<{lanes + tail_lanes}I{len(words)}H", *states, *tail_states, *words)


def one_table(frequencies: np.ndarray) -> Tables:
    return Tables(frequencies=frequencies, starts=np.array([0, len(frequencies)], dtype=np.intp))


@pytest.mark.parametrize("count", [0, 1, 2, 47, 48, 49, 100, 5000, 40_000])
def test_streams_are_those_of_a_coder_written_with_plain_integers(count: int) -> None:
    rng = np.random.default_rng(count)
    frequencies = to_frequencies(to_weights(np.array([[1.0, 5.0, 30.0, 900.0, 31.0, 4.0, 2.0]])))[0]
    symbols = rng.choice(7, size=count, p=frequencies / TOTAL)
    stream = encode(symbols, one_table(frequencies).packed())
    assert stream == plain_encode(symbols.tolist(), frequencies.tolist())
    np.testing.assert_array_equal(decode(stream, one_table(frequencies), np.zeros(count, dtype=np.uint8)), symbols)


@given(st.integers(0, 2**32 - 1), st.integers(2, 400), st.integers(0, 3000), st.integers(1, 5))
@settings(max_examples=60)
def test_decoding_gives_back_what_was_encoded(seed: int, size: int, count: int, tables: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.exponential(size=(tables, size)) ** 4 * (rng.random((tables, size)) < 0.7)
    counts[:, 0] += 1e-6
    frequencies = to_frequencies(to_weights(counts))
    which = rng.integers(0, tables, count)
    symbols = np.array([rng.choice(size, p=frequencies[t] / TOTAL) for t in which], dtype=np.int64)
    held = Tables(frequencies=frequencies.ravel(), starts=np.arange(tables + 1, dtype=np.intp) * size)
    stream = encode(which * size + symbols, held.packed())
    np.testing.assert_array_equal(decode(stream, held, which), symbols)


def test_stream_is_as_long_as_entropy_and_overhead_say() -> None:
    rng = np.random.default_rng(0)
    shares = np.exp(-(np.arange(-20, 21) ** 2) / 50.0)
    shares /= shares.sum()
    symbols = rng.choice(41, size=300_000, p=shares)
    counts = np.bincount(symbols, minlength=41)
    frequencies = to_frequencies(to_weights(counts[None].astype(float)))[0]
    entropy = -sum(n * math.log2(n / len(symbols)) for n in counts if n) / 8
    cost = float(cost_bits(counts[None].astype(float), frequencies[None])[0]) / 8
    assert entropy < cost < entropy * 1.0002
    stream = encode(symbols, one_table(frequencies).packed())
    assert len(stream) == pytest.approx(cost + overhead_of(len(symbols)), abs=0.3 * overhead_of(len(symbols)))


def test_one_flipped_bit_anywhere_does_not_pass_for_the_same_symbols() -> None:
    rng = np.random.default_rng(3)
    frequencies = to_frequencies(np.array([[100, 120, 90, 60]], dtype=np.uint8))[0]
    tables, symbols, which = one_table(frequencies), rng.integers(0, 4, 2000), np.zeros(2000, dtype=np.uint8)
    stream = encode(symbols, tables.packed())
    survived = 0
    for at in range(0, len(stream), 7):
        damaged = bytearray(stream)
        damaged[at] ^= 1 << at % 8
        try:
            found = decode(bytes(damaged), tables, which)
        except ArtifactError:
            continue
        survived += 1
        assert (found != symbols).any()
    assert survived <= 1  # a change that ends in the right states by chance: one in 2**16


@pytest.mark.parametrize("damage", [lambda s: s[:-2], lambda s: s + b"\0\0", lambda s: s[:10], lambda s: s[:-1]])
def test_streams_of_another_length_are_refused(damage) -> None:
    frequencies = to_frequencies(np.array([[100, 120, 90, 60]], dtype=np.uint8))[0]
    symbols = np.random.default_rng(0).integers(0, 4, 3000)
    stream = encode(symbols, one_table(frequencies).packed())
    with pytest.raises(ArtifactError):
        decode(damage(stream), one_table(frequencies), np.zeros(3000, dtype=np.uint8))


@given(st.lists(st.integers(0, 10**9), min_size=2, max_size=300).filter(any))
@settings(max_examples=100)
def test_frequencies_add_up_and_leave_no_symbol_out(counts: list[int]) -> None:
    frequencies = to_frequencies(to_weights(np.array([counts], dtype=float)))[0].astype(int)
    assert frequencies.sum() == TOTAL
    assert all(f > 0 for f, n in zip(frequencies, counts, strict=True) if n)
    assert frequencies.max() < TOTAL


def test_weights_keep_five_significant_bits() -> None:
    counts = np.array([[1000.0, 333.0, 77.0, 12.5, 1.0, 0.0]])
    frequencies = to_frequencies(to_weights(counts))[0]
    np.testing.assert_allclose(frequencies[:4] / TOTAL, counts[0, :4] / counts.sum(), rtol=1 / 31)
    assert frequencies[5] == 0


@pytest.mark.parametrize("weights", [[[0, 0, 0]], [[5]], [[1] * 20_000]])
def test_impossible_tables_are_refused(weights: list[list[int]]) -> None:
    with pytest.raises(ArtifactError):
        to_frequencies(np.array(weights, dtype=np.uint8))


def test_lanes_grow_with_the_stream_and_have_bounds() -> None:
    assert [lanes_of(n) for n in (0, 10_000, 100_000, 1 << 20, 1 << 22, 1 << 30)] == [8, 8, 32, 512, 2048, 2048]
    assert tail_of(20) == (20, 1)
    assert tail_of(1 << 20) == (6 * 512, 8)
