"""Token shards on disk, in the format of modded-nanogpt and openai/parameter-golf.

256 little-endian int32: magic 20240520, version 1, number of tokens n, zeros; then n little-endian uint16.
Where n does not fit an int32, which no reader but this one takes, its low half is in the third and its high half
in the fourth word; up to there the two are one format.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foldover.core import DataError
from foldover.rundir import write_atomic

MAGIC, VERSION = 20240520, 1
HEADER_BYTES = 256 * 4
# llm.c's shards of Llama 3 ids.
_MAGIC_UINT32 = 20240801


def write_shard(path: Path, tokens: NDArray[np.uint16]) -> None:
    """Write the tokens, shape (n,), atomically."""
    write_atomic(path, header(len(tokens)) + tokens.astype("<u2", copy=False).tobytes())


def header(count: int) -> bytes:
    """The header of a shard of `count` tokens."""
    words = np.zeros(HEADER_BYTES // 4, dtype="<u4")
    words[:4] = MAGIC, VERSION, count & 0xFFFFFFFF, count >> 32
    return words.tobytes()


def read_shard(path: Path) -> NDArray[np.uint16]:
    """The tokens, shape (n,), mapped read-only: nothing is read before it is used, and processes share it.

    Raises DataError if the file is absent, is no such shard, is empty, or its size is not that of its header.
    """
    try:
        with path.open("rb") as file:
            words = np.frombuffer(file.read(HEADER_BYTES), dtype="<u4")
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        raise DataError(f"token shard {path} cannot be read: {error}") from error
    if len(words) == HEADER_BYTES // 4 and words[0] == _MAGIC_UINT32:
        raise DataError(
            f"token shard {path} holds uint32 ids (magic {_MAGIC_UINT32}, llm.c)",
            fix="foldover trains on vocabularies of at most 65536 ids: use shards of uint16.",
        )
    if len(words) != HEADER_BYTES // 4 or words[0] != MAGIC:
        raise DataError(f"{path} is not a token shard: it does not begin with {MAGIC}")
    if words[1] != VERSION:
        raise DataError(f"token shard {path} has an unknown version", value=int(words[1]))
    count = int(words[2]) + (int(words[3]) << 32)
    if count <= 0 or size != HEADER_BYTES + 2 * count:
        raise DataError(
            f"token shard {path} is cut short or damaged: {size} bytes for {count} tokens", fix="Make it again."
        )
    # A plain array, not np.memmap: slicing the subclass costs microseconds each time.
    return np.memmap(path, dtype="<u2", mode="r", offset=HEADER_BYTES, shape=(count,)).view(np.ndarray)
