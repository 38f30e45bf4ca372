"""What the residuals say: leverage, outliers, unequal variances, normality, order, transformation.

Outliers are shown, never removed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foldover.core import AnalysisError
from foldover.stats.normality import FEWEST, MOST, shapiro_wilk_statistic
from foldover.stats.ols import LeastSquares, leverages
from foldover.stats.screen import prepare_screen
from foldover.stats.table import Table
from foldover.stats.tails import chi2_quantile, chi2_upper, f_upper, normal_upper, t_quantile

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosticTest:
    """A test statistic with its degrees of freedom and p."""

    name: str
    statistic: float
    df: tuple[float, ...]
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDiagnostics:
    """One run: fitted value, residual, leverage, studentised residuals, Cook's distance, and flags.

    internal, external: None where the leverage is 1.
    """

    run_id: str
    condition: str
    fitted: float
    residual: float
    leverage: float
    internal: float | None
    external: float | None
    cook: float | None
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostics:
    """All runs, the PRESS statistic and its R^2, and the tests that apply.

    press, predicted_r2: None when a run has leverage 1. The limits for flags are 2p/n for leverage, 4/n for
    Cook's distance, and the Bonferroni quantile of t for external residuals.
    """

    runs: tuple[RunDiagnostics, ...]
    r2: float
    press: float | None
    predicted_r2: float | None
    tests: tuple[DiagnosticTest, ...]
    notes: tuple[str, ...]

    def flagged(self) -> tuple[RunDiagnostics, ...]:
        """The runs with a flag."""
        return tuple(run for run in self.runs if run.flags)


def diagnose(
    table: Table,
    *,
    terms: Sequence[str] | str = "main+2fi",
    block: str | None = "seed",
    adjust_for: Sequence[str] = (),
    order: Sequence[int] | None = None,
) -> Diagnostics:
    """Diagnostics of the least-squares model of terms and block. order: the run order, for Durbin-Watson."""
    screen = prepare_screen(table, terms=terms, block=block, adjust_for=adjust_for)
    X = np.column_stack([np.ones(len(table)), screen.X, screen.block_columns()])
    model = LeastSquares(X, ["1", *screen.names, *screen.block_names()])
    tests = [breusch_pagan(model, table.y)]
    notes = list(table.left_out_note())
    residuals = model.fit(table.y).residuals
    if int(screen.counts().max()) > 1:
        tests.append(brown_forsythe(table.y, table.conditions))
    if 20 <= len(table) <= MOST:
        tests.append(shapiro_wilk(residuals))
    else:
        notes.append(
            f"{'fewer than 20' if len(table) < 20 else f'more than {MOST:,}'} runs: judge normality by the plot"
        )
    if order is not None:
        tests.append(durbin_watson(residuals[np.argsort(np.asarray(order))]))
    return diagnose_model(
        model, table.y, run_ids=table.run_ids, conditions=table.conditions, tests=tuple(tests), notes=tuple(notes)
    )


def diagnose_model(
    model: LeastSquares,
    y: Array,
    *,
    run_ids: Sequence[str] | None = None,
    conditions: Sequence[str] | None = None,
    alpha: float = 0.05,
    tests: tuple[DiagnosticTest, ...] = (),
    notes: tuple[str, ...] = (),
) -> Diagnostics:
    """`diagnose` for any prepared model: leverage, residuals r / (s sqrt(1 - h)), Cook's distance, PRESS."""
    n, p = model.X.shape
    fit = model.fit(y)
    h = leverages(model)
    free = 1.0 - h
    alone = free < 1e-9
    safe = np.where(alone, 1.0, free)
    internal = fit.residuals / (fit.sigma * np.sqrt(safe))
    left = np.maximum(fit.rss - fit.residuals**2 / safe, 0.0) / max(fit.df - 1, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        external = fit.residuals / np.sqrt(left * safe)
    cook = internal**2 * h / safe / p
    limit = t_quantile(1.0 - alpha / (2.0 * n), float(fit.df - 1)) if fit.df > 1 else np.inf
    total = float(((y - y.mean()) ** 2).sum())
    press = None if alone.any() else float(((fit.residuals / safe) ** 2).sum())
    runs = tuple(
        RunDiagnostics(
            run_id=run_ids[i] if run_ids is not None else str(i),
            condition=conditions[i] if conditions is not None else "",
            fitted=float(y[i] - fit.residuals[i]),
            residual=float(fit.residuals[i]),
            leverage=float(h[i]),
            internal=None if alone[i] else float(internal[i]),
            external=None if alone[i] or not np.isfinite(external[i]) else float(external[i]),
            cook=None if alone[i] else float(cook[i]),
            flags=_flags(float(h[i]), float(external[i]), float(cook[i]), bool(alone[i]), n, p, limit),
        )
        for i in range(n)
    )
    return Diagnostics(
        runs=runs,
        r2=1.0 - fit.rss / total,
        press=press,
        predicted_r2=None if press is None else 1.0 - press / total,
        tests=tests,
        notes=notes,
    )


def _flags(h: float, external: float, cook: float, alone: bool, n: int, p: int, limit: float) -> tuple[str, ...]:
    if alone:
        return ("alone determines a coefficient",)
    flags = []
    if h > 2.0 * p / n:
        flags.append("high leverage")
    if abs(external) > limit:
        flags.append("outlier")
    if cook > 4.0 / n:
        flags.append("influential")
    return tuple(flags)


def breusch_pagan(model: LeastSquares, y: Array) -> DiagnosticTest:
    """Studentised Breusch-Pagan test (Koenker 1981): n R^2 of the squared residuals on the model."""
    squared = (y - model.X @ (model.pinv @ y)) ** 2
    spread = float(((squared - squared.mean()) ** 2).sum())
    if spread == 0.0:
        raise AnalysisError("all residuals have the same size: their variance cannot be tested")
    rest = squared - model.X @ (model.pinv @ squared)
    statistic = len(y) * (1.0 - float(rest @ rest) / spread)
    df = model.X.shape[1] - 1
    return DiagnosticTest(name="breusch_pagan", statistic=statistic, df=(df,), p=chi2_upper(statistic, df))


def brown_forsythe(y: Array, groups: Sequence[str]) -> DiagnosticTest:
    """Brown-Forsythe test of equal variances: one-way F of |y - median| over groups (of two runs or more)."""
    samples = _samples(y, groups)
    deviations = [np.abs(values - np.median(values)) for values in samples]
    n, k = sum(len(d) for d in deviations), len(deviations)
    grand = float(np.concatenate(deviations).mean())
    between = float(sum(len(d) * (float(d.mean()) - grand) ** 2 for d in deviations)) / (k - 1)
    within = float(sum(((d - d.mean()) ** 2).sum() for d in deviations)) / (n - k)
    if within == 0.0:
        raise AnalysisError("no group varies in its deviations: their variances cannot be compared")
    return DiagnosticTest(
        name="brown_forsythe", statistic=between / within, df=(k - 1, n - k), p=f_upper(between / within, k - 1, n - k)
    )


def bartlett(y: Array, groups: Sequence[str]) -> DiagnosticTest:
    """Bartlett's test of equal variances (sensitive to non-normality; see `brown_forsythe`)."""
    samples = _samples(y, groups)
    df = np.array([len(values) - 1 for values in samples], dtype=np.float64)
    variances = np.array([values.var(ddof=1) for values in samples])
    if (variances == 0.0).any():
        raise AnalysisError("a group does not vary at all: Bartlett's test is undefined", fix="Use brown_forsythe.")
    k, total = len(samples), float(df.sum())
    pooled = float((df * variances).sum()) / total
    raw = total * np.log(pooled) - float((df * np.log(variances)).sum())
    statistic = float(raw / (1.0 + (float((1.0 / df).sum()) - 1.0 / total) / (3.0 * (k - 1))))
    return DiagnosticTest(name="bartlett", statistic=statistic, df=(k - 1,), p=chi2_upper(statistic, k - 1))


def _samples(y: Array, groups: Sequence[str]) -> list[Array]:
    labels = np.array(groups)
    samples = [y[labels == name] for name in sorted(set(groups))]
    samples = [values for values in samples if len(values) > 1]
    if len(samples) < 2:
        raise AnalysisError("fewer than two groups have two runs: variances cannot be compared", fix="Add seeds.")
    return samples


def shapiro_wilk(residuals: Array) -> DiagnosticTest:
    """Shapiro-Wilk test of normality."""
    if FEWEST <= len(residuals) <= MOST:
        statistic, p = shapiro_wilk_statistic(residuals)
    else:
        from scipy.stats import shapiro  # late: 0.8 s

        found = shapiro(residuals)
        statistic, p = float(found.statistic), float(found.pvalue)
    return DiagnosticTest(name="shapiro_wilk", statistic=statistic, df=(len(residuals),), p=p)


def durbin_watson(residuals: Array) -> DiagnosticTest:
    """Durbin-Watson statistic of residuals in run order: 2 without serial correlation, below when positive.

    p is two-sided from the normal approximation 1 - d/2 ~ N(0, 1/n), which ignores the model's columns.
    """
    n = len(residuals)
    total = float(residuals @ residuals)
    if n < 3 or total == 0.0:
        raise AnalysisError("Durbin-Watson needs at least 3 residuals that are not all zero", value=n)
    d = float((np.diff(residuals) ** 2).sum()) / total
    return DiagnosticTest(
        name="durbin_watson", statistic=d, df=(n,), p=min(1.0, 2.0 * normal_upper(abs(1.0 - d / 2.0) * n**0.5))
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxCox:
    """The lambda of highest profile likelihood and its interval; profile: (lambda, log-likelihood) pairs."""

    best: float
    low: float
    high: float
    level: float
    profile: tuple[tuple[float, float], ...]


def box_cox(X: Array, y: Array, *, grid: Sequence[float] | None = None, level: float = 0.95) -> BoxCox:
    """Profile log-likelihood of the power transformation of y > 0 under the model X (n, p) (Box and Cox 1964).

    grid: of lambda, -2 to 3 by 0.01 by default; the interval are the grid points within chi^2_1 / 2 of the best.
    Raises AnalysisError for responses that are not positive (subtract a declared floor instead).
    """
    if (y <= 0.0).any():
        raise AnalysisError(
            "Box-Cox needs positive responses", value=float(y.min()), fix="Subtract a declared floor, or use log."
        )
    lambdas = np.round(np.arange(-2.0, 3.0 + 1e-9, 0.01), 10) if grid is None else np.asarray(grid, dtype=np.float64)
    logs = np.log(y)
    scaled = y / np.exp(logs.mean())
    with np.errstate(divide="ignore", invalid="ignore"):
        powers = (scaled[None, :] ** lambdas[:, None] - 1.0) / lambdas[:, None]
    Z = np.where(np.abs(lambdas[:, None]) < 1e-10, np.log(scaled)[None, :], powers)
    rest = Z - Z @ np.linalg.pinv(X).T @ X.T
    likelihood = -0.5 * len(y) * np.log((rest**2).sum(axis=1))
    best = int(np.argmax(likelihood))
    inside = lambdas[likelihood >= likelihood[best] - chi2_quantile(level, 1.0) / 2.0]
    return BoxCox(
        best=float(lambdas[best]),
        low=float(inside.min()),
        high=float(inside.max()),
        level=level,
        profile=tuple(zip(lambdas.tolist(), likelihood.tolist(), strict=True)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DispersionEffect:
    """Effect of a term on log variance: positive means noisier at the high level. ratio: of the variances."""

    term: str
    estimate: float
    se: float
    z: float
    p: float
    ratio: float


def dispersion_effects(table: Table, *, terms: Sequence[str] | str = "main") -> tuple[DispersionEffect, ...]:
    """Which factors make runs seed-fragile: effects on log s^2 of the conditions.

    z = effect / (2 sqrt(2 / sum (n_i - 1))) for equal n, from Var(log s^2) about 2 / (n - 1).
    Raises AnalysisError for conditions with fewer than two runs, or without any spread.
    """
    screen = prepare_screen(table, terms=terms, block=None, adjust_for=())
    counts = screen.counts()
    indicator = np.eye(len(counts))[screen.cell]
    means = (table.y @ indicator) / counts
    sums = ((table.y - means[screen.cell]) ** 2) @ indicator
    weak = [screen.cell_labels[i] for i in np.flatnonzero((counts < 2) | (sums <= 0.0))]
    if weak:
        raise AnalysisError("conditions have no spread of their own", value=weak, fix="Run them under more seeds.")
    logs = np.log(sums / (counts - 1))
    model = LeastSquares(np.column_stack([np.ones(len(counts)), screen.cells]), ["1", *screen.names])
    weights = 2.0 * model.pinv[1:]
    estimate = weights @ logs
    se = np.sqrt(weights**2 @ (2.0 / (counts - 1)))
    return tuple(
        DispersionEffect(
            term=name,
            estimate=float(estimate[j]),
            se=float(se[j]),
            z=float(estimate[j] / se[j]),
            p=min(1.0, 2.0 * normal_upper(abs(float(estimate[j] / se[j])))),
            ratio=float(np.exp(estimate[j])),
        )
        for j, name in enumerate(screen.names)
    )
