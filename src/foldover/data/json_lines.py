"""JSON lines as documents: one object a line, its text in the field `text`."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from foldover.core import DataError
from foldover.data.corpus import Document, Side
from foldover.data.fingerprint import content_digest
from foldover.data.parts import PART_BYTES, Part, StreamedSource
from foldover.data.plain_text import named_side

SUFFIXES = (".jsonl", ".jsonl.gz")
ONE_IN = 20
"""Where no file is named after the validation side, one document in so many is on it, chosen by its sha256."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonLines:
    """A part: the lines of a file that begin in bytes start..stop. side: only documents drawn for it; None: all."""

    file: Path
    start: int
    stop: int
    side: Side | None = None

    @property
    def name(self) -> str:
        """File and first byte."""
        return f"{self.file} from byte {self.start:,}"

    @property
    def approximate_bytes(self) -> int:
        """Bytes of the lines as they lie, field names and escapes included."""
        share = {"train": (ONE_IN - 1) / ONE_IN, "val": 1 / ONE_IN, None: 1.0}[self.side]
        return int((self.stop - self.start) * share)

    def documents(self) -> Iterator[Document]:
        """One document a line; blank lines are skipped. A document is named by where its line begins."""
        try:
            for offset, line in self._lines():
                if line.strip():
                    document = Document(id=f"{self.file.name}@{offset}", text=self._text(offset, line))
                    if self.side in (None, drawn_side(document.text)):
                        yield document
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{self.file} cannot be read: {error}") from error

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        with gzip.open(self.file) if self.file.suffix == ".gz" else self.file.open("rb") as file:
            offset = self.start
            if self.start:  # a line that began before belongs to the part before
                file.seek(self.start - 1)
                offset += len(file.readline()) - 1
            while offset < self.stop and (line := file.readline()):
                yield offset, line
                offset += len(line)

    def _text(self, offset: int, line: bytes) -> bytes:
        try:
            plain = json.loads(line)
            if not isinstance(plain, dict) or not isinstance(plain.get("text"), str):
                raise ValueError("no object with a string `text`")
            return str(plain["text"]).encode("utf-8")
        except ValueError as error:  # not JSON, not UTF-8, no text, or half a surrogate pair
            raise DataError(
                f"{self.file}:{self._line_number(offset)}: {error}",
                fix='Each line is to be an object such as {"text": "..."} in UTF-8.',
            ) from error

    def _line_number(self, offset: int) -> int:
        with gzip.open(self.file) if self.file.suffix == ".gz" else self.file.open("rb") as file:
            return file.read(offset).count(b"\n") + 1


def drawn_side(text: bytes) -> Side:
    """The side of a document where nothing names one: equal texts are always on one side."""
    return "val" if int.from_bytes(hashlib.sha256(text).digest()[:8], "big") % ONE_IN == 0 else "train"


def json_lines(name: str, location: str, root: Path, files: Sequence[Path], *, cache: Path) -> StreamedSource:
    """Files of JSON lines, in order of their paths.

    Files (or their folders) named train... and val... are on those sides; if none is named so, one document in
    twenty, chosen by its sha256, is on the validation side. Raises DataError if only some are named.
    """
    named = {file: named_side(root, file) for file in files}
    sides = set(named.values())
    if sides == {None}:
        train = _parts(files, "train")
        val = _parts(files, "val")
        pairs = [("both", file) for file in files]
    elif sides == {"train", "val"}:
        train = _parts([file for file in files if named[file] == "train"], None)
        val = _parts([file for file in files if named[file] == "val"], None)
        pairs = sorted((str(named[file]), file) for file in files)
    else:
        raise DataError(
            f"{root}: some files are named after a side and the others leave it open",
            value=[file.name for file in files][:6],
            fix="Name them train... and val..., or none of them.",
        )
    return StreamedSource(
        name=name, location=location, digest=content_digest("json-lines-1", pairs, cache=cache), train=train, val=val
    )


def _parts(files: Sequence[Path], side: Side | None) -> tuple[Part, ...]:
    parts: list[Part] = []
    for file in files:
        size = file.stat().st_size
        if file.suffix == ".gz":  # no way to begin in the middle
            parts.append(JsonLines(file=file, start=0, stop=2**62, side=side))
            continue
        for start in range(0, size, PART_BYTES):
            parts.append(JsonLines(file=file, start=start, stop=min(start + PART_BYTES, size), side=side))
    return tuple(parts)
