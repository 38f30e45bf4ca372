"""Bit allocation and the sensitivity scan, on problems whose best answer is known."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldover.core import BudgetError, bind
from foldover.export.allocate import Option, allocate, fit_factor, hull
from foldover.export.fit_cap import candidates_of, error_of, fit_cap, predicted_loss
from foldover.export.levers import EXPORT_LEVERS, ExportConfig
from foldover.export.pack import Prepared, pack, pack_one, prepare
from foldover.export.parts import StoredTensor
from foldover.export.quantize import Inputs
from foldover.export.restore import restore, restore_tensor
from foldover.export.scheme import Scheme
from foldover.export.sensitivity import scan
from foldover.export.sizes import predicted_bytes
from foldover.export.tensors import Calibration, TensorInfo


def option(num_bytes: float, loss: float) -> Option:
    return Option(label=f"{num_bytes:g}", num_bytes=num_bytes, loss=loss)


OPTIONS = st.lists(
    st.builds(option, st.integers(1, 60).map(float), st.integers(0, 50).map(float)), min_size=1, max_size=5
)


def test_options_above_the_hull_are_never_worth_it() -> None:
    options = [option(1, 10), option(2, 9), option(3, 3), option(4, 3), option(5, 4), option(6, 1)]
    assert hull(options) == [0, 2, 5]


@settings(max_examples=150)
@given(tensors=st.lists(OPTIONS, min_size=1, max_size=4), cap=st.integers(1, 200))
def test_no_choice_on_the_frontier_is_beaten_by_any_other(tensors: list[list[Option]], cap: int) -> None:
    options = {str(i): found for i, found in enumerate(tensors)}
    every = [
        (sum(o.num_bytes for o in chosen) + 3.0, sum(o.loss for o in chosen)) for chosen in itertools.product(*tensors)
    ]
    if min(num_bytes for num_bytes, _ in every) > cap:
        with pytest.raises(BudgetError, match="the smallest choice of options takes"):
            allocate(options, cap_bytes=cap, fixed_bytes=3.0)
        return
    found = allocate(options, cap_bytes=cap, fixed_bytes=3.0)
    chosen = [options[name][i] for name, i in found.choice]
    assert found.num_bytes == pytest.approx(3.0 + sum(o.num_bytes for o in chosen))
    assert found.num_bytes <= cap
    assert found.loss == pytest.approx(sum(o.loss for o in chosen))
    for point in found.frontier:
        assert not any(num_bytes <= point.num_bytes and loss < point.loss - 1e-9 for num_bytes, loss in every)
    under = [point for point in found.frontier if point.num_bytes <= cap]
    assert found.loss <= under[-1].loss + 1e-9


def test_what_is_left_over_buys_what_still_fits() -> None:
    options = {"a": [option(1, 10), option(8, 0)], "b": [option(1, 5), option(3, 4)]}
    found = allocate(options, cap_bytes=5)
    assert dict(found.choice) == {"a": 0, "b": 1}
    assert (found.num_bytes, found.loss) == (4.0, 14.0)


@pytest.mark.parametrize("cap", [500_000, 900_000, 1_000_000, 1_200_000, 2_000_000])
def test_a_factor_lands_just_under_the_cap(cap: int) -> None:
    trials = []

    def bytes_at(factor: float) -> int:
        trials.append(factor)
        return round(1_000_000 - 250_000 * math.log2(factor))

    factor, found = fit_factor(bytes_at, cap_bytes=cap)
    if cap == 2_000_000:  # reached by no factor that is allowed
        assert (factor, found) == (pytest.approx(0.125), 1_750_000)
        return
    assert 0.995 * cap <= found <= cap
    assert found == bytes_at(factor)
    assert len(trials) <= 8


def test_bytes_that_jump_end_below_the_cap_and_a_cap_below_all_is_an_error() -> None:
    factor, found = fit_factor(lambda factor: 1000 if factor < 1.3 else 900, cap_bytes=950)
    assert found == 900
    assert factor == pytest.approx(1.3, rel=1e-3)
    with pytest.raises(BudgetError, match="takes 1,000 bytes with the widest steps"):
        fit_factor(lambda factor: 1000, cap_bytes=950)


# On tensors: a loss that is exactly quadratic, tr(E H E') weighted by rows, and additive over tensors

INFOS = [
    TensorInfo(name=name, role="matrix", layer=i) for i, name in enumerate(("blocks.0.w", "blocks.1.w", "blocks.2.w"))
] + [TensorInfo(name="scale", role="vector")]
IMPORTANCE = {"blocks.0.w": 30.0, "blocks.1.w": 1.0, "blocks.2.w": 0.05}


def problem() -> tuple[dict[str, np.ndarray], Calibration]:
    rng = np.random.default_rng(0)
    weights = {info.name: rng.normal(0, 0.1, (64, 48)).astype(np.float32) for info in INFOS[:3]}
    weights["scale"] = np.ones(4, dtype=np.float32)
    hessians, gradients = {}, {}
    for name, importance in IMPORTANCE.items():
        x = rng.normal(size=(200, 48)) @ (np.eye(48) + 0.2 * rng.normal(size=(48, 48)))
        hessians[name] = (x.T @ x / 200).astype(np.float32)
        gradients[name] = (importance * rng.uniform(0.5, 2, 64)).astype(np.float32)
    return weights, Calibration(hessians=hessians, gradients=gradients)


WEIGHTS, CALIBRATION = problem()


def loss(weights: Mapping[str, np.ndarray]) -> float:
    total = 1.0
    for name, hessian in CALIBRATION.hessians.items():
        error = (WEIGHTS[name] - weights[name]).astype(np.float64)
        total += 0.5 * float(CALIBRATION.gradients[name] @ np.einsum("ri,ij,rj->r", error, hessian, error))
    return total


def loss_of(weights: Mapping[str, np.ndarray]) -> np.ndarray:
    return loss(weights) + np.array([0.1, -0.2, 0.1])  # parts of a text that differ, and not by what is rounded


def config_of(**levers: object) -> ExportConfig:
    return bind(ExportConfig, EXPORT_LEVERS.complete({"keep_float_below": 0, "gptq_order": "natural", **levers}))


def prepared(calibration: Calibration = CALIBRATION, **levers: object) -> Prepared:
    return prepare(WEIGHTS, INFOS, config_of(**levers), calibration)


def test_predicted_loss_is_the_quadratic_form() -> None:
    values = restore_tensor(pack_one(prepared(), "blocks.0.w", Scheme(format="int4")))
    inputs = Inputs(hessian=CALIBRATION.hessians["blocks.0.w"][None], gradients=CALIBRATION.gradients["blocks.0.w"])
    found = predicted_loss(WEIGHTS["blocks.0.w"], values, inputs)
    assert found == pytest.approx(loss({**WEIGHTS, "blocks.0.w": values}) - 1.0, rel=1e-4)


@pytest.mark.parametrize("has_gradients", [True, False])
@pytest.mark.parametrize("levers", [{}, {"scheme": "step"}, {"clip": "absmax"}], ids=str)
def test_at_the_bytes_of_uniform_int6_an_allocation_loses_less(levers: dict[str, object], has_gradients: bool) -> None:
    uniform = pack(WEIGHTS, INFOS, config_of(clip="absmax"), calibration=CALIBRATION)
    cap = predicted_bytes(uniform.stored)
    calibration = CALIBRATION if has_gradients else Calibration(hessians=CALIBRATION.hessians)
    ready = prepared(calibration, **levers)
    measured = () if has_gradients else scan(ready, loss_of, predicted_bytes)
    found = fit_cap(ready, predicted_bytes, cap_bytes=cap, sensitivities=measured)
    assert found.num_bytes == predicted_bytes(found.packed.stored) <= cap
    assert loss(restore(found.packed.stored)) - 1.0 < 0.6 * (loss(restore(uniform.stored)) - 1.0)
    if levers != {"clip": "absmax"}:
        assert found.num_bytes >= 0.995 * cap
        steps = [found.schemes[name].sigmas / found.schemes[name].levels for name in IMPORTANCE]
        assert steps == sorted(steps)
        assert steps[0] < steps[2] / 2


def test_the_frontier_falls_and_is_met_by_what_it_predicts() -> None:
    ready = prepared(scheme="step")
    found = fit_cap(ready, predicted_bytes, cap_bytes=6000)
    losses, sizes = [point.loss for point in found.frontier], [point.num_bytes for point in found.frontier]
    assert losses == sorted(losses, reverse=True)
    assert sizes == sorted(sizes)
    predicted = np.interp(found.num_bytes, sizes, losses)
    assert loss(restore(found.packed.stored)) - 1.0 == pytest.approx(predicted, rel=0.1)


def test_a_cap_that_nothing_reaches_is_an_error() -> None:
    with pytest.raises(BudgetError, match="smallest choice"):
        fit_cap(prepared(), predicted_bytes, cap_bytes=500)


def test_candidates_keep_what_is_not_a_width() -> None:
    scheme = Scheme(format="int6", clip="absmax", has_gptq=True, axis="column")
    assert [found.format for found in candidates_of(scheme)] == [f"int{bits}" for bits in range(8, 1, -1)]
    assert all(found.axis == "column" and found.has_gptq for found in candidates_of(scheme))
    assert candidates_of(Scheme(format="ternary")) == (Scheme(format="ternary"),)


# Sensitivity


def no_bytes(stored: Sequence[StoredTensor]) -> int:
    return 300 + 1000 * len(stored)


@pytest.mark.parametrize("mode", ["only", "all_but"])
def test_sensitivities_of_an_additive_loss_are_its_terms(mode: str) -> None:
    ready = prepared(clip="absmax", matrix_format="int4")
    found = scan(ready, loss_of, no_bytes, mode=mode)
    assert [each.name for each in found] == list(IMPORTANCE)
    for each in found:
        values = restore_tensor(pack_one(ready, each.name, ready.schemes[each.name]))
        assert each.loss == pytest.approx(loss({**WEIGHTS, each.name: values}) - 1.0, rel=1e-6)
        assert each.standard_error == pytest.approx(0.0, abs=1e-9)  # the text's own spread drops out
        assert each.bytes_saved == 64 * 48 * 4 - 1000
        assert each.loss_per_kilobyte == pytest.approx(1000 * each.loss / each.bytes_saved)
    assert found[0].loss > found[1].loss > found[2].loss


def test_the_standard_error_is_over_the_parts_of_the_text() -> None:
    ready = prepared(clip="absmax")
    changes = {"blocks.0.w": np.array([1.0, 2.0, 6.0])}

    def uneven(weights: Mapping[str, np.ndarray]) -> np.ndarray:
        is_rounded = not np.array_equal(weights["blocks.0.w"], WEIGHTS["blocks.0.w"])
        return np.array([5.0, 6.0, 7.0]) + (changes["blocks.0.w"] if is_rounded else 0.0)

    found = scan(ready, uneven, no_bytes)
    assert found[0].loss == pytest.approx(3.0)
    assert found[0].standard_error == pytest.approx(np.std([1, 2, 6], ddof=1) / math.sqrt(3))
    assert (found[1].loss, found[1].standard_error) == (0.0, 0.0)
    assert scan(ready, lambda weights: np.array([1.0]), no_bytes)[0].standard_error is None


def test_selective_pruning_and_a_cap_go_together() -> None:
    ready = prepared(scheme="step", prune_to_bytes=5800)
    found = fit_cap(ready, predicted_bytes, cap_bytes=6000)
    assert found.packed.ones_zeroed > 0
    assert found.num_bytes == predicted_bytes(found.packed.stored) <= 5800


def test_a_tensor_that_tokens_pass_twice_counts_twice() -> None:
    name = "blocks.1.w"
    tokens = dict.fromkeys(IMPORTANCE, 100)
    once = prepared(replace(CALIBRATION, tokens=tokens))
    twice = prepared(replace(CALIBRATION, tokens={**tokens, name: 200}))
    rounded = np.round(WEIGHTS[name], 1)
    errors = [error_of(WEIGHTS[name], rounded, each.inputs[name]) for each in (once, twice)]
    assert errors[0] > 0.0
    assert errors[1] == pytest.approx(2.0 * errors[0])


def test_a_jump_of_one_tensors_bytes_leaves_no_gap_below_the_cap() -> None:
    ready = prepared(scheme="step", gptq=False)
    cap = 6000

    def step(stored: Sequence[StoredTensor]) -> float:
        found = {t.name: float(t.parts[1].array[0, 0]) for t in stored if t.scheme == "grid"}
        return found.get("blocks.0.w", 0.0)

    border = step(fit_cap(ready, predicted_bytes, cap_bytes=cap).packed.stored)

    def bytes_of(stored: Sequence[StoredTensor]) -> int:
        return predicted_bytes(stored) + 800 * (0.9 * border < step(stored) < 1.02 * border)

    found = fit_cap(ready, bytes_of, cap_bytes=cap)
    assert 0.995 * cap <= found.num_bytes <= cap
    assert found.num_bytes == bytes_of(found.packed.stored)
    assert step(found.packed.stored) >= 1.02 * border
