"""Which leaves a model gets on a device: the one place where that is decided."""

from __future__ import annotations

from dataclasses import replace
from inspect import signature

import torch

from foldover.lm.device import Device
from foldover.lm.model.kernels import VarlenDocuments
from foldover.lm.model.leaves import PLAIN, Leaves
from foldover.lm.ops import TorchPrimitives, cpu_leaves, native_primitives

FLASH_CAPABILITY = (8, 0)


def leaves_for(device: Device, *, is_compiled: bool = False) -> Leaves:
    """The leaves of a model on that device.

    A GPU and a compiler get torch's own, a CPU the hand-written ones, around loops in C where they are there.
    Full attention on a GPU is by the kernel that torch chooses, flash in bf16; windows are an explicit band mask, or
    FlexAttention where the model is compiled; so are documents there, which otherwise go to flash as they are.
    is_compiled: whether torch.compile will see the model; the device then computes under autocast on a CPU, too.
    """
    if device.device.type == "cuda" and is_compiled:
        from foldover.lm.model.flex import FlexDocuments, FlexWindowed  # late: it imports the compiler, for seconds

        return replace(
            PLAIN,
            windowed=lambda context, window: FlexWindowed(context=context, window=window),
            documents=lambda context, window: FlexDocuments(context=context, window=window),
        )
    if device.device.type == "cuda":
        return _with_varlen(PLAIN, device)
    if device.device.type != "cpu" or is_compiled:
        return PLAIN
    native = native_primitives().primitives if device.kernels == "native" else None
    return cpu_leaves(device.dtype, native or TorchPrimitives())


def _with_varlen(leaves: Leaves, device: Device) -> Leaves:
    """The same, with documents of any lengths in one call, if torch (with windows there) and GPU are new enough."""
    if torch.cuda.is_available() and torch.cuda.get_device_capability(device.device) < FLASH_CAPABILITY:
        return leaves
    try:
        from torch.nn.attention.varlen import varlen_attn  # late: only a GPU has its kernels
    except ImportError:
        return leaves
    if "window_size" not in signature(varlen_attn).parameters:
        return leaves
    return replace(leaves, documents=lambda context, window: VarlenDocuments(window=window, varlen=varlen_attn))
