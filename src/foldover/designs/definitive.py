"""Definitive screening designs: three levels, main effects free of squares and two-factor interactions.

Rows C, -C and a centre run for a conference matrix C of even order m (Jones and Nachtsheim 2011, J. Qual.
Technol. 43; Xiao, Lin and Bai 2012). C by Paley over a field of q = m - 1 elements, order 16 by doubling.
"""

from __future__ import annotations

from collections.abc import Sequence

from foldover.core import Design, DesignError, Factor, Row, Values
from foldover.designs.factorial import rows_of
from foldover.designs.order import randomize
from foldover.designs.response_surface import pseudo_center_notes, refuse_choices, refuse_collapsed_levels
from foldover.designs.screening import conference_core

CONFERENCE_ORDERS = (4, 6, 8, 10, 12, 14, 16, 18, 20, 24, 30, 32)


def definitive_screening(
    factors: Sequence[Factor],
    *,
    fake: int = 0,
    centers: int = 1,
    name: str = "definitive_screening",
    seed: int | None = None,
) -> Design:
    """2m runs in mirrored pairs and centre runs, for k numeric factors; m is the next conference order >= k.

    fake: columns left empty, which buy degrees of freedom for the error (2 or 4 are usual). An odd number of
    factors leaves one column empty of itself. With one centre run squares have mutual correlation
    1/3 - 1/(m - 1). Raises DesignError for fewer than 3 factors, choices, and centres not apart from the ends.
    """
    k = len(factors)
    if k < 3:
        raise DesignError("a definitive screening design needs three or more factors", value=k)
    if fake < 0 or centers < 1:
        raise DesignError("fake factors begin at 0 and centre runs at 1", value=(fake, centers))
    refuse_choices(factors, "a definitive screening design")
    refuse_collapsed_levels(factors, (-1.0, 0.0, 1.0))
    order = _order_for(k + fake)
    matrix = [row[:k] for row in conference_matrix(order)]
    levels = [tuple(sign * x + 0.0 for x in row) for row in matrix for sign in (1, -1)]
    rows = rows_of([*levels, *[(0.0,) * k] * centers])
    notes = (f"conference matrix of order {order}: {order - k} columns left empty",) if order > k else ()
    design = Design(
        name=name,
        kind="definitive_screening",
        factors=tuple(factors),
        rows=tuple(_with_kind(row.levels, row.label, i) for i, row in enumerate(rows)),
        request=Values(conference_order=order, fake=fake, centers=centers),
        notes=(*notes, *pseudo_center_notes(factors)),
    )
    return randomize(design, seed)


def conference_matrix(order: int) -> list[list[int]]:
    """C with zero diagonal, +-1 elsewhere and C'C = (m - 1) I. Raises DesignError for orders without one here."""
    if order not in CONFERENCE_ORDERS:
        known = ", ".join(str(m) for m in CONFERENCE_ORDERS)
        odd = " (the order must be even)" if order % 2 else ""
        raise DesignError(
            f"no conference matrix of order {order} is stored{odd}", value=order, fix=f"There are {known}."
        )
    if order == 10:
        return _over_nine()
    if order == 16:
        return _doubled(conference_core(7))
    return conference_core(order - 1)


def _order_for(columns: int) -> int:
    for order in CONFERENCE_ORDERS:
        if order >= columns:
            return order
    raise DesignError(
        f"definitive screening designs end at {CONFERENCE_ORDERS[-1]} columns", value=columns, fix="Screen first."
    )


def _over_nine() -> list[list[int]]:
    """Paley's matrix over the field of nine elements a + bi, i^2 = -1, modulo 3."""
    field = [(a, b) for a in range(3) for b in range(3)]
    squares = {((a * a - b * b) % 3, 2 * a * b % 3) for a, b in field if (a, b) != (0, 0)}

    def chi(a: int, b: int) -> int:
        return 0 if (a, b) == (0, 0) else 1 if (a, b) in squares else -1

    core = [[chi((a - c) % 3, (b - d) % 3) for c, d in field] for a, b in field]
    return [[0] + [1] * 9, *([1, *row] for row in core)]


def _doubled(skew: list[list[int]]) -> list[list[int]]:
    """[[S, S + I], [S - I, -S]], which is a conference matrix if S is a skew one."""
    n = len(skew)
    top = [[*row, *(x + (i == j) for j, x in enumerate(row))] for i, row in enumerate(skew)]
    bottom = [[*(x - (i == j) for j, x in enumerate(row)), *(-x for x in row)] for i, row in enumerate(skew)]
    assert n % 4 == 0, "skew conference matrices have an order divisible by 4"
    return [*top, *bottom]


def _with_kind(levels: tuple[float, ...], label: str, order: int) -> Row:
    return Row(label=label, levels=levels, order=order, kind="free" if any(levels) else "center")
