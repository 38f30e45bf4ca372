"""Reads artifacts with the standard library alone: one file that may be copied anywhere, and the format's reference.

    header, parts, blobs = read(Path("model.artifact").read_bytes())

Artifacts of codec `ans` need nothing else; sections of zstd and brotli need those packages. Some microseconds a
number, so a minute for a large artifact: foldover's own reader is thirty times as fast and checks much more.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import struct
import zlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

TOTAL = 1 << 14
LOWEST = 1 << 16
ITEM_BYTES = {"float16": 2, "float32": 4, "int16": 2, "int8": 1, "uint8": 1}


@dataclass(frozen=True)
class RawPart:
    """A part's numbers as little-endian bytes in C order."""

    tensor: str
    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes


def read(data: bytes) -> tuple[dict[str, Any], list[RawPart], dict[str, bytes]]:
    """Header, parts of all tensors in order, and blobs. Raises ValueError for a file that is not a whole artifact."""
    magic, version, codec, _, stored, size, total = struct.unpack_from("<8sHBBIIQ", data)
    if magic != b"\x89FOLDOV\n" or version != 1 or total != len(data):
        raise ValueError("not a whole artifact of version 1")
    if hashlib.sha256(data[:28] + data[60:]).digest() != data[28:60]:
        raise ValueError("the checksum is wrong")
    plain = json.loads(_expand(data[60 : 60 + stored], ("raw", "zlib", "lzma")[codec], size))
    layout, at, sections = plain["layout"], 60 + stored, []
    for section in layout["sections"]:
        expanded = _expand(data[at : at + section["stored"]], section["codec"], section["size"])
        sections.append(_unshuffle(expanded, section["stride"]))
        at += section["stored"]
    records = [(tensor, part) for tensor in layout["tensors"] for part in tensor["parts"]]
    coded = iter(_read_coded(layout, [part for _, part in records if part["coded"]], sections))
    parts, taken = [], [0] * len(sections)
    for tensor, part in records:
        if part["coded"]:
            raw = next(coded)
        else:
            first = taken[part["section"]]
            taken[part["section"]] += _count(part["shape"]) * ITEM_BYTES[part["dtype"]]
            raw = sections[part["section"]][first : taken[part["section"]]]
        parts.append(RawPart(tensor["name"], part["name"], part["dtype"], tuple(part["shape"]), raw))
    return plain["header"], parts, {blob["name"]: sections[blob["section"]] for blob in layout["blobs"]}


def _expand(data: bytes, codec: str, size: int) -> bytes:
    if codec == "zlib":
        data = zlib.decompress(data)
    elif codec == "lzma":
        window = min(max(1 << max(size - 1, 1).bit_length(), 1 << 12), 1 << 26)
        filters = [{"id": lzma.FILTER_LZMA2, "dict_size": window, "lc": 0, "lp": 0, "pb": 0}]
        data = lzma.decompress(data, format=lzma.FORMAT_RAW, filters=filters)
    elif codec == "zstd":
        import zstandard

        data = zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
    elif codec == "brotli":
        import brotli

        data = brotli.decompress(data)
    if len(data) != size:
        raise ValueError(f"a section has {len(data)} instead of {size} bytes")
    return data


def _unshuffle(data: bytes, stride: int) -> bytes:
    out, at = bytearray(len(data)), 0
    for offset in range(stride):
        length = len(out[offset::stride])
        out[offset::stride] = data[at : at + length]
        at += length
    return bytes(out)


def _count(shape: Sequence[int]) -> int:
    count = 1
    for n in shape:
        count *= n
    return count


def _rows_and_columns(shape: Sequence[int]) -> tuple[int, int]:
    count, columns = _count(shape), shape[-1] if shape else 1
    rows = count // columns if columns else 0
    return (1, count) if columns <= 1 or rows <= 1 else (rows, columns)


