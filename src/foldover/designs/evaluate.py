"""How good a design is for a model: efficiencies, prediction variance, variance inflation, correlations.

Legend: X (N, p) model matrix with the mean; M = X'X; the variance of the errors is 1 throughout.
Definitions: D = 100 |M|^(1/p) / N, A = 100 p / (N tr M^-1), G = 100 p / (N max d), with
d = x' M^-1 x; 100 is reached by orthogonal two-level designs (Atkinson, Donev and Tobias 2007, ch. 10-11).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foldover.core import Design, DesignError, Factor
from foldover.designs.estimable import matrix_rank, require_estimable, rows_that_remain
from foldover.designs.model import (
    Column,
    canonical_term,
    expand_model,
    model_columns,
    model_matrix,
    moment_matrix,
)

if TYPE_CHECKING:
    from foldover.designs.model import Matrix

# Alias coefficients below this are noise for a reader (a guess).
SMALLEST_ALIAS = 0.1

_MAX_GRID = 20_000
_SAMPLES = 2_000
_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TermQuality:
    """One column of the model: variance of its coefficient for error variance 1, and its inflation (VIF)."""

    name: str
    variance: float
    vif: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasEntry:
    """Bias of `term` when `omitted` is active but not in the model: coefficient times its size."""

    term: str
    omitted: str
    coefficient: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """Correlation of two columns of the model."""

    one: str
    other: str
    r: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A design under a model.

    d, a, g_efficiency: in per cent; average_variance: mean of x'(X'X)^-1 x over the region (the I
    criterion); largest_scaled_variance: maximum of N times it; design_space: (fraction of the region, scaled
    variance that it does not exceed) pairs; correlations: those of absolute value above 1e-6, largest first.
    """

    model: tuple[str, ...]
    num_runs: int
    num_columns: int
    d_efficiency: float
    a_efficiency: float
    g_efficiency: float
    average_variance: float
    largest_scaled_variance: float
    terms: tuple[TermQuality, ...]
    correlations: tuple[Correlation, ...]
    aliases: tuple[AliasEntry, ...]
    design_space: tuple[tuple[float, float], ...]


def evaluate_design(
    design: Design, model: str | Sequence[str] = "main", *, failed: Sequence[str] = (), seed: int = 0
) -> Evaluation:
    """Efficiencies, prediction variance, inflation and aliasing of a model on the rows that did not fail.

    Levels are the realised ones. model: see `expand_model`. failed: labels of rows without a result. The
    region is the cube, levels of a choice equally often; its sample is drawn from `seed`.
    Raises DesignError if some term cannot be estimated, with the reason.
    """
    import numpy as np  # late: making a design does not need it

    terms = expand_model(model, design.factors)
    require_estimable(design, terms, failed=failed)
    columns = model_columns(design.factors, terms)
    rows = rows_that_remain(design, failed)
    X = model_matrix(design.factors, [design.realised(row) for row in rows], columns)
    num_runs, p = X.shape
    inverse = np.asarray(np.linalg.inv(X.T @ X), dtype=float)
    largest = num_runs * _largest_variance(design.factors, columns, inverse)
    sign, log_det = np.linalg.slogdet(X.T @ X)
    assert sign > 0, "an estimable model has a positive determinant"
    return Evaluation(
        model=terms,
        num_runs=num_runs,
        num_columns=p,
        d_efficiency=float(100 * np.exp(log_det / p) / num_runs),
        a_efficiency=float(100 * p / (num_runs * np.trace(inverse))),
        g_efficiency=float(100 * p / largest),
        average_variance=float(np.sum(inverse * moment_matrix(design.factors, columns))),
        largest_scaled_variance=float(largest),
        terms=tuple(
            TermQuality(name=c.name, variance=float(inverse[j, j]), vif=vif)
            for j, (c, vif) in enumerate(zip(columns, _vifs(X), strict=True))
        ),
        correlations=_correlations(X, columns),
        aliases=alias_matrix(design, terms, failed=failed),
        design_space=_design_space(design.factors, columns, inverse, num_runs, seed),
    )


def alias_matrix(
    design: Design,
    model: str | Sequence[str] = "main",
    omitted: str | Sequence[str] | None = None,
    *,
    failed: Sequence[str] = (),
    smallest: float = SMALLEST_ALIAS,
) -> tuple[AliasEntry, ...]:
    """Entries of (X1'X1)^-1 X1'X2 above `smallest` in absolute value (Box and Wilson 1951).

    omitted: terms left out of the model (None: all two-factor interactions, and squares where the design
    has more than two levels, that are not in it).
    """
    import numpy as np  # late, as above

    terms = expand_model(model, design.factors)
    rows = [design.realised(row) for row in rows_that_remain(design, failed)]
    left_out = _omitted(design.factors, rows, terms) if omitted is None else expand_model(omitted, design.factors)
    inside = model_columns(design.factors, terms)
    outside = model_columns(design.factors, left_out)[1:]
    X1 = model_matrix(design.factors, rows, inside)
    X2 = model_matrix(design.factors, rows, outside)
    table = np.linalg.lstsq(X1, X2, rcond=None)[0]
    return tuple(
        AliasEntry(term=a.name, omitted=b.name, coefficient=float(round(table[i, j], 12)))
        for i, a in enumerate(inside)
        for j, b in enumerate(outside)
        if abs(table[i, j]) > smallest
    )


