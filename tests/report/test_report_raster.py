"""PNG of our pictures: size, light paper, and text where the labels are."""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path

import pytest

from foldover.core import UserError, to_plain
from foldover.report import raster
from foldover.report.chart_intervals import intervals_file
from foldover.report.raster import Fonts, find_fonts, png_of
from foldover.report.section import Mark, SectionPicture

pytest.importorskip("resvg_py")

PICTURE = to_plain(
    SectionPicture(
        name="figure",
        title="Effects",
        axis="effect",
        zero=True,
        marks=(
            Mark(label="Depth", series="5 min", value=0.06, low=0.04, high=0.08),
            Mark(label="Width", series="5 min", value=-0.02, hollow=True),
        ),
    )
)
PAPER = (0xFC, 0xFC, 0xFA, 0xFF)
Pixels = list[list[tuple[int, ...]]]


@pytest.fixture(scope="module")
def fonts() -> Fonts:
    try:
        return raster._usual_fonts()
    except UserError:
        pytest.skip("this machine has no font")


def pixels_of(png: bytes) -> Pixels:
    """Rows of RGBA, by the PNG specification: 8 bits a channel, not interlaced, every filter undone."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(png):
        size, kind = struct.unpack(">I4s", png[at : at + 8])
        chunks[kind] = chunks.get(kind, b"") + png[at + 8 : at + 8 + size]
        at += 12 + size
    width, height, *kind_of = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert kind_of == [8, 6, 0, 0, 0]
    data, step, above, rows = zlib.decompress(chunks[b"IDAT"]), 4 * width, bytes(4 * width), []
    for y in range(height):
        line = data[y * (step + 1) : (y + 1) * (step + 1)]
        above = _unfiltered(line[0], line[1:], above)
        rows.append([tuple(above[x : x + 4]) for x in range(0, step, 4)])
    return rows


def _unfiltered(kind: int, line: bytes, above: bytes) -> bytes:
    out = bytearray(line)
    for i in range(len(out)):
        left, up, corner = (out[i - 4] if i >= 4 else 0), above[i], (above[i - 4] if i >= 4 else 0)
        guess = left + up - corner
        nearest = min((left, up, corner), key=lambda value: abs(guess - value))
        out[i] = (out[i] + (0, left, up, (left + up) // 2, nearest)[kind]) % 256
    return bytes(out)


def ink(rows: Pixels, x: range, y: range) -> int:
    """Pixels of a box that are not paper."""
    return sum(rows[j][i] != PAPER for j in y for i in x)


def test_a_png_is_as_large_as_asked_and_has_its_text(fonts: Fonts) -> None:
    rows = pixels_of(png_of(intervals_file(PICTURE), scale=1, fonts=fonts))
    # 760 wide; title 22, head 34, two rows of 24, foot 44.
    assert (len(rows[0]), len(rows)) == (760, 148)
    assert ink(rows, range(8, 60), range(6, 20)) > 20  # the title
    assert ink(rows, range(150, 197), range(56, 76)) > 20  # the label Depth, right-aligned at 196
    assert ink(rows, range(10, 120), range(56, 76)) == 0  # nothing is left of it
    assert ink(rows, range(700, 756), range(56, 76)) > 20  # its value


def test_a_picture_is_three_times_its_size_unless_asked(fonts: Fonts) -> None:
    png = png_of(intervals_file(PICTURE), fonts=fonts)
    assert struct.unpack(">II", png[16:24]) == (3 * 760, 3 * 148)


def test_without_a_font_there_is_an_error_and_no_picture_without_text() -> None:
    with pytest.raises(UserError, match="no font to draw the text"):
        find_fonts([Fonts(family="Arial", with_system=False)])


def test_a_file_of_a_font_counts_once_its_family_is_named() -> None:
    found = sorted(str(path) for path in Path("/usr/share/fonts").rglob("DejaVuSans.ttf"))
    if not found:
        pytest.skip("DejaVu Sans is not installed")
    only = Fonts(family="DejaVu Sans", files=(found[0],), with_system=False)
    assert find_fonts([Fonts(family="Arial", files=(found[0],), with_system=False), only]) == only
    assert ink(pixels_of(png_of(intervals_file(PICTURE), scale=1, fonts=only)), range(8, 60), range(6, 20)) > 20


def test_without_the_library_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(UserError, match=r'pip install "foldover\[figures\]"'):
        png_of(intervals_file(PICTURE), fonts=Fonts(family="Arial"))
