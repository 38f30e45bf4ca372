"""A trainer whose runs can begin with the state of another; registered as `sharing` through FOLDOVER_TRAINERS.

What it trains is a number that moves by one step at a time, at a rate that falls in the warm-down; the state is that
number in a file. After training it is rounded to `bits` and shifted by `stride`, levers of later phases. The curve has
a point a step that was really trained, so that a test can count them.

While the file that SHARING_GATE names exists, runs wait: in the middle of their training where SHARING_HELD is
`training`, before anything else where it is `begun` and they begin with the state of another.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from foldover.core import (
    Budget,
    LeverSet,
    Limit,
    Outcome,
    Recipe,
    RecipeError,
    Resolved,
    RunSpec,
    Settings,
    Values,
    lever,
    levers_of,
)
from foldover.rundir import RunFolder, read_ended, verified


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    rate: float = lever(0.1, "Of a step.", low=0.0, high=1.0)
    decay: float = lever(0.0, "Of the number.", low=0.0, high=1.0)
    warmdown: float = lever(0.5, "Share of the steps at falling rate.", low=0.0, high=1.0, neutral=0.0)
    warmup: float = lever(0.0, "Share of the steps at rising rate.", low=0.0, high=1.0, neutral=0.0)
    fails: bool = lever(False, "Whether training fails.", neutral=False)
    bits: int = lever(8, "Of the stored number.", low=2, high=32, phase="export", neutral=32)
    stride: float = lever(0.0, "Of the evaluation.", low=0.0, high=10.0, phase="evaluate", neutral=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    pause: float = lever(0.0, "Seconds that a step takes.", low=0.0, high=1.0)
    noise: float = lever(0.02, "Of a seed.", low=0.0, high=1.0)


class SharingTrainer:
    name = "sharing"
    levers: LeverSet = levers_of(Config)
    constants: LeverSet = levers_of(Constants)
    presets: Mapping[str, Values] = {}
    responses = ("loss",)

    def resolve(self, recipe: Recipe) -> Resolved:
        return Resolved(recipe=recipe, derived=Values(size=1), effective=recipe.values)

    def estimate_seconds(self, resolved: Resolved, budget: Budget, constants: Values) -> float:
        return budget.limit.amount + 1.0

    def prepare(self, recipe: Recipe, constants: Values, progress: Callable[[str, float], None]) -> None:
        """Nothing to prepare."""

    def trunk_recipe(self, recipe: Recipe) -> Recipe:
        if recipe.values["warmup"]:
            raise RecipeError("a warm-up by ratio has no trunk", value=recipe.values["warmup"])
        return Recipe(trainer=self.name, values=recipe.values.with_(warmdown=0.0))

    def branch_point(self, resolved: Resolved, budget: Budget) -> Limit | None:
        steps = int(budget.limit.amount * (1.0 - resolved.recipe.values.number("warmdown")))
        return Limit(kind=budget.limit.kind, amount=steps) if steps else None

    def estimate_part_seconds(
        self, resolved: Resolved, budget: Budget, constants: Values, spent: Limit | None
    ) -> float:
        return budget.limit.amount - (spent.amount if spent else 0.0) + 1.0

    def train(self, spec: RunSpec, folder: RunFolder, settings: Settings) -> Outcome:
        started, values, steps = now(), spec.recipe.values, int(spec.budget.limit.amount)
        step, number = begins(spec, folder, self.levers)
        begun_at = step
        if spec.starts_from is not None:
            wait_at_gate("begun")
        if values["fails"]:
            raise ZeroDivisionError("training fails")
        points = [int(point.amount) for point in spec.branch_points]
        while step < steps:
            if step == steps // 2:
                wait_at_gate("training")
            time.sleep(spec.constants.number("pause"))
            number += rate_at(values, step / steps) * (1.0 + shock(spec, step)) - values.number("decay") * number
            step += 1
            folder.add_to_curve(step=step, progress=step / steps, loss=number)
            if step in points:
                (folder.path / f"at-{step}.json").write_text(json.dumps([step, number]))
        if spec.keeps_state:
            (folder.path / "state.json").write_text(json.dumps([step, number]))
        grid = 2.0 ** (values.integer("bits") - 1)
        loss = round(number * grid) / grid + 0.1 * values.number("stride") + 0.001 * shock(spec, values["stride"])
        return Outcome(
            run_id=spec.run_id,
            status="finished",
            started=started,
            finished=now(),
            responses=Values(loss=loss),
            counters=Values(steps=steps, training_seconds=float(steps), inherited_seconds=float(begun_at)),
        )


def wait_at_gate(what: str) -> None:
    gate = os.environ.get("SHARING_GATE")
    while gate and os.environ.get("SHARING_HELD") == what and Path(gate).exists():
        time.sleep(0.005)


def begins(spec: RunSpec, folder: RunFolder, levers: LeverSet) -> tuple[int, float]:
    if spec.starts_from is None:
        return 0, 0.0
    place = folder.ended_run(spec.starts_from)
    trunk = read_ended(place).spec
    if trunk.keeps_state:
        assert trunk.recipe.train_digest(levers) == spec.recipe.train_digest(levers)
        step, number = json.loads(verified(place, "state.json").read_text())
        return step, number
    at = int(spec.budget.limit.amount * (1.0 - spec.recipe.values.number("warmdown")))
    step, number = json.loads(verified(place, f"at-{at}.json").read_text())
    return step, number


def rate_at(values: Values, progress: float) -> float:
    rate, warmdown = values.number("rate"), values.number("warmdown")
    return rate * min(1.0, (1.0 - progress) / warmdown) if warmdown else rate


def shock(spec: RunSpec, what: object) -> float:
    """A draw that belongs to a seed, a rate and a step, as the noise of training does."""
    name = f"{spec.seed} {spec.recipe.values['rate']} {spec.recipe.values['decay']} {what}"
    return spec.constants.number("noise") * random.Random(name).gauss(0.0, 1.0)  # noqa: S311


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
