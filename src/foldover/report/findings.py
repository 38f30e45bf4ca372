"""The parts of a report that the analysis found: effects, conditions, verdicts, the recommendation."""

from __future__ import annotations

from foldover.core import (
    ConditionSummary,
    Effect,
    Factor,
    Package,
    Recommendation,
    RunRecord,
    Scalar,
    Study,
    Verdict,
    to_plain,
)
from foldover.core.finding import FEWEST_SEEDS
from foldover.report.inputs import ReportInputs


def describe_effects(inputs: ReportInputs) -> list[dict[str, object]]:
    """Every effect as estimated, with the levels it lies between and the package it comes from."""
    packages = {package.name: package for package in inputs.packages}
    return [_effect(effect, inputs, packages.get(effect.package)) for effect in inputs.effects]


def describe_conditions(inputs: ReportInputs) -> list[dict[str, object]]:
    """Means by package in the order of the packages, the better mean first, each with its runs' values."""
    place = {package.name: i for i, package in enumerate(inputs.packages)}
    sign = 1.0 if inputs.study.direction == "minimize" else -1.0
    ordered = sorted(
        inputs.conditions, key=lambda s: (place.get(s.package, len(place)), s.package, sign * s.mean, s.condition)
    )
    runs = _runs_by_cell(inputs)
    rows, rank, last = [], 0, None
    for summary in ordered:
        rank = rank + 1 if summary.package == last else 1
        last = summary.package
        package = inputs.packages[place[summary.package]] if summary.package in place else None
        own = runs.get((summary.package, summary.condition), [])
        rows.append({"rank": rank, **_condition(summary, package, own, inputs)})
    return rows


def describe_verdicts(inputs: ReportInputs) -> list[dict[str, object]]:
    """Every decision with its rule and evidence, and the lever of the factor that it is about."""
    factors = {factor.letter: factor for factor in inputs.study.factors}
    rows = []
    for verdict in inputs.verdicts:
        factor = factors.get(verdict.subject)
        rows.append({**to_plain(verdict), "lever": factor.lever if factor else None, "level": _fixed(verdict, factor)})
    return rows


def describe_recommendation(inputs: ReportInputs) -> dict[str, object] | None:
    """The recommended recipe and how far the evidence carries it (None while there is none)."""
    recommendation = inputs.recommendation
    if recommendation is None:
        return None
    return {
        "condition": recommendation.condition,
        "package": recommendation.package,
        "stage": _stage_of(recommendation, inputs),
        "recipe": {
            "trainer": recommendation.recipe.trainer,
            "digest": recommendation.recipe.digest,
            "values": recommendation.recipe.values,
        },
        "changes": [
            {"lever": lever, "baseline": old, "recommended": new} for lever, old, new in recommendation.changes
        ],
        "summary": recommendation.summary,
        "supports": recommendation.supports,
        "does_not_support": recommendation.does_not_support,
        "comparisons": recommendation.comparisons,
    }


def _effect(effect: Effect, inputs: ReportInputs, package: Package | None) -> dict[str, object]:
    study = inputs.study
    factors = _factors_of(effect.term, study)
    main = factors[0] if len(factors) == 1 and effect.term == factors[0].letter else None
    return {
        **to_plain(effect),
        "kind": "main" if main else "interaction" if len(factors) > 1 else "other",
        "lever": main.lever if main else None,
        "levels": [main.low, main.high] if main else None,
        "stage": package.stage if package else "",
        "limit": package.budget.limit if package else None,
        "seeds": package.seeds if package else [],
        "host": inputs.study.title_of(package.host) if package else "",
        "regime": package.regime if package else "explicit",
        # Under one fixed seed an effect may stand out, but nothing is tested for others.
        "descriptive": effect.retained is None or (package is not None and package.regime == "fixed"),
        "better": _better(effect, study) if effect.retained else None,
    }


def _better(effect: Effect, study: Study) -> str:
    return "low" if (effect.estimate > 0) == (study.direction == "minimize") else "high"


def _factors_of(term: str, study: Study) -> list[Factor]:
    return [factor for factor in study.factors if factor.letter in term]


def _condition(
    summary: ConditionSummary, package: Package | None, runs: list[RunRecord], inputs: ReportInputs
) -> dict[str, object]:
    study, recommended = inputs.study, inputs.recommendation
    levels = runs[0].spec.levels if runs else ()
    counted = sorted((run for run in runs if run.counts), key=lambda run: (run.spec.seed, run.attempt))
    return {
        **to_plain(summary),
        "stage": package.stage if package else "",
        "limit": package.budget.limit if package else None,
        "host": study.title_of(package.host) if package else "",
        "regime": package.regime if package else "explicit",
        "role": inputs.roles.get((summary.package, summary.condition)) or _role(package, levels, study),
        "is_recommended": recommended is not None
        and (recommended.package, recommended.condition) == (summary.package, summary.condition),
        "descriptive": len(summary.seeds) < FEWEST_SEEDS,
        "coded": levels,
        "levels": {factor.lever: runs[0].spec.recipe.values.get(factor.lever) for factor in study.factors}
        if runs
        else {},
        "values": [
            {
                "run_id": run.spec.run_id,
                "seed": run.spec.seed,
                "value": run.outcome.responses.get(study.response),
            }
            for run in counted
        ],
        "failures": sum(run.outcome.status not in ("finished", "lost") for run in runs),
    }


def _role(package: Package | None, levels: tuple[float, ...], study: Study) -> str:
    kinds = {stage.name: stage.kind for stage in study.stages}
    kind = kinds.get(package.stage) if package else None
    if kind == "refine":
        return "bridge" if 0.0 in levels else "corner"
    return "anchor" if kind == "confirm" else "factorial"


def _runs_by_cell(inputs: ReportInputs) -> dict[tuple[str, str], list[RunRecord]]:
    cells: dict[tuple[str, str], list[RunRecord]] = {}
    for record in inputs.records:
        cells.setdefault((record.spec.package, record.spec.condition), []).append(record)
    return cells


def _fixed(verdict: Verdict, factor: Factor | None) -> Scalar:
    if factor is None or verdict.decision not in ("fix_low", "fix_high"):
        return None
    return factor.low if verdict.decision == "fix_low" else factor.high


def _stage_of(recommendation: Recommendation, inputs: ReportInputs) -> str:
    return next((p.stage for p in inputs.packages if p.name == recommendation.package), "")
