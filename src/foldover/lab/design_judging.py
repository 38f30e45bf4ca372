"""What a design can show: relation, aliases, efficiency, power; gathered for `foldover design`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from foldover.core import AnalysisError, Design, DesignError
from foldover.designs import (
    alias_matrix,
    clear_effects,
    estimability,
    evaluate_design,
    wordlength_pattern,
    wordlength_pattern_of_columns,
)
from foldover.designs.gf2 import columns_of
from foldover.report import CARD_SCHEMA, DesignCard, Efficiency, TermPower, roman

# More terms than these are counted, not evaluated: 20 factors have 190 interactions.
MOST_TERMS = 120
DEFAULT_SEEDS = (3, 5)
DEFAULT_EFFECTS = (1.0, 2.0)


def judge_design(
    design: Design,
    *,
    sd: float | None = None,
    effects: Sequence[float] = (),
    seeds: Sequence[int] = (),
    level: float = 0.95,
) -> DesignCard:
    """The card of a design.

    sd: of one run over seeds, and effects in its units (None: power is for effects in units of the sd); seeds: each row
    is run under so many. Raises AnalysisError for a power that cannot be asked for.
    """
    regular = bool(design.generators) or design.kind == "full"
    clear = clear_effects(design.letters, design.generators) if regular else None
    efficiencies = tuple(_efficiency(design, model) for model in _models(design))
    shown_effects = tuple(effects) or DEFAULT_EFFECTS
    power = _powers(design, sd or 1.0, shown_effects, tuple(seeds) or DEFAULT_SEEDS, level)
    needed = _needed(design, sd or 1.0, shown_effects, level)
    return DesignCard(
        schema=CARD_SCHEMA,
        name=design.name,
        kind=design.kind,
        num_runs=len(design.rows),
        num_conditions=len({row.levels for row in design.rows}),
        generators=design.generators,
        words=design.words,
        resolution=roman(design.resolution),
        pattern=_pattern(design),
        aliases=design.aliases,
        clear_main=clear.main if clear else (),
        clear_two_factor=clear.two_factor if clear else (),
        strongly_clear=clear.strongly_clear if clear else (),
        partial=_partial(design) if not regular else (),
        efficiencies=efficiencies,
        power=power,
        seeds_needed=needed,
        unit="sd" if sd is None else "response",
        notes=design.notes,
        cautions=_cautions(design),
    )


def _models(design: Design) -> tuple[str, ...]:
    k = len(design.factors)
    models = ["main"]
    if 1 + k + k * (k - 1) // 2 <= MOST_TERMS and k > 1:
        models.append("main+2fi")
        if all(len({row.levels[j] for row in design.rows}) > 2 for j in range(k)) and _has_edges(design):
            models.append("quadratic")
    return tuple(models)


def _has_edges(design: Design) -> bool:
    """Whether factors leave -1 and +1 one by one, not only all together at the centre."""
    return any(0 < sum(abs(x) == 1 for x in row.levels) < len(row.levels) for row in design.rows) or any(
        abs(x) not in (0.0, 1.0) for row in design.rows for x in row.levels
    )


def _efficiency(design: Design, model: str) -> Efficiency:
    found = estimability(design, model)
    if found.lost:
        reasons = list(dict.fromkeys(lost.reason for lost in found.lost))
        more = f" and {len(reasons) - 2} more" if len(reasons) > 2 else ""
        return Efficiency(
            model=model, num_terms=found.num_columns - 1, d=None, a=None, g=None, i=None, largest_vif=None,
            not_estimable="; ".join(reasons[:2]) + more,
        )  # fmt: skip
    evaluation = evaluate_design(design, model)
    return Efficiency(
        model=model,
        num_terms=evaluation.num_columns - 1,
        d=evaluation.d_efficiency,
        a=evaluation.a_efficiency,
        g=evaluation.g_efficiency,
        i=evaluation.average_variance,
        largest_vif=max((term.vif for term in evaluation.terms[1:]), default=None),
        not_estimable="",
    )


def _powers(
    design: Design, sd: float, effects: Sequence[float], seeds: Sequence[int], level: float
) -> tuple[TermPower, ...]:
    """Main effects and, where estimable, interactions, grouped by their precision."""
    from foldover.stats import error_df, planned_analysis, power_of, t_test_power  # late: 0.1 s

    groups = _by_variance(design)
    runs = len(design.rows)
    found = []
    for effect, number, (variance, terms) in itertools.product(effects, seeds, groups):
        if abs(variance * runs - 1.0) < 1e-9:
            power = power_of(effect, sd, runs=runs, seeds=number, level=level)
            se, df, analysis, value = power.se, power.df, str(power.analysis), power.power
        else:
            if number < 2:
                raise AnalysisError(
                    "power of single runs is known for orthogonal designs only", fix="Give --seeds of two or more."
                )
            # An interaction's coefficient is half its effect, like that of a main effect.
            se = 2.0 * sd * (variance / number) ** 0.5
            analysis = str(planned_analysis(seeds=number))
            df = error_df(runs=runs, seeds=number)
            value = t_test_power(effect / se, df, alpha=1.0 - level)
        found.append(
            TermPower(terms=terms, effect=effect, sd=sd, seeds=number, se=se, df=df, analysis=analysis, power=value)
        )
    return tuple(found)


def _by_variance(design: Design) -> list[tuple[float, tuple[str, ...]]]:
    """(variance of the coefficient for error variance 1, terms), the most precise first."""
    for model in ("main+2fi", "main"):
        if model in _models(design) and not estimability(design, model).lost:
            break
    else:
        return []
    groups: dict[float, list[str]] = {}
    for term in evaluate_design(design, model).terms[1:]:
        groups.setdefault(round(term.variance, 9), []).append(term.name)
    return [(variance, tuple(terms)) for variance, terms in sorted(groups.items())]


def _needed(design: Design, sd: float, effects: Sequence[float], level: float) -> tuple[tuple[float, float, int], ...]:
    """Seeds for 90% power of a main effect, where the design is orthogonal."""
    from foldover.stats import seeds_needed  # late, as above

    groups = _by_variance(design)
    runs = len(design.rows)
    if len(groups) != 1 or abs(groups[0][0] * runs - 1.0) > 1e-9:
        return ()
    return tuple((effect, sd, seeds_needed(effect, sd, runs, level=level).seeds) for effect in effects)


def _pattern(design: Design) -> tuple[int, ...]:
    if design.words:
        return wordlength_pattern(design.words, len(design.factors))
    if not design.generators:
        return ()
    columns = columns_of(design.letters, design.generators)
    num_basic = len(design.factors) - len(design.generators)
    return wordlength_pattern_of_columns([word.mask for word in columns.values()], num_basic)


def _partial(design: Design) -> tuple[tuple[str, str, float], ...]:
    try:
        entries = alias_matrix(design, "main")
    except DesignError:
        return ()  # main effects are not estimable: the efficiency says so
    return tuple((entry.term, entry.omitted, entry.coefficient) for entry in entries if entry.term != "1")


def _cautions(design: Design) -> tuple[str, ...]:
    found = []
    if design.resolution == 3:
        found.append(
            "resolution III: main effects are aliased with two-factor interactions; --augment foldover separates them"
        )
    if design.resolution == 4:
        found.append(
            "resolution IV: main effects are clear of two-factor interactions, which are aliased with each other"
        )
    if design.resolution is not None:
        found.append(f"any {design.resolution - 1} of the factors make a full factorial in these runs")
    if design.whole_plot:
        found.append("power is that of sub-plot effects: whole-plot effects are judged by whole plots and have less")
    return tuple(found)
