"""Looking at data more than once: group-sequential boundaries, and the sample size from a pilot.

"Add seeds until it is significant" has no valid p-value. With K looks declared before data, each at a boundary
from here, the overall error is kept: Pocock (1977), O'Brien and Fleming (1979), Lan and DeMets (1983) for looks
at unequal information. Crossing probabilities follow the recursive integration of Armitage, McPherson and
Rowe (1969).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from foldover.core import AnalysisError
from foldover.stats._chi import legendre
from foldover.stats._inputs import require_positive, require_probability, sample
from foldover.stats.tails import critical_t, normal_upper

Shape = Literal["pocock", "obrien_fleming"]
_NODES = 128  # a look; Gauss-Legendre on a smooth density: boundaries agree with 256 nodes to 1e-10
_REACH = 9.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundaries:
    """Two-sided boundaries of K looks.

    z: reject at look k when |z| is at least z[k]; nominal: the same as two-sided p-values, which also serve
    t tests; information: fraction of the planned data at each look; spent: error used up to each look.
    """

    shape: str
    alpha: float
    information: tuple[float, ...]
    z: tuple[float, ...]
    nominal: tuple[float, ...]
    spent: tuple[float, ...]


def pocock(looks: int, *, alpha: float = 0.05) -> Boundaries:
    """The same boundary at each of `looks` equally spaced looks: 2.178 for two, 2.289 for three at 0.05."""
    return _constant("pocock", looks, alpha)


def obrien_fleming(looks: int, *, alpha: float = 0.05) -> Boundaries:
    """Boundaries c sqrt(K / k): hard at first, nearly the fixed-sample one at the end (1.977 for K = 2)."""
    return _constant("obrien_fleming", looks, alpha)


def lan_demets(information: Sequence[float], *, alpha: float = 0.05, shape: Shape = "obrien_fleming") -> Boundaries:
    """Boundaries for looks at the given fractions of the planned information, by an alpha-spending function.

    obrien_fleming spends 2 - 2 Phi(z / sqrt(t)) on each side, with z the upper alpha / 4 point; pocock spends
    alpha ln(1 + (e - 1) t).
    Raises AnalysisError unless the fractions rise within (0, 1].
    """
    times = _times(information)
    require_probability(alpha, "alpha")
    z: list[float] = []
    for k in range(len(times)):
        budget = _spending(float(times[k]), alpha, shape)
        low, high = 0.0, _REACH - 1.0
        for _ in range(45):
            middle = 0.5 * (low + high)
            if _crossed(times[: k + 1], np.array([*z, middle]))[-1] > budget:
                low = middle
            else:
                high = middle
        z.append(high)
    return _boundaries(f"lan_demets {shape}", alpha, times, np.array(z))


def unplanned_alpha(looks: int, *, alpha: float = 0.05) -> float:
    """The real error of testing at `alpha` at each of `looks` equally spaced looks: 0.142 for five at 0.05."""
    require_probability(alpha, "alpha")
    z = -float(_normal_quantile(alpha / 2.0))
    times = _equal(looks)
    return float(_crossed(times, np.full(len(times), z))[-1])


def sequential_power(boundaries: Boundaries, ncp: float) -> tuple[float, ...]:
    """Probability to have rejected by each look. ncp: expected z at full information (effect / se), finite."""
    if not math.isfinite(ncp):
        raise AnalysisError("the expected z must be a number", value=ncp, fix="Give effect / standard error.")
    return tuple(float(p) for p in _crossed(np.array(boundaries.information), np.array(boundaries.z), ncp))


def stein_two_stage(pilot: Sequence[float], half_width: float, *, level: float = 0.95) -> int:
    """Total number of runs for an interval of the mean no wider than +- `half_width` (Stein 1945).

    n = max(n0, ceil((t s / h)^2)) with t and s from the pilot alone; the interval then uses s of the pilot and
    the mean of all. Raises AnalysisError for a pilot of fewer than two runs.
    """
    first = sample(pilot, "the pilot", least=2)
    require_probability(level, "level")
    t = critical_t(level, len(first) - 1)
    n = (t * float(first.std(ddof=1)) / require_positive(half_width, "half width")) ** 2
    return max(len(first), math.ceil(n - 1e-9))


@lru_cache(maxsize=128)
def _constant(shape: Shape, looks: int, alpha: float) -> Boundaries:
    require_probability(alpha, "alpha")
    times = _equal(looks)
    profile = np.ones(looks) if shape == "pocock" else np.sqrt(1.0 / times)
    low, high = 0.0, _REACH - 1.0
    for _ in range(45):
        middle = 0.5 * (low + high)
        if _crossed(times, np.minimum(middle * profile, _REACH))[-1] > alpha:
            low = middle
        else:
            high = middle
    return _boundaries(shape, alpha, times, high * profile)


def _boundaries(shape: str, alpha: float, times: NDArray[np.float64], z: NDArray[np.float64]) -> Boundaries:
    return Boundaries(
        shape=shape,
        alpha=alpha,
        information=tuple(float(t) for t in times),
        z=tuple(float(x) for x in z),
        nominal=tuple(2.0 * normal_upper(float(x)) for x in z),
        spent=tuple(float(p) for p in _crossed(times, np.minimum(z, _REACH))),
    )


def _crossed(times: NDArray[np.float64], z: NDArray[np.float64], ncp: float = 0.0) -> NDArray[np.float64]:
    """P(|Z_j| >= z_j for some j <= k) for each k, Z_k normal with mean ncp sqrt(t_k) and unit variance.

    Recursion over the density of the score S_k = Z_k sqrt(t_k) on continuing paths, by quadrature between the
    boundaries.
    """
    from scipy.special import ndtr  # late: 0.3 s

    crossed, total, before = [], 0.0, 0.0
    # Paths so far: nodes of the score and the probability mass at each; one path at 0 before the first look.
    score, mass = np.zeros(1), np.ones(1)
    nodes, weights = legendre(_NODES)
    for t, bound in zip(times, z * np.sqrt(times), strict=True):
        step, drift = math.sqrt(t - before), ncp * (t - before)
        below, above = (-bound - drift - score) / step, (score + drift - bound) / step
        total += float(mass @ (ndtr(below) + ndtr(above)))
        crossed.append(min(1.0, total))
        new = bound * nodes
        kernel = np.exp(-0.5 * ((new[:, None] - score[None, :] - drift) / step) ** 2) / (
            step * math.sqrt(2.0 * math.pi)
        )
        mass = (kernel @ mass) * (bound * weights)
        score, before = new, float(t)
    return np.array(crossed, dtype=np.float64)


def _spending(t: float, alpha: float, shape: Shape) -> float:
    if shape == "pocock":
        return alpha * math.log(1.0 + (math.e - 1.0) * t)
    if shape == "obrien_fleming":
        return 4.0 * normal_upper(-float(_normal_quantile(alpha / 4.0)) / math.sqrt(t))
    raise AnalysisError("unknown spending function", value=shape, fix="Use `pocock` or `obrien_fleming`.")


def _normal_quantile(probability: float) -> float:
    from scipy.special import ndtri  # late: 0.3 s

    return float(ndtri(probability))


def _equal(looks: int) -> NDArray[np.float64]:
    if not 1 <= looks <= 20:
        raise AnalysisError("the number of looks must be between 1 and 20", value=looks, fix="Plan 2 to 5 looks.")
    return np.arange(1, looks + 1) / looks


def _times(information: Sequence[float]) -> NDArray[np.float64]:
    times = sample(information, "the information fractions", least=1)
    if times[0] <= 0.0 or times[-1] > 1.0 or np.any(np.diff(times) <= 0.0):
        raise AnalysisError(
            "information fractions must rise within (0, 1]",
            value=tuple(information),
            fix="Give runs so far / runs planned.",
        )
    return times
