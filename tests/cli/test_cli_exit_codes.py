"""0 done, 1 the study says no, 2 the user erred, 3 something outside failed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from foldover.cli import app

VERBS_ON_A_FOLDER = ["execute", "collect", "analyse", "decide", "report", "verify", "status"]
COMMANDS = sorted(app.commands)


# 0


@pytest.mark.parametrize("verb", VERBS_ON_A_FOLDER)
def test_every_verb_is_done_on_a_finished_study(call, copy, verb):
    called = call(verb, copy)
    assert (called.code, called.err) == (0, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_page(call, command):
    called = call(command, "--help")
    assert (called.code, called.out.startswith(f"Usage: foldover {command}")) == (0, True)


def test_help_lists_every_command_with_a_sentence(call):
    out = call("--help").out
    section = out.partition("Commands:\n")[2].splitlines()
    assert sorted(line.split()[0] for line in section) == COMMANDS
    assert all(len(line.split()) > 3 for line in section)


def test_the_version_is_told(call):
    import foldover

    assert call("--version").out == f"foldover, version {foldover.__version__}\n"


def test_running_a_finished_study_again_ends_at_once_with_its_report(call, copy, quick_path):
    called = call("run", quick_path, "--dir", copy, "--quiet")
    assert (called.code, called.out.splitlines()[-1]) == (0, f"report: {copy / 'report.html'}")


def test_a_study_that_is_only_planned_has_a_status(call, quick_path, tmp_path):
    (tmp_path / "study.toml").write_text(quick_path.read_text())
    called = call("status", tmp_path)
    assert (called.code, "nothing is planned yet" in called.out) == (0, True)


# 1


def test_a_study_that_does_not_agree_with_itself_is_refused_with_one(call, copy):
    folder = sorted(path for path in (copy / "runs").iterdir() if not path.name.startswith("."))[0]
    path = folder / "curve.jsonl"
    path.write_bytes(path.read_bytes()[:-2] + b" \n")
    called = call("verify", copy)
    assert (called.code, called.out) == (1, f"run {folder.name}: curve.jsonl was changed\n")


def test_a_missing_report_is_a_disagreement(call, copy):
    (copy / "report.json").unlink()
    assert call("verify", copy).code == 1


# 2


@pytest.mark.parametrize("verb", VERBS_ON_A_FOLDER)
def test_a_folder_without_a_study_is_the_users_error(call, tmp_path, verb):
    called = call(verb, tmp_path)
    assert (called.code, called.err) == (
        2,
        f"error: {tmp_path} is not the folder of a study. Start one with `foldover run STUDY --dir DIR`.\n",
    )


@pytest.mark.parametrize("verb", VERBS_ON_A_FOLDER)
def test_a_refused_verb_makes_no_folder(call, tmp_path, verb):
    call(verb, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("command", ["check", "plan"])
def test_a_study_file_that_is_not_there_is_the_users_error(call, tmp_path, command):
    called = call(command, tmp_path / "none.toml")
    assert (called.code, called.err.startswith("error: the study file")) == (2, True)


def test_another_study_in_the_same_folder_is_refused(call, copy, quick_path, tmp_path):
    path = tmp_path / "other.toml"
    path.write_text(quick_path.read_text().replace("q = 0.05", "q = 0.1"))
    called = call("run", path, "--dir", copy)
    assert (called.code, "use another --dir" in called.err) == (2, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["unknown"],
        ["check"],
        ["run", "s.toml"],
        ["plan", "s.toml", "--jobs", "0"],
        ["verify", ".", "--unknown"],
        ["train", "--seed", "x"],
    ],
)
def test_a_command_line_that_is_not_understood_is_the_users_error(call, arguments):
    called = call(*arguments)
    assert (called.code, called.err.startswith("Usage: foldover")) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "matrix_rl=0.1"], "`matrix_rl` is not a lever. Did you mean `matrix_lr`?"),
        (["--set", "depth=0"], "`model.depth` cannot be 0. Give a whole number from 1 to 64."),
        (["--set", "depth"], "a setting has no `=` (got 'depth'). Write LEVER=VALUE."),
        (["--preset", "macro"], "`macro` is not a preset"),
        (["--constant", "eval_token=1"], "`eval_token` is not a lever. Did you mean `eval_tokens`?"),
        (["--seconds", "1", "--steps", "1"], "a run has one budget (got (1.0, 1)). Give --seconds or --steps."),
        (["--steps", "0"], "a limit must be positive (got 0.0)."),
        (["--seconds", "-1"], "a limit must be positive (got -1.0)."),
        (["--device", "gpu"], "unknown device (got 'gpu'). Use auto, cpu, cuda or cuda:N."),
        (
            ["--set", "GPTQ_RESERVE_SECONDS=12"],
            "`schedule.reserve_seconds` leaves nothing of 10 s to train in (got 12.0)",
        ),
        (["--steps", "1"], "`schedule.warmdown_ratio` cannot act within 1 steps"),
    ],
)
def test_a_recipe_that_cannot_be_trained_is_refused_before_it_is_paid_for(call, tmp_path, arguments, message):
    called = call("train", *arguments, "--dir", tmp_path / "t")
    assert (called.code, message in called.err, (tmp_path / "t").exists()) == (2, True, False)


def test_an_unknown_trainer_has_the_nearest_name(call):
    called = call("levers", "simulater")
    assert (called.code, "Did you mean `simulator`?" in called.err) == (2, True)


def test_an_unknown_device_is_refused_before_a_folder_is_made(call, quick_path, tmp_path):
    assert call("run", quick_path, "--dir", tmp_path / "s", "--device", "gpu").code == 2
    assert not (tmp_path / "s").exists()


# 3


@pytest.mark.parametrize("verb", ["collect", "analyse", "decide", "report", "verify", "status"])
def test_a_damaged_ledger_is_an_outside_failure_that_says_what_to_do(call, copy, verb):
    (copy / "ledger.sqlite").write_bytes(b"no ledger" * 1000)
    called = call(verb, copy)
    assert (called.code, called.err.startswith("error: ")) == (3, True)


def test_a_damaged_plan_is_an_outside_failure(call, copy):
    (copy / "plans" / "01-screen.json").write_text("{")
    assert call("status", copy).code == 3


def test_a_run_folder_that_is_damaged_is_not_collected(call, copy):
    folder = sorted(path for path in (copy / "runs").iterdir() if not path.name.startswith("."))[0]
    (folder / "outcome.json").write_text("{}")
    called = call("collect", copy, "--rebuild")
    assert (called.code, folder.name in called.err) == (3, True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_an_outside_failure(call, quick_path, tmp_path):
    tmp_path.chmod(0o500)
    assert call("run", quick_path, "--dir", tmp_path / "s").code == 3


def test_a_file_in_the_place_of_a_folder_is_an_outside_failure(call, quick_path, tmp_path):
    (tmp_path / "file").write_text("")
    assert call("run", quick_path, "--dir", tmp_path / "file" / "s").code == 3


# Errors in JSON


@pytest.mark.parametrize(
    ("arguments", "kind"), [(["status", "."], "UserError"), (["levers", "simulater"], "RecipeError")]
)
def test_an_error_under_json_is_one_document_too(call, tmp_path, monkeypatch, arguments, kind):
    monkeypatch.chdir(tmp_path)
    called = call(*arguments, "--json")
    error = json.loads(called.out)["error"]
    assert (called.code, error["kind"], error["message"] in called.err) == (2, kind, True)


def test_a_spoiled_study_under_json_names_its_problems(call, quick_path, tmp_path):
    path: Path = tmp_path / "s.toml"
    path.write_text(quick_path.read_text().replace("best = 1", "best = -1"))
    called = call("check", path, "--json")
    (problem,) = called.json["problems"]
    assert (called.code, called.json["ok"], problem["message"].startswith("stage confirm: `best`")) == (2, False, True)
