"""A training curve as one compact blob: columns of numbers, exact, without compression.

The header is JSON: `{"rows": N, "columns": [{"name", "type", "count"}, ...]}`; `type` is a code of the standard
library's `struct` (`i`, `q` whole numbers; `f`, `d` floats, `f` only where nothing is lost) or `json` for
what is not a number, whose values stand in the header. A column that lacks rows (`count` < N) is preceded by
their indices as `I`. All little-endian, one column after the other.
"""

from __future__ import annotations

import json
import struct
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from foldover.core import LedgerError, Scalar

Columns = Mapping[str, tuple[float | None, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedCurve:
    """A curve as it lies in the ledger."""

    header: str
    data: bytes


def pack_curve(points: Sequence[Mapping[str, Scalar]]) -> PackedCurve:
    """The points of a curve, each a mapping of names to values, as columns."""
    names = sorted({name for point in points for name in point})
    described: list[dict[str, object]] = []
    chunks: list[bytes] = []
    for name in names:
        at = [index for index, point in enumerate(points) if name in point]
        values = [points[index][name] for index in at]
        code = _code_of(values)
        column: dict[str, object] = {"name": name, "type": code or "json", "count": len(values)}
        if len(at) < len(points):
            chunks.append(_packed("I", at))
        if code:
            chunks.append(_packed(code, values))
        else:
            column["values"] = values
        described.append(column)
    header = json.dumps({"rows": len(points), "columns": described}, ensure_ascii=False, separators=(",", ":"))
    return PackedCurve(header=header, data=b"".join(chunks))


def unpack_curve(packed: PackedCurve) -> list[dict[str, Scalar]]:
    """The points that were packed. Raises LedgerError for a blob that does not fit its header."""
    header = json.loads(packed.header)
    points: list[dict[str, Scalar]] = [{} for _ in range(header["rows"])]
    start = 0
    for column in header["columns"]:
        at: Sequence[int] = range(len(points))
        if column["count"] < len(points):
            at, start = _unpacked("I", column["count"], packed.data, start)
        values = column.get("values")
        if values is None:
            values, start = _unpacked(column["type"], column["count"], packed.data, start)
        for index, value in zip(at, values, strict=True):
            points[index][column["name"]] = value
    return points


def columns_of(packed: PackedCurve) -> Columns:
    """The columns of numbers, all of one length, None where a point lacks the name."""
    points = unpack_curve(packed)
    names = [column["name"] for column in json.loads(packed.header)["columns"] if column["type"] != "json"]
    # Only numbers are packed under a type, so the values are floats, ints or absent.
    return {name: tuple(_number(point.get(name)) for point in points) for name in names}


def _number(value: Scalar) -> float | None:
    return value if isinstance(value, int | float) else None


def _code_of(values: Sequence[Scalar]) -> str:
    """The smallest type that holds all values exactly; "" where they are not numbers of one kind."""
    kinds = {type(value) for value in values}
    if kinds == {int}:
        largest = max(abs(int(value)) for value in values if value is not None)
        return "i" if largest < 2**31 else "q" if largest < 2**63 else ""
    if kinds == {float}:
        floats = [float(value) for value in values if value is not None]
        return "f" if array("f", floats).tolist() == floats else "d"
    return ""


def _packed(code: str, values: Sequence[Scalar]) -> bytes:
    return struct.pack(f"<{len(values)}{code}", *values)


def _unpacked(code: str, count: int, data: bytes, start: int) -> tuple[tuple[int, ...], int]:
    layout = struct.Struct(f"<{count}{code}")
    if start + layout.size > len(data):
        raise LedgerError("a curve in the ledger is cut short", fix="Run `foldover collect DIR --rebuild`.")
    return layout.unpack_from(data, start), start + layout.size
