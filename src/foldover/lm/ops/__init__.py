"""Leaves of a model that are made for a machine: functions with hand-written backwards, and loops in C.

`choose.leaves_for` decides; `model/leaves.py` says what there is to choose.
"""

from foldover.lm.ops.build import Native, native_primitives
from foldover.lm.ops.leaves import cpu_leaves
from foldover.lm.ops.primitives import Primitives, TorchPrimitives

__all__ = ["Native", "Primitives", "TorchPrimitives", "cpu_leaves", "native_primitives"]
