"""The few strokes that the charts are drawn with: elements, scales, axes.

Colours are CSS variables of the page and text takes the current colour, so that one drawing serves the light and
the dark theme. Coordinates are pixels of the drawing's own box, rounded to a tenth.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

Attribute = str | float | None


def tag(name: str, *children: str | Markup, **attributes: Attribute) -> Markup:
    """One element. Underscores in attribute names become hyphens, a trailing one is dropped (`class_`).

    Text children and values are escaped; an attribute that is None is left out.
    """
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is not None:
            parts.append(f' {key.rstrip("_").replace("_", "-")}="{escape(_attribute(value))}"')
    inside = Markup("").join(children)
    return Markup("".join(parts) + (f">{inside}</{name}>" if inside else "/>"))  # noqa: S704 (parts are escaped)


def drawing(width: float, height: float, *children: Markup, label: str, class_: str = "chart") -> Markup:
    """A whole picture with its name for readers who do not see it."""
    box = f"0 0 {_attribute(width)} {_attribute(height)}"
    return tag("svg", *children, viewBox=box, width=width, height=height, role="img", aria_label=label, class_=class_)


def text(x: float, y: float, words: str, *, class_: str | None = None, anchor: str | None = None) -> Markup:
    """Words at a baseline; anchor: `middle` or `end` (None: start)."""
    return tag("text", words, x=x, y=y, class_=class_, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, *, class_: str) -> Markup:
    """A straight stroke."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def path(points: Iterable[tuple[float, float]], *, class_: str, style: str | None = None) -> Markup:
    """A stroke through points."""
    d = "M" + "L".join(f"{_attribute(x)} {_attribute(y)}" for x, y in points)
    return tag("path", d=d, class_=class_, style=style)


def titled(words: str, *children: Markup, style: str | None = None, class_: str | None = None) -> Markup:
    """A group that tells its numbers when pointed at."""
    return tag("g", tag("title", words), *children, style=style, class_=class_)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """From values to pixels, linearly."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def scale_over(values: Iterable[float], start: float, end: float, *, margin: float = 0.06) -> Scale:
    """A linear scale over all values with a margin on both sides."""
    found = list(values)
    low, high = min(found), max(found)
    size = max(abs(low), abs(high))
    spread = high - low if high - low > 1e-9 * size else size * 0.01 or 1.0
    return Scale(low=low - margin * spread, high=high + margin * spread, start=start, end=end)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers inside a range: steps of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= 0.75 * raw)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def tick_decimals(values: Sequence[float]) -> int:
    """How many decimals tell neighbouring ticks apart."""
    if len(values) < 2:
        return 3
    step = values[1] - values[0]
    return max(0, -math.floor(math.log10(step) + 1e-9))


def _attribute(value: str | float) -> str:
    if isinstance(value, str):
        return value
    rounded = round(value, 1) + 0.0
    return f"{rounded:.0f}" if rounded == int(rounded) else f"{rounded:.1f}"
