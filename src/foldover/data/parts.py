"""Corpora that are too large to hold: two sides, each a row of parts that are read one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from foldover.data.corpus import Corpus, CorpusSource, Document, Side

PART_BYTES = 16 * 2**20
"""Readers cut their files into parts of about this size: what is held in memory, and what a killed build repeats."""


class Part(Protocol):
    """What is read, encoded and written in one go: some files, a block of lines, some row groups.

    It must pickle, be readable any number of times with the same result, and hold no open file.
    """

    @property
    def name(self) -> str:
        """For messages: the file, and where in it."""

    @property
    def approximate_bytes(self) -> int:
        """Size, for progress and for deciding what fits; exact where that is free."""

    def documents(self) -> Iterator[Document]:
        """The documents in order. Raises DataError that names the file and the place for what cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedSource:
    """A corpus as parts.

    name: in letters, digits, dots and dashes (part of a folder's name); location: as the user wrote it;
    digest: pins the content of both sides and their order, wherever they lie.
    """

    name: str
    location: str
    digest: str
    train: tuple[Part, ...]
    val: tuple[Part, ...]

    def parts(self, side: Side) -> tuple[Part, ...]:
        """The parts of one side."""
        return self.train if side == "train" else self.val

    def documents(self, side: Side) -> Iterator[Document]:
        """All documents of one side in order."""
        for part in self.parts(side):
            yield from part.documents()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedPart:
    """One whole side of a corpus that is loaded at once."""

    name: str
    side: Side
    load: Callable[[], Corpus]
    approximate_bytes: int = 0

    def documents(self) -> Iterator[Document]:
        """The documents of the side."""
        corpus = self.load()
        yield from corpus.train if self.side == "train" else corpus.val


def as_streamed(source: CorpusSource) -> StreamedSource:
    """A corpus that is loaded at once, in the form of one that is not."""
    return StreamedSource(
        name=source.name,
        location=source.name,
        digest=source.digest,
        train=(LoadedPart(name=f"{source.name} (train)", side="train", load=source.load),),
        val=(LoadedPart(name=f"{source.name} (val)", side="val", load=source.load),),
    )


def total_bytes(parts: Sequence[Part]) -> int:
    """Approximate bytes of all parts."""
    return sum(part.approximate_bytes for part in parts)
