"""Tail areas and quantiles of Student's t, F, chi-squared and the normal law, in numpy and the standard library.

Own code because `scipy.special` takes 0.3 s to import and `scipy.stats` 0.8 s, twenty thousand times the fit
they would serve; tests hold these functions to scipy's to 1e-12 (relative, also far out in the tails).

Legend: with t = sqrt(df) tan(theta) the two-sided tail of t is C times the integral of cos^m from theta to
pi / 2, m = df - 1, C = 2 Gamma((df + 1) / 2) / (sqrt(pi) Gamma(df / 2)).
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from foldover.stats._inputs import require_probability

Array = npt.NDArray[np.float64]

_NORMAL = NormalDist()
# Gauss-Legendre nodes on [0, 1], as distances from the upper end. The integrand falls by at most exp(-_DROP)
# over the range, for which 24 nodes leave an error below rounding.
_LEGENDRE = np.polynomial.legendre.leggauss(24)
_NODES, _WEIGHTS = (1.0 + _LEGENDRE[0]) / 2.0, _LEGENDRE[1] / 2.0
_FROM_END = 1.0 - _NODES
_DROP = 38.0
_SMOOTH = 10.0
_MOST_STEPS = 100


def t_two_sided(t: Array, df: Array | float) -> Array:
    """P(|T| >= |t|) for Student's t; t and df > 0 broadcast. df may be fractional or infinite."""
    size = np.abs(np.asarray(t, dtype=np.float64))
    if isinstance(df, float | int):
        if df == math.inf:
            return np.array([math.erfc(z / math.sqrt(2.0)) for z in size.ravel()]).reshape(size.shape)
        root = math.sqrt(df)
        if df > _SMOOTH:  # the common case, kept short: some 20 microseconds for ten values
            return _constant(float(df)) * _upper_part(np.arctan2(root, size), size / root, df - 1.0)
    degrees = np.minimum(np.asarray(df, dtype=np.float64), 1e10)
    constants = np.array([_constant(float(d)) for d in degrees.ravel()]).reshape(degrees.shape)
    return np.asarray(constants * _cosine_integral(np.arctan2(np.sqrt(degrees), size), degrees - 1.0))


def _upper_part(phi: Array, slope: Array, m: float) -> Array:
    """Integral of sin^m over [0, phi], slope = cot(phi), for m large enough that sin^m is smooth at 0.

    Only the part next to phi matters: ln sin falls at least by slope u + u^2 / 2 over u.
    """
    c = 2.0 * _DROP / m
    span = np.minimum(phi, c / (np.hypot(slope, math.sqrt(c)) + slope))
    sines = np.sin(phi[..., None] - span[..., None] * _FROM_END)
    return np.asarray(span * (sines**m @ _WEIGHTS))


def _cosine_integral(phi: Array, m: Array) -> Array:
    """Integral of sin^m over [0, phi] for any m > -1: of cos^m from pi / 2 - phi to pi / 2."""
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = 1.0 / np.tan(phi)
        c = np.where(m > 0.0, 2.0 * _DROP / m, np.inf)
        span = np.fmin(phi, c / (np.hypot(slope, np.sqrt(c)) + slope))
    # Over the whole of [0, phi] the integrand ends in u^m; u = phi r^k makes that smooth for small m.
    power = np.where(span < phi, 1.0, np.maximum(1.0, np.ceil(_SMOOTH / (m + 1.0))))
    r = _NODES ** power[..., None]
    sines = np.sin((phi - span)[..., None] + span[..., None] * r)
    weights = _WEIGHTS * power[..., None] * r / _NODES
    return np.asarray(span * (sines ** m[..., None] * weights).sum(axis=-1))


@lru_cache(maxsize=4096)
def _constant(df: float) -> float:
    """2 Gamma((df + 1) / 2) / (sqrt(pi) Gamma(df / 2))."""
    x = df / 2.0
    if x < 60.0:
        return 2.0 * math.gamma(x + 0.5) / (math.sqrt(math.pi) * math.gamma(x))
    # Gamma(x + 1/2) / Gamma(x) for large x (Abramowitz and Stegun 6.1.47, a = 1/2, b = 0).
    y = 1.0 / x
    series = 1.0 + y * (
        -1 / 8 + y * (1 / 128 + y * (5 / 1024 + y * (-21 / 32768 + y * (-399 / 262144 + y * 869 / 4194304))))
    )
    return 2.0 * math.sqrt(x / math.pi) * series


def t_upper(t: float, df: float) -> float:
    """P(T >= t), one-sided."""
    half = 0.5 * float(t_two_sided(np.array([t]), df)[0])
    return half if t >= 0.0 else 1.0 - half


def critical_t(level: float, df: float) -> float:
    """Half the width of a two-sided interval at `level`, in standard errors. AnalysisError unless 0 < level < 1."""
    return t_quantile(0.5 + require_probability(level, "level") / 2.0, df)


