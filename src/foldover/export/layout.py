"""What an artifact's header says of its bytes: records, read strictly. Every number is checked before it is used."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from foldover.core import EMPTY, ArtifactError, LedgerError, Values, from_plain
from foldover.export.codecs import CodecName
from foldover.export.parts import PartKind

DTYPES = {"float16": 2, "float32": 4, "int16": 2, "int8": 1, "uint8": 1}
KIND_DTYPES = {"bytes": ("uint8",), "codes": ("int16", "int8"), "float": ("float16", "float32")}
CODED_DTYPES = ("float16", "int16", "int8")
NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.\-/]{0,199})")
MOST_DIMENSIONS = 8
MOST_PARTS = 1 << 16
# Of all families: a reader makes 16 or 32 kilobytes of each.
MOST_TABLES = 1 << 11
# What opening may make of a file: this much of any, and of a longer one this many times its bytes.
FREE_BYTES = 1 << 25
MOST_EXPANSION = 1 << 8
# Of an index: there is none.
ABSENT = -1
# Of a vector of levels: all are equal to the offset, no bytes are stored.
CONSTANT = -2

_DAMAGED = "The file is damaged or hostile: export again."


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyRecord:
    """Symbols that share tables: `size` symbols from `low` on, `tables` tables, chosen by `ids` identities.

    shift: low bits of each number that are coded evenly; is_half: tables are mirrored about their middle symbol.
    """

    low: int
    size: int
    shift: int
    ids: int
    tables: int
    is_half: bool

    @property
    def table_bytes(self) -> int:
        """Stored bytes of one table."""
        return (self.size + 1) // 2 if self.is_half else self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorRecord:
    """Levels of rows or columns: stored byte + offset + those of an earlier vector, modulo 256."""

    offset: int
    reference: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedRecord:
    """How an entropy-coded part is modelled."""

    family: int
    center: int
    rows: VectorRecord
    columns: VectorRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRecord:
    """A part: its bytes are the next ones of its section, or, with `coded`, the next numbers of the coded stream."""

    name: str
    kind: PartKind
    dtype: str
    shape: tuple[int, ...]
    section: int = ABSENT
    coded: CodedRecord | None = None

    @property
    def count(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return self.count * DTYPES[self.dtype]


def as_matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    """(rows, columns) as the symbol models see an array: the last axis is a row; a single row or column is one row."""
    count, columns = math.prod(shape), shape[-1] if shape else 1
    rows = count // columns if columns else 0
    return (1, count) if columns <= 1 or rows <= 1 else (rows, columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorRecord:
    """A stored tensor without its numbers."""

    name: str
    shape: tuple[int, ...]
    scheme: str
    settings: Values = EMPTY
    parts: tuple[PartRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionRecord:
    """Bytes of the payload, one section behind the other. stride: of the byte shuffle; 1 for none."""

    codec: CodecName
    stored: int
    size: int
    stride: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobRecord:
    """A file that travels along, such as a tokenizer: the whole of a section."""

    name: str
    section: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """All of it. model, stream: sections of the symbol models and of the coded stream; ABSENT if nothing is coded."""

    tensors: tuple[TensorRecord, ...]
    blobs: tuple[BlobRecord, ...]
    sections: tuple[SectionRecord, ...]
    families: tuple[FamilyRecord, ...] = ()
    model: int = ABSENT
    stream: int = ABSENT

    def parts(self) -> tuple[PartRecord, ...]:
        """Of all tensors, in order."""
        return tuple(part for tensor in self.tensors for part in tensor.parts)

    def coded(self) -> tuple[PartRecord, ...]:
        """Parts in the coded stream, in order."""
        return tuple(part for part in self.parts() if part.coded is not None)


def read_layout(plain: object, file_bytes: int) -> Layout:
    """The layout of a file of so many bytes. Raises ArtifactError for one that cannot be."""
    try:
        layout = from_plain(Layout, plain)
    except (LedgerError, RecursionError) as error:
        raise ArtifactError(f"the artifact's layout is not readable: {error}", fix=_DAMAGED) from None
    check_layout(layout, file_bytes)
    return layout


def check_layout(layout: Layout, file_bytes: int) -> None:
    """Raise ArtifactError unless names, shapes, kinds and sizes are possible and agree with each other."""
    _check_names(layout)
    _check_sections(layout)
    for family in layout.families:
        _check_family(family)
    tables = sum(family.tables for family in layout.families)
    _require(tables <= MOST_TABLES, "there are too many tables", tables)
    for index, part in enumerate(layout.coded()):
        _check_coded(part, index, layout)
    limit = FREE_BYTES + MOST_EXPANSION * file_bytes
    made = sum(part.size for part in layout.parts()) + sum(section.size for section in layout.sections)
    _require(made <= limit, f"the artifact declares more bytes than {limit} that may be made of its file", made)


def _check_names(layout: Layout) -> None:
    parts = [part for tensor in layout.tensors for part in tensor.parts]
    _require(len(parts) + len(layout.tensors) + len(layout.blobs) <= MOST_PARTS, "there are too many parts", len(parts))
    ordered = [tensor.name for tensor in layout.tensors], [blob.name for blob in layout.blobs]
    for names in (*ordered, *([part.name for part in tensor.parts] for tensor in layout.tensors)):
        for name in names:
            _require(is_name(name), "a name is not allowed", name[:80])
        _require(len(set(names)) == len(names), "a name occurs twice", names[:3])
    for names in ordered:
        _require(names == sorted(names), "names are out of order", names[:3])
    for shape in [*(tensor.shape for tensor in layout.tensors), *(part.shape for part in parts)]:
        _require(
            len(shape) <= MOST_DIMENSIONS and all(0 <= n < 2**31 for n in shape) and math.prod(shape) < 2**40,
            "a shape is not possible",
            shape[:MOST_DIMENSIONS],
        )
    for part in parts:
        _require(part.dtype in KIND_DTYPES[part.kind], f"part `{part.name}` has a type that is not allowed", part.dtype)


def is_name(name: str) -> bool:
    """Whether a tensor, part or blob may be called so: no path that leads out of a folder."""
    return NAME.fullmatch(name) is not None and not any(piece in ("", ".", "..") for piece in name.split("/"))


def _check_sections(layout: Layout) -> None:
    count = len(layout.sections)
    owners = [0] * count
    for section in layout.sections:
        _require(section.stored >= 0 and section.size >= 0, "a section has a negative size", section.size)
        _require(section.stride in (1, 2, 4), "a section's stride is unknown", section.stride)
    whole = [index for index in (layout.model, layout.stream) if index != ABSENT]
    for index in [*(blob.section for blob in layout.blobs), *whole]:
        _require(0 <= index < count and not owners[index], "a section is not where it should be", index)
        owners[index] = 1
    _require(
        (layout.model == ABSENT) == (layout.stream == ABSENT), "a coded stream lacks its model or a model its stream"
    )
    sizes = dict.fromkeys(range(count), 0)
    for part in layout.parts():
        if part.coded is not None:
            _require(layout.stream != ABSENT and part.section == ABSENT, f"part `{part.name}` has no place")
        else:
            _require(
                0 <= part.section < count and not owners[part.section], f"part `{part.name}` has no place", part.section
            )
            sizes[part.section] += part.size
    for index, section in enumerate(layout.sections):
        _require(bool(owners[index]) or sizes[index] == section.size, "a section and its parts differ in size", index)


def _check_family(family: FamilyRecord) -> None:
    _require(2 <= family.size <= 1 << 11, "a family has an impossible number of symbols", family.size)
    _require(-(1 << 17) <= family.low <= 1 << 17, "a family's lowest symbol is impossible", family.low)
    _require(0 <= family.shift <= 10, "a family's shift is impossible", family.shift)
    _require(1 <= family.ids <= 511 and 1 <= family.tables <= 255, "a family has too many tables", family.tables)
    _require(not family.is_half or family.size % 2 == 1, "a mirrored table has no middle", family.size)


def _check_coded(part: PartRecord, index: int, layout: Layout) -> None:
    coded = part.coded
    assert coded is not None
    _require(part.dtype in CODED_DTYPES, f"part `{part.name}` cannot be entropy-coded", part.dtype)
    _require(0 <= coded.family < len(layout.families), f"part `{part.name}` is of no family", coded.family)
    _require(-(1 << 17) <= coded.center <= 1 << 17, f"part `{part.name}` has an impossible centre", coded.center)
    for place, vector in enumerate((coded.rows, coded.columns)):
        _require(0 <= vector.offset <= 255, f"part `{part.name}` has an impossible offset", vector.offset)
        _require(
            CONSTANT <= vector.reference < 2 * index + place,
            f"part `{part.name}` refers to levels that come later",
            vector.reference,
        )


def _require(is_met: bool, what: str, value: object = None) -> None:
    if not is_met:
        raise ArtifactError(what, value=value, fix=_DAMAGED)
