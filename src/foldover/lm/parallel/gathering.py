"""How the processes of a run find each other: rank 0 starts the others, or torchrun has started them all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from foldover.core import RunSpec, Settings
from foldover.lm.parallel.ranks import Alone, RankDiedError, Ranks
from foldover.lm.place import place_of

MEMBER_SECONDS = 2.0


@contextmanager
def gathered(spec: RunSpec, settings: Settings, *, device_type: str) -> Iterator[Ranks]:
    """The ranks of a run, for its rank 0 and for every process of torchrun; all are gone afterwards.

    Raises RankDiedError, which names the rank where that is known, as soon as one is missed.
    """
    place = place_of(settings, os.environ)
    if place.size == 1:
        yield Alone()
        return
    # Late: one process needs none of it.
    from foldover.lm.parallel.group import Group, have_arrived, open_meeting
    from foldover.lm.parallel.members import Members

    if place.by_torchrun:
        with Group(rank=place.rank, size=place.size, device_type=device_type) as group:
            yield group
        return
    with tempfile.TemporaryDirectory(prefix="foldover-", ignore_cleanup_errors=True) as folder:
        path = str(Path(folder) / "store")
        with Members(spec, settings, path) as members:
            try:
                meeting = open_meeting(path, place.size)
                members.meet(lambda: have_arrived(meeting, place.size))
                with Group(rank=0, size=place.size, device_type=device_type, store=meeting) as group:
                    yield group
            except RankDiedError as error:
                died = members.died(within_seconds=MEMBER_SECONDS)
                raise RankDiedError(died or str(error)) from error


@contextmanager
def joined(*, rank: int, size: int, store: str, device_type: str) -> Iterator[Ranks]:
    """The ranks of a run, for a process that rank 0 has started."""
    from foldover.lm.parallel.group import Group, arrive, open_meeting  # late, as above

    meeting = open_meeting(store, size)
    arrive(meeting, rank)
    with Group(rank=rank, size=size, device_type=device_type, store=meeting) as group:
        yield group
