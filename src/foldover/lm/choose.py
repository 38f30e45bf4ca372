"""Which leaves a model gets on a device: the one place where that is decided."""

from __future__ import annotations

from foldover.lm.device import Device
from foldover.lm.model.leaves import PLAIN, Leaves
from foldover.lm.ops import TorchPrimitives, cpu_leaves, native_primitives


def leaves_for(device: Device, *, is_compiled: bool = False) -> Leaves:
    """The leaves of a model on that device.

    A GPU and a compiler get torch's own, a CPU the hand-written ones, around loops in C where they are there.
    is_compiled: whether torch.compile will see the model; the device then computes under autocast on a CPU, too.
    """
    if device.device.type != "cpu" or is_compiled:
        return PLAIN
    native = native_primitives().primitives if device.kernels == "native" else None
    return cpu_leaves(device.dtype, native or TorchPrimitives())
