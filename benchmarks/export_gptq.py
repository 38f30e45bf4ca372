"""GPTQ on one matrix, its Hessian included, beside the usual form in plain torch."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure import Comparison, interleave
from foldover.export.gptq import feedback_of, gptq
from foldover.export.grid import make_steps
from foldover.export.quantize import output_error
from foldover.export.restore import grid_values
from foldover.export.scheme import Scheme

ROWS, COLUMNS, TOKENS = 512, 2048, 8192
LIMIT_SECONDS = 1.0
AIM = 1.25
SCHEME = Scheme(format="int6", clip="sdclip", sigmas=12.85, has_gptq=True, order="activation")


def export_gptq(rounds: int) -> tuple[list[Comparison], list[str]]:
    """Rows of the table, and a note on the output errors of both."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(ROWS, COLUMNS, generator=generator) * 0.02
    mix = torch.eye(COLUMNS) + 0.01 * torch.randn(COLUMNS, COLUMNS, generator=generator)
    x = torch.randn(TOKENS, COLUMNS, generator=generator) @ mix
    array, exact = weights.numpy(), x.T @ x
    steps = make_steps(array, SCHEME).values

    def own(hessian: Tensor) -> np.ndarray:
        feedback = feedback_of(hessian.numpy(), damping=SCHEME.damping, order=SCHEME.order)
        assert feedback is not None
        return gptq(array, steps, feedback, SCHEME)

    def plain(hessian: Tensor) -> np.ndarray:
        return plain_gptq(weights, torch.from_numpy(steps), hessian, damping=SCHEME.damping, levels=SCHEME.levels)

    sides: dict[str, Callable[[], object]] = {
        "own": lambda: own(exact),
        "plain": lambda: plain(exact),
        "own, from inputs": lambda: own(fast_hessian(x)),
        "plain, from inputs": lambda: plain(x.T @ x),
    }
    times = interleave({name: cpu_timed(side) for name, side in sides.items()}, rounds)
    errors = [
        output_error(array, grid_values(codes, steps, None), exact.numpy()[None])
        for codes in (own(exact), plain(exact), own(fast_hessian(x)))
    ]
    name = f"GPTQ of a {ROWS} x {COLUMNS} matrix"
    return (
        [
            Comparison(
                name=f"{name}, its Hessian given", peer="plain torch", own=times["own"], other=times["plain"], aim=AIM
            ),
            Comparison(
                name=f"{name} and its Hessian, {TOKENS:,} tokens, products of bf16",
                peer="plain torch, products of fp32",
                own=times["own, from inputs"],
                other=times["plain, from inputs"],
                limit=LIMIT_SECONDS,
            ),
        ],
        [
            "times are of the processor, one thread",
            f"relative output error: foldover {errors[0]:.6f}, plain torch {errors[1]:.6f}, "
            f"with products of bf16 {errors[2]:.6f}",
        ],
    )


def fast_hessian(x: Tensor) -> Tensor:
    """x'x with the inputs rounded to bf16, sums in fp32: still the Hessian of some inputs."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        return x.T @ x
    finally:
        torch.set_float32_matmul_precision(before)


def cpu_timed(function: Callable[[], object]) -> Callable[[], float]:
    """A side that says how many seconds of the processor a call takes: of one thread, whatever else runs."""

    def side() -> float:
        start = time.process_time()
        function()
        return time.process_time() - start

    return side


def plain_gptq(weights: Tensor, steps: Tensor, hessian: Tensor, *, damping: float, levels: int) -> np.ndarray:
    """The usual form: the inverse's upper factor, columns in blocks of 128, errors fed to all columns that are left."""
    n = len(hessian)
    h, w = hessian.clone(), weights.clone()
    dead = torch.diag(h) == 0
    h[dead, dead] = 1
    w[:, dead] = 0
    order = torch.argsort(torch.diag(h), descending=True)
    h, w = h[order][:, order], w[:, order]
    h += damping * torch.diag(h).mean() * torch.eye(n)
    upper = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True)
    codes = torch.zeros_like(w)
    step = steps[:, 0]
    for start in range(0, n, 128):
        stop = min(start + 128, n)
        block, errors, inner = (
            w[:, start:stop].clone(),
            torch.zeros(len(w), stop - start),
            upper[start:stop, start:stop],
        )
        for j in range(stop - start):
            code = (block[:, j] / step).round().clamp(-levels, levels)
            codes[:, start + j] = code
            error = (block[:, j] - code * step) / inner[j, j]
            block[:, j:] -= error.unsqueeze(1) * inner[j, j:].unsqueeze(0)
            errors[:, j] = error
        w[:, stop:] -= errors @ upper[start:stop, stop:]
    found = torch.zeros_like(codes)
    found[:, order] = codes
    return found.numpy().astype(np.int16)


if __name__ == "__main__":
    from benchmarks.measure import table

    torch.set_num_threads(1)
    rows, notes = export_gptq(5)
    print("\n".join([*table(rows), *notes]))
