"""Where a run computes, and how: what must be recorded because it may move the last bits."""

from __future__ import annotations

import math
import platform
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch

from foldover.core import Settings, TrainerError, UserError, Values
from foldover.lm.ops.build import native_primitives
from foldover.native import processor

GEMM_REPEATS = 4
FLOAT32_ERROR = 1e-5

Precision = Literal["highest", "medium"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device and the number formats used on it.

    dtype: of activations; parameters are fp32 everywhere. muon_dtype: of Muon's products: bf16 on a GPU, as
    upstream, and on a CPU that computes in bf16. autocast: bf16 for the model's products on a GPU.
    precision: of fp32 products on a CPU, as torch calls it. kernels: `native` where loops in C serve, else `torch`;
    note: why they do not.
    """

    device: torch.device
    dtype: torch.dtype = torch.float32
    muon_dtype: torch.dtype
    autocast: bool
    precision: Precision = "highest"
    kernels: Literal["torch", "native"] = "torch"
    note: str = ""

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
        return gemm_flops_per_second(self.device, torch.bfloat16 if self.autocast else self.dtype, self.precision)

    def record(self) -> Values:
        """What a run record says about it."""
        is_gpu = self.device.type == "cuda"
        record = Values(
            host=platform.node(),
            system=platform.system(),
            device=torch.cuda.get_device_name(self.device) if is_gpu else processor().name,
            device_kind=self.device.type,
            gemm_flops_per_second=self.gemm_flops_per_second(),
            threads=torch.get_num_threads(),
            isa=torch.backends.cpu.get_cpu_capability(),
            compute="bfloat16 autocast" if self.autocast else _name(self.dtype),
            muon_dtype=_name(self.muon_dtype),
            float32_products=self.precision,
            kernels=self.kernels,
        )
        return record.with_(kernels_note=self.note) if self.note else record


def check_gpus(settings: Settings) -> None:
    """Raises UserError if the GPUs that the settings ask for are not there: once, rather than in each run."""
    if not settings.device.startswith("cuda"):
        return
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        raise UserError(
            "no CUDA device is available", value=settings.device, fix="Use --device cpu, or a torch built for CUDA."
        )
    first = torch.device(settings.device).index
    needed = settings.jobs * settings.processes if first is None else first + settings.processes
    if needed > count:
        raise UserError(
            f"{needed} GPUs are needed: every process of every run has its own; there are {count}",
            value=settings.device,
            fix="Use fewer --jobs or --processes.",
        )


def open_device(settings: Settings, *, process: int = 0) -> Device:
    """The device that the settings name. Raises TrainerError if it is not there.

    process: number of this process among those that share a run on this machine; each takes the next GPU.
    """
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
        device = torch.device("cuda", (device.index or 0) + process)
        if device.index >= torch.cuda.device_count():
            raise TrainerError(
                f"there is no {device}: each process needs a GPU, and there are {torch.cuda.device_count()}",
                fix="Use fewer processes.",
            )
        torch.cuda.set_device(device)
        if settings.kernels == "native":
            raise TrainerError("native kernels are for a CPU", value=settings.kernels, fix="Use auto or torch.")
        torch.cuda.reset_peak_memory_stats(device)
        is_bf16 = settings.compute != "fp32"
        dtype = torch.bfloat16 if is_bf16 else torch.float32
        return Device(device=device, muon_dtype=dtype, autocast=is_bf16)
    return _open_cpu(device, settings)


def _open_cpu(device: torch.device, settings: Settings) -> Device:
    precision = float32_precision()
    torch.set_float32_matmul_precision(precision)
    is_bf16 = is_bf16_native() if settings.compute == "auto" else settings.compute == "bf16"
    dtype = torch.bfloat16 if is_bf16 else torch.float32
    native = None if settings.kernels == "torch" or settings.compile else native_primitives()
    return Device(
        device=device,
        dtype=torch.float32 if settings.compile else dtype,
        muon_dtype=dtype,
        autocast=is_bf16 and settings.compile,  # the compiler sees torch's own leaves, which know no other format
        precision=precision,
        kernels="native" if native and native.primitives else "torch",
        note=native.note if native else "",
    )


def probe_cpu() -> None:
    """Find out now what a run on the CPU would ask for first; every setting of torch stays as it is."""
    dtype = torch.bfloat16 if is_bf16_native() else torch.float32
    gemm_flops_per_second(torch.device("cpu"), dtype, float32_precision())
    native_primitives()


@cache
def is_bf16_native() -> bool:
    """Whether this CPU multiplies bf16 by itself, as the processor says.

    Not measured: where two workers of one study measured differently, under load, their runs would not compare.
    """
    return processor().has_bf16


@cache
def float32_precision() -> Precision:
    """`medium` where that is as accurate as fp32 on this CPU, else `highest`. Not measured by a clock either.

    torch sends `medium` to oneDNN, which on AMD is twice as fast as what it calls otherwise (with AVX-512; elsewhere
    nothing is lost). Where a CPU has matrix tiles the same word means bf16 inside: that is seen by its error, and
    refused.
    """
    x = torch.randn(256, 256, generator=torch.Generator().manual_seed(0))
    exact = x.double() @ x.double()
    with _precision("medium"):
        error = float(((x @ x).double() - exact).norm() / exact.norm())
    return "highest" if error > FLOAT32_ERROR else "medium"


@contextmanager
def _precision(precision: Precision) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@cache
def gemm_flops_per_second(device: torch.device, dtype: torch.dtype, precision: Precision = "highest") -> float:
    """FLOPs a second of matrix products of a size that training has: what MFU is measured against.

    The best of a few, once a process: some 50 ms on one core.
    """
    rows, inner, columns = (8192, 4096, 8192) if device.type == "cuda" else (2048, 256, 1024)
    a, b = (torch.ones(shape, dtype=dtype, device=device) for shape in ((rows, inner), (inner, columns)))
    best = math.inf
    with _precision(precision) if device.type == "cpu" else nullcontext():
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


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
