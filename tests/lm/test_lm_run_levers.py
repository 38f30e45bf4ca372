"""Every lever of training: it acts in a whole loop where it should, and nowhere else.

The table holds, for each declared lever, a recipe that differs from its base in that lever alone. A lever without a row
fails, so none can be declared without being wired up.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from foldover.core import Budget, Limit, Recipe, RunSpec, bind
from foldover.data import PreparedData
from foldover.lm.averaging import averaged
from foldover.lm.clock import BudgetClock
from foldover.lm.device import Device
from foldover.lm.feed import Feed
from foldover.lm.levers import LEVERS, MICRO, TrainConfig
from foldover.lm.loop import Progress, objective_of, rehearse, step_gradients, train
from foldover.lm.model import build_model
from foldover.lm.parts import Parts, build_parts
from foldover.lm.resolve import resolve
from foldover.rundir import RunFolder

GROUPS = ("optimizer", "schedule", "batch", "loss", "averaging", "compression")
STEPS = 6
SMALL = {"depth": 2, "aspect": 16, "context": 32, "total_batch": 128, "momentum_warmup": 3}
CPU = Device(device=torch.device("cpu"), muon_dtype=torch.float32, autocast=False)

EMA = {"averaging.kind": "ema", "ema_decay": 0.5}
PENALTY = {"compression.weight": 1.0, "grid": 1.0}
META = {"meta_ttt": 0.5, "meta_ttt_every": 2}
PLATEAU = {"adaptive_threshold": 0.9, "adaptive_window": 1, "adaptive_min_steps": 1, "warmdown_ratio": 0.2}

# lever -> (its value, levers of the base that it needs)
TABLE: dict[str, tuple[object, dict[str, object]]] = {
    "optimizer.matrix_lr": (0.05, {}),
    "optimizer.embedding_lr": (0.5, {}),
    "optimizer.tied_embedding_lr": (0.1, {"tied": True}),
    "optimizer.unembedding_lr": (0.005, {}),
    "optimizer.scalar_lr": (0.4, {}),
    "optimizer.scalar_lr_share": (1.0, {}),
    "optimizer.width_exponent": (0.0, {}),
    "optimizer.adam_beta1": (0.9, {}),
    "optimizer.x0_beta1": (0.5, {}),
    "optimizer.adam_beta2": (0.99, {}),
    "optimizer.adam_eps": (1e-4, {}),
    "optimizer.adam_weight_decay": (0.5, {}),
    "optimizer.momentum": (0.9, {}),
    "optimizer.momentum_start": (0.5, {}),
    "optimizer.momentum_warmup": (0, {}),
    "optimizer.momentum_cycle": (2, {}),
    "optimizer.momentum_cycle_low": (0.5, {"momentum_cycle": 2}),
    "optimizer.momentum_form": ("classic", {}),
    "optimizer.nesterov": (False, {}),
    "optimizer.row_normalize": (True, {}),
    "optimizer.orthogonalization": ("quintic_golf", {}),
    "optimizer.orthogonal_steps": (3, {}),
    "optimizer.normuon": (False, {}),
    "optimizer.muon_beta2": (0.5, {}),
    "optimizer.update_scale": ("rms", {}),
    "optimizer.weight_decay": (0.0, {}),
    "optimizer.decay_form": ("plain", {}),
    "optimizer.decay_taper_start": (0.5, {}),
    "optimizer.decay_final_fraction": (1.0, {}),
    "optimizer.clip_norm": (1e-3, {}),
    "optimizer.meta_ttt": (0.5, {"meta_ttt_every": 2}),
    "optimizer.meta_ttt_every": (3, META),
    "optimizer.meta_ttt_lr": (0.5, META),
    "optimizer.meta_ttt_rates": ("learned", META),
    "optimizer.meta_ttt_rates_lr": (50.0, {**META, "meta_ttt_rates": "learned"}),
    "optimizer.meta_ttt_rows": ("same", META),
    "optimizer.meta_ttt_delta": (0.5, META),
    "optimizer.meta_ttt_radius": (0.5, META),
    "schedule.warmup_ratio": (0.4, {}),
    "schedule.warmdown_ratio": (0.25, {}),
    "schedule.warmdown_steps": (5, {}),
    "schedule.warmdown_shape": ("cosine", {}),
    "schedule.final_lr_fraction": (0.5, {}),
    "schedule.min_lr_fraction": (0.5, {}),
    "schedule.adaptive_threshold": (0.9, {**PLATEAU, "adaptive_threshold": 0.0}),
    "schedule.adaptive_window": (3, PLATEAU),
    "schedule.adaptive_smoothing": (0.0, {**PLATEAU, "adaptive_threshold": 0.01, "adaptive_window": 3}),
    "schedule.adaptive_min_steps": (4, PLATEAU),
    "schedule.unfreeze_ratio": (0.6, {}),
    "batch.total_batch": (256, {}),
    "batch.batch_start": (0.25, {}),
    "batch.batch_ramp_ratio": (0.9, {"batch_start": 0.25}),
    "batch.length_start": ("1/4", {}),
    "batch.length_ramp_ratio": (0.9, {"length_start": "1/4"}),
    "loss.ignore_token": (32, {}),
    "loss.label_smoothing": (0.1, {}),
    "loss.focal_gamma": (1.0, {}),
    "loss.word_start_weight": (1.5, {}),
    "loss.word_start_ramp_from": (0.1, {}),
    "loss.suffix_weight": (0.5, {}),
    "loss.position_weight": (1.2, {}),
    "loss.mile_gamma": (1.0, {}),
    "loss.z_loss": (0.01, {}),
    "loss.sentence_end_weight": (3.0, {}),
    "averaging.kind": ("ema", {}),
    "averaging.ema_decay": (0.7, EMA),
    "averaging.ema_every": (2, EMA),
    "averaging.ema_debias": (True, EMA),
    "averaging.swa_start": (0.9, {"averaging.kind": "swa", "snapshot_every": 1}),
    "averaging.snapshot_every": (2, {"averaging.kind": "lawa"}),
    "averaging.lawa_snapshots": (2, {"averaging.kind": "lawa", "snapshot_every": 1}),
    "compression.weight": (1.0, {}),
    "compression.grid": (1.0, {"compression.weight": 1.0}),
    "compression.scale": (1.0, {"compression.weight": 1.0}),
    "compression.rank1": (10.0, {"compression.weight": 10.0}),
    "compression.ternary": (1.0, {"compression.weight": 1.0}),
    "compression.outlier": (1.0, {"compression.weight": 1.0}),
    "compression.entropy": (1.0, {"compression.weight": 1.0}),
    "compression.interval": (2, PENALTY),
    "compression.penalty_from": (3, PENALTY),
    "compression.tensors": (1, PENALTY),
    "compression.max_columns": (8, PENALTY),
    "compression.bits": (4, PENALTY),
    "compression.full_row_scale": (True, {**PENALTY, "max_columns": 8}),
    "compression.normalized": (True, {"compression.weight": 1.0, "compression.ternary": 1.0}),
    "compression.forward_weights": ("int4", {}),
    "compression.qat_start": (0.5, {"forward_weights": "int4"}),
    "compression.group_size": (8, {"forward_weights": "ternary"}),
    "compression.weight_noise": (1.0, {}),
}
# These act on the clock, not on the weights.
ELSEWHERE = {"schedule.free_steps", "schedule.restored_steps", "schedule.reserve_seconds"}


def rows_of(prepared: PreparedData, context: int):
    tokens, start = np.asarray(prepared.train_tokens[:20_000]), 0
    while True:
        yield tokens[start : start + context + 1]
        start += context


def weights_after(
    tmp_path: Path, prepared: PreparedData, name: str, levers: dict[str, object]
) -> tuple[list[torch.Tensor], Progress, Parts]:
    values = LEVERS.complete({**SMALL, **levers}, MICRO)
    config = bind(TrainConfig, values)
    recipe = Recipe(trainer="lm", values=values)
    limit = Limit.parse(f"{STEPS} steps")
    spec = RunSpec(
        study="", stage="", package="", condition="", levels=(), recipe=recipe, budget=Budget(limit=limit), seed=1
    )
    folder = RunFolder(tmp_path / name, spec, attempt=1)
    folder.begin()
    model = build_model(config, seed=1, device=CPU.device)
    width = resolve(recipe).derived.integer("width")
    parts = build_parts(model, config, prepared, CPU, width=width, seed=1)
    clock = BudgetClock(limit, free_steps=0, tokens_per_step=config.batch.total_batch, flops_per_token=1)
    progress = Progress()

    def feed() -> Feed:
        return Feed(rows_of(prepared, config.model.context), tokens_at_once=10_000, device=CPU.device)

    if config.schedule.restored_steps:
        rehearse(parts, feed(), config, CPU)
    train(parts, feed(), clock, config, CPU, folder, progress)
    for file in (folder._curve, folder._events):
        if file is not None:
            file.close()
    with averaged(model, parts.average), parts.forward_weights.in_evaluation():
        return [p.detach().clone() for p in model.parameters()], progress, parts


def are_equal(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_every_lever_of_training_has_a_row() -> None:
    declared = {name for name in LEVERS if name.partition(".")[0] in GROUPS}
    assert declared == set(TABLE) | ELSEWHERE


@pytest.mark.parametrize("name", TABLE)
def test_a_lever_off_its_base_changes_what_training_leaves(name: str, tmp_path: Path, prepared: PreparedData) -> None:
    value, base = TABLE[name]
    before, _, _ = weights_after(tmp_path, prepared, "base", base)
    after, progress, _ = weights_after(tmp_path, prepared, "changed", {**base, name: value})
    assert not are_equal(before, after)
    fires = LEVERS[name].fires
    if fires and value != LEVERS[name].neutral:
        assert fires in progress.fired


@pytest.mark.parametrize("name", [name for name in TABLE if LEVERS[name].needs and name != "optimizer.muon_beta2"])
def test_a_lever_whose_owner_is_off_changes_nothing(name: str, tmp_path: Path, prepared: PreparedData) -> None:
    value, _ = TABLE[name]
    values = LEVERS.complete({**SMALL, name: value}, MICRO)
    assert not LEVERS.acts(name, values)
    before, _, _ = weights_after(tmp_path, prepared, "base", {})
    after, _, _ = weights_after(tmp_path, prepared, "changed", {name: value})
    assert are_equal(before, after)


def test_beta2_changes_nothing_without_normuon(tmp_path: Path, prepared: PreparedData) -> None:
    before, _, _ = weights_after(tmp_path, prepared, "base", {"normuon": False})
    after, _, _ = weights_after(tmp_path, prepared, "changed", {"normuon": False, "muon_beta2": 0.5})
    assert are_equal(before, after)


def test_rehearsed_steps_leave_no_trace(tmp_path: Path, prepared: PreparedData) -> None:
    before, _, first = weights_after(tmp_path, prepared, "base", EMA)
    after, _, second = weights_after(tmp_path, prepared, "rehearsed", {**EMA, "restored_steps": 3})
    assert are_equal(before, after)
    states = [parts.tensors() for parts in (first, second)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_blocks_that_are_not_unfrozen_yet_stay_to_the_bit(tmp_path: Path, prepared: PreparedData) -> None:
    fresh = build_model(bind(TrainConfig, LEVERS.complete(SMALL, MICRO)), seed=1, device=CPU.device)
    # With a ratio of 1 the second of two blocks is never unfrozen before the middle: train up to there.
    levers = {"unfreeze_ratio": 1.0}
    values = LEVERS.complete({**SMALL, **levers}, MICRO)
    config = bind(TrainConfig, values)
    model = build_model(config, seed=1, device=CPU.device)
    parts = build_parts(model, config, prepared, CPU, width=32, seed=1)
    frozen = parts.frozen(1)
    feed = Feed(rows_of(prepared, 32), tokens_at_once=10_000, device=CPU.device)
    for _ in range(3):
        for rows in feed.take(4, row_length=32):
            model.loss(rows[:, :-1], rows[:, 1:]).backward()
        parts.optimizer.step(lr_multiplier=1.0, momentum=0.9, weight_decay=0.2, frozen=frozen)
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, fresh.get_parameter(name))}
    assert frozen == {name for name, _ in model.named_parameters() if name.startswith("blocks.1.")}
    assert moved == {name for name, _ in model.named_parameters()} - frozen


@pytest.mark.parametrize("rows_at_once", [1, 2])
def test_micro_batches_do_not_matter_even_with_every_loss_lever(rows_at_once: int, prepared: PreparedData) -> None:
    levers = {name: TABLE[name][0] for name in TABLE if name.startswith("loss.")} | META | {"meta_ttt_lr": 0.1}
    config = bind(TrainConfig, LEVERS.complete({**SMALL, **levers}, MICRO))
    gradients = []
    for size in (4, rows_at_once):
        model = build_model(config, seed=1, device=CPU.device)
        parts = build_parts(model, config, prepared, CPU, width=32, seed=1)
        with torch.no_grad():
            model.head.weight.mul_(100.0)
        micro = Feed(rows_of(prepared, 32), tokens_at_once=32 * size, device=CPU.device).take(4, row_length=32)
        assert [len(rows) for rows in micro] == [size] * (4 // size)
        step_gradients(parts, micro, 0.3, CPU, {"forward": 0.0, "backward": 0.0})
        assert parts.meta.add_gradients(micro, objective_of(parts, 0.3, CPU), step=1)
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters()})
    for name in gradients[0]:
        scale = float(gradients[0][name].abs().max())
        torch.testing.assert_close(gradients[1][name], gradients[0][name], rtol=0, atol=1e-4 * scale + 1e-8, msg=name)
