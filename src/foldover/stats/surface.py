"""Second-order response surfaces: fit, canonical analysis, optimum within the region, steepest path.

Legend: y = b0 + b'x + x'Bx in coded x; the stationary point is -B^-1 b / 2 (Box and Draper 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from foldover.core import AnalysisError, Direction
from foldover.stats.ols import LeastSquares
from foldover.stats.table import Table
from foldover.stats.terms import resolve_terms, term_columns, term_text

Array = npt.NDArray[np.float64]
Nature = Literal["minimum", "maximum", "saddle"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SurfaceFit:
    """A second-order fit. names, coef, se: `1`, blocks, then terms; b: (k,), B: (k, k) symmetric.

    covariance: (p, p) of coef; radius: largest distance of a run from the centre; r2: share of variance
    explained. Coefficients are per unit of coded x (half an effect for main effects).
    """

    letters: tuple[str, ...]
    names: tuple[str, ...]
    coef: Array
    se: Array
    covariance: Array
    sigma: float
    df: int
    r2: float
    intercept: float
    b: Array
    B: Array
    radius: float

    def predict(self, x: Array) -> Array:
        """Responses at coded points (..., k), in the first block."""
        return np.asarray(self.intercept + x @ self.b + np.einsum("...i,ij,...j->...", x, self.B, x))

    def coefficient(self, name: str) -> float:
        """The coefficient of a term such as `A`, `AB`, `A^2`. KeyError if there is none."""
        if name not in self.names:
            raise KeyError(name)
        return float(self.coef[self.names.index(name)])


def fit_surface(table: Table, *, letters: Sequence[str] | None = None, block: str | None = None) -> SurfaceFit:
    """The full second-order model of a table. letters: the factors in it (all by default).

    block: a column of blocks, each with its own level; the first is the reference.
    Raises AnalysisError when a factor has only two levels (no quadratic term), or when the model is singular.
    """
    names = tuple(letters) if letters is not None else table.letters
    index = [table.letters.index(name) for name in names if name in table.letters]
    if len(index) < len(names):
        raise AnalysisError("unknown factors", value=names, fix=f"Factors are {', '.join(table.letters)}.")
    blocks = table.column(block) if block is not None else None
    return fit_surface_to(table.levels[:, index], table.y, names, blocks=blocks)


def fit_surface_to(
    levels: Array, y: Array, letters: Sequence[str], *, blocks: Sequence[str] | None = None
) -> SurfaceFit:
    """`fit_surface` for coded levels (n, k) and responses (n,); blocks: one label a run. Raises as `fit_surface`."""
    k = len(letters)
    two_level = [letters[j] for j in range(k) if len(np.unique(np.round(levels[:, j], 9))) < 3]
    if two_level:
        raise AnalysisError(
            "factors with fewer than three levels have no quadratic term", value=two_level, fix="Add axial runs."
        )
    terms = resolve_terms("quadratic", letters)
    labels = sorted(set(blocks)) if blocks is not None else []
    dummies = [np.array([label == b for b in blocks or ()], dtype=np.float64) for label in labels[1:]]
    X = np.column_stack([np.ones(len(y)), *dummies, term_columns(terms, levels, letters)])
    names = ["1", *(f"block {label}" for label in labels[1:]), *(term_text(term) for term in terms)]
    if len(np.unique(np.round(levels, 9), axis=0)) < len(terms) + 1:
        raise AnalysisError("fewer distinct conditions than coefficients", value=len(terms) + 1, fix="Add conditions.")
    model = LeastSquares(X, names)
    fit = model.fit(y)
    b, B = np.zeros(k), np.zeros((k, k))
    for term, value in zip(terms, fit.coef[1 + len(dummies) :], strict=True):
        at = [letters.index(name) for name in term]
        if len(at) == 1:
            b[at[0]] = value
        else:
            B[at[0], at[1]] += value / 2.0
            B[at[1], at[0]] += value / 2.0
    total = float(((y - y.mean()) ** 2).sum())
    return SurfaceFit(
        letters=tuple(letters),
        names=tuple(names),
        coef=fit.coef,
        se=fit.se,
        covariance=np.asarray(fit.sigma**2 * (model.pinv @ model.pinv.T)),
        sigma=fit.sigma,
        df=fit.df,
        r2=1.0 - fit.rss / total if total > 0.0 else 1.0,
        intercept=float(fit.coef[0]),
        b=b,
        B=B,
        radius=float(np.linalg.norm(levels, axis=1).max()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Canonical:
    """The stationary point (coded), the response there, and the curvature along its principal axes.

    eigenvalues: descending; axes: one unit vector each, largest component positive; low, high: interval of
    each coordinate of the stationary point by simulation of the coefficients (None when not asked for);
    inside: within the design's radius; notes: what to do when it is not.
    """

    letters: tuple[str, ...]
    stationary: tuple[float, ...]
    value: float
    eigenvalues: tuple[float, ...]
    axes: tuple[tuple[float, ...], ...]
    nature: Nature
    inside: bool
    low: tuple[float, ...] | None
    high: tuple[float, ...] | None
    notes: tuple[str, ...]


def canonical_analysis(fit: SurfaceFit, *, draws: int = 0, seed: int = 0, level: float = 0.95) -> Canonical:
    """Stationary point, eigenvalues and nature of a fitted surface.

    draws: of the coefficients from their multivariate t, for intervals of the stationary point (0: none).
    Raises AnalysisError when the quadratic part is singular: there is a ridge, not a point.
    """
    values, vectors = np.linalg.eigh(fit.B)
    if np.abs(values).min() <= 1e-9 * max(float(np.abs(values).max()), 1e-300):
        raise AnalysisError(
            "the quadratic part is singular: the surface is a ridge without a stationary point",
            value=[float(value) for value in values],
            fix="Use constrained_optimum, or fewer factors.",
        )
    point: Array = np.asarray(np.linalg.solve(fit.B, fit.b) / -2.0, dtype=np.float64)
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(values))])
    inside = bool(np.linalg.norm(point) <= fit.radius + 1e-9)
    order = np.argsort(-values)
    low, high = _simulated(fit, draws, seed, level) if draws > 0 else (None, None)
    nature: Nature = "maximum" if (values < 0).all() else "minimum" if (values > 0).all() else "saddle"
    outside = ("the stationary point is outside the region of the runs: use constrained_optimum",)
    return Canonical(
        letters=fit.letters,
        stationary=tuple(point.tolist()),
        value=float(fit.predict(point)),
        eigenvalues=tuple(values[order].tolist()),
        axes=tuple(tuple(vectors[:, i].tolist()) for i in order),
        nature=nature,
        inside=inside,
        low=low,
        high=high,
        notes=() if inside else outside,
    )


def _simulated(fit: SurfaceFit, draws: int, seed: int, level: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    rng = np.random.default_rng(seed)
    k = len(fit.letters)
    first = len(fit.names) - (k + k * (k + 1) // 2)
    root = np.linalg.cholesky(fit.covariance)
    scale = np.sqrt(fit.df / rng.chisquare(fit.df, size=draws))[:, None]
    coef = fit.coef + scale * (rng.standard_normal((draws, len(fit.coef))) @ root.T)
    b, B = coef[:, first : first + k], np.zeros((draws, k, k))
    at = first + k
    for i in range(k):
        for j in range(i + 1, k):
            B[:, i, j] = B[:, j, i] = coef[:, at] / 2.0
            at += 1
    B[:, np.arange(k), np.arange(k)] = coef[:, at : at + k]
    points = np.linalg.solve(B, b[:, :, None])[:, :, 0] / -2.0
    low, high = np.quantile(points, [0.5 - level / 2.0, 0.5 + level / 2.0], axis=0)
    return tuple(low.tolist()), tuple(high.tolist())


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfacePoint:
    """A coded point, its distance from the centre, and the predicted response."""

    x: tuple[float, ...]
    distance: float
    predicted: float


def constrained_optimum(
    fit: SurfaceFit, *, direction: Direction = "minimize", radius: float | None = None
) -> SurfacePoint:
    """The best point within a distance of the centre (the design's radius by default): ridge analysis.

    The stationary point when it is an optimum inside; otherwise the best point of the sphere, from
    (B + mu I) x = -b / 2 with mu at least minus the smallest eigenvalue.
    radius: in coded units, above 0; AnalysisError otherwise.
    """
    limit = fit.radius if radius is None else radius
    if not limit > 0.0:
        raise AnalysisError("the radius must be positive", value=limit)
    sign = 1.0 if direction == "minimize" else -1.0
    values, vectors = np.linalg.eigh(sign * fit.B)
    g = vectors.T @ (sign * fit.b)
    x = vectors @ _smallest_in_ball(values, g, limit)
    return SurfacePoint(x=tuple(x.tolist()), distance=float(np.linalg.norm(x)), predicted=float(fit.predict(x)))


def _smallest_in_ball(values: Array, g: Array, radius: float) -> Array:
    """argmin of g'z + z'diag(values)z over |z| <= radius (values ascending)."""
    if values[0] > 0.0:
        inner = -g / (2.0 * values)
        if np.linalg.norm(inner) <= radius:
            return np.asarray(inner)
    floor = max(0.0, -float(values[0]))
    scale = max(float(np.abs(values).max()), float(np.abs(g).max()), 1e-300)

    def point(mu: float) -> Array:
        return np.asarray(-g / (2.0 * (values + mu)))

    low, high = floor + 1e-14 * scale, floor + scale + float(np.linalg.norm(g)) / radius
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if np.linalg.norm(point(middle)) > radius else (low, middle)
    z = point(high)
    # The flattest axis takes up what is missing to the sphere: all of it in the hard case, where nothing pulls
    # along that axis and mu stays at its floor.
    z[0] = np.copysign(np.sqrt(max(radius**2 - float(z[1:] @ z[1:]), 0.0)), z[0])
    return z


def ridge_path(
    fit: SurfaceFit, radii: Sequence[float], *, direction: Direction = "minimize"
) -> tuple[SurfacePoint, ...]:
    """The best point within each radius (coded units, above 0): the steepest path of a second-order surface."""
    return tuple(constrained_optimum(fit, direction=direction, radius=radius) for radius in radii)


def steepest_path(
    levels: Array, y: Array, distances: Sequence[float], *, direction: Direction = "minimize"
) -> tuple[SurfacePoint, ...]:
    """Points along the gradient of the first-order fit to coded levels (n, k): x = -+ distance b / |b|.

    Raises AnalysisError when all slopes are zero, and as `LeastSquares`.
    """
    model = LeastSquares(
        np.column_stack([np.ones(len(y)), levels]), ["1", *(f"x{j + 1}" for j in range(levels.shape[1]))]
    )
    coef = model.coefficients(y)
    b = coef[1:]
    norm = float(np.linalg.norm(b))
    if norm == 0.0:
        raise AnalysisError("all slopes are zero: there is no direction to go")
    unit = (b if direction == "maximize" else -b) / norm
    return tuple(
        SurfacePoint(
            x=tuple((distance * unit).tolist()),
            distance=float(distance),
            predicted=float(coef[0] + distance * (unit @ b)),
        )
        for distance in distances
    )


def path_should_stop(values: Sequence[float], *, direction: Direction = "minimize", patience: int = 2) -> bool:
    """Whether the last `patience` results along a path each failed to improve on the best before them."""
    sign = 1.0 if direction == "minimize" else -1.0
    costs = [sign * value for value in values]
    if len(costs) <= patience:
        return False
    return all(costs[i] >= min(costs[:i]) for i in range(len(costs) - patience, len(costs)))
