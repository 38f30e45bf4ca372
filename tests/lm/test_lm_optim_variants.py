"""Every variant of Muon and AdamW against a plain implementation in float64, and the neutral values."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from foldover.core import bind
from foldover.lm.levers import LEVERS, MICRO, TrainConfig
from foldover.lm.levers_optimizer import Optimizer
from foldover.lm.model import build_model
from foldover.lm.optim import AdamW, Muon, build_optimizer, clip_gradients
from foldover.lm.rates import update_scale

POLAR = np.array(
    [
        [8.156554524902461, -22.48329292557795, 15.878769915207462],
        [4.042929935166739, -2.808917465908714, 0.5000178451051316],
        [3.8916678022926607, -2.772484153217685, 0.5060648178503393],
        [3.285753657755655, -2.3681294933425376, 0.46449024233003106],
        [2.3465413258596377, -1.7097828382687081, 0.42323551169305323],
    ]
)

VARIANTS: tuple[dict[str, object], ...] = (
    {},
    {"momentum_form": "classic"},
    {"nesterov": False},
    {"momentum_form": "classic", "nesterov": False},
    {"row_normalize": True},
    {"orthogonalization": "quintic_golf"},
    {"orthogonal_steps": 3},
    {"orthogonalization": "quintic_golf", "orthogonal_steps": 3, "normuon": False},
    {"normuon": False},
    {"muon_beta2": 0.5},
    {"update_scale": "ratio"},
    {"update_scale": "rms"},
    {"decay_form": "plain"},
)


class PlainMuon:
    """One matrix, numpy, written from the definitions alone."""

    def __init__(self, start: np.ndarray, o: Optimizer) -> None:
        self.p, self.o = start.copy(), o
        self.m, self.s = np.zeros_like(start), None

    def step(self, g: np.ndarray, *, multiplier: float, momentum: float, decay: float) -> None:
        o, (r, c) = self.o, g.shape
        if o.momentum_form == "ema":
            self.m = momentum * self.m + (1 - momentum) * g
            g = (1 - momentum) * g + momentum * self.m if o.nesterov else self.m
        else:
            self.m = momentum * self.m + g
            g = g + momentum * self.m if o.nesterov else self.m
        if o.row_normalize:
            g = g / np.maximum(np.sqrt((g**2).sum(1, keepdims=True)), 1e-7)
        norm = math.sqrt((g**2).sum())
        is_polar = o.orthogonalization == "polar_express"
        X = g / (1.02 * norm + 1e-6 if is_polar else norm + 1e-7)
        table = POLAR if is_polar else np.array([[3.4445, -4.7750, 2.0315]] * 5)
        for a, b, q in table[: o.orthogonal_steps]:
            A = X @ X.T
            X = a * X + (b * A + q * A @ A) @ X
        if o.normuon:
            axis = 1 if r >= c else 0
            v = (X**2).mean(axis, keepdims=True)
            self.s = (0 if self.s is None else o.muon_beta2 * self.s) + (1 - o.muon_beta2) * v
            evened = X / np.sqrt(np.maximum(self.s, 1e-10))
            X = evened * math.sqrt((X**2).sum() / (evened**2).sum())
        scale = {"tall": max(1, r / c) ** 0.5, "ratio": (r / c) ** 0.5, "rms": 0.2 * max(r, c) ** 0.5}[o.update_scale]
        lr = o.matrix_lr * multiplier
        if o.decay_form == "cautious":
            self.p = self.p - lr * scale * decay * self.p * (X * self.p >= 0)
        else:
            self.p = self.p * (1 - lr * decay)
        self.p = self.p - lr * scale * X


def draws(rows: int, columns: int, count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(11)
    return [torch.randn(rows, columns, generator=generator, dtype=torch.float64) for _ in range(count)]


@pytest.mark.parametrize("levers", VARIANTS, ids=str)
@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9)])
def test_muon_agrees_with_the_definitions_in_float64(levers: dict, shape: tuple[int, int]) -> None:
    optimizer = Optimizer(matrix_lr=0.05, **levers)
    start, *gradients = draws(*shape, 5)
    parameter = nn.Parameter(start.clone())
    muon, plain = Muon([parameter], optimizer, dtype=torch.float64), PlainMuon(start.numpy(), optimizer)
    for step, gradient in enumerate(gradients):
        momentum, multiplier = 0.85 + 0.02 * step, 1.0 - 0.1 * step
        muon.gradients[0].copy_(gradient)
        muon.step(lr_multiplier=multiplier, momentum=momentum, weight_decay=0.3)
        plain.step(gradient.numpy(), multiplier=multiplier, momentum=momentum, decay=0.3)
    np.testing.assert_allclose(parameter.detach().numpy(), plain.p, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("levers", VARIANTS[1:], ids=str)
def test_every_variant_of_muon_is_another_optimiser(levers: dict) -> None:
    results = []
    for variant in ({}, levers):
        start, *gradients = draws(4, 9, 5)
        parameter = nn.Parameter(start.clone())
        muon = Muon([parameter], Optimizer(**variant), dtype=torch.float64)
        for step, gradient in enumerate(gradients):
            muon.gradients[0].copy_(gradient)
            muon.step(lr_multiplier=1.0, momentum=0.85 + 0.02 * step, weight_decay=0.3)
        results.append(parameter.detach().clone())
    assert not torch.allclose(*results, rtol=1e-6, atol=0.0)


def test_a_row_scaled_gradient_gives_the_same_update_when_rows_are_normalised() -> None:
    gradient = draws(6, 6, 1)[0]
    moved = []
    for factor in (torch.ones(6, 1), torch.linspace(0.01, 100.0, 6).unsqueeze(1)):
        parameter = nn.Parameter(torch.zeros(6, 6, dtype=torch.float64))
        muon = Muon([parameter], Optimizer(row_normalize=True), dtype=torch.float64)
        muon.gradients[0].copy_(gradient * factor)
        muon.step(lr_multiplier=1.0, momentum=0.0, weight_decay=0.0)
        moved.append(parameter.detach().clone())
    torch.testing.assert_close(*moved, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_a_gradient_of_zero_moves_nothing(variant: dict) -> None:
    start = draws(4, 6, 1)[0]
    parameter = nn.Parameter(start.clone())
    Muon([parameter], Optimizer(**variant), dtype=torch.float64).step(lr_multiplier=1.0, momentum=0.9, weight_decay=0.0)
    assert torch.equal(parameter.detach(), start)


@pytest.mark.parametrize(("shape", "rms"), [((512, 512), 0.0441), ((2048, 512), 0.0442), ((512, 2048), 0.0221)])
def test_root_mean_square_of_an_update_is_that_of_an_orthogonal_matrix(shape: tuple[int, int], rms: float) -> None:
    r, c = shape  # levers.md D2: scale * sqrt(min(r, c) / (r c))
    assert update_scale("tall", r, c) * math.sqrt(min(r, c) / (r * c)) == pytest.approx(rms, rel=0.05)


def test_moonlight_scale_gives_every_shape_one_size() -> None:
    sizes = [update_scale("rms", r, c) * math.sqrt(min(r, c) / (r * c)) for r, c in ((64, 64), (256, 64), (64, 256))]
    assert sizes == pytest.approx([0.2] * 3)


def test_frozen_matrices_and_their_momentum_stay_and_the_others_do_not_notice() -> None:
    starts, gradients = draws(5, 4, 3), draws(5, 4, 3)
    both = [nn.Parameter(s.clone()) for s in starts]
    muon = Muon(both, Optimizer(), dtype=torch.float64)
    whole = [nn.Parameter(s.clone()) for s in starts]
    free = Muon(whole, Optimizer(), dtype=torch.float64)
    for m in (muon, free):
        m.gradients.copy_(torch.stack(gradients))
    muon.step(lr_multiplier=1.0, momentum=0.9, weight_decay=0.2, frozen=(1,))
    free.step(lr_multiplier=1.0, momentum=0.9, weight_decay=0.2)
    assert torch.equal(both[1].detach(), starts[1])
    assert not muon.state()["momentum"][1].any()
    assert torch.equal(both[0].detach(), whole[0].detach())
    assert torch.equal(both[2].detach(), whole[2].detach())


def test_adamw_with_decay_agrees_with_torch() -> None:
    start, *gradients = (m.float() for m in draws(5, 3, 6))
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    adam = AdamW([ours], lr=0.01, beta1=0.9, beta2=0.95, eps=1e-8, is_decayed=True)
    reference = torch.optim.AdamW([theirs], lr=0.01, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.3)
    for gradient in gradients:
        ours.grad, theirs.grad = gradient, gradient
        adam.step(lr_multiplier=1.0, weight_decay=0.3)
        reference.step()
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(
    "levers",
    [
        {"adam_eps": 1e-3},
        {"x0_beta1": 0.5},
        {"scalar_lr_share": 1.0},
        {"adam_beta1": 0.9},
        {"adam_beta2": 0.99},
    ],
    ids=str,
)
def test_every_dial_of_adamw_acts(levers: dict) -> None:
    assert not all(torch.equal(a, b) for a, b in zip(after_three_steps({}), after_three_steps(levers), strict=True))


def after_three_steps(levers: dict, *, adam_weight_decay: float = 0.0) -> list[torch.Tensor]:
    config = bind(TrainConfig, LEVERS.complete(levers, MICRO))
    model = build_model(config, seed=0, device=torch.device("cpu"))
    optimizer = build_optimizer(model, config.optimizer, width=64, muon_dtype=torch.float32)
    ids = torch.randint(0, 1024, (2, 33), generator=torch.Generator().manual_seed(0))
    for _ in range(3):
        model.loss(ids[:, :-1], ids[:, 1:]).backward()
        optimizer.step(lr_multiplier=1.0, momentum=0.9, weight_decay=0.0, adam_weight_decay=adam_weight_decay)
    return [p.detach().clone() for p in model.parameters()]


def test_decay_of_adamw_reaches_embeddings_and_head_but_no_scalar() -> None:
    plain, decayed = after_three_steps({}), after_three_steps({}, adam_weight_decay=0.5)
    names = [
        name for name, _ in build_model(bind(TrainConfig, MICRO), seed=0, device=torch.device("cpu")).named_parameters()
    ]
    changed = {name for name, a, b in zip(names, plain, decayed, strict=True) if not torch.equal(a, b)}
    assert {"embedding", "head.weight"} <= changed
    config = bind(TrainConfig, MICRO)
    model = build_model(config, seed=0, device=torch.device("cpu"))
    optimizer = build_optimizer(model, config.optimizer, width=64, muon_dtype=torch.float32)
    assert [adam.is_decayed for adam in optimizer._adam] == [True, True, False, False]


def test_clipping_brings_the_global_norm_to_its_limit_and_keeps_directions() -> None:
    config = bind(TrainConfig, MICRO)
    model = build_model(config, seed=0, device=torch.device("cpu"))
    optimizer = build_optimizer(model, config.optimizer, width=64, muon_dtype=torch.float32)
    ids = torch.randint(0, 1024, (2, 33), generator=torch.Generator().manual_seed(0))
    model.loss(ids[:, :-1], ids[:, 1:]).backward()
    before = {name: p.grad.double().clone() for name, p in model.named_parameters()}
    norm = math.sqrt(sum(float(g.square().sum()) for g in before.values()))
    assert float(clip_gradients(optimizer, norm / 4)) == pytest.approx(norm, rel=1e-5)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad.double(), before[name] / 4, rtol=1e-5, atol=1e-9)


def test_a_limit_that_is_not_reached_clips_nothing() -> None:
    config = bind(TrainConfig, MICRO)
    model = build_model(config, seed=0, device=torch.device("cpu"))
    optimizer = build_optimizer(model, config.optimizer, width=64, muon_dtype=torch.float32)
    ids = torch.randint(0, 1024, (2, 33), generator=torch.Generator().manual_seed(0))
    model.loss(ids[:, :-1], ids[:, 1:]).backward()
    before = [p.grad.clone() for p in model.parameters()]
    clip_gradients(optimizer, 1e6)
    assert all(torch.equal(g, p.grad) for g, p in zip(before, model.parameters(), strict=True))
