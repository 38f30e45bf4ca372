"""Effects over budgets: one pooled model with budget interactions, and how each effect relaxes (H1).

Residual variance often differs 10 to 50-fold between budgets, so `relaxation` fits each budget apart and pairs
by seed where it can; `pooled_budgets` is the model of published follow-ups and says when its one variance is
not tenable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from foldover.core import AnalysisError, BudgetError, Effect, Limit
from foldover.stats.effects import estimate_effects
from foldover.stats.estimators import effects_within_blocks
from foldover.stats.ols import LeastSquares, leverages
from foldover.stats.ratio import Ratio, ratio_of_effects
from foldover.stats.screen import prepare_screen
from foldover.stats.table import Table
from foldover.stats.tails import critical_t, f_upper, t_two_sided, t_upper

Array = npt.NDArray[np.float64]

_TENABLE_VARIANCE_RATIO = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetDelta:
    """The effect of `term` at `budget` minus that at `reference`."""

    term: str
    reference: str
    budget: str
    estimate: float
    se: float
    low: float
    high: float
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledBudgets:
    """The pooled model. effects: of each term at each budget; interaction_f: joint test of all deltas.

    residual_sd: by budget, from the pooled fit; sigma, df: of the one error that the model assumes.
    """

    budgets: tuple[str, ...]
    effects: tuple[Effect, ...]
    deltas: tuple[BudgetDelta, ...]
    interaction_f: float
    interaction_df: tuple[int, int]
    interaction_p: float
    sigma: float
    df: int
    residual_sd: tuple[tuple[str, float], ...]
    notes: tuple[str, ...]


def pooled_budgets(
    table: Table,
    *,
    terms: Sequence[str] | str = "main+2fi",
    reference: str | None = None,
    block: str | None = None,
    errors: Literal["ols", "hc3"] = "ols",
    level: float = 0.95,
) -> PooledBudgets:
    """y ~ budget * terms (+ block), fitted to all budgets at once: the published D-fixed follow-up.

    reference: the budget whose effects the deltas are taken from (the smallest by default). errors: `hc3`
    for variances that differ. Raises AnalysisError for fewer than two budgets, mixed units, and singular models.
    """
    budgets = _budgets(table)
    reference = reference if reference is not None else budgets[0]
    if reference not in budgets:
        raise AnalysisError("no such budget", value=reference, fix=f"Budgets are {', '.join(budgets)}.")
    screen = prepare_screen(table, terms=terms, block=block, adjust_for=("budget",))
    order = [reference, *(budget for budget in budgets if budget != reference)]
    at = np.stack([np.array([b == budget for b in table.budgets], dtype=np.float64) for budget in order], axis=1)
    m = len(screen.names)
    dummies = np.eye(len(screen.block_labels))[screen.block][:, 1:] if screen.block is not None else at[:, :0]
    X = np.column_stack([np.ones(len(table)), at[:, 1:], screen.X]
                        + [screen.X * at[:, [b]] for b in range(1, len(order))] + [dummies])  # fmt: skip
    names = ["1", *order[1:], *screen.names]
    names += [f"{name} x {budget}" for budget in order[1:] for name in screen.names]
    model = LeastSquares(X, [*names, *(f"block {label}" for label in screen.block_labels[1:])])
    fit = model.fit(table.y)
    weights = fit.residuals**2 / (1.0 - leverages(model)) ** 2 if errors == "hc3" else np.full(len(table), fit.sigma**2)
    covariance = (model.pinv * weights) @ model.pinv.T
    first = len(order)
    effects, deltas = [], []
    sds, notes = _residual_sds(table, budgets, fit.residuals, errors)
    t = critical_t(level, float(fit.df))
    for b, budget in enumerate(order):
        for j, name in enumerate(screen.names):
            L = np.zeros(X.shape[1])
            L[first + j] = 2.0
            if b:
                L[first + b * m + j] = 2.0
                deltas.append(_delta(name, reference, budget, fit.coef, covariance, first + b * m + j, t, fit.df))
            effects.append(
                _pooled_effect(name, budget, L, fit.coef, covariance, t, fit.df, level, table, errors, notes)
            )
    f, df1 = _joint(fit.coef, covariance, list(range(first + m, first + m * len(order))))
    return PooledBudgets(
        budgets=budgets,
        effects=tuple(effects),
        deltas=tuple(deltas),
        interaction_f=f,
        interaction_df=(df1, fit.df),
        interaction_p=f_upper(f, df1, fit.df),
        sigma=fit.sigma,
        df=fit.df,
        residual_sd=sds,
        notes=notes,
    )


def _delta(
    name: str, reference: str, budget: str, coef: Array, covariance: Array, i: int, t: float, df: int
) -> BudgetDelta:
    estimate, se = 2.0 * float(coef[i]), 2.0 * float(covariance[i, i]) ** 0.5
    return BudgetDelta(
        term=name,
        reference=reference,
        budget=budget,
        estimate=estimate,
        se=se,
        low=estimate - t * se,
        high=estimate + t * se,
        p=float(t_two_sided(np.array(estimate / se), float(df))),
    )


def _pooled_effect(
    name: str, budget: str, L: Array, coef: Array, covariance: Array, t: float, df: int, level: float, table: Table,
    errors: str, notes: tuple[str, ...],
) -> Effect:  # fmt: skip
    estimate, se = float(L @ coef), float(L @ covariance @ L) ** 0.5
    return Effect(
        term=name,
        package=" + ".join(sorted({p for p, b in zip(table.packages, table.budgets, strict=True) if b == budget})),
        budget=budget,
        estimate=estimate,
        se=se,
        low=estimate - t * se,
        high=estimate + t * se,
        level=level,
        p=float(t_two_sided(np.array(estimate / se), float(df))),
        q=None,
        retained=None,
        df=float(df),
        n=table.budgets.count(budget),
        aliased_with=(),
        method="pooled" if errors == "ols" else f"pooled+{errors}",
        notes=notes,
    )


def _residual_sds(
    table: Table, budgets: tuple[str, ...], residuals: Array, errors: str
) -> tuple[tuple[tuple[str, float], ...], tuple[str, ...]]:
    labels = np.array(table.budgets)
    sds = tuple((budget, float(residuals[labels == budget].std())) for budget in budgets)
    values = [sd for _, sd in sds]
    notes = table.left_out_note()
    if errors == "ols" and min(values) > 0 and (max(values) / min(values)) ** 2 > _TENABLE_VARIANCE_RATIO:
        shown = ", ".join(f"{sd:.3g} at {budget}" for budget, sd in sds)
        notes += (f"one error for all budgets is not tenable (residual sd {shown}): use hc3 or separate models",)
    return sds, notes


def _joint(coef: Array, covariance: Array, index: list[int]) -> tuple[float, int]:
    part = coef[index]
    return float(part @ np.linalg.solve(covariance[np.ix_(index, index)], part)) / len(index), len(index)


def _budgets(table: Table) -> tuple[str, ...]:
    """The budgets, smallest first. Raises AnalysisError for fewer than two and for mixed units."""
    budgets = table.budget_labels()
    if len(budgets) < 2:
        raise AnalysisError("relaxation needs at least two budgets", value=budgets, fix="Is there a column `budget`?")
    if "" in budgets:
        raise AnalysisError("some runs have no budget", value=budgets, fix="Fill in the column `budget`.")
    kinds = {_kind(label) for label in budgets}
    if len(kinds) > 1:
        raise AnalysisError("budgets are in different units", value=budgets, fix="Compare like with like.")
    amounts = sorted(set(table.amounts))
    if kinds == {"plain"} and any(a * 60.0 == b for a in amounts for b in amounts):
        raise AnalysisError("budgets look like seconds and minutes mixed", value=budgets, fix='Write units: "5 min".')
    return budgets


def _kind(label: str) -> str:
    try:
        return Limit.parse(label.replace(",", "")).kind
    except BudgetError:
        return "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaxationStep:
    """From a shorter to a longer budget: shrinkage = |effect at short| - |effect at long|, and the test of H1.

    p: one-sided, of no shrinkage; low, high: two-sided interval of the shrinkage; all None without error.
    ratio: long over short (None where the short effect's interval contains 0); half_life: in the budget's
    unit, under exponential decay between the two; changes_sign: the estimates differ in sign; paired: by block.
    """

    term: str
    short: str
    long: str
    shrinkage: float
    se: float | None
    df: float | None
    low: float | None
    high: float | None
    p: float | None
    ratio: Ratio | None
    half_life: float | None
    changes_sign: bool
    paired: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxation:
    """Effects at each budget (separate models), and steps: consecutive budgets, then first to last."""

    budgets: tuple[str, ...]
    amounts: tuple[float, ...]
    effects: tuple[Effect, ...]
    steps: tuple[RelaxationStep, ...]

    def curve(self, term: str) -> tuple[Effect, ...]:
        """The effects of one term, shortest budget first."""
        return tuple(effect for effect in self.effects if effect.term == term)


def relaxation(
    table: Table,
    *,
    terms: Sequence[str] | str = "main",
    block: str | None = "seed",
    method: str = "auto",
    level: float = 0.95,
    adjust_for: Sequence[str] = (),
) -> Relaxation:
    """How each effect changes over budgets, from separate models, with the one-sided test of H1 per step.

    Where both budgets ran complete under the same blocks, the differences are taken within blocks: t over
    blocks. Otherwise the two are taken as independent (Welch-Satterthwaite). Budgets with a single seed are
    described only. Raises AnalysisError for fewer than two budgets, mixed units, and as `estimate_effects`.
    """
    budgets = _budgets(table)
    parts = {budget: table.where(budget=budget) for budget in budgets}
    effects: list[Effect] = []
    for part in parts.values():
        effects += estimate_effects(part, terms=terms, block=block, method=method, level=level, adjust_for=adjust_for)
    pairs = list(pairwise(budgets))
    pairs += [(budgets[0], budgets[-1])] if len(budgets) > 2 else []
    steps = []
    for short, long in pairs:
        within = _within(parts[short], parts[long], terms, block) if block is not None and not adjust_for else None
        by_term = {effect.term: effect for effect in effects if effect.budget == short}
        span = parts[long].amounts[0] - parts[short].amounts[0]
        for later in (effect for effect in effects if effect.budget == long):
            values = within.get(later.term) if within is not None else None
            steps.append(relaxation_step(by_term[later.term], later, span=span, within=values, level=level))
    amounts = tuple(parts[budget].amounts[0] for budget in budgets)
    return Relaxation(budgets=budgets, amounts=amounts, effects=tuple(effects), steps=tuple(steps))


def _within(short: Table, long: Table, terms: Sequence[str] | str, block: str) -> dict[str, tuple[Array, Array]] | None:
    """Per-block effects at both budgets by term; None unless both are complete under the same blocks."""
    screens = [prepare_screen(part, terms=terms, block=block) for part in (short, long)]
    labels = screens[0].block_labels
    if labels != screens[1].block_labels or len(labels) < 2 or not all(screen.balanced for screen in screens):
        return None
    first, second = (
        effects_within_blocks(screen, part.y[None, :])[:, 0, :]
        for screen, part in zip(screens, (short, long), strict=True)
    )
    return {name: (first[:, j], second[:, j]) for j, name in enumerate(screens[0].names)}


def relaxation_step(
    short: Effect,
    long: Effect,
    *,
    span: float = 0.0,
    within: tuple[Array, Array] | None = None,
    level: float = 0.95,
) -> RelaxationStep:
    """One effect from a shorter to a longer budget, from two fits.

    span: the difference of the budgets, for the half-life (0: none); within: the effect in each block at both,
    (K,) each, when the blocks are the same; without it the fits are taken as independent.
    """
    shrinkage = abs(short.estimate) - abs(long.estimate)
    se, df, covariance, notes = _shrinkage_error(short, long, within)
    quotient = None
    if se is not None and df is not None and short.se is not None and long.se is not None:
        try:
            quotient = ratio_of_effects(
                short.estimate, short.se, long.estimate, long.se, covariance=covariance, df=df, level=level
            )
        except AnalysisError as error:
            notes += (f"no ratio: {error.what}",)
    half = critical_t(level, df) * se if se is not None and df is not None else None
    remaining = abs(long.estimate / short.estimate) if short.estimate != 0.0 else np.inf
    decays = 0.0 < remaining < 1.0 - 1e-9 and span > 0.0 and short.estimate * long.estimate > 0.0
    return RelaxationStep(
        term=short.term,
        short=short.budget,
        long=long.budget,
        shrinkage=shrinkage,
        se=se,
        df=df,
        low=None if half is None else shrinkage - half,
        high=None if half is None else shrinkage + half,
        p=None if se is None or df is None else t_upper(shrinkage / se, df),
        ratio=quotient,
        half_life=float(span * np.log(2.0) / -np.log(remaining)) if decays else None,
        changes_sign=short.estimate * long.estimate < 0.0,
        paired=within is not None,
        notes=notes,
    )


def _shrinkage_error(
    short: Effect, long: Effect, within: tuple[Array, Array] | None
) -> tuple[float | None, float | None, float, tuple[str, ...]]:
    """Standard error and df of |short| - |long|, the covariance of the two estimates, and notes."""
    if within is not None:
        a, b = within
        n = len(a)
        difference = np.sign(short.estimate) * a - np.sign(long.estimate) * b
        covariance = float(np.cov(a, b)[0, 1]) / n
        return float(difference.std(ddof=1) / np.sqrt(n)), n - 1.0, covariance, ("paired by seed",)
    if short.se is None or long.se is None or short.df is None or long.df is None:
        return None, None, 0.0, ("descriptive: a budget has no error",)
    v1, v2 = short.se**2, long.se**2
    spread = v1**2 / short.df + v2**2 / long.df
    return (v1 + v2) ** 0.5, (v1 + v2) ** 2 / spread if spread else np.inf, 0.0, ("budgets taken as independent",)
