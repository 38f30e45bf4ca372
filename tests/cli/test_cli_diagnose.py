"""`foldover diagnose` on a run that kept its state, and on one that did not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foldover.core import Budget, Limit, RunSpec, Settings
from foldover.lm.levers import CONSTANTS, LEVERS, PRESETS
from foldover.lm.resolve import baseline_recipe
from foldover.lm.trainer import LMTrainer
from foldover.rundir import RunRoot


def trained(root: Path, *, keep_state: bool) -> Path:
    spec = RunSpec(
        study="",
        stage="",
        package="",
        condition="",
        levels=(),
        recipe=baseline_recipe(LEVERS.complete({"total_batch": 256}, PRESETS["golf-micro"])),
        budget=Budget(limit=Limit.parse("3 steps")),
        seed=1,
        constants=CONSTANTS.complete({"eval_tokens": 512}),
    )
    runs = RunRoot(root)
    with runs.claim(spec) as folder:
        assert folder is not None
        runs.finish(folder, LMTrainer().train(spec, folder, Settings(device="cpu", keep_state=keep_state)))
    return runs.folder(spec.run_id)


@pytest.mark.usefixtures("prepared")
def test_a_kept_state_becomes_tables_a_document_and_a_page(call: Callable[..., Any], tmp_path: Path) -> None:
    place = trained(tmp_path, keep_state=True)
    called = call("diagnose", place, "--out", tmp_path / "out", "--tokens", 512, "--device", "cpu")
    assert called.code == 0, called.err
    assert "Loss by position in the row" in called.out
    document = json.loads((tmp_path / "out" / "diagnostics.json").read_text())
    assert f"{document['val_bpb']:.6f}" in called.out
    assert (tmp_path / "out" / "diagnostics.html").read_text().startswith("<!doctype html>")
    again = call("diagnose", place, "--tokens", 512, "--device", "cpu", "--json")
    assert again.json == document


@pytest.mark.usefixtures("prepared")
def test_a_run_without_a_state_is_an_error_that_names_the_option(call: Callable[..., Any], tmp_path: Path) -> None:
    called = call("diagnose", trained(tmp_path, keep_state=False))
    assert called.code == 2
    assert "foldover train --keep-state" in called.err
