"""From a kept state to an artifact and back: the score is that of the file, in any process that has only the file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from foldover.core import ArtifactError, BudgetError, OutsideError, RecipeError, Settings, UserError
from foldover.evaluation.score import Evaluation, Measured, Score
from foldover.export.container import read_artifact, write_artifact
from foldover.lab.artifacts import evaluate_levers, evaluate_place, export_levers, export_run, scan_run
from foldover.lm.tensor_file import read_tensors, write_tensors

SETTINGS = Settings(device="cpu", keep_state=True)


@pytest.fixture(scope="module")
def trained(train_small) -> Path:
    """The folder of a run of 12 steps that kept its state. Not to be written to."""
    return train_small(3)


def outcome_bpb(folder: Path) -> float:
    return float(json.loads((folder / "outcome.json").read_text())["responses"]["val_bpb"])


def test_floats_come_back_exactly_and_the_state_scores_as_its_run_did(trained, tmp_path):
    found = export_run(trained, export_levers({"export.scheme": "none"}), SETTINGS, out=tmp_path / "a")
    assert found.val_bpb == outcome_bpb(trained)
    assert found.roundtrip_bpb == found.val_bpb
    assert found.bytes == (tmp_path / "a").stat().st_size


def test_an_unknown_preset_is_named():
    with pytest.raises(RecipeError, match="`best` is not a preset of the export"):
        export_levers({}, preset="best")


@pytest.mark.parametrize(
    ("name", "value", "needed"),
    [("BITS", "int4", "export.scheme=integer"), ("grid.scale_floor", "0.01", "export.scheme=integer")],
)
def test_a_lever_of_the_export_that_would_do_nothing_is_refused(name, value, needed):
    with pytest.raises(RecipeError, match=f"has no effect here: it needs `{needed}`"):
        export_levers({name: value})
    assert export_levers({name: value, "export.scheme": "integer"}).export.scheme == "integer"


def test_all_that_is_wrong_with_levers_is_said_at_once_and_contradictions_are_told():
    with pytest.raises(RecipeError) as error:
        evaluate_levers({"mode": "gliding", "luck": "1", "EVAL_STRIDE": "32", "evaluate.stride": "64"})
    text = str(error.value)
    assert all(said in text for said in ("'gliding'", "luck", "`evaluate.stride` is set to 32 and to 64"))
    assert len(text.splitlines()) == 3
    same = evaluate_levers({"mode": "sliding", "EVAL_STRIDE": "32", "evaluate.stride": "32"})
    assert same.evaluate.stride == 32


def test_an_option_and_a_lever_that_contradict_it_are_refused(trained):
    command = [sys.executable, "-m", "foldover", "evaluate", str(trained), "--stride", "64", "--set"]
    done = subprocess.run([*command, "evaluate.mode=plain"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "an option sets `evaluate.mode=sliding` and --set another (got 'plain')" in done.stderr


def test_what_a_preset_sets_may_rest():
    assert export_levers({"calibration.gptq": "false"}).grid.column_steps == "feedback"
    assert export_levers({"export.scheme": "none"}, preset="baseline").export.matrix_format == "int8"


def test_a_lever_of_evaluation_that_would_do_nothing_is_refused():
    with pytest.raises(RecipeError, match=r"`evaluate\.lora_rank` has no effect here"):
        evaluate_levers({"lora_rank": "4"})
    assert evaluate_levers({"lora_rank": "4", "evaluate.adapt": "lora"}).evaluate.lora_rank == 4


@pytest.mark.parametrize("codec", ["zlib", "lzma", "ans", "auto"])
def test_a_fresh_process_with_the_file_alone_scores_the_same_to_the_bit(trained, tmp_path, codec):
    path = tmp_path / "artifact"
    found = export_run(trained, export_levers({"export.codec": codec}), SETTINGS, out=path)
    assert found.roundtrip_bpb != found.val_bpb
    assert abs(found.roundtrip_bpb - found.val_bpb) < 0.05
    again = evaluate_place(path, evaluate_levers({}), SETTINGS)
    assert again.responses["val_bpb"] == found.roundtrip_bpb
    if codec != "auto":
        return
    command = [sys.executable, "-m", "foldover", "evaluate", str(path), "--device", "cpu", "--json"]
    out = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert json.loads(out)["responses"]["val_bpb"] == found.roundtrip_bpb


def test_the_commands_say_what_was_written(trained, tmp_path):
    path = tmp_path / "artifact"

    def call(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "foldover", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        return done.returncode, done.stdout

    code, out = call("export", str(trained), "--out", str(path), "--device", "cpu", "--cap", "90000", "--json")
    found = json.loads(out)
    assert (code, found["bytes"]) == (0, path.stat().st_size)
    assert found["penalty_bpb"] == found["roundtrip_bpb"] - found["val_bpb"]
    assert found["cap"]["total"] <= 90000
    code, out = call("inspect", str(path), "--json")
    sizes = json.loads(out)
    assert (code, sizes["bytes"]) == (0, path.stat().st_size)
    assert {part["tensor"] for part in sizes["parts"]} == {each["name"] for each in found["tensors"]}
    assert call("export", str(trained), "--device", "cpu", "--cap", "100")[0] == 2
    path.write_bytes(path.read_bytes()[:-7])
    assert call("evaluate", str(path))[0] == 2


def test_a_cap_is_met_just_below_or_refused(trained, tmp_path):
    free = export_run(trained, export_levers({}), SETTINGS, out=tmp_path / "free")
    cap = int(free.bytes * 0.8)
    found = export_run(trained, export_levers({}), SETTINGS, out=tmp_path / "a", cap=cap)
    assert found.cap is not None
    assert found.cap.fits
    assert found.bytes > 0.97 * cap
    assert abs(found.predicted - found.bytes) < 0.01 * found.bytes
    assert found.frontier
    by_lever = export_levers({"export.allocate_to_bytes": str(cap)})
    again = export_run(trained, by_lever, SETTINGS, out=tmp_path / "c")
    assert again.cap is not None
    assert 0.97 * cap < again.bytes <= again.cap.cap == cap
    with pytest.raises(BudgetError):
        export_run(trained, export_levers({}), SETTINGS, out=tmp_path / "b", cap=1000)
    assert not (tmp_path / "b").exists()


def test_the_level_of_a_presets_codec_rests_with_another_codec(trained, tmp_path):
    found = export_run(trained, export_levers({"export.codec": "ans"}, preset="baseline"), SETTINGS, out=tmp_path / "a")
    assert found.codec == "ans"


def test_a_cap_is_met_by_a_codec_whose_sizes_are_not_predicted(trained, tmp_path):
    levers = {"export.codec": "zlib", "calibration.gptq": "false", "calibration.batches": "1"}
    coarse = levers | {"export.keep_float_below": "4096"}
    found = export_run(trained, export_levers(coarse, preset="public"), SETTINGS, out=tmp_path / "a", cap=85_000)
    assert 0.99 * 85_000 < found.bytes <= 85_000
    assert found.predicted < 0.97 * found.bytes  # so that one choice by predicted sizes would be over the cap


def test_code_that_is_counted_is_in_what_is_said_of_a_cap(trained, tmp_path):
    code = tmp_path / "train.py"
    code.write_text("#" * 49_000)
    levers = export_levers({"calibration.gptq": "false", "calibration.batches": "1"})
    with pytest.raises(BudgetError, match=r"and 49,000 bytes of code count with it \(got 50000\)"):
        export_run(trained, levers, SETTINGS, out=tmp_path / "a", cap=50_000, code=[code])
    found = export_run(trained, levers, SETTINGS, out=tmp_path / "a", cap=109_000, code=[code])
    assert found.cap.total == found.bytes + 49_000 <= 109_000
    assert found.bytes > 0.99 * 60_000


def test_two_caps_are_a_contradiction(trained, tmp_path):
    levers = export_levers({"export.allocate_to_bytes": "60000"})
    with pytest.raises(UserError, match="name two caps"):
        export_run(trained, levers, SETTINGS, out=tmp_path / "a", cap=70_000)


def test_code_that_would_count_towards_nothing_is_refused(trained, tmp_path):
    code = tmp_path / "train.py"
    code.write_text("x = 1\n")
    with pytest.raises(UserError, match="code is counted and there is no cap"):
        export_run(trained, export_levers({}), SETTINGS, out=tmp_path / "a", code=[code])
    with pytest.raises(UserError, match="there is no code to count"):
        export_run(trained, export_levers({}), SETTINGS, out=tmp_path / "a", cap=60_000, packing="lzma")


def test_a_folder_that_is_not_there_is_told_before_anything_is_computed(trained, tmp_path, monkeypatch):
    monkeypatch.setattr("foldover.lm.exporting.export_state", None)
    with pytest.raises(UserError, match="there is no folder for the artifact"):
        export_run(trained, export_levers({}), SETTINGS, out=tmp_path / "absent" / "a")


def test_an_artifact_of_other_data_is_refused(trained, tmp_path):
    path = tmp_path / "artifact"
    export_run(trained, export_levers({}), SETTINGS, out=path)
    opened = read_artifact(path)
    header = json.loads(json.dumps(dict(opened.header)))
    header["identity"]["digests"]["tokenizer"] = "0" * 64
    write_artifact(path, header, opened.tensors)
    with pytest.raises(ArtifactError, match="another tokenizer"):
        evaluate_place(path, evaluate_levers({}), SETTINGS)
    header["identity"].pop("recipe")
    write_artifact(path, header, opened.tensors)
    with pytest.raises(ArtifactError, match="no model of this trainer"):
        evaluate_place(path, evaluate_levers({}), SETTINGS)
    header = dict(opened.header)
    write_artifact(path, header, opened.tensors[1:])
    with pytest.raises(ArtifactError, match="not those of its levers"):
        evaluate_place(path, evaluate_levers({}), SETTINGS)


def test_weights_that_are_not_finite_and_runs_without_a_state_are_refused(trained, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(trained, copy)
    state = copy / "state.safetensors"
    tensors, meta = read_tensors(state, form=1, what="state")
    name = next(name for name, tensor in tensors.items() if tensor.ndim == 2)
    tensors[name][0, 0] = float("nan")
    write_tensors(state, tensors, meta)
    with pytest.raises(OutsideError, match=name):
        export_run(copy, export_levers({}), SETTINGS, out=tmp_path / "a")
    with pytest.raises(OutsideError, match="the score is not finite"):
        evaluate_place(copy, evaluate_levers({}), SETTINGS)
    tensors[name][0, 0] = 3e38  # finite, and no score comes of it
    write_tensors(state, tensors, meta)
    for act in (export_run, partial(scan_run, tokens=64)):
        with pytest.raises(OutsideError, match="the score of these weights is not finite"):
            act(copy, export_levers({"export.scheme": "none"}), SETTINGS)
    state.unlink()
    with pytest.raises(UserError, match="kept no state"):
        export_run(copy, export_levers({}), SETTINGS)


def test_the_plain_score_is_that_of_the_run_whatever_adapts(trained):
    settings = {"evaluate.adapt": "lora", "evaluate.isolation": "document", "evaluate.adapt_seconds": "0"}
    found = evaluate_place(trained, evaluate_levers(settings), SETTINGS).responses
    assert found.number("val_bpb") == outcome_bpb(trained)
    assert found.number("adapted_bpb") == found.number("sliding_bpb")


def test_a_later_score_that_is_not_finite_is_no_score(trained, monkeypatch):
    def broken(kept, levers, settings):
        scores = [Measured(name=name, score=Score(nats=nats, tokens=1, bytes=1)) for name, nats in CHAIN]
        return Evaluation(measured=tuple(scores))

    monkeypatch.setattr("foldover.lm.exporting.evaluate_state", broken)
    with pytest.raises(OutsideError, match="not finite: sliding_bpb"):
        evaluate_place(trained, evaluate_levers({}), SETTINGS)


CHAIN = (("val_bpb", 1.0), ("sliding_bpb", float("nan")))


def test_a_scan_says_what_each_tensor_costs(trained):
    coarse = {"grid.matrix_step": "2.0", "calibration.gptq": "false", "grid.column_steps": "none"}
    found = scan_run(trained, export_levers(coarse), SETTINGS, tokens=2048)
    losses = {each.name: each.loss for each in found}
    assert "embedding" in losses
    assert all(np.isfinite(each.loss) and each.bytes_saved > 0 for each in found)
    assert max(losses.values()) > 0.0


def test_a_scan_of_all_but_one_tensor_is_of_the_others_rounded(trained):
    coarse = {"grid.matrix_step": "2.0", "calibration.gptq": "false", "grid.column_steps": "none"}
    only, all_but = (
        scan_run(trained, export_levers(coarse), SETTINGS, tokens=2048, mode=mode) for mode in ("only", "all_but")
    )
    assert [each.name for each in only] == [each.name for each in all_but]
    assert any(a.loss != b.loss for a, b in zip(only, all_but, strict=True))


@pytest.mark.parametrize("codec", ["zlib", "auto"])
def test_selective_pruning_counts_the_bytes_of_the_file_by_any_codec(trained, tmp_path, codec):
    levers = {"export.codec": codec, "export.keep_float_below": "0", "calibration.gptq": "false"}
    free = export_run(trained, export_levers(levers, preset="public"), SETTINGS, out=tmp_path / "free")
    target = int(0.97 * free.bytes)
    pruned = export_levers(levers | {"TARGET_BYTES": str(target)}, preset="public")
    found = export_run(trained, pruned, SETTINGS, out=tmp_path / "pruned")
    assert 0.98 * target < found.bytes <= target
    assert sum(each.zeroed for each in found.tensors) > 0
    with pytest.raises(BudgetError, match="every code of 1 at zero"):
        export_run(trained, export_levers(levers | {"TARGET_BYTES": "2000"}), SETTINGS, out=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_evaluation_of_a_state_takes_the_levers(trained):
    found = evaluate_place(trained, evaluate_levers({"EVAL_STRIDE": "16", "evaluate.mode": "sliding"}), SETTINGS)
    assert found.responses["val_bpb"] == outcome_bpb(trained)
    assert found.responses["sliding_bpb"] != found.responses["val_bpb"]


@pytest.mark.parametrize(
    ("where", "name", "value", "said"),
    [
        ("recipe", "model.depth", -1, "no possible model"),
        ("recipe", "model.depth", "two", "no possible model"),
        ("recipe", "model.depht", 2, "no possible model"),
        ("recipe", "model.depth", 3, "not those of its levers"),
        ("recipe", "model.aspect", 512, "not those of its levers"),
        ("constants", "corpus", 7, "no possible model"),
        ("constants", "eval_order", "worst", "no possible model"),
        ("constants", "eval_tokens", 2**60, "no possible model"),
        ("constants", "eval_tokens", 2**38, "fills only"),
        ("digests", "tokenizer", None, "another tokenizer"),
        ("digests", "validation", "0" * 64, "another validation"),
    ],
)
def test_headers_that_cannot_be_are_refused_before_a_model_is_built(trained, tmp_path, where, name, value, said):
    path = tmp_path / "artifact"
    export_run(trained, export_levers({"calibration.gptq": "false", "grid.column_steps": "none"}), SETTINGS, out=path)
    opened = read_artifact(path)
    header = json.loads(json.dumps(dict(opened.header)))
    header["identity"][where][name] = value
    write_artifact(path, header, opened.tensors)
    with pytest.raises(UserError, match=said):
        evaluate_place(path, evaluate_levers({}), SETTINGS)
