"""Learned scalars and vectors that scale, mix or gate: what they are, and how they move while they are trained.

`gates.jsonl` in the run folder holds the mean of each, a line a point; a model without any has no such file. The
weights are those of training, not an average of them; nothing is drawn and no clock of a budget runs meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from foldover.core import to_json
from foldover.lm.model.parameter import role_parameters
from foldover.rundir import read_json_lines

FILE = "gates.jsonl"
ROLES = ("gate", "residual_scale", "x0_scale", "control")
POINTS = 20  # after the first step, and each time that training has gone on by this part of the budget


class GateLog:
    """Called after each step. progress: where training goes on, negative for its beginning."""

    def __init__(self, folder: Path, model: nn.Module, *, progress: float) -> None:
        self._path = folder / FILE
        self._model = model
        self._progress = progress
        self._has_gates = bool(gate_rows(model))

    def after_step(self, *, step: int, progress: float) -> None:
        """Write a point if it is time for one. progress: after the step."""
        is_due = math.floor(POINTS * progress) > math.floor(POINTS * self._progress)
        self._progress = progress
        if self._has_gates and is_due:
            line = to_json({"step": step, "progress": progress, "means": _means(self._model)})
            with self._path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")


def continue_log(attempt: Path, folder: Path, *, steps: int) -> None:
    """Copy what an earlier attempt at a run wrote in so many steps."""
    kept = [to_json(point) + "\n" for point in read_json_lines(attempt / FILE) if point["step"] < steps]
    if kept:
        (folder / FILE).write_text("".join(kept), encoding="utf-8")


def gate_rows(model: nn.Module) -> Sequence[tuple[str, Tensor]]:
    """Every scalar and vector that scales, mixes or gates, by name; of a matrix of them each row."""
    found: list[tuple[str, Tensor]] = []
    for name, parameter in role_parameters(model):
        if parameter.role in ROLES:
            values = parameter.detach()
            found += [(f"{name}[{i}]", row) for i, row in enumerate(values)] if values.ndim > 1 else [(name, values)]
    return found


def _means(model: nn.Module) -> dict[str, float | None]:
    rows = gate_rows(model)
    means = torch.stack([row.mean() for _, row in rows]).tolist()  # waits for a device once
    # A file of a few digits: what is read off it is a course.
    return {n: float(f"{mean:.6g}") if math.isfinite(mean) else None for (n, _), mean in zip(rows, means, strict=True)}