def _read_coded(layout: dict[str, Any], parts: list[dict[str, Any]], sections: list[bytes]) -> list[bytes]:
    if not parts:
        return []
    model, at = sections[layout["model"]], 0
    maps: list[list[int]] = []
    tables: list[list[int]] = []
    for family in layout["families"]:
        maps.append([table + len(tables) for table in model[at : at + family["ids"]]])
        at += family["ids"]
        length = (family["size"] + 1) // 2 if family["is_half"] else family["size"]
        for _ in range(family["tables"]):
            weights = list(accumulate(model[at : at + length], lambda a, b: (a + b) % 256))
            tables.append(_frequencies(weights[:0:-1] + weights if family["is_half"] else weights))
            at += length
    vectors: list[list[int]] = []
    for part in parts:
        for length, name in zip(_rows_and_columns(part["shape"]), ("rows", "columns"), strict=True):
            offset, reference = part["coded"][name]["offset"], part["coded"][name]["reference"]
            levels = [offset] * length
            if reference != -2:
                before = [0] * length if reference == -1 else vectors[reference]
                levels = [(a + b + offset) % 256 for a, b in zip(model[at : at + length], before, strict=True)]
                at += length
            vectors.append(levels)
    even = {}
    for shift in sorted({family["shift"] for family in layout["families"]} - {0}):
        even[shift] = len(tables)
        tables.append([TOTAL >> shift] * (1 << shift))
    which = array("H")
    for i, part in enumerate(parts):
        family = part["coded"]["family"]
        start = len(which)
        for row in vectors[2 * i]:
            which.extend(maps[family][row + column] for column in vectors[2 * i + 1])
        shift = layout["families"][family]["shift"]
        if shift:
            which.extend([even[shift]] * (len(which) - start))
    return _numbers(layout, parts, _decode(sections[layout["stream"]], tables, which))


def _frequencies(weights: list[int]) -> list[int]:
    raw = [0 if w == 0 else (16 + (w - 1) % 16) << ((w - 1) // 16) for w in weights]
    share = [max(w * TOTAL // sum(raw), 1) if w else 0 for w in raw]
    first = share.index(max(share))
    if sum(f > 0 for f in share) == 1:
        share[1 if first == 0 else first - 1] = 1
    share[first] += TOTAL - sum(share)
    return share


def _decode(stream: bytes, tables: list[list[int]], which: Sequence[int]) -> list[int]:
    count = len(which)
    lanes = min(max(1 << max((count >> 11).bit_length() - 1, 0), 8), 2048)
    tail_lanes, tail = max(lanes >> 6, 1), min(6 * lanes, count)
    states = list(struct.unpack_from(f"<{lanes + tail_lanes}I", stream))
    words = struct.unpack_from(f"<{len(stream) // 2 - 2 * len(states)}H", stream, 4 * len(states))
    lookups = [[s for s, f in enumerate(table) for _ in range(f)] for table in tables]
    starts = [list(accumulate(table, initial=0)) for table in tables]

    def run(state: list[int], words: Sequence[int], which: Sequence[int]) -> tuple[list[int], list[int], int]:
        out, used, width = [], 0, len(state)
        for i, table in enumerate(which):
            x = state[i % width]
            position = x & (TOTAL - 1)
            symbol = lookups[table][position]
            x = tables[table][symbol] * (x >> 14) + position - starts[table][symbol]
            if x < LOWEST:
                x = x << 16 | words[used]
                used += 1
            state[i % width] = x
            out.append(symbol)
        return out, [x - LOWEST for x in state], used

    symbols, carried, used = run(states[:lanes], words, which[: count - tail])
    last, rest, _ = run(states[lanes:], [*carried, *words[used:]], which[count - tail :])
    if any(rest):
        raise ValueError("the coded stream does not end where its symbols end")
    return symbols + last


def _numbers(layout: dict[str, Any], parts: list[dict[str, Any]], symbols: list[int]) -> list[bytes]:
    found, at = [], 0
    for part in parts:
        family, count = layout["families"][part["coded"]["family"]], _count(part["shape"])
        low, shift, center = family["low"], family["shift"], part["coded"]["center"]
        values: Iterable[int] = (((s + low) << shift) + center for s in symbols[at : at + count])
        at += count
        if shift:
            values = (value + bits for value, bits in zip(values, symbols[at : at + count], strict=True))
            at += count
        if part["dtype"] == "float16":
            values = (v if v >= 0 else 0x8000 - 1 - v for v in values)
        code = {"int8": "b", "int16": "h", "float16": "H"}[part["dtype"]]
        found.append(struct.pack(f"<{count}{code}", *values))
    return found
