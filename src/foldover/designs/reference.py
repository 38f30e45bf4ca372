"""One factor at a time: the reference, and each factor's other level against it."""

from __future__ import annotations

from collections.abc import Sequence

from foldover.core import Design, DesignError, Factor, Row
from foldover.designs.order import randomize


def one_at_a_time(factors: Sequence[Factor], *, name: str = "one_at_a_time", seed: int | None = None) -> Design:
    """A row with every factor low, and one for each factor with that one high: k + 1 rows.

    What several levels of one lever are compared by, each a factor with the same low level; or what single changes do
    to a baseline. It shows no interaction, and its effects lean on one common row: where factors are free to be
    combined, a fraction tells more with as many runs (Daniel 1973, JASA 68).
    Raises DesignError for no factors, and for factors of one lever whose low levels differ.

    >>> from foldover.core import Factor
    >>> design = one_at_a_time([Factor(letter=a, lever=a, low=0, high=1) for a in "AB"])
    >>> [row.levels for row in design.rows]
    [(-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0)]
    """
    if not factors:
        raise DesignError("a design needs at least one factor")
    low: dict[str, Factor] = {}
    for factor in factors:
        first = low.setdefault(factor.lever, factor)
        if first.low != factor.low:
            raise DesignError(
                f"factors {first.letter} and {factor.letter} of `{factor.lever}` have different low levels",
                value=(first.low, factor.low),
                fix="The low level is that of the reference: give all of them the same.",
            )
    k = len(factors)
    width = max(2, len(str(k + 1)))
    rows = tuple(
        Row(
            label=f"c{i + 1:0{width}d}",
            levels=tuple(1.0 if j == i - 1 else -1.0 for j in range(k)),
            order=i,
            kind="anchor",
        )
        for i in range(k + 1)
    )
    return randomize(Design(name=name, kind="one_at_a_time", factors=tuple(factors), rows=rows), seed)
