"""The simulator behind `ports.Trainer`: a run is a look-up of the surface, written as a run folder."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

import foldover
from foldover.core import (
    Budget,
    Failure,
    LeverSet,
    Outcome,
    Recipe,
    Resolved,
    RunSpec,
    Settings,
    Status,
    Values,
    bind,
)
from foldover.rundir import RunFolder
from foldover.simulator.calibrated import calibration
from foldover.simulator.levers import CONSTANTS, LEVERS, Constants, coded_levels, presets
from foldover.simulator.resolve import budget_minutes, num_steps, resolve, step_seconds
from foldover.simulator.streams import recipe_key, uniform
from foldover.simulator.surface import LEAST_MINUTES, Surface, check_minutes, get_surface

CURVE_POINTS = 12
DIVERGES_WITHIN_MINUTES = 5.0
# Nats a token per bit a byte with a vocabulary of 8192: only the scale of the pretended training loss.
NATS_PER_BIT = 2.6
ESTIMATED_SECONDS = 0.05


class SimTrainer:
    """Answers from a response surface with known truth (see `foldover.simulator.surface`)."""

    name = "simulator"
    levers: LeverSet = LEVERS
    constants: LeverSet = CONSTANTS
    responses = ("val_bpb",)

    @property
    def presets(self) -> Mapping[str, Values]:
        """`autoresearch` and the recipes that the surface's source names."""
        return presets()

    def resolve(self, recipe: Recipe) -> Resolved:
        """Width, parameters and FLOPs of a recipe. Raises RecipeError off the surface."""
        return resolve(recipe)

    def estimate_seconds(self, resolved: Resolved, budget: Budget, constants: Values) -> float:
        """Next to nothing, unless the constant `pace` makes runs wait.

        Raises BudgetError for a budget that the surface does not reach, so that a plan says so.
        """
        setting = bind(Constants, CONSTANTS.complete(constants))
        minutes = budget_minutes(resolved.derived, budget, setting.host)
        check_minutes(minutes)
        return setting.pace * 60.0 * minutes + ESTIMATED_SECONDS

    def prepare(self, recipe: Recipe, constants: Values, progress: Callable[[str, float], None]) -> None:
        """There is nothing to prepare."""

    def train(self, spec: RunSpec, folder: RunFolder, settings: Settings) -> Outcome:
        """Look the response up; leaves a curve of CURVE_POINTS points and the event `warmdown_started`.

        Everything but `started` and `finished` depends on the spec alone.
        Raises BudgetError for a budget that the surface does not reach.
        """
        started = datetime.now(UTC)
        setting = setting_of(spec)
        x, derived = coded_levels(spec.recipe.values), resolve(spec.recipe).derived
        surface, minutes = get_surface(setting.surface), budget_minutes(derived, spec.budget, setting.host)
        response = float(surface.values([x], minutes, setting.host, seeds=[spec.seed], rerun=setting.rerun)[0, 0])
        status, until, failure = _fate(x, minutes, spec.seed, setting)
        steps = num_steps(derived, spec.budget, setting.host)
        done = max(1, math.floor(steps * until))
        fired = _write_curve(
            folder,
            losses=_losses(surface, x, minutes, setting.host, response),
            steps=steps,
            done=done,
            tokens_per_step=derived.integer("tokens_per_step"),
            step_seconds=step_seconds(derived, setting.host),
            warmdown=spec.recipe.values.number("schedule.warmdown_ratio"),
            wait=setting.pace * 60.0 * minutes / CURVE_POINTS,
        )
        if status == "diverged":
            folder.add_event("diverged", step=done, progress=done / steps)
        seconds = done * step_seconds(derived, setting.host)
        return Outcome(
            run_id=spec.run_id,
            status=status,
            started=started.isoformat(),
            finished=datetime.now(UTC).isoformat(),
            responses=Values(val_bpb=response) if status == "finished" else Values(),
            counters=Values(
                steps=done,
                tokens=done * derived.integer("tokens_per_step"),
                training_seconds=seconds,
                total_seconds=seconds,
            ),
            derived=derived,
            digests=Values(surface=calibration().sha256),
            machine=Values(host=setting.host, device="simulated"),
            versions=Values(foldover=foldover.__version__, numpy=np.__version__, python=platform.python_version()),
            fired=fired,
            failure=failure,
        )


def setting_of(spec: RunSpec) -> Constants:
    """The constants of a run, on the host and as the rerun that it is planned as."""
    setting = bind(Constants, CONSTANTS.complete(spec.constants))
    return replace(setting, host=spec.host or setting.host, rerun=setting.rerun + spec.rerun)


def _fate(x: tuple[float, ...], minutes: float, seed: int, setting: Constants) -> tuple[Status, float, Failure | None]:
    """How the run ends, after which share of its budget, and why. Drawn from streams named by the run."""
    run = f"{seed}|{recipe_key(x)}|{minutes:g}|{setting.host}|{setting.rerun}"
    until = 0.1 + 0.8 * uniform(f"end|{run}")
    if uniform(f"fail|{run}") < setting.failure_rate:
        return "failed", until, Failure(kind="SimulatedFailure", message="the run failed by the constant failure_rate")
    is_large = min(x[0], x[1], x[3]) >= 1.0 and minutes <= DIVERGES_WITHIN_MINUTES
    if is_large and uniform(f"diverge|{run}") < setting.divergence_rate:
        message = "the loss is not finite, by the constant divergence_rate"
        return "diverged", until, Failure(kind="diverged", message=message)
    return "finished", 1.0, None


def _losses(surface: Surface, x: tuple[float, ...], minutes: float, host: str, response: float) -> list[float]:
    """Pretended training losses at equal shares of the budget; the last belongs to the response.

    Between, the surface at that share of the budget, and below its reach a straight line in log time.
    """
    at = minutes * np.arange(1, CURVE_POINTS + 1) / CURVE_POINTS
    inside = np.maximum(at, LEAST_MINUTES)
    means = surface.mean(x, inside, host) + 0.5 * np.log(inside / at)
    return [NATS_PER_BIT * float(value) for value in means + (response - means[-1])]


def _write_curve(
    folder: RunFolder,
    *,
    losses: list[float],
    steps: int,
    done: int,
    tokens_per_step: int,
    step_seconds: float,
    warmdown: float,
    wait: float,
) -> tuple[str, ...]:
    """Points of the run up to its last step, waiting `wait` seconds before each; gives the events that fired."""
    fired: tuple[str, ...] = ()
    last = 0
    for i, loss in enumerate(losses, start=1):
        if wait:
            time.sleep(wait)
        step = math.ceil(steps * i / len(losses))
        if step > done:
            break
        if step == last:
            continue
        last, progress = step, step / steps
        if not fired and progress > 1.0 - warmdown:
            folder.add_event("warmdown_started", step=math.ceil(steps * (1.0 - warmdown)), progress=1.0 - warmdown)
            fired = ("warmdown_started",)
        folder.add_to_curve(
            step=step,
            tokens=step * tokens_per_step,
            seconds=step * step_seconds,
            progress=progress,
            train_loss=loss,
            lr_multiplier=min(1.0, (1.0 - progress) / warmdown),
        )
    return fired
