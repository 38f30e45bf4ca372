"""Means over the law of a sample sd: the step from normal to t, noncentral and multivariate t alike."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from foldover.stats.tails import chi2_quantile

Array = NDArray[np.float64]


@lru_cache(maxsize=256)
def sd_quadrature(df: float) -> tuple[Array, Array]:
    """Values of s / sigma on df >= 1 degrees of freedom, and weights that add up to 1.

    Gauss-Legendre in sqrt(s), where the density is smooth at 0 for small df too. Probabilities that average
    over it are right to 1e-12 for whole df.
    """
    low, high = (math.sqrt(chi2_quantile(p, df) / df) for p in (1e-15, 1.0 - 1e-15))
    nodes, weights = legendre(160)
    u = math.sqrt(low) + (math.sqrt(high) - math.sqrt(low)) * 0.5 * (nodes + 1.0)
    s = u * u
    # The density of s times ds/du, up to a constant that the normalisation removes.
    logs = (df - 1.0) * np.log(s) - 0.5 * df * s * s + np.log(u)
    mass = weights * np.exp(logs - logs.max())
    return s, mass / mass.sum()


@lru_cache(maxsize=8)
def legendre(order: int) -> tuple[Array, Array]:
    """Nodes and weights of Gauss-Legendre quadrature on (-1, 1); computing them takes milliseconds."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    return nodes, weights


@lru_cache(maxsize=8)
def normal_quadrature(order: int) -> tuple[Array, Array]:
    """Values of a standard normal variable and weights that add up to 1 (Gauss-Hermite)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(order)
    return nodes, weights / weights.sum()
