"""The two Protocols: what a trainer is, and what gets run folders made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from foldover.core import Budget, LeverSet, Limit, Outcome, Recipe, Resolved, RunSpec, Settings, Values
from foldover.rundir import RunFolder


class Trainer(Protocol):
    """A lever table plus one function.

    `resolve` and `estimate_seconds` are pure and work without torch and without a GPU. `train` may assume
    that the process is its own, that `folder` is fresh and that nobody else writes there; it leaves the
    curve and the events in the folder and returns the outcome. A loss that is not finite is the outcome
    `diverged`; whatever it raises becomes the outcome `failed`. It must not read the clock to decide
    anything but the budget, and must give the same result for the same spec where the limit is in steps
    and the machine is the same.
    """

    @property
    def name(self) -> str:
        """As written in study files."""

    @property
    def levers(self) -> LeverSet:
        """What may be varied."""

    @property
    def constants(self) -> LeverSet:
        """What defines the question and is locked for a study: corpus, evaluated tokens."""

    @property
    def presets(self) -> Mapping[str, Values]:
        """Named complete lever values to start from."""

    @property
    def responses(self) -> tuple[str, ...]:
        """Names of what is measured, the main one first."""

    def resolve(self, recipe: Recipe) -> Resolved:
        """What the recipe becomes. Raises RecipeError for a combination that cannot be built."""

    def estimate_seconds(self, resolved: Resolved, budget: Budget, constants: Values) -> float:
        """An estimate of the wall-clock seconds of one run on one slot, all included."""

    def prepare(self, recipe: Recipe, constants: Values, progress: Callable[[str, float], None]) -> None:
        """Make what runs of this recipe read, once, before the first of them is paid for.

        progress is called with a phase and the share of it that is done.
        """

    def train(self, spec: RunSpec, folder: RunFolder, settings: Settings) -> Outcome:
        """Run it."""


@runtime_checkable
class Branches(Protocol):
    """What a trainer has besides if its runs can begin with the state of another: pure, as `resolve` is.

    `train` is then given specs with `branch_points` and `keeps_state`, and leaves those states in the folder; and specs
    with `starts_from`, whose folder is at `RunFolder.ended_run`. One that keeps its state and has the training levers,
    budget and seed of the spec has done all the training; any other is a trunk to go on from. States are used
    only after `rundir.verified`.
    """

    def trunk_recipe(self, recipe: Recipe) -> Recipe:
        """The recipe at constant rates that begins as this one does. Raises RecipeError that says why there is none."""

    def branch_point(self, resolved: Resolved, budget: Budget) -> Limit | None:
        """What a run trains exactly as its trunk, in the kind of its limit; None where that is nothing.

        Raises RecipeError where it cannot be known before the run.
        """

    def estimate_part_seconds(
        self, resolved: Resolved, budget: Budget, constants: Values, spent: Limit | None
    ) -> float:
        """As `estimate_seconds`, for a run that begins with so much of its training done: with all of it, maybe.

        None for nothing of it: then it is a trunk, of which nothing is asked but to begin others.
        """


@runtime_checkable
class EstimatesByDevice(Protocol):
    """What a trainer has besides if it takes another time on another device: `estimate_seconds` for that one."""

    def estimating_on(self, device: str) -> Trainer:
        """The same trainer, with estimates for a device as settings name it: `cpu`, `cuda`, `auto`."""


@runtime_checkable
class PredictsBytes(Protocol):
    """What a trainer has besides if its artifacts' sizes hang on the budget, which `resolve` does not know."""

    def predicted_bytes(self, resolved: Resolved, budget: Budget, constants: Values) -> int:
        """Of the artifact that a run of this budget writes; asked only where `resolve` gives `artifact_bytes`."""


class Executor(Protocol):
    """Gets run folders made, wherever the machines are.

    Every spec ends as a folder under `root` (see `rundir`), or the call raises. A spec whose folder exists
    already is not run again; one with `starts_from` waits for that run, and ends as `failed` with the kind
    `trunk_failed` if that one has no result. `on_ended` is called in this process, once for each run that
    ends during the call, after its folder is complete. Interrupting the call leaves only complete folders and
    partial ones that a later call puts aside and runs again.
    """

    def run_all(self, specs: Sequence[RunSpec], root: Path, on_ended: Callable[[Path], None]) -> None:
        """Run every spec that has not ended yet, in the given order as slots come free."""
