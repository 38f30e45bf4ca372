"""Split plots: some factors are reset for each whole plot only, the others for every run.

A trained model is a whole plot for the levers of the export phase; a host is one for everything that runs on
it. Effects of the two strata have different errors (Bingham and Sitter 1999, Technometrics 41).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from foldover.core import Design, DesignError, Factor, Row
from foldover.designs.alias import alias_sets, column_of
from foldover.designs.factorial import fractional_factorial, full_factorial
from foldover.designs.gf2 import columns_of, defining_relation, resolution
from foldover.designs.order import randomize


@dataclass(frozen=True, slots=True, kw_only=True)
class Strata:
    """Main effects and two-factor interactions by the error they are judged with.

    whole_plot: those that some product of whole-plot factors equals; drawn_in: of these and of the
    three-factor interactions, the ones that contain a sub-plot factor; sub_plot: all other effects.
    """

    num_whole_plots: int
    whole_plot: tuple[str, ...]
    drawn_in: tuple[str, ...]
    sub_plot: tuple[str, ...]


def split_plot(
    factors: Sequence[Factor],
    whole_plot: Sequence[str],
    *,
    runs: int | None = None,
    generators: Sequence[str] = (),
    resolution: int | None = None,
    name: str = "split_plot",
    seed: int | None = None,
) -> Design:
    """A full or fractional factorial run in whole plots, one for each setting of the hard-to-change factors.

    whole_plot: their letters. runs, generators, resolution: as `fractional_factorial` (none: the full
    factorial); without generators the whole-plot factors are taken as basic ones. Whole plots are w1, w2,
    ...; the run order permutes them, and the runs within each.
    Raises DesignError for unknown letters, no sub-plot factor, or a single run a whole plot.
    """
    letters = [factor.letter for factor in factors]
    _refuse_unfit(letters, whole_plot)
    if runs is None and not generators and resolution is None:
        base = full_factorial(factors, name=name)
    else:
        chosen = tuple(generators) or _generators(factors, whole_plot, runs, resolution)
        base = fractional_factorial(factors, runs=runs, generators=chosen, resolution=resolution, name=name)
    places = [letters.index(letter) for letter in whole_plot]
    settings = list(dict.fromkeys(tuple(row.levels[i] for i in places) for row in base.rows))
    if len(settings) == len(base.rows):
        raise DesignError(
            "every run would be a whole plot of its own", value=tuple(whole_plot), fix="Choose other generators."
        )
    plots = {setting: f"w{i + 1}" for i, setting in enumerate(settings)}
    rows = [replace(row, whole_plot=plots[tuple(row.levels[i] for i in places)]) for row in base.rows]
    return randomize(_finished(base, rows, tuple(whole_plot)), seed)


def cross_plots(whole: Design, sub: Design, *, name: str = "split_plot", seed: int | None = None) -> Design:
    """Every row of `sub` under every row of `whole`: e.g. all export settings of each trained model.

    A row is labelled `c03.c01`; its whole plot is the row of `whole`. Raises DesignError if a letter is in both.
    """
    shared = set(whole.letters) & set(sub.letters)
    if shared:
        raise DesignError("a factor is in both strata", value="".join(sorted(shared)))
    rows = [
        Row(
            label=f"{a.label}.{b.label}",
            levels=(*a.levels, *b.levels),
            order=0,
            block=a.block,
            kind="factorial" if a.kind == b.kind == "factorial" else "free",
            whole_plot=a.label,
        )
        for a, b in itertools.product(whole.rows, sub.rows)
    ]
    generators = (*whole.generators, *sub.generators)
    factors = (*whole.factors, *sub.factors)
    is_regular = all(part.kind in ("full", "fraction") for part in (whole, sub))
    words = defining_relation(generators) if is_regular else ()
    base = Design(
        name=name,
        kind="split_plot",
        factors=factors,
        rows=(),
        generators=generators if is_regular else (),
        words=words,
        resolution=resolution(words),
        aliases=alias_sets([f.letter for f in factors], generators) if is_regular else (),
        parent=whole.name,
    )
    return randomize(_finished(base, rows, whole.letters), seed)


def strata(design: Design) -> Strata:
    """Which effects of a regular split-plot design are judged with which error.

    Raises DesignError for designs without whole plots or without a defining relation.
    """
    if not design.whole_plot:
        raise DesignError("the design has no whole plots", value=design.name, fix="Make it with `split_plot`.")
    if not _is_two_level(design):
        raise DesignError("strata are listed for two-level designs", value=design.kind)
    columns = columns_of(design.letters, design.generators)
    span = {0}
    for letter in design.whole_plot:
        span |= {mask ^ columns[letter].mask for mask in span}
    effects = ["".join(e) for size in (1, 2, 3) for e in itertools.combinations(design.letters, size)]
    inside = [e for e in effects if column_of(e, columns).mask in span]
    return Strata(
        num_whole_plots=len({row.whole_plot for row in design.rows}),
        whole_plot=tuple(e for e in inside if len(e) < 3),
        drawn_in=tuple(e for e in inside if not set(e) <= set(design.whole_plot)),
        sub_plot=tuple(e for e in effects if len(e) < 3 and e not in inside),
    )


def _generators(
    factors: Sequence[Factor], whole_plot: Sequence[str], runs: int | None, resolution: int | None
) -> tuple[str, ...]:
    """Those of the stored fraction with the whole-plot factors first, so that they are basic."""
    ordered = sorted(factors, key=lambda f: (f.letter not in whole_plot, [x.letter for x in factors].index(f.letter)))
    return fractional_factorial(ordered, runs=runs, resolution=resolution).generators


def _finished(base: Design, rows: Sequence[Row], whole_plot: tuple[str, ...]) -> Design:
    """Rows sorted so that a whole plot is together, with a note where there is no whole-plot error."""
    ordered = tuple(replace(row, order=i) for i, row in enumerate(sorted(rows, key=lambda row: _number(row, rows))))
    note = "one whole plot for each setting: effects of whole-plot factors have no error of their own until replicated"
    return replace(base, kind="split_plot", rows=ordered, whole_plot=whole_plot, notes=(*base.notes, note))


def _number(row: Row, rows: Sequence[Row]) -> int:
    return list(dict.fromkeys(other.whole_plot for other in rows)).index(row.whole_plot)


def _is_two_level(design: Design) -> bool:
    return all(abs(x) == 1 for row in design.rows for x in row.levels)


def _refuse_unfit(letters: Sequence[str], whole_plot: Sequence[str]) -> None:
    for letter in whole_plot:
        if letter not in letters:
            raise DesignError(
                "there is no such whole-plot factor", value=letter, fix=f"There are {', '.join(letters)}."
            )
    if not whole_plot or len(set(whole_plot)) >= len(letters):
        raise DesignError(
            "a split plot needs whole-plot and sub-plot factors",
            value=tuple(whole_plot),
            fix="Name the hard ones only.",
        )
