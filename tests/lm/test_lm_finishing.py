"""Runs that end with an artifact, and with scores after the plain one."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from foldover.core import Budget, Limit, Outcome, Recipe, RecipeError, RunSpec, Scalar, Settings, UserError
from foldover.export.container import read_artifact
from foldover.lab.artifacts import export_levers, export_run
from foldover.lm.levers import ARTIFACT, CONSTANTS, LEVERS, PRESETS
from foldover.lm.resolve import resolve
from foldover.lm.trainer import LMTrainer
from foldover.rundir import RunRoot, read_ended, read_json_lines
from foldover.trainers import get_trainer

SMALL: dict[str, Scalar] = {
    "width": 32,
    "depth": 2,
    "context": 64,
    "vocab_size": 512,
    "total_batch": 512,
    "momentum_warmup": 4,
}
OURS: dict[str, Scalar] = {"artifact": True, "scheme": "step", "codec": "ans", "keep_float_below": 0}
FAST: dict[str, Scalar] = {"calibration.batches": 1, "calibration.rows": 4}
SLIDING: dict[str, Scalar] = {"evaluate.mode": "sliding", "evaluate.stride": 16}


def spec_of(levers: dict[str, Scalar], *, cap: int | None = None, code_bytes: int = 0) -> RunSpec:
    return RunSpec(
        study="",
        stage="",
        package="",
        condition="small",
        levels=(),
        recipe=Recipe(trainer="lm", values=LEVERS.complete({**SMALL, **levers}, PRESETS["golf-micro"])),
        budget=Budget(limit=Limit(kind="steps", amount=12.0), artifact_bytes=cap),
        seed=3,
        constants=CONSTANTS.complete({"eval_tokens": 1024, **({"code_bytes": code_bytes} if code_bytes else {})}),
    )


def trained(spec: RunSpec, place: Path, *, keep_state: bool = False) -> tuple[Path, Outcome]:
    trainer, root = get_trainer("lm"), RunRoot(place)
    assert isinstance(trainer, LMTrainer)
    trainer.prepare(spec.recipe, spec.constants, lambda phase, share: None)
    with root.claim(spec) as folder:
        assert folder is not None
        root.finish(folder, trainer.train(spec, folder, Settings(device="cpu", keep_state=keep_state)))
    return root.folder(spec.run_id), read_ended(root.folder(spec.run_id)).outcome


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Outcome:
    return trained(spec_of({}), tmp_path_factory.mktemp("plain"))[1]


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> tuple[Path, Outcome]:
    return trained(spec_of({**OURS, **FAST, **SLIDING}), tmp_path_factory.mktemp("packed"), keep_state=True)


def responses(outcome: Outcome) -> set[str]:
    return set(outcome.responses)


def test_a_run_without_such_levers_has_one_response_and_no_artifact(plain):
    assert (responses(plain), plain.artifact) == ({"val_bpb"}, None)


def test_what_is_done_after_training_leaves_the_trained_score_as_it_is(plain, packed):
    assert packed[1].responses["val_bpb"] == plain.responses["val_bpb"]


def test_the_outcome_says_what_was_written(packed):
    folder, outcome = packed
    found = outcome.artifact
    assert found is not None
    assert (found.path, found.bytes, found.cap) == (ARTIFACT, (folder / ARTIFACT).stat().st_size, None)
    assert found.codec == "ans"
    assert outcome.responses["artifact_bytes"] == found.bytes
    assert found.roundtrip == outcome.responses["roundtrip_bpb"] != outcome.responses["val_bpb"]
    assert found.sha256 == json.loads((folder / "checksums.json").read_text())[ARTIFACT]
    assert read_artifact(folder / ARTIFACT).header["identity"]["run_id"] == read_ended(folder).spec.run_id


def test_the_scores_of_a_run_are_a_chain_of_which_each_is_a_response(packed):
    _, outcome = packed
    assert responses(outcome) == set(resolve(spec_of({**OURS, **SLIDING}).recipe).responses)
    assert outcome.responses["sliding_bpb"] < outcome.responses["roundtrip_bpb"]
    assert outcome.responses["adapted_bpb"] == outcome.responses["mixed_bpb"] == outcome.responses["sliding_bpb"]


def test_a_fresh_process_with_the_file_alone_gives_the_scores_of_the_run_to_the_bit(packed, tmp_path):
    folder, outcome = packed
    alone = tmp_path / "model"
    alone.write_bytes((folder / ARTIFACT).read_bytes())
    levers = [part for name, value in SLIDING.items() for part in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "foldover", "evaluate", str(alone), "--device", "cpu", "--json", *levers]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout)
    assert found["responses"]["val_bpb"] == outcome.responses["roundtrip_bpb"]
    assert found["responses"]["sliding_bpb"] == outcome.responses["sliding_bpb"]


def test_each_score_is_among_the_events_with_its_standard_error(packed):
    scored = [event for event in read_json_lines(packed[0] / "events.jsonl") if event["event"] == "scored"]
    assert [event["name"] for event in scored] == ["roundtrip_bpb", "sliding_bpb", "mixed_bpb", "adapted_bpb"]
    assert all(event["standard_error"] > 0 for event in scored[1:2])


def calibrations_over_reserve(folder: Path) -> list[dict]:
    return [e for e in read_json_lines(folder / "events.jsonl") if e["event"] == "calibration_over_reserve"]


def in_seconds(limit: str, levers: dict[str, Scalar]) -> RunSpec:
    return replace(spec_of({**OURS, **FAST, **levers}), budget=Budget(limit=Limit.parse(limit)))


def test_calibration_on_training_text_that_nothing_was_reserved_for_is_told(tmp_path):
    folder, outcome = trained(in_seconds("0.01s", {}), tmp_path)
    took = outcome.counters["calibration_seconds"]
    assert 0.0 < took < outcome.counters["export_seconds"]
    (told,) = calibrations_over_reserve(folder)
    assert (told["seconds"], told["reserved_seconds"]) == (took, 0.0)


def test_calibration_within_its_reserve_is_recorded_and_not_told(tmp_path):
    folder, outcome = trained(in_seconds("500.01s", {"reserve_seconds": 500.0}), tmp_path)
    assert 0.0 < outcome.counters["calibration_seconds"] < 500.0
    assert outcome.counters["training_seconds"] < 500.0
    assert not calibrations_over_reserve(folder)


def test_text_that_a_model_wrote_and_limits_in_steps_need_no_reserve(packed, tmp_path):
    folder, outcome = trained(in_seconds("0.01s", {"calibration.text": "self"}), tmp_path)
    for where, done in ((folder, outcome), packed):
        assert done.counters["calibration_seconds"] > 0.0
        assert not calibrations_over_reserve(where)


def test_what_calibrates_nothing_counts_no_time_for_it(plain, tmp_path):
    folder, outcome = trained(in_seconds("0.01s", {"gptq": False}), tmp_path)
    assert not calibrations_over_reserve(folder)
    assert "calibration_seconds" not in {**outcome.counters, **plain.counters}


def test_a_later_export_of_its_state_leaves_the_runs_own_artifact_alone(packed):
    before = (packed[0] / ARTIFACT).read_bytes()
    with pytest.raises(UserError, match="ended with an artifact of its own"):
        export_run(packed[0], export_levers({}), Settings(device="cpu"))
    assert (packed[0] / ARTIFACT).read_bytes() == before


def test_levers_of_evaluation_alone_score_the_trained_weights(plain, tmp_path):
    _, outcome = trained(spec_of({**SLIDING, "cache_weight": 0.05}), tmp_path)
    assert outcome.artifact is None
    assert responses(outcome) == {"val_bpb", "sliding_bpb", "mixed_bpb", "adapted_bpb"}
    assert outcome.responses["val_bpb"] == plain.responses["val_bpb"]
    assert outcome.responses["mixed_bpb"] != outcome.responses["sliding_bpb"]


def test_an_adaptation_that_acted_is_among_what_fired(tmp_path):
    _, outcome = trained(spec_of({"adapt": "sgd", "adapt_chunk": 256, "adapt_epochs": 1}), tmp_path)
    assert "adapted_in_evaluation" in outcome.fired
    assert outcome.responses["adapted_bpb"] != outcome.responses["mixed_bpb"]


def test_a_codec_whose_package_is_missing_is_told_before_training(tmp_path, monkeypatch):
    installed = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "brotli" else installed(name))
    monkeypatch.setattr("foldover.lm.run._perform", None)  # where training would begin
    with pytest.raises(UserError, match="the codec brotli needs brotli"):
        trained(spec_of({"artifact": True, "codec": "brotli"}), tmp_path)


def test_an_artifact_over_its_cap_is_no_result(packed, tmp_path):
    size = packed[1].artifact.bytes
    folder, outcome = trained(spec_of({**OURS, **FAST, **SLIDING}, cap=size - 200), tmp_path)
    assert (outcome.status, dict(outcome.responses)) == ("over_cap", {})
    assert outcome.artifact is not None
    assert outcome.artifact.cap == size - 200 < outcome.artifact.bytes
    assert outcome.failure is not None
    assert "is over the cap of" in outcome.failure.message
    assert "over_cap" in [event["event"] for event in read_json_lines(folder / "events.jsonl")]


def test_counted_code_counts_towards_the_cap_to_the_byte(packed, tmp_path):
    # An id and a score are in the header: the files of two runs differ by a few bytes.
    spec = spec_of({**OURS, **FAST}, cap=10**6, code_bytes=1)
    size = trained(spec, tmp_path / "a")[1].artifact.bytes
    exact = [
        trained(replace(spec, budget=replace(spec.budget, artifact_bytes=size + spare)), tmp_path / str(spare))[1]
        for spare in (40, -40)
    ]
    assert [outcome.status for outcome in exact] == ["finished", "over_cap"]
    assert "and 1 bytes of code" in exact[1].failure.message


def test_an_artifact_is_fitted_under_the_size_that_is_asked_for(packed, tmp_path):
    cap = int(packed[1].artifact.bytes * 0.8)
    _, outcome = trained(spec_of({**OURS, **FAST, "allocate_to_bytes": cap}, cap=cap), tmp_path)
    assert outcome.status == "finished"
    assert 0.99 * cap < outcome.artifact.bytes <= cap


@pytest.mark.parametrize("lever", ["allocate_to_bytes", "prune_to_bytes"])
def test_a_size_that_nothing_reaches_is_over_the_cap_and_no_crash(tmp_path, lever):
    folder, outcome = trained(spec_of({**OURS, **FAST, lever: 900}), tmp_path)
    assert (outcome.status, outcome.artifact, dict(outcome.responses)) == ("over_cap", None, {})
    events = read_json_lines(folder / "events.jsonl")
    assert [event["cap"] for event in events if event["event"] == "over_cap"] == [900]


@pytest.mark.parametrize(
    ("levers", "expected"),
    [
        ({}, ("val_bpb",)),
        ({"artifact": True}, ("val_bpb", "roundtrip_bpb", "sliding_bpb", "mixed_bpb", "adapted_bpb", "artifact_bytes")),
        (SLIDING, ("val_bpb", "sliding_bpb", "mixed_bpb", "adapted_bpb")),
    ],
)
def test_the_responses_of_a_recipe_are_known_before_it_runs(levers, expected):
    assert resolve(spec_of(levers).recipe).responses == expected


def test_levers_of_evaluation_that_do_not_fit_are_refused_before_training():
    with pytest.raises(RecipeError, match=r"`evaluate\.stride` would leave tokens out"):
        resolve(spec_of({"evaluate.mode": "sliding", "evaluate.stride": 65}).recipe)


def test_a_recipe_at_rest_after_training_keeps_the_values_and_the_digest_that_it_had():
    values = PRESETS["golf-micro"]
    assert not [name for name in values if LEVERS[name].phase != "train"]
    off = values.with_({"evaluate.mode": "plain", "export.artifact": False})
    assert LEVERS.at_rest_after_training(off) == values
    assert resolve(Recipe(trainer="lm", values=off)).effective == resolve(Recipe(trainer="lm", values=values)).effective
    on = Recipe(trainer="lm", values=values.with_({"export.artifact": True}))
    assert on.train_digest(LEVERS) == Recipe(trainer="lm", values=values).train_digest(LEVERS)
    assert on.digest != Recipe(trainer="lm", values=values).digest
