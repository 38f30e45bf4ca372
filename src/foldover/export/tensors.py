"""What the export path is told of a model: the place of each tensor, and what calibration measured. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from foldover.core import DataError, OutsideError

Role = Literal[
    "embedding",  # the token table, and the head where it is tied
    "head",
    "table",  # looked up by something else: value embeddings, n-grams
    "attention",  # reads the stream
    "attention_out",  # writes to it
    "mlp",  # rows are hidden units
    "mlp_out",  # columns are hidden units
    "matrix",  # any other
    "vector",  # scales, biases, gates: kept as they are
]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorInfo:
    """A tensor's place in the model. layer: index of its block, None outside of blocks."""

    name: str
    role: Role
    layer: int | None = None

    @property
    def is_matrix(self) -> bool:
        """Whether it may be quantised as rows and columns."""
        return self.role != "vector"

    @property
    def owner(self) -> str:
        """The module that holds it: tensors of one MLP have one owner."""
        return self.name.rpartition(".")[0]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibration:
    """What inputs x and output gradients g of the model's products x W' are like, by tensor name.

    hessians: mean of x'x, (c, c), of a bank (n, c, c); input_sizes: mean |x|, (c,) or (n, c); gradients: mean g^2
    over tokens, (r,) or (n, r), absent where no gradient was taken; tokens: rows of x that were seen.
    """

    hessians: Mapping[str, np.ndarray] = field(default_factory=dict)
    input_sizes: Mapping[str, np.ndarray] = field(default_factory=dict)
    gradients: Mapping[str, np.ndarray] = field(default_factory=dict)
    tokens: Mapping[str, int] = field(default_factory=dict)


def checked_weights(
    weights: Mapping[str, np.ndarray], infos: Sequence[TensorInfo]
) -> list[tuple[TensorInfo, np.ndarray]]:
    """(info, float32 array) sorted by name: the fixed order of an artifact.

    A matrix may be one row, or a bank of matrices one below the other. Raises DataError where names differ or a
    matrix is a scalar or empty, OutsideError by name for a weight that
    is not finite: a model that diverged has no artifact.
    """
    by_name = {info.name: info for info in infos}
    if len(by_name) != len(infos) or by_name.keys() != weights.keys():
        odd = sorted(by_name.keys() ^ weights.keys()) or sorted(info.name for info in infos)
        raise DataError("weights and their descriptions do not belong together", value=odd[:3])
    found = []
    for name in sorted(weights):
        info, array = by_name[name], np.asarray(weights[name], dtype=np.float32, order="C")
        if info.is_matrix and (array.ndim not in (1, 2, 3) or not array.size):
            raise DataError(f"tensor `{name}` is no matrix", value=array.shape, fix="Give it the role `vector`.")
        if not np.isfinite(array).all():
            raise OutsideError(
                f"tensor `{name}` holds weights that are not finite",
                value=int(array.size - np.isfinite(array).sum()),
                fix="The model diverged: export an earlier state.",
            )
        found.append((info, array))
    return found


def hessian_of(calibration: Calibration | None, name: str, columns: int, bank: int = 1) -> np.ndarray | None:
    """(bank, c, c), None where it was not measured. Raises OutsideError for one that is not finite or does not fit."""
    found = None if calibration is None else calibration.hessians.get(name)
    return None if found is None else _fitting(found, name, (bank, columns, columns), "Hessian")


def input_sizes_of(calibration: Calibration | None, name: str, columns: int, bank: int = 1) -> np.ndarray | None:
    """(bank, c), None where it was not measured. Raises OutsideError as above."""
    found = None if calibration is None else calibration.input_sizes.get(name)
    return None if found is None else _fitting(found, name, (bank, columns), "mean |x|")


def gradients_of(calibration: Calibration | None, name: str, rows: int) -> np.ndarray | None:
    """(rows,) over all of a bank, None where it was not measured. Raises OutsideError as above."""
    found = None if calibration is None else calibration.gradients.get(name)
    return None if found is None else _fitting(found, name, (rows,), "mean g^2")


def uses_of(calibration: Calibration, name: str) -> float:
    """How often a token passes through each matrix of a tensor: 1 of the one that it passes least, 1 if unknown."""
    if name not in calibration.tokens:
        return 1.0
    seen = {
        other: tokens / (hessian.shape[0] if hessian.ndim == 3 else 1)
        for other, tokens in calibration.tokens.items()
        if (hessian := calibration.hessians.get(other)) is not None
    }
    return max(seen.get(name, 0.0) / max(min(seen.values(), default=0.0), 1.0), 1.0)


def _fitting(array: np.ndarray, name: str, shape: tuple[int, ...], what: str) -> np.ndarray:
    if array.size != int(np.prod(shape)):
        raise OutsideError(f"the {what} of tensor `{name}` belongs to another model", value=array.shape)
    if not np.isfinite(array).all():
        raise OutsideError(f"the {what} of tensor `{name}` is not finite", fix="Calibrate on other text.")
    return array.reshape(shape)
