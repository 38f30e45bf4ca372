"""One side of the training benchmark, in a process of its own: `python -m benchmarks.arms NAME SHAPE STEPS SEED`.

Prints one JSON object: what each step took, its page faults and its loss, the process's peak memory. All sides train
on the same rows. `--same-start` lets the plain trainer begin with foldover's initial weights; it is not used where
time is measured, so that nothing of foldover's model is in its process.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.shapes import SHAPES, Shape
from foldover.core import Budget, Limit, RunSpec, Settings
from foldover.core.settings import Compute
from foldover.lm.levers import CONSTANTS, LEVERS
from foldover.lm.resolve import baseline_recipe
from foldover.rundir import RunFolder

if TYPE_CHECKING:
    import torch
    from torch import Tensor

GEMM = (2048, 256, 1024)
GEMM_REPEATS = 20


@dataclass(slots=True)
class Record:
    """What is noted at the end of each step: CPU and wall seconds and page faults so far, and the loss."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    faults: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    peak_bytes: int = 0

    def note(self, loss: float) -> None:
        """A step is done."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self.cpu.append(time.process_time())
        self.wall.append(time.perf_counter())
        self.faults.append(usage.ru_minflt)
        self.losses.append(loss)
        self.peak_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def spec_of(shape: Shape, steps: int, seed: int) -> RunSpec:
    """The run of foldover's own trainer; as little as can be is evaluated behind it."""
    return RunSpec(
        study="benchmark",
        stage="train",
        package="train",
        condition=shape.name,
        levels=(),
        recipe=baseline_recipe(LEVERS.complete(shape.levers())),
        budget=Budget(limit=Limit(kind="steps", amount=steps)),
        constants=CONSTANTS.complete({"eval_tokens": shape.context}),
        seed=seed,
    )


class NotingFolder(RunFolder):
    """A run folder that notes a point of the curve as the end of its step."""

    record: Record

    def add_to_curve(self, **values: object) -> None:
        """Every step is a point, as long as there are at most 400."""
        super().add_to_curve(**values)  # type: ignore[arg-type]
        self.record.note(float(values["train_loss"]))  # type: ignore[arg-type]


def foldover(shape: Shape, steps: int, seed: int, same_start: bool, *, compute: Compute) -> tuple[Record, str]:
    """The built-in trainer, from spec to outcome, in a process set up as a worker's."""
    from foldover.execution.profile import set_up_process
    from foldover.lm.trainer import LMTrainer

    set_up_process(())
    spec, record = spec_of(shape, steps, seed), Record()
    with tempfile.TemporaryDirectory() as place:
        folder = NotingFolder(Path(place) / "run", spec, attempt=1)
        folder.record = record
        folder.begin()
        outcome = LMTrainer().train(spec, folder, Settings(device="cpu", compute=compute))
    assert outcome.status == "finished", outcome.failure
    return record, str(outcome.machine["compute"])


def plain(shape: Shape, steps: int, seed: int, same_start: bool, *, is_bf16: bool) -> tuple[Record, str]:
    """The same recipe in eager PyTorch, default allocator; bf16: autocast and bf16 tables, as upstream on a GPU."""
    import torch

    from benchmarks.plain_gpt import PlainGpt, PlainOptimizer, PlainShape, schedule

    torch.manual_seed(seed)
    model = PlainGpt(
        PlainShape(
            width=shape.width,
            num_heads=shape.width // shape.head_dim,
            vocab_size=shape.vocab_size,
            context=shape.context,
            windows=(shape.context,) * shape.depth,
        ),
        tables=torch.bfloat16 if is_bf16 else torch.float32,
    )
    if same_start:
        model.load(initial_weights(shape, seed))
    optimizer = PlainOptimizer(model, width=shape.width)

    def step(ids: Tensor, targets: Tensor, number: int) -> float:
        with autocast(is_bf16):
            loss = model(ids, targets)
        loss.backward()
        optimizer.step(**schedule(number, steps, momentum_warmup=300))
        return float(loss.item())

    return train(step, shape, steps, seed), "bfloat16 autocast" if is_bf16 else "float32"


