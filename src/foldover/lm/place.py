"""Where a process stands among those that share a run, as far as it can know by itself. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from foldover.core import Settings, UserError

TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """local_rank: the rank among the processes of this machine; by_torchrun: whether torchrun has started them."""

    rank: int
    local_rank: int
    size: int
    by_torchrun: bool


def place_of(settings: Settings, environment: Mapping[str, str]) -> Place:
    """The place that torchrun says; else rank 0, which starts the others. `foldover.lm.member` is told its own.

    Raises UserError for a number of processes that is not torchrun's.
    """
    if any(name not in environment for name in TORCHRUN):
        return Place(rank=0, local_rank=0, size=settings.processes, by_torchrun=False)
    rank, size, local_rank = (int(environment[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if settings.processes not in (1, size):
        raise UserError(
            f"torchrun has started {size} processes", value=settings.processes, fix="Leave out --processes."
        )
    return Place(rank=rank, local_rank=local_rank, size=size, by_torchrun=True)
