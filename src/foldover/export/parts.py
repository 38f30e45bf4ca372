"""What quantisers hand to the container: stored tensors, made of numpy arrays. No torch: reading needs none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from foldover.core import EMPTY, Values

PartKind = Literal["codes", "float", "bytes"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """One array of a stored tensor.

    kind: `codes` are small integers (int8 or int16, (r, c)) for the entropy coder, `float` numbers (float16 or
    float32) as they are, `bytes` anything else (uint8).
    """

    name: str
    array: np.ndarray
    kind: PartKind


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredTensor:
    """A tensor as it is stored.

    scheme: name of the quantiser that restores it; settings: its numbers (bits, group, ...), plain values; parts: in
    the order that the scheme defines.
    """

    name: str
    shape: tuple[int, ...]
    scheme: str
    settings: Values = EMPTY
    parts: tuple[Part, ...]
