"""From stored tensors to the sections of an artifact: which parts are coded how, and their bytes in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from foldover.core import ArtifactError, UserError
from foldover.export.ans import overhead_of
from foldover.export.codecs import CODECS, PLAIN_CODECS, CodecName, available_codecs, compress
from foldover.export.coded import model_bytes, stream_bytes
from foldover.export.layout import (
    ABSENT,
    CODED_DTYPES,
    DTYPES,
    KIND_DTYPES,
    BlobRecord,
    CodedRecord,
    Layout,
    PartRecord,
    SectionRecord,
    TensorRecord,
    as_matrix,
)
from foldover.export.models import Modelled, model_symbols
from foldover.export.parts import Part, StoredTensor
from foldover.export.shuffle import shuffle

Codec = Literal["auto", "ans", "raw", "zlib", "zstd", "lzma", "brotli"]

# Above this a general codec is first tried on slices, and on all only if it comes near our own coder there.
_TRIED_BYTES = 1 << 20
_SLICES = 16
_NEAR = 1.01
_SMALL_MODELS = 1 << 12

_Group = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Laid:
    """Layout, sections one behind the other, and the codec of the largest group of parts."""

    layout: Layout
    payload: bytes
    codec: str


def lay_out(
    tensors: Sequence[StoredTensor],
    blobs: Mapping[str, bytes],
    *,
    codec: Codec = "auto",
    level: int | None = None,
    to_stream: Callable[[Modelled], bytes] = stream_bytes,
) -> Laid:
    """All bytes but the header's. to_stream: makes the coded stream. Errors as of `pack_artifact`."""
    check_codec(codec, level)
    ordered = sorted(tensors, key=lambda tensor: tensor.name)
    parts = [checked_part(tensor, part) for tensor in ordered for part in tensor.parts]
    groups: dict[_Group, list[Part]] = {}
    for part in parts:
        groups.setdefault(_group_of(part), []).append(part)
    modelled, coded = _choose_coded(parts, groups, codec)
    sections: list[SectionRecord] = []
    payload: list[bytes] = []
    places: dict[_Group, int] = {}
    if coded:
        models = model_bytes(modelled)
        # Of so much zlib never was the smallest, and takes a third of lzma's time.
        _append(sections, payload, models, 1, PLAIN_CODECS if len(models) < _SMALL_MODELS else ("raw", "lzma"), None)
        _append(sections, payload, to_stream(modelled), 1, ("raw",), None)
    used: dict[_Group, str] = dict.fromkeys(coded, "ans")
    general = _codecs_of(codec)
    for group in sorted(groups.keys() - coded):
        places[group] = len(sections)
        data = b"".join(part.array.tobytes() for part in groups[group])
        used[group] = _append(sections, payload, data, DTYPES[group[1]], general, level)
    blob_records = []
    for name in sorted(blobs):
        blob_records.append(BlobRecord(name=name, section=len(sections)))
        _append(sections, payload, blobs[name], 1, general, level)
    records = iter(modelled.records)
    layout = Layout(
        tensors=tuple(_record(tensor, places, records) for tensor in ordered),
        blobs=tuple(blob_records),
        sections=tuple(sections),
        families=tuple(family.record for family in modelled.families),
        model=0 if coded else ABSENT,
        stream=1 if coded else ABSENT,
    )
    largest = max(groups, key=lambda group: (sum(part.array.nbytes for part in groups[group]), group), default=None)
    return Laid(layout=layout, payload=b"".join(payload), codec=used[largest] if largest else "raw")


def checked_part(tensor: StoredTensor, part: Part) -> Part:
    """The part with its numbers in order and little-endian. Raises ArtifactError for a type that has no place."""
    if part.kind not in KIND_DTYPES or part.array.dtype.name not in KIND_DTYPES[part.kind]:
        raise ArtifactError(
            f"part `{part.name}` of tensor `{tensor.name}` cannot be stored as {part.kind}",
            value=part.array.dtype.name,
            fix=f"Use {' or '.join(KIND_DTYPES.get(part.kind, tuple(DTYPES)))}.",
        )
    array = np.ascontiguousarray(part.array, dtype=part.array.dtype.newbyteorder("<")).reshape(part.array.shape)
    return Part(name=part.name, kind=part.kind, array=array)


