"""Which tensor costs how much loss when it is rounded (levers.md F12), measured on fixed text."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from foldover.export.pack import Prepared, pack_one
from foldover.export.parts import StoredTensor
from foldover.export.restore import restore_tensor
from foldover.export.scheme import Scheme

LossOf = Callable[[Mapping[str, np.ndarray]], np.ndarray]
Mode = Literal["only", "all_but"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """What rounding a tensor does. loss: mean change, in the unit of the measurement; standard_error: over the parts
    of the text, None of a single part; bytes_saved: against the weights in float32.
    """

    name: str
    role: str
    loss: float
    standard_error: float | None
    bytes_saved: int

    @property
    def loss_per_kilobyte(self) -> float | None:
        """Loss for each 1000 bytes saved, None where none are."""
        return 1000.0 * self.loss / self.bytes_saved if self.bytes_saved > 0 else None


def scan(
    prepared: Prepared,
    loss_of: LossOf,
    bytes_of: Callable[[Sequence[StoredTensor]], int],
    *,
    schemes: Mapping[str, Scheme] | None = None,
    mode: Mode = "only",
    progress: Callable[[str], None] = lambda name: None,
) -> tuple[Sensitivity, ...]:
    """The sensitivity of every tensor that a scheme rounds, in order of their names.

    loss_of: weights by name to the losses of equal parts of one fixed text, (parts,); differences are taken part by
    part, so that the text's own spread drops out. mode: `only` rounds one tensor and compares with none rounded;
    `all_but` leaves one as it is and compares with all rounded. schemes: those declared if none are given.
    """
    by_name = schemes or prepared.schemes
    nothing = bytes_of(())  # of an artifact without tensors: preamble and header
    exact = prepared.weights()
    stored = {name: pack_one(prepared, name, scheme) for name, scheme in by_name.items() if not scheme.is_float}
    rounded = {name: restore_tensor(tensor) for name, tensor in stored.items()}
    reference = _losses(loss_of, exact if mode == "only" else {**exact, **rounded})
    found = []
    for info, array in prepared.tensors:
        if info.name not in stored:
            continue
        progress(info.name)
        if mode == "only":
            change = _losses(loss_of, {**exact, info.name: rounded[info.name]}) - reference
        else:
            change = reference - _losses(loss_of, {**exact, **rounded, info.name: array})
        found.append(
            Sensitivity(
                name=info.name,
                role=info.role,
                loss=float(change.mean()),
                standard_error=float(change.std(ddof=1)) / math.sqrt(change.size) if change.size > 1 else None,
                bytes_saved=array.nbytes + nothing - bytes_of([stored[info.name]]),
            )
        )
    return tuple(found)


def _losses(loss_of: LossOf, weights: Mapping[str, np.ndarray]) -> np.ndarray:
    losses: np.ndarray = np.atleast_1d(np.asarray(loss_of(weights), dtype=np.float64))
    return losses
