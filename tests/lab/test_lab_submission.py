"""A folder for parameter-golf: whole, checked against its own logs, and refused with all problems at once."""

from __future__ import annotations

import json
import lzma
import re
import shutil
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from foldover.core import Limit, Settings, UserError
from foldover.lab.artifacts import evaluate_levers, evaluate_place, export_levers, export_run
from foldover.lab.submission import SeedResult, _record_problems, check_submission, submit
from foldover.lab.submission_texts import evaluate_command, readme_text, script_text
from foldover.rundir.files import sha256_of_file
from foldover.rundir.folder import read_ended

SETTINGS = Settings(device="cpu")


@pytest.fixture(scope="module")
def runs(train_small, tmp_path_factory) -> list[Path]:
    """Copies of three runs of 12 steps with their artifacts beside their states. Not to be written to."""
    root = tmp_path_factory.mktemp("exported")
    found = []
    for seed in (3, 4, 5):
        found.append(root / f"run{seed}")
        shutil.copytree(train_small(seed), found[-1])
        export_run(found[-1], export_levers({}), SETTINGS)
    return found


@pytest.fixture(scope="module")
def submitted(runs, tmp_path_factory):
    out = tmp_path_factory.mktemp("submitted") / "new"
    claims = out.parent / "claims.json"
    claims.write_text(json.dumps({"author": "A. Writer", "name": "Twelve steps", "blurb": "Short.", "step_stop": 12}))
    return submit(runs, out, SETTINGS, track="record", claims=claims), out


def test_the_folder_holds_what_the_rules_ask_for(submitted, runs):
    found, out = submitted
    names = {path.name for path in out.iterdir()}
    per_seed = {
        f"{kind}_seed{seed}.{end}" for seed in (3, 4, 5) for kind, end in (("train", "log"), ("artifact", "fold"))
    }
    assert names == {"README.md", "submission.json", "requirements.txt", "train_gpt.py"} | per_seed
    assert not list(out.parent.glob(".*.partial"))
    card = json.loads((out / "submission.json").read_text())
    assert (card["author"], card["name"], card["seeds"]) == ("A. Writer", "Twelve steps", [3, 4, 5])
    scores = [evaluate_place(run / "artifact.fold", evaluate_levers({}), SETTINGS).responses["val_bpb"] for run in runs]
    assert [card["seed_results"][str(seed)]["val_bpb"] for seed in (3, 4, 5)] == scores
    assert card["val_bpb"] == pytest.approx(sum(scores) / 3, abs=1e-12)
    assert card["val_bpb_std"] == pytest.approx(statistics.stdev(scores), rel=1e-9)
    largest = max((run / "artifact.fold").stat().st_size for run in runs)
    assert card["bytes_code"] == (out / "train_gpt.py").stat().st_size == found.code_bytes
    assert card["bytes_total"] == largest + card["bytes_code"] == found.total_bytes
    assert f"{card['val_bpb']:.8f}" in (out / "README.md").read_text()


def test_a_records_time_includes_calibration_on_training_text():
    results = [
        SeedResult(
            seed=seed,
            run_id="",
            val_bpb=1.0,
            before=1.0,
            steps=1,
            seconds=590.0,
            calibration_seconds=seconds,
            artifact_bytes=1,
            sha256="",
        )
        for seed, seconds in ((3, 0.0), (4, 10.0), (5, 10.5))
    ]
    assert _record_problems(results) == [
        "a record trains, calibration on training text included, for at most 600 s; seeds 5 took longer"
    ]


def test_logs_hold_every_step_and_the_claimed_numbers(submitted, runs):
    _, out = submitted
    text = (out / "train_seed4.log").read_text()
    assert "step:12/12 train_loss:" in text
    card = json.loads((out / "submission.json").read_text())
    assert f"final_val_bpb:{card['seed_results']['4']['val_bpb']!r}" in text
    outcome = json.loads((runs[1] / "outcome.json").read_text())
    assert f"final_training_seconds:{outcome['counters']['training_seconds']!r}" in text


def test_the_script_is_python_that_trains_the_recipe(submitted):
    _, out = submitted
    source = (out / "train_gpt.py").read_text()
    compile(source, "train_gpt.py", "exec")
    assert '"model.depth":2' in source.replace(" ", "").replace("\\", "")


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("train_seed3.log", "final_val_bpb:", "final_val_bpb:1", "train_seed3.log: val_bpb is"),
        ("train_seed3.log", "final_seed:3", "final_seed:9", "seed is 9"),
        ("submission.json", '"bytes_total": ', '"bytes_total": 1', "not 1"),
        ("submission.json", '"val_bpb": ', '"val_bpb": 1', "val_bpb"),
        ("train_gpt.py", "import json", "import json  # longer", "code and the largest artifact"),
    ],
)
def test_what_is_changed_afterwards_is_found(submitted, tmp_path, name, old, new, said):
    copy = tmp_path / "copy"
    shutil.copytree(submitted[1], copy)
    assert check_submission(copy) == []
    text = (copy / name).read_text()
    assert old in text
    (copy / name).write_text(text.replace(old, new, 1))
    assert any(said in problem for problem in check_submission(copy))


