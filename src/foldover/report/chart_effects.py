"""Pictures of effects: a forest by budget, and how each effect relaxes as the budget grows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from foldover.report import svg
from foldover.report.numbers import decimals_for, probability, setting, signed
from foldover.report.reading import (
    Row,
    budgets_of,
    half_width,
    package_labels,
    package_names,
    shares_lever,
    terms_by_size,
)

WIDTH, ROW, HEAD, FOOT, GAP = 1040, 22, 34, 40, 14
LABELS_END, PLOT_START, PLOT_END = 296, 312, 700
ESTIMATE_END, INTERVAL_END, Q_END = 786, 950, WIDTH
# An interval may stretch the axis to this many times the largest estimate; beyond it is cut with an arrow.
STRETCH = 2.0

PANEL_WIDTH, PANEL_HEIGHT = 196, 206


@dataclass(frozen=True, slots=True, kw_only=True)
class ForestFrame:
    """What the rows of one forest share."""

    scale: svg.Scale
    decimals: int
    names: dict[str, str]
    colours: dict[str, str]
    smallest: float


def forest(document: Row, effects: Sequence[Row]) -> Markup:
    """One block a term, the largest first, in it one row a package: point, interval, numbers."""
    terms = terms_by_size(effects)
    packages = package_names(effects)
    blocks = {term: [effect for effect in effects if effect["term"] == term] for term in terms}
    bottom = HEAD + sum(_block_height(own) for own in blocks.values())
    frame = ForestFrame(
        scale=_scale(effects, PLOT_START, PLOT_END),
        decimals=decimals_for([half_width(effect) for effect in effects]),
        names=package_labels(effects),
        colours=budget_colours(document),
        smallest=document["study"]["gate"]["smallest_effect"],
    )
    parts = [*_backdrop(frame, bottom, document["study"])]
    y = float(HEAD)
    for own in blocks.values():
        own.sort(key=lambda effect: packages.index(effect["package"]))
        parts += _term(own, y, frame)
        y += _block_height(own)
    label = f"Effects on {document['study']['response']} with intervals, by budget"
    return svg.drawing(WIDTH, bottom + FOOT, *parts, label=label)


def relaxation(document: Row, effects: Sequence[Row]) -> list[Markup]:
    """A small panel a factor: its effect against the budget. Points of one regime are joined, others never.

    A regime is a stage and its seeds. Empty where all effects are at one budget.
    """
    placed = [effect for effect in effects if effect["limit"]]
    budgets = budgets_of(placed)
    if len(budgets) < 2:
        return []
    scale = _scale(placed, PANEL_HEIGHT - 32, 34)
    return [
        _relaxation_panel([e for e in placed if e["term"] == term], budgets, scale, placed)
        for term in terms_by_size(placed)
    ]


def budget_colours(document: Row) -> dict[str, str]:
    """A CSS colour a budget label, from the shortest to the longest."""
    labels = budgets_of([row for row in (*document["packages"], *document["effects"]) if row["limit"]])
    last = max(len(labels) - 1, 1)
    return {label: f"var(--b{round(i * 5 / last)})" for i, label in enumerate(labels)}


def is_hollow(effect: Row) -> bool:
    """Whether a marker is drawn hollow: the effect is described, not tested."""
    return bool(effect["descriptive"])


def effect_words(effect: Row, decimals: int) -> str:
    """What a marker says when pointed at."""
    words = f"{effect['term']} at {effect['budget']}: {signed(effect['estimate'], decimals)}"
    if effect["low"] is not None:
        words += f" [{signed(effect['low'], decimals)}, {signed(effect['high'], decimals)}]"
    if effect["p"] is not None:
        words += f", p = {probability(effect['p'])}"
    if effect["q"] is not None:
        words += f", q = {probability(effect['q'])}"
    return words + ("; descriptive, not tested" if is_hollow(effect) else "")


def _scale(effects: Sequence[Row], start: float, end: float) -> svg.Scale:
    limit = STRETCH * max(abs(effect["estimate"]) for effect in effects) or 1.0
    ends = [0.0]
    for effect in effects:
        wanted = (effect["estimate"], effect["low"], effect["high"])
        ends += [max(-limit, min(limit, value)) for value in wanted if value is not None]
    return svg.scale_over(ends, start, end)


def _backdrop(frame: ForestFrame, bottom: float, study: Row) -> list[Markup]:
    scale = frame.scale
    parts = []
    if frame.smallest > 0:
        left, right = max(scale(-frame.smallest), PLOT_START), min(scale(frame.smallest), PLOT_END)
        words = f"smaller than what matters: \u00b1{setting(frame.smallest)}"
        band = svg.tag("rect", x=left, y=HEAD - 8, width=right - left, height=bottom - HEAD + 4, class_="band")
        parts.append(svg.titled(words, band))
    marks = svg.ticks(scale.low, scale.high, 6)
    decimals = svg.tick_decimals(marks)
    for value in marks:
        x = scale(value)
        parts.append(svg.line(x, HEAD - 8, x, bottom - 4, class_="zero" if value == 0 else "grid"))
        parts.append(svg.text(x, bottom + 12, signed(value, decimals), class_="tick", anchor="middle"))
    left_wins, right_wins = ("high", "low") if study["direction"] == "minimize" else ("low", "high")
    parts.append(svg.text(PLOT_START, bottom + 31, f"\u2190 {left_wins} level is better", class_="hint"))
    parts.append(svg.text(PLOT_END, bottom + 31, f"{right_wins} level is better \u2192", class_="hint", anchor="end"))
    parts.append(svg.text(ESTIMATE_END, 14, "effect", class_="head", anchor="end"))
    parts.append(svg.text(INTERVAL_END, 14, "interval", class_="head", anchor="end"))
    parts.append(svg.text(Q_END, 14, "q", class_="head", anchor="end"))
    return parts


def _term(effects: Sequence[Row], top: float, frame: ForestFrame) -> list[Markup]:
    first = effects[0]
    middle = top + 4
    parts = [svg.text(0, middle, first["term"], class_="letter")]
    if first["levels"] is not None:
        low, high = first["levels"]
        parts.append(svg.titled(first["lever"], svg.text(26, middle, _short(first["lever"], 32), class_="name")))
        levels = f"{setting(low)} \u2192 {setting(high)}"
        parts.append(svg.titled(levels, svg.text(26, middle + 17, _short(levels, 32), class_="mute")))
    for i, effect in enumerate(effects):
        parts += _forest_row(effect, top + i * ROW, frame)
    bottom = top + _block_height(effects) - (ROW + GAP) / 2
    parts.append(svg.line(0, bottom, WIDTH, bottom, class_="rule"))
    return parts


def _block_height(effects: Sequence[Row]) -> float:
    """Room for the rows of one term, and for two lines of name where it is a factor."""
    return max(len(effects), 2 if effects[0]["levels"] is not None else 1) * ROW + GAP


def _short(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 1] + "\u2026"


def _forest_row(effect: Row, y: float, frame: ForestFrame) -> list[Markup]:
    colour = f"--c:{frame.colours.get(effect['budget'], 'var(--ink)')}"
    marks = [*_interval(effect, y, frame.scale), marker(frame.scale(effect["estimate"]), y, hollow=is_hollow(effect))]
    interval = "descriptive" if effect["descriptive"] else "\u2013"
    if effect["low"] is not None:
        interval = f"{signed(effect['low'], frame.decimals)} to {signed(effect['high'], frame.decimals)}"
    kind = "num" if effect["retained"] else "num quiet"
    return [
        svg.text(LABELS_END, y + 4, frame.names[effect["package"]], class_="budget", anchor="end"),
        svg.titled(effect_words(effect, frame.decimals), *marks, style=colour),
        svg.text(ESTIMATE_END, y + 4, signed(effect["estimate"], frame.decimals), class_=kind, anchor="end"),
        svg.text(INTERVAL_END, y + 4, interval, class_="num quiet", anchor="end"),
        svg.text(Q_END, y + 4, probability(effect["q"]), class_="num quiet", anchor="end"),
    ]


def _interval(effect: Row, y: float, scale: svg.Scale) -> list[Markup]:
    if effect["low"] is None or effect["high"] is None:
        return []
    parts = []
    left, right = max(effect["low"], scale.low), min(effect["high"], scale.high)
    parts.append(svg.line(scale(left), y, scale(right), y, class_="bar"))
    if left > effect["low"]:
        x = scale(left)
        parts.append(svg.path([(x + 6, y - 4), (x, y), (x + 6, y + 4)], class_="bar"))
    if right < effect["high"]:
        x = scale(right)
        parts.append(svg.path([(x - 6, y - 4), (x, y), (x - 6, y + 4)], class_="bar"))
    return parts


def marker(x: float, y: float, *, hollow: bool, radius: float = 5) -> Markup:
    """A dot in the group's colour; hollow where the value is only described."""
    return svg.tag("circle", cx=x, cy=y, r=radius, class_="hollow" if hollow else "mark")


