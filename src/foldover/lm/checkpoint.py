"""States of a run on disk: one safetensors file each, whose header holds everything that is not a tensor, as JSON.

A file appears by one rename, whole or not at all, and nothing in it is executed when it is read. There is no
random state to keep: every draw here comes from a stream named by what it is for. The position in the data is the
number of rows taken; a continued run takes them again and throws them away.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from foldover.core import Recipe, RunSpec, Scalar, TrainerError, Values
from foldover.data import PreparedData
from foldover.lm.clock import Elapsed
from foldover.lm.loop import Progress
from foldover.lm.schedule import PlateauState
from foldover.rundir import write_atomic

FOLDER = "checkpoints"
FORMAT = 1
KEY = "foldover"


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
    from safetensors.torch import save  # late: only runs that save need it

    meta = {
        "format": FORMAT,
        "identity": {**asdict(checkpoint.identity), "levers": dict(checkpoint.identity.levers)},
        "elapsed": asdict(checkpoint.elapsed),
        "progress": asdict(checkpoint.progress),
        "rows": checkpoint.rows,
        "plateau": asdict(checkpoint.plateau),
    }
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    path = folder / FOLDER / f"step-{checkpoint.elapsed.steps:09d}.safetensors"
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, save(_apart(tensors), metadata={KEY: json.dumps(meta)}))
    return path


def checkpoints(folder: Path) -> tuple[Path, ...]:
    """Checkpoints below a run folder, the latest first."""
    return tuple(sorted((folder / FOLDER).glob("step-*.safetensors"), reverse=True))


def read_checkpoint(path: Path) -> Checkpoint:
    """A state. Raises TrainerError if the file is damaged or of another format."""
    from safetensors import SafetensorError, safe_open  # late: only runs that continue need it

    try:
        with safe_open(path, framework="pt") as file:
            meta = json.loads((file.metadata() or {})[KEY])
            if meta["format"] != FORMAT:
                raise TrainerError(
                    f"checkpoint {path.name} has format {meta['format']}", fix=f"This foldover reads {FORMAT}."
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        identity = Identity(**{**meta["identity"], "levers": Values(meta["identity"]["levers"])})
        return Checkpoint(
            tensors=tensors,
            identity=identity,
            elapsed=Elapsed(**meta["elapsed"]),
            progress=Progress(**meta["progress"]),
            rows=int(meta["rows"]),
            plateau=PlateauState(**{**meta["plateau"], "history": tuple(meta["plateau"]["history"])}),
        )
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise TrainerError(
            f"checkpoint {path} cannot be read: {error}", fix="Delete it; an earlier one or none will be used."
        ) from error


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


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # Matrices are views of one stack: written as they are, safetensors takes them for shared memory.
    return {name: t.clone() if t.untyped_storage().nbytes() != t.nbytes else t for name, t in tensors.items()}
