"""Split plots: factors that change only between whole plots are tested against whole-plot error.

Here a whole plot is a trained model and sub-plots are its exports, or a whole plot is a host. Pooling the two
errors would make whole-plot effects look far too certain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from foldover.core import AnalysisError, Correction, Effect
from foldover.stats.mixed import fit_mixed
from foldover.stats.multiplicity import adjust
from foldover.stats.ols import LeastSquares, rank
from foldover.stats.screen import Screen, prepare_screen
from foldover.stats.table import Table
from foldover.stats.tails import critical_t, f_upper, t_two_sided

Array = npt.NDArray[np.float64]

NO_ALIASES: Mapping[str, Sequence[str]] = {}


def whole_plot_terms(table: Table, terms: Sequence[str] | str, whole_plots: Sequence[str]) -> tuple[str, ...]:
    """The terms whose column is constant within every whole plot: they carry whole-plot error.

    whole_plots: one label a run. A term is in this stratum exactly when one of its aliases is made of
    whole-plot factors alone.
    """
    screen = prepare_screen(table, terms=terms, block=None, adjust_for=_varying_labels(table))
    index = _index(whole_plots)
    return tuple(name for j, name in enumerate(screen.names) if _constant_within(screen.X[:, j], index))


def split_plot_effects(
    table: Table,
    *,
    whole_plots: Sequence[str],
    terms: Sequence[str] | str = "main",
    block: str | None = None,
    level: float = 0.95,
    correction: Correction | None = None,
    q: float = 0.05,
    aliases: Mapping[str, Sequence[str]] = NO_ALIASES,
) -> tuple[Effect, ...]:
    """Effects of a split plot, each against the error of its stratum; `notes` name the stratum.

    whole_plots: one label a run, e.g. the trained model that a run exports. Where whole plots are equally
    large and the terms orthogonal to them, whole-plot terms are fitted to whole-plot means and the others within
    whole plots; otherwise by REML with a random whole plot and Satterthwaite degrees of freedom.
    correction, q: within the family of the main effects of both strata together (None: nothing is judged).
    aliases: term to the terms that cannot be told from it.
    Raises AnalysisError when whole-plot terms leave no degree of freedom for whole-plot error.
    """
    if len(whole_plots) != len(table):
        raise AnalysisError("there must be one whole-plot label a run", value=len(whole_plots))
    screen = prepare_screen(table, terms=terms, block=None, adjust_for=[c for c in (block,) if c is not None])
    index = _index(whole_plots)
    is_whole = np.array([_constant_within(screen.X[:, j], index) for j in range(len(screen.names))])
    num_plots = int(index.max()) + 1
    if num_plots == len(table):
        raise AnalysisError("every run is a whole plot of its own", fix="Use estimate_effects.")
    found = _by_strata(screen, table.y, index, is_whole)
    method = "split_plot"
    if found is None:
        found, method = _by_reml(screen, table.y, whole_plots), "split_plot_reml"
    estimate, se, df = found
    half = np.array([critical_t(level, float(d)) for d in df]) * se
    with np.errstate(divide="ignore", invalid="ignore"):
        p = t_two_sided(estimate / se, df)
    q_values = _q_values(screen, p, correction)
    return tuple(
        Effect(
            term=name,
            package=" + ".join(sorted(set(table.packages))),
            budget=" + ".join(sorted(set(table.budgets))),
            estimate=float(estimate[j]),
            se=float(se[j]),
            low=float(estimate[j] - half[j]),
            high=float(estimate[j] + half[j]),
            level=level,
            p=float(p[j]) if np.isfinite(p[j]) else None,
            q=q_values.get(name),
            retained=_is_retained(estimate[j], half[j], q_values.get(name), q),
            df=float(df[j]),
            n=num_plots if is_whole[j] else len(table),
            aliased_with=tuple(aliases.get(name, ())),
            method=method,
            notes=(
                *table.left_out_note(),
                f"whole-plot stratum ({num_plots} whole plots)" if is_whole[j] else "sub-plot stratum",
            ),
        )
        for j, name in enumerate(screen.names)
    )


def _q_values(screen: Screen, p: Array, correction: Correction | None) -> dict[str, float | None]:
    if correction is None:
        return {}
    main = [j for j, term in enumerate(screen.terms) if len(term) == 1] or list(range(len(screen.terms)))
    known = [float(p[j]) if np.isfinite(p[j]) else None for j in main]
    return dict(zip((screen.names[j] for j in main), adjust(known, correction), strict=True))


def _is_retained(estimate: float, half: float, q_value: float | None, q: float) -> bool | None:
    return None if q_value is None else bool(abs(estimate) > half and q_value <= q)


def _varying_labels(table: Table) -> list[str]:
    return [name for name in ("package", "budget", "host") if len(set(table.column(name))) > 1]


def _index(labels: Sequence[str]) -> npt.NDArray[np.int64]:
    order = {label: i for i, label in enumerate(dict.fromkeys(labels))}
    return np.array([order[label] for label in labels], dtype=np.int64)


def _constant_within(column: Array, index: npt.NDArray[np.int64]) -> bool:
    means = np.bincount(index, column) / np.bincount(index)
    return bool(np.abs(column - means[index]).max() < 1e-9)


def _by_strata(
    screen: Screen, y: Array, index: npt.NDArray[np.int64], is_whole: npt.NDArray[np.bool_]
) -> tuple[Array, Array, Array] | None:
    """Estimates, errors, df by stratum; None when the strata are not orthogonal."""
    sizes = np.bincount(index)
    plots = np.eye(len(sizes))[index]
    means = (plots / sizes).T
    # Sub-plot terms tell nothing of whole plots where each whole plot has them in equal shares.
    shares = means @ screen.X[:, ~is_whole]
    if len(set(sizes.tolist())) > 1 or np.abs(shares - shares[:1]).max(initial=0.0) > 1e-9:
        return None
    m = len(screen.names)
    estimate, se, df = np.zeros(m), np.zeros(m), np.zeros(m)
    if is_whole.any():
        whole = [name for name, flag in zip(screen.names, is_whole, strict=True) if flag]
        X = np.column_stack([np.ones(len(sizes)), means @ screen.X[:, is_whole], means @ screen.extra])
        if len(sizes) <= X.shape[1]:
            raise AnalysisError(
                f"{len(sizes)} whole plots leave no degree of freedom for whole-plot error",
                value=whole,
                fix="Train each whole plot under more seeds, or leave out terms declared negligible.",
            )
        fit = LeastSquares(X, ["1", *whole, *(f"block {i}" for i in range(screen.extra.shape[1]))]).fit(means @ y)
        part = slice(1, 1 + len(whole))
        estimate[is_whole], se[is_whole], df[is_whole] = 2.0 * fit.coef[part], 2.0 * fit.se[part], fit.df
    if not is_whole.all():
        sub = [name for name, flag in zip(screen.names, is_whole, strict=True) if not flag]
        names = [*(f"whole plot {i}" for i in range(len(sizes))), *sub]
        fit = LeastSquares(np.column_stack([plots, screen.X[:, ~is_whole]]), names).fit(y)
        part = slice(len(sizes), None)
        estimate[~is_whole], se[~is_whole], df[~is_whole] = 2.0 * fit.coef[part], 2.0 * fit.se[part], fit.df
    return estimate, se, df


def _by_reml(screen: Screen, y: Array, whole_plots: Sequence[str]) -> tuple[Array, Array, Array]:
    X = np.column_stack([np.ones(len(y)), screen.X, screen.extra])
    names = ["1", *screen.names, *(f"extra {i}" for i in range(screen.extra.shape[1]))]
    fit = fit_mixed(y, X, {"whole plot": whole_plots}, names=names)
    part = slice(1, 1 + len(screen.names))
    return 2.0 * fit.coef[part], 2.0 * fit.se[part], fit.df[part]


@dataclass(frozen=True, slots=True, kw_only=True)
class StratumRow:
    """A term tested in its stratum: F on df and error_df."""

    term: str
    stratum: str
    df: int
    sum_squares: float
    error_df: int
    error_mean_square: float
    f: float
    p: float


def split_plot_anova(
    y: Array,
    columns: Mapping[str, Sequence[str]],
    *,
    strata: Sequence[tuple[str, ...]],
    terms: Sequence[tuple[str, ...]],
) -> tuple[StratumRow, ...]:
    """Classical ANOVA by strata for balanced data, e.g. strata `[("B",), ("B", "V")]`, terms V, N, V:N.

    columns: categories by name; strata: nested groupings, outermost first (the residual is implied).
    Raises AnalysisError when a term has information in several strata (unbalanced: use `fit_mixed`), or when
    a stratum with terms leaves no degree of freedom for its error.
    """
    n = len(y)
    bases = [np.ones((n, 1)), *(_dummies(columns, grouping) for grouping in strata), np.eye(n)]
    names = [":".join(grouping) for grouping in strata] + ["residual"]
    projectors = [_projector(basis) for basis in bases]
    members: dict[str, list[tuple[tuple[str, ...], Array]]] = {name: [] for name in names}
    fitted = np.ones((n, 1))
    for term in terms:
        own = _orthogonal_to(fitted, _dummies(columns, term))
        fitted = np.column_stack([fitted, own])
        inside = [
            name
            for name, inner, outer in zip(names, projectors[1:], projectors[:-1], strict=True)
            if rank(np.round((inner - outer) @ own, 9)) > 0
        ]
        if len(inside) != 1:
            raise AnalysisError(
                f"term {':'.join(term)} has information in several strata", value=inside, fix="Use fit_mixed (REML)."
            )
        members[inside[0]].append((term, own))
    rows: list[StratumRow] = []
    for name, inner, outer in zip(names, projectors[1:], projectors[:-1], strict=True):
        rows += _stratum(name, members[name], inner - outer, y)
    order = {":".join(term): i for i, term in enumerate(terms)}
    return tuple(sorted(rows, key=lambda row: order[row.term]))


def _stratum(name: str, members: list[tuple[tuple[str, ...], Array]], Q: Array, y: Array) -> list[StratumRow]:
    if not members:
        return []
    sums = [float(y @ _projector(own) @ y) for _, own in members]
    dfs = [rank(own) for _, own in members]
    error_df = round(float(np.trace(Q))) - sum(dfs)
    if error_df < 1:
        raise AnalysisError(
            f"stratum {name} has no degree of freedom left for its error", fix="Replicate its whole plots."
        )
    error = (float(y @ Q @ y) - sum(sums)) / error_df
    return [
        StratumRow(
            term=":".join(term),
            stratum=name,
            df=df,
            sum_squares=ss,
            error_df=error_df,
            error_mean_square=error,
            f=ss / df / error,
            p=f_upper(ss / df / error, df, error_df),
        )
        for (term, _), ss, df in zip(members, sums, dfs, strict=True)
    ]


def _dummies(columns: Mapping[str, Sequence[str]], grouping: tuple[str, ...]) -> Array:
    missing = [name for name in grouping if name not in columns]
    if missing:
        raise AnalysisError("unknown columns", value=missing, fix=f"Columns are {', '.join(columns)}.")
    index = _index([":".join(labels) for labels in zip(*(columns[name] for name in grouping), strict=True)])
    return np.eye(int(index.max()) + 1)[index]


def _projector(X: Array) -> Array:
    U, singular, _ = np.linalg.svd(X, full_matrices=False)
    U = U[:, singular > 1e-9 * singular[0]] if singular.size and singular[0] > 1e-9 else U[:, :0]
    return np.asarray(U @ U.T)


def _orthogonal_to(base: Array, X: Array) -> Array:
    """An orthonormal basis of what X adds to base."""
    rest = X - _projector(base) @ X
    U, singular, _ = np.linalg.svd(rest, full_matrices=False)
    return np.asarray(U[:, singular > 1e-9 * max(1.0, float(singular[0]))])
