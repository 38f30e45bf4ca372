"""Blocks: runs that share a host, a day, a node. Regular designs give up high interactions for them.

A block contrast takes the place of an effect: with 2^b blocks, b chosen words and all their products are
confounded (Sun, Wu and Chen 1997, Technometrics 39). Other designs are divided so that main effects keep the
most information.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from foldover.core import Design, DesignError, Row
from foldover.designs.alias import column_of
from foldover.designs.gf2 import Word, by_length, columns_of
from foldover.designs.model import expand_model, model_columns, model_matrix
from foldover.designs.order import randomize

_MAX_STEPS = 200_000
_MAX_SWEEPS = 50

_Cost = tuple[int, int, int]


def block(
    design: Design,
    num_blocks: int | None = None,
    *,
    generators: Sequence[str] = (),
    names: Sequence[str] = (),
    seed: int | None = None,
) -> Design:
    """The design in blocks, with a run order that is random within each.

    num_blocks: how many (None: as many as names). generators: words confounded with the blocks (None given:
    those that cost no main effect, then fewest two- and three-factor interactions). names: of the blocks, e.g.
    hosts or days; default 1, 2, ... seed: of the run order (None: the design's). Centre runs are spread
    evenly; `block_words` lists the shortest effects of each block contrast.
    Raises DesignError for a number that is not a power of two in a regular design, for blocks that
    confound a main effect, and for blocks inside blocks.
    """
    count = num_blocks if num_blocks is not None else len(names) or 2 ** len(generators)
    _refuse_unfit(design, count, names)
    labels = tuple(names) or tuple(str(i + 1) for i in range(count))
    if _is_regular(design):
        words = tuple(generators) or block_generators(design, count)
        if 2 ** len(words) != count:
            raise DesignError(f"{len(words)} block generators make {2 ** len(words)} blocks", value=count)
        given, confounded = _regular_blocks(design, words)
    else:
        if generators:
            raise DesignError(f"a {design.kind} design has no block generators", value=tuple(generators))
        given, confounded = _balanced_blocks(design, count), ()
    rows = _spread(design, given, count, labels)
    blocked = replace(design, rows=_sorted_by_block(rows, labels), block_words=confounded)
    return randomize(blocked, design.seed if seed is None else seed)


def block_generators(design: Design, num_blocks: int) -> tuple[str, ...]:
    """Words that divide a regular design so that no main effect and the fewest 2fi, then 3fi, are confounded.

    Exhaustive up to 200,000 choices, from the cheapest on. Raises DesignError where each confounds a main effect.
    """
    columns = columns_of(design.letters, design.generators)
    num_basic = len(design.factors) - len(design.generators)
    num_generators = num_blocks.bit_length() - 1
    if num_blocks < 2 or num_blocks & (num_blocks - 1) or num_generators >= num_basic:
        raise _not_a_power(num_blocks, num_basic)
    cost = _costs(design.letters, columns, num_basic)
    usable = sorted((c for c in cost if cost[c][0] == 0), key=lambda c: (cost[c], c))
    best = _cheapest(usable, cost, num_generators)
    if best is None:
        raise DesignError(
            f"{num_blocks} blocks confound a main effect, whatever is chosen",
            value=design.name,
            fix="Use fewer blocks.",
        )
    basic = [letter for letter, word in columns.items() if word.mask.bit_count() == 1]
    place = {columns[letter].mask: letter for letter in basic}
    return tuple("".join(place[1 << i] for i in range(num_basic) if column >> i & 1) for column in best)


def _cheapest(usable: Sequence[int], cost: dict[int, _Cost], num_generators: int) -> tuple[int, ...] | None:
    best: tuple[_Cost, tuple[int, ...]] | None = None
    steps = 0

    def extend(start: int, chosen: tuple[int, ...], group: tuple[int, ...], spent: _Cost) -> None:
        nonlocal best, steps
        if best is not None and spent >= best[0]:
            return
        if len(chosen) == num_generators:
            best = (spent, chosen)
            return
        for i in range(start, len(usable)):
            steps += 1
            if steps > _MAX_STEPS and best is not None:
                return
            column = usable[i]
            new = (column, *(column ^ other for other in group))
            if column in group or any(cost[c][0] for c in new):
                continue
            total = (0, spent[1] + sum(cost[c][1] for c in new), spent[2] + sum(cost[c][2] for c in new))
            extend(i + 1, (*chosen, column), (*group, *new), total)

    extend(0, (), (), (0, 0, 0))
    return None if best is None else best[1]


def _costs(letters: Sequence[str], columns: dict[str, Word], num_basic: int) -> dict[int, _Cost]:
    """How many main effects, two- and three-factor interactions lie in each column."""
    counts = {column: [0, 0, 0] for column in range(1, 1 << num_basic)}
    for size in (1, 2, 3):
        for effect in itertools.combinations(letters, size):
            mask = column_of("".join(effect), columns).mask
            if mask:
                counts[mask][size - 1] += 1
    return {column: (c[0], c[1], c[2]) for column, c in counts.items()}


def _regular_blocks(design: Design, words: Sequence[str]) -> tuple[dict[str, int], tuple[str, ...]]:
    """Block number of each factorial row, and the shortest effects of each block contrast."""
    columns = columns_of(design.letters, design.generators)
    masks = [column_of(Word.parse(word).letters, columns).mask for word in words]
    group = [0]
    for word, mask in zip(words, masks, strict=True):
        if mask in group:
            raise DesignError(f"block generator {word} is constant or follows from the others", value=tuple(words))
        group += [mask ^ other for other in group]
    confounded: list[Word] = []
    for mask in group[1:]:
        shortest = _shortest_effects(design.letters, columns, mask)
        if len(shortest[0]) == 1:
            raise DesignError(
                f"blocks by {', '.join(words)} confound main effect {shortest[0].letters}",
                fix="Choose other block generators, or none to have them chosen.",
            )
        confounded += shortest
    given = {}
    for row in _to_divide(design):
        sign = dict(zip(design.letters, row.levels, strict=True))
        number = 0
        for word in words:
            product = 1.0
            for letter in Word.parse(word).letters:
                product *= sign[letter]
            number = 2 * number + (product > 0)
        given[row.label] = number
    return given, tuple(str(word) for word in sorted(confounded, key=by_length))


def _shortest_effects(letters: Sequence[str], columns: dict[str, Word], mask: int) -> list[Word]:
    for size in range(1, len(letters) + 1):
        found = [
            Word.parse("".join(effect))
            for effect in itertools.combinations(letters, size)
            if column_of("".join(effect), columns).mask == mask
        ]
        if found:
            return found
    raise AssertionError("every column of a regular design is some effect")


def _balanced_blocks(design: Design, count: int) -> dict[str, int]:
    """Equal blocks, rows swapped between them while that raises |X'X| of main effects and blocks."""
    import numpy as np  # late: regular designs do not need it

    rows = _to_divide(design)
    columns = model_columns(design.factors, expand_model("main", design.factors))
    X = model_matrix(design.factors, [row.levels for row in rows], columns)
    number = [i % count for i in range(len(rows))]

    def log_det(numbers: Sequence[int]) -> float:
        B = np.array([[float(n == j) - float(n == 0) for j in range(1, count)] for n in numbers])
        both = np.hstack([X, B.reshape(len(numbers), -1)])
        sign, value = np.linalg.slogdet(both.T @ both + 1e-9 * np.eye(both.shape[1]))
        return float(value) if sign > 0 else -np.inf

    best = log_det(number)
    for _ in range(_MAX_SWEEPS):
        before = best
        for i, j in itertools.combinations(range(len(rows)), 2):
            if number[i] == number[j]:
                continue
            number[i], number[j] = number[j], number[i]
            value = log_det(number)
            if value > best + 1e-9:
                best = value
            else:
                number[i], number[j] = number[j], number[i]
        if best <= before + 1e-9:
            break
    return {row.label: n for row, n in zip(rows, number, strict=True)}


def _to_divide(design: Design) -> list[Row]:
    return [row for row in design.rows if row.kind != "center"]


def _spread(design: Design, given: dict[str, int], count: int, labels: Sequence[str]) -> list[Row]:
    centers = itertools.cycle(range(count))
    return [
        replace(row, block=labels[given[row.label] if row.label in given else next(centers)]) for row in design.rows
    ]


def _sorted_by_block(rows: Sequence[Row], labels: Sequence[str]) -> tuple[Row, ...]:
    """Rows keep their place; only their standard order follows the blocks."""
    place = {label: i for i, label in enumerate(labels)}
    order = {row.label: i for i, row in enumerate(sorted(rows, key=lambda row: place[row.block]))}
    return tuple(replace(row, order=order[row.label]) for row in rows)


def _is_regular(design: Design) -> bool:
    return design.kind in ("full", "fraction") and all(
        abs(x) == 1 for row in design.rows if row.kind == "factorial" for x in row.levels
    )


def _refuse_unfit(design: Design, count: int, names: Sequence[str]) -> None:
    if any(row.block for row in design.rows):
        raise DesignError("the design has blocks already", value=design.name)
    if count < 2 or count > len(design.rows):
        raise DesignError(f"{len(design.rows)} runs cannot be divided into that many blocks", value=count)
    if names and (len(names) != count or len(set(names)) != count):
        raise DesignError(f"{count} blocks need as many different names", value=tuple(names))


def _not_a_power(num_blocks: int, num_basic: int) -> DesignError:
    return DesignError(
        "a regular design is divided into a power of two of blocks",
        value=num_blocks,
        fix=f"Ask for {', '.join(str(2**b) for b in range(1, num_basic))} blocks.",
    )
