"""Pictures of a plain analysis, one SVG file each: half-normal, Pareto, means, interactions, residuals, relaxation.

Drawn by hand: matplotlib costs more than the whole analysis. A page shows the same numbers as the JSON document.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from foldover.report import svg
from foldover.report.numbers import MINUS, plain, signed
from foldover.report.plot import Plot, plot, sheet
from foldover.report.table_findings import Interaction, Part, TableFindings

if TYPE_CHECKING:
    from foldover.stats import Diagnostics, LevelMean, Relaxation

SMALL_WIDTH, SMALL_HEIGHT = 300.0, 260.0
MOST_BARS = 30


def figures_of(findings: TableFindings) -> dict[str, str]:
    """File name to SVG text, of every picture that the findings have the numbers for.

    Names carry the budget where there are several: `pareto-5min.svg`.
    """
    pictures: dict[str, str] = {}
    names = {factor.letter: factor.column for factor in findings.factors}
    for part in findings.parts:
        tail = f"-{_slug(part.budget)}" if len(findings.parts) > 1 else ""
        where = f" at {part.budget}" if part.budget else ""
        if part.contrasts:
            pictures[f"half-normal{tail}.svg"] = half_normal_figure(part, where)
        if part.effects or part.contrasts:
            pictures[f"pareto{tail}.svg"] = pareto_figure(part, where)
        pictures[f"main-effects{tail}.svg"] = main_effects_figure(part, names, findings.response, where)
        if part.interactions:
            pictures[f"interactions{tail}.svg"] = interactions_figure(part, names, findings.response, where)
        if part.diagnostics is not None:
            pictures[f"residuals{tail}.svg"] = residuals_figure(part.diagnostics, where)
    if findings.relaxation is not None:
        pictures["relaxation.svg"] = relaxation_figure(findings.relaxation)
    return pictures


def half_normal_figure(part: Part, where: str = "") -> str:
    """|contrast| against half-normal quantiles; what stands out is filled and named, with the line of noise."""
    points = part.contrasts
    margin = part.lenth.margin if part.lenth is not None else part.margin
    sizes = [point.size for point in points]
    frame = plot(
        f"Half-normal plot of contrasts{where}",
        x=[0.0, *sizes, *([margin] if margin else [])],
        y=[0.0, *(point.quantile for point in points)],
        x_label="size of the contrast",
        y_label="half-normal quantile",
        from_zero=True,
    )
    marks = []
    if part.lenth is not None:
        noise, top = part.lenth.pse, points[-1].quantile
        reach = min(top, frame.x.high / noise)
        marks.append(frame.stroke([(0.0, 0.0), (reach * noise, reach)], class_="axis"))
    if margin:
        marks.append(frame.upright(margin, class_="limit", label="margin"))
    active = _active(part)
    for point in points:
        words = f"{point.name}: {signed(point.effect, 6)}"
        class_, label = ("mark", point.name) if point.name in active else ("quiet", "")
        marks.append(frame.dot(point.size, point.quantile, class_=class_, label=label, words=words))
    return _sheet([frame.inside(*marks)], frame, f"Half-normal plot of contrasts{where}")


def pareto_figure(part: Part, where: str = "") -> str:
    """Bars of |effect|, largest first, dark where it stands out; the margin dashed where there is one for all."""
    sizes = {effect.term: effect.estimate for effect in part.effects} or {p.name: p.effect for p in part.contrasts}
    if part.lenth is not None:
        sizes = {point.name: point.effect for point in part.contrasts}
    ordered = sorted(sizes.items(), key=lambda item: -abs(item[1]))[:MOST_BARS]
    margin = part.lenth.margin if part.lenth is not None else part.margin
    row = 20.0
    height = len(ordered) * row + 100.0
    largest = max(abs(value) for _, value in ordered) or 1.0
    frame = plot(
        f"Effects by size{where}",
        x=[0.0, largest, *([margin] if margin else [])],
        y=[0.0, float(len(ordered))],
        x_label="|effect|; dark: beyond the margin"
        if part.lenth is not None
        else "|effect|; dark: interval excludes 0",
        height=height,
        from_zero=True,
    )
    active = _active(part)
    marks = []
    for i, (name, value) in enumerate(ordered):
        top = frame.y.end + i * row
        class_ = "hot" if name in active else "box"
        bar = svg.tag(
            "rect", x=frame.x.start, y=top + 3, width=frame.x(abs(value)) - frame.x.start, height=row - 6, class_=class_
        )
        marks.append(svg.titled(f"{name}: {signed(value, 6)}", bar))
        sign = "+" if value >= 0 else MINUS
        marks.append(svg.text(frame.x.start - 6, top + row / 2 + 4, f"{name} {sign}", anchor="end"))
    if margin:
        marks.append(frame.upright(margin, class_="limit"))
    return _sheet([frame.inside(*marks, y_axis=False)], frame, f"Pareto chart of effects{where}")


def main_effects_figure(part: Part, names: dict[str, str], response: str, where: str = "") -> str:
    """A panel a factor: mean response at each of its levels, on one scale."""
    values = [mean.mean for means in part.main_means for mean in means]
    panels = []
    for means in part.main_means:
        letter = means[0].levels[0][0]
        xs = [mean.levels[0][1] for mean in means]
        frame = _small(_named(letter, names), [-1.0, 1.0, *xs], values, y_label=f"mean {response}")
        points = list(zip(xs, (mean.mean for mean in means), strict=True))
        ends = [(x, y) for x, y in points if abs(x) == 1]
        # A centre point is no part of the line: it shows whether the line is straight.
        marks = [frame.stroke(ends if len(ends) == 2 and len(points) == 3 else points)]
        for (x, y), mean in zip(points, means, strict=True):
            marks.append(frame.dot(x, y, class_="mark" if x else "quiet", words=f"{plain(y, 6)}, {mean.n} runs"))
        panels.append(frame.inside(*marks, x_ticks=_level_ticks(xs)))
    return sheet(panels, width=SMALL_WIDTH, height=SMALL_HEIGHT, columns=3, label=f"Main effects on {response}{where}")


def interactions_figure(part: Part, names: dict[str, str], response: str, where: str = "") -> str:
    """A panel a pair, the largest interaction first: one line for each level of the second factor."""
    values = [mean.mean for pair in part.interactions for mean in pair.means]
    panels = [_interaction(pair, names, values, response) for pair in part.interactions]
    label = f"Interactions on {response}{where}"
    return sheet(panels, width=SMALL_WIDTH, height=SMALL_HEIGHT, columns=3, label=label)


def residuals_figure(found: Diagnostics, where: str = "") -> str:
    """Four in one: normal quantiles, against fitted values, by row, and their histogram."""
    runs = found.runs
    values = [run.residual for run in runs]
    ordered = sorted(runs, key=lambda run: run.residual)
    quantiles = _normal_quantiles(len(runs))
    qq = _small(f"Normal plot{where}", quantiles, values, x_label="normal quantile", y_label="residual")
    fitted = _small("Against fitted", [run.fitted for run in runs], values, x_label="fitted value", y_label="residual")
    by_row = _small("By row", [1.0, float(len(runs))], values, x_label="row", y_label="residual")
    panels = [
        qq.inside(*(qq.dot(q, run.residual, words=run.run_id) for q, run in zip(quantiles, ordered, strict=True))),
        fitted.inside(fitted.across(0.0), *(fitted.dot(r.fitted, r.residual, words=r.run_id) for r in runs)),
        by_row.inside(
            by_row.across(0.0),
            by_row.stroke([(i + 1.0, value) for i, value in enumerate(values)], class_="axis"),
            *(by_row.dot(i + 1.0, run.residual, words=run.run_id) for i, run in enumerate(runs)),
        ),
        _histogram(values),
    ]
    return sheet(panels, width=SMALL_WIDTH, height=SMALL_HEIGHT, columns=2, label=f"Residuals{where}")


def relaxation_figure(found: Relaxation) -> str:
    """A panel a term: its effect at each budget with its interval; hollow where it is only described."""
    ends = [v for e in found.effects for v in (e.estimate, e.low, e.high) if v is not None]
    places = {budget: float(i) for i, budget in enumerate(found.budgets)}
    panels = []
    for term in dict.fromkeys(effect.term for effect in found.effects):
        frame = _small(term, [-0.3, len(places) - 0.7], [0.0, *ends], x_label="budget", y_label="effect")
        curve = found.curve(term)
        marks = [frame.across(0.0)]
        tested = [(places[e.budget], e.estimate) for e in curve if e.low is not None]
        if len(tested) > 1:
            marks.append(frame.stroke(tested))
        for effect in curve:
            x = places[effect.budget]
            if effect.low is not None and effect.high is not None:
                marks.append(frame.stroke([(x, effect.low), (x, effect.high)]))
            class_ = "quiet" if effect.low is None else "mark"
            words = f"{effect.budget}: {signed(effect.estimate, 6)}"
            marks.append(frame.dot(x, effect.estimate, class_=class_, words=words))
        panels.append(frame.inside(*marks, x_ticks=[(x, budget) for budget, x in places.items()]))
    label = "Relaxation of effects over budgets"
    return sheet(panels, width=SMALL_WIDTH, height=SMALL_HEIGHT, columns=3, label=label)


def _active(part: Part) -> set[str]:
    """The terms that stand out: beyond Lenth's margin, or with an interval that excludes 0."""
    if part.lenth is not None:
        return set(part.lenth.active)
    return {e.term for e in part.effects if e.low is not None and e.high is not None and not e.low <= 0.0 <= e.high}


