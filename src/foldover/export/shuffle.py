"""Byte shuffle: equal bytes of neighbouring numbers side by side, which general compressors profit from."""

from __future__ import annotations

import numpy as np


def shuffle(data: bytes, stride: int) -> bytes:
    """Byte 0 of every item of `stride` bytes, then byte 1, and so on; a last item cut short gives the bytes it has."""
    array = np.frombuffer(data, dtype=np.uint8)
    return b"".join(array[offset::stride].tobytes() for offset in range(stride))


def unshuffle(data: bytes, stride: int) -> bytes:
    """The inverse of `shuffle`."""
    array = np.frombuffer(data, dtype=np.uint8)
    out = np.empty_like(array)
    start = 0
    for offset in range(stride):
        plane = out[offset::stride]
        plane[:] = array[start : start + len(plane)]
        start += len(plane)
    return out.tobytes()
