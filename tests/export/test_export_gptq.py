"""F4 of levers.md: GPTQ against a plain float64 reference, and what it promises."""

from dataclasses import replace

import numpy as np
import pytest

from foldover.export.gptq import feedback_of, gptq
from foldover.export.grid import encode, make_steps
from foldover.export.quantize import Inputs, output_error, quantize
from foldover.export.scheme import Scheme

INT4 = Scheme(format="int4", has_gptq=True)


def inputs(columns: int, tokens: int = 400, seed: int = 0) -> np.ndarray:
    """Correlated, with some large channels."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(tokens, columns)) @ (np.eye(columns) + 0.3 * rng.normal(size=(columns, columns)))
    return mixed * np.geomspace(1, 5, columns)[rng.permutation(columns)]


def matrix(rows: int, columns: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.05, (rows, columns)).astype(np.float32)


def reference(
    weights: np.ndarray, steps: np.ndarray, hessian: np.ndarray, *, damping: float, top: int, by_activation: bool
) -> np.ndarray:
    """Codes by the usual form with the upper Cholesky factor of the inverse, one column and one row at a time."""
    n = len(hessian)
    h, w = hessian.astype(np.float64).copy(), weights.astype(np.float64).copy()
    for j in range(n):
        if h[j, j] == 0:
            h[j, j] = 1
            w[:, j] = 0
    h += damping * np.mean(np.diag(h)) * np.eye(n)
    order = sorted(range(n), key=lambda j: -h[j, j]) if by_activation else list(range(n))
    w, h = w[:, order], h[np.ix_(order, order)]
    upper = np.linalg.cholesky(np.linalg.inv(h)).T
    codes = np.zeros_like(w, dtype=int)
    for r in range(len(w)):
        for j in range(n):
            step = float(steps[r, order[j]])
            codes[r, j] = max(-top, min(top, round(w[r, j] / step)))
            error = (w[r, j] - codes[r, j] * step) / upper[j, j]
            for k in range(j, n):
                w[r, k] -= error * upper[j, k]
    found = np.zeros_like(codes)
    found[:, order] = codes
    return found


def lost(weights: np.ndarray, codes: np.ndarray, steps: np.ndarray, hessian: np.ndarray) -> float:
    error = (weights - codes * steps).astype(np.float64)
    return float(np.trace(error @ hessian @ error.T))


@pytest.mark.parametrize("order", ["natural", "activation"])
@pytest.mark.parametrize("axis", ["row", "column", "group"])
def test_codes_are_those_of_a_plain_float64_reference(order: str, axis: str) -> None:
    weights, x = matrix(6, 20), inputs(20)
    scheme = replace(INT4, axis=axis, group=7 if axis == "group" else 0, order=order)
    steps = np.broadcast_to(make_steps(weights, scheme).values, weights.shape)
    feedback = feedback_of(x.T @ x, damping=0.01, order=order)
    expected = reference(weights, steps, x.T @ x, damping=0.01, top=7, by_activation=order == "activation")
    assert np.array_equal(gptq(weights, steps, feedback, scheme), expected)
    assert not np.array_equal(expected, encode(weights, steps, scheme))


def test_the_diagonal_is_the_reciprocal_of_that_of_the_inverse_factor() -> None:
    x = inputs(12)
    hessian = x.T @ x
    feedback = feedback_of(hessian, damping=0.0)
    upper = np.linalg.cholesky(np.linalg.inv(hessian)).T
    np.testing.assert_allclose(1 / feedback.diagonal, np.diag(upper), rtol=1e-8)


@pytest.mark.parametrize("kind", ["int8", "int4", "ternary", "binary", "step"])
def test_with_the_identity_as_hessian_codes_are_those_of_rounding(kind: str) -> None:
    weights = matrix(16, 40)
    scheme = Scheme(format=kind, has_gptq=True, sigmas=0.3)
    steps = make_steps(weights, scheme).values
    for scale in (1.0, 7.0):
        feedback = feedback_of(scale * np.eye(40), damping=0.01)
        assert np.array_equal(gptq(weights, steps, feedback, scheme), encode(weights, steps, scheme))


@pytest.mark.parametrize("kind", ["int6", "int4", "ternary", "binary", "step"])
def test_output_error_on_correlated_inputs_is_below_that_of_rounding(kind: str) -> None:
    weights, x = matrix(32, 64), inputs(64)
    scheme = Scheme(format=kind, has_gptq=True, sigmas=0.4, order="activation")
    steps, hessian = make_steps(weights, scheme).values, x.T @ x
    codes = gptq(weights, steps, feedback_of(hessian, damping=0.01, order="activation"), scheme)
    assert lost(weights, codes, steps, hessian) < 0.8 * lost(weights, encode(weights, steps, scheme), steps, hessian)


def test_the_best_of_two_weights_is_found_where_rounding_errs_twice() -> None:
    # Two inputs that are nearly equal: what matters is the sum of the weights, 0.8; rounding gives 0.
    hessian = np.array([[1.0, 0.999], [0.999, 1.0]])
    weights, steps = np.array([[0.4, 0.4]], dtype=np.float32), np.ones((1, 1), dtype=np.float32)
    assert encode(weights, steps, INT4).tolist() == [[0, 0]]
    assert gptq(weights, steps, feedback_of(hessian, damping=0.0), INT4).tolist() == [[0, 1]]


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_blocks_change_rounding_errors_at_most(block: int) -> None:
    weights, x = matrix(24, 64), inputs(64)
    steps, hessian = make_steps(weights, INT4).values, x.T @ x
    feedback = feedback_of(hessian, damping=0.01, order="activation")
    base = lost(weights, gptq(weights, steps, feedback, replace(INT4, block=128)), steps, hessian)
    found = lost(weights, gptq(weights, steps, feedback, replace(INT4, block=block)), steps, hessian)
    assert found == pytest.approx(base, rel=1e-4)


def test_permuted_columns_under_one_order_give_permuted_codes() -> None:
    weights, x = matrix(8, 30), inputs(30)
    order = np.random.default_rng(2).permutation(30)
    steps, hessian = make_steps(weights, INT4).values, x.T @ x
    codes = gptq(weights, steps, feedback_of(hessian, damping=0.01, order="activation"), INT4)
    moved = feedback_of(hessian[np.ix_(order, order)], damping=0.01, order="activation")
    assert np.array_equal(gptq(weights[:, order], steps, moved, INT4), codes[:, order])


def test_columns_without_input_have_codes_of_zero_and_no_influence() -> None:
    weights, x = matrix(8, 20), inputs(20)
    x[:, [3, 11]] = 0.0
    steps, hessian = make_steps(weights, INT4).values, x.T @ x
    codes = gptq(weights, steps, feedback_of(hessian, damping=0.01), INT4)
    assert not codes[:, [3, 11]].any()
    changed = weights.copy()
    changed[:, 3] = 9.0
    assert np.array_equal(gptq(changed, steps, feedback_of(hessian, damping=0.01), INT4), codes)


def test_damping_grows_tenfold_until_there_is_a_factor() -> None:
    x = inputs(16)
    hessian = x.T @ x
    values, vectors = np.linalg.eigh(hessian)
    mean = np.mean(np.diag(hessian))
    values[0] = -0.05 * mean  # five times the damping below zero
    feedback = feedback_of(vectors @ np.diag(values) @ vectors.T, damping=0.01)
    assert feedback.damping == pytest.approx(0.1)


def test_without_a_factor_weights_are_rounded_and_the_report_says_so() -> None:
    hessian = np.array([[1.0, 50.0], [50.0, 1.0]])
    assert feedback_of(hessian, damping=0.01) is None
    weights = matrix(5, 2)
    found = quantize("w", weights, INT4, Inputs(hessian=hessian[None], feedback=(None,)))
    assert found.gptq == "fallback"
    assert np.array_equal(found.codes, encode(weights, found.steps.values, INT4))


def test_a_hessian_of_zeros_rounds_to_nothing() -> None:
    weights = matrix(4, 6)
    feedback = feedback_of(np.zeros((6, 6)), damping=0.01)
    assert not gptq(weights, make_steps(weights, INT4).values, feedback, INT4).any()
    assert feedback.column_steps().tolist() == [1.0] * 6


def test_column_steps_by_feedback_beat_equal_steps_at_one_rate() -> None:
    weights, x = matrix(256, 48), inputs(48)
    hessian = x.T @ x
    plain = Scheme(format="step", sigmas=0.3, has_gptq=True)
    feedback = (feedback_of(hessian, damping=0.01),)
    given = Inputs(hessian=hessian[None], feedback=feedback)
    errors, rates = [], []
    for scheme in (plain, replace(plain, has_feedback_columns=True)):
        found = quantize("w", weights, scheme, given)
        errors.append(output_error(weights, found.values(), given.hessian))
        rates.append(sum(_bits(column) for column in found.codes.T))  # a coder that knows its column
    assert rates[1] == pytest.approx(rates[0], rel=0.01)
    assert errors[1] < 0.7 * errors[0]


def test_each_matrix_of_a_bank_has_its_own_feedback() -> None:
    first, second = matrix(4, 12), matrix(4, 12, seed=5)
    hessians = np.stack([inputs(12, seed=seed).T @ inputs(12, seed=seed) for seed in (0, 9)])
    feedback = tuple(feedback_of(hessian, damping=0.01) for hessian in hessians)
    both = quantize("w", np.concatenate([first, second]), INT4, Inputs(hessian=hessians, feedback=feedback))
    for i, weights in enumerate((first, second)):
        alone = quantize("w", weights, INT4, Inputs(hessian=hessians[i : i + 1], feedback=feedback[i : i + 1]))
        assert np.array_equal(both.codes[4 * i : 4 * i + 4], alone.codes)


def _bits(codes: np.ndarray) -> float:
    _, counts = np.unique(codes, return_counts=True)
    return float(-(counts * np.log2(counts / codes.size)).sum())
