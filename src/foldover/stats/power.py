"""Power of the tests that foldover makes, and the seeds they need.

An effect (high minus low) from N = runs x seeds rows has standard error 2 sd / sqrt(N); its test is Student's t
on the degrees of freedom of the analysis that is planned, so power is a tail of the noncentral t.
sd is the spread of the runs of one condition: measure it, it differs between regions.

Analyses, by the names of `estimate_effects`: per_seed (t over seeds, seeds - 1 degrees of freedom),
satterthwaite (each condition's own variance, by simulation of these), lenth (single runs, by simulation), and
residual: least squares with `terms` effects (methods `paper` and `ols+2fi`). auto is what `estimate_effects`
does by default. docs/calibration.md holds these predictions beside what comes out of simulated studies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from foldover.core import AnalysisError
from foldover.stats._chi import sd_quadrature
from foldover.stats._inputs import require_count, require_effect, require_positive, require_probability
from foldover.stats._search import smallest_count
from foldover.stats.screen_power import satterthwaite_power, single_lenth_power
from foldover.stats.tails import t_quantile

Analysis = Literal["auto", "per_seed", "satterthwaite", "residual", "lenth"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectPower:
    """Power of the two-sided test of one effect. ncp: effect / se; df: see `error_df`; analysis: as carried out."""

    power: float
    effect: float
    se: float
    df: float
    ncp: float
    runs: int
    seeds: int
    analysis: Analysis


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedsNeeded:
    """The smallest number of seeds a condition that reaches the target, its power, and that of one seed less.

    power_below is None when there is no smaller plan with error degrees of freedom.
    """

    seeds: int
    power: float
    power_below: float | None
    df: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerCurve:
    """Power at each of `effects`, or at each of `seeds`, of one plan."""

    x: tuple[float, ...]
    power: tuple[float, ...]
    quantity: Literal["effect", "seeds"]


def error_df(*, runs: int, seeds: int, terms: int = 1, block: bool = True, analysis: Analysis = "auto") -> float:
    """Error degrees of freedom of the planned analysis.

    runs: rows of the design; terms: effects in the model, without the mean; block: seeds as blocks.
    satterthwaite: about what to expect under equal variances (a study's own vary); lenth: a third of the contrasts.
    Raises AnalysisError when none are left.
    """
    require_count(runs, "number of runs", least=2)
    require_count(seeds, "number of seeds")
    require_count(terms, "number of terms")
    if terms > runs - 1:
        raise AnalysisError(f"{runs} runs cannot carry {terms} effects", fix=f"Fit at most {runs - 1}.")
    chosen = planned_analysis(seeds=seeds, block=block) if analysis == "auto" else analysis
    if chosen == "lenth":
        return (runs - 1) / 3.0
    within = seeds - 1
    if chosen == "per_seed":
        df = float(within)
    elif chosen == "satterthwaite":
        # E[(sum v)^2] / E[sum v^2] * (n - 1), with v proportional to chi-squared on n - 1.
        df = within * (runs * within + 2) / (within + 2)
    else:
        df = float(runs * seeds - 1 - terms - (within if block else 0))
    if df < 1:
        raise AnalysisError(
            f"{runs} runs x {seeds} seeds leave no degrees of freedom for error beside {terms} terms",
            value=df,
            fix="Plan more seeds, or analyse the screen as unreplicated (`lenth`).",
        )
    return df


def planned_analysis(*, seeds: int, block: bool = True) -> Analysis:
    """What `auto` stands for: lenth for one seed, per_seed where seeds are blocks, else satterthwaite."""
    if seeds < 2:
        return "lenth"
    return "per_seed" if block else "satterthwaite"


def power_of(
    effect: float,
    sd: float,
    runs: int,
    seeds: int,
    terms: int = 1,
    level: float = 0.95,
    *,
    block: bool = True,
    analysis: Analysis = "auto",
    df: float | None = None,
) -> EffectPower:
    """Power of the two-sided test of an effect of a two-level design.

    effect: high minus low, response units. sd: of the runs of one condition, response units; with seeds as block
    it is the sd that is left after the seed effect (about the condition and the seed), without block the whole.
    level: of the interval (alpha = 1 - level). df: of the error, where least squares with another model than
    `terms` and block is planned (analysis is then residual).
    Raises AnalysisError for sd <= 0, effect = 0, level outside (0, 1) and no error degrees of freedom.
    """
    require_effect(effect)
    require_positive(sd, "sd")
    require_probability(level, "level")
    chosen = planned_analysis(seeds=seeds, block=block) if analysis == "auto" else analysis
    if df is None:
        df = error_df(runs=runs, seeds=seeds, terms=terms, block=block, analysis=chosen)
    elif not df >= 1.0:
        raise AnalysisError("a t test needs at least one degree of freedom", value=df, fix="Plan more seeds.")
    else:
        chosen = "residual"
    se = 2.0 * sd / math.sqrt(runs * seeds)
    return EffectPower(
        power=_power(effect / se, df, runs, seeds, level, chosen),
        effect=effect,
        se=se,
        df=df,
        ncp=effect / se,
        runs=runs,
        seeds=seeds,
        analysis=chosen,
    )


def seeds_needed(
    effect: float,
    sd: float,
    runs: int,
    terms: int = 1,
    *,
    power: float = 0.9,
    level: float = 0.95,
    block: bool = True,
    analysis: Analysis = "auto",
) -> SeedsNeeded:
    """The fewest seeds a condition at which `power_of` reaches `power`.

    `auto` counts from two seeds: effects of single runs are described, not tested.
    Raises AnalysisError for a power outside (0, 1), and when 100,000 seeds are not enough.
    """
    require_probability(power, "power")

    def at(seeds: int) -> EffectPower | None:
        try:
            return power_of(
                effect, sd, runs=runs, seeds=seeds, terms=terms, level=level, block=block, analysis=analysis
            )
        except AnalysisError:
            if seeds < terms + 2:  # no error degrees of freedom yet
                return None
            raise

    least = 2 if analysis == "auto" else 1
    seeds = smallest_count(lambda n: (found := at(n)) is not None and found.power >= power, least, "seeds")
    reached, below = at(seeds), at(seeds - 1) if seeds > least else None
    assert reached is not None  # the search stopped there
    return SeedsNeeded(seeds=seeds, power=reached.power, power_below=below.power if below else None, df=reached.df)


def detectable_effect(
    sd: float,
    *,
    runs: int,
    seeds: int,
    terms: int = 1,
    power: float = 0.9,
    level: float = 0.95,
    block: bool = True,
    analysis: Analysis = "auto",
) -> float:
    """The smallest effect that the plan finds with the given power (response units).

    Raises AnalysisError as `power_of`, and for a power that is not above alpha.
    """
    require_probability(power, "power")
    if power <= 1.0 - level:
        raise AnalysisError("the power of a test is never below its alpha", value=power, fix="Ask for 0.8 or 0.9.")
    low, high = 0.0, 1.0
    plan = power_of(1.0, sd, runs=runs, seeds=seeds, terms=terms, level=level, block=block, analysis=analysis)
    while _power(high, plan.df, runs, seeds, level, plan.analysis) < power:
        low, high = high, 2.0 * high
    while high - low > 1e-9 * high:
        middle = 0.5 * (low + high)
        if _power(middle, plan.df, runs, seeds, level, plan.analysis) < power:
            low = middle
        else:
            high = middle
    return high * plan.se


def power_curve(
    sd: float,
    *,
    runs: int,
    seeds: Sequence[int],
    effects: Sequence[float],
    terms: int = 1,
    level: float = 0.95,
    block: bool = True,
    analysis: Analysis = "auto",
) -> PowerCurve:
    """Power over one varied quantity: several effects at one number of seeds, or several seeds at one effect.

    Raises AnalysisError where both vary, and as `power_of`.
    """
    if len(seeds) == 1:
        x: tuple[float, ...] = tuple(effects)
        pairs = [(effect, seeds[0]) for effect in effects]
    elif len(effects) == 1:
        x, pairs = tuple(seeds), [(effects[0], n) for n in seeds]
    else:
        raise AnalysisError("a power curve varies either seeds or effects", fix="Give one value of the other.")
    power = tuple(
        power_of(e, sd, runs=runs, seeds=n, terms=terms, level=level, block=block, analysis=analysis).power
        for e, n in pairs
    )
    return PowerCurve(x=x, power=power, quantity="effect" if len(seeds) == 1 else "seeds")


def t_test_power(ncp: float, df: float, *, alpha: float = 0.05, sides: Literal[1, 2] = 2) -> float:
    """P(reject) of a t test whose statistic has noncentrality `ncp`; one-sided tests reject for large t.

    df: at least 1. The mean of a normal tail over the law of the sample sd, right to 1e-10.
    """
    from scipy.special import ndtr  # late: 0.3 s

    # An average over the sample sd: scipy's noncentral t is not a number at df 1 and moderate noncentrality.
    critical = t_quantile(1.0 - alpha / sides, df)
    s, mass = sd_quadrature(float(df))
    rejects = ndtr(ncp - critical * s)
    if sides == 2:
        rejects = rejects + ndtr(-ncp - critical * s)
    return min(1.0, float(mass @ rejects))


def _power(ncp: float, df: float, runs: int, seeds: int, level: float, analysis: Analysis) -> float:
    if analysis == "lenth":
        return single_lenth_power(abs(ncp), runs, level)
    if analysis == "satterthwaite":
        return satterthwaite_power(ncp, runs, seeds, level)
    return t_test_power(ncp, df, alpha=1.0 - level)
