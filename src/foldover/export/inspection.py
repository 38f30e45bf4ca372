"""What an artifact's bytes are made of: by section, tensor and part, beside the entropy of the numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from foldover.core import Values
from foldover.export.container import read_artifact, read_header
from foldover.export.envelope import read_bytes
from foldover.export.layout import CONSTANT, Layout, PartRecord, as_matrix
from foldover.export.parts import Part
from foldover.export.sections import models_of
from foldover.export.sizes import entropy_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PartSize:
    """A part's share of the file. count: numbers; raw, entropy: bytes as an array, and zeroth-order.

    stored: of a coded part what its symbols and levels take, else its share of its section, by raw bytes.
    """

    tensor: str
    part: str
    kind: str
    codec: str
    count: int
    raw: int
    stored: float
    entropy: float

    @property
    def bits(self) -> float:
        """Stored bits a number; 0 of an empty part."""
        return 8 * self.stored / self.count if self.count else 0.0

    @property
    def ratio(self) -> float:
        """Stored to entropy; 1 where there is nothing to tell."""
        return self.stored / self.entropy if self.entropy else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """A whole artifact: bytes = header + tables + blobs + what all parts take.

    header: with the preamble; tables: of symbol models, without the levels of parts; blobs: stored bytes by name.
    """

    bytes: int
    header: int
    tables: float
    blobs: Values
    parts: tuple[PartSize, ...]

    @property
    def ratio(self) -> float:
        """Bytes of all parts and tables to the entropy of the parts."""
        entropy = sum(part.entropy for part in self.parts)
        return (sum(part.stored for part in self.parts) + self.tables) / entropy if entropy else 1.0


def inspect_artifact(source: Path | bytes) -> Inspection:
    """Where the bytes of an artifact go. Errors as of `read_artifact`."""
    data = read_bytes(source)
    _, layout, payload = read_header(data)
    opened = read_artifact(data)
    named = [(tensor.name, part) for tensor in opened.tensors for part in tensor.parts]
    streams = iter(_coded_bytes(layout, [part for _, part in named]))
    levels = _level_share(layout)
    parts = []
    for (tensor, part), record in zip(named, layout.parts(), strict=True):
        if record.coded is not None:
            codec, stored = "ans", next(streams) + levels * _level_bytes(record)
        else:
            section = layout.sections[record.section]
            codec, stored = section.codec, section.stored * record.size / max(section.size, 1)
        parts.append(
            PartSize(
                tensor=tensor,
                part=part.name,
                kind=part.kind,
                codec=codec,
                count=record.count,
                raw=record.size,
                stored=stored,
                entropy=entropy_bytes(part.array),
            )
        )
    blobs = Values({blob.name: layout.sections[blob.section].stored for blob in layout.blobs})
    header = len(data) - len(payload)
    taken = sum(part.stored for part in parts) + sum(int(layout.sections[b.section].stored) for b in layout.blobs)
    return Inspection(bytes=len(data), header=header, tables=len(payload) - taken, blobs=blobs, parts=tuple(parts))


def _coded_bytes(layout: Layout, parts: list[Part]) -> Iterator[float]:
    """Shares of the coded parts in the stream, by what their models, made again, say that they cost."""
    coded = [part for part, record in zip(parts, layout.parts(), strict=True) if record.coded is not None]
    bits = models_of(coded).bits
    total = sum(bits)
    stream = layout.sections[layout.stream].stored if coded else 0
    return (stream * (cost / total if total else 1 / len(bits)) for cost in bits)


def _level_share(layout: Layout) -> float:
    """Stored bytes for each byte of the symbol models."""
    if not layout.coded():
        return 0.0
    model = layout.sections[layout.model]
    return model.stored / max(model.size, 1)


def _level_bytes(record: PartRecord) -> int:
    assert record.coded is not None
    vectors = zip(as_matrix(record.shape), (record.coded.rows, record.coded.columns), strict=True)
    return sum(length for length, vector in vectors if vector.reference != CONSTANT)
