"""Permutation tests: exact where the splits can be listed, sampled beyond.

Labels are permuted within blocks (seed, host), since only runs of one block are exchangeable. Sampled p-values
are (1 + extreme) / (B + 1), which is never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, prod

import numpy as np
from numpy.typing import NDArray

from foldover.core import AnalysisError
from foldover.stats._inputs import equal_length, sample
from foldover.stats.compare import Alternative

MAX_SPLITS = 200_000
MIN_REPLICATES = 199


@dataclass(frozen=True, slots=True, kw_only=True)
class PermutationResult:
    """observed: the statistic; splits: number that the null distribution rests on; exact: all of them were listed.

    smallest_p: the least p this test could give; above alpha the test can never reject.
    """

    observed: float
    p: float
    splits: int
    exact: bool
    smallest_p: float
    alternative: Alternative
    seed: int | None


def permutation_test(
    a: Sequence[float],
    b: Sequence[float],
    *,
    blocks_a: Sequence[object] | None = None,
    blocks_b: Sequence[object] | None = None,
    alternative: Alternative = "two_sided",
    replicates: int = 9_999,
    seed: int = 0,
) -> PermutationResult:
    """Difference of means a - b under permutation of the labels, within blocks if given.

    Exact when there are at most 200,000 splits; otherwise `replicates` are sampled with `seed`.
    Raises AnalysisError for replicates < 199, blocks on one side only, and when no block has both labels.
    """
    x, y = sample(a, "the first group", least=1), sample(b, "the second group", least=1)
    if (blocks_a is None) != (blocks_b is None):
        raise AnalysisError("blocks are given for one group only", fix="Give the block of every run or of none.")
    values = np.concatenate([x, y])
    label = np.repeat([True, False], [len(x), len(y)])
    groups = _groups(blocks_a, blocks_b, label)
    counts = [(len(g), int(label[g].sum())) for g in groups]
    splits = prod(comb(n, k) for n, k in counts)
    if splits < 2:
        raise AnalysisError("no block holds runs of both groups, so nothing can be permuted", fix="Use coarser blocks.")
    exact = splits <= MAX_SPLITS
    if exact:
        sums = np.zeros(1)
        for g, (_, k) in zip(groups, counts, strict=True):
            sums = (sums[:, None] + _subset_sums(values[g], k)[None, :]).ravel()
    else:
        sums = _sampled_sums(values, groups, counts, _replicates(replicates), np.random.default_rng(seed))
    # The difference of means is linear in the sum of a.
    total, n_a, n_b = float(values.sum()), len(x), len(y)
    null = sums / n_a - (total - sums) / n_b
    return _result(float(x.mean() - y.mean()), null, splits, exact, alternative, seed)


def sign_flip_test(
    differences: Sequence[float], *, alternative: Alternative = "two_sided", replicates: int = 9_999, seed: int = 0
) -> PermutationResult:
    """Mean of paired differences, or of one effect a seed, under all 2^n reversals of sign.

    Five seeds give a smallest two-sided p of 1/16: more seeds are needed to reject at 0.05.
    Raises AnalysisError for fewer than two differences.
    """
    d = sample(differences, "the differences", least=2)
    n = len(d)
    exact = 2**n <= MAX_SPLITS
    if exact:
        null = np.zeros(1)
        for value in d:
            null = np.concatenate([null + value, null - value])
        null = null / n
    else:
        signs = np.random.default_rng(seed).integers(0, 2, (_replicates(replicates), n), dtype=np.int8) * 2.0 - 1.0
        null = signs @ d / n
    return _result(float(d.mean()), null, 2**n, exact, alternative, seed)


def freedman_lane(
    column: Sequence[float],
    others: NDArray[np.float64],
    y: Sequence[float],
    *,
    blocks: Sequence[object] | None = None,
    replicates: int = 9_999,
    seed: int = 0,
) -> PermutationResult:
    """Two-sided test of one term of a linear model by permuting residuals of the model without it.

    column: (n,) of the tested term; others: (n, q) of the remaining model, intercept included; blocks: rows are
    permuted within. The statistic is |t| (Freedman and Lane 1983).
    Raises AnalysisError when the term is not estimable beside the others.
    """
    response = sample(y, "the response", least=3)
    x = sample(column, "the tested term", least=3)
    n = equal_length(column=x, y=response, others=others)
    basis, _ = np.linalg.qr(others)
    x_rest = x - basis @ (basis.T @ x)
    norm = float(np.linalg.norm(x_rest))
    df = n - int(np.linalg.matrix_rank(others)) - 1
    if norm <= 1e-10 * float(np.linalg.norm(x)) or df < 1:
        raise AnalysisError(
            "the tested term cannot be told from the others, or leaves no error", fix="Check its aliases."
        )
    direction = x_rest / norm
    residual = response - basis @ (basis.T @ response)
    observed = _t_of(residual[None, :], basis, direction, df)[0]
    rng = np.random.default_rng(seed)
    codes = np.zeros(n) if blocks is None else np.unique([str(b) for b in blocks], return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    shuffled = np.empty((_replicates(replicates), n))
    # Sorting random keys within each block permutes all replicates at once.
    picks = np.argsort(codes[None, :] + rng.random(shuffled.shape), axis=1, kind="stable")
    shuffled[:, order] = residual[picks]
    null = _t_of(shuffled, basis, direction, df)
    return _result(float(observed), null, replicates, False, "two_sided", seed)


def _t_of(
    r: NDArray[np.float64], basis: NDArray[np.float64], direction: NDArray[np.float64], df: int
) -> NDArray[np.float64]:
    """T statistics of the tested term for rows of responses r (B, n)."""
    slope = r @ direction
    rss = (r**2).sum(axis=1) - ((r @ basis) ** 2).sum(axis=1) - slope**2
    return np.asarray(slope / np.sqrt(np.maximum(rss, 1e-300) / df), dtype=np.float64)


def _result(
    observed: float, null: NDArray[np.float64], splits: int, exact: bool, alternative: Alternative, seed: int
) -> PermutationResult:
    # Splits that tie with the data count as extreme; the tolerance is for sums taken in another order.
    tolerance = 1e-9 * max(float(np.abs(null).max()), abs(observed), 1e-300)
    if alternative == "two_sided":
        extreme = np.abs(null) >= abs(observed) - tolerance
    elif alternative == "less":
        extreme = null <= observed + tolerance
    else:
        extreme = null >= observed - tolerance
    count, size = int(extreme.sum()), len(null)
    sides = 2 if alternative == "two_sided" and float(abs(null.max() + null.min())) <= tolerance else 1
    return PermutationResult(
        observed=observed,
        p=count / size if exact else (1 + count) / (size + 1),
        splits=size if exact else splits,
        exact=exact,
        smallest_p=sides / size if exact else 1 / (size + 1),
        alternative=alternative,
        seed=None if exact else seed,
    )


def _groups(
    blocks_a: Sequence[object] | None, blocks_b: Sequence[object] | None, label: NDArray[np.bool_]
) -> list[NDArray[np.intp]]:
    if blocks_a is None or blocks_b is None:
        return [np.arange(len(label))]
    names = [*blocks_a, *blocks_b]
    if len(names) != len(label):
        raise AnalysisError("there must be one block a run", value=(len(blocks_a), len(blocks_b)))
    return [np.array([i for i, name in enumerate(names) if name == block]) for block in dict.fromkeys(names)]


def _subset_sums(values: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Sums of all subsets of k values."""
    if k in (0, len(values)):
        return np.array([float(values.sum()) if k else 0.0])
    picks = np.array(list(combinations(range(len(values)), k)), dtype=np.intp)
    return np.asarray(values[picks].sum(axis=1), dtype=np.float64)


def _sampled_sums(
    values: NDArray[np.float64],
    groups: list[NDArray[np.intp]],
    counts: list[tuple[int, int]],
    replicates: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    sums = np.zeros(replicates)
    for g, (n, k) in zip(groups, counts, strict=True):
        picks = np.argsort(rng.random((replicates, n)), axis=1)[:, :k]
        sums += values[g][picks].sum(axis=1)
    return sums


def _replicates(replicates: int) -> int:
    if replicates < MIN_REPLICATES:
        raise AnalysisError("too few replicates for a tail probability", value=replicates, fix="Use 9,999 or more.")
    return replicates
