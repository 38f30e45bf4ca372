"""Hessians of every matrix: banked, factorised, shared, looped and tied ones; text that a model writes itself."""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[1] / "lm"))

from lever_cases import ids_of, model_of, neutral, shake

from foldover.core import OutsideError, bind
from foldover.export.calibration import collect
from foldover.export.levers import EXPORT_LEVERS, ExportConfig
from foldover.export.pack import pack
from foldover.export.restore import restore
from foldover.export.sampling import first_tokens, write_text
from foldover.export.tensors import TensorInfo
from foldover.lm.levers import LEVERS


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_sums_are_those_of_every_row_over_every_call() -> None:
    weight, batches = randn(4, 6), [randn(2, 5, 6, seed=1), randn(3, 6, seed=2)]
    found = collect(lambda: [functional.linear(x, weight) for x in batches] and None, {"w": weight})
    rows = np.concatenate([x.reshape(-1, 6).numpy().astype(np.float64) for x in batches])
    expected = sum(np.outer(row, row) for row in rows) / len(rows)
    np.testing.assert_allclose(found.hessians["w"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.input_sizes["w"], np.abs(rows).mean(axis=0), rtol=1e-6)
    assert found.tokens == {"w": 13}
    assert not found.gradients


def test_modules_and_keywords_are_seen_and_results_are_not_touched() -> None:
    layer, x = nn.Linear(6, 4), randn(5, 6)
    expected = layer(x)
    outs: list[Tensor] = []

    def run() -> None:
        outs.extend([layer(x), functional.linear(input=x, weight=layer.weight)])

    assert collect(run, {"w": layer.weight}).tokens == {"w": 10}
    assert torch.equal(outs[0], expected)


def test_matrices_of_a_bank_are_kept_apart() -> None:
    bank, first, second = randn(3, 4, 6), randn(7, 6, seed=1), randn(9, 6, seed=2)

    def run() -> None:
        functional.linear(first, bank[0])
        functional.linear(second, bank[2])

    found = collect(run, {"bank": bank})
    np.testing.assert_allclose(found.hessians["bank"][0], (first.T @ first / 7).numpy(), atol=1e-5)
    np.testing.assert_allclose(found.hessians["bank"][2], (second.T @ second / 9).numpy(), atol=1e-5)
    assert not found.hessians["bank"][1].any()
    assert found.tokens == {"bank": 16}


def test_rows_and_columns_of_a_matrix_are_placed_where_they_belong() -> None:
    weight, x, narrow = randn(8, 6), randn(5, 6, seed=1), randn(4, 2, seed=2)

    def run() -> None:
        functional.linear(x, weight[3:5])
        functional.linear(narrow, weight[:, 4:])

    hessian = collect(run, {"w": weight}).hessians["w"] * 9
    expected = (x.T @ x).numpy()
    expected[4:, 4:] += (narrow.T @ narrow).numpy()
    np.testing.assert_allclose(hessian, expected, atol=1e-4)


def test_a_transposed_weight_and_a_strange_one_are_left_out() -> None:
    weight = randn(4, 6)

    def run() -> None:
        functional.linear(randn(3, 4), weight.T)
        functional.linear(randn(3, 6), weight.clone())

    assert not collect(run, {"w": weight}).hessians


def test_an_input_that_was_changed_in_place_is_summed_anew() -> None:
    first, second, x = randn(4, 6), randn(4, 6, seed=3), torch.ones(2, 6)

    def run() -> None:
        functional.linear(x, first)
        x.mul_(3.0)
        functional.linear(x, second)

    found = collect(run, {"a": first, "b": second})
    assert (found.hessians["a"][0, 0], found.hessians["b"][0, 0]) == (1.0, 9.0)


def test_gradients_are_those_of_a_token() -> None:
    weight, x, targets = randn(5, 6).requires_grad_(), randn(7, 6, seed=1), torch.arange(7) % 5
    found = collect(lambda: functional.cross_entropy(functional.linear(x, weight), targets).backward(), {"w": weight})
    shares = torch.softmax((x @ weight.T).detach(), dim=1)
    per_token = shares - functional.one_hot(targets, 5)
    np.testing.assert_allclose(found.gradients["w"], per_token.square().mean(dim=0).numpy(), rtol=1e-4, atol=1e-7)


RECIPES = {
    "looped": {"loops": 2},
    "shared blocks, a factor used twice": {"unique_blocks": 2, "factor_dim": 8, "factor_form": "transposed"},
    "factorised and tied": {"factor_dim": 8, "tied": True},
    "mapped and gated": {"layer_map": "0,1,1,3", "activation": "swiglu"},
}


@pytest.mark.parametrize("levers", RECIPES.values(), ids=RECIPES.keys())
def test_every_matrix_of_a_model_has_a_hessian_of_its_own_inputs(levers: dict[str, object]) -> None:
    values = LEVERS.complete({"loops": 0, **levers}, neutral())
    model = model_of(values)
    shake(model)
    ids = ids_of(values)[:, :-1]
    matrices = {name: p for name, p in model.named_parameters() if p.ndim == 2 and min(p.shape) > 1}
    inputs: dict[int, list[Tensor]] = {}
    plain = functional.linear

    def spying(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        inputs.setdefault(weight.data_ptr() if weight.is_contiguous() else 0, []).append(x.reshape(-1, x.shape[-1]))
        return plain(x, weight, bias)

    found = collect(lambda: model(ids) is None, matrices)
    functional.linear = spying
    try:
        with torch.no_grad():
            model(ids)
    finally:
        functional.linear = plain
    assert inputs
    for name, parameter in matrices.items():
        seen = inputs.get(parameter.data_ptr())
        assert (name in found.hessians) == (seen is not None), name
        if seen is not None:
            x = torch.cat(seen).double()
            np.testing.assert_allclose(found.hessians[name], (x.T @ x / len(x)).numpy(), rtol=1e-4, atol=1e-5)
            assert found.tokens[name] == len(x)
    blocks = {name for name in matrices if name.startswith("blocks.") and "gate" not in name.split(".")[-2:]}
    assert {name for name in blocks if ".attention." in name or ".mlp." in name} <= found.hessians.keys()
    if "tied" in levers:
        assert "embedding" in found.hessians


def test_gptq_on_a_models_own_text_lowers_what_its_outputs_lose() -> None:
    values = LEVERS.complete({"tied": True}, neutral())
    model = model_of(values)
    shake(model)
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, 260, (64, 16)))
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        calibration = collect(lambda: model(ids) is None, {n: p for n, p in parameters.items() if p.ndim == 2})
        exact = model(ids)
    weights = {name: p.detach().numpy().copy() for name, p in parameters.items()}
    infos = [TensorInfo(name=name, role="matrix" if name in calibration.hessians else "vector") for name in parameters]
    lost = []
    for uses_gptq in (False, True):
        levers = {"gptq": uses_gptq, "matrix_format": "int4", "clip": "absmax", "keep_float_below": 0}
        config = bind(ExportConfig, EXPORT_LEVERS.complete(levers))
        back = restore(pack(weights, infos, config, calibration=calibration).stored)
        with torch.no_grad():
            for name, p in parameters.items():
                p.copy_(torch.from_numpy(back[name]))
            lost.append(float((model(ids) - exact).square().mean()))
            for name, p in parameters.items():
                p.copy_(torch.from_numpy(weights[name]))
    assert lost[1] < 0.95 * lost[0]


