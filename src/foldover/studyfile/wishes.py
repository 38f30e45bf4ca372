"""What `[decision]` lets gates ask for, held against the screens: a wish that no screen could ever have is an error."""

from __future__ import annotations

from collections.abc import Sequence

from foldover.core import Gate, Stage
from foldover.studyfile.generators import has_aliased_pairs
from foldover.studyfile.table import Table


def check_wishes(table: Table | None, gate: Gate, stages: Sequence[Stage], num_factors: int) -> None:
    """Note `more_seeds` and `fold_over` that can never be asked for. stages: all of the file, each read."""
    if table is None:
        return
    # One seed a condition has no interval, and one fixed seed none that others would narrow.
    tested = [s for s in stages if s.kind == "screen" and s.regime == "explicit" and len(s.seeds) > 1]
    names = {stage.name for stage in stages}
    for key, name in (("more_seeds", "more"), ("fold_over", "fold")):
        taken = [f"{s.name}-{name}" for s in tested if f"{s.name}-{name}" in names]
        if table.content.get(key) and taken:
            table.problem(key, f"what it may ask for would be stage {taken[0]!r}, which the file has. Rename that one.")
    if gate.more_seeds and not tested:
        text = "`more_seeds` would never be asked for: no screen runs under two explicit seeds or more, so none has an"
        table.problem("more_seeds", f"{text} interval that more would narrow. Give one more seeds, or leave it out.")
    doubtful = [s for s in tested if s.design is not None and has_aliased_pairs(s.design, num_factors - len(s.fix))]
    if gate.fold_over and not doubtful:
        text = "`fold_over` would never be asked for: no screen under two explicit seeds or more has factors that are"
        table.problem("fold_over", f"{text} aliased with a two-factor interaction. Leave it out.")
