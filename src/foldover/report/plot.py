"""A plot that stands alone: frame, axes with ticks, marks in data units; and the sheet that holds several of them.

Files are opened by viewers that know no page around them, so the style is inside and follows the reader's theme.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from foldover.report import svg
from foldover.report.numbers import plain

STYLE = Markup(
    "svg{background:#fcfcfa;color:#1d2126;font:12px system-ui,sans-serif}"
    "text{fill:currentColor}.tick,.hint{fill:#5d646d;font-size:11px}.title{font-size:14px;font-weight:600}"
    ".axis{stroke:#8b929b;fill:none}.grid{stroke:#e5e3dd}.zero{stroke:#8b929b;stroke-dasharray:2 3}"
    ".mark{fill:#14666b;stroke:none}.quiet{fill:#fcfcfa;stroke:#5d646d}.other{fill:#c9822b;stroke:none}"
    ".line{stroke:#14666b;fill:none;stroke-width:1.6}.line2{stroke:#c9822b;fill:none;stroke-width:1.6;"
    "stroke-dasharray:6 3}.limit{stroke:#a8412f;fill:none;stroke-dasharray:5 4}.box{fill:#cfdcec}.hot{fill:#14666b}"
    "@media(prefers-color-scheme:dark){svg{background:#14171a;color:#e4e6e8}.tick,.hint{fill:#a4abb3}"
    ".grid{stroke:#2c3238}.quiet{fill:#14171a}.mark,.hot{fill:#5fbdb8}.line{stroke:#5fbdb8}.box{fill:#2c415e}}"
)
LEFT, RIGHT, TOP, BOTTOM = 62.0, 14.0, 34.0, 44.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A frame of a size with scales; draw marks with `dot`, `stroke`, ... and put them together with `inside`."""

    title: str
    x_label: str
    y_label: str
    x: svg.Scale
    y: svg.Scale
    width: float
    height: float

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The pixel of a point."""
        return self.x(x), self.y(y)

    def dot(self, x: float, y: float, *, class_: str = "mark", label: str = "", words: str = "") -> Markup:
        """A point, with a label beside it and words when pointed at."""
        px, py = self.at(x, y)
        circle = svg.tag("circle", cx=px, cy=py, r=4, class_=class_)
        named = (svg.text(px - 7, py - 5, label, anchor="end"),) if label else ()
        return svg.titled(words or label, circle, *named) if words or label else circle

    def stroke(self, points: Iterable[tuple[float, float]], *, class_: str = "line") -> Markup:
        """A line through points."""
        return svg.path([self.at(x, y) for x, y in points], class_=class_)

    def across(self, y: float, *, class_: str = "zero", label: str = "") -> Markup:
        """A horizontal line over the whole frame, named at its right end."""
        parts = [svg.line(self.x.start, self.y(y), self.x.end, self.y(y), class_=class_)]
        if label:
            parts.append(svg.text(self.x.end, self.y(y) - 4, label, class_="hint", anchor="end"))
        return Markup("").join(parts)

    def upright(self, x: float, *, class_: str = "zero", label: str = "") -> Markup:
        """A vertical line over the whole frame, named at its top."""
        parts = [svg.line(self.x(x), self.y.start, self.x(x), self.y.end, class_=class_)]
        if label:
            parts.append(svg.text(self.x(x) + 4, self.y.end + 12, label, class_="hint"))
        return Markup("").join(parts)

    def inside(self, *marks: Markup, x_ticks: Sequence[tuple[float, str]] | None = None, y_axis: bool = True) -> Markup:
        """The whole plot as a group. x_ticks: (value, text) where the axis is not of round numbers."""
        parts = [svg.text(self.x.start - LEFT + 8, 18, self.title, class_="title")]
        for value, words in _marks(self.y) if y_axis else ():
            parts.append(svg.line(self.x.start, self.y(value), self.x.end, self.y(value), class_="grid"))
            parts.append(svg.text(self.x.start - 6, self.y(value) + 4, words, class_="tick", anchor="end"))
        for value, words in _marks(self.x) if x_ticks is None else x_ticks:
            parts.append(svg.text(self.x(value), self.y.start + 15, words, class_="tick", anchor="middle"))
        frame = [(self.x.start, self.y.end), (self.x.start, self.y.start), (self.x.end, self.y.start)]
        parts.append(svg.path(frame, class_="axis"))
        middle = (self.x.start + self.x.end) / 2
        parts.append(svg.text(middle, self.y.start + 34, self.x_label, class_="hint", anchor="middle"))
        parts.append(svg.text(self.x.start - LEFT + 8, self.y.end - 4, self.y_label, class_="hint"))
        return svg.tag("g", *parts, *marks)


def plot(
    title: str, *, x: Sequence[float], y: Sequence[float], x_label: str = "", y_label: str = "", width: float = 560,
    height: float = 400, from_zero: bool = False,
) -> Plot:  # fmt: skip
    """A plot whose frame holds all given coordinates. from_zero: both axes begin at 0."""
    made = Plot(
        title=title,
        x_label=x_label,
        y_label=y_label,
        x=svg.scale_over(x, LEFT, width - RIGHT),
        y=svg.scale_over(y, height - BOTTOM, TOP + 10),
        width=width,
        height=height,
    )
    return replace(made, x=replace(made.x, low=0.0), y=replace(made.y, low=0.0)) if from_zero else made


def sheet(parts: Sequence[Markup], *, width: float, height: float, columns: int, label: str) -> str:
    """A whole SVG file of plots of one size, row by row. label: the picture's name for who does not see it."""
    rows = -(-len(parts) // columns)
    groups = [
        svg.tag("g", part, transform=f"translate({(i % columns) * width:g} {(i // columns) * height:g})")
        for i, part in enumerate(parts)
    ]
    across, down = width * min(columns, len(parts)), height * rows
    picture = svg.tag(
        "svg",
        svg.tag("title", label),
        svg.tag("style", STYLE),
        *groups,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {across:g} {down:g}",
        width=across,
        height=down,
        role="img",
        aria_label=label,
    )
    return str(picture) + "\n"


def _marks(scale: svg.Scale) -> list[tuple[float, str]]:
    found = svg.ticks(scale.low, scale.high, 5)
    decimals = svg.tick_decimals(found)
    return [(value, plain(value, decimals)) for value in found]
