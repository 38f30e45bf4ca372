"""Bit allocation by command: what every tensor of a kept state is to be stored as under a byte cap."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foldover.core import LedgerError, RecipeError, Settings, UserError, Values, bind, from_plain, to_plain
from foldover.export.allocate import FrontierPoint
from foldover.export.levers import EXPORT_LEVERS, ExportConfig
from foldover.rundir.files import write_atomic

if TYPE_CHECKING:
    from foldover.lm.allocating import Allocated

FORMAT = 1
FILE, PICTURE = "allocation.json", "frontier.svg"
ROWS = 16
LARGEST_FILE = 1 << 22


def allocate_run(
    place: Path, config: ExportConfig, settings: Settings, *, cap: int, tokens: int, out: Path | None = None
) -> Allocated:
    """The choice for the state that was kept at a place. out: a folder for the file that exports it and its picture.

    tokens: validation targets on which rounding is measured, tensor by tensor. Raises BudgetError for a cap that
    nothing reaches.
    """
    from foldover.lm.allocating import allocate_state  # torch only from here on
    from foldover.lm.state import find_state

    found = allocate_state(find_state(place), config, settings, cap=cap, tokens=tokens)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        content = {"format": FORMAT, "run_id": found.run_id, "cap": cap, "levers": to_plain(_values(found.levers))}
        write_atomic(out / FILE, json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n")
        write_atomic(out / PICTURE, frontier_picture(found))
    return found


def read_allocation(path: Path) -> ExportConfig:
    """The levers that a file holds, as `allocate_run` writes it. Raises RecipeError for anything else."""
    fix = "Write it with `foldover allocate RUN --cap BYTES --out DIR`."
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise RecipeError(f"{path} is no allocation", fix=fix)
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise RecipeError(f"{path} is no allocation of format {FORMAT}", fix=fix)
        values = from_plain(Values, content.get("levers"))
    except OSError as error:
        raise UserError(f"the allocation cannot be read: {error}") from None
    except (ValueError, RecursionError, LedgerError) as error:
        raise RecipeError(f"{path} is no allocation: {error}", fix=fix) from None
    return bind(ExportConfig, EXPORT_LEVERS.complete(values))


def thinned(frontier: Sequence[FrontierPoint], rows: int = ROWS) -> list[FrontierPoint]:
    """So many points of a frontier, evenly along it, the first and the last among them."""
    if len(frontier) <= rows:
        return list(frontier)
    return [frontier[round(i * (len(frontier) - 1) / (rows - 1))] for i in range(rows)]


def frontier_picture(found: Allocated) -> str:
    """The frontier and the choice as an SVG file."""
    from foldover.report import plot

    points = [(point.num_bytes / 1e6, point.loss) for point in found.frontier]
    chosen = (found.num_bytes / 1e6, found.rise)
    # The coarsest options cost so much that what matters would lie on the axis.
    most = 20 * max(abs(found.rise), min(loss for _, loss in points), 1e-6)
    shown = [point for point in points if point[1] <= most] or points
    drawn = plot.plot(
        "Rise by bytes",
        x=[x for x, _ in shown] + [chosen[0], found.cap / 1e6],
        y=[y for _, y in shown] + [chosen[1]],
        x_label="artifact, millions of bytes",
        y_label="rise in bits per byte",
    )
    marks = [
        drawn.stroke(shown),
        drawn.upright(found.cap / 1e6, class_="limit", label="cap"),
        drawn.dot(*chosen, words=f"{found.num_bytes:,} bytes, +{found.rise:.6f}", label="measured"),
    ]
    return plot.sheet(
        [drawn.inside(*marks)],
        width=drawn.width,
        height=drawn.height,
        columns=1,
        label="Predicted rise in bits per byte against bytes of the artifact",
    )


def _values(config: ExportConfig) -> dict[str, Any]:
    """Levers by their names."""
    return {name: getattr(getattr(config, name.partition(".")[0]), name.partition(".")[2]) for name in EXPORT_LEVERS}
