"""The parts of a report that were known before anything ran: the study and its design."""

from __future__ import annotations

from foldover.core import Design, Factor, Row, Study, Values
from foldover.report.inputs import ReportInputs
from foldover.report.numbers import unit_of


def describe_study(inputs: ReportInputs) -> dict[str, object]:
    """What was asked and how it would be judged."""
    study = inputs.study
    return {
        "name": study.name,
        "question": study.question,
        "response": study.response,
        "unit": unit_of(study.response),
        "direction": study.direction,
        "baseline": {"trainer": study.baseline.trainer, "values": study.baseline.values},
        "constants": study.constants,
        "factors": [_factor(study, factor) for factor in study.factors],
        "gate": study.gate,
        "seed": study.seed,
        "stages": [
            {
                "name": stage.name,
                "kind": stage.kind,
                "budgets": [budget.label() for budget in stage.budgets],
                "seeds": stage.seeds,
            }
            for stage in study.stages
        ],
    }


def describe_design(inputs: ReportInputs) -> dict[str, object] | None:
    """The matrix with coded and decoded levels, and what cannot be told apart (None without a design)."""
    design = inputs.design
    if design is None:
        return None
    derived = _derived_by_condition(inputs)
    return {
        "name": design.name,
        "kind": design.kind,
        "runs": len(design.rows),
        "factors": design.letters,
        "generators": design.generators,
        "defining_relation": " = ".join(("I", *design.words)) if design.words else "",
        "words": design.words,
        "resolution": design.resolution,
        "aliases": [{"term": term, "aliased_with": others} for term, others in design.aliases],
        "block_words": design.block_words,
        "whole_plot": design.whole_plot,
        "constraints": design.constraints,
        "seed": design.seed,
        "parent": design.parent,
        "notes": design.notes,
        "matrix": [_row(design, row, derived.get(row.condition, {})) for row in design.rows],
    }


def _factor(study: Study, factor: Factor) -> dict[str, object]:
    return {
        "letter": factor.letter,
        "lever": factor.lever,
        "low": factor.low,
        "high": factor.high,
        "center": factor.center,
        "kind": factor.kind,
        "scale": factor.scale,
        "baseline": study.baseline.values.get(factor.lever),
    }


def _row(design: Design, row: Row, derived: Values | dict[str, object]) -> dict[str, object]:
    return {
        "label": row.label,
        "order": row.order,
        "block": row.block,
        "whole_plot": row.whole_plot,
        "replicate": row.replicate,
        "kind": row.kind,
        "coded": list(row.levels),
        "levels": [factor.decode(level) for factor, level in zip(design.factors, row.levels, strict=True)],
        "derived": derived,
    }


def _derived_by_condition(inputs: ReportInputs) -> dict[str, Values]:
    """What each condition resolved to, as its first run with an answer says."""
    derived: dict[str, Values] = {}
    for record in inputs.records:
        if record.outcome.derived:
            derived.setdefault(record.spec.condition, record.outcome.derived)
    return derived
