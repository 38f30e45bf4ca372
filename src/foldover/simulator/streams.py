"""Named random streams: standard normals and uniforms that depend on a key alone, never on call order.

A draw is the SHA-256 of an ASCII key: its first 8 bytes, big-endian, give n; U = (n + 0.5) / 2^64; a normal is
the inverse normal CDF of U. Runs that share a key share the draw, which is what makes seeds common.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_STANDARD = NormalDist()
_BIT = 1.0 / 2.0**64


def uniform(key: str) -> float:
    """A draw from (0, 1) that depends on `key` alone."""
    number = int.from_bytes(hashlib.sha256(key.encode("ascii")).digest()[:8], "big")
    # The largest numbers round up to 1.0 in double precision, where the inverse normal CDF is not defined.
    return min((number + 0.5) * _BIT, 1.0 - 2.0**-53)


def normals(keys: Iterable[str], count: int) -> Array:
    """(count,) standard normals, one a key."""
    return np.fromiter((_STANDARD.inv_cdf(uniform(key)) for key in keys), dtype=np.float64, count=count)


def recipe_key(x: Sequence[float]) -> str:
    """Coded levels as they stand in keys: `%+.4f`, joined by commas; a rounded zero is `+0.0000`."""
    return ",".join(f"{round(float(level), 4) + 0.0:+.4f}" for level in x)