@lru_cache(maxsize=4096)
def t_quantile(probability: float, df: float) -> float:
    """The quantile of Student's t at `probability` in (0, 1); df > 0 may be fractional or infinite."""
    return float(t_quantiles(probability, np.array([df]))[0])


def t_quantiles(probability: float, df: Array) -> Array:
    """`t_quantile` for an array of degrees of freedom."""
    tail = 2.0 * min(probability, 1.0 - probability)
    sign = 1.0 if probability >= 0.5 else -1.0
    normal = abs(_NORMAL.inv_cdf(probability))
    flat = np.minimum(np.asarray(df, dtype=np.float64), 1e10).reshape(-1)
    constants = np.array([_constant(float(d)) for d in flat])
    # Newton on the logarithm of the tail in phi, where t = sqrt(df) / tan(phi).
    phi = np.arctan2(np.sqrt(flat), np.full_like(flat, normal)) if tail < 1.0 else np.full_like(flat, np.pi / 2.0)
    for _ in range(_MOST_STEPS if tail < 1.0 else 0):
        area = constants * _cosine_integral(phi, flat - 1.0)
        step = np.log(area / tail) * area / (constants * np.sin(phi) ** (flat - 1.0))
        phi = np.clip(phi - step, phi / 8.0, (phi + np.pi) / 2.0 - 1e-16)
        phi = np.minimum(phi, np.pi / 2.0)
        if np.abs(step).max(initial=0.0) <= 4e-16 * float(phi.max()):
            break
    found = np.where(np.isinf(np.asarray(df).reshape(-1)), normal, np.sqrt(flat) / np.tan(phi))
    return np.asarray(sign * found).reshape(np.shape(df))


def f_upper(f: float, df1: float, df2: float) -> float:
    """P(F >= f) for df1 and df2 degrees of freedom."""
    if not f > 0.0:
        return 1.0
    return _incomplete_beta(df2 / 2.0, df1 / 2.0, df2 / (df2 + df1 * f), df1 * f / (df2 + df1 * f))


def _incomplete_beta(a: float, b: float, x: float, y: float) -> float:
    """Regularised I_x(a, b), y = 1 - x, by Lentz's continued fraction (DLMF 8.17.22)."""
    if x <= 0.0 or y <= 0.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _incomplete_beta(b, a, y, x)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(y)) / a
    tiny = 1e-300
    c, d, value = 1.0, 0.0, 1.0
    for i in range(2 * 10_000):
        k = i // 2
        if i == 0:
            term = 1.0
        elif i % 2 == 0:
            term = k * (b - k) * x / ((a + 2 * k - 1) * (a + 2 * k))
        else:
            term = -(a + k) * (a + b + k) * x / ((a + 2 * k) * (a + 2 * k + 1))
        d = 1.0 / ((1.0 + term * d) or tiny)
        c = (1.0 + term / c) or tiny
        change = c * d
        value *= change
        if abs(change - 1.0) < 1e-16:
            break
    return front * (value - 1.0)


def chi2_upper(x: float, df: float) -> float:
    """P(chi-squared >= x)."""
    if not x > 0.0:
        return 1.0
    a, z = df / 2.0, x / 2.0
    front = math.exp(-z + a * math.log(z) - math.lgamma(a))
    if z < a + 1.0:
        term = total = 1.0 / a
        n = a
        while abs(term) > 1e-17 * abs(total):
            n += 1.0
            term *= z / n
            total += term
        return 1.0 - front * total
    b = z + 1.0 - a  # Lentz's continued fraction of the upper part (DLMF 8.9.2)
    c, d = 1e300, 1.0 / b
    value = d
    for i in range(1, 10_000):
        weight = -i * (i - a)
        b += 2.0
        d = 1.0 / ((weight * d + b) or 1e-300)
        c = (b + weight / c) or 1e-300
        value *= c * d
        if abs(c * d - 1.0) < 1e-16:
            break
    return front * value


def chi2_1_quantile(probability: float) -> float:
    """The quantile of chi-squared with one degree of freedom."""
    return _NORMAL.inv_cdf(0.5 + probability / 2.0) ** 2


def normal_quantile(probability: Array) -> Array:
    """The quantile of the standard normal law."""
    return np.array([_NORMAL.inv_cdf(float(p)) for p in np.ravel(probability)]).reshape(np.shape(probability))


def normal_upper(z: float) -> float:
    """P(Z >= z), accurate far out."""
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def chi2_quantile(probability: float, df: float) -> float:
    """The quantile of chi-squared at `probability`."""
    if df == 1.0:
        return chi2_1_quantile(probability)
    from scipy.special import chdtri  # late: 0.3 s

    return float(chdtri(df, 1.0 - probability))


def f_quantile(probability: float, df1: float, df2: float) -> float:
    """The quantile of F at `probability`."""
    from scipy.special import fdtri  # late: 0.3 s

    return float(fdtri(df1, df2, probability))
