"""What a corpus holds, before anything is made of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from foldover.data.corpus import CorpusSource, Document, Side, text_of
from foldover.data.encode_part import HASH_BYTES
from foldover.data.parts import StreamedSource, as_streamed
from foldover.data.shard import read_shard
from foldover.data.shards import token_range
from foldover.data.sources import Source
from foldover.data.token_folder import TokenSource

_ABOVE_ASCII = bytes(range(128, 256))


@dataclass(frozen=True, slots=True, kw_only=True)
class SideSurvey:
    """One side of a text corpus.

    longest: name of the largest document; ascii_bytes: bytes of ASCII characters; empty: documents without text;
    repeated: documents that this side had before, word for word; in_other_side: that the other side has (of validation:
    distinct ones).
    """

    side: Side
    documents: int
    text_bytes: int
    longest_bytes: int
    longest: str
    ascii_bytes: int
    empty: int
    repeated: int
    in_other_side: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSurvey:
    """One file of token shards."""

    side: Side
    file: str
    tokens: int
    highest_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """A corpus. pinned: its name with its digest, for study files; sides: of text; shards: of tokens."""

    name: str
    location: str
    digest: str
    pinned: str
    sides: tuple[SideSurvey, ...] = ()
    shards: tuple[ShardSurvey, ...] = ()


def survey(source: Source, *, limit: int | None = None) -> Survey:
    """Read a corpus and count; limit: documents a side. Holds 16 bytes of sha256 a document.

    Raises DataError for what cannot be read or is not UTF-8, with the place.
    """
    if isinstance(source, TokenSource):
        shards = [_shard("train", file) for file in source.train] + [_shard("val", file) for file in source.val]
        return Survey(
            name=source.name,
            location=source.location,
            digest=source.digest,
            pinned=pinned_name(source),
            shards=tuple(shards),
        )
    streamed = source if isinstance(source, StreamedSource) else as_streamed(source)
    seen: dict[Side, set[bytes]] = {"val": set(), "train": set()}
    val = _side(streamed, "val", seen, limit)
    train = _side(streamed, "train", seen, limit)
    # The validation side was read first, when nothing of the other was known.
    val = replace(val, in_other_side=len(seen["val"] & seen["train"]))
    return Survey(
        name=streamed.name,
        location=streamed.location,
        digest=streamed.digest,
        pinned=pinned_name(source),
        sides=(train, val),
    )


def pinned_name(source: Source) -> str:
    """The corpus's name with the beginning of its digest, where a name does not say the content."""
    if isinstance(source, CorpusSource):
        return source.name
    if not source.location.startswith("path:") or source.digest.startswith(source.location.rpartition("@")[2]):
        return source.location
    return f"{source.location}@{source.digest[:16]}"


def _side(source: StreamedSource, side: Side, seen: dict[Side, set[bytes]], limit: int | None) -> SideSurvey:
    documents = text_bytes = ascii_bytes = empty = repeated = in_other = 0
    longest = Document(id="", text=b"")
    other = seen["val" if side == "train" else "train"]
    for document in islice(source.documents(side), limit):
        text_of(document)
        documents += 1
        text_bytes += len(document.text)
        ascii_bytes += (
            len(document.text) if document.text.isascii() else len(document.text.translate(None, _ABOVE_ASCII))
        )
        if len(document.text) > len(longest.text):
            longest = document
        if not document.text:
            empty += 1
            continue
        sha = hashlib.sha256(document.text).digest()[:HASH_BYTES]
        repeated += sha in seen[side]
        in_other += sha in other
        seen[side].add(sha)
    return SideSurvey(
        side=side,
        documents=documents,
        text_bytes=text_bytes,
        longest_bytes=len(longest.text),
        longest=longest.id,
        ascii_bytes=ascii_bytes,
        empty=empty,
        repeated=repeated,
        in_other_side=in_other,
    )


def _shard(side: Side, file: Path) -> ShardSurvey:
    highest, _ = token_range(file, 0)
    return ShardSurvey(side=side, file=file.name, tokens=len(read_shard(file)), highest_id=highest)
