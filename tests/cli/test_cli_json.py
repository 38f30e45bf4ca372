"""`--json`: one document on stdout with the keys that are documented."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foldover.core import RunSpec, from_plain
from foldover.lab import StageDecision

REPORT_KEYS = {
    "schema",
    "answer",
    "study",
    "design",
    "effects",
    "conditions",
    "verdicts",
    "recommendation",
    "packages",
    "totals",
    "runs",
    "references",
    "curves",
    "sections",
    "provenance",
}
EFFECT_KEYS = {"term", "budget", "estimate", "low", "high", "p", "q", "retained", "n", "df", "aliased_with"}
KEYS = {
    "execute": {"stage", "ended"},
    "collect": {"new", "rebuilt"},
    "analyse": {"effects", "conditions"},
    "decide": {"new", "decisions"},
    "report": REPORT_KEYS,
    "verify": {"ok", "problems"},
}


@pytest.mark.parametrize("verb", KEYS)
def test_a_verb_on_a_folder_prints_its_keys(call, copy, verb):
    assert set(call(verb, copy, "--json").json) == KEYS[verb]


def test_a_check_prints_its_keys(call, quick_path):
    assert call("check", quick_path, "--json").json == {
        "ok": True,
        "file": str(quick_path),
        "problems": [],
        "over_cap": [],
    }


def test_a_plan_prints_every_stage(call, quick_path):
    plan = call("plan", quick_path, "--jobs", 2, "--json").json
    assert {"study", "question", "stages", "total_runs", "total_wall_seconds", "jobs"} <= set(plan)
    assert [(stage["name"], stage["kind"], stage["is_upper"]) for stage in plan["stages"]] == [
        ("screen", "screen", False),
        ("confirm", "confirm", True),
        ("refine", "refine", True),
    ]
    assert (plan["total_runs"], plan["jobs"]) == (91, 2)


def test_a_plan_prints_every_condition_with_its_levels(call, quick_path):
    (screen, *_) = call("plan", quick_path, "--json").json["stages"]
    row = screen["conditions"][0]
    assert {"label", "levels", "natural", "derived", "same_as"} <= set(row)
    assert (row["label"], row["natural"]["model.depth"], row["derived"]["width"]) == ("c01", 6, 384)


def test_a_status_is_a_list_of_packages(call, finished):
    rows = call("status", finished, "--json").json
    assert rows[0] == {
        "package": "screen @ 2 min",
        "planned": 32,
        "by_status": {"finished": 32},
        "role": "compared",
        "continued": 0,
    }


def test_levers_are_printed_with_their_domains(call):
    found = call("levers", "simulator", "--json").json
    assert set(found) == {"levers", "constants", "presets"}
    assert {"name", "kind", "default", "doc", "low", "high"} <= set(found["levers"][0])


def test_a_run_prints_the_report(call, copy, quick_path):
    printed = call("run", quick_path, "--dir", copy, "--quiet", "--json").json
    assert printed == json.loads((copy / "report.json").read_text())


def test_effects_have_the_keys_that_readers_rely_on(finished):
    document = json.loads((finished / "report.json").read_text())
    assert all(set(effect) >= EFFECT_KEYS for effect in document["effects"])
    assert len(document["effects"]) == 10


def test_printed_decisions_are_records(call, finished):
    decisions = call("decide", finished, "--json").json["decisions"]
    assert [from_plain(StageDecision, plain).stage for plain in decisions] == ["screen", "confirm", "refine"]


def test_a_disagreement_is_printed_as_a_list(call, copy):
    (copy / "report.html").unlink()
    called = call("verify", copy, "--json")
    assert (called.code, called.json) == (1, {"ok": False, "problems": ["report.html is missing"]})


def test_nothing_but_the_document_is_on_stdout(call, copy):
    # Text before or after it would not parse.
    assert json.loads(call("report", copy, "--json").out)["schema"].startswith("foldover.report/")


def test_text_that_is_not_ascii_is_printed_as_it_is(call, quick_path, tmp_path: Path):
    path = tmp_path / "s.toml"
    path.write_text(quick_path.read_text().replace("Which of depth", "Où est depth"), encoding="utf-8")
    assert "Où est" in call("plan", path, "--json").out


@pytest.mark.slow
def test_two_trainings_in_fixed_steps_agree_to_the_last_bit_and_end_with_the_summary(prepared, call, tmp_path):
    recipe = ["train", "--preset", "micro", "--steps", 3, "--seed", 7, "--constant", "eval_tokens=4096", "--quiet"]
    as_json = call(*recipe, "--dir", tmp_path / "json", "--json")
    assert as_json.code == 0, as_json.err
    assert set(as_json.json) == {"folder", "spec", "outcome"}
    assert from_plain(RunSpec, as_json.json["spec"]).seed == 7
    as_text = call(*recipe, "--dir", tmp_path / "text")
    assert as_text.code == 0, as_text.err
    (folder,) = (tmp_path / "text").glob("*/runs/*/outcome.json")
    value = as_json.json["outcome"]["responses"]["val_bpb"]
    assert json.loads(folder.read_text())["responses"]["val_bpb"] == value
    lines = as_text.out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "---",
        "val_bpb",
        "training_seconds",
        "total_seconds",
        "peak_vram_mb",
        "mfu_percent",
        "total_tokens_M",
        "num_steps",
        "num_params_M",
        "depth",
    ]
    assert lines[1].split() == ["val_bpb:", f"{value:.6f}"]
