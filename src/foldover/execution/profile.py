"""Settings of the machine: what makes runs fast and leaves their numbers alone; recorded with each run.

- One thread a run and one run a core beat one run on all cores: 1.2 to 1.3 times the tokens on a quiet
  machine, and a run of two threads next to other work falls to a fortieth of its speed because OpenMP
  barriers spin against the neighbours.
- glibc maps, zeroes and unmaps every buffer over 32 MiB (its dynamic ceiling): 66,000 to 197,000 page faults
  a step of a medium model, 1.5 to 1.8 times its time. A higher threshold keeps those buffers on the heap.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

from foldover.core import Scalar, Settings, Values

# Numbers of glibc's malloc.h. A threshold of 1 GiB leaves only buffers in mmap that no run here reuses; the
# trim threshold is the largest an int holds: what was heap stays heap. The top pad is what the heap grows by
# beyond a request. 64 MiB instead of the 256 MiB that were measured: since the heap never shrinks it grows a
# few times in a process's life either way, and with many workers 256 MiB each of address space is refused
# where memory is not overcommitted.
_MALLOPT: tuple[tuple[str, int, int], ...] = (
    ("malloc_mmap_threshold_bytes", -3, 1 << 30),
    ("malloc_trim_threshold_bytes", -1, 2**31 - 1),
    ("malloc_top_pad_bytes", -2, 64 << 20),
)

# Of a fork's heap. A run of the preset `micro` touches 160 MB: in pages of 4 KiB that takes 0.09 s of a virtual CPU
# beside 0.02 s, as measured on one. What a run does not touch is not held.
_HUGE_HEAP_BYTES = 256 << 20
_HUGE_PAGE_BYTES = 2 << 20
_MADV_HUGEPAGE = 14

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_GPUS = "CUDA_VISIBLE_DEVICES"


def usable_cores() -> tuple[int, ...]:
    """Numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def cores_of_slot(slot: int, settings: Settings, cores: tuple[int, ...]) -> tuple[int, ...]:
    """The cores that are a slot's (from 0) on a free machine; empty where slots would have to share."""
    wanted = settings.threads * settings.processes
    if not hasattr(os, "sched_setaffinity") or settings.jobs * wanted > len(cores):
        return ()
    return cores[slot * wanted : (slot + 1) * wanted]


def visible_gpus(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the NVIDIA GPUs that a process may use, as CUDA_VISIBLE_DEVICES has them."""
    named = environment.get(_GPUS)
    if named is None:
        return tuple(str(number) for number in range(len(list(Path("/dev").glob("nvidia[0-9]*")))))
    # What follows a name that is none, -1 say, is not visible.
    return tuple(itertools.takewhile(lambda name: name not in ("", "-1"), (part.strip() for part in named.split(","))))


def gpus_of_slot(slot: int, settings: Settings, gpus: tuple[str, ...]) -> tuple[str, ...]:
    """The GPUs that are a slot's (from 0) on a free machine, one a process.

    Empty where the settings name one, or slots must share.
    """
    if settings.device not in ("auto", "cuda") or settings.jobs * settings.processes > len(gpus):
        return ()
    return gpus[slot * settings.processes : (slot + 1) * settings.processes]


def worker_environment(
    settings: Settings, inherited: Mapping[str, str], *, gpus: tuple[str, ...] = ()
) -> dict[str, str]:
    """Environment of a worker process: it must be set before anything heavy is imported.

    gpus: those that it sees; empty for all that are visible.

    The hash seed is fixed (unless the user fixed another) so that two processes iterate over sets alike.
    """
    threads = dict.fromkeys(_THREAD_VARIABLES, str(settings.threads))
    return {"PYTHONHASHSEED": "0", **inherited, **threads, **({_GPUS: ",".join(gpus)} if gpus else {})}


def set_up_process(cores: tuple[int, ...]) -> Values:
    """Pin this process and set its allocator; gives what was done, for the record.

    num_cores: usable by all slots together; pinned_cores: "" where the process may use them all.
    """
    num_cores = len(usable_cores())
    pin(cores)
    done: dict[str, Scalar] = {
        "host": platform.node(),
        "num_cores": num_cores,
        "pinned_cores": ",".join(map(str, cores)),
    }
    if _GPUS in os.environ:
        done["visible_gpus"] = os.environ[_GPUS]
    return Values({**done, **_tune_allocator()})


def pin(cores: tuple[int, ...]) -> None:
    """Keep this process on these cores; empty leaves it free."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def ask_for_huge_pages() -> None:
    """Have what the heap grows by next come in huge pages, where the kernel gives them on request.

    For a process set up by `set_up_process`: without its thresholds the memory would not become heap.
    """
    if sys.platform != "linux" or not _is_glibc():
        return
    libc = ctypes.CDLL(None)
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    libc.free.argtypes = [ctypes.c_void_p]
    start = libc.malloc(_HUGE_HEAP_BYTES)
    if start is None:
        return
    first = -(-start // _HUGE_PAGE_BYTES) * _HUGE_PAGE_BYTES
    last = (start + _HUGE_HEAP_BYTES) // _HUGE_PAGE_BYTES * _HUGE_PAGE_BYTES
    libc.madvise(first, last - first, _MADV_HUGEPAGE)  # a kernel without them refuses
    libc.free(start)


def _tune_allocator() -> dict[str, Scalar]:
    """What was set; nothing on other C libraries, and not what an older glibc refused."""
    if not _is_glibc():
        return {}
    mallopt = ctypes.CDLL(None).mallopt
    return {name: value for name, parameter, value in _MALLOPT if mallopt(parameter, value) == 1}


def _is_glibc() -> bool:
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):
        return False
