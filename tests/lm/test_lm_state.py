"""Trained states: what is kept, that it scores the same wherever it is loaded, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from foldover.core import (
    Budget,
    LedgerError,
    Limit,
    Outcome,
    Recipe,
    RunSpec,
    Settings,
    TrainerError,
    Values,
    bind,
)
from foldover.lm.after_training import evaluate
from foldover.lm.choose import leaves_for
from foldover.lm.device import open_device
from foldover.lm.inputs import open_data, rows_to_score
from foldover.lm.levers import CONSTANTS, LEVERS, MICRO, PRESETS, TrainConfig
from foldover.lm.model import build_model
from foldover.lm.state import STATE, load_state
from foldover.lm.token_traits import token_traits
from foldover.lm.trainer import LMTrainer
from foldover.rundir import RunRoot, damage

SMALL = {"depth": 2, "aspect": 16, "context": 32, "total_batch": 128, "momentum_warmup": 3}
CPU = Settings(device="cpu")

# Each changes what is evaluated: tied tables, an average, quantised matrices, blocks that are shared and looped.
RECIPES = {
    "plain": (MICRO, {}),
    "golf": (PRESETS["golf-micro"], {"vocab_size": 1024}),
    "ema": (MICRO, {"averaging.kind": "ema", "ema_decay": 0.5}),
    "ternary": (MICRO, {"forward_weights": "ternary", "group_size": 8}),
    "looped": (MICRO, {"recurrence.loops": 1, "loop_start": 0, "loop_end": 1, "active_from": 0.5, "unique_blocks": 1}),
}


def spec_of(name: str = "plain", *, limit: str = "4 steps", **levers: object) -> RunSpec:
    preset, own = RECIPES[name]
    return RunSpec(
        study="",
        stage="",
        package="",
        condition="",
        levels=(1.0,),
        recipe=Recipe(trainer="lm", values=LEVERS.complete({**SMALL, **own, **levers}, preset)),
        budget=Budget(limit=Limit.parse(limit)),
        seed=3,
        constants=CONSTANTS.complete({"eval_tokens": 256}),
    )


def perform(root: Path, spec: RunSpec, settings: Settings = CPU) -> Outcome:
    runs = RunRoot(root)
    with runs.claim(spec) as folder:
        assert folder is not None
        outcome = LMTrainer().train(spec, folder, settings)
        runs.finish(folder, outcome)
    return outcome


def model_of(spec: RunSpec) -> torch.nn.Module:
    data = open_data(spec.recipe, spec.constants)
    config = bind(TrainConfig, spec.recipe.values)
    device = open_device(CPU)
    return build_model(
        config, seed=99, device=device.device, traits=lambda: token_traits(data), leaves=leaves_for(device)
    )


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("name", RECIPES)
def test_a_kept_state_scores_in_another_model_what_its_run_scored(name: str, tmp_path: Path) -> None:
    spec = spec_of(name)
    outcome = perform(tmp_path, spec, replace(CPU, keep_state=True))
    model = model_of(spec)
    rows = rows_to_score(spec, open_data(spec.recipe, spec.constants))
    before = evaluate(model, rows, open_device(CPU)).bits_per_byte
    identity = load_state(model, RunRoot(tmp_path).folder(spec.run_id) / STATE)
    assert evaluate(model, rows, open_device(CPU)).bits_per_byte == outcome.responses["val_bpb"] != before
    assert (identity.levers, identity.seed) == (spec.recipe.values, 3)


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("name", RECIPES)
def test_a_run_that_begins_trained_trains_nothing_and_scores_the_same(name: str, tmp_path: Path) -> None:
    trunk = replace(spec_of(name), keeps_state=True)
    trained = perform(tmp_path, trunk)
    begun = perform(tmp_path, replace(trunk, keeps_state=False, starts_from=trunk.run_id))
    assert begun.responses == trained.responses
    assert begun.fired == trained.fired
    own = RunRoot(tmp_path).folder(replace(trunk, keeps_state=False, starts_from=trunk.run_id).run_id)
    assert not (own / "curve.jsonl").exists()
    assert json.loads((own / "events.jsonl").read_text()) == {"event": "began_trained", "run": trunk.run_id}
    for counter in ("steps", "tokens", "training_seconds"):
        assert begun.counters[counter] == trained.counters[counter]
    assert begun.counters["inherited_seconds"] == trained.counters["training_seconds"]


@pytest.mark.usefixtures("prepared")
def test_a_state_is_one_safetensors_file_of_fp32_parameters_under_checksum(tmp_path: Path) -> None:
    spec = spec_of("golf")
    perform(tmp_path, spec, replace(CPU, keep_state=True))
    folder = RunRoot(tmp_path).folder(spec.run_id)
    with safe_open(folder / STATE, framework="pt") as file:
        meta, names = json.loads(file.metadata()["foldover"]), list(file.keys())
    tensors = load_file(folder / STATE)
    assert sorted(names) == sorted(name for name, _ in model_of(spec).named_parameters())
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert meta["format"] == 1
    assert meta["identity"]["levers"] == dict(spec.recipe.values)
    assert {"code", "torch", "seed", "train", "tokenizer"} < meta["identity"].keys()
    assert STATE in json.loads((folder / "checksums.json").read_text())
    assert damage(folder) == ()


@pytest.mark.usefixtures("prepared")
def test_a_state_holds_the_weights_that_were_evaluated(tmp_path: Path) -> None:
    spec = spec_of("ternary")
    perform(tmp_path, spec, replace(CPU, keep_state=True))
    tensors = load_file(RunRoot(tmp_path).folder(spec.run_id) / STATE)
    (name, *_) = [name for name in tensors if name.startswith("blocks.0.") and tensors[name].ndim == 2]
    sizes = tensors[name].reshape(-1, 8).abs()
    largest = sizes.max(dim=1, keepdim=True).values
    assert bool(((sizes == 0) | (sizes == largest)).all())
    assert bool((sizes == 0).any())


@pytest.mark.usefixtures("prepared")
def test_without_being_asked_no_state_is_kept(tmp_path: Path) -> None:
    spec = spec_of()
    plain, kept = perform(tmp_path / "a", spec), perform(tmp_path / "b", spec, replace(CPU, keep_state=True))
    assert plain.responses == kept.responses
    assert not (RunRoot(tmp_path / "a").folder(spec.run_id) / STATE).exists()


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize(
    ("other", "because"),
    [
        (spec_of(matrix_lr=0.05), r"`optimizer.matrix_lr` was 0.04 and is 0.05"),
        (spec_of(limit="5 steps"), "its budget was 4 steps and is 5 steps"),
        (replace(spec_of(), seed=4), "it comes from another seed"),
    ],
)
def test_a_state_of_other_training_is_refused(other: RunSpec, because: str, tmp_path: Path) -> None:
    trunk = replace(spec_of(), keeps_state=True)
    perform(tmp_path, trunk)
    with pytest.raises(TrainerError, match=f"run {trunk.run_id} did not train what this one needs: {because}"):
        perform(tmp_path, replace(other, starts_from=trunk.run_id))


@pytest.mark.usefixtures("prepared")
def test_a_state_that_was_changed_is_refused(tmp_path: Path) -> None:
    trunk = replace(spec_of(), keeps_state=True)
    perform(tmp_path, trunk)
    path = RunRoot(tmp_path).folder(trunk.run_id) / STATE
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(LedgerError, match=f"run folder {trunk.run_id} is damaged: {STATE} was changed"):
        perform(tmp_path, replace(spec_of(), starts_from=trunk.run_id))


@pytest.mark.usefixtures("prepared")
def test_a_state_of_another_model_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    spec = spec_of()
    perform(tmp_path, spec, replace(CPU, keep_state=True))
    path = RunRoot(tmp_path).folder(spec.run_id) / STATE
    with pytest.raises(TrainerError, match="is that of another model: they differ in `"):
        load_state(model_of(spec_of(depth=3)), path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(TrainerError, match="cannot be read"):
        load_state(model_of(spec), path)


def test_a_train_digest_leaves_out_levers_of_later_phases() -> None:
    recipe = spec_of().recipe
    other = Recipe(trainer="lm", values=recipe.values.with_({"optimizer.matrix_lr": 0.05}))
    assert recipe.train_digest(LEVERS) != other.train_digest(LEVERS)
    reserved = Recipe(trainer="lm", values=recipe.values.with_({"schedule.reserve_seconds": 4.0}))
    assert recipe.train_digest(LEVERS) != reserved.train_digest(LEVERS)
    later = [name for name, lever in LEVERS.items() if lever.phase != "train"]
    changed = Recipe(trainer="lm", values=Values({**recipe.values, **dict.fromkeys(later, 0)}))
    assert recipe.train_digest(LEVERS) == changed.train_digest(LEVERS)