def _interaction(pair: Interaction, names: dict[str, str], values: Sequence[float], response: str) -> Markup:
    title = f"{pair.one}{pair.other}: {names.get(pair.one, pair.one)} by {names.get(pair.other, pair.other)}"
    title = title if names.get(pair.one) != pair.one else f"{pair.one}{pair.other}"
    x_label = f"{pair.one}; dashed: {pair.other} low"
    frame = _small(title[:44], [-1.0, 1.0], values, x_label=x_label, y_label=f"mean {response}")
    marks = []
    for level, line, dot in ((-1.0, "line2", "other"), (1.0, "line", "mark")):
        points = [(_level(mean, pair.one), mean.mean) for mean in pair.means if _level(mean, pair.other) == level]
        if len(points) > 1:
            marks.append(frame.stroke(points, class_=line))
        sign = "high" if level > 0 else "low"
        marks += [frame.dot(x, y, class_=dot, words=f"{pair.other} {sign}: {plain(y, 6)}") for x, y in points]
    return frame.inside(*marks, x_ticks=[(-1.0, "\u22121"), (1.0, "+1")])


def _named(letter: str, names: dict[str, str]) -> str:
    name = names.get(letter, letter)
    return letter if name == letter else f"{letter}: {name}"[:44]


def _level(mean: LevelMean, letter: str) -> float:
    return dict(mean.levels)[letter]


