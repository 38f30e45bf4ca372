"""Figures of what a model predicted, token by token. No torch.

Legend: R rows, T positions, V vocabulary; arrays (R, T) are of targets, in nats where they are losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ids = NDArray[np.integer]

CALIBRATION_BINS = 20
FIRST_BORDERS = (0, 16, 64, 256)
"""After these, position bins double."""
PAIRS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionBin:
    """Mean loss at the positions from `first` up to, not with, `end` of a row."""

    first: int
    end: int
    nats: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A class of targets: its share of their number and of the loss, and its own mean loss (None if it is empty)."""

    name: str
    count: float
    loss: float
    nats: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationBin:
    """Predictions whose largest probability lies in one bin: how many, the mean of it, and how many were right."""

    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """error: expected calibration error, the mean |accuracy - confidence| over predictions. Empty bins are left out."""

    error: float
    bins: tuple[CalibrationBin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Shares of targets that were the likeliest token, and among the five likeliest; top-1 of each class."""

    top1: float
    top5: float
    word_starts: float | None
    others: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """How often `predicted` was likeliest where `target` came."""

    target: int
    predicted: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """Mean loss of the target after the end of a sentence and elsewhere; None where there are none."""

    after_end: float | None
    elsewhere: float | None


def position_borders(context: int) -> tuple[int, ...]:
    """0, 16, 64, 256, 512, ... up to the context.

    >>> position_borders(300)
    (0, 16, 64, 256, 300)
    """
    borders = [border for border in FIRST_BORDERS if border < context]
    while borders[-1] >= FIRST_BORDERS[-1] and 2 * borders[-1] < context:
        borders.append(2 * borders[-1])
    return (*borders, context)


def loss_by_position(nats: Floats) -> tuple[PositionBin, ...]:
    """Mean loss (R, T) by bins of the position in a row."""
    borders = position_borders(nats.shape[1])
    return tuple(
        PositionBin(first=first, end=end, nats=float(nats[:, first:end].mean())) for first, end in pairwise(borders)
    )


def shares(nats: Floats, classes: Ids, names: Sequence[str]) -> tuple[Share, ...]:
    """Shares of the classes, which add up to 1. classes: of each target, an index into `names`."""
    counts = np.bincount(classes.ravel(), minlength=len(names))
    losses = np.bincount(classes.ravel(), weights=nats.ravel(), minlength=len(names))
    return tuple(
        Share(
            name=name,
            count=float(count / counts.sum()),
            loss=float(loss / losses.sum()) if losses.sum() else 0.0,
            nats=float(loss / count) if count else None,
        )
        for name, count, loss in zip(names, counts, losses, strict=True)
    )


def calibration(confidence: Floats, is_right: Flags, *, bins: int = CALIBRATION_BINS) -> Calibration:
    """Over bins of equal width of the likeliest token's probability (Guo et al. 2017, arXiv 1706.04599)."""
    confidence, is_right = confidence.ravel(), is_right.ravel()
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    found = []
    for i in np.unique(place):
        here = place == i
        found.append(
            CalibrationBin(
                count=int(here.sum()),
                confidence=float(confidence[here].mean()),
                accuracy=float(is_right[here].mean()),
            )
        )
    error = sum(one.count * abs(one.accuracy - one.confidence) for one in found) / len(confidence)
    return Calibration(error=float(error), bins=tuple(found))


def accuracy(is_top1: Flags, is_top5: Flags, is_word_start: Flags) -> Accuracy:
    """Top-1 and top-5, and top-1 where a word starts and elsewhere."""
    return Accuracy(
        top1=float(is_top1.mean()),
        top5=float(is_top5.mean()),
        word_starts=mean_of(is_top1, is_word_start),
        others=mean_of(is_top1, ~is_word_start),
    )


def confusions(targets: Ids, predicted: Ids, *, vocab_size: int, most: int = PAIRS) -> tuple[Confusion, ...]:
    """The most frequent pairs of a target and another token that was likeliest instead."""
    wrong = targets != predicted
    codes = targets[wrong].astype(np.int64) * vocab_size + predicted[wrong].astype(np.int64)
    pairs, counts = np.unique(codes, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:most]
    return tuple(
        Confusion(target=int(pairs[i] // vocab_size), predicted=int(pairs[i] % vocab_size), count=int(counts[i]))
        for i in order
    )


def boundary(nats: Floats, is_after_end: Flags) -> Boundary:
    """is_after_end: whether the input that a target (R, T) follows ends a sentence."""
    return Boundary(after_end=mean_of(nats, is_after_end), elsewhere=mean_of(nats, ~is_after_end))


def mean_of(values: Floats | Flags, where: Flags) -> float | None:
    """The mean where the flag stands; None if it stands nowhere."""
    return float(values[where].mean()) if where.any() else None
