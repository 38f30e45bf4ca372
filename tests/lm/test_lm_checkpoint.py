"""Checkpoints, exact continuation, and runs that branch from another."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from foldover.core import (
    Budget,
    BudgetError,
    Limit,
    Outcome,
    Recipe,
    RecipeError,
    RunSpec,
    Settings,
    TrainerError,
    Values,
    bind,
)
from foldover.lm.branch import is_constant_up_to
from foldover.lm.checkpoint import Identity, checkpoints, read_checkpoint, refusal
from foldover.lm.clock import Elapsed
from foldover.lm.levers import CONSTANTS, LEVERS, MICRO, TrainConfig
from foldover.lm.trainer import LMTrainer
from foldover.rundir import RunFolder, RunRoot, read_json_lines

SAVING = Settings(save_every=2)


def spec_of(limit: str = "6 steps", *, seed: int = 3, starts_from: str | None = None, **levers: object) -> RunSpec:
    return RunSpec(
        study="",
        stage="",
        package="",
        condition="",
        levels=(),
        recipe=Recipe(trainer="lm", values=LEVERS.complete({"total_batch": 1024, **levers}, MICRO)),
        budget=Budget(limit=Limit.parse(limit)),
        seed=seed,
        constants=CONSTANTS.complete({"eval_tokens": 512}),
        starts_from=starts_from,
    )


def perform(root: Path, spec: RunSpec, settings: Settings = SAVING) -> Outcome:
    runs = RunRoot(root)
    with runs.claim(spec) as folder:
        assert folder is not None
        outcome = LMTrainer().train(spec, folder, settings)
        runs.finish(folder, outcome)
    return outcome


class Killed(BaseException):
    """A worker that dies."""


def perform_until(root: Path, spec: RunSpec, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run and die after this step's point of the curve, before its checkpoint."""
    add = RunFolder.add_to_curve

    def add_or_die(self: RunFolder, **values: object) -> None:
        add(self, **values)
        if values["step"] == step:
            for file in (self._curve, self._events):
                if file is not None:
                    file.close()
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "add_to_curve", add_or_die)
        with pytest.raises(Killed):
            perform(root, spec)


