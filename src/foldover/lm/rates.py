"""Factors on learning rates that follow from shapes. No torch."""

from __future__ import annotations

from foldover.lm.levers_optimizer import Optimizer

REFERENCE_WIDTH = 768


def width_factor(optimizer: Optimizer, width: int) -> float:
    """Factor on AdamW's rates at a model width (karpathy/autoresearch 228791f)."""
    return float((width / REFERENCE_WIDTH) ** optimizer.width_exponent)


def update_scale(rule: str, rows: int, columns: int) -> float:
    """Factor on the update of an r x c matrix.

    tall: sqrt(max(1, r / c)), both runners; ratio: sqrt(r / c); rms: 0.2 sqrt(max(r, c)), which gives updates a
    root mean square near 0.2 (Liu et al. 2025, arXiv 2502.16982). Learning rates mean nothing without it.
    """
    if rule == "tall":
        return float(max(1.0, rows / columns) ** 0.5)
    if rule == "ratio":
        return float((rows / columns) ** 0.5)
    return float(0.2 * max(rows, columns) ** 0.5)
