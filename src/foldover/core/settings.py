"""Settings of a machine: what must not change the response at equal steps."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from foldover.core.errors import BudgetError

Workers = Literal["reset", "fork", "fresh"]
WORKERS: tuple[Workers, ...] = get_args(Workers)
Compute = Literal["auto", "fp32", "bf16"]
COMPUTE: tuple[Compute, ...] = get_args(Compute)
Kernels = Literal["auto", "torch", "native"]
KERNELS: tuple[Kernels, ...] = get_args(Kernels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How runs are executed here; recorded with each run, never part of its identity.

    jobs: runs at a time; processes: that share the rows of each run; threads: of each process; device: `auto`,
    `cpu`, `cuda` or `cuda:N`; compute: number format of training, `auto` as the machine is
    fast in; kernels: loops of a CPU, in C where they can be built (`auto`, `native`) or torch's own (`torch`);
    compile: whether torch.compile compiles the loss; save_every: steps from
    one checkpoint of a run to the next (0: none); keep_state: whether each run keeps the state that it ends with, for
    what is done after training; workers: what a run has of a worker process: the whole of it, as the
    run before left it (`reset`), a fork of it (`fork`), or one of its own (`fresh`).
    """

    jobs: int = 1
    processes: int = 1
    threads: int = 1
    device: str = "auto"
    compute: Compute = "auto"
    kernels: Kernels = "auto"
    compile: bool = False
    save_every: int = 0
    keep_state: bool = False
    workers: Workers = "reset"

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise BudgetError("jobs must be at least 1", value=self.jobs)
        if self.processes < 1:
            raise BudgetError("processes must be at least 1", value=self.processes)
        if self.threads < 1:
            raise BudgetError("threads must be at least 1", value=self.threads)
        if self.save_every < 0:
            raise BudgetError("save_every must not be negative", value=self.save_every, fix="Use 0 for no checkpoints.")
        if re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", self.device) is None:
            raise BudgetError("unknown device", value=self.device, fix="Use auto, cpu, cuda or cuda:N.")
        if self.compute not in COMPUTE:
            raise BudgetError("unknown number format", value=self.compute, fix=f"Use {', '.join(COMPUTE)}.")
        if self.kernels not in KERNELS:
            raise BudgetError("unknown kernels", value=self.kernels, fix=f"Use {', '.join(KERNELS)}.")
        if self.compile and self.kernels == "native":
            raise BudgetError("a compiler sees torch's kernels only", value=self.kernels, fix="Use auto or torch.")
        if self.workers not in WORKERS:
            raise BudgetError("unknown kind of workers", value=self.workers, fix=f"Use {', '.join(WORKERS)}.")
