"""Parquet shards in the layout of karpathy/climbmix-400b-shuffle, nanochat and autoresearch.

A folder of `shard_00000.parquet`, ...: one row a document, its text in the column `text`. The last shard by
name is the pinned validation side, all others are the training side.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from foldover.core import DataError
from foldover.data.corpus import Document
from foldover.data.extras import missing
from foldover.data.fingerprint import content_digest
from foldover.data.parts import PART_BYTES, Part, StreamedSource

if TYPE_CHECKING:
    import pyarrow.parquet

COLUMN = "text"
# Rows held as Python objects at a time; row groups of the hub's shards have about a thousand.
BATCH_ROWS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class RowGroups:
    """A part: some consecutive row groups of one file. first_row: of them, in the file."""

    file: Path
    groups: tuple[int, ...]
    first_row: int
    approximate_bytes: int

    @property
    def name(self) -> str:
        """File and row groups."""
        return f"{self.file} row groups {self.groups[0]} to {self.groups[-1]}"

    def documents(self) -> Iterator[Document]:
        """One document a row, named by shard and row."""
        import pyarrow

        row = self.first_row
        with _open(self.file) as file:
            batches = file.iter_batches(batch_size=BATCH_ROWS, row_groups=list(self.groups), columns=[COLUMN])
            try:
                for batch in batches:
                    for text in batch.column(0).cast(pyarrow.large_binary()).to_pylist():
                        if text is None:
                            raise DataError(f"{self.file}: row {row} has no text", fix="Take the row out.")
                        yield Document(id=f"{self.file.name}:{row}", text=text)
                        row += 1
            except (OSError, pyarrow.ArrowException) as error:
                raise DataError(f"{self.file} is damaged: {error}", fix="Download or write it again.") from error


def parquet_folder(name: str, location: str, files: Sequence[Path], *, cache: Path) -> StreamedSource:
    """Shards in order of name, the last one the validation side.

    Raises DataError for fewer than two shards, a file that is no whole Parquet file, or one without texts.
    """
    if len(files) < 2:
        raise DataError(
            f"{location} has one Parquet shard; the last one is the validation side, so training has none",
            fix="Give at least two shards, or write JSON lines.",
        )
    pairs = [*(("train", file) for file in files[:-1]), ("val", files[-1])]
    return StreamedSource(
        name=name,
        location=location,
        digest=content_digest("parquet-1", pairs, cache=cache),
        train=tuple(part for file in files[:-1] for part in _parts(file)),
        val=_parts(files[-1]),
    )


def _parts(file: Path) -> tuple[Part, ...]:
    with _open(file) as opened:
        metadata = opened.metadata
        rows = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        sizes = [_column_bytes(opened, i) for i in range(metadata.num_row_groups)]
    parts: list[Part] = []
    first, first_row = 0, 0
    for i in range(len(rows)):
        if sum(sizes[first : i + 1]) >= PART_BYTES or i == len(rows) - 1:
            groups = tuple(range(first, i + 1))
            parts.append(
                RowGroups(file=file, groups=groups, first_row=first_row, approximate_bytes=sum(sizes[first : i + 1]))
            )
            first, first_row = i + 1, first_row + sum(rows[first : i + 1])
    return tuple(parts)


def _column_bytes(file: pyarrow.parquet.ParquetFile, group: int) -> int:
    metadata = file.metadata.row_group(group)
    names = [metadata.column(i).path_in_schema for i in range(metadata.num_columns)]
    return int(metadata.column(names.index(COLUMN)).total_uncompressed_size)


def _open(file: Path) -> pyarrow.parquet.ParquetFile:
    try:
        import pyarrow  # late: only Parquet needs it
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise missing(error, "data", "Reading Parquet files") from error
    try:
        opened = pyarrow.parquet.ParquetFile(file)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"{file} is no whole Parquet file: {error}", fix="Download or write it again.") from error
    schema = opened.schema_arrow
    if COLUMN not in schema.names:
        raise DataError(f"{file} has no column `{COLUMN}`", value=schema.names, fix=f"Name the texts `{COLUMN}`.")
    kind = schema.field(COLUMN).type
    if kind not in (pyarrow.string(), pyarrow.large_string(), pyarrow.binary(), pyarrow.large_binary()):
        raise DataError(f"{file}: the column `{COLUMN}` does not hold text", value=str(kind))
    return opened
