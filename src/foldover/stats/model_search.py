"""Which terms does a fraction support? Near-best models of a non-regular or unreplicated design.

Plackett-Burman columns alias every two-factor interaction partially, so several models fit almost equally
well. Under effect sparsity and heredity the honest answer is the set of them, not one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import numpy.typing as npt

from foldover.core import AnalysisError
from foldover.stats.ols import rank
from foldover.stats.terms import Term, resolve_terms, term_columns, term_text

Array = npt.NDArray[np.float64]
Heredity = Literal["strong", "weak", "none"]

_MOST_MODELS = 500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateModel:
    """A model and its fit. effects: high minus low, in order of terms; aicc: smaller is better; delta: to the best."""

    terms: tuple[str, ...]
    effects: tuple[float, ...]
    r2: float
    sigma: float
    aicc: float
    delta: float


def near_best_models(
    levels: Array,
    y: Array,
    letters: Sequence[str],
    *,
    most_terms: int = 4,
    heredity: Heredity = "weak",
    within: float = 2.0,
    interactions: bool = True,
) -> tuple[CandidateModel, ...]:
    """All models of up to `most_terms` main effects and two-factor interactions within `within` AICc of the best.

    levels: (n, k) coded; y: (n,). heredity: an interaction needs both (strong), one (weak) or none of its
    parents in the model. Exploratory: the models were chosen by the data, so their errors are too small and need
    confirmation runs. Raises AnalysisError when there are too many models to try, or too few runs.
    """
    terms = resolve_terms("main+2fi" if interactions else "main", letters)
    n = len(y)
    if n < most_terms + 4:
        raise AnalysisError(
            f"{n} runs are too few to choose models of {most_terms} terms", fix=f"Allow at most {max(n - 4, 0)} terms."
        )
    models = _allowed(terms, most_terms, heredity)
    if len(models) > _MOST_MODELS:
        raise AnalysisError("too many models to try", value=len(models), fix="Lower most_terms or ask strong heredity.")
    columns = term_columns(terms, levels, letters)
    total = float(((y - y.mean()) ** 2).sum())
    if total == 0.0:
        raise AnalysisError("the response is the same in all runs", value=float(y[0]))
    fitted = [found for model in models if (found := _fit(model, columns, y)) is not None]
    best = min(aicc for _, _, _, aicc in fitted)
    chosen = sorted((found for found in fitted if found[3] <= best + within), key=lambda found: found[3])
    return tuple(
        CandidateModel(
            terms=tuple(term_text(terms[j]) for j in model),
            effects=tuple((2.0 * coef).tolist()),
            r2=1.0 - rss / total,
            sigma=(rss / (n - len(model) - 1)) ** 0.5,
            aicc=aicc,
            delta=aicc - best,
        )
        for model, coef, rss, aicc in chosen
    )


def _allowed(terms: Sequence[Term], most: int, heredity: Heredity) -> list[tuple[int, ...]]:
    main = [j for j, term in enumerate(terms) if len(term) == 1]
    pairs = [j for j, term in enumerate(terms) if len(term) == 2]
    at = {terms[j][0]: j for j in main}
    models: list[tuple[int, ...]] = []
    for size in range(most + 1):
        for chosen in combinations(main, size):
            possible = [j for j in pairs if _inherits([at[name] in chosen for name in terms[j]], heredity)]
            for more in range(most - size + 1):
                models += [(*chosen, *extra) for extra in combinations(possible, more)]
                if len(models) > _MOST_MODELS:
                    return models
    return models


def _inherits(parents: list[bool], heredity: Heredity) -> bool:
    return all(parents) if heredity == "strong" else any(parents) if heredity == "weak" else True


def _fit(model: tuple[int, ...], columns: Array, y: Array) -> tuple[tuple[int, ...], Array, float, float] | None:
    """Model, coefficients, residual sum of squares, AICc; None when its columns are dependent."""
    n, p = len(y), len(model) + 1
    X = np.column_stack([np.ones(n), columns[:, list(model)]])
    if rank(X) < p:
        return None
    coef, *_ = np.linalg.lstsq(X, y, rcond=None)
    rest = y - X @ coef
    rss = max(float(rest @ rest), 1e-300)
    k = p + 1
    aicc = n * math.log(rss / n) + 2.0 * k + 2.0 * k * (k + 1.0) / (n - k - 1.0)
    return model, np.asarray(coef[1:], dtype=np.float64), rss, aicc
