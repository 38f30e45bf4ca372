"""Pictures of conditions: their order with intervals, and where they stand among the yardsticks."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from foldover.report import svg
from foldover.report.numbers import coded, counted, decimals_for, plain, setting
from foldover.report.reading import Row, half_width

WIDTH, ROW, HEAD, FOOT = 508, 20, 30, 30
PLOT_START, PLOT_END, MEAN_END = 176, 430, WIDTH
# How far beyond the runs' own spread an interval may stretch the axis before it is cut with an arrow.
STRETCH = 0.3

LONGEST_NAME, MOST_LETTERS = 11, 7

STRIP_WIDTH, STRIP_ROW, STRIP_START = 1040, 30, 150

ROLE_WORDS = {
    "factorial": "row of the design",
    "anchor": "anchor, run again under new seeds",
    "corner": "better corner",
    "bridge": "bridge towards the centre",
}


def ordering(document: Row, package: str) -> Markup:
    """The conditions of one package, the better mean on top: seeds, mean, Student interval, coded levels."""
    rows = [row for row in document["conditions"] if row["package"] == package]
    scale = svg.scale_over(_reach(rows), PLOT_START, PLOT_END)
    decimals = decimals_for([half_width(row) for row in rows])
    bottom = HEAD + len(rows) * ROW
    letters = [factor["letter"] for factor in document["study"]["factors"]]
    parts = [*_axis(scale, bottom), *_references(document["references"], scale, bottom)]
    if any(row["coded"] for row in rows) and len(letters) <= MOST_LETTERS:
        parts += [svg.text(_level_x(i), 14, letter, class_="head", anchor="middle") for i, letter in enumerate(letters)]
    parts.append(svg.text(MEAN_END, 14, "mean", class_="head", anchor="end"))
    for i, row in enumerate(rows):
        parts += _label(row, HEAD + (i + 0.5) * ROW)
        parts += _condition(row, HEAD + (i + 0.5) * ROW, scale, decimals)
    return svg.drawing(WIDTH, bottom + FOOT, *parts, label=f"Conditions of {package}, ordered by mean")


def roles_shown(document: Row) -> list[str]:
    """The roles that occur: those of ROLE_WORDS in its order, then the study's own."""
    found = {row["role"] for row in document["conditions"]}
    return [role for role in ROLE_WORDS if role in found] + sorted(found - set(ROLE_WORDS))


def role_colour(role: str) -> str:
    """A CSS colour: the role's own where the page has one."""
    return f"var(--role-{role})" if role in ROLE_WORDS else "var(--accent)"


def yardsticks(document: Row) -> Markup | None:
    """Best and worst condition of each package on one axis with the reference values (None without any)."""
    references, packages = document["references"], _extremes(document["conditions"])
    if not references or not packages:
        return None
    ends = [*references.values(), *(row["mean"] for pair in packages.values() for row in pair)]
    scale = svg.scale_over(ends, STRIP_START, STRIP_WIDTH - 20, margin=0.05)
    top, bottom = 40.0, 40.0 + len(packages) * STRIP_ROW
    parts = [svg.line(STRIP_START, bottom, STRIP_WIDTH - 20, bottom, class_="axis")]
    marks = svg.ticks(scale.low, scale.high, 8)
    for value in marks:
        words = plain(value, svg.tick_decimals(marks))
        parts.append(svg.text(scale(value), bottom + 17, words, class_="tick", anchor="middle"))
        parts.append(svg.line(scale(value), bottom, scale(value), bottom + 4, class_="axis"))
    for name, value in sorted(references.items(), key=lambda item: item[1]):
        parts += _yardstick(name, value, scale, top, bottom)
    for i, (package, (best, worst)) in enumerate(packages.items()):
        parts += _span(package, best, worst, top + (i + 0.5) * STRIP_ROW, scale)
    label = f"Best and worst mean {document['study']['response']} of each package among the reference values"
    return svg.drawing(STRIP_WIDTH, bottom + 26, *parts, label=label)


def reference_name(name: str) -> str:
    """`order_2` is the byte model of order 2; any other name is kept."""
    order = name.removeprefix("order_")
    return f"order-{order} byte model" if order.isdigit() and order != name else name


def _reach(rows: Sequence[Row]) -> list[float]:
    values = [run["value"] for row in rows for run in row["values"]] + [row["mean"] for row in rows]
    spread = (max(values) - min(values)) or abs(values[0]) * 0.01
    low, high = min(values) - STRETCH * spread, max(values) + STRETCH * spread
    ends = [end for row in rows for end in (row["low"], row["high"]) if end is not None]
    return values + [max(low, min(high, end)) for end in ends]


def _axis(scale: svg.Scale, bottom: float) -> list[Markup]:
    marks = svg.ticks(scale.low, scale.high, 4)
    decimals = svg.tick_decimals(marks)
    parts = []
    for value in marks:
        parts.append(svg.line(scale(value), HEAD - 4, scale(value), bottom, class_="grid"))
        parts.append(svg.text(scale(value), bottom + 16, plain(value, decimals), class_="tick", anchor="middle"))
    return parts


