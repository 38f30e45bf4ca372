"""The symbol models against codes whose distribution is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from foldover.export.container import pack_artifact, read_artifact
from foldover.export.integers import choose_split, from_integers, to_integers
from foldover.export.models import model_symbols
from foldover.export.parts import Part, StoredTensor
from foldover.export.sizes import entropy_bytes
from foldover.export.spreads import RESOLUTION, measure_spreads, round_levels
from foldover.export.tables import build_family


def planted(
    rows: int, columns: int, *, row_spread: float, column_spread: float, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Codes, and the standard deviation of each before rounding."""
    rng = np.random.default_rng(seed)
    sigma = (
        4.0 * np.exp(row_spread * rng.normal(size=(rows, 1))) * np.exp(column_spread * rng.normal(size=(1, columns)))
    )
    return np.rint(sigma * rng.normal(size=(rows, columns))).clip(-127, 127).astype(np.int8), sigma


def ideal_bytes(codes: np.ndarray, sigma: np.ndarray) -> float:
    """What codes take that know the standard deviation of each number."""
    below = (codes - 0.5) / sigma / math.sqrt(2)
    above = (codes + 0.5) / sigma / math.sqrt(2)
    erf = np.vectorize(math.erf)
    return float(-np.log2(np.maximum((erf(above) - erf(below)) / 2, 1e-12)).sum() / 8)


def coded_bytes(codes: np.ndarray) -> int:
    part = Part(name="codes", array=codes, kind="codes")
    return len(
        pack_artifact({}, [StoredTensor(name="t", shape=codes.shape, scheme="grid", parts=(part,))], codec="ans")[0]
    )


@pytest.mark.parametrize(("row_spread", "column_spread"), [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.4, 0.4)])
def test_codes_take_little_more_than_if_their_spreads_were_known(row_spread: float, column_spread: float) -> None:
    codes, sigma = planted(512, 512, row_spread=row_spread, column_spread=column_spread)
    ideal = ideal_bytes(codes, sigma)
    # Beside the codes: levels of 1,024 rows and columns of some three bits, tables, and header and coder.
    assert ideal < coded_bytes(codes) < 1.006 * ideal + 1000


def test_spreads_of_rows_and_columns_gain_what_they_should() -> None:
    codes, _ = planted(512, 512, row_spread=0.4, column_spread=0.4)
    assert coded_bytes(codes) < 0.95 * entropy_bytes(codes)


def test_measured_spreads_are_the_planted_ones() -> None:
    rng = np.random.default_rng(1)
    rows, columns = np.exp2(rng.normal(size=300)), np.exp2(0.5 * rng.normal(size=400))
    codes = np.rint(8 * rows[:, None] * columns * rng.normal(size=(300, 400))).astype(np.int16)
    by_row, by_column = measure_spreads(codes)
    wanted = np.log2(columns) - np.log2(columns).mean()
    assert np.abs(by_column / RESOLUTION - wanted).max() < 0.35
    assert np.corrcoef(by_row, np.log2(rows))[0, 1] > 0.997
    level = np.log2(8 * rows) + np.log2(columns).mean()
    assert np.abs(by_row / RESOLUTION - level).mean() < 0.06


def test_levels_without_gain_are_not_stored() -> None:
    rng = np.random.default_rng(0)
    noise = 3.0 + 0.05 * rng.normal(size=256)
    assert not round_levels(noise, 256, []).is_stored
    assert round_levels(3.0 + 8.0 * rng.normal(size=256), 256, []).is_stored


def test_levels_are_told_from_those_of_the_same_units() -> None:
    rng = np.random.default_rng(0)
    first = np.rint(8 * rng.normal(size=512)).astype(np.int64)
    other = np.rint(8 * rng.normal(size=512)).astype(np.int64)
    found = round_levels(first + 20.0 + 0.3 * rng.normal(size=512), 256, [(4, other), (7, first)])
    assert found.reference == 7
    assert np.abs(found.levels - first - 20).max() <= 2


def test_tables_are_shared_where_they_save_less_than_they_cost() -> None:
    rng = np.random.default_rng(0)
    shares = np.exp(-(np.arange(-15, 16) ** 2) / 50.0)
    counts = np.stack([rng.multinomial(n, shares / shares.sum()) for n in (900, 1000, 0, 1100)]).astype(float)
    assert build_family(counts, low=-15, shift=0).record.tables == 1
    wide = np.exp(-(np.arange(-15, 16) ** 2) / 8.0)
    counts[3] = rng.multinomial(1100, wide / wide.sum())
    found = build_family(counts, low=-15, shift=0)
    assert found.record.tables == 2
    assert found.table_of_id.tolist() == [0, 0, 0, 1] or found.table_of_id.tolist() == [0, 0, 1, 1]


def test_tables_of_even_codes_are_mirrored_and_of_others_not() -> None:
    even = np.array([[10.0, 50.0, 200.0, 52.0, 9.0]])
    assert build_family(even, low=-2, shift=0).record.is_half
    assert not build_family(np.array([[900.0, 50.0, 200.0, 5.0, 1.0]]), low=-2, shift=0).record.is_half
    assert not build_family(even, low=0, shift=0).record.is_half


def test_integers_of_float16_keep_the_order_of_values() -> None:
    everything = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = np.sort(everything[np.isfinite(everything)])
    values = to_integers(finite).astype(int)
    assert (np.diff(values) >= 0).all()
    assert len(np.unique(to_integers(everything))) == 2**16
    back = from_integers(to_integers(everything).astype(np.int64), "float16")
    np.testing.assert_array_equal(back.view(np.uint16), everything.view(np.uint16))


def test_low_bits_of_float16_are_split_off_and_those_of_codes_kept() -> None:
    rng = np.random.default_rng(0)
    scales = to_integers(rng.uniform(0.01, 0.02, 2000).astype(np.float16))
    assert choose_split(scales, is_float=True)[1] >= 4
    assert choose_split(np.array([-31, 5, 31], dtype=np.int8), is_float=False) == (0, 0)
    center, shift = choose_split(np.array([-32768, 0, 32767], dtype=np.int16), is_float=False)
    assert (center, shift) == (0, 6)


@pytest.mark.parametrize("extent", [1023, 1024, 2047, 4095, 16_385, 32_700, 32_767, 32_768])
def test_codes_of_any_extent_are_read_back(extent: int) -> None:
    """Low bits are split off until a reader takes the number of symbols: ranges just below a power of two, too."""
    for ends in ((-extent, extent), (-extent, 0), (0, extent)):
        codes = np.array([[0, *ends]]).clip(-(2**15), 2**15 - 1).astype(np.int16)
        part = Part(name="codes", array=codes, kind="codes")
        tensor = StoredTensor(name="t", shape=codes.shape, scheme="grid", parts=(part,))
        data, _ = pack_artifact({}, [tensor], codec="ans")
        np.testing.assert_array_equal(read_artifact(data).tensors[0].parts[0].array, codes)


def test_costs_of_parts_add_up_to_the_stream() -> None:
    from foldover.export.ans import overhead_of
    from foldover.export.coded import stream_bytes

    arrays = [planted(200, 300, row_spread=0.3, column_spread=0.3, seed=s)[0] for s in range(3)]
    arrays.append(np.random.default_rng(0).normal(size=(1, 999)).astype(np.float16))
    modelled = model_symbols(arrays)
    assert len(modelled.bits) == 4
    expected = sum(modelled.bits) / 8 + overhead_of(modelled.count)
    assert len(stream_bytes(modelled)) == pytest.approx(expected, rel=0.0005)
