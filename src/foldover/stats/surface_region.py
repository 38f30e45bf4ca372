"""The best point of a second-order surface within the levels that factors can take, and how well it is known.

Between low and high the region of a face-centred composite is a cube, so its best point is found on a lattice of the
cube; `surface.constrained_optimum` looks in a ball, as suits designs with axial runs outside.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foldover.core import AnalysisError, Direction
from foldover.stats.surface import SurfaceFit
from foldover.stats.tails import critical_t
from foldover.stats.terms import resolve_terms, term_columns

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionBest:
    """The best point of the fit (coded); low, high: where it lies in draws of the coefficients, factor by factor."""

    x: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceDifference:
    """Predicted response at a first point less that at a second, with its interval from t on the fit's df."""

    estimate: float
    low: float
    high: float


def best_in_region(
    fit: SurfaceFit,
    places: Sequence[Sequence[float]],
    *,
    direction: Direction = "minimize",
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> RegionBest:
    """The best point of a lattice: places has the coded levels of each factor, in the order of `fit.letters`.

    draws: of the coefficients from their multivariate t; the quantiles of their best points are the interval. Raises
    AnalysisError for a factor without levels, and where the fit leaves no error to draw from.
    """
    if len(places) != len(fit.letters) or not all(places):
        raise AnalysisError("every factor of the surface needs levels", value=[len(own) for own in places])
    if fit.df < 1:
        raise AnalysisError("the fit leaves no error: there is no interval to give", value=fit.df)
    lattice = np.array(list(itertools.product(*places)), dtype=np.float64)
    sign = 1.0 if direction == "minimize" else -1.0
    X, at = _columns(fit, lattice), _places_of_terms(fit)
    coef, covariance = fit.coef[at], fit.covariance[np.ix_(at, at)]
    rng = np.random.default_rng(seed)
    root = np.linalg.cholesky(covariance + 1e-15 * np.eye(len(at)) * float(np.trace(covariance)))
    scale = np.sqrt(fit.df / rng.chisquare(fit.df, size=draws))[:, None]
    drawn = coef + scale * (rng.standard_normal((draws, len(at))) @ root.T)
    best = np.array([int((sign * (X @ each)).argmin()) for each in drawn])
    tails = [0.5 - level / 2.0, 0.5 + level / 2.0]
    low, high = np.quantile(lattice[best], tails, axis=0, method="inverted_cdf")
    return RegionBest(
        x=tuple(lattice[int((sign * (X @ coef)).argmin())].tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
    )


def surface_difference(
    fit: SurfaceFit, first: Sequence[float], second: Sequence[float], *, level: float = 0.95
) -> SurfaceDifference:
    """First less second, both coded; blocks cancel. Raises AnalysisError where the fit leaves no error."""
    if fit.df < 1:
        raise AnalysisError("the fit leaves no error: there is no interval to give", value=fit.df)
    at = _places_of_terms(fit)
    rows = _columns(fit, np.array([first, second], dtype=np.float64))
    contrast = rows[0] - rows[1]
    estimate = float(contrast @ fit.coef[at])
    half = critical_t(level, float(fit.df)) * math.sqrt(float(contrast @ fit.covariance[np.ix_(at, at)] @ contrast))
    return SurfaceDifference(estimate=estimate, low=estimate - half, high=estimate + half)


def _columns(fit: SurfaceFit, points: Array) -> Array:
    return np.asarray(term_columns(resolve_terms("quadratic", fit.letters), points, fit.letters))


def _places_of_terms(fit: SurfaceFit) -> list[int]:
    return [i for i, name in enumerate(fit.names) if name != "1" and not name.startswith("block ")]