def _name(effect: Row, effects: Sequence[Row]) -> str:
    """The lever; where several factors are of one, its last part with the levels."""
    if not shares_lever(effect, effects):
        return str(effect["lever"])
    low, high = effect["levels"]
    return f"{effect['lever'].rpartition('.')[2]} {setting(low)} \u2192 {setting(high)}"


def _relaxation_panel(
    effects: Sequence[Row], budgets: Sequence[str], scale: svg.Scale, placed: Sequence[Row]
) -> Markup:
    first = effects[0]
    parts = [svg.text(0, 14, first["term"], class_="letter")]
    if first["lever"]:
        name = _name(first, placed)
        parts.append(svg.titled(name, svg.text(24, 14, _short(name, 28), class_="name small")))
    marks = svg.ticks(min(scale.low, scale.high), max(scale.low, scale.high), 5)
    decimals = svg.tick_decimals(marks)
    for value in marks:
        y = scale(value)
        parts.append(svg.line(46, y, PANEL_WIDTH - 4, y, class_="zero" if value == 0 else "grid"))
        parts.append(svg.text(42, y + 4, signed(value, decimals), class_="tick", anchor="end"))
    places = _places(effects, budgets)
    for label, x in places.items():
        parts.append(svg.text(x, PANEL_HEIGHT - 12, label, class_="tick", anchor="middle"))
    for regime in _regimes(effects):
        points = [(places[e["budget"]], scale(e["estimate"])) for e in regime]
        if len(points) > 1:
            parts.append(svg.path(points, class_="joined"))
        parts += [_relaxation_point(effect, places[effect["budget"]], scale) for effect in regime]
    return svg.drawing(PANEL_WIDTH, PANEL_HEIGHT, *parts, label=f"Effect of {first['term']} against the budget")


