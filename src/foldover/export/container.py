"""Artifacts: stored tensors, files that travel along and a header, in one file that is safe to open.

The bytes are a function of the content, the codec and the codecs' packages: names are sorted and nothing is dated.
docs/artifact-format.md says what each byte means.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from foldover.core import ArtifactError
from foldover.export.codecs import decompress
from foldover.export.coded import read_coded
from foldover.export.envelope import read_bytes, seal, unseal
from foldover.export.layout import Layout, check_layout, read_layout
from foldover.export.parts import Part, StoredTensor
from foldover.export.sections import Codec, lay_out
from foldover.export.shuffle import unshuffle
from foldover.rundir import write_atomic

_DAMAGED = "The file is damaged or hostile: export again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A file that was written. bytes: on disk; codec: what the largest group of parts was written with."""

    bytes: int
    sha256: str
    codec: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Opened:
    """What an artifact holds. header: as it was given to `write_artifact`; tensors: sorted by name."""

    header: Mapping[str, Any]
    tensors: tuple[StoredTensor, ...]
    blobs: Mapping[str, bytes]


def write_artifact(
    path: Path,
    header: Mapping[str, object],
    tensors: Sequence[StoredTensor],
    blobs: Mapping[str, bytes] = MappingProxyType({}),
    *,
    codec: Codec = "auto",
    level: int | None = None,
) -> Written:
    """Write an artifact atomically; its size is that of the file.

    header: plain JSON values; codec, level: as of `pack_artifact`, which raises the same errors.
    """
    return write_packed(path, *pack_artifact(header, tensors, blobs, codec=codec, level=level))


def write_packed(path: Path, data: bytes, codec: str) -> Written:
    """Write what `pack_artifact` gave, atomically."""
    write_atomic(path, data)
    return Written(bytes=path.stat().st_size, sha256=hashlib.sha256(data).hexdigest(), codec=codec)


def pack_artifact(
    header: Mapping[str, object],
    tensors: Sequence[StoredTensor],
    blobs: Mapping[str, bytes] = MappingProxyType({}),
    *,
    codec: Codec = "auto",
    level: int | None = None,
) -> tuple[bytes, str]:
    """The bytes of an artifact, and the codec of its largest group of parts.

    codec: `auto` takes what is smallest, group by group; `ans` codes codes and float16 by our own coder and the rest
    by what the standard library reads; any other is used for all. level: of that other codec, None for its
    strongest. Raises ArtifactError for names, types and sizes that could not be opened again, UserError for an
    unknown codec or level and where its package is not installed, ValueError for a header that is not JSON.
    """
    laid = lay_out(tensors, blobs, codec=codec, level=level)
    data = seal({"header": dict(header), "layout": laid.layout}, laid.payload)
    check_layout(laid.layout, len(data))  # what cannot be opened is not written
    return data, laid.codec


def read_header(data: bytes) -> tuple[Mapping[str, Any], Layout, memoryview]:
    """Header, layout and payload, checked but not decompressed. Errors as of `read_artifact`."""
    plain, payload = unseal(data)
    if plain.keys() != {"header", "layout"} or not isinstance(plain["header"], dict):
        raise ArtifactError("the artifact's header has other keys than it should", value=sorted(plain)[:4])
    layout = read_layout(plain["layout"], len(data))
    if sum(section.stored for section in layout.sections) != len(payload):
        raise ArtifactError("the artifact's sections do not fill its file", value=len(payload), fix=_DAMAGED)
    return MappingProxyType(plain["header"]), layout, payload


def read_artifact(source: Path | bytes) -> Opened:
    """What an artifact holds, bit for bit as it was written.

    Nothing in the file is executed, and memory is a small multiple of what its checked header declares, which is
    bounded by the size of the file. Raises ArtifactError if it is cut short, damaged, hostile or of another version,
    UserError where it was written with a codec whose package is not installed.
    """
    header, layout, payload = read_header(read_bytes(source))
    sections = _expanded(layout, payload)
    arrays = iter(_arrays(layout, sections))
    tensors = tuple(
        StoredTensor(
            name=tensor.name,
            shape=tensor.shape,
            scheme=tensor.scheme,
            settings=tensor.settings,
            parts=tuple(Part(name=part.name, kind=part.kind, array=next(arrays)) for part in tensor.parts),
        )
        for tensor in layout.tensors
    )
    blobs = {blob.name: sections[blob.section] for blob in layout.blobs}
    return Opened(header=header, tensors=tensors, blobs=MappingProxyType(blobs))


def _expanded(layout: Layout, payload: memoryview) -> list[bytes]:
    found, start = [], 0
    for section in layout.sections:
        stored = bytes(payload[start : start + section.stored])
        start += section.stored
        data = decompress(stored, section.codec, section.size)
        found.append(unshuffle(data, section.stride) if section.stride > 1 else data)
    return found


def _arrays(layout: Layout, sections: Sequence[bytes]) -> list[np.ndarray]:
    """Of all parts, in order."""
    coded = iter(read_coded(layout, sections[layout.model], sections[layout.stream]) if layout.coded() else ())
    taken = [0] * len(sections)
    found = []
    for part in layout.parts():
        if part.coded is not None:
            found.append(next(coded))
            continue
        kind = np.dtype(part.dtype).newbyteorder("<")
        array = np.frombuffer(sections[part.section], dtype=kind, count=part.count, offset=taken[part.section])
        found.append(array.astype(part.dtype).reshape(part.shape))
        taken[part.section] += part.size
    return found
