"""Effects of a two-level screen with honest intervals, one package at one budget at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from foldover.core import AnalysisError, Correction, Effect
from foldover.stats.estimators import METHODS, Estimates, by_cell_variance, by_least_squares, by_seed
from foldover.stats.multiplicity import adjust
from foldover.stats.screen import Screen, prepare_screen
from foldover.stats.table import Table
from foldover.stats.terms import parse_term, term_text

Array = npt.NDArray[np.float64]

NO_ALIASES: Mapping[str, Sequence[str]] = {}


def estimate_effects(
    table: Table,
    *,
    terms: Sequence[str] | str = "main",
    block: str | None = "seed",
    method: str = "auto",
    level: float = 0.95,
    correction: Correction = "bh",
    q: float = 0.05,
    family: Sequence[str] | None = None,
    aliases: Mapping[str, Sequence[str]] = NO_ALIASES,
    adjust_for: Sequence[str] = (),
) -> tuple[Effect, ...]:
    """The effects of `terms` (high minus low, in units of the response) with intervals, p and q.

    terms: `main`, `main+2fi`, or names such as `A`, `AB`. block: the column that pairs runs (None: runs are
    independent). method: one of METHODS; `auto` takes `per_seed` for two or more blocks, whose intervals keep
    their level under unequal variances and seed x condition interaction, `satterthwaite` for replicates
    without a block, and `lenth` for one run a condition. correction, q: within the family. family: the
    declared terms, main effects by default; members that are not estimated count as p = 1, terms outside it
    get no q. aliases: term to the terms that cannot be told from it. adjust_for: columns with a fixed term.
    Raises AnalysisError for data that cannot carry the model, saying which rows or terms.
    """
    screen = prepare_screen(table, terms=terms, block=block, adjust_for=adjust_for)
    chosen = choose_method(screen, method)
    found = _estimate(screen, table.y[None, :], chosen, level)
    q_values = _q_values(found, _family(table, screen, family), correction)
    notes = (*table.notes, *table.left_out_note(), *_notes(screen, chosen))
    return tuple(_effect(found, j, table, q_values.get(name), q, aliases, notes) for j, name in enumerate(screen.names))


def conditional_effects(
    table: Table,
    factor: str,
    given: str,
    *,
    terms: Sequence[str] | str = "main+2fi",
    block: str | None = "seed",
    method: str = "auto",
    level: float = 0.95,
    adjust_for: Sequence[str] = (),
) -> tuple[Effect, Effect]:
    """The effect of `factor` at the low and at the high level of `given`: A - AB and A + AB, with intervals.

    What to read instead of a main effect whose interaction is retained. terms: the model, which must contain
    both factors and their interaction. Raises AnalysisError as `estimate_effects`.
    """
    screen = prepare_screen(table, terms=terms, block=block, adjust_for=adjust_for)
    main, interaction = parse_term(factor, table.letters), parse_term(f"{factor}:{given}", table.letters)
    lacking = [term_text(term) for term in (main, interaction) if term not in screen.terms]
    if lacking or len(main) != 1 or len(interaction) != 2:
        raise AnalysisError("conditional effects need both factors and their interaction in the model", value=lacking)
    at = [screen.terms.index(main), screen.terms.index(interaction)]
    # Columns A(1 - B)/2 and A(1 + B)/2 span what A and AB do; their coefficients are A - AB and A + AB.
    turned = replace(screen, X=_turned(screen.X, at), cells=_turned(screen.cells, at))
    chosen = choose_method(screen, method)
    if chosen == "lenth":
        raise AnalysisError("conditional effects need an error", fix="Replicate the runs under more seeds.")
    found = _estimate(turned, table.y[None, :], chosen, level)
    notes = (*table.notes, *table.left_out_note(), *_notes(screen, chosen))
    low, high = (_effect(found, j, table, None, 0.0, NO_ALIASES, notes) for j in at)
    return (
        replace(low, term=f"{factor} at {given} low"),
        replace(high, term=f"{factor} at {given} high"),
    )


def _turned(columns: Array, at: list[int]) -> Array:
    new = columns.copy()
    new[:, at[0]] = (columns[:, at[0]] - columns[:, at[1]]) / 2.0
    new[:, at[1]] = (columns[:, at[0]] + columns[:, at[1]]) / 2.0
    return new


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelMean:
    """The mean of n runs at these coded levels, e.g. of A = -1, B = +1."""

    levels: tuple[tuple[str, float], ...]
    mean: float
    n: int


def level_means(table: Table, letters: Sequence[str]) -> tuple[LevelMean, ...]:
    """Means of the response over all runs at each combination of levels of some factors.

    One letter gives the points of a main-effect plot, two those of an interaction plot, three those of a cube.
    """
    unknown = [letter for letter in letters if letter not in table.letters]
    if unknown or not letters:
        raise AnalysisError("unknown factors", value=unknown, fix=f"Factors are {', '.join(table.letters)}.")
    index = [table.letters.index(letter) for letter in letters]
    groups: dict[tuple[float, ...], list[float]] = {}
    for row, value in zip(table.levels[:, index].tolist(), table.y.tolist(), strict=True):
        groups.setdefault(tuple(row), []).append(value)
    return tuple(
        LevelMean(levels=tuple(zip(letters, key, strict=True)), mean=float(np.mean(groups[key])), n=len(groups[key]))
        for key in sorted(groups)
    )


def effects_of_many(
    table: Table,
    Y: Array,
    *,
    terms: Sequence[str] | str = "main",
    block: str | None = "seed",
    method: str = "auto",
    level: float = 0.95,
    adjust_for: Sequence[str] = (),
) -> Estimates:
    """The effects of S studies on the design of `table` at once: Y (S, n) in the order of its rows.

    The same estimators as `estimate_effects`, without families; for simulation and resampling.
    """
    screen = prepare_screen(table, terms=terms, block=block, adjust_for=adjust_for)
    if Y.ndim != 2 or Y.shape[1] != screen.num_runs:
        raise AnalysisError("responses must be studies x runs", value=Y.shape)
    return _estimate(screen, Y, choose_method(screen, method), level)


def choose_method(screen: Screen, method: str = "auto") -> str:
    """The method itself, or what `auto` stands for on this design.

    auto: per_seed where several seeds are blocks, else satterthwaite where every condition has two runs, else lenth.
    """
    if method != "auto":
        return method
    if screen.block is not None and len(screen.block_labels) > 1:
        return "per_seed"
    return "satterthwaite" if int(screen.counts().min()) > 1 else "lenth"


def _estimate(screen: Screen, Y: Array, method: str, level: float) -> Estimates:
    if not 0.0 < level < 1.0:
        raise AnalysisError("the level of an interval must be between 0 and 1", value=level)
    if not np.isfinite(Y).all():
        raise AnalysisError("a response is not a finite number", fix="A failure is a status: leave such runs out.")
    if method not in METHODS:
        raise AnalysisError("unknown method", value=method, fix=f"Use one of {', '.join(METHODS)}.")
    if method == "per_seed":
        return by_seed(screen, Y, level)
    if method == "satterthwaite":
        return by_cell_variance(screen, Y, level)
    if method == "mixed":
        from foldover.stats.mixed import by_random_block  # late: few ask for it

        return by_random_block(screen, Y, level)
    if method == "lenth":
        from foldover.stats.unreplicated import by_lenth  # late: only for single runs

        return by_lenth(screen, Y, level)
    return by_least_squares(screen, Y, level, method=method)


def _family(table: Table, screen: Screen, family: Sequence[str] | None) -> tuple[str, ...]:
    if family is None:
        main = tuple(name for name, term in zip(screen.names, screen.terms, strict=True) if len(term) == 1)
        return main or screen.names
    members = tuple(term_text(parse_term(text, table.letters)) for text in family)
    if len(set(members)) < len(members):
        raise AnalysisError("the family names a term twice", value=list(family), fix="A hypothesis is tested once.")
    return members


def _q_values(found: Estimates, members: tuple[str, ...], correction: Correction) -> dict[str, float | None]:
    p_of = {name: float(found.p[0, j]) for j, name in enumerate(found.terms)}
    p_values = [p_of[name] if name in p_of and np.isfinite(p_of[name]) else None for name in members]
    if all(p is None for p in p_values):
        return {}
    return dict(zip(members, adjust(p_values, correction), strict=True))


def _notes(screen: Screen, method: str) -> tuple[str, ...]:
    notes = []
    if method == "lenth":
        notes.append("descriptive: one run a condition, no error is estimated from replicates")
    elif screen.block is not None and not screen.balanced:
        counts = np.zeros((len(screen.block_labels), len(screen.cell_labels)), dtype=int)
        np.add.at(counts, (screen.block, screen.cell), 1)
        missing = [f"{screen.cell_labels[c]} in block {screen.block_labels[b]}" for b, c in np.argwhere(counts == 0)]
        shown = ", ".join(missing[:6]) + (f" and {len(missing) - 6} more" if len(missing) > 6 else "")
        notes.append(f"unbalanced: no run of {shown}" if missing else "unbalanced: blocks differ in runs")
    if method == "per_seed" and len(screen.block_labels) < 3:
        lost = "" if screen.balanced else ", and with lost runs it is approximate (90 to 95% in simulations)"
        notes.append(f"two blocks: the interval rests on one degree of freedom{lost}")
    return tuple(notes)


def _effect(
    found: Estimates,
    j: int,
    table: Table,
    q_value: float | None,
    q: float,
    aliases: Mapping[str, Sequence[str]],
    notes: tuple[str, ...],
) -> Effect:
    term, estimate = found.terms[j], float(found.estimate[0, j])
    descriptive = found.method == "lenth"
    if descriptive:
        margin = float(found.high[0, j]) - estimate
        verdict = "exceeds" if abs(estimate) > margin else "is within"
        notes = (*notes, f"Lenth: |estimate| {abs(estimate):.3g} {verdict} the margin of error {margin:.3g}")
    elif q_value is None:
        notes = (*notes, "outside the declared family: descriptive")
    if not descriptive and float(found.se[0, j]) <= 1e-12 * float(np.abs(table.y).max()):
        notes = (*notes, "no spread at all between replicates: does the seed act?")
    low, high = float(found.low[0, j]), float(found.high[0, j])
    excludes_zero = not low <= 0.0 <= high
    return Effect(
        term=term,
        package=_single(table.packages),
        budget=_single(table.budgets),
        estimate=estimate,
        se=None if descriptive else float(found.se[0, j]),
        low=None if descriptive else low,
        high=None if descriptive else high,
        level=found.level,
        p=None if descriptive else float(found.p[0, j]),
        q=q_value,
        retained=None if q_value is None else excludes_zero and q_value <= q,
        df=None if descriptive else float(np.broadcast_to(found.df, found.estimate.shape)[0, j]),
        n=len(table),
        aliased_with=tuple(aliases.get(term, ())),
        method=found.method,
        notes=notes,
    )


def _single(labels: Sequence[str]) -> str:
    """The one label, or all of them: `5 min + 10 min`."""
    return " + ".join(sorted(set(labels)))
