"""The Shapiro-Wilk test of normality without scipy, whose import costs more than a whole analysis."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from foldover.core import AnalysisError
from foldover.stats.tails import normal_quantile, normal_upper

Array = npt.NDArray[np.float64]

FEWEST, MOST = 12, 5000
# Royston 1995, Applied Statistics 44 (algorithm AS R94): corrections of the two outermost weights in n^-1/2, and the
# law of log(1 - W) in log n. Highest power first.
_LAST = (-2.706056, 4.434685, -2.071190, -0.147981, 0.221157, 0.0)
_LAST_BUT_ONE = (-3.582633, 5.682633, -1.752461, -0.293762, 0.042981, 0.0)
_MEAN = (0.0038915, -0.083751, -0.31082, -1.5861)
_LOG_SD = (0.0030302, -0.082676, -0.4803)


def shapiro_wilk_statistic(values: Array) -> tuple[float, float]:
    """W and its p for 12 to 5,000 values. Raises AnalysisError for other numbers of them, and if all are equal."""
    n = len(values)
    if not FEWEST <= n <= MOST:
        raise AnalysisError(f"the normal approximation of Shapiro-Wilk is for {FEWEST} to {MOST} values", value=n)
    x = np.sort(values)
    total = float(((x - x.mean()) ** 2).sum())
    if x[0] == x[-1] or total == 0.0:
        raise AnalysisError("Shapiro-Wilk needs values that differ", value=float(x[0]))
    w = min(1.0, float(_weights(n) @ x) ** 2 / total)
    if w == 1.0:
        return w, 1.0
    log_n = float(np.log(n))
    z = (float(np.log1p(-w)) - float(np.polyval(_MEAN, log_n))) / float(np.exp(np.polyval(_LOG_SD, log_n)))
    return w, float(normal_upper(z))


def _weights(n: int) -> Array:
    """Antisymmetric weights of unit length, ascending."""
    positions: Array = (np.arange(1, n + 1, dtype=np.float64) - 0.375) / (n + 0.25)
    m = normal_quantile(positions)
    size, u = float(m @ m), n**-0.5
    last = float(np.polyval(_LAST, u)) + float(m[-1]) / size**0.5
    before = float(np.polyval(_LAST_BUT_ONE, u)) + float(m[-2]) / size**0.5
    rest = (size - 2.0 * float(m[-1] ** 2 + m[-2] ** 2)) / (1.0 - 2.0 * (last**2 + before**2))
    a = m / rest**0.5
    a[-1], a[-2], a[0], a[1] = last, before, -last, -before
    return np.asarray(a)
