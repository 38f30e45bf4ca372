"""Unreplicated two-level designs: Lenth's margin, half-normal scores, Yates' algorithm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np
import numpy.typing as npt

from foldover.core import AnalysisError
from foldover.stats.estimators import Estimates
from foldover.stats.screen import Screen
from foldover.stats.tails import critical_t, normal_quantile, t_quantile
from foldover.stats.terms import Term, term_columns, term_text

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LenthResult:
    """Pseudo standard error and margins of m contrasts; active: names beyond the margin, in given order.

    s0: the first, untrimmed figure; df: m / 3; margin: of error, for one contrast (ME); simultaneous: for the
    largest of all (SME).
    """

    names: tuple[str, ...]
    s0: float
    pse: float
    df: float
    margin: float
    simultaneous: float
    active: tuple[str, ...]
    active_simultaneous: tuple[str, ...]
    notes: tuple[str, ...] = ()


def lenth(effects: Mapping[str, float], *, level: float = 0.95) -> LenthResult:
    """Margin of error for the effects of an unreplicated two-level design.

    effects: m >= 3 contrasts of equal variance in response units, by name, without the mean.
    The pseudo standard error is 1.5 times the median of the |effects| below 2.5 times a first such figure; its
    t reference has m / 3 degrees of freedom (Lenth 1989, Technometrics 31).
    Raises AnalysisError for fewer than three effects and when half of them are exactly zero.
    """
    names = tuple(effects)
    values = np.array([effects[name] for name in names], dtype=np.float64)
    if len(values) < 3:
        raise AnalysisError(
            "Lenth's margin needs at least 3 contrasts", value=len(values), fix="Replicate the runs under more seeds."
        )
    if not np.isfinite(values).all():
        raise AnalysisError("an effect is not a finite number", value=dict(effects))
    s0, pse = (float(x[0]) for x in _pse(values[None, :]))
    if pse == 0.0:
        raise AnalysisError(
            "the pseudo standard error is zero: at least half of the contrasts are exactly zero",
            value=dict(effects),
            fix="Are levels equal after resolving?",
        )
    df = len(values) / 3.0
    margin = critical_t(level, df) * pse
    simultaneous = t_quantile((1.0 + level ** (1.0 / len(values))) / 2.0, df) * pse
    return LenthResult(
        names=names,
        s0=s0,
        pse=pse,
        df=df,
        margin=margin,
        simultaneous=simultaneous,
        active=tuple(name for name, value in zip(names, values, strict=True) if abs(value) > margin),
        active_simultaneous=tuple(name for name, value in zip(names, values, strict=True) if abs(value) > simultaneous),
        notes=(f"only {len(values)} contrasts: the margin is rough (7 or more are usual)",) if len(values) < 7 else (),
    )


def _pse(values: Array) -> tuple[Array, Array]:
    """First figure s0 and pseudo standard error of each row of (S, m)."""
    size = np.abs(values)
    s0 = 1.5 * np.median(size, axis=1)
    trimmed = np.where(size < 2.5 * s0[:, None], size, np.nan)
    trimmed[s0 == 0.0] = 0.0
    return s0, 1.5 * np.nanmedian(trimmed, axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfNormalPoint:
    """A point of a half-normal plot: the term, |effect|, its rank (from 1) and its quantile."""

    name: str
    effect: float
    size: float
    rank: int
    quantile: float


def half_normal(effects: Mapping[str, float]) -> tuple[HalfNormalPoint, ...]:
    """Points of the half-normal plot, smallest first: |effect| against Phi^-1(0.5 + 0.5 (i - 0.5) / m)."""
    quantiles = half_normal_quantiles(len(effects))
    ordered = sorted(effects.items(), key=lambda item: abs(item[1]))
    return tuple(
        HalfNormalPoint(name=name, effect=value, size=abs(value), rank=i + 1, quantile=float(quantiles[i]))
        for i, (name, value) in enumerate(ordered)
    )


def half_normal_quantiles(m: int) -> Array:
    """The m plotting positions Phi^-1(0.5 + 0.5 (i - 0.5) / m), ascending."""
    return normal_quantile(0.5 + 0.5 * (np.arange(1, m + 1) - 0.5) / m)


def yates(y: Sequence[float]) -> Array:
    """Columns of Yates' algorithm for 2^k responses in standard order (A fastest): (k, 2^k).

    Each pass writes pair sums, then pair differences (second minus first); the last holds the total and the
    contrasts, which are effects after division by 2^(k-1). Raises AnalysisError unless len(y) is 2^k, k >= 1.
    """
    current = np.asarray(y, dtype=np.float64)
    n = len(current)
    k = n.bit_length() - 1
    if n < 2 or n != 1 << k:
        raise AnalysisError("Yates' algorithm needs 2^k responses", value=n, fix="Use least squares instead.")
    passes = []
    for _ in range(k):
        first, second = current[0::2], current[1::2]
        current = np.concatenate([first + second, second - first])
        passes.append(current)
    return np.stack(passes)


def saturated_terms(levels: Array, letters: Sequence[str], first: Sequence[Term] = ()) -> tuple[Term, ...]:
    """`first`, then terms of rising order for as long as each adds a dimension: at most rows - 1 in all.

    levels: (rows, k) distinct conditions. Constant factors are passed over.
    """
    varying = [letter for j, letter in enumerate(letters) if np.ptp(levels[:, j]) > 0.0]
    chosen: list[Term] = []
    basis = np.ones((1, len(levels))) / np.sqrt(len(levels))
    # One by one: 26 factors have 67 million products, of which the runs carry a few.
    rising = (t for r in range(1, len(varying) + 1) for t in combinations(varying, r) if t not in first)
    for term in chain(first, rising):
        if len(basis) == len(levels):
            break
        column = term_columns([term], levels, letters)[:, 0]
        rest = column - basis.T @ (basis @ column)
        rest -= basis.T @ (basis @ rest)
        size = float(np.linalg.norm(rest))
        if size > 1e-8 * max(1.0, float(np.linalg.norm(column))):
            chosen.append(term)
            basis = np.vstack([basis, rest / size])
    return tuple(chosen)


def contrasts(levels: Array, y: Array, letters: Sequence[str]) -> dict[str, float]:
    """All effects that the distinct conditions of one unreplicated design carry, by term.

    levels: (n, k) coded, one run a row; y: (n,). Terms are taken by rising order until n - 1 are found; each
    stands for its alias set. Effects are high minus low, in response units. For replicates use `estimate_effects`.
    """
    terms = saturated_terms(levels, letters)
    X = np.column_stack([np.ones(len(levels)), term_columns(terms, levels, letters)])
    coef, *_ = np.linalg.lstsq(X, y, rcond=None)
    return {term_text(term): 2.0 * float(value) for term, value in zip(terms, coef[1:], strict=True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldoverEffects:
    """A resolution III fraction and its full fold-over, taken together: by the first fraction's terms.

    main: main effects free of two-factor interactions; chains: the interactions aliased with each in the first
    fraction, summed.
    """

    main: Mapping[str, float]
    chains: Mapping[str, float]


def combine_foldover(first: Mapping[str, float], second: Mapping[str, float]) -> FoldoverEffects:
    """Main effects (l1 + l2) / 2 and interaction chains (l1 - l2) / 2 from the main-effect contrasts of both.

    Raises AnalysisError unless both name the same factors.
    """
    if set(first) != set(second):
        raise AnalysisError("the two fractions have different factors", value=sorted(set(first) ^ set(second)))
    return FoldoverEffects(
        main={name: (value + second[name]) / 2.0 for name, value in first.items()},
        chains={name: (value - second[name]) / 2.0 for name, value in first.items()},
    )


def by_lenth(screen: Screen, Y: Array, level: float) -> Estimates:
    """The method `lenth`: margins from all contrasts that the conditions carry; (S, m) with p NaN.

    Conditions with several runs are averaged first (the runs are then not taken as independent errors).
    """
    C = len(screen.cell_labels)
    first = np.array([int(np.flatnonzero(screen.cell == c)[0]) for c in range(C)])
    levels = screen.levels[first]
    terms = saturated_terms(levels, screen.letters, screen.terms)
    if len(terms) < 3:
        raise AnalysisError("Lenth's margin needs at least 3 contrasts", value=len(terms), fix="Add conditions.")
    X = np.column_stack([np.ones(C), term_columns(terms, levels, screen.letters)])
    means = (Y @ np.eye(C)[screen.cell]) / screen.counts()
    values = 2.0 * (means @ np.linalg.pinv(X)[1:].T)
    _, pse = _pse(values)
    if (pse == 0.0).any():
        raise AnalysisError(
            "the pseudo standard error is zero: at least half of the contrasts are exactly zero",
            fix="Are levels equal after resolving?",
        )
    df = len(terms) / 3.0
    estimate = values[:, : len(screen.terms)]
    se = np.broadcast_to(pse[:, None], estimate.shape).copy()
    half = critical_t(level, df) * se
    return Estimates(
        method="lenth",
        terms=screen.names,
        level=level,
        estimate=estimate,
        se=se,
        df=np.array([[df]]),
        low=estimate - half,
        high=estimate + half,
        p=np.full(estimate.shape, np.nan),
    )
