"""Pictures as PNG, for what takes no SVG: drawn by resvg in the light theme, on the page's own colour, fit for print.

resvg leaves text out in silence where it finds no font, and a file of a font is nothing to it until a family is named.
So a letter is drawn first: the fonts that are used are those that draw it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from foldover.core import UserError

SCALE = 3.0  # a drawing of 760 pixels fills a column of 6.5 inches at 350 dots an inch
PAPER = "#fcfcfa"
# What `sans-serif` stands for, the first that there is: that of our own choice, then what the systems have.
FAMILIES = ("DejaVu Sans", "Arial", "Liberation Sans", "Noto Sans", "Helvetica")
_PROBE = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20">{}</svg>'
_LETTER = '<text x="4" y="16" font-family="sans-serif">0</text>'


@dataclass(frozen=True, slots=True, kw_only=True)
class Fonts:
    """What text is drawn with. family: the meaning of `sans-serif`; files: of fonts, beside those of the machine."""

    family: str
    files: tuple[str, ...] = ()
    with_system: bool = True


def png_of(picture: str, *, scale: float = SCALE, fonts: Fonts | None = None) -> bytes:
    """A whole SVG file as PNG, `scale` pixels to each of its own.

    fonts: None for the first that draw. Raises UserError where resvg is not installed or no font is found: a picture
    without its text is none.
    """
    return _drawn(picture, fonts or _usual_fonts(), scale=scale)


def find_fonts(choices: Iterable[Fonts]) -> Fonts:
    """The first that draw text. Raises UserError if none does."""
    for fonts in choices:
        if _drawn(_PROBE.format(_LETTER), fonts) != _drawn(_PROBE.format(""), fonts):
            return fonts
    raise UserError(
        "this machine has no font to draw the text of a picture with",
        fix="Install one (on Debian: apt install fonts-dejavu-core), or matplotlib, which brings DejaVu Sans.",
    )


@cache
def _usual_fonts() -> Fonts:
    return find_fonts(_choices())


def _choices() -> Iterator[Fonts]:
    """Fonts of the machine by family, then those that matplotlib brings."""
    for family in FAMILIES:
        yield Fonts(family=family)
    found = importlib.util.find_spec("matplotlib")
    if found is not None and found.origin is not None:
        folder = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf"
        files = (folder / "DejaVuSans.ttf", folder / "DejaVuSans-Bold.ttf")
        yield Fonts(family="DejaVu Sans", files=tuple(str(file) for file in files if file.exists()))


def _drawn(picture: str, fonts: Fonts, *, scale: float = 1.0) -> bytes:
    try:
        import resvg_py  # late: only PNG needs it
    except ModuleNotFoundError as error:
        raise UserError(
            "PNG needs resvg, which is not installed", fix='Run pip install "foldover[figures]", or take SVG.'
        ) from error
    return resvg_py.svg_to_bytes(
        svg_string=picture,
        background=PAPER,
        zoom=scale,
        sans_serif_family=fonts.family,
        font_files=list(fonts.files),
        skip_system_fonts=not fonts.with_system,
    )