def litgpt(shape: Shape, steps: int, seed: int, same_start: bool, *, is_bf16: bool) -> tuple[Record, str]:
    """litgpt's GPT of the same depth, width, heads and vocabulary with torch's AdamW: less work a step than Muon's."""
    import torch
    from litgpt import GPT, Config
    from torch.nn import functional

    torch.manual_seed(seed)
    model = GPT(
        Config(
            block_size=shape.context,
            vocab_size=shape.vocab_size,
            padded_vocab_size=shape.vocab_size,
            n_layer=shape.depth,
            n_head=shape.width // shape.head_dim,
            n_embd=shape.width,
            rotary_percentage=1.0,
            parallel_residual=False,
            bias=False,
            norm_class_name="RMSNorm",
            intermediate_size=4 * shape.width,
        )
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)

    def step(ids: Tensor, targets: Tensor, number: int) -> float:
        with autocast(is_bf16):
            logits = model(ids)
            loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(loss.item())

    return train(step, shape, steps, seed), "bfloat16 autocast" if is_bf16 else "float32"


def train(step: Callable[[Tensor, Tensor, int], float], shape: Shape, steps: int, seed: int) -> Record:
    """The steps of a side that has no loop of its own."""
    record = Record()
    rows = batches(shape, seed)
    for number in range(steps):
        batch = next(rows)
        record.note(step(batch[:, :-1], batch[:, 1:], number))
    return record


def batches(shape: Shape, seed: int) -> Iterator[Tensor]:
    """The rows (B, T+1) that foldover trains on under this seed."""
    import torch

    from foldover.lm.inputs import open_data, training_rows

    spec = spec_of(shape, 1, seed)
    rows = training_rows(spec, open_data(spec.recipe, spec.constants))
    while True:
        yield torch.from_numpy(np.stack([next(rows) for _ in range(shape.rows)]).astype(np.int64))


def initial_weights(shape: Shape, seed: int) -> dict[str, Tensor]:
    """Those of foldover's model."""
    import torch

    from foldover.core import bind
    from foldover.lm.levers import TrainConfig
    from foldover.lm.model import build_model

    config = bind(TrainConfig, LEVERS.complete(shape.levers()))
    return {
        name: p.detach() for name, p in build_model(config, seed=seed, device=torch.device("cpu")).named_parameters()
    }


def autocast(is_bf16: bool) -> AbstractContextManager[object]:
    """The context of forward passes."""
    import torch

    return torch.autocast("cpu", torch.bfloat16) if is_bf16 else nullcontext()


def gemm_flops_per_second(dtype: torch.dtype) -> float:
    """Best measured rate of matrix products in this process, as its side has set torch up."""
    import torch

    m, k, n = GEMM
    a, b = torch.randn(m, k).to(dtype), torch.randn(k, n).to(dtype)
    out = torch.empty(m, n, dtype=dtype)
    taken = []
    for _ in range(GEMM_REPEATS):
        began = time.process_time()
        torch.mm(a, b, out=out)
        taken.append(time.process_time() - began)
    return 2.0 * m * k * n / min(taken)


ARMS: dict[str, Callable[[Shape, int, int, bool], tuple[Record, str]]] = {
    "foldover": lambda *a: foldover(*a, compute="auto"),
    "foldover fp32": lambda *a: foldover(*a, compute="fp32"),
    "plain bf16": lambda *a: plain(*a, is_bf16=True),
    "plain fp32": lambda *a: plain(*a, is_bf16=False),
    "litgpt bf16": lambda *a: litgpt(*a, is_bf16=True),
    "litgpt fp32": lambda *a: litgpt(*a, is_bf16=False),
}


def missing_litgpt() -> str:
    """Why litgpt cannot take part; "" if it can."""
    if find_spec("litgpt") is None:
        return 'litgpt is not installed here (`make bench` installs it; pip install "foldover[bench]")'
    return ""


def main() -> None:
    """Run the side and print what it took."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.arms", description=__doc__)
    parser.add_argument("arm", choices=sorted(ARMS))
    parser.add_argument("shape", choices=sorted(SHAPES))
    parser.add_argument("steps", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("--same-start", action="store_true")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    record, compute_format = ARMS[options.arm](SHAPES[options.shape], options.steps, options.seed, options.same_start)
    dtype = torch.bfloat16 if "bfloat16" in compute_format else torch.float32
    print(
        json.dumps(
            {
                "arm": options.arm,
                "compute": compute_format,
                "cpu": list(np.diff(record.cpu)),
                "wall": list(np.diff(record.wall)),
                "faults": [int(n) for n in np.diff(record.faults)],
                "losses": record.losses,
                "peak_bytes": record.peak_bytes,
                "gemm_flops_per_second": gemm_flops_per_second(dtype),
                "isa": torch.backends.cpu.get_cpu_capability(),
                "torch": torch.__version__,
                "litgpt": version("litgpt") if options.arm.startswith("litgpt") else "",
            }
        )
    )


if __name__ == "__main__":
    main()
