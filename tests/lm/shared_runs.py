"""Runs that processes share: `shared_runs.py train RANK SIZE STORE OUT`, `... die ROOT`, `... halves`.

`train` trains each of RECIPES with the other ranks; rank 0 writes what it found to OUT. `die` is rank 0 of a run; after
the first step it prints the ids of its helpers, and kills itself when it is told to by a line. `halves` prints the
table of docs/devices.md: how far losses of 20 steps are from each other with one micro-batch a step and with two.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from foldover.core import Budget, Limit, Outcome, Recipe, RunSpec, Scalar, Settings, bind
from foldover.data import prepare
from foldover.lm.clock import BudgetClock
from foldover.lm.compiling import CompiledModel
from foldover.lm.device import open_device
from foldover.lm.feed import Feed
from foldover.lm.levers import CONSTANTS, LEVERS, MICRO, PRESETS, TrainConfig
from foldover.lm.loop import Progress, rehearse, train
from foldover.lm.model import build_model
from foldover.lm.parallel import Ranks
from foldover.lm.parts import build_parts
from foldover.lm.shape import shape_of
from foldover.lm.trainer import LMTrainer
from foldover.rundir import EndedRun, RunFolder, RunRoot, damage, read_ended

TWO = Settings(processes=2, compute="fp32")
STEPS = 8
# adam_eps: with the usual 1e-10 the first steps of AdamW are signs of gradients, rounding included.
SMALL: dict[str, object] = {
    "model.depth": 2,
    "aspect": 16,
    "model.context": 32,
    "total_batch": 192,
    "adam_eps": 1e-5,
}
RECIPES: dict[str, dict[str, object]] = {
    "plain": {},
    "losses": {"label_smoothing": 0.1, "z_loss": 0.01, "focal_gamma": 0.5, "position_weight": 0.5, "mile_gamma": 0.5},
    "terms": {"mtp_heads": 1, "tied": True},
    "recurrence": {"loops": 1, "loop_start": 1, "loop_end": 1, "active_from": 0.5, "untied_mlps": True},
    "more and more rows": {"batch_start": 0.1, "batch_ramp_ratio": 0.9},
    "longer rows": {"length_start": "1/4", "length_ramp_ratio": 0.5},
    "gradients": {"clip_norm": 0.1, "compression.weight": 0.1, "grid": 1.0},
    "meta": {"meta_ttt": 0.5, "meta_ttt_every": 2},
    "weights": {"forward_weights": "int4", "qat_start": 1.0, "weight_noise": 0.5, "averaging.kind": "ema"},
    "frozen": {"unfreeze_ratio": 0.6, "restored_steps": 1, "layer_map": "0,0"},
}


def spec_of(limit: str = "20 steps", **levers: object) -> RunSpec:
    return RunSpec(
        study="",
        stage="",
        package="",
        condition="",
        levels=(),
        recipe=Recipe(trainer="lm", values=LEVERS.complete({"total_batch": 1024, **levers}, MICRO)),
        budget=Budget(limit=Limit.parse(limit)),
        seed=3,
        constants=CONSTANTS.complete({"eval_tokens": 512}),
    )


def perform(root: Path, spec: RunSpec, settings: Settings) -> tuple[Outcome, EndedRun]:
    runs = RunRoot(root)
    with runs.claim(spec) as folder:
        assert folder is not None
        outcome = LMTrainer().train(spec, folder, settings)
        place = runs.finish(folder, outcome)
    assert damage(place) == ()
    return outcome, read_ended(place)


def helpers_of(pid: int) -> list[int]:
    """Processes that the run of a process has started."""
    found = [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]
    return [child for child in found if b"foldover.lm.member" in Path(f"/proc/{child}/cmdline").read_bytes()]


class Curve:
    """A recorder that keeps losses."""

    def __init__(self) -> None:
        self.losses: list[Scalar] = []
        self.events: list[str] = []

    def add_to_curve(self, **values: Scalar) -> None:
        self.losses.append(values["train_loss"])

    def add_event(self, event: str, **values: Scalar) -> None:
        self.events.append(event)


def train_recipe(
    levers: dict[str, object], ranks: Ranks, tokens_at_once: int = 10_000, backend: str | None = None
) -> tuple[Curve, float, list[int]]:
    """The curve, a sum over the weights at the end, and the tokens of each rank. backend: of torch.compile."""
    values = LEVERS.complete({**SMALL, **levers}, MICRO)
    config = bind(TrainConfig, values)
    prepared = prepare()
    device = open_device(Settings(compute="fp32"))
    model = build_model(config, seed=1, device=device.device)
    parts = build_parts(
        model,
        config,
        prepared,
        device,
        width=shape_of(config).width,
        seed=1,
        ranks=ranks,
        loss_model=CompiledModel(model, backend=backend) if backend else None,
    )

    def rows() -> Iterator[np.ndarray]:
        tokens, start = np.asarray(prepared.train_tokens[:40_000]), 0
        while True:
            yield tokens[start : start + config.model.context + 1]
            start += config.model.context

    clock = BudgetClock(
        Limit.parse(f"{STEPS} steps"), free_steps=0, tokens_per_step=config.batch.total_batch, flops_per_token=1
    )
    curve, progress = Curve(), Progress()
    if config.schedule.restored_steps:
        rehearse(parts, Feed(rows(), tokens_at_once=tokens_at_once, device=device.device), config, device)
    feed = Feed(rows(), tokens_at_once=tokens_at_once, device=device.device)
    train(parts, feed, clock, config, device, curve, progress)
    with torch.no_grad():
        size = sum(float(p.double().square().sum()) for p in model.parameters())
    return curve, size, progress.rank_tokens


def train_all(rank: int, size: int, store: str, out: Path) -> None:
    from foldover.lm.parallel.group import Group, open_meeting

    found = {}
    with Group(rank=rank, size=size, device_type="cpu", store=open_meeting(store, size)) as ranks:
        for name, levers in RECIPES.items():
            curve, weights, tokens = train_recipe(levers, ranks)
            found[name] = {"losses": curve.losses, "events": curve.events, "weights": weights, "tokens": tokens}
    if rank == 0:
        out.write_text(json.dumps(found))


def die(root: Path) -> None:
    def stop(self: RunFolder, **values: Scalar) -> None:
        print(*helpers_of(os.getpid()), flush=True)
        sys.stdin.readline()
        os.kill(os.getpid(), signal.SIGKILL)

    RunFolder.add_to_curve = stop
    perform(root, spec_of("100000 steps"), TWO)


def halves() -> None:
    import foldover.lm.run as run_module

    for preset in ("micro", "golf-micro"):
        for batch in (4096, 1024):
            for kernels in ("native", "torch"):
                apart = []
                for seed in range(4):
                    values = LEVERS.complete({"total_batch": batch}, PRESETS[preset])
                    spec = replace(spec_of(), recipe=Recipe(trainer="lm", values=values), seed=seed)
                    curves = []
                    for tokens in (batch, batch // 2):
                        run_module.TOKENS_AT_ONCE["cpu"] = tokens
                        with tempfile.TemporaryDirectory() as root:
                            _, ended = perform(Path(root) / "runs", spec, Settings(compute="fp32", kernels=kernels))
                        curves.append(np.array([point["train_loss"] for point in ended.curve], dtype=float))
                    apart.append(np.abs(curves[1] / curves[0] - 1.0).max())
                print(preset, batch, kernels, *(f"{one:.1e}" for one in apart), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "die":
        die(Path(sys.argv[2]))
    elif sys.argv[1] == "halves":
        halves()
    else:
        train_all(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], Path(sys.argv[5]))
