"""General compressors behind one interface, with bounded decompression.

Each gives bytes without a size of its own: the container declares how many bytes come out, and not one byte more is
ever produced. brotli and zstandard are an extra; they are imported where they are used.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from foldover.core import ArtifactError, UserError

CodecName = Literal["raw", "zlib", "zstd", "lzma", "brotli"]
CODECS: tuple[CodecName, ...] = get_args(CodecName)
# Readable with the standard library alone.
PLAIN_CODECS: tuple[CodecName, ...] = ("raw", "zlib", "lzma")

# The window of lzma is the size of the data between these two, so that both sides know it and memory is bounded.
_LZMA_WINDOWS = (1 << 12, 1 << 26)
# Least window that a reader of zstd grants, whatever the size of the data.
_ZSTD_WINDOW = 1 << 20
_ZSTD_STEP = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class _Codec:
    compress: Callable[[bytes, int], bytes]
    decompress: Callable[[bytes, int], bytes]
    levels: tuple[int, int]
    best: int


def available_codecs() -> tuple[CodecName, ...]:
    """Names of the codecs that this installation can use."""
    return tuple(name for name in CODECS if _missing(name) == "")


def compress(data: bytes, codec: CodecName, level: int | None = None) -> bytes:
    """The data under a codec; level None is its strongest.

    Raises UserError for an unknown codec or level and where the codec's package is not installed.
    """
    check_level(codec, level)
    found = _find(codec)
    return found.compress(data, found.best if level is None else level)


def check_level(codec: CodecName, level: int | None) -> None:
    """Raise UserError for a level that a codec does not have, whether or not its package is installed."""
    if level is None or codec not in _TABLE:
        return
    low, high = _TABLE[codec].levels
    if not low <= level <= high:
        raise UserError(f"no such level of {codec}", value=level, fix=f"Use {low} to {high}.")


def decompress(data: bytes, codec: CodecName, size: int) -> bytes:
    """The `size` bytes that were compressed.

    Never makes more than `size` bytes and what the codec buffers (some kilobytes). Raises ArtifactError if the data
    is damaged, gives another number of bytes or goes on after its end; UserError where the package is not installed.
    """
    try:
        out = _find(codec).decompress(data, size)
    except (zlib.error, lzma.LZMAError, EOFError, ValueError, MemoryError, _DamagedError) as error:
        raise ArtifactError(f"a section cannot be decompressed by {codec}: {error}", fix=_DAMAGED) from None
    if len(out) != size:
        raise ArtifactError(f"a section of {codec} gives {len(out)} bytes instead of {size}", fix=_DAMAGED)
    return out


_DAMAGED = "The file is damaged: export again."


class _DamagedError(Exception):
    """What a codec's package says of damaged data."""


def _find(codec: CodecName) -> _Codec:
    if codec not in _TABLE:
        raise UserError("unknown codec", value=codec, fix=f"Use one of {', '.join(CODECS)}.")
    missing = _missing(codec)
    if missing:
        raise UserError(f"the codec {codec} needs {missing}", fix='Run pip install "foldover[export]".')
    return _TABLE[codec]


def _missing(codec: CodecName) -> str:
    from importlib.util import find_spec  # late: looks at the disk

    package = {"zstd": "zstandard", "brotli": "brotli"}.get(codec, "")
    return package if package and find_spec(package) is None else ""


def _inflate(data: bytes, size: int) -> bytes:
    stream = zlib.decompressobj()
    out = stream.decompress(data, size + 1)
    if not stream.eof or stream.unused_data or stream.unconsumed_tail:
        raise _DamagedError("it is cut short or goes on after its end")
    return out


def _lzma_filters(size: int, level: int = 9) -> list[dict[str, Any]]:
    low, high = _LZMA_WINDOWS
    window = min(max(1 << max(size - 1, 1).bit_length(), low), high)
    preset = level | lzma.PRESET_EXTREME if level == 9 else level
    return [{"id": lzma.FILTER_LZMA2, "preset": preset, "dict_size": window, "lc": 0, "lp": 0, "pb": 0}]


def _lzma_compress(data: bytes, level: int) -> bytes:
    return lzma.compress(data, format=lzma.FORMAT_RAW, filters=_lzma_filters(len(data), level))


def _lzma_decompress(data: bytes, size: int) -> bytes:
    stream = lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=_lzma_filters(size))
    out = stream.decompress(data, size + 1)
    while not stream.eof and not stream.needs_input and len(out) <= size:
        more = stream.decompress(b"", size + 1 - len(out))
        if not more:
            break
        out += more
    if not stream.eof or stream.unused_data:
        raise _DamagedError("it is cut short or goes on after its end")
    return out


def _zstd_compress(data: bytes, level: int) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor(level=level, write_content_size=False, write_checksum=False).compress(data)


def _zstd_decompress(data: bytes, size: int) -> bytes:
    import zstandard

    # A frame's own content size is not believed. In steps of so few bytes the output of a step is some megabytes.
    window = max(1 << max(size - 1, 1).bit_length(), _ZSTD_WINDOW)
    stream = zstandard.ZstdDecompressor(max_window_size=window).decompressobj()
    pieces, made, position = [], 0, 0
    try:
        while position < len(data) and made <= size and not stream.eof:
            pieces.append(stream.decompress(data[position : position + _ZSTD_STEP]))
            made += len(pieces[-1])
            position += _ZSTD_STEP
    except zstandard.ZstdError as error:
        raise _DamagedError(str(error)) from None
    if not stream.eof or stream.unused_data or position < len(data):
        raise _DamagedError("it is cut short or goes on after its end")
    return b"".join(pieces)


def _brotli_compress(data: bytes, level: int) -> bytes:
    import brotli

    return bytes(brotli.compress(data, quality=level, lgwin=24))


def _brotli_decompress(data: bytes, size: int) -> bytes:
    import brotli

    stream = brotli.Decompressor()
    try:
        out = bytes(stream.process(data, output_buffer_limit=size + 1))
        if not stream.is_finished():
            out += bytes(stream.process(b"", output_buffer_limit=1))
    except brotli.error as error:
        raise _DamagedError(str(error)) from None
    if not stream.is_finished():
        raise _DamagedError("it is cut short or goes on after its end")
    return out


_TABLE: dict[CodecName, _Codec] = {
    "raw": _Codec(compress=lambda d, _: d, decompress=lambda d, _: d, levels=(0, 0), best=0),
    "zlib": _Codec(compress=zlib.compress, decompress=_inflate, levels=(0, 9), best=9),
    "zstd": _Codec(compress=_zstd_compress, decompress=_zstd_decompress, levels=(1, 22), best=22),
    "lzma": _Codec(compress=_lzma_compress, decompress=_lzma_decompress, levels=(0, 9), best=9),
    "brotli": _Codec(compress=_brotli_compress, decompress=_brotli_decompress, levels=(0, 11), best=11),
}
