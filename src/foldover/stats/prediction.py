"""What the model expects of a condition: its mean, and where one new run will fall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foldover.core import AnalysisError
from foldover.stats.mixed import fit_mixed, satterthwaite
from foldover.stats.ols import LeastSquares
from foldover.stats.screen import Screen, prepare_screen
from foldover.stats.table import Table
from foldover.stats.tails import critical_t
from foldover.stats.terms import term_columns

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A predicted mean with its interval, and the interval (run_low, run_high) of one run under a new seed.

    A confirmation run outside its interval says that the model is wrong there, e.g. for a missing term.
    """

    levels: tuple[tuple[str, float], ...]
    mean: float
    se: float
    df: float
    low: float
    high: float
    run_low: float
    run_high: float
    level: float
    notes: tuple[str, ...]


def predict_condition(
    table: Table,
    levels: Mapping[str, float],
    *,
    terms: Sequence[str] | str = "main+2fi",
    block: str | None = "seed",
    level: float = 0.95,
) -> Prediction:
    """The response expected at coded `levels` (one for every factor of the table), over seeds.

    With a block it is random (REML): the mean's error and the run's interval include the seeds' variance.
    Assumes one error variance; see `diagnose`. Raises AnalysisError for missing or unknown factors, levels
    beyond those that were run, and as `estimate_effects`.
    """
    if set(levels) != set(table.letters):
        raise AnalysisError(
            "a prediction needs a level for every factor", value=sorted(set(levels) ^ set(table.letters))
        )
    point = np.array([[levels[letter] for letter in table.letters]], dtype=np.float64)
    beyond = [
        letter
        for j, letter in enumerate(table.letters)
        if not table.levels[:, j].min() - 1e-9 <= point[0, j] <= table.levels[:, j].max() + 1e-9
    ]
    if beyond:
        raise AnalysisError("the condition lies beyond the levels that were run", value=beyond, fix="Run it instead.")
    screen = prepare_screen(table, terms=terms, block=block)
    row = np.concatenate([[1.0], term_columns(screen.terms, point, table.letters)[0]])
    mean, se, df, spread = _fit(screen, table.y, row)
    t = critical_t(level, df)
    half, run_half = t * se, t * float(np.hypot(se, spread))
    return Prediction(
        levels=tuple((letter, float(levels[letter])) for letter in table.letters),
        mean=mean,
        se=se,
        df=df,
        low=mean - half,
        high=mean + half,
        run_low=mean - run_half,
        run_high=mean + run_half,
        level=level,
        notes=(*table.notes, *table.left_out_note()),
    )


def _fit(screen: Screen, y: Array, row: Array) -> tuple[float, float, float, float]:
    """Mean, its error and df, and the standard deviation of one run."""
    X = np.column_stack([np.ones(len(y)), screen.X])
    names = ["1", *screen.names]
    if screen.block is None or len(screen.block_labels) < 2:
        model = LeastSquares(X, names)
        ols = model.fit(y)
        return float(row @ ols.coef), ols.sigma * float(np.linalg.norm(row @ model.pinv)), float(ols.df), ols.sigma
    labels = screen.block.tolist()
    fit = fit_mixed(y, X, {"block": labels}, names=names)
    df = float(satterthwaite(X, fit, {"block": labels}, row[None, :])[0])
    return (
        float(row @ fit.coef),
        float(row @ fit.covariance @ row) ** 0.5,
        df,
        float(sum(fit.components.values())) ** 0.5,
    )