EVERYTHING = {
    "averaging.kind": "ema",
    "adaptive_threshold": 0.5,
    "adaptive_window": 2,
    "adaptive_min_steps": 1,
    "warmdown_ratio": 0.25,
    "compression.weight": 0.1,
    "grid": 1.0,
    "forward_weights": "int4",
    "weight_noise": 0.5,
    "meta_ttt": 0.5,
    "meta_ttt_every": 2,
    "meta_ttt_rates": "learned",
    "meta_ttt_rates_lr": 10.0,
    "clip_norm": 0.5,
    "batch_start": 0.5,
    "length_start": "1/2",
    "unfreeze_ratio": 0.6,
}


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize(
    "levers", [{}, {"averaging.kind": "lawa", "snapshot_every": 1}, EVERYTHING], ids=["plain", "lawa", "all"]
)
def test_a_run_that_died_goes_on_to_the_last_bit(levers: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of("8 steps", **levers)
    whole = perform(tmp_path / "a", spec)
    perform_until(tmp_path / "b", spec, 6, monkeypatch)
    continued = perform(tmp_path / "b", spec)
    assert continued.counters["continued_from_step"] == 6
    assert continued.responses["val_bpb"] == whole.responses["val_bpb"]
    assert continued.counters["tokens"] == whole.counters["tokens"]
    assert set(continued.fired) == set(whole.fired)
    last = [checkpoints(tmp_path / side / "runs" / spec.run_id)[0] for side in "ab"]
    first, second = (read_checkpoint(path) for path in last)
    assert first.elapsed.steps == second.elapsed.steps == 8
    assert first.tensors.keys() == second.tensors.keys()
    assert all(torch.equal(first.tensors[name], second.tensors[name]) for name in first.tensors)


@pytest.mark.usefixtures("prepared")
def test_the_curve_of_a_continued_run_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of()
    perform_until(tmp_path, spec, 3, monkeypatch)
    perform(tmp_path, spec)
    place = tmp_path / "runs" / spec.run_id
    assert [point["step"] for point in read_json_lines(place / "curve.jsonl")] == list(range(6))
    assert [event["event"] for event in read_json_lines(place / "events.jsonl")] == ["resumed", "warmdown_started"]
    assert [point["step"] for point in read_json_lines(place / "gates.jsonl")] == list(range(6))


@pytest.mark.usefixtures("prepared")
def test_a_rehearsal_is_recorded_once_though_it_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of(restored_steps=1)
    perform_until(tmp_path, spec, 3, monkeypatch)
    outcome = perform(tmp_path, spec)
    events = read_json_lines(tmp_path / "runs" / spec.run_id / "events.jsonl")
    assert [event["event"] for event in events] == ["rehearsed", "resumed", "warmdown_started"]
    assert outcome.fired.count("rehearsed") == 1


def test_a_negative_interval_of_checkpoints_is_refused() -> None:
    with pytest.raises(BudgetError, match="save_every must not be negative"):
        Settings(save_every=-1)


@pytest.mark.usefixtures("prepared")
def test_saving_changes_nothing(tmp_path: Path) -> None:
    spec = spec_of()
    assert perform(tmp_path / "a", spec).responses == perform(tmp_path / "b", spec, Settings()).responses
    assert checkpoints(tmp_path / "b" / "runs" / spec.run_id) == ()


@pytest.mark.usefixtures("prepared")
def test_a_checkpoint_is_one_safetensors_file_with_json_in_its_header(tmp_path: Path) -> None:
    spec = spec_of("2 steps")
    perform(tmp_path, spec)
    (path,) = checkpoints(tmp_path / "runs" / spec.run_id)
    assert [p.name for p in path.parent.iterdir()] == ["step-000000002.safetensors"]
    with safe_open(path, framework="pt") as file:
        meta = json.loads(file.metadata()["foldover"])
        names = set(file.keys())
    assert meta["elapsed"]["steps"] == 2
    assert meta["identity"]["levers"] == dict(spec.recipe.values)
    assert "model/embedding" in names
    assert any(name.endswith("second_moment") for name in names)


@pytest.mark.usefixtures("prepared")
def test_a_checkpoint_of_other_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of()
    perform_until(tmp_path, spec, 3, monkeypatch)
    monkeypatch.setattr("foldover.lm.run.code_digest", lambda: "other")
    with pytest.raises(TrainerError, match="cannot be continued: it comes from another version of the code"):
        perform(tmp_path, spec)


@pytest.mark.usefixtures("prepared")
def test_a_damaged_checkpoint_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of()
    perform_until(tmp_path, spec, 3, monkeypatch)
    (partial,) = (tmp_path / "runs" / ".partial").glob("*/checkpoints/*.safetensors")
    partial.write_bytes(partial.read_bytes()[:1000])
    with pytest.raises(TrainerError, match="cannot be read"):
        perform(tmp_path, spec)


def identity(**levers: object) -> Identity:
    return Identity(levers=LEVERS.complete(levers, MICRO), seed=1, train="t", tokenizer="k", code="c", torch="2")


def test_a_refusal_names_the_levers_that_differ() -> None:
    assert refusal(identity(), identity()) == ""
    assert refusal(identity(depth=2), identity(depth=3)) == "`model.depth` was 2 and is 3"
    assert refusal(identity(depth=2), identity(depth=3), may_differ=frozenset({"model.depth"})) == ""
    assert refusal(identity(), replace(identity(), seed=2)) == "it comes from another seed"


def test_a_lever_that_a_checkpoint_does_not_know_is_a_difference() -> None:
    old = replace(identity(), levers=Values({k: v for k, v in MICRO.items() if k != "model.depth"}))
    assert refusal(old, identity()) == "`model.depth` was absent and is 2"


CONSTANT = {"warmdown_ratio": 0.0, "weight_decay": 0.0}


@pytest.mark.usefixtures("prepared")
def test_a_warmdown_branched_from_a_trunk_is_the_run_from_its_first_step(tmp_path: Path) -> None:
    trunk = spec_of("6 steps", **CONSTANT)
    perform(tmp_path, trunk)
    levers = {**CONSTANT, "warmdown_ratio": 0.5}
    for steps, begins in ((4, 2), (8, 4)):
        whole = perform(tmp_path / f"alone{steps}", spec_of(f"{steps} steps", **levers))
        branch = perform(tmp_path, spec_of(f"{steps} steps", starts_from=trunk.run_id, **levers))
        assert branch.counters["continued_from_step"] == begins
        assert branch.counters["tokens"] == whole.counters["tokens"]
        assert branch.responses["val_bpb"] == whole.responses["val_bpb"]


@pytest.mark.usefixtures("prepared")
def test_a_branch_of_other_levers_is_refused(tmp_path: Path) -> None:
    trunk = spec_of("2 steps", **CONSTANT)
    perform(tmp_path, trunk)
    with pytest.raises(TrainerError, match=r"no trunk of this one: `optimizer.matrix_lr` was 0.04 and is 0.05"):
        perform(tmp_path, spec_of("6 steps", starts_from=trunk.run_id, matrix_lr=0.05, **CONSTANT))


@pytest.mark.usefixtures("prepared")
def test_a_trunk_without_checkpoints_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="has no checkpoints"):
        perform(tmp_path, spec_of(starts_from="0" * 16, **CONSTANT))


@pytest.mark.usefixtures("prepared")
def test_a_trunk_that_was_warming_down_has_nothing_to_start_from(tmp_path: Path) -> None:
    trunk = spec_of("4 steps", weight_decay=0.0, warmdown_ratio=0.9)
    perform(tmp_path, trunk)
    with pytest.raises(TrainerError, match="no checkpoint from before the warm-down"):
        perform(tmp_path, spec_of("40 steps", starts_from=trunk.run_id, weight_decay=0.0, warmdown_ratio=0.1))


@pytest.mark.usefixtures("prepared")
def test_a_recipe_that_depends_on_the_whole_budget_has_no_trunk(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"cannot have `batch.batch_start`"):
        perform(tmp_path, spec_of(starts_from="0" * 16, batch_start=0.5, **CONSTANT))


def constant_up_to(steps: int, limit: str = "10 steps", **levers: object) -> bool:
    config = bind(TrainConfig, LEVERS.complete({**CONSTANT, **levers}, MICRO))
    elapsed = Elapsed(steps=steps, tokens=steps * 4096, counted_seconds=float(steps - 1), total_seconds=float(steps))
    return is_constant_up_to(config, Limit.parse(limit), elapsed, flops_per_token=10)


def test_rates_are_constant_up_to_the_step_with_which_the_warmdown_begins() -> None:
    assert [constant_up_to(n, warmdown_ratio=0.5) for n in (4, 5, 6)] == [True, True, False]
    assert [constant_up_to(n, warmdown_steps=4) for n in (6, 7)] == [True, False]
    assert constant_up_to(9)


def test_a_decay_that_tapers_from_the_start_is_never_constant() -> None:
    assert not constant_up_to(2, weight_decay=0.1)
    assert constant_up_to(2, weight_decay=0.1, decay_taper_start=0.5)
    assert constant_up_to(9, weight_decay=0.1, decay_final_fraction=1.0)
