"""Weights that are evaluated in the end: the last ones, or an average of those on the way (levers `averaging.*`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn

from foldover.lm.levers_training import Averaging
from foldover.lm.schedule import Rates


class Average(Protocol):
    """Follows a training run. Updated after each step; `state` is written to in place when it is restored."""

    def update(self, *, step: int, rates: Rates) -> bool:
        """Take note of the weights after a step (from 0); True if they went into the average."""

    def weights(self) -> Sequence[Tensor] | None:
        """The average, a tensor for each parameter; None while there is none."""

    @property
    def state(self) -> Mapping[str, Tensor]:
        """Everything that is remembered."""


class LastWeights:
    """No average."""

    def update(self, *, step: int, rates: Rates) -> bool:
        """Nothing to do."""
        return False

    def weights(self) -> Sequence[Tensor] | None:
        """None."""
        return None

    @property
    def state(self) -> Mapping[str, Tensor]:
        """Nothing."""
        return {}


class MovingAverage:
    """s = beta s + (1 - beta) w, from the initial weights, or from zero and divided by 1 - beta^n (debiased).

    With an update every k steps the decay is beta^k, so that the horizon stays what it is.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], *, decay: float, every: int, is_debiased: bool) -> None:
        self._parameters = tuple(parameters)
        self._decay, self._every, self._is_debiased = decay**every, every, is_debiased
        start = torch.zeros_like if is_debiased else torch.clone
        self._averages = [start(p.detach()) for p in self._parameters]
        self._updates = torch.zeros((), dtype=torch.int64)

    @torch.no_grad()
    def update(self, *, step: int, rates: Rates) -> bool:
        """Every `every` steps."""
        if (step + 1) % self._every:
            return False
        for average, parameter in zip(self._averages, self._parameters, strict=True):
            average.lerp_(parameter, 1.0 - self._decay)
        self._updates += 1
        return True

    def weights(self) -> Sequence[Tensor] | None:
        """The average; None before the first update."""
        updates = int(self._updates)
        if not updates:
            return None
        if not self._is_debiased:
            return self._averages
        return [average / (1.0 - self._decay**updates) for average in self._averages]

    @property
    def state(self) -> Mapping[str, Tensor]:
        """Averages and number of updates."""
        return {"updates": self._updates, **{f"average.{i}": t for i, t in enumerate(self._averages)}}


class SnapshotMean:
    """The mean of snapshots taken every so many steps of the warm-down, once rates are low (SWA).

    Izmailov et al. 2018, arXiv 1803.05407; the threshold is on the factor on learning rates, as in
    openai/parameter-golf, whatever its name there (SWA_START_FRAC).
    """

    def __init__(self, parameters: Sequence[nn.Parameter], *, start: float, every: int) -> None:
        self._parameters = tuple(parameters)
        self._start, self._every = start, every
        self._sums = [torch.zeros_like(p.detach()) for p in self._parameters]
        self._count = torch.zeros((), dtype=torch.int64)

    @torch.no_grad()
    def update(self, *, step: int, rates: Rates) -> bool:
        """Every `every` steps of the end of the warm-down."""
        if (step + 1) % self._every or not rates.is_warming_down or rates.lr_multiplier > self._start:
            return False
        for total, parameter in zip(self._sums, self._parameters, strict=True):
            total.add_(parameter)
        self._count += 1
        return True

    def weights(self) -> Sequence[Tensor] | None:
        """The mean; None if no snapshot was taken."""
        count = int(self._count)
        return [total / count for total in self._sums] if count else None

    @property
    def state(self) -> Mapping[str, Tensor]:
        """Sums and number of snapshots."""
        return {"count": self._count, **{f"sum.{i}": t for i, t in enumerate(self._sums)}}


class LastSnapshots:
    """The mean of the last few snapshots (LAWA: Kaddour 2022, arXiv 2209.14981)."""

    def __init__(self, parameters: Sequence[nn.Parameter], *, snapshots: int, every: int) -> None:
        self._parameters = tuple(parameters)
        self._every = every
        self._ring = [p.detach().new_zeros((snapshots, *p.shape)) for p in self._parameters]
        self._count = torch.zeros((), dtype=torch.int64)

    @torch.no_grad()
    def update(self, *, step: int, rates: Rates) -> bool:
        """Every `every` steps."""
        if (step + 1) % self._every:
            return False
        for ring, parameter in zip(self._ring, self._parameters, strict=True):
            ring[int(self._count) % len(ring)].copy_(parameter)
        self._count += 1
        return True

    def weights(self) -> Sequence[Tensor] | None:
        """The mean; None if no snapshot was taken."""
        count = int(self._count)
        return [ring[:count].mean(dim=0) for ring in self._ring] if count else None

    @property
    def state(self) -> Mapping[str, Tensor]:
        """The snapshots and how many were taken."""
        return {"count": self._count, **{f"ring.{i}": t for i, t in enumerate(self._ring)}}


def build_average(averaging: Averaging, model: nn.Module) -> Average:
    """The average of a recipe. Shared parameters count once."""
    parameters = list(model.parameters())
    if averaging.kind == "ema":
        return MovingAverage(
            parameters, decay=averaging.ema_decay, every=averaging.ema_every, is_debiased=averaging.ema_debias
        )
    if averaging.kind == "swa":
        return SnapshotMean(parameters, start=averaging.swa_start, every=averaging.snapshot_every)
    if averaging.kind == "lawa":
        return LastSnapshots(parameters, snapshots=averaging.lawa_snapshots, every=averaging.snapshot_every)
    return LastWeights()


@contextmanager
def averaged(model: nn.Module, average: Average) -> Iterator[None]:
    """The model with the average for weights, where there is one; its own are back afterwards, to the bit."""
    weights = average.weights()
    if weights is None:
        yield
        return
    parameters = list(model.parameters())
    with torch.no_grad():
        kept = [p.detach().clone() for p in parameters]
        for parameter, weight in zip(parameters, weights, strict=True):
            parameter.copy_(weight)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, weight in zip(parameters, kept, strict=True):
                parameter.copy_(weight)
