"""`foldover race`: strategies against each other at equal cost."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from foldover.cli.options import json_option, print_json
from foldover.core import Limit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from foldover.lab import RaceReport
    from foldover.lab.naming import NamingCurve, NamingPoint

_MINUTE = 60.0


def _minutes(context: click.Context, parameter: click.Parameter, text: str) -> float:
    limit = Limit.parse(text)
    if limit.kind != "seconds":
        raise click.BadParameter(f"a race is over time: write 10min, not {text!r}")
    return limit.amount / _MINUTE


@click.command()
@click.option("--total", default="800min", show_default=True, callback=_minutes, help="What every strategy may spend.")
@click.option("--target", default="10min", show_default=True, callback=_minutes, help="The budget that counts.")
@click.option("--short", default="5min", show_default=True, callback=_minutes, help="Budget of the screen.")
@click.option(
    "--screen-seeds", type=click.IntRange(min=1), default=5, show_default=True, help="Seeds of the 16-run screen."
)
@click.option(
    "--repetitions", type=click.IntRange(min=1), default=100, show_default=True, help="Times, each with its own noise."
)
@click.option("--strategies", default="all", show_default=True, help="Names separated by commas.")
@click.option("--host", default="windows", show_default=True, help="Of the simulator: windows or linux.")
@click.option(
    "--replay",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Folder of a finished study whose recorded results answer instead of the simulator.",
)
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@json_option
def race(
    total: float,
    target: float,
    short: float,
    screen_seeds: int,
    repetitions: int,
    strategies: str,
    host: str,
    replay: Path | None,
    jobs: int,
    as_json: bool,
) -> None:
    """Race strategies at equal cost on the simulator, whose truth is known, or on a finished study's results.

    Prints regret (mean and 5 to 95% over repetitions) at quarters of the cost, runs and minutes until a run of the
    low-penalty region, and how often each strategy names exactly the factors that matter.
    """
    from foldover.lab.racing import STRATEGIES, RaceRequest  # late: --help needs no numpy
    from foldover.lab.racing import race as race_all

    names = STRATEGIES if strategies == "all" else tuple(name.strip() for name in strategies.split(",") if name.strip())
    request = RaceRequest(
        total=total,
        target=target,
        short=short,
        least=min(target / 9.0, short),
        screen_seeds=screen_seeds,
        repetitions=repetitions,
        names=names,
        host=host,
        study=replay,
    )
    with click.progressbar(length=100, label="racing", file=sys.stderr) as bar:
        seen = 0

        def on_progress(done: int, of: int) -> None:
            nonlocal seen
            bar.update(100 * done // of - seen)
            seen = 100 * done // of

        report = race_all(request, jobs=jobs, on_progress=on_progress)
    if as_json:
        print_json(_plain(report))
        return
    click.echo("\n".join(lines_of(report)))


def lines_of(report: RaceReport) -> list[str]:
    """The report as text: Markdown tables, so that it can be pasted."""
    request = report.request
    surface = f"the surface `{request.surface}`, host {request.host}"
    where = f"the study in {request.study}" if request.study else surface
    lines = [
        f"{request.repetitions} repetitions of {request.total:g} minutes each on {where}",
        f"regret is read at {request.target:g} min",
        f"best point {_point(report.best)}; factors whose true effect is at least {request.smallest_effect:g}: "
        f"{', '.join(report.true_set)}",
        "",
        "| strategy | runs | " + " | ".join(f"regret at {cost:g} min" for cost in request.checkpoints) + " |",
        "|---|---|" + "---|" * len(request.checkpoints),
    ]
    for each in report.standings:
        bands = [f"{_number(b.mean, 5)} ({_number(b.low, 5)} to {_number(b.high, 5)})" for b in each.bands]
        lines.append(f"| {each.name} | {each.runs:.0f} | " + " | ".join(bands) + " |")
    lines += [
        "",
        "| strategy | reached the region | median runs to it | median minutes to it | names the set | how |",
        "|---|---|---|---|---|---|",
    ]
    for each, says in zip(report.standings, report.attributions, strict=True):
        lines.append(
            f"| {each.name} | {each.reached:.0%} | {_number(each.runs_to_region, 1)} | "
            f"{_number(each.cost_to_region, 0)} | {says.correct:.1%} | {says.how} |"
        )
    if report.curves:
        lines += ["", *_naming_lines(report.curves)]
    return lines


def _naming_lines(curves: Sequence[NamingCurve]) -> list[str]:
    """How often each way names the set, and how many runs it needs; the first screen is at the target."""
    from foldover.lab.naming import ENOUGH  # late: --help needs no numpy

    heads = [f"{curve.way} at {curve.budget:g} min" for curve in curves]
    lines = [
        "Named exactly the set; a screen by its rule (in brackets, and random search always: by the one threshold "
        "that is best in hindsight)",
        "",
        "| runs | " + " | ".join(heads) + " |",
        "|---|" + "---|" * len(curves),
    ]
    for row in zip(*(curve.points for curve in curves), strict=True):
        lines.append(f"| {row[0].runs} | " + " | ".join(_shares(point) for point in row) + " |")
    lines += [
        "",
        f"| named in {ENOUGH:.0%} of repetitions after | runs | minutes | runs, threshold in hindsight | minutes |",
        "|---|---|---|---|---|",
    ]
    for curve, head in zip(curves, heads, strict=True):
        both = (curve.needed, curve.needed_in_hindsight)
        cells = [_number(runs * scale, 0) for runs in both for scale in (1.0, curve.budget)]
        lines.append(f"| {head} | " + " | ".join(cells) + " |")
    screen, search = curves[0], curves[-1]
    return [
        *lines,
        "",
        f"runs of the screen over those of random search: {_compared(screen.needed, search)}; "
        f"both with a threshold in hindsight: {_compared(screen.needed_in_hindsight, search)}",
    ]


def _compared(runs: float, search: NamingCurve) -> str:
    """The quotient, and whether it is at most a half."""
    most = search.points[-1].runs
    if math.isinf(runs):
        return f"the screen is not there within {most} runs"
    if math.isinf(search.needed):
        return f"below {runs / most:.2f} (random search is not there within {most} runs)"
    ratio = runs / search.needed
    return f"{ratio:.2f}, {'at most half' if ratio <= 0.5 else 'more than half'}"


def _shares(point: NamingPoint) -> str:
    if point.declared is None:
        return f"{point.hindsight:.1%}"
    return f"{point.declared:.1%} ({point.hindsight:.1%})"


def _point(levels: tuple[float, ...]) -> str:
    return " ".join(f"{level:+g}" for level in levels)


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "none"


def _plain(report: RaceReport) -> object:
    """The report for JSON, which has no infinities."""
    from foldover.core import to_plain

    def finite(value: object) -> object:
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if isinstance(value, dict):
            return {key: finite(each) for key, each in value.items()}
        return [finite(each) for each in value] if isinstance(value, list) else value

    return finite(to_plain(report))
