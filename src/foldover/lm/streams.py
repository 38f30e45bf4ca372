"""Named random streams: one seed, many independent generators, none of which moves another.

Initial weights are drawn from a stream named by seed and parameter name, so that switching on a lever
that adds parameters leaves all other weights as they were.
"""

from __future__ import annotations

import hashlib

import torch


def stream(seed: int, *name: str | int) -> torch.Generator:
    """A CPU generator that depends on the seed and the name alone."""
    text = "/".join(str(part) for part in ("foldover", seed, *name))
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little", signed=True)
    return torch.Generator().manual_seed(number)
