"""Runs that have the moments a published table prints, so that an analysis can be given them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from foldover.core import AnalysisError, Effect
from foldover.stats.budgets import PooledBudgets, pooled_budgets
from foldover.stats.columns import table_from_columns
from foldover.stats.effects import estimate_effects
from foldover.stats.paper_facts import Facts, entry, last_digit, rows_of
from foldover.stats.tails import t_quantile

Array = npt.NDArray[np.float64]

_STEPS = 400
_HALF_DIGIT = 5e-5  # of effects and their intervals


def sample_with(mean: float, sd: float, n: int) -> list[float]:
    """n values with exactly this mean and sample sd; for two it is the only one."""
    shape = np.arange(n) - (n - 1) / 2.0
    shape = shape / float(shape.std(ddof=1))
    return [float(mean + sd * x) for x in shape]


def rebuilt_screen(facts: Facts, table: str) -> tuple[Effect, ...]:
    """The paper's model on 80 runs whose effects and error lie inside every rounding of the table.

    Effects, p and q are printed to few digits; the error is the first at which all of them can hold at once. The
    residual is the pattern of A:B, which the model leaves out and which is orthogonal to what it has in.
    """
    rows = rows_of(facts, table)
    corners = entry(facts, "t03_design")["inferred_rows"]
    seeds = int(entry(facts, table)["seeds_per_condition"])
    levels = np.array([corner for corner in corners.values() for _ in range(seeds)], dtype=np.float64)
    df = len(levels) - 1 - len(rows) - (seeds - 1)
    se, sizes = _effects_inside(rows, df)
    residual = se * math.sqrt(len(levels)) / 2.0 * math.sqrt(df / len(levels))
    y = 1.0 + levels @ np.array(sizes) / 2.0 + residual * levels[:, 0] * levels[:, 1]
    columns: dict[str, Sequence[object]] = {row["factor"]: list(levels[:, j]) for j, row in enumerate(rows)}
    columns |= {"seed": list(range(seeds)) * len(corners), "y": list(y)}
    table_of_runs = table_from_columns(columns, response="y", factors=[row["factor"] for row in rows])
    return estimate_effects(table_of_runs, method="paper")


def rebuilt_follow_up(facts: Facts) -> PooledBudgets:
    """The pooled model on 64 runs with the printed effects; the error is that of the printed p of the A:B change."""
    printed, rows = entry(facts, "t10_dfixed"), rows_of(facts, "t10_dfixed")
    letters = [row["effect"] for row in rows if ":" not in row["effect"]]
    corners = np.array(list(itertools.product((-1.0, 1.0), repeat=len(letters))))
    runs = np.repeat(corners, printed["n_rows_per_budget"] // len(corners), axis=0)
    df = printed["n_rows"] - 2 * (1 + len(rows))
    t = -t_quantile(printed["AB_budget_delta_p"] / 2.0, df)
    # The change is the difference of two effects with equal errors.
    se = abs(printed["AB_budget_delta"]) / t / math.sqrt(2.0)
    residual = se * math.sqrt(len(runs)) / 2.0 * math.sqrt(df / printed["n_rows"])
    parts = []
    for budget in (5, 10):
        y = np.full(len(runs), 1.0)
        for row in rows:
            y += row[f"est{budget}"] / 2.0 * _column(row["effect"], letters, runs)
        parts.append(y + residual * _column(":".join(letters[:3]), letters, runs))
    both = np.vstack([runs, runs])
    columns: dict[str, Sequence[object]] = {letter: list(both[:, j]) for j, letter in enumerate(letters)}
    columns |= {"budget": ["5 min"] * len(runs) + ["10 min"] * len(runs), "y": list(np.concatenate(parts))}
    found = table_from_columns(columns, response="y", factors=letters)
    return pooled_budgets(found, terms=[row["effect"] for row in rows])


def _column(term: str, letters: Sequence[str], levels: Array) -> Array:
    return np.asarray(np.prod([levels[:, letters.index(letter)] for letter in term.split(":")], axis=0))


def _effects_inside(rows: Sequence[dict[str, object]], df: int) -> tuple[float, list[float]]:
    """An error, and effects that round to the printed ones and have p and q that do. Raises AnalysisError for none."""
    quantiles = [(-t_quantile(high / 2.0, df), -t_quantile(low / 2.0, df)) for low, high in _p_ranges(rows)]
    sizes = [_number(row["effect"]) for row in rows]
    guess = abs(sizes[0]) / (sum(quantiles[0]) / 2.0)
    for i in range(-_STEPS, _STEPS + 1):
        se = guess * (1.0 + 0.02 * i / _STEPS)
        half = t_quantile(0.975, df) * se
        found = []
        for row, size, (least, most) in zip(rows, sizes, quantiles, strict=True):
            # What the effect, its p and both ends of its interval allow.
            from_p = sorted(math.copysign(t * se, size) for t in (least, most))
            centres = (size, _number(row["ci_low"]) + half, _number(row["ci_high"]) - half)
            low = max(from_p[0], *(centre - _HALF_DIGIT for centre in centres))
            high = min(from_p[1], *(centre + _HALF_DIGIT for centre in centres))
            if low > high:
                break
            found.append((low + high) / 2.0)
        if len(found) == len(sizes):
            return se, found
    raise AnalysisError("no error lies inside the rounding of all effects and p-values", value=guess)


def _number(value: object) -> float:
    return float(str(value))


def _p_ranges(rows: Sequence[dict[str, object]]) -> list[tuple[float, float]]:
    """What each printed p may have been, by its own digits and by those of its q under Benjamini and Hochberg."""
    order = sorted(range(len(rows)), key=lambda i: _number(rows[i]["p"]))
    found = []
    for i, row in enumerate(rows):
        p, q = _number(row["p_printed"]), _number(row["q_printed"])
        half_p, half_q = last_digit(str(row["p_printed"])) / 2.0, last_digit(str(row["q_printed"])) / 2.0
        scale = (order.index(i) + 1) / len(rows)
        low, high = max(p - half_p, (q - half_q) * scale), min(p + half_p, (q + half_q) * scale)
        found.append((low, high) if low <= high else (p - half_p, p + half_p))
    return found
