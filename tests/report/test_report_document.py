"""The document of report.json: its keys, its sums, its determinism."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

import foldover.report
from foldover.core import AnalysisError
from foldover.report import SCHEMA, Document, ReportInputs, build_report, render_html, render_json, render_text

TOP_LEVEL = {
    "schema", "answer", "study", "design", "effects", "conditions", "verdicts", "recommendation", "packages",
    "totals", "runs", "references", "curves", "sections", "provenance",
}  # fmt: skip
EFFECT = {"term", "budget", "estimate", "low", "high", "p", "q", "retained", "n", "df", "aliased_with"}
PACKAGE = {
    "name", "planned", "finished", "failed", "diverged", "timeout", "lost_attempts", "excluded", "training_seconds",
    "total_seconds", "seeds", "budget",
}  # fmt: skip


def test_public_names_exist_once() -> None:
    assert len(set(foldover.report.__all__)) == len(foldover.report.__all__)
    assert all(hasattr(foldover.report, name) for name in foldover.report.__all__)


def test_document_has_the_promised_top_level(document: Document) -> None:
    assert set(document) == TOP_LEVEL
    assert document["schema"] == SCHEMA


def test_every_effect_has_the_promised_fields(document: Document) -> None:
    assert document["effects"]
    assert all(set(effect) >= EFFECT for effect in document["effects"])


def test_every_package_has_the_promised_fields(document: Document) -> None:
    assert all(set(package) >= PACKAGE for package in document["packages"])


def test_effects_keep_full_precision(inputs: ReportInputs, document: Document) -> None:
    assert [effect["estimate"] for effect in document["effects"]] == [effect.estimate for effect in inputs.effects]


def test_main_effect_names_its_lever_and_levels(document: Document) -> None:
    effect = next(effect for effect in document["effects"] if effect["term"] == "D")
    assert (effect["kind"], effect["lever"], effect["levels"]) == ("main", "optimizer.total_batch", [2048, 8192])


def test_interaction_has_no_lever(document: Document) -> None:
    effect = next(effect for effect in document["effects"] if effect["term"] == "AB")
    assert (effect["kind"], effect["lever"]) == ("interaction", None)


def test_better_level_of_a_retained_penalty_is_low(document: Document) -> None:
    effect = next(effect for effect in document["effects"] if effect["term"] == "D")
    assert effect["retained"]
    assert effect["better"] == "low"


def test_better_level_turns_round_when_the_response_is_maximized(
    inputs: ReportInputs, make_inputs: Callable[..., ReportInputs]
) -> None:
    turned = build_report(make_inputs(study=replace(inputs.study, direction="maximize")))
    effect = next(effect for effect in turned["effects"] if effect["term"] == "D")
    assert effect["better"] == "high"


def test_conditions_are_ordered_within_their_package(document: Document) -> None:
    for package in document["packages"]:
        means = [row["mean"] for row in document["conditions"] if row["package"] == package["name"]]
        assert means == sorted(means)


def test_ranks_start_at_one_in_each_package(document: Document) -> None:
    firsts = [row["package"] for row in document["conditions"] if row["rank"] == 1]
    assert firsts == [package["name"] for package in document["packages"]]


def test_conditions_are_ordered_downwards_when_the_response_is_maximized(
    inputs: ReportInputs, make_inputs: Callable[..., ReportInputs]
) -> None:
    turned = build_report(make_inputs(study=replace(inputs.study, direction="maximize")))
    means = [row["mean"] for row in turned["conditions"] if row["package"] == "screen @ 1 s"]
    assert means == sorted(means, reverse=True)


def test_a_condition_shows_the_values_that_its_mean_is_made_of(document: Document) -> None:
    for row in document["conditions"]:
        values = [run["value"] for run in row["values"]]
        assert sum(values) / len(values) == pytest.approx(row["mean"], rel=1e-12)


def test_roles_follow_stage_and_levels(document: Document) -> None:
    roles = {(row["stage"], row["condition"]): row["role"] for row in document["conditions"]}
    assert roles["screen", "c03"] == "factorial"
    assert roles["confirm", "c03"] == "anchor"
    assert roles["refine", "corner"] == "corner"
    assert roles["refine", "bridge-all"] == "bridge"


def test_statuses_of_a_package_add_up_to_its_plan(document: Document) -> None:
    for row in document["packages"]:
        ended = sum(row[s] for s in ("finished", "failed", "diverged", "timeout", "over_cap", "cancelled"))
        assert ended + row["pending"] == row["planned"]


def test_totals_are_the_sums_of_the_packages(document: Document) -> None:
    totals = document["totals"]
    for name in ("planned", "finished", "diverged", "timeout", "lost_attempts", "excluded", "training_seconds"):
        assert totals[name] == pytest.approx(sum(row[name] for row in document["packages"]))


def test_a_lost_attempt_is_counted_apart_from_the_run_that_followed(document: Document) -> None:
    first = document["packages"][0]
    assert (first["lost_attempts"], first["pending"]) == (1, 0)


def test_planned_runs_without_a_record_are_pending(
    inputs: ReportInputs, make_inputs: Callable[..., ReportInputs]
) -> None:
    partial = build_report(make_inputs(records=inputs.records[:10], curves={}))
    assert partial["totals"]["pending"] == partial["totals"]["planned"] - 10


def test_every_attempt_has_one_row(inputs: ReportInputs, document: Document) -> None:
    rows = {(run["run_id"], run["attempt"]) for run in document["runs"]}
    assert len(rows) == len(document["runs"]) == len(inputs.records)


def test_a_run_without_a_result_has_a_status_and_no_value(document: Document) -> None:
    broken = [run for run in document["runs"] if run["status"] != "finished"]
    assert {run["status"] for run in broken} == {"diverged", "timeout", "lost"}
    assert all(run["value"] is None and run["responses"] == {} for run in broken)


def test_a_response_that_a_broken_run_claims_is_not_taken(
    inputs: ReportInputs, make_inputs: Callable[..., ReportInputs]
) -> None:
    claimed = replace(inputs.records[0], outcome=replace(inputs.records[0].outcome, status="diverged"))
    changed = build_report(make_inputs(records=(claimed, *inputs.records[1:])))
    run = next(run for run in changed["runs"] if run["run_id"] == claimed.spec.run_id)
    assert claimed.outcome.responses
    assert run["value"] is None


def test_design_is_shown_coded_and_decoded(document: Document) -> None:
    row = document["design"]["matrix"][0]
    assert row["coded"] == [-1.0, -1.0, -1.0, -1.0, 1.0]
    assert row["levels"] == [2, 24, 0.02, 2048, 0.5]
    assert document["design"]["defining_relation"] == "I = ABCDE"


def test_long_curves_are_thinned_and_keep_their_ends(make_inputs: Callable[..., ReportInputs]) -> None:
    column = [float(i) for i in range(1000)]
    curve = build_report(make_inputs(curves={"r": {"step": column, "train_loss": column}}))["curves"]["r"]
    assert curve["of"] == 1000
    assert len(curve["columns"]["step"]) == 120
    assert (curve["columns"]["step"][0], curve["columns"]["step"][-1]) == (0.0, 999.0)


def test_short_curves_are_kept_whole(make_inputs: Callable[..., ReportInputs]) -> None:
    curve = build_report(make_inputs(curves={"r": {"step": [0, 1, 2]}}))["curves"]["r"]
    assert curve["columns"]["step"] == [0, 1, 2]


def test_a_loss_that_is_not_finite_is_null_in_the_curve(make_inputs: Callable[..., ReportInputs]) -> None:
    curve = build_report(make_inputs(curves={"r": {"train_loss": [6.9, float("nan"), float("inf")]}}))["curves"]["r"]
    assert curve["columns"]["train_loss"] == [6.9, None, None]


def test_a_finding_that_is_not_finite_is_refused_by_name(
    inputs: ReportInputs, make_inputs: Callable[..., ReportInputs]
) -> None:
    spoiled = replace(inputs.effects[2], p=float("nan"))
    with pytest.raises(AnalysisError, match=r"report.effects\[2\].p is not a finite number"):
        build_report(make_inputs(effects=(*inputs.effects[:2], spoiled)))


def test_versions_on_which_runs_differ_are_all_listed(
    inputs: ReportInputs, make_inputs: Callable[..., ReportInputs]
) -> None:
    other = replace(inputs.records[0].outcome, versions=inputs.records[0].outcome.versions.with_(torch="2.6.0"))
    changed = make_inputs(records=(replace(inputs.records[0], outcome=other), *inputs.records[1:]))
    document = build_report(changed)
    assert document["provenance"]["versions"]["torch"] == ["2.13.0", "2.6.0"]
    assert "Not all runs agree on torch" in render_html(document)


def test_equal_inputs_give_equal_bytes(make_inputs: Callable[..., ReportInputs]) -> None:
    first, second = (build_report(make_inputs()) for _ in range(2))
    assert render_json(first) == render_json(second)
    assert render_html(first) == render_html(second)


def test_the_order_of_records_does_not_matter(inputs: ReportInputs, make_inputs: Callable[..., ReportInputs]) -> None:
    turned = make_inputs(records=tuple(reversed(inputs.records)))
    assert render_json(build_report(turned)) == render_json(build_report(inputs))


def test_a_document_read_back_from_disk_renders_the_same(document: Document) -> None:
    read_back = json.loads(render_json(document))
    assert read_back == document
    assert render_html(read_back) == render_html(document)
    assert render_text(read_back) == render_text(document)


def test_json_puts_a_column_of_numbers_on_one_line(document: Document) -> None:
    lines = render_json(document).splitlines()
    assert any(line.strip().startswith('"train_loss": [') and line.count(",") > 30 for line in lines)
