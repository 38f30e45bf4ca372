"""The loops of writing in C beside those in numpy: the same words, states and slots, to the last bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldover.export import ans, models, native
from foldover.export.container import pack_artifact, read_artifact
from foldover.export.frequencies import TOTAL
from foldover.export.loops import Loops
from foldover.export.native import NativeLoops, first_difference
from foldover.export.parts import Part, StoredTensor


@pytest.fixture(scope="module")
def in_c() -> NativeLoops:
    found = native.loops()
    if not isinstance(found, NativeLoops):
        pytest.skip(found.note)
    return found


def every_frequency() -> np.ndarray:
    """Each frequency from 1 to TOTAL - 1, packed, at the bottom of its table and at its top."""
    frequencies = np.arange(1, TOTAL, dtype=np.uint32)
    return np.concatenate((frequencies, ((np.uint32(TOTAL) - frequencies) << np.uint32(16)) | frequencies))


def assert_same_words(in_c: NativeLoops, slots: np.ndarray, packed: np.ndarray, start: np.ndarray) -> None:
    states, expected = start.copy(), start.copy()
    words = in_c.encode_lanes(slots, packed, states)
    np.testing.assert_array_equal(words, Loops().encode_lanes(slots, packed, expected))
    np.testing.assert_array_equal(states, expected)


@given(st.integers(0, 2**32 - 1), st.integers(0, 5000), st.sampled_from([1, 2, 7, 8, 511, 512, 513, 2048]))
@settings(max_examples=60)
def test_words_of_any_frequencies_are_the_same(in_c: NativeLoops, seed: int, count: int, lanes: int) -> None:
    rng = np.random.default_rng(seed)
    packed = every_frequency()
    few = rng.choice(len(packed), size=rng.integers(1, 9))
    slots = few[(len(few) * rng.random(count) ** 4).astype(int)] if seed % 2 else rng.integers(0, len(packed), count)
    start = rng.integers(1 << 16, 1 << 32, size=lanes, dtype=np.uint32)
    assert_same_words(in_c, slots.astype(np.int32), packed, start)


def test_words_are_the_same_at_the_ends_of_every_quotient(in_c: NativeLoops) -> None:
    """States x = q f and q f - 1, where a quotient that is off by a hair would round to the wrong side."""
    frequencies = np.arange(1, TOTAL, dtype=np.uint64)
    for quotient in (5, 1000, (1 << 16) + 1, (1 << 18) - 1):
        for off in (0, 1):
            start = quotient * frequencies - np.uint64(off)
            fits = (start >= 1 << 16) & (start < 1 << 32)
            assert fits.any()
            slots = np.flatnonzero(fits).astype(np.int32)
            assert_same_words(in_c, slots, every_frequency(), start[fits].astype(np.uint32))


@pytest.mark.parametrize("slot", [-1, 3, 2**31 - 1])
def test_a_slot_that_is_not_there_is_refused(in_c: NativeLoops, slot: int) -> None:
    packed = every_frequency()[:3]
    with pytest.raises(IndexError, match="of 3"):
        in_c.encode_lanes(np.array([0, slot, 1], dtype=np.int32), packed, np.full(8, 1 << 16, dtype=np.uint32))


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["i1", "i2", "i4"]),
    st.sampled_from([(0, 0), (0, 5), (5, 0), (1, 1), (1, 300), (300, 1), (17, 65)]),
)
@settings(max_examples=60)
def test_slots_and_counts_are_the_same(in_c: NativeLoops, seed: int, kind: str, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    size = 255 if kind == "i1" else 2047
    low = -(size // 2)
    symbols = rng.integers(low, low + size, size=shape).astype(kind)
    by_row = (size * rng.integers(0, 9, size=shape[0])).astype(np.int32)
    by_column = (size * rng.integers(0, 9, size=shape[1]) - low).astype(np.int32)
    places = range(seed % 70_000, seed % 70_000 + 17 * size)
    out, expected = np.zeros((2, symbols.size), dtype=np.int32)
    counts = in_c.place_symbols(symbols, by_row, by_column, places, out)
    np.testing.assert_array_equal(counts, Loops().place_symbols(symbols, by_row, by_column, places, expected))
    np.testing.assert_array_equal(out, expected)
    assert counts.sum() == symbols.size


def test_a_symbol_without_a_place_is_refused_before_anything_is_written(in_c: NativeLoops) -> None:
    numbers, out = np.zeros(1, dtype=np.int32), np.zeros(1, dtype=np.int32)
    for symbol in (-1, 3):
        with pytest.raises(AssertionError):
            in_c.place_symbols(np.array([[symbol]], dtype=np.int8), numbers, numbers, range(3), out)


def adversarial() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    skewed = np.where(rng.random((300, 200)) < 0.0005, rng.integers(-127, 128, size=(300, 200)), 0)
    return {
        "empty": np.zeros((0, 4), dtype=np.int8),
        "one element": np.array([-3], dtype=np.int8),
        "one symbol": np.full((64, 64), 5, dtype=np.int8),
        "skewed": skewed.astype(np.int8),
        "every int16": rng.integers(-(2**15), 2**15, size=(90, 100)).astype(np.int16),
        "many rows": rng.integers(-4, 5, size=((1 << 16) + 3, 2)).astype(np.int8),
        "floats": (rng.normal(size=(257, 33)) * 10.0 ** rng.integers(-6, 4, size=(257, 1))).astype(np.float16),
        "spread": np.rint(rng.normal(size=(700, 300)) * np.exp2(rng.normal(size=(700, 1))))
        .clip(-31, 31)
        .astype(np.int8),
    }


@pytest.mark.parametrize("names", [*([name] for name in adversarial()), [*adversarial()]], ids=lambda n: "+".join(n))
def test_artifacts_are_the_same_with_and_without_c(
    in_c: NativeLoops, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = []
    for name in names:
        array = adversarial()[name]
        part = Part(name="part", array=array, kind="float" if array.dtype.kind == "f" else "codes")
        tensors.append(StoredTensor(name=name.replace(" ", "_"), shape=array.shape, scheme="any", parts=(part,)))
    written = []
    for found in (in_c, Loops()):
        for module in (ans, models):
            monkeypatch.setattr(module, "loops", lambda found=found: found)
        written.append(pack_artifact({}, tensors, codec="ans")[0])
    assert written[0] == written[1]
    for tensor, back in zip(sorted(tensors, key=lambda t: t.name), read_artifact(written[0]).tensors, strict=True):
        assert back.parts[0].array.tobytes() == tensor.parts[0].array.tobytes()


def test_without_a_compiler_numpy_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", str(tmp_path / "none"))
    found = native.loops.__wrapped__()
    assert type(found) is Loops
    assert "no C compiler" in found.note


def test_a_library_that_computes_something_else_is_found_out(
    in_c: NativeLoops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for right, wrong, what in (
        ("1.0 + 0x1p-48", "1.0 - 0x1p-28", "words"),
        ("low[i] = (uint16_t)x[i]", "low[i] = (uint16_t)(x[i] >> 16)", "words"),
        ("counts[slots[c] - first]++", "counts[slots[c] - first] += 2", "slots"),
    ):
        source = tmp_path / "wrong.c"
        text = native.SOURCE.read_text(encoding="utf-8")
        assert right in text
        source.write_text(text.replace(right, wrong), encoding="utf-8")
        monkeypatch.setenv("FOLDOVER_CACHE", str(tmp_path))
        monkeypatch.setattr(native, "SOURCE", source)
        found = native.loops.__wrapped__()
        assert type(found) is Loops
        assert f"differ from numpy: {what}" in found.note


def test_numpy_does_not_differ_from_itself() -> None:
    assert first_difference(Loops()) == ""
