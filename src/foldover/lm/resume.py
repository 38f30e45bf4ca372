"""Where a run goes on: at its beginning, where an earlier attempt left it, or at a state of its trunk."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from foldover.core import RunSpec, TrainerError, bind
from foldover.lm.branch import BRANCH_LEVERS, check_branch, is_constant_up_to
from foldover.lm.checkpoint import Checkpoint, Identity, checkpoints, read_checkpoint, refusal
from foldover.lm.gates import continue_log
from foldover.lm.levers import LEVERS, TrainConfig
from foldover.lm.schedule import PlateauState
from foldover.rundir import SPEC, RunFolder, read_json_lines, verified
from foldover.rundir.folder import CURVE, EVENTS, read_spec

AFTER_TRAINING_LEVERS = frozenset(name for name, lever in LEVERS.items() if lever.phase != "train")
"""What may always differ: it does nothing while a run is trained."""


def state_to_continue(
    spec: RunSpec, config: TrainConfig, folder: RunFolder, identity: Identity, *, flops_per_token: int
) -> Checkpoint | None:
    """The state that a run begins with, None for a fresh one; what was recorded up to it is copied into the folder.

    Raises TrainerError for a state of other levers, code or data, and where `starts_from` has none to offer;
    LedgerError for one that is not what was sealed.
    """
    earlier = _of_earlier_attempt(folder, identity)
    if earlier is not None or spec.starts_from is None:
        return earlier
    check_branch(config)
    return _of_trunk(spec, config, folder, identity, flops_per_token=flops_per_token)


def _of_earlier_attempt(folder: RunFolder, identity: Identity) -> Checkpoint | None:
    for attempt in folder.lost_attempts():
        for path in checkpoints(attempt):
            checkpoint = read_checkpoint(path)
            because = refusal(checkpoint.identity, identity)
            if because:
                raise TrainerError(
                    f"checkpoint {path} cannot be continued: {because}",
                    fix="Remove its folder to begin anew, or go back to what it was made with.",
                )
            steps = checkpoint.elapsed.steps
            if folder.spec.branch_points:
                _take_over(attempt, folder.path, up_to=path)
            for point in read_json_lines(attempt / CURVE):
                if point["step"] < steps:
                    folder.add_to_curve(**point)
            for event in read_json_lines(attempt / EVENTS):
                if event["event"] != "rehearsed" and (event.get("step", 0) < steps or event["event"] == "resumed"):
                    folder.add_event(**event)
            continue_log(attempt, folder.path, steps=steps)
            folder.add_event("resumed", step=steps, attempt=attempt.name)
            return checkpoint
    return None


def _take_over(attempt: Path, folder: Path, *, up_to: Path) -> None:
    """Copy the states that a trunk had saved for others before it died."""
    for path in checkpoints(attempt):
        if path.name <= up_to.name:
            place = folder / path.relative_to(attempt)
            place.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, place)


def _of_trunk(
    spec: RunSpec, config: TrainConfig, folder: RunFolder, identity: Identity, *, flops_per_token: int
) -> Checkpoint:
    assert spec.starts_from is not None, "not a branch"
    place = folder.ended_run(spec.starts_from)
    found = checkpoints(place)
    if not found:
        raise TrainerError(
            f"run {spec.starts_from}, which this one starts from, has no checkpoints",
            fix="Run it first, with `save_every`.",
        )
    trunk, _ = read_spec(verified(place, SPEC).parent)
    trunk_config = bind(TrainConfig, trunk.recipe.values)
    for path in found:
        checkpoint = read_checkpoint(verified(place, path.relative_to(place).as_posix()))
        because = refusal(checkpoint.identity, identity, may_differ=BRANCH_LEVERS | AFTER_TRAINING_LEVERS)
        if because:
            raise TrainerError(
                f"run {spec.starts_from} is no trunk of this one: {because}", fix="Start from a run of equal levers."
            )
        sides = ((config, spec.budget.limit), (trunk_config, trunk.budget.limit))
        if all(
            is_constant_up_to(side, limit, checkpoint.elapsed, flops_per_token=flops_per_token) for side, limit in sides
        ):
            folder.add_event("started_from", run=spec.starts_from, step=checkpoint.elapsed.steps)
            return replace(
                checkpoint,
                elapsed=replace(checkpoint.elapsed, inherited_seconds=checkpoint.elapsed.counted_seconds),
                progress=replace(checkpoint.progress, last_point=-1.0),
                plateau=PlateauState(),
            )
    raise TrainerError(
        f"run {spec.starts_from} has no checkpoint from before the warm-down or the taper of weight decay begins",
        fix="Save more often there, or begin them later.",
    )
