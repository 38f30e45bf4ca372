"""`loops.c` as a library of this machine, kept in the cache folder, checked, or done without.

Whatever fails, the torch loops serve instead, and the run record says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from foldover.data.places import cache_folder
from foldover.lm.ops.check import first_difference
from foldover.lm.ops.native import NativePrimitives
from foldover.native import Absent, open_library

SOURCE = Path(__file__).with_name("loops.c")
# What -ffast-math allows but for infinities and NaN, which must get through: a run may diverge.
OPTIONS = (
    *("-O3", "-fno-math-errno", "-fno-trapping-math"),
    *("-fno-signed-zeros", "-fassociative-math", "-freciprocal-math"),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Native:
    """The loops in C, or why there are none."""

    primitives: NativePrimitives | None
    note: str = ""


@cache
def native_primitives() -> Native:
    """The checked library of this process; built the first time on this machine, in some two seconds."""
    try:
        primitives = NativePrimitives(open_library(cache_folder() / "loops", SOURCE, OPTIONS))
    except (Absent, AttributeError) as error:
        return Native(primitives=None, note=str(error))
    difference = first_difference(primitives)
    if difference:
        return Native(primitives=None, note=f"loops in C differ from torch: {difference}")
    return Native(primitives=primitives)
