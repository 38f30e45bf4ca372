"""A recipe that folds case, from its text to an artifact that another process measures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from foldover.core import Budget, Limit, Outcome, Recipe, RunSpec, Settings
from foldover.lab.artifacts import export_levers, export_run
from foldover.lm.levers import CONSTANTS, LEVERS, MICRO
from foldover.lm.trainer import LMTrainer
from foldover.rundir import RunRoot

SETTINGS = Settings(device="cpu", keep_state=True)
SMALL = {"depth": 2, "aspect": 16, "context": 32, "total_batch": 128, "vocab_size": 300}
LINES = "The Senate of ROME met; NASA's McCoy did not.\nI said: “Über allem the cat”, No {}.\n"


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Text with capitals of all kinds; its cache is a folder of its own."""
    monkeypatch.setenv("FOLDOVER_CACHE", str(tmp_path / "cache"))
    for side, numbers in (("train", range(6)), ("val", range(90, 92))):
        (tmp_path / "text" / side).mkdir(parents=True)
        for i in numbers:
            text = "".join(LINES.format(i * j) for j in range(12))
            (tmp_path / "text" / side / f"{i}.txt").write_text(text, encoding="utf-8")
    return tmp_path / "text"


def train(corpus: Path, root: Path, **levers: object) -> tuple[Outcome, Path]:
    recipe = Recipe(trainer="lm", values=LEVERS.complete({**SMALL, **levers}, MICRO))
    constants = CONSTANTS.complete({"corpus": f"path:{corpus}", "eval_tokens": 320})
    spec = RunSpec(
        study="",
        stage="",
        package="",
        condition="",
        levels=(),
        recipe=recipe,
        budget=Budget(limit=Limit.parse("4 steps")),
        seed=0,
        constants=constants,
    )
    LMTrainer().prepare(recipe, constants, lambda phase, share: None)
    runs = RunRoot(root)
    with runs.claim(spec) as folder:
        assert folder is not None
        outcome = LMTrainer().train(spec, folder, SETTINGS)
        return outcome, runs.finish(folder, outcome)


def test_an_artifact_of_a_folded_recipe_scores_the_same_in_a_process_that_prepares_its_text_anew(
    corpus: Path, tmp_path: Path
) -> None:
    outcome, place = train(corpus, tmp_path / "runs", fold_case=True)
    artifact = tmp_path / "artifact"
    found = export_run(place, export_levers({"export.scheme": "none"}), SETTINGS, out=artifact)
    assert found.roundtrip_bpb == outcome.responses["val_bpb"]
    command = [sys.executable, "-m", "foldover", "evaluate", str(artifact), "--device", "cpu", "--json"]
    elsewhere = {**os.environ, "FOLDOVER_CACHE": str(tmp_path / "another")}
    out = subprocess.run(command, capture_output=True, text=True, check=True, env=elsewhere).stdout
    assert json.loads(out)["responses"]["val_bpb"] == outcome.responses["val_bpb"]


def test_folding_changes_the_tokens_and_nothing_of_the_question(corpus: Path, tmp_path: Path) -> None:
    features = {"token_type": True, "bigram_buckets": 64, "word_start_boost": True, "word_start_weight": 2.0}
    folded, _ = train(corpus, tmp_path / "folded", fold_case=True, **features)
    plain, _ = train(corpus, tmp_path / "plain", **features)
    assert folded.status == plain.status == "finished"
    assert folded.digests["corpus"] == plain.digests["corpus"]
    assert folded.digests["tokenizer"] != plain.digests["tokenizer"]
    assert folded.responses["val_bpb"] != plain.responses["val_bpb"]
