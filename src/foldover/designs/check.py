"""Is it the design you meant? Compares rows after resolving, before anything is paid for.

Levels that differ on paper may be one run in fact: a width that is rounded up to a multiple of 128 makes
depth 6 with aspect 48 and with aspect 64 the same model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from foldover.core import Design, Factor, Row, UserError, Values

Severity = Literal["error", "warning", "info"]
NoteKind = Literal["same_run", "dead_level", "level_not_realised", "confounded_quantity", "efficiency"]
Effective = Callable[[tuple[float, ...]], Values]

SEVERITY_ORDER: tuple[Severity, ...] = ("error", "warning", "info")

# Of half the range; below it, rounding to a lattice does not matter for an effect (a guess).
_MOVED = 0.05
_CORRELATED = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignNote:
    """One thing to know about a design: rows and factors it concerns, and how bad it is.

    error: the design cannot show what it is for; warning: an effect means something else than it says;
    info: worth knowing when reading the results.
    """

    kind: NoteKind
    severity: Severity
    message: str
    rows: tuple[str, ...] = ()
    factors: tuple[str, ...] = ()


def check_design(design: Design, effective: Effective) -> tuple[DesignNote, ...]:
    """Notes about rows that resolve to one run, dead levels, moved levels and confounded quantities.

    effective: what a run at coded levels really depends on (`Resolved.effective`); two rows for which it is
    equal are one run. Errors come first. What `effective` raises for a row of the design is not caught.
    """
    resolved = {levels: effective(levels) for levels in dict.fromkeys(row.levels for row in design.rows)}
    notes = [
        *_same_runs(design, resolved),
        *_dead_levels(design, resolved, effective),
        *_moved_levels(design),
        *_confounded_quantities(design, resolved),
        *_lost_efficiency(design),
    ]
    return tuple(sorted(notes, key=lambda note: SEVERITY_ORDER.index(note.severity)))


def _same_runs(design: Design, resolved: dict[tuple[float, ...], Values]) -> list[DesignNote]:
    groups: dict[Values, list[Row]] = {}
    for row in design.rows:
        groups.setdefault(resolved[row.levels], []).append(row)
    notes = []
    for rows in groups.values():
        if len({row.levels for row in rows}) < 2:
            continue
        labels = tuple(row.label for row in rows)
        differing = _differing(design.factors, [row.levels for row in rows])
        notes.append(
            DesignNote(
                kind="same_run",
                severity="error",
                message=f"rows {_listed(labels)} resolve to the same run although {_letters(differing)} differ",
                rows=labels,
                factors=tuple(f.letter for f in differing),
            )
        )
    return notes


def _dead_levels(design: Design, resolved: dict[tuple[float, ...], Values], effective: Effective) -> list[DesignNote]:
    """Factors whose flip at a two-level row changes nothing, with the levels of the factors that decide it."""
    dead: dict[str, list[Row]] = {}
    corners = [row for row in design.rows if row.kind == "factorial" and row.replicate == 1]
    for i, factor in enumerate(design.factors):
        if factor.num_levels != 2:
            continue
        for row in corners:
            flipped = tuple(-x if j == i else x for j, x in enumerate(row.levels))
            if flipped == row.levels:
                continue
            if flipped not in resolved:
                try:
                    resolved[flipped] = effective(flipped)
                except UserError:
                    continue  # a corner outside the design may be impossible; then its flip is no dead level
            if resolved[flipped] == resolved[row.levels]:
                dead.setdefault(factor.letter, []).append(row)
    return [_dead_note(design, letter, rows, len(corners)) for letter, rows in dead.items()]


def _dead_note(design: Design, letter: str, rows: Sequence[Row], num_corners: int) -> DesignNote:
    factor = design.factor(letter)
    where = _common_levels(design, rows, letter) if len(rows) < num_corners else " in every row"
    labels = tuple(row.label for row in rows)
    return DesignNote(
        kind="dead_level",
        severity="error",
        message=(
            f"factor {letter}: levels {_show(factor.low)} and {_show(factor.high)} of `{factor.lever}` "
            f"give the same model{where} (rows {_listed(labels)})"
        ),
        rows=labels,
        factors=(letter,),
    )


def _common_levels(design: Design, rows: Sequence[Row], letter: str) -> str:
    """` at depth 6` where these rows, and none of the others, have that level of another factor."""
    labels = {row.label for row in rows}
    others = [row for row in design.rows if row.kind == "factorial" and row.label not in labels]
    for i, factor in enumerate(design.factors):
        levels = {row.levels[i] for row in rows}
        if factor.letter == letter or len(levels) != 1 or levels & {row.levels[i] for row in others}:
            continue
        short = factor.lever.rpartition(".")[2]
        return f" at {short} {_show(factor.decode(levels.pop()))}"
    return ""


def _moved_levels(design: Design) -> list[DesignNote]:
    moved: dict[tuple[str, float, float], list[str]] = {}
    for row in design.rows:
        for factor, planned in zip(design.factors, row.levels, strict=True):
            realised = factor.realised(planned)
            if abs(realised - planned) > _MOVED:
                moved.setdefault((factor.letter, planned, realised), []).append(row.label)
    notes = []
    for (letter, planned, realised), labels in moved.items():
        factor = design.factor(letter)
        natural = _show(factor.decode(planned))
        what = "the centre" if planned == 0 else f"coded {planned:+.3g}"
        notes.append(
            DesignNote(
                kind="level_not_realised",
                severity="warning",
                message=(
                    f"factor {letter}: {what} of `{factor.lever}` is realised as {natural}, "
                    f"coded {realised:+.3g} (rows {_listed(labels)})"
                ),
                rows=tuple(labels),
                factors=(letter,),
            )
        )
    return notes


def _confounded_quantities(design: Design, resolved: dict[tuple[float, ...], Values]) -> list[DesignNote]:
    """Derived numbers that move with two or more factors: an effect of one is in part that of the number."""
    levers = {factor.lever for factor in design.factors}
    names = sorted({name for values in resolved.values() for name in values} - levers)
    notes = []
    for name in names:
        numbers = [_number(resolved[row.levels].get(name)) for row in design.rows]
        if any(number is None for number in numbers):
            continue
        series = [number for number in numbers if number is not None]
        correlations = [
            (factor.letter, _correlation([row.levels[i] for row in design.rows], series))
            for i, factor in enumerate(design.factors)
        ]
        strong = [(letter, r) for letter, r in correlations if abs(r) >= _CORRELATED]
        if len(strong) > 1:
            text = ", ".join(f"{letter} {r:+.2f}" for letter, r in strong)
            notes.append(
                DesignNote(
                    kind="confounded_quantity",
                    severity="info",
                    message=f"`{name}` moves with several factors (correlation {text}): their effects share it",
                    factors=tuple(letter for letter, _ in strong),
                )
            )
    return notes


def _lost_efficiency(design: Design) -> list[DesignNote]:
    from foldover.designs.evaluate import relative_d_efficiency  # late: it needs numpy, most designs do not

    planned = [row.levels for row in design.rows]
    realised = [design.realised(row) for row in design.rows]
    if planned == realised:
        return []
    ratio = relative_d_efficiency(design.factors, planned, realised)
    if ratio is None or ratio > 1 - _MOVED:
        return []
    return [
        DesignNote(
            kind="efficiency",
            severity="warning",
            message=f"with realised levels the D-efficiency for main effects is {ratio:.0%} of the planned one",
        )
    ]


def _differing(factors: Sequence[Factor], levels: Sequence[Sequence[float]]) -> list[Factor]:
    return [f for i, f in enumerate(factors) if len({row[i] for row in levels}) > 1]


def _correlation(x: Sequence[float], y: Sequence[float]) -> float:
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    sxy = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    sxx, syy = sum((a - mean_x) ** 2 for a in x), sum((b - mean_y) ** 2 for b in y)
    return float(sxy / (sxx * syy) ** 0.5) if sxx > 0 and syy > 0 else 0.0


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _letters(factors: Sequence[Factor]) -> str:
    return ", ".join(f"{f.letter} (`{f.lever}`)" for f in factors)


def _listed(labels: Sequence[str], most: int = 6) -> str:
    return ", ".join(labels[:most]) + (f", ... {len(labels)} in all" if len(labels) > most else "")


def _show(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
