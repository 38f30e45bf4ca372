"""What counts against a cap: artifact and code, in decimal bytes (levers.md F15).

Code counts as the bytes of its files, which are UTF-8. A file that is shipped packed counts as what is shipped: its
source compressed, in base 85, behind one line that unpacks and runs it in the same module.
"""

from __future__ import annotations

import base64
import lzma
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from foldover.core import UserError
from foldover.export.codecs import compress

Packing = Literal["none", "lzma", "brotli"]
_STUBS = {
    "lzma": b'import lzma,base64;exec(lzma.decompress(base64.b85decode("%b")))\n',
    "brotli": b'import brotli,base64;exec(brotli.decompress(base64.b85decode("%b")))\n',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CapCheck:
    """How a total of bytes compares with a cap."""

    total: int
    cap: int

    @property
    def headroom(self) -> int:
        """Bytes left; negative above the cap."""
        return self.cap - self.total

    @property
    def fits(self) -> bool:
        """Whether the total is at most the cap, to the byte."""
        return self.total <= self.cap


def cap_check(total: int, cap: int) -> CapCheck:
    """A total of decimal bytes against a cap. Raises ValueError for negative ones."""
    if total < 0 or cap < 0:
        raise ValueError(f"bytes are not negative ({total}, {cap})")
    return CapCheck(total=total, cap=cap)


def count_code(paths: Sequence[Path], packing: Packing = "none") -> int:
    """Bytes of code that count: all of these files as they are shipped.

    A folder counts with every `.py` file below it; a file that is named twice counts once. Raises UserError for a
    path that is not there, a file that is not UTF-8, no file at all, an unknown packing or one that is not installed.
    """
    files = sorted({file.resolve() for path in paths for file in _files(path)})
    if not files:
        raise UserError(
            "there is no code to count", value=[str(path) for path in paths], fix="Name a file or a folder."
        )
    return sum(len(pack_code(_read(file), packing)) for file in files)


def pack_code(source: bytes, packing: Packing) -> bytes:
    """A script that does what the source does, as it is shipped. Raises UserError as `count_code`."""
    if packing not in get_args(Packing):
        raise UserError("unknown packing", value=packing, fix=f"Use one of {', '.join(get_args(Packing))}.")
    if packing == "none":
        return source
    if packing == "lzma":
        # The older format: its header has 13 bytes, and `lzma.decompress` finds out by itself.
        packed = lzma.compress(source, format=lzma.FORMAT_ALONE, preset=9 | lzma.PRESET_EXTREME)
    else:
        packed = compress(source, "brotli")
    return _STUBS[packing] % base64.b85encode(packed)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return [file for file in path.rglob("*.py") if file.is_file()]
    if not path.is_file():
        raise UserError("code to count is not there", value=str(path), fix="Name a file or a folder.")
    return [path]


def _read(file: Path) -> bytes:
    try:
        data = file.read_bytes()
        data.decode("utf-8")
    except OSError as error:
        raise UserError(f"code cannot be read: {error}") from None
    except UnicodeDecodeError:
        raise UserError("code is not UTF-8", value=str(file)) from None
    return data
