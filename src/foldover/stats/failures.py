"""Runs without a result: what is still estimable, whether failures follow a factor, and bounds on effects.

A divergence is informative: an analysis of the survivors alone is biased towards zero when failures sit in
the bad corner. So there are three views to report together: failure rates by factor, the effects with
failures at the worst value, and the effects on ranks with failures tied last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from foldover.core import AnalysisError, Direction, Effect
from foldover.stats.effects import estimate_effects
from foldover.stats.multiplicity import adjust
from foldover.stats.ols import LeastSquares, rank, reduced_null_space, relation, vifs
from foldover.stats.table import INFORMATIVE, LeftOut, Table
from foldover.stats.tails import chi2_upper
from foldover.stats.terms import resolve_terms, term_columns, term_text

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimability:
    """What a model can still tell on the given runs.

    estimable: terms that need no assumption; kept: terms estimable in the given order if later ones of each
    relation are zero; lost: the others; relations: in words, one a lost dimension; rank, residual_df: of the
    model with its mean; vif: of the kept terms (1 when orthogonal).
    """

    estimable: tuple[str, ...]
    kept: tuple[str, ...]
    lost: tuple[str, ...]
    relations: tuple[str, ...]
    rank: int
    residual_df: int
    vif: Mapping[str, float]


def estimability(levels: Array, letters: Sequence[str], terms: Sequence[str] | str = "main+2fi") -> Estimability:
    """Which of the terms the runs with these coded levels (n, k) can estimate.

    Terms are kept in the order given, each unless those before it determine it. Raises AnalysisError for a term that
    the letters do not have.
    """
    parsed = resolve_terms(terms, letters)
    names = [term_text(term) for term in parsed]
    X = np.column_stack([np.ones(len(levels)), term_columns(parsed, levels, letters)])
    null = reduced_null_space(X)
    touched = np.abs(null).max(axis=1, initial=0.0) > 1e-9
    kept: list[int] = []
    for j in range(len(parsed)):
        if rank(X[:, [0, *(i + 1 for i in kept), j + 1]]) == len(kept) + 2:
            kept.append(j)
    kept_names = [names[j] for j in kept]
    found = rank(X)
    return Estimability(
        estimable=tuple(name for j, name in enumerate(names) if not touched[j + 1]),
        kept=tuple(kept_names),
        lost=tuple(name for name in names if name not in kept_names),
        relations=tuple(relation(vector, ["1", *names]) for vector in null.T),
        rank=found,
        residual_df=len(levels) - found,
        vif=vifs(X[:, [j + 1 for j in kept]], kept_names) if kept else {},
    )


def require_estimable(levels: Array, letters: Sequence[str], terms: Sequence[str] | str) -> None:
    """Raise AnalysisError, naming the lost terms and what they are confounded with, unless all are estimable."""
    found = estimability(levels, letters, terms)
    if found.lost:
        raise AnalysisError(
            f"after the loss of runs these terms can no longer be estimated: {', '.join(found.lost)}",
            value="; ".join(found.relations),
            fix=f"Keep {', '.join(found.kept) or 'none'} and assume the others zero, or rerun the lost conditions.",
        )


def omitted_bias(
    levels: Array, letters: Sequence[str], terms: Sequence[str] | str, omitted: Sequence[str], *, least: float = 0.1
) -> tuple[tuple[str, str, float], ...]:
    """The alias matrix (X1'X1)^-1 X1'X2 in words: (term, omitted term, weight) where |weight| > least.

    An estimate of `term` has, for each, weight times the effect of the omitted term added to it.
    """
    parsed, left = resolve_terms(terms, letters), resolve_terms(omitted, letters)
    names = [term_text(term) for term in parsed]
    X1 = np.column_stack([np.ones(len(levels)), term_columns(parsed, levels, letters)])
    weights = LeastSquares(X1, ["1", *names]).pinv @ term_columns(left, levels, letters)
    return tuple(
        (name, term_text(other), float(weights[i + 1, j]))
        for i, name in enumerate(names)
        for j, other in enumerate(left)
        if abs(weights[i + 1, j]) > least
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorFailures:
    """Failed and other runs at the low and at the high level of a factor; p: Fisher's exact, two-sided.

    adjusted: by Holm over the factors of the table.
    """

    letter: str
    failed_low: int
    other_low: int
    failed_high: int
    other_high: int
    p: float
    adjusted: float


def failures_by_factor(table: Table, *, statuses: Sequence[str] = INFORMATIVE) -> tuple[FactorFailures, ...]:
    """Does failure follow a factor? Fisher's exact test for each, Holm over all.

    statuses: of the runs in `left_out` that count as failures; lost and cancelled runs say nothing of a recipe.
    """
    from scipy.stats import fisher_exact  # late: 0.8 s

    failed = _failed(table, statuses)
    counts = []
    for j in range(len(table.letters)):
        of_failed = [run.levels[j] for run in failed]
        low, high = sum(x < 0 for x in of_failed), sum(x > 0 for x in of_failed)
        counts.append((low, int((table.levels[:, j] < 0).sum()), high, int((table.levels[:, j] > 0).sum())))
    p_values = [float(fisher_exact(np.array([[a, b], [c, d]])).pvalue) for a, b, c, d in counts]
    adjusted = adjust(p_values, "holm")
    return tuple(
        FactorFailures(
            letter=letter,
            failed_low=a,
            other_low=b,
            failed_high=c,
            other_high=d,
            p=p,
            adjusted=p if q is None else q,
        )
        for letter, (a, b, c, d), p, q in zip(table.letters, counts, p_values, adjusted, strict=True)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureEffect:
    """Effect of a term on the log odds of failure, high minus low; p: penalised likelihood ratio."""

    term: str
    estimate: float
    se: float
    p: float


def failure_effects(
    table: Table, *, terms: Sequence[str] | str = "main", statuses: Sequence[str] = INFORMATIVE
) -> tuple[FailureEffect, ...]:
    """Firth's penalised logistic regression of failure on the terms: finite also when a level always fails.

    Firth 1993, Biometrika 80; the tests refit without each term (Heinze and Schemper 2002).
    Raises AnalysisError when no run or every run failed, and for dependent terms.
    """
    failed = _failed(table, statuses)
    parsed = resolve_terms(terms, table.letters)
    levels = np.vstack([table.levels, np.array([run.levels for run in failed]).reshape(len(failed), -1)])
    y = np.concatenate([np.zeros(len(table)), np.ones(len(failed))])
    X = np.column_stack([np.ones(len(y)), term_columns(parsed, levels, table.letters)])
    names = [term_text(term) for term in parsed]
    LeastSquares(X, ["1", *names])
    coef, se, likelihood = firth_logistic(X, y)
    found = []
    for j, name in enumerate(names):
        _, _, without = firth_logistic(X, y, fixed_at_zero=j + 1)
        found.append(
            FailureEffect(
                term=name,
                estimate=2.0 * float(coef[j + 1]),
                se=2.0 * float(se[j + 1]),
                p=chi2_upper(max(2.0 * (likelihood - without), 0.0), 1.0),
            )
        )
    return tuple(found)


def firth_logistic(X: Array, y: Array, *, fixed_at_zero: int | None = None) -> tuple[Array, Array, float]:
    """Coefficients, standard errors and penalised log-likelihood of y in {0, 1} on X (n, p), by Firth's method.

    fixed_at_zero: a column whose coefficient is held at 0 (the penalty keeps the full information matrix).
    """
    p = X.shape[1]
    free = [j for j in range(p) if j != fixed_at_zero]
    beta = np.zeros(p)
    value = _penalised(X, y, beta)
    for _ in range(200):
        mu = 1.0 / (1.0 + np.exp(-X @ beta))
        weights = mu * (1.0 - mu)
        inverse = np.linalg.inv(X.T @ (weights[:, None] * X))
        h = weights * np.einsum("ij,jk,ik->i", X, inverse, X)
        score = X.T @ (y - mu + h * (0.5 - mu))
        step = np.zeros(p)
        step[free] = np.linalg.solve((X.T @ (weights[:, None] * X))[np.ix_(free, free)], score[free])
        step *= min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        new_value = _penalised(X, y, beta + step)
        while new_value < value and np.abs(step).max() > 1e-10:
            step /= 2.0
            new_value = _penalised(X, y, beta + step)
        beta, value = beta + step, new_value
        if np.abs(step).max() < 1e-9:
            break
    mu = 1.0 / (1.0 + np.exp(-X @ beta))
    covariance = np.linalg.inv(X.T @ ((mu * (1.0 - mu))[:, None] * X))
    return beta, np.sqrt(np.diag(covariance)), value


def _penalised(X: Array, y: Array, beta: Array) -> float:
    eta = X @ beta
    mu = 1.0 / (1.0 + np.exp(-eta))
    logdet = float(np.linalg.slogdet(X.T @ ((mu * (1.0 - mu))[:, None] * X))[1])
    return float(y @ eta - np.logaddexp(0.0, eta).sum()) + 0.5 * logdet


def worst_case_effects(
    table: Table,
    *,
    direction: Direction,
    margin: float = 0.0,
    terms: Sequence[str] | str = "main",
    block: str | None = "seed",
    method: str = "auto",
    statuses: Sequence[str] = INFORMATIVE,
) -> tuple[Effect, ...]:
    """The effects with every failed run at the worst observed response plus a margin: a bound, not an estimate.

    margin: response units. Raises AnalysisError where the block of a failed run is not known, and as
    `estimate_effects`.
    """
    sign = 1.0 if direction == "minimize" else -1.0
    worst = sign * float((sign * table.y).max()) + sign * margin
    _require_known_block(table, block)
    full, num_failed = _with_failures(table, statuses, worst)
    note = f"worst case: {num_failed} failed runs set to {worst:.6g}"
    return _noted(estimate_effects(full, terms=terms, block=block, method=method), note)


def rank_effects(
    table: Table,
    *,
    direction: Direction,
    terms: Sequence[str] | str = "main",
    block: str | None = "seed",
    method: str = "auto",
    statuses: Sequence[str] = INFORMATIVE,
) -> tuple[Effect, ...]:
    """The effects on ranks (1 is best, ties share their mean rank) with failed runs tied last.

    Estimates are in ranks, not in units of the response. Raises AnalysisError where the block of a failed run is not
    known, and as `estimate_effects`.
    """
    sign = 1.0 if direction == "minimize" else -1.0
    _require_known_block(table, block)
    full, num_failed = _with_failures(table, statuses, sign * np.inf)
    ranked = full.with_response(_mean_ranks(sign * full.y))
    note = f"in ranks, 1 is best; {num_failed} failed runs tied last"
    return _noted(estimate_effects(ranked, terms=terms, block=block, method=method), note)


def _require_known_block(table: Table, block: str | None) -> None:
    if block is not None and block in table.others:
        raise AnalysisError(
            "the block of a failed run is known only for seed, host, package, budget and condition", value=block
        )


def _noted(effects: tuple[Effect, ...], note: str) -> tuple[Effect, ...]:
    return tuple(replace(effect, notes=(*effect.notes, note)) for effect in effects)


def _mean_ranks(values: Array) -> Array:
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2.0)[index.reshape(-1)], dtype=np.float64)


def _failed(table: Table, statuses: Sequence[str]) -> list[LeftOut]:
    return [
        run
        for run in table.left_out
        if run.status in statuses and not run.reason.startswith("excluded") and len(run.levels) == len(table.letters)
    ]


def _with_failures(table: Table, statuses: Sequence[str], value: float) -> tuple[Table, int]:
    """The table with its failed runs as rows of response `value`. Raises AnalysisError when there are none."""
    failed = _failed(table, statuses)
    if not failed:
        raise AnalysisError(
            "no run failed in an informative way", value=list(statuses), fix="Use estimate_effects on the table."
        )
    amounts = dict(zip(table.budgets, table.amounts, strict=True))
    full = replace(
        table,
        levels=np.vstack([table.levels, [run.levels for run in failed]]),
        y=np.concatenate([table.y, np.full(len(failed), value)]),
        run_ids=table.run_ids + tuple(run.run_id for run in failed),
        packages=table.packages + tuple(run.package for run in failed),
        conditions=table.conditions + tuple(run.condition for run in failed),
        budgets=table.budgets + tuple(run.budget for run in failed),
        amounts=table.amounts + tuple(amounts.get(run.budget, np.nan) for run in failed),
        seeds=table.seeds + tuple(run.seed for run in failed),
        hosts=table.hosts + tuple(run.host or table.hosts[0] for run in failed),
        statuses=table.statuses + tuple(run.status for run in failed),
        fired=table.fired + ((),) * len(failed),
        others={name: labels + ("",) * len(failed) for name, labels in table.others.items()},
        left_out=tuple(run for run in table.left_out if run not in failed),
    )
    return full, len(failed)