def _relaxation_point(effect: Row, x: float, scale: svg.Scale) -> Markup:
    parts = []
    if effect["low"] is not None:
        low, high = max(effect["low"], scale.low), min(effect["high"], scale.high)
        parts.append(svg.line(x, scale(low), x, scale(high), class_="bar"))
    parts.append(marker(x, scale(effect["estimate"]), hollow=is_hollow(effect), radius=4.5))
    return svg.titled(effect_words(effect, decimals_for([half_width(effect)])), *parts, style="--c:var(--accent)")


def _places(effects: Sequence[Row], budgets: Sequence[str]) -> dict[str, float]:
    """Where each budget stands: by its logarithm if all limits are of one kind, else evenly."""
    start, end = 70.0, PANEL_WIDTH - 26.0
    limits = {effect["budget"]: effect["limit"] for effect in effects}
    here = [budget for budget in budgets if budget in limits]
    if len(here) > 1 and len({limit["kind"] for limit in limits.values()}) == 1:
        logs = [math.log(limits[budget]["amount"]) for budget in here]
        across = svg.Scale(low=logs[0], high=logs[-1], start=start, end=end)
        return {budget: across(log) for budget, log in zip(here, logs, strict=True)}
    return {budget: start + (i + 0.5) * (end - start) / len(here) for i, budget in enumerate(here)}


def _regimes(effects: Sequence[Row]) -> list[list[Row]]:
    """Effects that a line may join: of one stage, under the same seeds, tested, in limits of one kind."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for effect in effects:
        key: tuple[object, ...] = (effect["stage"], tuple(effect["seeds"]), effect["limit"]["kind"])
        if effect["descriptive"]:
            key = (*key, effect["package"])
        groups.setdefault(key, []).append(effect)
    return [sorted(group, key=lambda effect: effect["limit"]["amount"]) for group in groups.values()]
