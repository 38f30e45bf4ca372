"""Text files as documents: a folder of them, or one file that is cut in two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from foldover.core import DataError
from foldover.data.corpus import Document, Side, text_of
from foldover.data.fingerprint import content_digest, file_digest
from foldover.data.parts import PART_BYTES, Part, StreamedSource

SUFFIXES = (".txt", ".md", ".rst")
VAL_SHARE = 0.05
# Of one file: nanoGPT's convention for the classic ones.
LAST_SHARE = 0.1
MAX_DOCUMENT_BYTES = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFiles:
    """A part: whole files, each a document named by its path below `root`."""

    root: Path
    files: tuple[Path, ...]
    approximate_bytes: int

    @property
    def name(self) -> str:
        """The first file and how many."""
        return f"{self.files[0]} and {len(self.files) - 1} more" if len(self.files) > 1 else str(self.files[0])

    def documents(self) -> Iterator[Document]:
        """One document a file."""
        for file in self.files:
            yield Document(id=file.relative_to(self.root).as_posix(), text=_read(file))


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSlice:
    """A part: the first nine tenths of one file's characters, or the rest."""

    file: Path
    side: Side

    @property
    def name(self) -> str:
        """File and side."""
        return f"{self.file} ({self.side})"

    @property
    def approximate_bytes(self) -> int:
        """Share of the file's bytes."""
        size = self.file.stat().st_size
        return int(size * (LAST_SHARE if self.side == "val" else 1 - LAST_SHARE))

    def documents(self) -> Iterator[Document]:
        """The one document, cut between characters."""
        text = text_of(Document(id=self.file.name, text=_read(self.file)))
        cut = int(len(text) * (1 - LAST_SHARE))
        part = text[cut:] if self.side == "val" else text[:cut]
        yield Document(id=f"{self.file.name} ({self.side})", text=part.encode())


def single_file(name: str, location: str, file: Path, *, cache: Path) -> StreamedSource:
    """One text file: trained on its first nine tenths, measured on the rest."""
    return StreamedSource(
        name=name,
        location=location,
        digest=content_digest("text-slice-1", [("both", file)], cache=cache),
        train=(TextSlice(file=file, side="train"),),
        val=(TextSlice(file=file, side="val"),),
    )


def text_folder(name: str, location: str, root: Path, files: Sequence[Path], *, cache: Path) -> StreamedSource:
    """A folder of text files, in order of their paths.

    Files below `train/` and `val/` are on those sides. Without such folders the files of the smallest sha256 are
    the validation side, as many as make up 5 % of the bytes: pinned by content, not by name or chance.
    """
    sides = _named_sides(root, files) or _drawn_sides(files, cache=cache)
    train = [file for file in files if sides[file] == "train"]
    val = [file for file in files if sides[file] == "val"]
    pairs = [*(("train", file) for file in train), *(("val", file) for file in val)]
    return StreamedSource(
        name=name,
        location=location,
        digest=content_digest("text-files-1", pairs, cache=cache),
        train=_parts(root, train),
        val=_parts(root, val),
    )


def named_side(root: Path, file: Path) -> Side | None:
    """The side that a path below `root` names: by a folder or the beginning of the file's name."""
    for word in (*file.relative_to(root).parts[:-1], file.name.partition(".")[0]):
        for side, names in (("train", ("train",)), ("val", ("val", "valid", "validation"))):
            if any(word == name or word.startswith((f"{name}_", f"{name}-")) for name in names):
                return "train" if side == "train" else "val"
    return None


def _named_sides(root: Path, files: Sequence[Path]) -> dict[Path, Side] | None:
    folders = {file.relative_to(root).parts[0] for file in files if len(file.relative_to(root).parts) > 1}
    if not {"train", "val"} <= folders:
        return None
    outside = [file for file in files if file.relative_to(root).parts[0] not in ("train", "val")]
    if outside:
        raise DataError(
            f"{root} has folders train and val, and text files beside them",
            value=str(outside[0]),
            fix="Move them into one of the two.",
        )
    return {file: "train" if file.relative_to(root).parts[0] == "train" else "val" for file in files}


def _drawn_sides(files: Sequence[Path], *, cache: Path) -> dict[Path, Side]:
    wanted = VAL_SHARE * sum(file.stat().st_size for file in files)
    sides: dict[Path, Side] = dict.fromkeys(files, "train")
    for _, file in sorted((file_digest(file, cache=cache), file) for file in files)[:-1]:
        if wanted <= 0:
            break
        sides[file] = "val"
        wanted -= file.stat().st_size
    return sides


def _parts(root: Path, files: Sequence[Path]) -> tuple[Part, ...]:
    parts: list[Part] = []
    group: list[Path] = []
    size = 0
    for file in files:
        group.append(file)
        size += file.stat().st_size
        if size >= PART_BYTES:
            parts.append(TextFiles(root=root, files=tuple(group), approximate_bytes=size))
            group, size = [], 0
    if group:
        parts.append(TextFiles(root=root, files=tuple(group), approximate_bytes=size))
    return tuple(parts)


def _read(file: Path) -> bytes:
    try:
        if file.stat().st_size > MAX_DOCUMENT_BYTES:
            raise DataError(
                f"{file} is one document of more than {MAX_DOCUMENT_BYTES:,} bytes",
                value=file.stat().st_size,
                fix="Cut it into documents: a folder of text files, or JSON lines with a field `text`.",
            )
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error}") from error
