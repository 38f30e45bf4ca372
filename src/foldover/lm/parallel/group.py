"""The processes of a run over torch.distributed: gloo for tensors on the CPU, NCCL for those on a GPU."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import FileStore, Store  # torch.distributed has them where type checkers do not look

from foldover.lm.parallel.ranks import Pending, RankDiedError

# Long enough for a rank that compiles, short enough that a rank that hangs does not hold the machine for ever.
SILENCE_SECONDS = 600.0
LOOPBACK = "lo0" if sys.platform == "darwin" else "lo"


def open_meeting(path: str, size: int) -> Store:
    """A file through which the ranks of this machine meet; the folder must be there."""
    return FileStore(path, size)


def arrive(meeting: Store, rank: int) -> None:
    """Say that this rank is ready to meet the others."""
    meeting.set(f"ready/{rank}", "")


def have_arrived(meeting: Store, size: int) -> bool:
    """Whether all ranks but the first are ready."""
    return meeting.check([f"ready/{rank}" for rank in range(1, size)])


class Group:
    """`Ranks` over a process group, which is torn down at the end of the `with`.

    store: where the ranks of this machine meet; None for those that torchrun started, which it tells where.
    """

    def __init__(self, *, rank: int, size: int, device_type: str, store: Store | None = None) -> None:
        self.rank, self.size = rank, size
        self.backend = "gloo" if device_type == "cpu" else "nccl"
        with _on_this_machine(store is not None):
            dist.init_process_group(
                "gloo" if device_type == "cpu" else "cpu:gloo,cuda:nccl",
                store=store,
                rank=rank,
                world_size=size,
                timeout=timedelta(seconds=SILENCE_SECONDS),
            )

    def __enter__(self) -> Group:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave; after an error without waiting for what is under way, which may never end."""
        if error is not None and self.backend == "nccl":
            dist.distributed_c10d._abort_process_group()
        else:
            dist.destroy_process_group()

    def add(self, tensors: Sequence[Tensor]) -> None:
        """All under way at once."""
        for pending in [self.send_sum(tensor) for tensor in tensors]:
            pending.wait()

    def send_sum(self, tensor: Tensor) -> Pending:
        """Begun."""
        with _answered():
            work = dist.all_reduce(tensor, async_op=True)
        assert work is not None, "this process is not of the group"
        return _Sum(work)

    def take_from_first(self, tensors: Sequence[Tensor]) -> None:
        """One after the other: once a run."""
        with _answered():
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def tell(self, text: str) -> str:
        """As UTF-8."""
        own = torch.tensor(list(text.encode()), dtype=torch.uint8)
        length = torch.tensor([len(own)])
        self.take_from_first([length])
        told = own if self.rank == 0 else torch.empty(int(length), dtype=torch.uint8)
        if len(told):
            self.take_from_first([told])
        return bytes(told.tolist()).decode()

    def gather(self, number: float) -> list[float]:
        """In float64."""
        found = torch.zeros(self.size, dtype=torch.float64)
        found[self.rank] = number
        self.add([found])
        numbers: list[float] = found.tolist()
        return numbers


class _Sum:
    def __init__(self, work: dist.Work) -> None:
        self._work = work

    def wait(self) -> None:
        with _answered():
            self._work.wait()


@contextmanager
def _answered() -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        said = str(error).partition(" This is typically")[0]  # what follows is torch's advice to read logs
        raise RankDiedError(f"a process of the run is gone or silent: {said}") from error


@contextmanager
def _on_this_machine(is_local: bool) -> Iterator[None]:
    """gloo would look for an address by the host's name, which need not resolve, and for which a firewall may stand."""
    name = "GLOO_SOCKET_IFNAME"
    if not is_local or name in os.environ:
        yield
        return
    os.environ[name] = LOOPBACK
    try:
        yield
    finally:
        del os.environ[name]
