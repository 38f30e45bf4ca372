"""F5, F8 and F11 of levers.md: columns scaled by activations, small weights removed, hidden units sorted."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldover.export.quantize import Inputs, quantize
from foldover.export.scheme import Scheme
from foldover.export.tensors import Calibration, TensorInfo
from foldover.export.transforms import awq_columns, mlp_permutations, permuted, permuted_calibration, pruned

RNG = np.random.default_rng(0)


def mlp(hidden: int = 24, width: int = 8, *, is_gated: bool = False) -> list[tuple[TensorInfo, np.ndarray]]:
    rng = np.random.default_rng(1)
    names = [("m.input", "mlp", (hidden, width)), ("m.output", "mlp_out", (width, hidden))]
    if is_gated:
        names.append(("m.gate", "mlp", (hidden, width)))
    scale = np.geomspace(0.1, 3, hidden)
    found = []
    for name, role, shape in names:
        array = rng.normal(size=shape) * (scale[:, None] if role == "mlp" else 1.0)
        found.append((TensorInfo(name=name, role=role), array.astype(np.float32)))
    return found


def run_mlp(tensors: list[tuple[TensorInfo, np.ndarray]], x: np.ndarray) -> np.ndarray:
    by_name = {info.name: array.astype(np.float64) for info, array in tensors}
    hidden = np.maximum(x @ by_name["m.input"].T, 0) ** 2
    if "m.gate" in by_name:
        gate = x @ by_name["m.gate"].T
        hidden = hidden * gate / (1 + np.exp(-gate))
    return hidden @ by_name["m.output"].T


@pytest.mark.parametrize("is_gated", [False, True])
def test_sorting_hidden_units_changes_no_output(is_gated: bool) -> None:
    tensors = mlp(is_gated=is_gated)
    orders = mlp_permutations(tensors)
    assert sorted(orders["m"].tolist()) == list(range(24))
    assert orders["m"].tolist() != list(range(24))
    x = RNG.normal(size=(10, 8))
    moved = permuted(tensors, orders)
    np.testing.assert_allclose(run_mlp(moved, x), run_mlp(tensors, x), atol=1e-5)
    assert not np.array_equal(moved[0][1], tensors[0][1])


def test_units_are_sorted_by_the_step_of_their_row_first() -> None:
    steps = np.abs(permuted(mlp(), mlp_permutations(mlp()))[0][1]).max(axis=1) / 127
    assert (np.diff(np.round(1024 * steps)) >= 0).all()


def test_mlps_whose_sides_do_not_fit_are_left_alone() -> None:
    tensors = mlp()
    info, array = tensors[1]
    assert mlp_permutations([tensors[0], (info, array[:, :-1])]) == {}
    assert mlp_permutations([tensors[0]]) == {}
    assert mlp_permutations([(tensors[0][0], tensors[0][1][None]), (info, array[None])]) == {}


def test_what_calibration_measured_moves_with_the_units() -> None:
    tensors, hidden = mlp(), RNG.normal(size=(50, 24))
    orders = mlp_permutations(tensors)
    order = orders["m"]
    measured = Calibration(
        hessians={"m.output": hidden.T @ hidden},
        input_sizes={"m.output": np.abs(hidden).mean(axis=0)},
        gradients={"m.input": np.arange(24.0), "m.output": np.arange(8.0)},
    )
    moved = permuted_calibration(measured, [info for info, _ in tensors], orders)
    again = hidden[:, order]
    np.testing.assert_allclose(moved.hessians["m.output"], again.T @ again)
    np.testing.assert_allclose(moved.input_sizes["m.output"], np.abs(again).mean(axis=0))
    assert moved.gradients["m.input"].tolist() == order.astype(float).tolist()
    assert moved.gradients["m.output"].tolist() == list(range(8))


@settings(max_examples=50)
@given(rows=st.integers(1, 12), columns=st.integers(1, 12), fraction=st.floats(0, 0.99), seed=st.integers(0, 99))
def test_exactly_the_smallest_weights_are_pruned(rows: int, columns: int, fraction: float, seed: int) -> None:
    weights = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)
    found = pruned(weights, fraction)
    count = math.floor(fraction * weights.size)
    assert int((found == 0).sum()) == count
    kept = found != 0
    assert np.array_equal(found[kept], weights[kept])
    if 0 < count < weights.size:
        assert np.abs(weights[~kept]).max() <= np.abs(weights[kept]).min()


def test_pruning_nothing_is_the_identity_and_ties_are_counted() -> None:
    weights = np.ones((4, 5), dtype=np.float32)
    assert pruned(weights, 0.0) is weights
    assert int((pruned(weights, 0.25) == 0).sum()) == 5


def test_awq_with_alpha_zero_is_plain_rounding() -> None:
    weights, x = RNG.normal(size=(6, 16)).astype(np.float32), np.abs(RNG.normal(size=(1, 16)))
    plain = quantize("w", weights, Scheme(format="int6"), Inputs(sizes=x))
    off = quantize("w", weights, Scheme(format="int6", awq_alpha=0.0), Inputs(sizes=x))
    assert off.columns is None
    assert np.array_equal(plain.codes, off.codes)
    assert awq_columns(x[0], 0.0).tolist() == [1.0] * 16


def test_awq_rounds_scaled_columns_and_scales_them_back() -> None:
    weights = RNG.normal(size=(6, 16)).astype(np.float32)
    sizes = np.geomspace(0.01, 10, 16)[None]
    found = quantize("w", weights, Scheme(format="int6", awq_alpha=0.6), Inputs(sizes=sizes))
    factor = sizes[0] ** 0.6 / np.exp(np.log(sizes[0] ** 0.6).mean())
    assert (found.columns > 0).all()
    assert np.isfinite(found.columns).all()
    np.testing.assert_allclose(found.columns, 1 / factor, rtol=2**-10)
    back = found.columns.astype(np.float64)
    for row, values in zip(weights, found.values(), strict=True):
        scaled = row / back
        step = float(np.float16(np.abs(scaled).max() / 31))
        expected = [max(-31, min(31, round(float(w) / step))) * step * t for w, t in zip(scaled, back, strict=True)]
        np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_awq_lowers_the_output_error_where_few_inputs_are_large() -> None:
    weights = RNG.normal(size=(64, 64)).astype(np.float32)
    x = RNG.normal(size=(500, 64)) * np.where(np.arange(64) % 16 == 0, 20.0, 0.5)
    sizes = np.abs(x).mean(axis=0)[None]
    lost = [
        float(np.square(x @ (weights - quantize("w", weights, scheme, Inputs(sizes=sizes)).values()).T).sum())
        for scheme in (Scheme(format="int4"), Scheme(format="int4", awq_alpha=0.6))
    ]
    assert lost[1] < 0.7 * lost[0]


def test_inputs_that_never_come_make_no_factor_infinite() -> None:
    columns = awq_columns(np.array([0.0, 1e-30, 1.0, 1e30]), 1.0)
    assert (columns > 0).all()
    assert np.isfinite(columns).all()