@pytest.mark.parametrize(
    "change", [{"seeds": []}, {"seeds": ["../3"]}, {"code": ["../x"]}, {"seed_results": {"3": 1, "4": {}}}, {"code": 1}]
)
def test_a_card_that_is_none_is_a_problem_and_reads_nothing_outside(submitted, tmp_path, change):
    copy = tmp_path / "copy"
    shutil.copytree(submitted[1], copy)
    (tmp_path / "x").write_text("y")
    card = json.loads((copy / "submission.json").read_text())
    (copy / "submission.json").write_text(json.dumps(card | change))
    (problem,) = check_submission(copy)
    assert problem.startswith("submission.json cannot be read")


def test_a_changed_artifact_is_found(submitted, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(submitted[1], copy)
    path = copy / "artifact_seed3.fold"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert check_submission(copy) == ["artifact_seed3.fold was changed"]
    path.unlink()
    assert any("artifact_seed3.fold is not of" in problem for problem in check_submission(copy))


def test_all_problems_are_said_at_once_and_nothing_is_written(runs, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(runs[0], changed)
    (changed / "curve.jsonl").write_text((changed / "curve.jsonl").read_text().replace("train_loss", "train_lose"))
    bare = tmp_path / "bare"
    shutil.copytree(runs[1], bare)
    (bare / "artifact.fold").unlink()
    damaged = tmp_path / "damaged"
    shutil.copytree(runs[2], damaged)
    artifact = damaged / "artifact.fold"
    artifact.write_bytes(artifact.read_bytes()[:-9])
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("x")
    claims = tmp_path / "claims.json"
    claims.write_text(json.dumps({"val_bpb": 0.5, "blurb": 7, "luck": 1}))
    big = tmp_path / "train_gpt.py"
    big.write_text("#" * 16_000_000)
    with pytest.raises(UserError) as error:
        submit([changed, bare, damaged, tmp_path], out, SETTINGS, track="record", claims=claims, code=[big])
    text = str(error.value)
    for said in (
        "curve.jsonl was changed",
        "bare has no artifact.fold",
        "damaged: its artifact.fold cannot be measured",
        "is no folder of a run that ended",
        "is not empty",
        "`blurb` is no text",
        "`luck` is nothing that can be checked",
        "`val_bpb` is 0.5",
        "over 16,000,000",
        "at least 3 seeds, here are 1",
    ):
        assert said in text, said
    assert [path.name for path in out.iterdir()] == ["mine.txt"]


def test_seeds_recipes_and_artifacts_must_belong_together(runs, tmp_path):
    with pytest.raises(UserError, match="seed 3 is given 2 times"):
        submit([runs[0], runs[0]], tmp_path / "a", SETTINGS)
    swapped = tmp_path / "swapped"
    shutil.copytree(runs[0], swapped)
    shutil.copyfile(runs[1] / "artifact.fold", swapped / "artifact.fold")
    with pytest.raises(UserError, match="is of run"):
        submit([swapped], tmp_path / "a", SETTINGS)
    assert not (tmp_path / "a").exists()


def test_code_is_taken_by_name_and_packed(runs, tmp_path):
    script, other = tmp_path / "train_gpt.py", tmp_path / "README.md"
    script.write_text("print('hello')\n" * 500)
    other.write_text("mine")
    link = tmp_path / "link.py"
    link.symlink_to(script)
    with pytest.raises(UserError) as error:
        submit([runs[0]], tmp_path / "a", SETTINGS, code=[other, link])
    assert all(said in str(error.value) for said in ("README.md is taken", "link.py is no file", "no train_gpt.py"))
    found = submit([runs[0]], tmp_path / "a", SETTINGS, code=[script], packing="lzma")
    shipped = (tmp_path / "a" / "train_gpt.py").read_bytes()
    assert found.code_bytes == len(shipped) < 1000
    assert found.val_bpb_std is None
    done = subprocess.run([sys.executable, tmp_path / "a" / "train_gpt.py"], capture_output=True, text=True, check=True)
    assert done.stdout == "hello\n" * 500
    assert lzma.__name__.encode() in shipped


def test_the_readme_names_the_levers_that_give_the_score(runs):
    spec = read_ended(runs[0]).spec
    assert evaluate_command(spec) == "foldover evaluate artifact_seedN.fold"
    acting = {"evaluate.mode": "sliding", "evaluate.stride": 32, "evaluate.fitted_temperature": True}
    recipe = replace(spec.recipe, values=spec.recipe.values.with_({**acting, "evaluate.lora_lr": 0.5}))
    text = readme_text(card_of(recipe), replace(spec, recipe=recipe), packing="none", is_generated=True)
    command = re.search("`(foldover evaluate [^`]*)` repeats it", text)[1]
    settings = dict(word.split("=") for word in command.split() if "=" in word)
    assert settings == {"evaluate.mode": "sliding", "evaluate.stride": "32", "evaluate.fitted_temperature": "true"}
    assert evaluate_levers(settings).evaluate.stride == 32


def card_of(recipe):
    texts = dict.fromkeys(("name", "blurb", "hardware", "pytorch_version", "corpus", "foldover_version"), "")
    sizes = dict.fromkeys(("bytes_code", "bytes_model", "bytes_total"), 1)
    return {**texts, **sizes, "val_bpb": 1.0, "seed_results": {}, "code": []}


@pytest.mark.parametrize(
    ("limit", "wanted"),
    [
        (Limit(kind="steps", amount=2_000_000.0), ("--steps", "2000000")),
        (Limit(kind="seconds", amount=0.125), ("--seconds", "0.125")),
        (Limit(kind="tokens", amount=5e6), ("--steps", "77")),
    ],
)
def test_the_script_has_the_budget_and_no_lever_that_rests(runs, limit, wanted):
    spec = read_ended(runs[0]).spec
    recipe = replace(
        spec.recipe, values=spec.recipe.values.with_({"evaluate.lora_lr": 0.5, "evaluate.mode": "sliding"})
    )
    spec = replace(spec, recipe=recipe, budget=replace(spec.budget, limit=limit))
    called = []
    source = script_text(spec, steps=77)
    fake = {"sys": SimpleNamespace(argv=["x", "1", "d"], executable="python", exit=lambda code: None)}
    fake |= {
        "json": json,
        "subprocess": SimpleNamespace(run=lambda c: called.append(c) or SimpleNamespace(returncode=0)),
    }
    exec("\n".join(line for line in source.splitlines() if not line.startswith("import ")), fake)  # noqa: S102
    command = called[0]
    assert tuple(command[command.index("--keep-state") + 1 :][:2]) == wanted
    assert "evaluate.mode=sliding" in command
    assert not any("lora_lr" in word for word in command)


def test_a_claim_too_large_for_a_float_and_a_place_without_a_name_are_refused(runs, tmp_path, monkeypatch):
    claims = tmp_path / "claims.json"
    claims.write_text('{"val_bpb": 1' + 400 * "0" + ', "bytes_total": 1e999}')
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(UserError) as error:
        submit([runs[0].absolute()], Path(), SETTINGS, claims=claims)
    assert all(said in str(error.value) for said in ("`val_bpb` is 1000", "`bytes_total` is inf", "name a new folder"))


def test_a_score_that_is_not_the_recorded_one_is_refused(runs, tmp_path):
    found = evaluate_place(runs[0] / "artifact.fold", evaluate_levers({}), SETTINGS).responses["val_bpb"]
    for name, off, is_refused in (("near", 1e-9, False), ("far", 1e-4, True)):
        copy = tmp_path / name
        shutil.copytree(runs[0], copy)
        outcome = json.loads((copy / "outcome.json").read_text())
        outcome["responses"]["roundtrip_bpb"] = found + off
        artifact = {"bytes": 1, "sha256": "", "codec": "ans", "roundtrip": None, "cap": None, "path": "artifact.fold"}
        (copy / "outcome.json").write_text(json.dumps(outcome | {"artifact": artifact}))
        sums = json.loads((copy / "checksums.json").read_text())
        sums["outcome.json"] = sha256_of_file(copy / "outcome.json")
        (copy / "checksums.json").write_text(json.dumps(sums))
        if is_refused:
            with pytest.raises(UserError, match=r"roundtrip_bpb is .* and was recorded as"):
                submit([copy], tmp_path / "a", SETTINGS)
        else:
            assert submit([copy], tmp_path / "b", SETTINGS).val_bpb == found


def test_the_command_writes_and_refuses(runs, tmp_path):
    command = [sys.executable, "-m", "foldover", "submission", str(runs[0]), "--device", "cpu", "--out", "sub"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"][0]["seed"] == 3
    again = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert again.returncode == 2
    assert "sub is not empty" in again.stderr
