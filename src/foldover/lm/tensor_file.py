"""Tensors and what belongs to them in one safetensors file, whose header holds all that is not a tensor, as JSON.

A file appears by one rename, whole or not at all, and nothing in it is executed when it is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from foldover.core import TrainerError
from foldover.rundir import write_atomic

KEY = "foldover"


def write_tensors(path: Path, tensors: Mapping[str, Tensor], meta: Mapping[str, object]) -> None:
    """Write a file. meta: plain JSON values."""
    from safetensors.torch import save  # late: only runs that save need it

    on_host = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomic(path, save(_apart(on_host), metadata={KEY: json.dumps(meta)}))


def read_tensors(path: Path, *, form: int, what: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of a file. Raises TrainerError if it is damaged or of another format than `form`.

    what: how messages name it.
    """
    from safetensors import SafetensorError, safe_open  # late: only runs that continue need it

    try:
        with safe_open(path, framework="pt") as file:
            meta: dict[str, Any] = json.loads((file.metadata() or {})[KEY])
            if meta["format"] != form:
                raise TrainerError(
                    f"{what} {path.name} has format {meta['format']}", fix=f"This foldover reads {form}."
                )
            return {name: file.get_tensor(name) for name in file.keys()}, meta  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise unreadable(path, what, error) from error


def unreadable(path: Path, what: str, error: Exception) -> TrainerError:
    """The error for a file that is not what it should be."""
    return TrainerError(f"{what} {path} cannot be read: {error}", fix="Delete it: an earlier one or none will be used.")


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # Matrices are views of one stack: written as they are, safetensors takes them for shared memory.
    return {name: t.clone() if t.untyped_storage().nbytes() != t.nbytes else t for name, t in tensors.items()}
