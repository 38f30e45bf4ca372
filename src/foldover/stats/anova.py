"""Analysis of variance: types I, II and III, shares of the sum of squares, lack of fit between two models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import numpy.typing as npt

from foldover.core import AnalysisError
from foldover.stats.ols import rank
from foldover.stats.screen import prepare_screen
from foldover.stats.table import Table
from foldover.stats.tails import f_upper
from foldover.stats.terms import parse_term, term_text

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnovaRow:
    """One term. eta_sq: share of the total; partial_eta_sq: of term and residual; omega_sq: less biased share.

    f, p, partial_eta_sq and omega_sq are None where no degree of freedom is left for the error.
    """

    term: str
    df: int
    sum_squares: float
    mean_square: float
    f: float | None
    p: float | None
    eta_sq: float
    partial_eta_sq: float | None
    omega_sq: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Anova:
    """Rows in the order of the terms, the residual and the total about the mean.

    residual_share: of the total. Shares describe these runs; they are not variance components. With types II
    and III on unbalanced data the sums do not add up to the total.
    """

    kind: int
    rows: tuple[AnovaRow, ...]
    residual_df: int
    residual_sum_squares: float
    residual_share: float
    total_sum_squares: float
    notes: tuple[str, ...] = ()

    def row(self, term: str) -> AnovaRow:
        """The row of a term. KeyError if there is none."""
        for row in self.rows:
            if row.term == term:
                return row
        raise KeyError(term)


def anova_of_table(table: Table, *, terms: Sequence[str], kind: Literal[1, 2, 3] = 2) -> Anova:
    """ANOVA of a table. terms: factors (`A`, `AB`) as numbers; `budget`, `condition`, `seed`, `host`, `package`
    and other label columns as categories; interactions of these with colons, such as `budget:condition`.

    Raises AnalysisError for unknown names, terms that cannot be told apart, and empty cells of an interaction.
    """
    columns: dict[str, Array | Sequence[str]] = {letter: table.levels[:, j] for j, letter in enumerate(table.letters)}
    parsed = []
    for text in terms:
        parts: list[str] = []
        for part in text.replace(" ", "").split(":"):
            if part in table.letters or all(character in table.letters for character in part):
                parts += parse_term(part, table.letters)
            else:
                columns[part] = table.column(part)
                parts.append(part)
        parsed.append(tuple(parts))
    found = anova_of_columns(table.y, columns, terms=parsed, kind=kind)
    return Anova(
        kind=found.kind,
        rows=found.rows,
        residual_df=found.residual_df,
        residual_sum_squares=found.residual_sum_squares,
        residual_share=found.residual_share,
        total_sum_squares=found.total_sum_squares,
        notes=(*table.notes, *table.left_out_note(), *found.notes),
    )


def anova_of_columns(
    y: Array,
    columns: Mapping[str, Array | Sequence[str]],
    *,
    terms: Sequence[tuple[str, ...]],
    kind: Literal[1, 2, 3] = 2,
) -> Anova:
    """ANOVA of responses y (n,). columns: arrays are numbers (one degree of freedom), other sequences categories
    (sum-to-zero coded). terms: tuples of column names.

    Type II: RSS without the term and all terms containing it, minus the same plus the term; type I: in the
    given order; type III: the full model without the term.
    """
    if kind not in (1, 2, 3):
        raise AnalysisError("unknown type of sum of squares", value=kind, fix="Use 1, 2 or 3.")
    if len(set(terms)) < len(terms):
        raise AnalysisError("a term is listed twice", value=[":".join(t) for t in terms])
    blocks = {term: _columns_of(term, columns) for term in terms}
    one = np.ones((len(y), 1))
    full = np.column_stack([one, *blocks.values()])
    residual_df = len(y) - rank(full)
    residual = _rss(full, y)
    total = float(((y - y.mean()) ** 2).sum())
    if total == 0.0:
        raise AnalysisError("the response is the same in all runs", value=float(y[0]))
    rows = []
    for i, term in enumerate(terms):
        base = np.column_stack([one, *(blocks[other] for other in _others(term, i, terms, kind))])
        bigger = np.column_stack([base, blocks[term]])
        df = rank(bigger) - rank(base)
        if df == 0:
            raise AnalysisError(
                f"term {':'.join(term)} cannot be told from the other terms", fix="Drop it or what it is aliased with."
            )
        rows.append(_row(_text(term), df, max(_rss(base, y) - _rss(bigger, y), 0.0), total, residual, residual_df))
    notes = () if residual_df > 0 else ("no degree of freedom is left for the error: no F",)
    return Anova(
        kind=kind,
        rows=tuple(rows),
        residual_df=residual_df,
        residual_sum_squares=residual,
        residual_share=residual / total,
        total_sum_squares=total,
        notes=notes,
    )


def _text(term: tuple[str, ...]) -> str:
    return term_text(term) if all(len(name) == 1 for name in term) else ":".join(term)


def _others(term: tuple[str, ...], i: int, terms: Sequence[tuple[str, ...]], kind: int) -> list[tuple[str, ...]]:
    if kind == 1:
        return list(terms[:i])
    if kind == 3:
        return [other for other in terms if other != term]
    return [other for other in terms if not set(term) <= set(other)]


def _row(term: str, df: int, ss: float, total: float, residual: float, residual_df: int) -> AnovaRow:
    error = residual / residual_df if residual_df > 0 else None
    f = ss / df / error if error else None
    return AnovaRow(
        term=term,
        df=df,
        sum_squares=ss,
        mean_square=ss / df,
        f=f,
        p=None if f is None else f_upper(f, df, residual_df),
        eta_sq=ss / total,
        partial_eta_sq=ss / (ss + residual) if error else None,
        omega_sq=(ss - df * error) / (total + error) if error else None,
    )


def _rss(X: Array, y: Array) -> float:
    coef, *_ = np.linalg.lstsq(X, y, rcond=None)
    rest = y - X @ coef
    return float(rest @ rest)


def _columns_of(term: tuple[str, ...], columns: Mapping[str, Array | Sequence[str]]) -> Array:
    """Columns of a term: products over its members, categories in sum-to-zero coding."""
    labels = {}
    block = np.ones((len(next(iter(columns.values()))), 1))
    for name in term:
        if name not in columns:
            raise AnalysisError("the model names an unknown column", value=name, fix=f"Columns: {', '.join(columns)}.")
        column = columns[name]
        if isinstance(column, np.ndarray):
            part = column[:, None].astype(np.float64)
        else:
            labels[name] = column
            part = _sum_coded(name, column)
        block = np.einsum("ni,nj->nij", block, part).reshape(len(block), -1)
    _require_cells(labels)
    return block


def _sum_coded(name: str, labels: Sequence[str]) -> Array:
    levels = sorted(set(labels))
    if len(levels) < 2:
        raise AnalysisError(f"column {name} has a single value", value=levels, fix="Leave it out of the model.")
    coding = np.vstack([np.eye(len(levels) - 1), -np.ones(len(levels) - 1)])
    return np.asarray(coding[[levels.index(label) for label in labels]])


def _require_cells(labels: Mapping[str, Sequence[str]]) -> None:
    """Raise AnalysisError when a combination of categories in an interaction has no run."""
    if len(labels) < 2:
        return
    present = set(zip(*labels.values(), strict=True))
    empty = [cell for cell in product(*(sorted(set(values)) for values in labels.values())) if cell not in present]
    if empty:
        named = [", ".join(f"{n}={v}" for n, v in zip(labels, cell, strict=True)) for cell in empty[:4]]
        raise AnalysisError(
            f"interaction {':'.join(labels)} is not estimable: {len(empty)} of its cells have no run",
            value="; ".join(named),
            fix="Run them, or leave the interaction out.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LackOfFit:
    """F of what a smaller model leaves out, against the error of a larger one or against pure error."""

    f: float
    df_lack: int
    df_error: int
    p: float
    sum_squares_lack: float
    sum_squares_error: float
    against: str


def lack_of_fit(
    table: Table,
    *,
    terms: Sequence[str] | str = "main",
    larger: Sequence[str] | str = "main+2fi",
    block: str | None = "seed",
    adjust_for: Sequence[str] = (),
) -> LackOfFit:
    """Does the model `larger` explain more than `terms`? F of the difference over the residual of `larger`.

    Raises AnalysisError when the larger model has no more terms, or leaves no degree of freedom.
    """
    small = prepare_screen(table, terms=terms, block=block, adjust_for=adjust_for)
    large = prepare_screen(table, terms=larger, block=block, adjust_for=adjust_for)
    one, blocks = np.ones((len(table), 1)), small.block_columns()
    X0, X1 = np.column_stack([one, small.X, blocks]), np.column_stack([one, large.X, blocks])
    return _compare(X0, X1, table.y, against="the larger model")


def pure_error_lack_of_fit(X: Array, y: Array, *, blocks: Array | None = None) -> LackOfFit:
    """Lack of fit of the model X (n, p), intercept included, against the spread of runs with equal rows of X.

    blocks: columns (n, b) that both models have besides, such as seeds; what they explain is then no error. Raises
    AnalysisError when no row is replicated, or when there are no more distinct rows than coefficients.
    """
    _, index = np.unique(np.round(X, 9), axis=0, return_inverse=True)
    cells = np.eye(int(index.max()) + 1)[index.reshape(-1)]
    if cells.shape[1] == len(y):
        raise AnalysisError("no run is replicated: there is no pure error", fix="Add centre points or replicates.")
    beside = np.empty((len(y), 0)) if blocks is None else blocks
    return _compare(np.column_stack([X, beside]), np.column_stack([cells, beside]), y, against="pure error")


def _compare(X0: Array, X1: Array, y: Array, *, against: str) -> LackOfFit:
    rank0, rank1 = rank(X0), rank(X1)
    df_lack, df_error = rank1 - rank0, len(y) - rank1
    if df_lack < 1 or df_error < 1:
        raise AnalysisError(
            "lack of fit cannot be tested",
            value=f"{df_lack} degrees of freedom for lack of fit, {df_error} for error",
            fix="Use a smaller model, or add replicates.",
        )
    error = _rss(X1, y)
    lack = max(_rss(X0, y) - error, 0.0)
    f = (lack / df_lack) / (error / df_error)
    return LackOfFit(
        f=f,
        df_lack=df_lack,
        df_error=df_error,
        p=f_upper(f, df_lack, df_error),
        sum_squares_lack=lack,
        sum_squares_error=error,
        against=against,
    )
