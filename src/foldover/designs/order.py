"""Run order from a seed.

A permutation is made by sorting on sha256 of the seed and the row's label: the same on every machine and
with every version of every library, which no pseudo-random generator promises.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from foldover.core import Design, DesignError, Row


def randomize(design: Design, seed: int | None) -> Design:
    """The design with a random run order: within blocks, and whole plots kept together.

    Blocks follow each other in the order of their names' first appearance, since a block is a stretch of
    time or a machine; whole plots are permuted within a block and rows within a whole plot. Rows keep
    their place; `Row.order` is the position in the run order. seed None restores the standard order.
    """
    if seed is None:
        rows = tuple(replace(row, order=i) for i, row in enumerate(design.rows))
        return replace(design, rows=rows, seed=None)
    order = {label: i for i, label in enumerate(_order(design.rows, seed))}
    rows = tuple(replace(row, order=order[row.label]) for row in design.rows)
    return replace(design, rows=rows, seed=seed)


def randomize_rest(design: Design, seed: int, done: Sequence[str]) -> Design:
    """A new random order of the rows that are not `done` yet; the others keep their positions.

    done: labels. Raises DesignError for unknown labels, or if nothing is left.
    """
    unknown = sorted(set(done) - {row.label for row in design.rows})
    if unknown:
        raise DesignError("there are no such rows", value=unknown)
    rest = [row for row in design.rows if row.label not in done]
    if not rest:
        raise DesignError("every row is done; there is nothing left to randomise")
    free = sorted(row.order for row in rest)
    place = dict(zip(_order(rest, seed), free, strict=True))
    rows = tuple(replace(row, order=place.get(row.label, row.order)) for row in design.rows)
    return replace(design, rows=rows, seed=seed)


def _order(rows: Sequence[Row], seed: int) -> list[str]:
    blocks = list(dict.fromkeys(row.block for row in rows))
    place = {block: i for i, block in enumerate(blocks)}

    def key(row: Row) -> tuple[int, str, str, str]:
        plot = _draw(seed, f"{row.block}\0{row.whole_plot}") if row.whole_plot else ""
        return place[row.block], plot, row.whole_plot, _draw(seed, row.label)

    return [row.label for row in sorted(rows, key=key)]


def _draw(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}\0{name}".encode()).hexdigest()