def _histogram(values: Sequence[float]) -> Markup:
    bins = max(5, min(20, round(len(values) ** 0.5)))
    low, high = min(values), max(values)
    step = (high - low) / bins or 1.0
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / step))] += 1
    frame = _small("Histogram", [low, high], [0.0, float(max(counts))], x_label="residual", y_label="runs")
    marks = []
    for i, count in enumerate(counts):
        left, top = frame.at(low + i * step, float(count))
        width = frame.x(low + (i + 1) * step) - left
        marks.append(svg.tag("rect", x=left, y=top, width=width - 1, height=frame.y(0.0) - top, class_="box"))
    return frame.inside(*marks)


def _small(title: str, x: Sequence[float], y: Sequence[float], *, x_label: str = "", y_label: str = "") -> Plot:
    return plot(title, x=x, y=y, x_label=x_label, y_label=y_label, width=SMALL_WIDTH, height=SMALL_HEIGHT)


def _sheet(panels: Sequence[Markup], frame: Plot, label: str) -> str:
    return sheet(panels, width=frame.width, height=frame.height, columns=1, label=label)


def _level_ticks(levels: Sequence[float]) -> list[tuple[float, str]]:
    return [(x, "\u22121" if x == -1 else f"{x:+g}" if x else "0") for x in sorted(set(levels))]


def _normal_quantiles(n: int) -> list[float]:
    from statistics import NormalDist  # late: only this picture needs it

    normal = NormalDist()
    return [normal.inv_cdf((i + 0.625) / (n + 0.25)) for i in range(n)]


def _slug(budget: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "", budget.lower()) or "budget"
