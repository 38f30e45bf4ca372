"""A corpus: whole documents, each on the training or on the validation side."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from foldover.core import DataError

Side = Literal["train", "val"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One text under its name. text: UTF-8 bytes as they were shipped, never normalised."""

    id: str
    text: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """The documents of both sides, in the order in which they become tokens.

    Raises DataError if a side has no text, or if a document is on both sides or twice on one.
    """

    name: str
    train: tuple[Document, ...]
    val: tuple[Document, ...]

    def __post_init__(self) -> None:
        for side, documents in (("training", self.train), ("validation", self.val)):
            if not num_bytes(documents):
                raise DataError(f"corpus {self.name} has no {side} text")
        counts = Counter(document.id for document in (*self.train, *self.val))
        twice = sorted(name for name, count in counts.items() if count > 1)
        if twice:
            raise DataError(f"corpus {self.name} has documents twice", value=twice)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusSource:
    """Where a corpus comes from.

    digest: pins the content of both sides, so that a cache can be found without reading the text;
    load: reads and checks the documents; raises DataError if they are absent or not those of `digest`.
    """

    name: str
    digest: str
    load: Callable[[], Corpus]


def num_bytes(documents: Sequence[Document]) -> int:
    """UTF-8 bytes of all texts together."""
    return sum(len(document.text) for document in documents)


def text_of(document: Document) -> str:
    """The decoded text. Raises DataError that says where if it is not UTF-8."""
    try:
        return document.text.decode("utf-8")
    except UnicodeDecodeError as error:
        line = document.text.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"document {document.id} is not UTF-8: {error.reason} at byte {error.start:,}, line {line:,} of it "
            f"({document.text[error.start : error.start + 4]!r})",
            fix="Convert the file to UTF-8 (iconv), or take it out.",
        ) from error


def text_digest(documents: Sequence[Document]) -> str:
    """sha256 (hex) of all texts one after another."""
    sha = hashlib.sha256()
    for document in documents:
        sha.update(document.text)
    return sha.hexdigest()