def prediction_variance(
    design: Design, model: str | Sequence[str], points: Sequence[Sequence[float]], *, failed: Sequence[str] = ()
) -> tuple[float, ...]:
    """Scaled prediction variance N x'(X'X)^-1 x at coded points. Raises DesignError as `evaluate_design`."""
    import numpy as np  # late, as above

    terms = expand_model(model, design.factors)
    require_estimable(design, terms, failed=failed)
    columns = model_columns(design.factors, terms)
    rows = [design.realised(row) for row in rows_that_remain(design, failed)]
    X = model_matrix(design.factors, rows, columns)
    inverse = np.linalg.inv(X.T @ X)
    F = model_matrix(design.factors, points, columns)
    return tuple(float(v) for v in len(X) * np.einsum("ij,jk,ik->i", F, inverse, F))


def relative_d_efficiency(
    factors: Sequence[Factor], planned: Sequence[Sequence[float]], realised: Sequence[Sequence[float]]
) -> float | None:
    """(|M realised| / |M planned|)^(1/p) for main effects; None if the planned design is singular."""
    import numpy as np  # late, as above

    columns = model_columns(factors, [factor.letter for factor in factors])
    before, after = model_matrix(factors, planned, columns), model_matrix(factors, realised, columns)
    if matrix_rank(before) < before.shape[1]:
        return None
    if matrix_rank(after) < after.shape[1]:
        return 0.0
    difference = np.linalg.slogdet(after.T @ after)[1] - np.linalg.slogdet(before.T @ before)[1]
    return float(np.exp(difference / before.shape[1]))


def compare_d_efficiency(one: Design, other: Design, model: str | Sequence[str]) -> float:
    """D-efficiency of `one` relative to `other`, a run for a run."""
    return evaluate_design(one, model).d_efficiency / evaluate_design(other, model).d_efficiency


def candidate_grid(factors: Sequence[Factor], num_levels: int = 3) -> list[tuple[float, ...]] | None:
    """Every combination of equally spaced levels (of all levels of a choice); None beyond 20,000."""
    axes = [_axis(factor, num_levels) for factor in factors]
    size = 1
    for axis in axes:
        size *= len(axis)
    return list(itertools.product(*axes)) if size <= _MAX_GRID else None


def _axis(factor: Factor, num_levels: int) -> tuple[float, ...]:
    if factor.kind == "choice" or factor.levels:
        return factor.coded_levels()
    return tuple(-1 + 2 * i / (num_levels - 1) for i in range(num_levels))


def _largest_variance(factors: Sequence[Factor], columns: Sequence[Column], inverse: Matrix) -> float:
    import numpy as np  # late, as above

    points = candidate_grid(factors) or candidate_grid(factors, 2)
    if points is None:
        raise DesignError("the region has too many corners for its largest prediction variance", value=len(factors))
    F = model_matrix(factors, points, columns)
    return float(np.einsum("ij,jk,ik->i", F, inverse, F).max())


def _design_space(
    factors: Sequence[Factor], columns: Sequence[Column], inverse: Matrix, num_runs: int, seed: int
) -> tuple[tuple[float, float], ...]:
    import numpy as np  # late, as above

    rng = np.random.default_rng(seed)
    points = np.empty((_SAMPLES, len(factors)))
    for i, factor in enumerate(factors):
        is_choice = factor.kind == "choice"
        points[:, i] = rng.choice(factor.coded_levels(), _SAMPLES) if is_choice else rng.uniform(-1, 1, _SAMPLES)
    F = model_matrix(factors, points.tolist(), columns)
    variances = num_runs * np.einsum("ij,jk,ik->i", F, inverse, F)
    return tuple((q, float(np.quantile(variances, q))) for q in _QUANTILES)


def _vifs(X: Matrix) -> list[float]:
    """Of the mean 1; of the others the diagonal of the inverse correlation matrix."""
    import numpy as np  # late, as above

    centred = X[:, 1:] - X[:, 1:].mean(axis=0)
    scaled = centred / np.sqrt((centred**2).sum(axis=0))
    return [1.0, *(float(v) for v in np.diag(np.linalg.inv(scaled.T @ scaled)))]


def _correlations(X: Matrix, columns: Sequence[Column]) -> tuple[Correlation, ...]:
    import numpy as np  # late, as above

    centred = X[:, 1:] - X[:, 1:].mean(axis=0)
    scaled = centred / np.sqrt((centred**2).sum(axis=0))
    table = scaled.T @ scaled
    names = [column.name for column in columns[1:]]
    found = [
        Correlation(one=names[i], other=names[j], r=float(table[i, j]))
        for i, j in itertools.combinations(range(len(names)), 2)
        if abs(table[i, j]) > 1e-6
    ]
    return tuple(sorted(found, key=lambda c: (-abs(c.r), c.one, c.other)))


def _omitted(factors: Sequence[Factor], rows: Sequence[Sequence[float]], terms: Sequence[str]) -> tuple[str, ...]:
    letters = [factor.letter for factor in factors]
    possible = [canonical_term("".join(pair), factors) for pair in itertools.combinations(letters, 2)]
    for i, factor in enumerate(factors):
        if factor.kind != "choice" and len({abs(row[i]) for row in rows}) > 1:
            possible.append(f"{factor.letter}^2")
    return tuple(term for term in possible if term not in terms)
