"""The trained state of a run, as it was evaluated: what everything that is done after training begins with.

`state.safetensors` in the run folder holds the parameters in fp32, an average or quantised weights if these were what
was evaluated, each once under its first name (tied ones too); its header says what they belong to.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from foldover.core import Outcome, RunSpec, TrainerError, UserError, Values
from foldover.lm.checkpoint import FOLDER as CHECKPOINTS
from foldover.lm.checkpoint import Identity, checkpoints, identity_from, plain_identity, refusal
from foldover.lm.levers import ARTIFACT
from foldover.lm.resume import AFTER_TRAINING_LEVERS
from foldover.lm.tensor_file import read_tensors, unreadable, write_tensors
from foldover.rundir import OUTCOME, SPEC, RunFolder, read_ended, verified
from foldover.rundir.folder import read_spec

STATE = "state.safetensors"
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Inherited:
    """A state that another run trained. outcome: of that run."""

    path: Path
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A state on disk. folder: of its run."""

    path: Path
    folder: Path
    spec: RunSpec


def write_state(folder: Path, model: nn.Module, identity: Identity, digests: Values) -> Path:
    """Write the parameters of a model, as they are now, below a run folder; gives the path."""
    tensors = {name: parameter.float() for name, parameter in model.named_parameters()}
    meta = {"format": FORMAT, "identity": plain_identity(identity), "digests": dict(digests)}
    write_tensors(folder / STATE, tensors, meta)
    return folder / STATE


@torch.no_grad()
def load_state(model: nn.Module, path: Path) -> Identity:
    """Write a state into a model of its levers; gives what it belongs to.

    Raises TrainerError for a file that is damaged or of another format, and for parameters that are not the model's.
    """
    tensors, meta = read_tensors(path, form=FORMAT, what="state")
    own = dict(model.named_parameters())
    differing = sorted(
        name
        for name in own.keys() | tensors.keys()
        if name not in own or name not in tensors or own[name].shape != tensors[name].shape
    )
    if differing:
        raise TrainerError(
            f"state {path} is that of another model: they differ in `{differing[0]}`",
            fix="Build the model from the levers in its header.",
        )
    for name, parameter in own.items():
        parameter.copy_(tensors[name])
    return _identity(path, meta)


def find_state(place: Path) -> Kept:
    """The state at a path: a run folder, a folder that holds one run, or a state's own file.

    A run's final state comes before its checkpoints, of which the last is taken. Raises UserError where nothing was
    kept, with the command that keeps it.
    """
    if place.is_file() and place.suffix == ".safetensors":
        folder = place.parent.parent if place.parent.name == CHECKPOINTS else place.parent
        return Kept(path=place, folder=folder, spec=_spec(folder))
    folder = place
    inner = sorted((place / "runs").glob("*/spec.json")) if not (place / "spec.json").exists() else []
    if len(inner) > 1:
        raise UserError(f"{place} holds {len(inner)} runs", fix=f"Name one, such as {inner[0].parent}.")
    if inner:
        folder = inner[0].parent
    spec = _spec(folder)
    found = [path for path in (folder / STATE, *checkpoints(folder)) if path.exists()]
    if not found:
        artifact = folder / ARTIFACT
        there = f" `foldover evaluate` and `inspect` take its artifact: {artifact}" if artifact.exists() else ""
        raise UserError(
            f"run {folder} kept no state",
            fix="Run it again so that it does: foldover train --keep-state, with the same preset, levers and seed."
            + there,
        )
    return Kept(path=found[0], folder=folder, spec=spec)


def inherited_state(spec: RunSpec, folder: RunFolder, identity: Identity) -> Inherited | None:
    """The state of the run that did all the training for this one; None if there is still some to do.

    Code and torch may be others than those that trained: the weights are what they are.
    Raises TrainerError if the run it starts from has only states of other training; LedgerError if they were changed.
    """
    if spec.starts_from is None:
        return None
    place = folder.ended_run(spec.starts_from)
    if not (place / STATE).exists():
        return None
    trunk = read_ended(verified(verified(place, SPEC).parent, OUTCOME).parent)
    path = verified(place, STATE)
    found = _read_identity(path)
    because = refusal(
        replace(found, code=identity.code, torch=identity.torch), identity, may_differ=AFTER_TRAINING_LEVERS
    )
    if not because and trunk.spec.budget.limit != spec.budget.limit:
        because = f"its budget was {trunk.spec.budget.label()} and is {spec.budget.label()}"
    if not because:
        return Inherited(path=path, outcome=trunk.outcome)
    if checkpoints(place):
        return None
    raise TrainerError(
        f"run {spec.starts_from} did not train what this one needs: {because}",
        fix="Start from a run of equal training.",
    )


def _read_identity(path: Path) -> Identity:
    return _identity(path, read_tensors(path, form=FORMAT, what="state")[1])


def _identity(path: Path, meta: dict[str, Any]) -> Identity:
    try:
        return identity_from(meta["identity"])
    except (KeyError, TypeError, ValueError) as error:
        raise unreadable(path, "state", error) from error


def _spec(folder: Path) -> RunSpec:
    if not (folder / SPEC).exists():
        raise UserError(f"{folder} is no run folder: it has no {SPEC}", fix="Name the folder of one run.")
    return read_spec(folder)[0]
