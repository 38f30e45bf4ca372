"""Where a run computes, and how: what must be recorded because it may move the last bits."""

from __future__ import annotations

import math
import platform
import resource
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache

import torch

from foldover.core import Settings, TrainerError, Values

GEMM_REPEATS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device and the number formats used on it.

    muon_dtype: of Muon's products: bf16 on a GPU, as upstream; fp32 on a CPU, where bf16 is often emulated.
    autocast: bf16 for the model's products on a GPU.
    """

    device: torch.device
    muon_dtype: torch.dtype
    autocast: bool

    def compute(self) -> AbstractContextManager[object]:
        """The context of forward passes."""
        if not self.autocast:
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def synchronize(self) -> None:
        """Wait until the device has done what it was given, so that a clock reads the truth."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def peak_memory_bytes(self) -> int:
        """Most memory held: allocated on the GPU during this run; on a CPU the process's peak so far."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024

    def gemm_flops_per_second(self) -> float:
        """Measured rate of matrix products in the number format of the model's."""
        return gemm_flops_per_second(self.device, torch.bfloat16 if self.autocast else torch.float32)

    def record(self) -> Values:
        """What a run record says about it."""
        is_gpu = self.device.type == "cuda"
        return Values(
            host=platform.node(),
            system=platform.system(),
            device=torch.cuda.get_device_name(self.device) if is_gpu else _cpu_name(),
            device_kind=self.device.type,
            gemm_flops_per_second=self.gemm_flops_per_second(),
            threads=torch.get_num_threads(),
            isa=torch.backends.cpu.get_cpu_capability(),
            compute="bfloat16 autocast" if self.autocast else "float32",
            muon_dtype=str(self.muon_dtype).removeprefix("torch."),
        )


def open_device(settings: Settings) -> Device:
    """The device that the settings name. Raises TrainerError if it is not there."""
    torch.set_num_threads(settings.threads)
    name = settings.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type not in ("cpu", "cuda"):
        raise TrainerError(f"the device {name!r} is not supported", fix="Use auto, cpu, cuda or cuda:N.")
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise TrainerError("no CUDA device is available", value=name, fix="Use --device cpu.")
        torch.cuda.reset_peak_memory_stats(device)
        return Device(device=device, muon_dtype=torch.bfloat16, autocast=True)
    return Device(device=device, muon_dtype=torch.float32, autocast=False)


@cache
def gemm_flops_per_second(device: torch.device, dtype: torch.dtype) -> float:
    """FLOPs a second of matrix products of a size that training has: what MFU is measured against.

    The best of a few, once a process: some 50 ms on one core.
    """
    rows, inner, columns = (8192, 4096, 8192) if device.type == "cuda" else (2048, 256, 1024)
    a, b = (torch.ones(shape, dtype=dtype, device=device) for shape in ((rows, inner), (inner, columns)))
    best = math.inf
    for _ in range(GEMM_REPEATS):
        began = time.perf_counter()
        torch.mm(a, b)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - began)
    return 2.0 * rows * inner * columns / best


def page_faults() -> int:
    """Pages that the kernel handed this process so far without reading them from disk."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
