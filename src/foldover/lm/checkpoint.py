"""States of a run on disk, from which training goes on: one file each (see `tensor_file`).

There is no random state to keep: every draw here comes from a stream named by what it is for. The position in the data
is the number of rows taken; a continued run takes them again and throws them away.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from foldover.core import Recipe, RunSpec, Scalar, Values
from foldover.data import PreparedData
from foldover.lm.clock import Elapsed
from foldover.lm.loop import Progress
from foldover.lm.schedule import PlateauState
from foldover.lm.tensor_file import read_tensors, unreadable, write_tensors

FOLDER = "checkpoints"
FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a state belongs to: states are interchangeable if all but `levers` agrees, and that by rules."""

    levers: Values
    seed: int
    train: str
    tokenizer: str
    code: str
    torch: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """A state that was read. rows: taken from the stream of training rows so far."""

    tensors: Mapping[str, Tensor]
    identity: Identity
    elapsed: Elapsed
    progress: Progress
    rows: int
    plateau: PlateauState


def identity_of(spec: RunSpec, data: PreparedData, *, code: str, torch_version: str) -> Identity:
    """Of the states that a run leaves."""
    return Identity(
        levers=spec.recipe.values,
        seed=spec.seed,
        train=data.digests.text("train"),
        tokenizer=data.digests.text("tokenizer"),
        code=code,
        torch=torch_version,
    )


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a state below a run folder; gives its path."""
    path = folder / FOLDER / f"step-{checkpoint.elapsed.steps:09d}.safetensors"
    path.parent.mkdir(exist_ok=True)
    write_tensors(path, checkpoint.tensors, header_of(checkpoint))
    return path


def checkpoints(folder: Path) -> tuple[Path, ...]:
    """Checkpoints below a run folder, the latest first."""
    return tuple(sorted((folder / FOLDER).glob("step-*.safetensors"), reverse=True))


def read_checkpoint(path: Path) -> Checkpoint:
    """A state. Raises TrainerError if the file is damaged or of another format."""
    tensors, meta = read_tensors(path, form=FORMAT, what="checkpoint")
    try:
        return checkpoint_of(meta, tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise unreadable(path, "checkpoint", error) from error


def header_of(checkpoint: Checkpoint) -> dict[str, object]:
    """Everything but the tensors, as JSON values."""
    return {
        "format": FORMAT,
        "identity": plain_identity(checkpoint.identity),
        "elapsed": asdict(checkpoint.elapsed),
        "progress": asdict(checkpoint.progress),
        "rows": checkpoint.rows,
        "plateau": asdict(checkpoint.plateau),
    }


def checkpoint_of(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Checkpoint:
    """What `header_of` made `header` of. Raises KeyError, TypeError or ValueError for another header."""
    return Checkpoint(
        tensors=tensors,
        identity=identity_from(header["identity"]),
        elapsed=Elapsed(**header["elapsed"]),
        progress=Progress(**header["progress"]),
        rows=int(header["rows"]),
        plateau=PlateauState(**{**header["plateau"], "history": tuple(header["plateau"]["history"])}),
    )


def plain_identity(identity: Identity) -> dict[str, object]:
    """As JSON values."""
    return {**asdict(identity), "levers": dict(identity.levers)}


def identity_from(plain: Mapping[str, Any]) -> Identity:
    """What `plain_identity` made `plain` of."""
    return Identity(**{**plain, "levers": Values(plain["levers"])})


def refusal(found: Identity, wanted: Identity, *, may_differ: frozenset[str] = frozenset()) -> str:
    """Why a state cannot be continued by another run; "" if it can. may_differ: names of levers that need not agree."""
    for what in ("code", "torch", "train", "tokenizer", "seed"):
        if getattr(found, what) != getattr(wanted, what):
            return f"it comes from another {_WORDS[what]}"
    ours, theirs = Recipe(trainer="lm", values=wanted.levers), Recipe(trainer="lm", values=found.levers)
    differing = [(name, old, new) for name, old, new in ours.diff(theirs) if name not in may_differ]
    return "; ".join(f"`{name}` was {_text(old)} and is {_text(new)}" for name, old, new in differing)


_WORDS = {
    "code": "version of the code",
    "torch": "version of torch",
    "train": "training text",
    "tokenizer": "tokenizer",
    "seed": "seed",
}


def _text(value: Scalar) -> str:
    return "absent" if value is None else str(value)
