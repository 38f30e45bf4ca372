"""Orders drawn from named random streams: equal names, equal orders, on every machine and numpy."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray


def shuffled(count: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """A permutation of range(count) from the random stream named ("data", seed, epoch)."""
    return permutation(count, f"data/{seed}/{epoch}")


def permutation(count: int, name: str) -> NDArray[np.int64]:
    """A permutation of range(count) that depends on the name alone."""
    return np.argsort(draws(count, name), kind="stable")


def draws(count: int, name: str) -> NDArray[np.uint64]:
    """Raw 64-bit draws that depend on the name alone, each a continuation of those of a smaller count."""
    # Sorting raw draws rather than Generator.permutation: numpy promises that the bits of PCG64 never change (NEP
    # 19), but not what the methods of Generator make of them.
    entropy = int.from_bytes(hashlib.sha256(name.encode()).digest(), "big")
    return np.random.PCG64(entropy).random_raw(count)
