from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from foldover.lm.averaging import Average, averaged, build_average
from foldover.lm.levers_training import Averaging
from foldover.lm.schedule import Rates


class Small(nn.Module):
    """One parameter that two names share, and one of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.tensor([1.0, 2.0]))
        self.again = self.first
        self.second = nn.Parameter(torch.tensor([[3.0]]))


def rates(multiplier: float = 1.0, *, is_down: bool = False) -> Rates:
    return Rates(
        lr_multiplier=multiplier, momentum=0.9, weight_decay=0.0, adam_weight_decay=0.0, is_warming_down=is_down
    )


def follow(average: Average, model: Small, path: list[float], multipliers: list[float] | None = None) -> list[bool]:
    """Let the first weight take these values, a step each."""
    taken = []
    for step, value in enumerate(path):
        with torch.no_grad():
            model.first.fill_(value)
        multiplier = 1.0 if multipliers is None else multipliers[step]
        taken.append(average.update(step=step, rates=rates(multiplier, is_down=multiplier < 1.0)))
    return taken


def first_weight(average: Average) -> float:
    weights = average.weights()
    assert weights is not None
    return float(weights[0][0])


def test_no_average_is_the_default() -> None:
    assert build_average(Averaging(), Small()).weights() is None


def test_a_moving_average_agrees_with_its_closed_form_after_three_steps() -> None:
    model = Small()
    average = build_average(Averaging(kind="ema", ema_decay=0.9), model)
    follow(average, model, [2.0, 3.0, 4.0])
    expected = 0.9**3 * 1.0 + 0.1 * (0.9**2 * 2.0 + 0.9 * 3.0 + 4.0)
    assert first_weight(average) == pytest.approx(expected, rel=1e-6)


def test_a_debiased_moving_average_knows_nothing_of_the_initial_weights() -> None:
    model = Small()
    average = build_average(Averaging(kind="ema", ema_decay=0.9, ema_debias=True), model)
    follow(average, model, [2.0, 3.0, 4.0])
    expected = 0.1 * (0.9**2 * 2.0 + 0.9 * 3.0 + 4.0) / (1 - 0.9**3)
    assert first_weight(average) == pytest.approx(expected, rel=1e-6)


def test_a_moving_average_of_decay_zero_is_the_weights() -> None:
    model = Small()
    average = build_average(Averaging(kind="ema", ema_decay=0.0), model)
    follow(average, model, [2.0, 3.0])
    assert torch.equal(average.weights()[0], model.first.detach())


def test_constant_weights_are_their_own_average() -> None:
    for kind in ("ema", "lawa"):
        model = Small()
        average = build_average(Averaging(kind=kind, snapshot_every=1), model)
        follow(average, model, [5.0] * 400)
        assert first_weight(average) == pytest.approx(5.0, rel=0.02)


def test_a_moving_average_updated_every_few_steps_keeps_its_horizon() -> None:
    model = Small()
    average = build_average(Averaging(kind="ema", ema_decay=0.9, ema_every=2), model)
    taken = follow(average, model, [2.0, 3.0, 4.0, 5.0])
    assert taken == [False, True, False, True]
    expected = 0.81 * (0.81 * 1.0 + 0.19 * 3.0) + 0.19 * 5.0
    assert first_weight(average) == pytest.approx(expected, rel=1e-6)


def test_swa_is_the_mean_of_the_snapshots_of_the_end_of_the_warmdown() -> None:
    model = Small()
    average = build_average(Averaging(kind="swa", swa_start=0.5, snapshot_every=2), model)
    taken = follow(average, model, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 1.0, 0.8, 0.5, 0.3, 0.1])
    assert taken == [False, False, False, True, False, True]
    assert first_weight(average) == pytest.approx((4.0 + 6.0) / 2)


def test_swa_takes_no_snapshot_of_a_warmup_whose_rates_are_as_low() -> None:
    average = build_average(Averaging(kind="swa", swa_start=0.5, snapshot_every=1), Small())
    assert not average.update(step=0, rates=rates(0.1, is_down=False))
    assert average.weights() is None


def test_lawa_is_the_mean_of_the_last_snapshots() -> None:
    model = Small()
    average = build_average(Averaging(kind="lawa", lawa_snapshots=3, snapshot_every=1), model)
    found = []
    for step, value in enumerate([1.0, 2.0, 3.0, 4.0, 5.0]):
        with torch.no_grad():
            model.first.fill_(value)
        average.update(step=step, rates=rates())
        found.append(first_weight(average))
    assert found == pytest.approx([1.0, 1.5, 2.0, 3.0, 4.0])
    assert all(b > a for a, b in pairwise(found))


def test_shared_weights_are_averaged_once() -> None:
    average = build_average(Averaging(kind="ema"), Small())
    average.update(step=0, rates=rates())
    assert len(average.weights()) == 2


def test_the_average_is_in_the_model_inside_and_its_own_weights_are_back_outside() -> None:
    model = Small()
    average = build_average(Averaging(kind="ema", ema_decay=0.5), model)
    follow(average, model, [3.0])
    with averaged(model, average):
        inside = float(model.again[0].detach())
    assert inside == pytest.approx(2.0)
    assert float(model.first[0].detach()) == 3.0


def test_without_snapshots_the_last_weights_are_evaluated() -> None:
    model = Small()
    with averaged(model, build_average(Averaging(kind="swa"), model)):
        assert float(model.first[0].detach()) == 1.0


@pytest.mark.parametrize("kind", ["ema", "swa", "lawa"])
def test_a_state_that_is_put_back_gives_the_same_average(kind: str) -> None:
    levers = Averaging(kind=kind, snapshot_every=1, swa_start=1.0, lawa_snapshots=3)
    model, other = Small(), Small()
    average, copy = build_average(levers, model), build_average(levers, other)
    follow(average, model, [2.0, 3.0, 4.0, 5.0], [0.9] * 4)
    for name, tensor in copy.state.items():
        tensor.copy_(average.state[name])
    assert torch.equal(copy.weights()[0], average.weights()[0])
