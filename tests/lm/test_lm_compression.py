"""Compression penalties against numpy, quantised forward weights, the meta gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from foldover.core import bind
from foldover.lm.compression import (
    CompressionPenalty,
    binarize,
    build_forward_weights,
    build_penalty,
    penalty,
    quantize_rows,
    rank1_of,
    row_step,
    slice_columns,
    ternarize,
)
from foldover.lm.levers import LEVERS, MICRO, TrainConfig
from foldover.lm.levers_compression import Compression
from foldover.lm.levers_optimizer import Optimizer
from foldover.lm.meta import FirstOrderMeta, build_meta, split_rows
from foldover.lm.model import Gpt, build_model
from foldover.lm.parallel import Alone
from foldover.lm.schedule import Rates

CPU = torch.device("cpu")
FULL = Rates(lr_multiplier=1.0, momentum=0.9, weight_decay=0.0, adam_weight_decay=0.0, is_warming_down=False)
LOW = Rates(lr_multiplier=0.1, momentum=0.9, weight_decay=0.0, adam_weight_decay=0.0, is_warming_down=True)
RISING = Rates(lr_multiplier=0.1, momentum=0.9, weight_decay=0.0, adam_weight_decay=0.0, is_warming_down=False)


def weights(rows: int = 6, columns: int = 10, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64) * 0.03


def model_of(**levers: object) -> Gpt:
    model = build_model(bind(TrainConfig, LEVERS.complete(levers, MICRO)), seed=0, device=CPU)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.empty(parameter.shape).normal_(0.0, 0.05, generator=generator))
    return model


def plain_penalty(W: np.ndarray, c: Compression) -> float:
    q = 2 ** (c.bits - 1) - 1
    s = np.abs(W).max(1, keepdims=True) / q
    R = s * np.clip(np.round(W / s), -q, q)
    size = (W**2).mean() if c.normalized else 1.0
    total = ((W - R) ** 2).mean() / size
    u = W / s
    total += c.grid * ((u - np.round(u)) ** 2).mean()
    rms = np.sqrt((W**2).mean(1))
    total += c.scale * (np.diff(np.log(rms)) ** 2).mean()
    U, S, Vt = np.linalg.svd(W - R)
    total += c.rank1 * ((W - R - S[0] * np.outer(U[:, 0], Vt[0])) ** 2).mean() / size
    alpha = np.abs(W).mean()
    total += c.ternary * ((W - alpha * np.clip(np.round(W / alpha), -1, 1)) ** 2).mean() / size
    return total + c.outlier * np.abs(W).max(1).mean() / np.abs(W).mean()


@pytest.mark.parametrize(
    "levers",
    [
        {},
        {"grid": 0.1},
        {"scale": 0.5},
        {"ternary": 0.7},
        {"outlier": 0.3},
        {"bits": 4, "grid": 1.0},
        {"normalized": True, "ternary": 1.0},
    ],
    ids=str,
)
def test_a_penalty_agrees_with_its_definition(levers: dict) -> None:
    compression, W = Compression(weight=1.0, **levers), weights()
    found = penalty(W, compression, step_size=row_step(W, 2 ** (compression.bits - 1) - 1))
    assert float(found) == pytest.approx(plain_penalty(W.numpy(), compression), rel=1e-9)


def test_the_rank_1_penalty_is_what_the_best_correction_leaves() -> None:
    # A clear first singular value, which the few power iterations find.
    error = torch.outer(torch.arange(1.0, 7.0), torch.ones(8)).double() + weights(6, 8)
    U, S, V = torch.linalg.svd(error)
    torch.testing.assert_close(rank1_of(error), S[0] * torch.outer(U[:, 0], V[0]), rtol=1e-6, atol=1e-8)


def test_rank_1_of_nothing_is_nothing() -> None:
    assert not rank1_of(torch.zeros(3, 4)).any()


def test_the_gradient_of_the_grid_does_not_flow_through_its_steps() -> None:
    W = weights().requires_grad_()
    step = row_step(W.detach(), 127)
    penalty(W, Compression(weight=1.0, grid=1.0), step_size=step).backward()
    levels = (W.detach() / step).round()
    error = W.detach() - levels * step
    expected = 2 * error / W.numel() + 2 * (error / step) / step / W.numel()
    torch.testing.assert_close(W.grad, expected, rtol=1e-9, atol=1e-12)


def test_slices_walk_over_the_columns_and_stay_inside() -> None:
    found = [slice_columns(100, 32, step=step, index=2) for step in range(200)]
    assert all(part.stop - part.start == 32 and part.start >= 0 and part.stop <= 100 for part in found)
    assert len({part.start for part in found}) == 69
    assert slice_columns(20, 32, step=7, index=1) == slice(0, 20)


@pytest.mark.parametrize("interval", [1, 4])
def test_every_tensor_gets_its_turn_whatever_the_interval(interval: int) -> None:
    # Counting raw steps, as the public code does, an interval of 4 with 8 tensors would leave half of them out.
    tensors = [nn.Parameter(weights(4, 4 + i).float()) for i in range(8)]
    for tensor in tensors:
        tensor.grad = torch.zeros_like(tensor)
    acting = CompressionPenalty(Compression(weight=1.0, tensors=2, interval=interval, penalty_from=3), tensors)
    acted = [step for step in range(3 + 4 * interval) if acting.add_gradients(step=step) is not None]
    assert acted == [3, 3 + interval, 3 + 2 * interval, 3 + 3 * interval]
    assert all(tensor.grad.any() for tensor in tensors)


def test_penalties_add_their_weighted_gradient_to_that_of_the_loss() -> None:
    tensor = nn.Parameter(weights().float())
    tensor.grad = torch.ones_like(tensor)
    CompressionPenalty(Compression(weight=2.0, grid=0.1), [tensor]).add_gradients(step=0)
    alone = tensor.detach().clone().requires_grad_()
    (2.0 * penalty(alone, Compression(grid=0.1), step_size=row_step(alone.detach(), 127))).backward()
    torch.testing.assert_close(tensor.grad, 1.0 + alone.grad)


def test_the_grid_of_the_full_row_is_coarser_than_that_of_a_slice() -> None:
    W = nn.Parameter(torch.tensor([[0.5, 0.1, 0.1, 8.0]]))
    gradients = []
    for is_full in (False, True):
        W.grad = torch.zeros_like(W)
        levers = Compression(weight=1.0, grid=1.0, max_columns=2, full_row_scale=is_full)
        CompressionPenalty(levers, [W]).add_gradients(step=0)
        gradients.append(W.grad.clone())
    assert not torch.allclose(*gradients)


def test_without_weight_there_is_no_penalty() -> None:
    assert build_penalty(Compression(), model_of()).add_gradients(step=0) is None


@pytest.mark.parametrize("bits", [4, 5, 6, 8])
def test_rounded_rows_lie_on_their_grid_within_half_a_step(bits: int) -> None:
    W, levels = weights(), 2 ** (bits - 1) - 1
    quantized, step = quantize_rows(W, levels), row_step(W, levels)
    assert float((quantized - W).abs().div(step).max()) <= 0.5 + 1e-9
    assert len((quantized / step).round().unique()) <= 2 * levels + 1
    torch.testing.assert_close(quantized.abs().amax(1), W.abs().amax(1))


def test_a_row_of_zeros_stays_zero() -> None:
    assert not quantize_rows(torch.zeros(2, 3), 127).any()
    assert not ternarize(torch.zeros(2, 3), 8).any()


def test_ternary_weights_of_a_group_agree_with_numpy_the_last_shorter_group_too() -> None:
    W = weights(3, 10)
    found = ternarize(W, 4).numpy()
    for row, got in zip(W.numpy(), found, strict=True):
        for start in (0, 4, 8):
            part = row[start : start + 4]
            g = np.abs(part).mean()
            np.testing.assert_allclose(got[start : start + 4], g * np.clip(np.round(part / g), -1, 1), rtol=1e-12)


def test_binary_weights_keep_sign_and_mean_size() -> None:
    W = weights(3, 8)
    found = binarize(W, 8)
    torch.testing.assert_close(found.abs().mean(1), W.abs().mean(1))
    assert torch.equal(found >= 0, W >= 0)


def test_the_forward_pass_sees_rounded_matrices_and_the_weights_are_back_to_the_bit() -> None:
    model = model_of()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    forward = build_forward_weights(Compression(forward_weights="int4"), model, seed=0)
    with forward.in_training(step=0, rates=FULL):
        changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
        for name in changed:
            assert torch.equal(model.get_parameter(name), quantize_rows(before[name], 7))
    matrices = {name for name, p in model.named_parameters() if p.role in ("matrix", "output_matrix")}
    assert changed == matrices
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_gradients_are_straight_through() -> None:
    model, twin = model_of(), model_of()
    ids = torch.randint(0, 1024, (2, 33), generator=torch.Generator().manual_seed(0))
    with build_forward_weights(Compression(forward_weights="int4"), model, seed=0).in_training(step=0, rates=FULL):
        model.loss(ids[:, :-1], ids[:, 1:]).backward()
    with torch.no_grad():
        for p in twin.parameters():
            if p.role in ("matrix", "output_matrix"):
                p.copy_(quantize_rows(p, 7))
    twin.loss(ids[:, :-1], ids[:, 1:]).backward()
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(model.parameters(), twin.parameters(), strict=True))


def test_late_quantisation_waits_for_the_warmdown() -> None:
    forward = build_forward_weights(Compression(forward_weights="int8", qat_start=0.15), model_of(), seed=0)
    assert [forward.acting(rates) for rates in (FULL, RISING, LOW)] == [(), (), ("quantized_forward_started",)]


@pytest.mark.parametrize(("kind", "is_evaluated"), [("int8", False), ("ternary", True), ("binary", True)])
def test_only_ternary_and_binary_models_are_evaluated_quantised(kind: str, is_evaluated: bool) -> None:
    model = model_of()
    before = model.blocks[0].attention.query.detach().clone()
    with build_forward_weights(Compression(forward_weights=kind, group_size=16), model, seed=0).in_evaluation():
        assert torch.equal(model.blocks[0].attention.query, before) is not is_evaluated
    assert torch.equal(model.blocks[0].attention.query, before)


def test_noise_has_the_spread_of_its_width_is_named_by_the_step_and_is_not_evaluated() -> None:
    model = model_of()
    query = model.blocks[0].attention.query
    before = query.detach().clone()
    forward = build_forward_weights(Compression(weight_noise=2.0), model, seed=0)
    seen = []
    for step in (0, 0, 1):
        with forward.in_training(step=step, rates=FULL):
            seen.append(query.detach() - before)
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])
    in_steps = seen[0] / row_step(before, 127)
    assert float(in_steps.std()) == pytest.approx(2.0 / math.sqrt(12), rel=0.03)
    with forward.in_evaluation():
        assert torch.equal(query, before)


def loss_of(model: Gpt):
    def losses(micro):
        total = sum(len(rows) for rows in micro)
        for rows in micro:
            yield model.loss(rows[:, :-1], rows[:, 1:]) * (len(rows) / total)

    return losses


def with_matrices(model: Gpt) -> list[nn.Parameter]:
    found = [p for p in model.parameters() if p.role in ("matrix", "output_matrix")]
    for p in found:
        p.grad = torch.zeros_like(p)
    return found


def rows_of(count: int) -> torch.Tensor:
    return torch.randint(0, 1024, (count, 33), generator=torch.Generator().manual_seed(0))


def test_with_no_inner_step_on_the_same_rows_the_gradient_is_repeated_with_its_weight() -> None:
    model, rows = model_of(), rows_of(4)
    matrices = with_matrices(model)
    meta = FirstOrderMeta(
        Optimizer(meta_ttt=0.5, meta_ttt_every=1, meta_ttt_lr=0.0, meta_ttt_rows="same"), matrices, Alone()
    )
    assert meta.add_gradients([rows], loss_of(model), step=0)
    plain = torch.autograd.grad(model.loss(rows[:, :-1], rows[:, 1:]), matrices)
    for p, gradient in zip(matrices, plain, strict=True):
        torch.testing.assert_close(p.grad, 0.5 * gradient)


def test_the_outer_gradient_is_taken_where_the_inner_step_led_and_weights_are_back_to_the_bit() -> None:
    model, twin, rows = model_of(), model_of(), rows_of(4)
    matrices, others = with_matrices(model), with_matrices(twin)
    before = [p.detach().clone() for p in matrices]
    FirstOrderMeta(Optimizer(meta_ttt=1.0, meta_ttt_every=1, meta_ttt_lr=0.1), matrices, Alone()).add_gradients(
        [rows], loss_of(model), step=0
    )
    assert all(torch.equal(p, b) for p, b in zip(matrices, before, strict=True))
    support, query = rows[0::2], rows[1::2]
    inner = torch.autograd.grad(twin.loss(support[:, :-1], support[:, 1:]), others)
    with torch.no_grad():
        for p, gradient in zip(others, inner, strict=True):
            p.sub_(0.1 * gradient)
    outer = torch.autograd.grad(twin.loss(query[:, :-1], query[:, 1:]), others)
    for p, gradient in zip(matrices, outer, strict=True):
        torch.testing.assert_close(p.grad, gradient, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("delta", "radius"), [(0.3, 0.0), (0.0, 0.05), (0.3, 0.05)])
def test_the_variants_of_the_meta_gradient_are_those_of_plain_steps(delta: float, radius: float) -> None:
    model, twin, rows = model_of(), model_of(), rows_of(4)
    matrices, others = with_matrices(model), with_matrices(twin)
    begin = [p.detach().clone() for p in matrices]
    levers = Optimizer(meta_ttt=1.0, meta_ttt_every=1, meta_ttt_lr=0.1, meta_ttt_delta=delta, meta_ttt_radius=radius)
    FirstOrderMeta(levers, matrices, Alone()).add_gradients([rows], loss_of(model), step=0)
    assert all(torch.equal(p, b) for p, b in zip(matrices, begin, strict=True))

    def gradient_at(offsets: list[torch.Tensor], part: torch.Tensor) -> list[torch.Tensor]:
        with torch.no_grad():
            for p, b, offset in zip(others, begin, offsets, strict=True):
                p.copy_(b + offset)
        return list(torch.autograd.grad(twin.loss(part[:, :-1], part[:, 1:]), others))

    support, query, nowhere = rows[0::2], rows[1::2], [torch.zeros_like(b) for b in begin]
    inner, at_start = gradient_at(nowhere, support), gradient_at(nowhere, query)
    if radius:
        norm = math.sqrt(sum(float(g.double().square().sum()) for g in inner))
        inner = gradient_at([radius / norm * g for g in inner], support)
    outer = gradient_at([-0.1 * g for g in inner], query)
    for p, after, before in zip(matrices, outer, at_start, strict=True):
        torch.testing.assert_close(p.grad, (1.0 + delta) * after - delta * before, rtol=1e-4, atol=1e-7)


LEARNED = {"meta_ttt": 0.5, "meta_ttt_every": 1, "meta_ttt_lr": 0.1, "meta_ttt_rates": "learned"}


@pytest.mark.parametrize("variant", [{}, {"meta_ttt_delta": 0.3}, {"meta_ttt_radius": 0.05}])
def test_rates_that_do_not_learn_are_the_fixed_rate_to_the_bit(variant: dict[str, float]) -> None:
    found = []
    for levers in ({**LEARNED, "meta_ttt_rates_lr": 0.0}, {**LEARNED, "meta_ttt_rates": "fixed"}):
        model = model_of()
        matrices = with_matrices(model)
        meta = FirstOrderMeta(Optimizer(**levers, **variant), matrices, Alone())
        for step in range(2):
            meta.add_gradients([rows_of(4)], loss_of(model), step=step)
        found.append([p.grad for p in matrices])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert meta.state == {}


def test_learned_rates_descend_the_weighted_loss_after_the_inner_step() -> None:
    """Each rate moves by minus the slope of that loss along it, here by differentiating through the inner step."""
    model, rows = model_of(), rows_of(4)
    matrices = with_matrices(model)
    shake(matrices)
    learning_rate = 0.25
    meta = FirstOrderMeta(Optimizer(**LEARNED, meta_ttt_rates_lr=learning_rate), matrices, Alone())
    meta.add_gradients([rows], loss_of(model), step=0)
    support, query = rows[0::2], rows[1::2]
    inner = torch.autograd.grad(model.loss(support[:, :-1], support[:, 1:]), matrices)
    names = [name for p in matrices for name, other in model.named_parameters() if other is p]
    rates = torch.full((len(matrices),), 0.1, requires_grad=True)
    moved = {name: p.detach() - rate * g for name, p, rate, g in zip(names, matrices, rates, inner, strict=True)}
    logits = torch.func.functional_call(model, moved, (query[:, :-1],))
    loss = 0.5 * nn.functional.cross_entropy(logits.flatten(0, 1), query[:, 1:].flatten())
    (slopes,) = torch.autograd.grad(loss, [rates])
    assert slopes.all()
    torch.testing.assert_close(meta.state["rates"] - 0.1, -learning_rate * slopes, rtol=1e-3, atol=1e-7)


def shake(matrices: list[nn.Parameter]) -> None:
    """Off the zeros of the matrices that write to the stream, which nothing behind them would feel."""
    with torch.no_grad():
        for index, p in enumerate(matrices):
            p.add_(torch.empty(p.shape).normal_(0.0, 0.1, generator=torch.Generator().manual_seed(index)))


def test_halves_of_the_rows_do_not_depend_on_micro_batches() -> None:
    rows = torch.arange(12).view(6, 2)
    for sizes in ((6,), (3, 3), (1, 5)):
        even, odd = split_rows(rows.split(sizes))
        assert torch.cat(even).tolist() == rows[0::2].tolist()
        assert torch.cat(odd).tolist() == rows[1::2].tolist()


def test_the_meta_gradient_comes_every_few_steps_and_never_without_weight() -> None:
    model = model_of()
    matrices, rows = with_matrices(model), rows_of(2)
    meta = build_meta(Optimizer(meta_ttt=0.5, meta_ttt_every=3), matrices, Alone())
    assert [meta.add_gradients([rows], loss_of(model), step=s) for s in range(6)] == [False, False, True] * 2
    assert not build_meta(Optimizer(), matrices, Alone()).add_gradients([rows], loss_of(model), step=3)
