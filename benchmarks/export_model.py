"""The model that `make bench-export` measures on: the preset `golf-mini`, trained once and kept in the cache."""

from __future__ import annotations

import sys
from pathlib import Path

from foldover.core import Budget, Limit, Recipe, RunSpec, Settings
from foldover.data.places import cache_folder
from foldover.lm.levers import CONSTANTS, LEVERS, PRESETS
from foldover.lm.trainer import LMTrainer
from foldover.rundir import RunRoot
from foldover.trainers import get_trainer

PRESET = "golf-mini"
LEVER_CHANGES = {"batch.total_batch": 4096, "optimizer.momentum_warmup": 100}
STEPS = 800
EVAL_TOKENS = 131072
SETTINGS = Settings(threads=1, device="cpu", keep_state=True)
# Penalties are as small as what bf16 makes of any change of the weights.
MEASURED = Settings(threads=1, device="cpu", compute="fp32")


def spec_of(*, steps: int = STEPS, eval_tokens: int = EVAL_TOKENS, preset: str = PRESET) -> RunSpec:
    """What is trained: its digest names the folder in the cache."""
    return RunSpec(
        study="bench-export",
        stage="",
        package="",
        condition=preset,
        levels=(),
        recipe=Recipe(trainer="lm", values=LEVERS.complete(LEVER_CHANGES, PRESETS[preset])),
        budget=Budget(limit=Limit(kind="steps", amount=float(steps))),
        seed=0,
        constants=CONSTANTS.complete({"eval_tokens": eval_tokens}),
    )


def trained(spec: RunSpec, root: Path | None = None) -> Path:
    """The folder of the run, with its state; trains where that is not there yet. root: in the cache if None."""
    runs = RunRoot(root or cache_folder() / "bench-export")
    if not runs.has_ended(spec.run_id):
        trainer = get_trainer("lm")
        assert isinstance(trainer, LMTrainer)
        print(f"training {spec.condition} for {spec.budget.limit.amount:,.0f} steps, once", file=sys.stderr, flush=True)
        trainer.prepare(spec.recipe, spec.constants, lambda phase, share: None)
        with runs.claim(spec) as folder:
            if folder is not None:
                runs.finish(folder, trainer.train(spec, folder, SETTINGS))
    return runs.folder(spec.run_id)
