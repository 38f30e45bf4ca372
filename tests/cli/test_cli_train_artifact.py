"""`foldover train` with an artifact at its end."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from foldover.cli.main import app
from foldover.core import RecipeError

LEVERS = (
    "width=32",
    "depth=2",
    "context=64",
    "vocab_size=512",
    "total_batch=512",
    "momentum_warmup=4",
    "export.artifact=true",
    "export.codec=ans",
    "gptq=false",
)


def train(tmp_path: Path, *more: str) -> Result:
    levers = [part for lever in LEVERS for part in ("--set", lever)]
    arguments = ["--steps", "8", "--constant", "eval_tokens=512", "--dir", str(tmp_path), "--device", "cpu", "--quiet"]
    return CliRunner().invoke(app, ["train", "--preset", "golf-micro", *levers, *arguments, *more])


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Result]:
    place = tmp_path_factory.mktemp("train")
    return place, train(place)


def test_training_ends_with_the_bytes_on_disk_and_the_scores(trained):
    place, found = trained
    assert found.exit_code == 0
    (artifact,) = place.glob("*/runs/*/artifact.fold")
    lines = dict(line.split(":", 1) for line in found.stdout.splitlines() if ":" in line)
    size, _, predicted = lines["artifact_bytes"].strip().partition(" ")
    assert int(size.replace(",", "")) == artifact.stat().st_size
    assert predicted.startswith("(predicted before training: ")
    scores = [float(lines[name]) for name in ("val_bpb", "roundtrip_bpb", "adapted_bpb")]
    outcome = json.loads((artifact.parent / "outcome.json").read_text())
    assert scores == [
        pytest.approx(outcome["responses"][name], abs=1e-6) for name in ("val_bpb", "roundtrip_bpb", "adapted_bpb")
    ]


@pytest.mark.parametrize(
    ("text", "budget", "said"),
    [
        ("train", ["--steps", "8"], r"[0-9.]+ s on training text"),
        ("self", ["--seconds", "0.01"], r"[0-9.]+ s on text of its own"),
        ("train", ["--seconds", "0.01"], r"([0-9.]+) s on training text, 0 s reserved: \1 s beyond the limit"),
    ],
)
def test_training_says_how_long_calibration_took_and_what_was_reserved(tmp_path, text, budget, said):
    levers = (*LEVERS[:-1], "calibration.batches=1", "calibration.rows=1", f"calibration.text={text}")
    sets = [part for lever in levers for part in ("--set", lever)]
    arguments = [*budget, "--constant", "eval_tokens=512", "--dir", str(tmp_path), "--device", "cpu", "--quiet"]
    found = CliRunner().invoke(app, ["train", "--preset", "golf-micro", *sets, *arguments])
    lines = dict(line.split(":", 1) for line in found.stdout.splitlines() if ":" in line)
    assert re.fullmatch(said, lines["calibration"].strip()), found.output


def test_a_recipe_whose_artifact_would_be_over_the_cap_is_not_trained(tmp_path):
    found = train(tmp_path, "--cap", "5000")
    assert found.exit_code == 1
    assert "nothing was trained: a predicted artifact of" in found.stderr
    assert not list(tmp_path.glob("*/runs/*"))


def test_counted_code_is_part_of_the_prediction(tmp_path):
    (tmp_path / "code.py").write_text("x" * 90_000)
    found = train(tmp_path, "--cap", "100000", "--count-code", str(tmp_path / "code.py"))
    assert found.exit_code == 1
    assert "and 90,000 bytes of code is over the cap of 100,000" in found.stderr


def test_a_cap_without_an_artifact_is_a_mistake(tmp_path):
    found = CliRunner().invoke(app, ["train", "--steps", "2", "--cap", "5000", "--dir", str(tmp_path)])
    assert "there is a cap and no artifact" in str(found.exception)


def test_a_lever_of_the_export_without_an_artifact_is_refused(tmp_path):
    found = train(tmp_path, "--set", "export.artifact=false")
    assert isinstance(found.exception, RecipeError)
    assert "`export.codec` has no effect here: it needs `export.artifact`" in str(found.exception)
    assert not list(tmp_path.rglob("spec.json"))