def models_of(parts: Sequence[Part]) -> Modelled:
    """Models of parts that can be coded."""
    return model_symbols([part.array.reshape(as_matrix(part.array.shape)) for part in parts])


def _group_of(part: Part) -> _Group:
    return part.kind, part.array.dtype.name


def check_codec(codec: Codec, level: int | None) -> None:
    """Raise UserError for an unknown codec or level, and where the codec's package is not installed."""
    if codec not in get_args(Codec):
        raise UserError("unknown codec", value=codec, fix=f"Use one of {', '.join(get_args(Codec))}.")
    if level is not None and codec not in CODECS:
        raise UserError(f"the codec {codec} has no levels", value=level, fix="Leave the level out.")
    if codec in CODECS:
        compress(b"", codec, level)


def _codecs_of(codec: Codec) -> tuple[CodecName, ...]:
    if codec == "auto":
        return available_codecs()
    return PLAIN_CODECS if codec == "ans" else ("raw", codec)


def _choose_coded(
    parts: Sequence[Part], groups: Mapping[_Group, Sequence[Part]], codec: Codec
) -> tuple[Modelled, frozenset[_Group]]:
    """Models of the groups that our own coder takes; under `auto` of those that it makes smallest."""
    able = frozenset(group for group in groups if codec in ("auto", "ans") and group[1] in CODED_DTYPES)
    modelled = models_of([part for part in parts if _group_of(part) in able])
    if codec == "ans" or not able:
        return modelled, able
    bits = dict.fromkeys(able, 0.0)
    for part, cost in zip((part for part in parts if _group_of(part) in able), modelled.bits, strict=True):
        bits[_group_of(part)] += cost
    shared = len(_smallest(model_bytes(modelled), 1, PLAIN_CODECS, None)[0]) + overhead_of(modelled.count)
    total = sum(bits.values()) or 1.0
    kept = frozenset(
        group for group in able if _own_is_smaller(groups[group], bits[group] / 8 + shared * bits[group] / total)
    )
    return (modelled, kept) if kept == able else (models_of([p for p in parts if _group_of(p) in kept]), kept)


def _own_is_smaller(parts: Sequence[Part], own_bytes: float) -> bool:
    data, stride = b"".join(part.array.tobytes() for part in parts), parts[0].array.dtype.itemsize
    codecs = available_codecs()
    if len(data) > _TRIED_BYTES:
        step = len(data) // _SLICES // stride * stride
        length = _TRIED_BYTES // 4 // _SLICES
        sample = b"".join(data[i * step : i * step + length] for i in range(_SLICES))
        share = len(data) / len(sample)
        codecs = tuple(
            codec for codec in codecs if len(_smallest(sample, stride, (codec,), None)[0]) * share < _NEAR * own_bytes
        )
    return not codecs or own_bytes <= len(_smallest(data, stride, codecs, None)[0])


def _append(
    sections: list[SectionRecord],
    payload: list[bytes],
    data: bytes,
    stride: int,
    codecs: Sequence[CodecName],
    level: int | None,
) -> CodecName:
    stored, codec = _smallest(data, stride, codecs, level)
    is_shuffled = codec != "raw"
    sections.append(SectionRecord(codec=codec, stored=len(stored), size=len(data), stride=stride if is_shuffled else 1))
    payload.append(stored)
    return codec


def _smallest(data: bytes, stride: int, codecs: Sequence[CodecName], level: int | None) -> tuple[bytes, CodecName]:
    """The data, shuffled unless it stays as it is, under the codec that makes it smallest; the first of equals."""
    shuffled = shuffle(data, stride) if stride > 1 else data
    found = [
        (data if codec == "raw" else compress(shuffled, codec, level if codec in codecs[1:] else None), codec)
        for codec in codecs
    ]
    return min(found, key=lambda item: len(item[0]))


def _record(tensor: StoredTensor, places: Mapping[_Group, int], records: Iterator[CodedRecord]) -> TensorRecord:
    parts = []
    for part in tensor.parts:
        place = places.get(_group_of(part), ABSENT)
        parts.append(
            PartRecord(
                name=part.name,
                kind=part.kind,
                dtype=part.array.dtype.name,
                shape=part.array.shape,
                section=place,
                coded=next(records) if place == ABSENT else None,
            )
        )
    return TensorRecord(
        name=tensor.name, shape=tuple(tensor.shape), scheme=tensor.scheme, settings=tensor.settings, parts=tuple(parts)
    )
