"""Objectives against plain float64, their neutral values, and their independence of micro-batches."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from foldover.core import bind
from foldover.lm.levers import LEVERS, MICRO, TrainConfig
from foldover.lm.levers_training import Loss
from foldover.lm.loss import Objective, PlainObjective, build_objective
from foldover.lm.model import build_model
from foldover.lm.token_classes import TokenClasses, token_classes

CPU = torch.device("cpu")
V, B, T = 12, 6, 8

CLASSES = TokenClasses(
    word_start=np.arange(V) % 3 == 0, short_suffix=np.arange(V) % 3 == 1, sentence_end=np.arange(V) == 5
)

OFF_NEUTRAL: tuple[dict[str, float], ...] = (
    {"ignore_token": 4},
    {"label_smoothing": 0.1},
    {"focal_gamma": 2.0},
    {"word_start_weight": 1.5},
    {"word_start_ramp_from": 0.1},
    {"suffix_weight": 0.8},
    {"position_weight": 1.2},
    {"mile_gamma": 1.0},
    {"z_loss": 1e-2},
    {"sentence_end_weight": 3.0},
)
TOGETHER = {name: value for levers in OFF_NEUTRAL for name, value in levers.items()}


class FixedModel:
    """Logits that are parameters, one set a row; and one auxiliary term."""

    def __init__(self, logits: torch.Tensor) -> None:
        self.logits = logits.requires_grad_()
        self.first = 0

    def at(self, first: int) -> FixedModel:
        self.first = first
        return self

    def loss_terms(self, ids: torch.Tensor, targets: torch.Tensor) -> dict[str, torch.Tensor]:
        logits, terms = self.logits_and_terms(ids, targets)
        return {"cross_entropy": torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())} | terms

    def logits_and_terms(self, ids: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, dict]:
        own = self.logits[self.first : self.first + len(ids)]
        return own, {"extra": own.square().mean()}


def some_rows() -> torch.Tensor:
    return torch.randint(0, V, (B, T + 1), generator=torch.Generator().manual_seed(0))


def fixed_model() -> FixedModel:
    return FixedModel(torch.randn(B, T, V, generator=torch.Generator().manual_seed(1)))


def total(objective: Objective, sizes: tuple[int, ...], progress: float = 0.25) -> tuple[float, torch.Tensor]:
    """Objective and gradient of a step cut into micro-batches of these sizes."""
    model, micro = fixed_model(), list(some_rows().split(sizes))
    value, first = 0.0, 0
    for rows, share in zip(micro, objective.shares(micro, progress=progress), strict=True):
        losses = objective.losses(model.at(first), rows, share)
        losses.objective.backward()
        value += float(losses.objective.detach())
        first += len(rows)
    return value, model.logits.grad


def plain_numpy(levers: dict[str, float], progress: float) -> float:
    """The definition of levers.md C-V, one token at a time."""
    loss = Loss(**levers)
    rows, logits = some_rows().numpy(), fixed_model().logits.detach().double().numpy()
    numerator = denominator = 0.0
    for b in range(B):
        entropies, tokens = [], []
        for t in range(T):
            target, before, z = rows[b, t + 1], rows[b, t], logits[b, t]
            log_z = math.log(np.exp(z).sum())
            log_p = z - log_z
            p = np.exp(log_p)
            nll = -log_p[target]
            value = (1 - loss.label_smoothing) * nll + loss.label_smoothing * -log_p.mean()
            value = (1 - p[target]) ** loss.focal_gamma * value + loss.z_loss * log_z**2
            weight = 1 + (loss.position_weight - 1) * t / (T - 1)
            if CLASSES.word_start[target]:
                weight *= loss.word_start_weight
                weight *= loss.word_start_ramp_from + (1 - loss.word_start_ramp_from) * progress
            elif CLASSES.short_suffix[target]:
                weight *= loss.suffix_weight
            if CLASSES.sentence_end[before]:
                weight *= loss.sentence_end_weight
            if target == loss.ignore_token:
                weight = 0.0
            entropies.append((1 - (p * log_p).sum()) ** loss.mile_gamma)
            tokens.append((weight, value))
        mean = np.mean(entropies)
        for (weight, value), entropy in zip(tokens, entropies, strict=True):
            numerator += weight * value * entropy / mean
            denominator += weight
    return numerator / denominator + float(np.square(logits).mean())


@pytest.mark.parametrize("levers", [*OFF_NEUTRAL, TOGETHER], ids=lambda levers: "+".join(levers))
def test_an_objective_agrees_with_its_definition_in_float64(levers: dict) -> None:
    value, _ = total(build_objective(Loss(**levers), lambda: CLASSES, CPU), (B,))
    assert value == pytest.approx(plain_numpy(levers, 0.25), rel=2e-6)


@pytest.mark.parametrize("levers", OFF_NEUTRAL, ids=lambda levers: "+".join(levers))
def test_every_lever_off_neutral_is_another_objective(levers: dict) -> None:
    plain, _ = total(PlainObjective(), (B,))
    value, _ = total(build_objective(Loss(**levers), lambda: CLASSES, CPU), (B,))
    assert value != pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize("levers", [{}, TOGETHER], ids=["plain", "together"])
def test_how_a_step_is_cut_into_micro_batches_changes_nothing(levers: dict) -> None:
    objective = build_objective(Loss(**levers), lambda: CLASSES, CPU)
    whole, parts, uneven = (total(objective, sizes) for sizes in ((6,), (2, 2, 2), (1, 5)))
    for other in (parts, uneven):
        assert other[0] == pytest.approx(whole[0], rel=1e-6)
        torch.testing.assert_close(other[1], whole[1], rtol=1e-5, atol=1e-8)


def test_neutral_levers_use_the_fused_loss_and_ask_for_no_classes() -> None:
    def refuse() -> TokenClasses:
        raise AssertionError("classes were asked for")

    assert isinstance(build_objective(Loss(), refuse, CPU), PlainObjective)


def test_weights_of_a_step_add_up_to_one() -> None:
    micro = list(some_rows().split((4, 2)))
    shares = build_objective(Loss(**TOGETHER), lambda: CLASSES, CPU).shares(micro, progress=0.5)
    assert sum(float(share.tokens.sum()) for share in shares) == pytest.approx(1.0)
    assert sum(share.rows for share in shares) == pytest.approx(1.0)


def test_the_loss_that_is_reported_is_the_plain_cross_entropy_whatever_is_minimised() -> None:
    rows = some_rows()
    objective = build_objective(Loss(**TOGETHER), lambda: CLASSES, CPU)
    (share,) = objective.shares([rows], progress=0.5)
    model = fixed_model()
    expected = torch.nn.functional.cross_entropy(model.logits.flatten(0, 1), rows[:, 1:].flatten())
    assert float(objective.losses(model, rows, share).plain) == pytest.approx(float(expected.detach()), rel=1e-6)


def test_nothing_is_left_of_a_step_whose_targets_are_all_ignored() -> None:
    rows = torch.full((2, T + 1), 4)
    objective = build_objective(Loss(ignore_token=4), lambda: CLASSES, CPU)
    (share,) = objective.shares([rows], progress=0.0)
    assert not share.tokens.any()


def test_the_weighted_path_of_a_model_gives_the_gradients_of_its_fused_loss_at_nearly_neutral_values() -> None:
    config = bind(TrainConfig, MICRO)
    model = build_model(config, seed=0, device=CPU)
    rows = torch.randint(0, 1024, (2, 65), generator=torch.Generator().manual_seed(0))
    none = np.zeros(1024, dtype=np.bool_)
    classes = TokenClasses(word_start=none, short_suffix=none, sentence_end=none)
    gradients = []
    for loss in (Loss(), Loss(z_loss=1e-30)):
        model.zero_grad()
        objective = build_objective(loss, lambda: classes, CPU)
        (share,) = objective.shares([rows], progress=0.0)
        objective.losses(model, rows, share).objective.backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters()})
    for name in gradients[0]:
        torch.testing.assert_close(gradients[0][name], gradients[1][name], rtol=1e-4, atol=1e-8, msg=name)


def test_token_classes_of_some_pieces() -> None:
    pieces = [b" the", b"ing", b"tion", b".", b'."', b" ", b" 7", b"\xc3", " é".encode(), b"?\n"]
    found = token_classes([*pieces, b"", b""])
    assert np.flatnonzero(found.word_start).tolist() == [0, 8]
    assert np.flatnonzero(found.short_suffix).tolist() == [1]
    assert np.flatnonzero(found.sentence_end).tolist() == [3, 4, 9]


def test_loss_levers_are_declared_with_the_values_that_do_nothing() -> None:
    declared = {name.removeprefix("loss."): lever for name, lever in LEVERS.items() if name.startswith("loss.")}
    assert set(declared) == set(TOGETHER)
    assert all(lever.neutral == lever.default for lever in declared.values())
