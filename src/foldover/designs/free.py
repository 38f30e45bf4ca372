"""Designs without structure, as comparators: random ones and lists that the user writes."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence

from foldover.core import Design, DesignError, Factor, Row, Scalar, Values
from foldover.designs.constraints import is_allowed, read_constraints, refuse_forbidden_rows
from foldover.designs.factorial import rows_of
from foldover.designs.order import randomize

_MAX_TRIES = 1_000


def random_design(
    factors: Sequence[Factor],
    *,
    runs: int,
    seed: int,
    between: bool = False,
    constraints: Sequence[str] = (),
    name: str = "random",
) -> Design:
    """Rows drawn at random from the corners, without repeats; from between the levels too with `between`.

    Values between low and high are drawn uniformly on the factor's scale. Draws are taken from sha256 of
    the seed, so the same seed gives the same rows everywhere. Forbidden combinations are drawn again.
    Raises DesignError for runs < 1, more runs than corners, or if the constraints leave too few.
    """
    if runs < 1:
        raise DesignError("a design needs at least one run", value=runs)
    corners = math.prod(factor.num_levels for factor in factors)
    if not between and runs > corners:
        raise DesignError(f"there are only {corners} combinations of levels", value=runs, fix="Ask for fewer runs.")
    limits = read_constraints(constraints)
    chosen: dict[tuple[float, ...], None] = {}
    for attempt in itertools.count():
        if len(chosen) == runs:
            break
        if attempt > _MAX_TRIES * runs:
            raise DesignError(f"the constraints leave too few combinations for {runs} runs", value=tuple(constraints))
        levels = tuple(_draw(factor, seed, attempt, between=between) for factor in factors)
        if is_allowed(levels, factors, limits):
            chosen[levels] = None
    design = Design(
        name=name,
        kind="random",
        factors=tuple(factors),
        rows=tuple(_free(row) for row in rows_of(list(chosen))),
        constraints=tuple(constraints),
        seed=seed,
        request=Values(runs=runs, between=between),
    )
    return randomize(design, seed)


def explicit_design(
    factors: Sequence[Factor],
    rows: Sequence[Sequence[Scalar]],
    *,
    natural: bool = False,
    labels: Sequence[str] = (),
    constraints: Sequence[str] = (),
    name: str = "explicit",
    seed: int | None = None,
) -> Design:
    """The rows as given, one level a factor; coded, or natural with `natural=True`.

    labels: one a row (default c01, c02, ...). Raises DesignError for a level that is not one, a forbidden
    combination, or labels that do not fit.
    """
    if not rows:
        raise DesignError("a design needs at least one row")
    coded = [_coded(factors, row, natural=natural) for row in rows]
    made = rows_of(coded)
    if labels:
        if len(labels) != len(rows):
            raise DesignError(f"{len(rows)} rows need as many labels", value=len(labels))
        made = tuple(_relabelled(row, label) for row, label in zip(made, labels, strict=True))
    design = Design(
        name=name,
        kind="explicit",
        factors=tuple(factors),
        rows=tuple(_free(row) for row in made),
        constraints=tuple(constraints),
    )
    refuse_forbidden_rows(design, read_constraints(constraints))
    return randomize(design, seed)


def _coded(factors: Sequence[Factor], row: Sequence[Scalar], *, natural: bool) -> tuple[float, ...]:
    if len(row) != len(factors):
        raise DesignError(f"a row needs one level for each of {len(factors)} factors", value=tuple(row))
    if natural:
        return tuple(factor.encode(level) for factor, level in zip(factors, row, strict=True))
    levels = []
    for factor, level in zip(factors, row, strict=True):
        if isinstance(level, bool) or not isinstance(level, int | float):
            raise DesignError(
                f"factor {factor.letter}: a coded level is a number", value=level, fix="Give `natural=True`?"
            )
        factor.decode(level)
        levels.append(float(level))
    return tuple(levels)


def _draw(factor: Factor, seed: int, attempt: int, *, between: bool) -> float:
    digest = hashlib.sha256(f"{seed}\0{attempt}\0{factor.letter}".encode()).digest()
    u = int.from_bytes(digest[:8], "big") / 2**64
    if between and factor.kind != "choice":
        return factor.realised(2 * u - 1)
    levels = factor.coded_levels()
    return levels[int(u * len(levels))]


def _free(row: Row) -> Row:
    return Row(label=row.label, levels=row.levels, order=row.order, kind="free")


def _relabelled(row: Row, label: str) -> Row:
    return Row(label=label, levels=row.levels, order=row.order, kind=row.kind)