# Text that a model writes


def test_text_follows_the_model_and_the_seed() -> None:
    table = randn(11, 11) * 2

    def logits_of(ids: Tensor) -> Tensor:
        return table[ids]

    first = first_tokens(64, 11, bos_id=3, seed=0)
    assert first.tolist() == [3] * 64
    kwargs = {"first": first, "length": 25, "temperature": 0.8}
    text = write_text(logits_of, seed=5, **kwargs)
    assert text.shape == (64, 25)
    assert torch.equal(text, write_text(logits_of, seed=5, **kwargs))
    assert not torch.equal(text, write_text(logits_of, seed=6, **kwargs))
    counts = torch.zeros(11, 11)
    for row in text.tolist():
        for a, b in pairwise(row):
            counts[a, b] += 1
    expected = torch.softmax(table / 0.8, dim=1)
    often = counts.sum(dim=1) > 100
    assert often.any()
    torch.testing.assert_close((counts / counts.sum(1, keepdim=True))[often], expected[often], atol=0.15, rtol=0.0)


def test_cold_text_takes_the_likeliest_token_and_random_starts_differ() -> None:
    table = randn(11, 11)
    text = write_text(lambda ids: table[ids], first=torch.tensor([0]), length=5, temperature=0.01, seed=0)[0]
    for a, b in pairwise(text.tolist()):
        assert b == int(table[a].argmax())
    starts = first_tokens(100, 11, bos_id=None, seed=1)
    assert set(starts.tolist()) == set(range(11))


def test_a_model_that_diverged_writes_nothing() -> None:
    with pytest.raises(OutsideError, match="not finite at position 1"):
        write_text(
            lambda ids: torch.full((1, ids.shape[1], 3), float("nan")),
            first=torch.tensor([0]),
            length=3,
            temperature=1.0,
            seed=0,
        )
