"""Failures of the machine that a run ends with, by name, as far as they can be told from one another."""

from __future__ import annotations

import errno

import torch

from foldover.lm.parallel import RankDiedError

OUT_OF_MEMORY, DISK_FULL, DEVICE_LOST, RANK_DIED = "out_of_memory", "disk_full", "device_lost", "rank_died"

_FULL = (errno.ENOSPC, errno.EDQUOT)
_LOST = ("cuda error", "device-side assert", "nccl error", "cublas_status", "no longer available")


def failure_kind(error: BaseException) -> str | None:
    """`out_of_memory`, `disk_full`, `device_lost`, `rank_died`, or None for what is nobody's fault but the program's.

    torch has no class of its own for a CPU allocation that failed: its text has to do.
    """
    if isinstance(error, RankDiedError):
        return RANK_DIED
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return OUT_OF_MEMORY
    if isinstance(error, OSError):
        return DISK_FULL if error.errno in _FULL else None
    if not isinstance(error, RuntimeError):
        return None
    text = str(error).lower()
    if "can't allocate memory" in text or "out of memory" in text:
        return OUT_OF_MEMORY
    return DEVICE_LOST if any(sign in text for sign in _LOST) else None