def _references(references: Row, scale: svg.Scale, bottom: float) -> list[Markup]:
    parts = []
    for name, value in sorted(references.items()):
        if scale.low < value < scale.high:
            x = scale(value)
            words = f"{reference_name(name)}: {plain(value)}"
            parts.append(svg.titled(words, svg.line(x, HEAD - 4, x, bottom, class_="reference")))
            short = name.replace("_", "-")
            anchor, place = ("end", x - 4) if x > PLOT_END - 48 else ("start", x + 4)
            parts.append(svg.text(place, HEAD - 8, short, class_="hint", anchor=anchor))
    return parts


def _condition(row: Row, y: float, scale: svg.Scale, decimals: int) -> list[Markup]:
    colour = f"--c:{role_colour(row['role'])}"
    seeds = [scale(run["value"]) for run in row["values"] if run["value"] is not None]
    marks = [svg.line(x, y - 5, x, y + 5, class_="seed") for x in seeds]
    if row["low"] is not None:
        marks += _whisker(row, y, scale)
    marks.append(svg.tag("circle", cx=scale(row["mean"]), cy=y, r=4.5, class_="mark" if row["n"] > 1 else "hollow"))
    if row["is_recommended"]:
        marks.append(svg.tag("circle", cx=scale(row["mean"]), cy=y, r=8, class_="ring"))
    return [
        svg.titled(_condition_words(row, decimals), *marks, style=colour),
        svg.text(MEAN_END, y + 4, plain(row["mean"], decimals), class_="num", anchor="end"),
    ]


def _label(row: Row, y: float) -> list[Markup]:
    """The condition's name and, where there is room, its coded levels."""
    name = row["condition"]
    shown = name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "\u2026"
    parts = [svg.titled(name, svg.text(0, y + 4, shown, class_="name strong" if row["is_recommended"] else "name"))]
    if len(row["coded"]) <= MOST_LETTERS:
        for i, level in enumerate(row["coded"]):
            parts.append(svg.text(_level_x(i), y + 4, coded(level), class_="level", anchor="middle"))
    return parts


def _whisker(row: Row, y: float, scale: svg.Scale) -> list[Markup]:
    low, high = max(row["low"], scale.low), min(row["high"], scale.high)
    parts = [svg.line(scale(low), y, scale(high), y, class_="bar")]
    if low > row["low"]:
        parts.append(svg.path([(scale(low) + 5, y - 3), (scale(low), y), (scale(low) + 5, y + 3)], class_="bar"))
    if high < row["high"]:
        parts.append(svg.path([(scale(high) - 5, y - 3), (scale(high), y), (scale(high) - 5, y + 3)], class_="bar"))
    return parts


def _condition_words(row: Row, decimals: int) -> str:
    levels = ", ".join(f"{lever} {setting(value)}" for lever, value in sorted(row["levels"].items()))
    words = f"{row['condition']}: mean {plain(row['mean'], decimals)}"
    if row["low"] is not None:
        words += f" [{plain(row['low'], decimals)}, {plain(row['high'], decimals)}]"
    words += f", {counted(row['n'], 'run')}"
    return words + (f"; {levels}" if levels else "")


def _level_x(i: int) -> float:
    return 84.0 + 13.0 * i


def _extremes(conditions: Sequence[Row]) -> dict[str, tuple[Row, Row]]:
    """The first and the last condition of each package."""
    found: dict[str, tuple[Row, Row]] = {}
    for row in conditions:
        best = found[row["package"]][0] if row["package"] in found else row
        found[row["package"]] = (best, row)
    return found


def _yardstick(name: str, value: float, scale: svg.Scale, top: float, bottom: float) -> list[Markup]:
    x = scale(value)
    anchor = "end" if x > STRIP_WIDTH - 120 else "middle"
    return [
        svg.line(x, top - 6, x, bottom, class_="reference"),
        svg.text(x, 14, reference_name(name), class_="hint", anchor=anchor),
        svg.text(x, 29, plain(value), class_="num quiet", anchor=anchor),
    ]


def _span(package: str, best: Row, worst: Row, y: float, scale: svg.Scale) -> list[Markup]:
    words = f"{package}: {plain(best['mean'])} ({best['condition']}) to {plain(worst['mean'])} ({worst['condition']})"
    marks = [
        svg.line(scale(best["mean"]), y, scale(worst["mean"]), y, class_="span"),
        svg.tag("circle", cx=scale(worst["mean"]), cy=y, r=4, class_="hollow"),
        svg.tag("circle", cx=scale(best["mean"]), cy=y, r=5, class_="mark"),
    ]
    return [
        svg.text(STRIP_START - 14, y + 4, package, class_="name", anchor="end"),
        svg.titled(words, *marks, style="--c:var(--accent)"),
    ]
