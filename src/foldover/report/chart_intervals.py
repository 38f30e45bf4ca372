"""Points with intervals, row by row: one drawing for effects, conditions and hosts, on a page or in its own file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from markupsafe import Markup

from foldover.report import svg
from foldover.report.numbers import decimals_for, plain, signed

WIDTH, ROW, HEAD, FOOT = 760, 20, 34, 44
LABELS_END, PLOT_START, PLOT_END = 196, 210, 640
PANEL_COLUMNS, PANEL_HEAD = 2, 20
SERIES_COLOURS = ("#14666b", "#c9822b", "#35589f", "#a8412f", "#94962f", "#6b4b8a")
# An interval may stretch the axis to this share of the points' range, or of the usual interval, beyond the points; what
# goes further is cut with an arrow.
STRETCH = 0.75

# For files that have no page around them. Converters to PDF or PNG know classes, but no CSS variables.
_STYLE = (
    "svg{background:#fcfcfa;color:#1d2126}text{fill:#1d2126;font:12px sans-serif}"
    ".tick,.hint{fill:#5d646d;font-size:11px}"
    ".title{font-size:14px;font-weight:600}.head{font-weight:600}.grid{stroke:#e5e3dd}.zero{stroke:#8b929b}"
    ".bar{fill:none;stroke-width:2}.hollow{fill:#fcfcfa;stroke-width:2}.seed{opacity:0.6}"
)


def intervals(picture: Mapping[str, Any]) -> Markup:
    """The drawing for a page, its panels one below the other. picture: a `SectionPicture` as plain data, with marks."""
    width, height, parts = _parts(picture, columns=1)
    return svg.drawing(width, height, *parts, label=str(picture["title"]))


def intervals_file(picture: Mapping[str, Any]) -> str:
    """The drawing as a whole SVG file, its panels side by side."""
    width, height, parts = _parts(picture, columns=PANEL_COLUMNS)
    title = svg.text(8, 18, str(picture["title"]), class_="title")
    whole = svg.tag(
        "svg",
        svg.tag("title", str(picture["title"])),
        svg.tag("style", _STYLE + _colours()),
        title,
        svg.tag("g", *parts, transform="translate(0 22)"),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {height + 22:g}",
        width=width,
        height=height + 22,
        role="img",
    )
    return str(whole) + "\n"


def _colours() -> str:
    """The classes of the series."""
    return "".join(
        f".s{i} .bar,.s{i} .hollow,.s{i} .seed{{stroke:{colour}}}.s{i} .mark{{fill:{colour}}}"
        for i, colour in enumerate(SERIES_COLOURS)
    )


def _parts(picture: Mapping[str, Any], *, columns: int) -> tuple[float, float, list[Markup]]:
    """Width, height and strokes: one panel, or several with their names above them, row by row."""
    series = list(dict.fromkeys(mark["series"] for mark in picture["marks"]))
    places = {name: i % len(SERIES_COLOURS) for i, name in enumerate(series)}
    names = list(dict.fromkeys(mark["panel"] for mark in picture["marks"]))
    drawn = [_panel(picture, [mark for mark in picture["marks"] if mark["panel"] == name], places) for name in names]
    if len(drawn) == 1:
        height, parts = drawn[0]
        return WIDTH, height, [*parts, *_legend(places)]
    tallest = max(height for height, _ in drawn)
    groups = []
    for i, (name, (_, parts)) in enumerate(zip(names, drawn, strict=True)):
        place = f"translate({i % columns * WIDTH} {PANEL_HEAD + i // columns * tallest:g})"
        groups.append(svg.tag("g", svg.text(PLOT_START, 18, name, class_="head"), *parts, transform=place))
    rows = -(-len(drawn) // columns)
    return WIDTH * columns, PANEL_HEAD + rows * tallest, [*groups, *_legend(places)]


def _panel(
    picture: Mapping[str, Any], marks: Sequence[Mapping[str, Any]], places: Mapping[str, int]
) -> tuple[float, list[Markup]]:
    """Height and strokes of marks that share an axis."""
    labels = list(dict.fromkeys(mark["label"] for mark in marks))
    scale = svg.scale_over(_reach(marks, zero=picture["zero"]), PLOT_START, PLOT_END)
    decimals = decimals_for(
        [(mark["high"] - mark["low"]) / 2 for mark in marks if mark["low"] is not None and mark["high"] is not None]
    )
    rows = [(label, [mark for mark in marks if mark["label"] == label]) for label in labels]
    bottom = HEAD + sum(max(1, len(own)) * ROW + 4 for _, own in rows)
    parts = _axis(scale, bottom, picture)
    y = float(HEAD)
    for label, own in rows:
        parts.append(svg.text(LABELS_END, y + ROW / 2 + 4, _short(label), anchor="end", class_="name"))
        for mark in own:
            parts += _mark(mark, y + ROW / 2, scale, places[mark["series"]], decimals, picture)
            y += ROW
        y += 4
    return bottom + FOOT, parts


def _reach(marks: Sequence[Mapping[str, Any]], *, zero: bool) -> list[float]:
    values = [value for mark in marks for value in (mark["value"], *mark["runs"])] + ([0.0] if zero else [])
    lengths = [mark["high"] - mark["low"] for mark in marks if mark["low"] is not None and mark["high"] is not None]
    spread = max(max(values) - min(values), median(lengths or [0.0])) or abs(values[0]) * 0.01 or 1.0
    low, high = min(values) - STRETCH * spread, max(values) + STRETCH * spread
    ends = [end for mark in marks for end in (mark["low"], mark["high"]) if end is not None]
    return values + [max(low, min(high, end)) for end in ends]


def _axis(scale: svg.Scale, bottom: float, picture: Mapping[str, Any]) -> list[Markup]:
    ticks = svg.ticks(scale.low, scale.high, 6)
    digits = svg.tick_decimals(ticks)
    write = _writer(picture)
    parts = []
    for value in ticks:
        kind = "zero" if picture["zero"] and value == 0 else "grid"
        parts.append(svg.line(scale(value), HEAD - 6, scale(value), bottom, class_=kind))
        parts.append(svg.text(scale(value), bottom + 15, write(value, digits), class_="tick", anchor="middle"))
    parts.append(svg.text((PLOT_START + PLOT_END) / 2, bottom + 33, picture["axis"], class_="hint", anchor="middle"))
    return parts


def _legend(places: Mapping[str, int]) -> list[Markup]:
    if len(places) < 2:
        return []
    parts, x = [], float(PLOT_START)
    for name, place in places.items():
        parts.append(_group(place, svg.tag("circle", cx=x, cy=14, r=4.5, class_="mark")))
        parts.append(svg.text(x + 9, 18, name, class_="hint"))
        x += 26 + 7.0 * len(name)
    return parts


def _mark(
    mark: Mapping[str, Any], y: float, scale: svg.Scale, place: int, decimals: int, picture: Mapping[str, Any]
) -> list[Markup]:
    write = _writer(picture)
    parts, words = [], f"{mark['label']}, {mark['series']}: {write(mark['value'], decimals)}"
    for run in mark["runs"]:
        parts.append(svg.line(scale(run), y - 5, scale(run), y + 5, class_="seed"))
    if mark["low"] is not None and mark["high"] is not None:
        words += f" [{write(mark['low'], decimals)}, {write(mark['high'], decimals)}]"
        left, right = max(mark["low"], scale.low), min(mark["high"], scale.high)
        parts.append(svg.line(scale(left), y, scale(right), y, class_="bar"))
        if left > mark["low"]:
            parts.append(svg.path([(scale(left) + 6, y - 4), (scale(left), y), (scale(left) + 6, y + 4)], class_="bar"))
        if right < mark["high"]:
            parts.append(
                svg.path([(scale(right) - 6, y - 4), (scale(right), y), (scale(right) - 6, y + 4)], class_="bar")
            )
    if picture["bars"]:
        ends = sorted((scale(0.0), scale(mark["value"])))
        parts.append(svg.tag("rect", x=ends[0], y=y - 7, width=ends[1] - ends[0], height=14, class_="mark"))
    else:
        kind = "hollow" if mark["hollow"] else "mark"
        parts.append(svg.tag("circle", cx=scale(mark["value"]), cy=y, r=4.5, class_=kind))
    return [
        _group(place, svg.tag("title", words), *parts),
        svg.text(WIDTH - 8, y + 4, write(mark["value"], decimals), class_="num", anchor="end"),
    ]


def _writer(picture: Mapping[str, Any]) -> Callable[[float, int], str]:
    """Signs are shown where values lie about zero; bars have none."""
    return signed if picture["zero"] and not picture["bars"] else plain


def _group(place: int, *parts: Markup) -> Markup:
    """Marks of one series: its colour by class for files, by variable for the page."""
    return svg.tag("g", *parts, class_=f"s{place}", style=f"--c:{SERIES_COLOURS[place]}")


def _short(words: str) -> str:
    return words if len(words) <= 28 else words[:27] + "\u2026"
