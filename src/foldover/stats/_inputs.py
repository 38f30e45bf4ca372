"""Checks of numbers that several tests share. Each refusal says what, the value, and what to do."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence, Sized
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from foldover.core import AnalysisError

_K = TypeVar("_K", bound=Hashable)


def require_probability(value: float, name: str) -> float:
    """`value` if it lies strictly between 0 and 1; AnalysisError otherwise."""
    if not 0.0 < value < 1.0:
        raise AnalysisError(f"{name} must lie strictly between 0 and 1", value=value, fix="Write 0.05, not 5.")
    return float(value)


def require_positive(value: float, name: str) -> float:
    """`value` if it is finite and above 0; AnalysisError otherwise."""
    if not (math.isfinite(value) and value > 0.0):
        raise AnalysisError(f"{name} must be a positive number", value=value, fix=f"Give the {name} in response units.")
    return float(value)


def require_effect(value: float) -> float:
    """`value` if it is finite and other than 0; AnalysisError otherwise."""
    if not math.isfinite(value) or value == 0.0:
        raise AnalysisError(
            "power is asked for an effect other than 0", value=value, fix="Give the smallest effect that matters."
        )
    return float(value)


def require_count(value: int, name: str, *, least: int = 1) -> int:
    """`value` if it is at least `least`; AnalysisError otherwise."""
    if value < least:
        raise AnalysisError(f"{name} must be at least {least}", value=value, fix=f"Raise the {name}.")
    return int(value)


def sample(values: Sequence[float] | NDArray[np.float64], name: str, *, least: int = 1) -> NDArray[np.float64]:
    """The values as a vector; AnalysisError if one is not finite or there are fewer than `least`."""
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1:
        raise AnalysisError(f"{name} must be one column of numbers", value=vector.shape)
    if len(vector) < least:
        raise AnalysisError(
            f"{name} needs at least {least} values",
            value=len(vector),
            fix="Run more seeds, or describe it without a test.",
        )
    bad = np.flatnonzero(~np.isfinite(vector))
    if len(bad):
        raise AnalysisError(
            f"{name} has a value that is not a finite number at position {int(bad[0])}",
            value=float(vector[bad[0]]),
            fix="Mark the run as failed or excluded with a reason; nothing is dropped silently.",
        )
    return vector


def matched(
    a: Mapping[_K, float], b: Mapping[_K, float], *, least: int = 2
) -> tuple[tuple[_K, ...], NDArray[np.float64]]:
    """The common keys (seeds), sorted, and the differences a - b; AnalysisError if a key has no partner."""
    lonely = sorted(set(a) ^ set(b), key=repr)
    if lonely:
        raise AnalysisError(
            "a paired comparison needs each seed on both sides",
            value=lonely,
            fix="Rerun those seeds or compare by `welch`.",
        )
    keys = tuple(sorted(a, key=lambda key: (str(type(key)), key)))
    first = sample([a[key] for key in keys], "first side", least=least)
    second = sample([b[key] for key in keys], "second side", least=least)
    return keys, first - second


def equal_length(**columns: Sized) -> int:
    """The common length of the named columns; AnalysisError if they differ."""
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise AnalysisError("the columns differ in length", value=lengths, fix="Give one entry a run in every column.")
    return next(iter(lengths.values()))
