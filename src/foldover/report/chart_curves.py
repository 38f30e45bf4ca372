"""Pictures of training: every run of a budget, its best and its worst in front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from foldover.report import svg
from foldover.report.numbers import plain
from foldover.report.reading import Row

WIDTH, HEIGHT = 508, 320
LEFT, RIGHT, TOP, BOTTOM = 44, WIDTH - 10, 16, HEIGHT - 40
CLOUD_POINTS = 40
# Each point drawn is the mean of itself and this many neighbours on both sides (fewer at the ends).
NEIGHBOURS = 2

_HORIZONTAL = (("progress", "share of the budget"), ("seconds", "seconds of training"), ("step", "step"))
_VERTICAL = (
    ("val_bpb", "validation, bits per byte"),
    ("train_bpb", "training, bits per byte"),
    ("train_loss", "training loss, nats per token"),
    ("loss", "loss"),
)

Points = list[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnCurve:
    """A run's curve as it is drawn. rank: `best`, `worst`, `other`, or `broken` where the run has no result."""

    run: Row
    points: Points
    rank: str


def training_curves(document: Row, budget: str) -> Markup | None:
    """All curves of the runs at one budget (None where no run left one)."""
    runs = [run for run in document["runs"] if run["budget"] == budget and run["run_id"] in document["curves"]]
    axes = _axes([document["curves"][run["run_id"]]["columns"] for run in runs])
    if axes is None:
        return None
    (x_name, x_words), (y_name, y_words) = axes
    curves = []
    for run, rank in _ranked(runs, document["study"]["direction"]):
        points = _points(document["curves"][run["run_id"]]["columns"], x_name, y_name)
        if len(points) > 1:
            curves.append(DrawnCurve(run=run, points=_smooth(points), rank=rank))
    if not curves:
        return None
    across = svg.scale_over([x for c in curves for x, _ in c.points], LEFT, RIGHT, margin=0.0)
    # A loss on its way out would flatten all others: runs without a result are cut where the others end.
    whole = [curve for curve in curves if curve.rank != "broken"] or curves
    up = svg.scale_over([y for c in whole for _, y in c.points], BOTTOM, TOP, margin=0.03)
    parts = [*_grid(across, up), *(_draw(curve, across, up) for curve in curves)]
    parts.append(svg.text((LEFT + RIGHT) / 2, HEIGHT - 6, x_words, class_="hint", anchor="middle"))
    parts.append(svg.text(LEFT + 6, TOP + 4, y_words, class_="hint"))
    return svg.drawing(WIDTH, HEIGHT, *parts, label=f"Training curves at {budget}")


def named_runs(document: Row, budget: str) -> dict[str, Row]:
    """The best and the worst run at a budget that have a curve, by rank."""
    runs = [run for run in document["runs"] if run["budget"] == budget and run["run_id"] in document["curves"]]
    return {rank: run for run, rank in _ranked(runs, document["study"]["direction"]) if rank in ("best", "worst")}


def _axes(columns: Sequence[Row]) -> tuple[tuple[str, str], tuple[str, str]] | None:
    """The first pair of columns that every curve has."""

    def first(choices: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
        return next((choice for choice in choices if all(choice[0] in own for own in columns)), None)

    across, up = first(_HORIZONTAL), first(_VERTICAL)
    return (across, up) if columns and across and up else None


def _ranked(runs: Sequence[Row], direction: str) -> list[tuple[Row, str]]:
    """Runs with their rank, those that stand in front last. A run that was tried again shows its last attempt."""
    last = {run["run_id"]: run for run in runs}
    counted = sorted(
        (run for run in last.values() if run["counts"] and run["value"] is not None),
        key=lambda run: ((run["value"] if direction == "minimize" else -run["value"]), run["run_id"]),
    )
    ranked = [(run, "other") for run in last.values() if run["status"] == "finished" and run not in counted]
    ranked += [(run, "other") for run in counted[1:-1]]
    ranked += [(run, "broken") for run in last.values() if run["status"] != "finished"]
    if len(counted) > 1:
        ranked.append((counted[-1], "worst"))
    return ranked + [(run, "best") for run in counted[:1]]


def _points(columns: Row, x_name: str, y_name: str) -> Points:
    pairs = zip(columns[x_name], columns[y_name], strict=True)
    return [(x, y) for x, y in pairs if x is not None and y is not None]


def _smooth(points: Points) -> Points:
    smooth = []
    for i, (x, _) in enumerate(points):
        reach = min(NEIGHBOURS, i, len(points) - 1 - i)
        near = points[i - reach : i + reach + 1]
        smooth.append((x, sum(y for _, y in near) / len(near)))
    return smooth


def _grid(across: svg.Scale, up: svg.Scale) -> list[Markup]:
    parts = []
    marks = svg.ticks(up.low, up.high, 5)
    for value in marks:
        parts.append(svg.line(LEFT, up(value), RIGHT, up(value), class_="grid"))
        words = plain(value, svg.tick_decimals(marks))
        parts.append(svg.text(LEFT - 6, up(value) + 4, words, class_="tick", anchor="end"))
    marks = svg.ticks(across.low, across.high, 5)
    for value in marks:
        words = plain(value, svg.tick_decimals(marks))
        parts.append(svg.text(across(value), BOTTOM + 17, words, class_="tick", anchor="middle"))
    parts.append(svg.line(LEFT, BOTTOM, RIGHT, BOTTOM, class_="axis"))
    return parts


def _draw(curve: DrawnCurve, across: svg.Scale, up: svg.Scale) -> Markup:
    points = [(x, y) for x, y in curve.points if up.low <= y <= up.high]
    if not points:
        return Markup("")
    if curve.rank == "other" and len(points) > CLOUD_POINTS:
        points = [points[i * (len(points) - 1) // (CLOUD_POINTS - 1)] for i in range(CLOUD_POINTS)]
    run = curve.run
    ending = plain(run["value"]) if run["value"] is not None else run["status"]
    words = f"{run['condition']}, seed {run['seed']}, {run['package']}: {ending}"
    stroke = svg.path([(across(x), up(y)) for x, y in points], class_=f"curve {curve.rank}")
    parts = [stroke]
    if curve.rank == "broken":
        x, y = across(points[-1][0]), up(points[-1][1])
        parts += [svg.path([(x - 4, y - d), (x + 4, y + d)], class_="curve broken") for d in (4, -4)]
    return svg.titled(words, *parts)
