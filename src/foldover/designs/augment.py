"""More runs for a design: centre points, replicates, axial points, any rows.

The added runs come later in time, so they are run after the others, in their own random order.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from foldover.core import Design, DesignError, Row, RowKind
from foldover.designs.order import randomize
from foldover.designs.response_surface import axial_levels, pseudo_center_notes, refuse_unfit_axial


def add_centers(design: Design, num: int, *, per_combination: bool = False) -> Design:
    """The design with `num` centre runs in each block, mixed into the run order.

    per_combination: for designs with choices, which have no middle: `num` centre runs at every combination
    of their levels. Raises DesignError for choices without it, without numeric factors, and for num < 1.
    """
    if num < 1:
        raise DesignError("a design needs at least one centre run to have centre points", value=num)
    choices = [factor for factor in design.factors if factor.kind == "choice"]
    if len(choices) == len(design.factors):
        raise DesignError("a design of choices has no centre", value="".join(design.letters))
    if choices and not per_combination:
        names = ", ".join(f"{f.letter} (`{f.lever}`)" for f in choices)
        raise DesignError(
            f"a centre point needs a middle level, and {names} has none"
            if len(choices) == 1
            else f"a centre point needs a middle level, and {names} have none",
            fix="Ask for centre runs at every combination of the choices (`per_combination=True`).",
        )
    axes = [factor.coded_levels() if factor.kind == "choice" else (0.0,) for factor in design.factors]
    levels = [point for point in itertools.product(*axes) for _ in range(num)]
    blocks = list(dict.fromkeys(row.block for row in design.rows))
    rows = list(design.rows)
    for block in blocks:
        rows += _new_rows(rows, levels, kind="center", prefix="z", block=block)
    notes = tuple(dict.fromkeys([*design.notes, *pseudo_center_notes(design.factors)]))
    return randomize(replace(design, rows=tuple(rows), notes=notes), design.seed)


def replicate(design: Design, times: int, *, as_blocks: bool = False) -> Design:
    """The design with every row run `times` times, in fresh random order.

    Replicates of `c07` are `c07-r2`, `c07-r3`; each is to be a new launch under a new seed, otherwise it
    repeats the measurement only. as_blocks: each replicate of the whole design is a block of its own
    (randomised complete blocks). Raises DesignError for times < 2 and for blocks inside blocks.
    """
    if times < 2:
        raise DesignError("a replicated design runs each row at least twice", value=times)
    if any(row.replicate > 1 for row in design.rows):
        raise DesignError("the design is replicated already", value=design.name)
    if as_blocks and any(row.block for row in design.rows):
        raise DesignError("the design has blocks already", value=design.name, fix="Replicate it without `as_blocks`.")
    rows: list[Row] = []
    for number in range(1, times + 1):
        for row in design.rows:
            label = row.label if number == 1 else f"{row.label}-r{number}"
            block = str(number) if as_blocks else row.block
            plot = row.whole_plot if number == 1 or not row.whole_plot else f"{row.whole_plot}-r{number}"
            rows.append(replace(row, label=label, block=block, whole_plot=plot, replicate=number, order=len(rows)))
    return randomize(replace(design, rows=tuple(rows), parent=design.name), design.seed)


def add_rows(
    design: Design, levels: Sequence[Sequence[float]], *, kind: RowKind = "anchor", block: str = "", prefix: str = "x"
) -> Design:
    """The design with further rows at coded levels, labelled x01, x02, ..., run after the others.

    block: of the new rows; rows that are run later should have one of their own.
    """
    rows = [*design.rows, *_new_rows(design.rows, levels, kind=kind, prefix=prefix, block=block)]
    return _later(design, rows)


def add_axial(design: Design, alpha: float, *, num_centers: int = 1, block: str = "axial") -> Design:
    """The design with 2k axial runs at -alpha and +alpha and centre runs, as a block of its own.

    Turns a screen with centre points into a central composite design. Raises DesignError for choices, for
    alpha <= 0, and where an axial level does not leave its factor's lattice point.
    """
    refuse_unfit_axial(design.factors, alpha)
    blocked = _with_block(design, "first")
    points = axial_levels(len(design.factors), alpha)
    rows = [*blocked.rows, *_new_rows(blocked.rows, points, kind="axial", prefix="a", block=block)]
    centers = [(0.0,) * len(design.factors)] * num_centers
    rows += _new_rows(rows, centers, kind="center", prefix="z", block=block)
    return _later(replace(blocked, kind="central_composite", parent=design.name, words=(), resolution=None), rows)


def _later(design: Design, rows: Sequence[Row]) -> Design:
    """Old rows keep their order, new ones follow in a random one."""
    old = len(design.rows)
    added = tuple(rows[old:])
    if design.seed is not None:
        shuffled = randomize(replace(design, rows=added), design.seed).rows
        added = tuple(replace(row, order=old + row.order) for row in shuffled)
    else:
        added = tuple(replace(row, order=old + i) for i, row in enumerate(added))
    return replace(design, rows=(*design.rows, *added))


def _with_block(design: Design, name: str) -> Design:
    if any(row.block for row in design.rows):
        return design
    return replace(design, rows=tuple(replace(row, block=name) for row in design.rows))


def _new_rows(
    rows: Sequence[Row], levels: Sequence[Sequence[float]], *, kind: RowKind, prefix: str, block: str
) -> list[Row]:
    """Rows with labels that are not taken: prefix and the next number."""
    taken = {row.label for row in rows}
    new: list[Row] = []
    numbers = (n for n in itertools.count(1) if f"{prefix}{n:02d}" not in taken)
    for point in levels:
        label = f"{prefix}{next(numbers):02d}"
        order = len(rows) + len(new)
        new.append(Row(label=label, levels=tuple(float(x) for x in point), order=order, kind=kind, block=block))
    return new
