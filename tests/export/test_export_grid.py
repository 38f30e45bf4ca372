"""Steps and codes: F1, F2, F3 of levers.md, and the formats of E8."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from foldover.export.grid import encode, make_steps, narrowed, weighted_error
from foldover.export.quantize import Inputs, quantize, stored_grid
from foldover.export.restore import restore_tensor
from foldover.export.scheme import Scheme
from foldover.export.tensors import TensorInfo

INFO = TensorInfo(name="w", role="matrix")
WIDTHS = {"int8": 127, "int7": 63, "int6": 31, "int5": 15, "int4": 7, "int3": 3, "int2": 1}


def gaussian(rows: int = 64, columns: int = 4096, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 0.02, (rows, columns)).astype(np.float32)


def restored(weights: np.ndarray, scheme: Scheme) -> np.ndarray:
    return restore_tensor(stored_grid(INFO, weights.shape, scheme, quantize("w", weights, scheme, Inputs())))


def entropy_bits(codes: np.ndarray) -> float:
    _, counts = np.unique(codes, return_counts=True)
    return -sum(n / codes.size * math.log2(n / codes.size) for n in counts.tolist())


def relative(weights: np.ndarray, values: np.ndarray) -> float:
    exact = weights.astype(np.float64)
    return float(((exact - values) ** 2).sum() / (exact**2).sum())


@pytest.mark.parametrize(("kind", "top"), WIDTHS.items())
def test_a_row_is_a_whole_number_of_float16_steps_and_errs_by_half_a_step(kind: str, top: int) -> None:
    weights = gaussian(7, 33)
    for row, values in zip(weights, restored(weights, Scheme(format=kind)), strict=True):
        step = float(np.float16(np.abs(row.astype(np.float64)).max() / top))
        for weight, value in zip(row, values, strict=True):
            code = round(float(value) / step)
            assert value == np.float32(code) * np.float32(step)
            assert abs(code) <= top
            # a step that float16 rounded down leaves the largest weight a little outside
            assert abs(weight - value) <= step / 2 * 1.001 + max(0.0, abs(weight) - top * step)


@pytest.mark.parametrize(
    ("kind", "bits", "error"),
    [("int8", 7.27, 6.2e-5), ("int6", 5.23, 1.04e-3), ("int5", 4.19, 4.4e-3), ("int4", 3.10, 2.0e-2)],
)
def test_rate_and_error_of_gaussian_rows_by_their_largest_weight(kind: str, bits: float, error: float) -> None:
    weights = gaussian(256, 512)
    found = quantize("w", weights, Scheme(format=kind), Inputs())
    assert entropy_bits(found.codes) == pytest.approx(bits, abs=0.08)
    assert relative(weights, found.values()) == pytest.approx(error, rel=0.12)


@pytest.mark.parametrize(
    ("kind", "sigmas", "theory", "bits", "error"),
    [
        ("int6", 12.85, 3.318, 3.328, 1.43e-2),
        ("int6", 12.0, 3.416, 3.426, 1.25e-2),
        ("int6", 11.5, 3.478, 3.486, 1.15e-2),
        ("int7", 15.0, 4.117, 4.121, 4.7e-3),
        ("int7", 14.0, 4.217, 4.220, 4.1e-3),
        ("int8", 20.0, 4.714, 4.715, 2.1e-3),
    ],
)
def test_sdclip_has_the_published_entropies(kind: str, sigmas: float, theory: float, bits: float, error: float) -> None:
    weights = gaussian(128, 8192)
    found = quantize("w", weights, Scheme(format=kind, clip="sdclip", sigmas=sigmas), Inputs())
    assert 0.5 * math.log2(2 * math.pi * math.e) - math.log2(sigmas / WIDTHS[kind]) == pytest.approx(theory, abs=1e-3)
    assert entropy_bits(found.codes) == pytest.approx(bits, abs=4e-3)
    assert relative(weights, found.values()) == pytest.approx(error, rel=0.02)
    assert found.clipped == 0.0


def test_twice_the_sigmas_are_one_bit_less() -> None:
    weights = gaussian(128, 4096)
    bits = [
        entropy_bits(quantize("w", weights, Scheme(format="int8", clip="sdclip", sigmas=k), Inputs()).codes)
        for k in (10.0, 20.0)
    ]
    assert bits[0] - bits[1] == pytest.approx(1.0, abs=0.02)


def test_sdclip_steps_follow_the_rows_standard_deviations() -> None:
    weights = gaussian(4, 1024) * np.array([[1], [2], [4], [0.5]], dtype=np.float32)
    steps = make_steps(weights, Scheme(format="int6", clip="sdclip", sigmas=12.85))
    expected = [12.85 * row.astype(np.float64).std() / 31 for row in weights]
    np.testing.assert_allclose(steps.values[:, 0], expected, rtol=2**-11)


def test_hessian_aware_clips_widen_rows_that_meet_large_inputs_and_are_plain_at_zero() -> None:
    weights = np.ones((2, 4), dtype=np.float32) * [[1, -1, 0.1, -0.1], [0.1, -0.1, 1, -1]]
    weights = weights.astype(np.float32)
    importance = np.array([4.0, 4.0, 1.0, 1.0])
    plain = Scheme(format="int6", clip="sdclip", sigmas=4.0)
    aware = Scheme(format="int6", clip="sdclip", sigmas=4.0, hessian_clip_lambda=0.5)
    relative = np.array([(1 + 1) * 4 + 0.2 * 1, 0.2 * 4 + (1 + 1) * 1]) / 4 / 2.5
    factor = 1 + 0.5 * (relative / relative.mean() - 1)
    base = make_steps(weights, plain, importance=importance).values
    np.testing.assert_allclose(
        make_steps(weights, aware, importance=importance).values / base, factor[:, None], rtol=2e-3
    )
    zero = Scheme(format="int6", clip="sdclip", sigmas=4.0, hessian_clip_lambda=0.0)
    assert np.array_equal(make_steps(weights, zero, importance=importance).scales, make_steps(weights, plain).scales)


@pytest.mark.parametrize("clip", ["search", "search_tensor"])
@pytest.mark.parametrize("axis", ["row", "column", "group", "tensor"])
def test_a_clip_search_never_errs_more_than_the_largest_weight(clip: str, axis: str) -> None:
    weights = np.random.default_rng(3).standard_t(2.5, (24, 600)).astype(np.float32)
    group = 100 if axis == "group" else 0
    searched = restored(weights, Scheme(format="int5", clip=clip, axis=axis, group=group))
    plain = restored(weights, Scheme(format="int5", axis=axis, group=group))
    assert weighted_error(weights, searched, None) < weighted_error(weights, plain, None)
    uniform = np.random.default_rng(3).uniform(-1, 1, (24, 600)).astype(np.float32)
    assert weighted_error(uniform, restored(uniform, Scheme(format="int5", clip=clip)), None) <= weighted_error(
        uniform, restored(uniform, Scheme(format="int5")), None
    )


def test_a_search_by_row_takes_the_best_of_the_candidates_for_each_row() -> None:
    weights = np.random.default_rng(5).standard_t(3, (6, 2000)).astype(np.float32)
    found = make_steps(weights, Scheme(format="int4", clip="search")).values[:, 0]
    for row, step in zip(weights.astype(np.float64), found, strict=True):
        errors = {}
        for quantile in (0.999, 0.9995, 0.9999, 0.99999, 1.0):
            candidate = float(np.float16(np.quantile(np.abs(row), quantile) / 7))
            codes = np.clip(np.rint(row / candidate), -7, 7)
            errors[candidate] = ((row - codes * candidate) ** 2).sum()
        assert errors[float(step)] == pytest.approx(min(errors.values()), rel=1e-5)


def test_a_search_weighs_errors_by_the_inputs() -> None:
    weights = gaussian(1, 400, seed=1)
    weights[0, 0] = 0.5  # an outlier in a column that matters
    importance = np.ones(400)
    importance[0] = 1e6
    scheme = Scheme(format="int4", clip="search")
    assert make_steps(weights, scheme, importance=importance).values[0, 0] > make_steps(weights, scheme).values[0, 0]


def test_the_better_of_rows_and_columns_is_taken() -> None:
    by_row = gaussian(32, 48) * np.geomspace(1, 1000, 32, dtype=np.float32)[:, None]
    scheme = Scheme(format="int6", axis="auto")
    assert make_steps(by_row, scheme).scales.shape == (32, 1)
    assert make_steps(np.ascontiguousarray(by_row.T), scheme).scales.shape == (1, 32)


def test_groups_of_a_row_have_steps_of_their_own_and_the_last_may_be_short() -> None:
    weights = gaussian(3, 20)
    steps = make_steps(weights, Scheme(format="int8", axis="group", group=8))
    assert steps.scales.shape == (3, 3)
    expected = [[np.abs(row[i : i + 8]).max() / 127 for i in (0, 8, 16)] for row in weights.astype(np.float64)]
    np.testing.assert_allclose(steps.scales, expected, rtol=2**-11)
    assert restored(weights, Scheme(format="int8", axis="group", group=8)).shape == (3, 20)


def test_asymmetric_codes_reach_one_level_further_below() -> None:
    weights = np.array([[-2.0, 1.0, 0.25]], dtype=np.float32)
    steps = np.array([[1 / 8]], dtype=np.float32)
    assert encode(weights, steps, Scheme(format="int4", is_asymmetric=True)).tolist() == [[-8, 7, 2]]
    assert encode(weights, steps, Scheme(format="int4")).tolist() == [[-7, 7, 2]]


def test_ternary_and_binary_weights_are_those_of_training() -> None:
    weights = gaussian(4, 48)
    for row, ternary, binary in zip(
        weights,
        restored(weights, Scheme(format="ternary", axis="group", group=16)),
        restored(weights, Scheme(format="binary", axis="group", group=16)),
        strict=True,
    ):
        for start in (0, 16, 32):
            part = row[start : start + 16].astype(np.float64)
            size = np.float32(np.float16(np.mean(np.abs(part))))
            expected = [max(-1, min(1, round(float(w) / float(size)))) * size for w in part]
            assert ternary[start : start + 16].tolist() == expected
            assert binary[start : start + 16].tolist() == [size if w >= 0 else -size for w in part]


def test_a_uniform_step_is_a_share_of_the_tensors_standard_deviation() -> None:
    weights = gaussian(16, 64) * np.geomspace(1, 8, 16, dtype=np.float32)[:, None]
    steps = make_steps(weights, Scheme(format="step", sigmas=0.25))
    assert steps.values.shape == (1, 1)
    assert float(steps.values[0, 0]) == pytest.approx(0.25 * weights.astype(np.float64).std(), rel=2**-11)
    assert narrowed(encode(weights, steps.values, Scheme(format="step"))).dtype == np.int8
    fine = make_steps(weights, Scheme(format="step", sigmas=0.01)).values
    assert narrowed(encode(weights, fine, Scheme(format="step"))).dtype == np.int16


def test_rows_of_a_uniform_step_follow_their_sigma_or_their_gradients() -> None:
    weights = gaussian(8, 512) * np.geomspace(1, 4, 8, dtype=np.float32)[:, None]
    plain = float(make_steps(weights, Scheme(format="step", sigmas=0.2)).values[0, 0])
    gradients = np.geomspace(1, 16, 8)
    by_sigma = make_steps(weights, Scheme(format="step", sigmas=0.2, row_steps="sigma")).values[:, 0]
    np.testing.assert_allclose(by_sigma, 0.2 * weights.astype(np.float64).std(axis=1), rtol=2**-10)
    scheme = Scheme(format="step", sigmas=0.2, row_steps="gradient")
    by_gradient = make_steps(weights, scheme, gradients=gradients).values[:, 0]
    assert np.exp(np.log(by_gradient.astype(np.float64)).mean()) == pytest.approx(plain, rel=1e-3)
    np.testing.assert_allclose(by_gradient * np.sqrt(gradients), by_gradient[0], rtol=2e-3)
    gradients[0] = 0.0  # a row that the text did not use
    assert make_steps(weights, scheme, gradients=gradients).values.max() <= 8.01 * plain


# Floors, zeros and other edges


def test_the_floor_of_the_public_baseline_coarsens_small_rows_and_is_reported() -> None:
    small, large = gaussian(4, 512), gaussian(2, 512) * 100
    weights = np.concatenate([small, large])
    floored = Scheme(format="int8", clip="quantile", quantile=0.9999984, floor=1 / 127)
    found = quantize("w", weights, floored, Inputs())
    assert found.steps.floored == 4
    assert relative(small, found.values()[:4]) == pytest.approx(1.3e-2, rel=0.1)
    assert entropy_bits(found.codes[:4]) == pytest.approx(3.4, abs=0.1)
    plain = quantize("w", weights, Scheme(format="int8", clip="quantile", quantile=0.9999984), Inputs())
    assert plain.steps.floored == 0
    assert relative(small, plain.values()[:4]) < 1e-4


@pytest.mark.parametrize("kind", ["int8", "int4", "int2", "ternary", "step"])
@pytest.mark.parametrize("clip", ["absmax", "quantile", "search", "sdclip"])
def test_rows_of_zeros_stay_zero_and_divide_nothing(kind: str, clip: str) -> None:
    weights = gaussian(3, 32)
    weights[1] = 0.0
    scheme = Scheme(format=kind, clip=clip, quantile=0.99, sigmas=4.0)
    assert not restored(weights, scheme)[1].any()
    assert not restored(np.zeros((2, 5), dtype=np.float32), scheme).any()


@pytest.mark.parametrize("row_steps", ["tensor", "sigma", "gradient"])
def test_a_uniform_step_reaches_the_largest_weight(row_steps: str) -> None:
    weights = np.full((3, 16), 0.37, dtype=np.float32)
    weights[:, 5] = np.nextafter(weights[:, 5], np.float32(1))
    scheme = Scheme(format="step", sigmas=0.2, row_steps=row_steps)
    found = quantize("w", weights, scheme, Inputs(gradients=np.ones(3)))
    np.testing.assert_allclose(found.values(), weights, rtol=1e-4)
    assert (found.steps.floored, found.clipped) == (1 if row_steps == "tensor" else 3, 0.0)


@pytest.mark.parametrize("row_steps", ["tensor", "sigma"])
def test_a_narrow_step_reaches_the_weights_of_columns_that_are_rounded_finely(row_steps: str) -> None:
    weights = gaussian(32, 64)
    sizes = np.geomspace(1, 1e4, 64)  # of inputs: AWQ makes the steps of the last columns very small
    scheme = Scheme(format="step", sigmas=0.002, row_steps=row_steps, awq_alpha=1.0)
    found = quantize("w", weights, scheme, Inputs(sizes=sizes[None]))
    assert found.clipped == 0.0
    assert relative(weights[:, -1:], found.values()[:, -1:]) < 1e-6


def test_constant_rows_are_kept_by_every_rule() -> None:
    weights = np.full((3, 16), 0.37, dtype=np.float32)
    for clip in ("absmax", "quantile", "search", "search_tensor", "sdclip"):
        scheme = Scheme(format="int6", clip=clip, quantile=0.9, sigmas=12.85)
        np.testing.assert_allclose(restored(weights, scheme), weights, rtol=2**-10)
    assert make_steps(weights, Scheme(format="int6", clip="sdclip", sigmas=12.85)).guarded == 3


def test_a_row_that_is_mostly_its_mean_is_not_cut_off_by_sdclip() -> None:
    weights = (1.0 + np.random.default_rng(0).normal(0, 1e-5, (2, 64))).astype(np.float32)
    np.testing.assert_allclose(
        restored(weights, Scheme(format="int6", clip="sdclip", sigmas=12.85)), weights, rtol=0.02
    )


@pytest.mark.parametrize("size", [1e-6, 1e-12, 1e-30, 1e30])
def test_weights_of_any_size_keep_their_relative_error(size: float) -> None:
    weights = (gaussian(8, 256).astype(np.float64) * 50 * size).astype(np.float32)
    assert relative(weights, restored(weights, Scheme(format="int8"))) < 1e-4


def test_rows_of_very_different_sizes_share_a_tensor() -> None:
    weights = gaussian(3, 256) * np.array([[1.0], [1e-5], [1e-7]], dtype=np.float32)
    values = restored(weights, Scheme(format="int8"))
    for row, value in zip(weights, values, strict=True):
        assert relative(row, value) < 1e-4


@settings(max_examples=40)
@given(
    weights=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=24),
        elements=st.floats(-(2.0**100), 2.0**100, width=32),
    ),
    kind=st.sampled_from(["int8", "int6", "int4", "int2"]),
    axis=st.sampled_from(["row", "column", "tensor", "group"]),
)
def test_any_matrix_comes_back_within_half_a_step_of_each_line(weights: np.ndarray, kind: str, axis: str) -> None:
    scheme = Scheme(format=kind, axis=axis, group=5 if axis == "group" else 0)
    steps = make_steps(weights, scheme)
    found = quantize("w", weights, scheme, Inputs())
    values = restore_tensor(stored_grid(INFO, weights.shape, scheme, found))
    assert np.isfinite(values).all()
    assert np.array_equal(values, found.values())
    width = np.broadcast_to(steps.values, weights.shape).astype(np.float64)
    # float16 may round the last level below the largest weight, at most by 2^-11 of it
    slack = np.abs(weights.astype(np.float64)) * 2.0**-10
    smallest = 2.0**-118
    assert (np.abs(weights.astype(np.float64) - values) <= 0.5 * width * (1 + 1e-6) + slack + smallest).all()


@settings(max_examples=40)
@given(
    weights=hnp.arrays(
        np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=16), elements=st.floats(-4, 4, width=32)
    ),
    kind=st.sampled_from(["int8", "int6", "int5", "int4"]),
)
def test_rounding_what_was_rounded_changes_nothing(weights: np.ndarray, kind: str) -> None:
    weights = np.where(np.abs(weights) < 1e-3, np.float32(0), weights)
    once = restored(weights, Scheme(format=kind))
    assert np.array_equal(restored(once, Scheme(format=kind)), once)


@settings(max_examples=40)
@given(
    weights=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=16),
        elements=st.floats(-(2.0**120), 2.0**120, width=32),
    ),
    kind=st.sampled_from(["int6", "ternary", "binary", "step"]),
    clip=st.sampled_from(["quantile", "search", "search_tensor", "sdclip"]),
    row_steps=st.sampled_from(["tensor", "sigma"]),
)
def test_no_matrix_breaks_any_rule(weights: np.ndarray, kind: str, clip: str, row_steps: str) -> None:
    scheme = Scheme(format=kind, clip=clip, quantile=0.9, sigmas=3.0, row_steps=row_steps)
    found = quantize("w", weights, scheme, Inputs())
    values = restore_tensor(stored_grid(INFO, weights.shape, scheme, found))
    assert np.isfinite(values).all()
    assert values.shape == weights.shape
    assert (np.abs(values) <= 4 * np.abs(weights).max() + 1e-30).all()
