"""A prepared corpus: what a trainer needs of it, read from a finished cache folder."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foldover.core import DataError, LedgerError, Values, from_json, to_json
from foldover.data.accounting import Accounting
from foldover.data.encoding import Tokenizer
from foldover.data.shard import write_shard
from foldover.data.shards import TokenShards
from foldover.data.stream import TokenStream
from foldover.data.tokenizer import BytePairTokenizer
from foldover.data.tokenizer_file import read_tokenizer
from foldover.rundir import sha256_of_file, write_atomic

TOKENIZER, META, CHECKSUMS = "tokenizer.json", "meta.json", "checksums.json"
TRAIN, TRAIN_OFFSETS = "train.bin", "train_offsets.npy"
VAL, VAL_OFFSETS = "val.bin", "val_offsets.npy"
FILES = (META, TOKENIZER, TRAIN, TRAIN_OFFSETS, VAL, VAL_OFFSETS)
# Bytes of the text that each validation token covers, where the tokenizer's pieces do not say.
VAL_BYTES = "val_bytes.npy"
# What a folder has even if its tokens lie elsewhere.
_ALWAYS = (META, TOKENIZER, TRAIN_OFFSETS, VAL_OFFSETS)
# Up to here every opening checks every byte; above, only if a file's size, times or inode changed since the last check.
ALWAYS_CHECKED_BYTES = 64 * 2**20
VERIFIED = "verified.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is recorded about a prepared corpus.

    digests: sha256 (hex) of `corpus` (both sides' text), `tokenizer`, `train` and `validation` (the ids of the
    streams); references: bits per byte of the validation text under byte models `order_0`, `order_2`, `order_6`
    (none where there is no text); meta: `corpus`, `vocab_size`, `format`, documents, bytes and tokens (BOS counted) of
    each side, versions; of all but the embedded corpus under byte pairs also `location`, `tokenizer`,
    `val_piece_bytes`, `val_unknown` (tokens), `skipped_documents` (without tokens) and `repeated_documents` (validation
    documents that training has word for word).
    """

    digests: Values
    references: Values
    meta: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedData:
    """A corpus as tokens, in a cache folder that nothing changes any more.

    Token arrays are mapped read-only, so processes on one machine share them; each access maps anew (some
    50 microseconds), so take them once. Pickling it does not copy them.
    accounting: which bytes the metric divides by; train_files, val_files: shards that lie elsewhere (empty: the
    folder's own).
    """

    folder: Path
    tokenizer: Tokenizer
    facts: Facts
    accounting: Accounting = "raw"
    train_files: tuple[Path, ...] = ()
    val_files: tuple[Path, ...] = ()

    @property
    def corpus(self) -> str:
        """The corpus's name."""
        return self.meta.text("corpus")

    @property
    def vocab_size(self) -> int:
        """Number of ids, specials included."""
        return self.tokenizer.vocab_size

    @property
    def bos_id(self) -> int:
        """The id that starts every document."""
        return self.tokenizer.bos_id

    @property
    def token_bytes(self) -> NDArray[np.int32]:
        """Bytes of text that each id stands for, shape (vocab_size,); 0 for specials.

        Raises DataError if that depends on where a token stands; `scored_rows` knows it then.
        """
        if not self.tokenizer.is_exact:
            raise DataError(
                f"the bytes of a token of {self.tokenizer.name} depend on where it stands",
                fix="Take ids and bytes from `foldover.data.scored_rows`.",
            )
        return self.tokenizer.byte_table.base

    @property
    def train_shards(self) -> TokenShards:
        """The training side as one stream, from however many files."""
        return TokenShards(self.train_files or (self.folder / TRAIN,))

    @property
    def val_shards(self) -> TokenShards:
        """The validation side likewise."""
        return TokenShards(self.val_files or (self.folder / VAL,))

    @property
    def val_bytes(self) -> NDArray[np.uint32] | None:
        """Bytes of the text that each validation token covers, shape (N,), 0 for BOS; None where `token_bytes` says."""
        if self.tokenizer.is_exact or self.val_files:
            return None
        sizes: NDArray[np.uint32] = np.load(self.folder / VAL_BYTES, mmap_mode="r", allow_pickle=False)
        return sizes.view(np.ndarray)

    @property
    def train_tokens(self) -> NDArray[np.uint16]:
        """The training documents one after another, each starting with BOS, shape (N,); DataError if in many files."""
        return _only(self.train_shards)

    @property
    def train_offsets(self) -> NDArray[np.int64]:
        """Where each training document starts, and N: shape (D + 1,)."""
        return _read_offsets(self.folder / TRAIN_OFFSETS)

    @property
    def val_tokens(self) -> NDArray[np.uint16]:
        """The validation documents, as `train_tokens`."""
        return _only(self.val_shards)

    @property
    def val_offsets(self) -> NDArray[np.int64]:
        """Where each validation document starts, and the length of their stream."""
        return _read_offsets(self.folder / VAL_OFFSETS)

    @property
    def digests(self) -> Values:
        """sha256 (hex) of `corpus`, `tokenizer`, `train` and `validation`."""
        return self.facts.digests

    @property
    def references(self) -> Values:
        """Bits per byte on the validation text of byte models `order_0`, `order_2` and `order_6`."""
        return self.facts.references

    @property
    def meta(self) -> Values:
        """Names, sizes and versions (see `Facts`)."""
        return self.facts.meta


def write_prepared(
    folder: Path, *, tokenizer: BytePairTokenizer, train: TokenStream, val: TokenStream, facts: Facts
) -> None:
    """Write the files of a prepared corpus into an empty folder, the checksums last; each is flushed to disk."""
    write_atomic(folder / TOKENIZER, tokenizer.to_json())
    for stream, shard, offsets in ((train, TRAIN, TRAIN_OFFSETS), (val, VAL, VAL_OFFSETS)):
        write_shard(folder / shard, stream.tokens)
        write_offsets(folder / offsets, stream.offsets)
    seal(folder, facts, FILES)


def seal(folder: Path, facts: Facts, names: Sequence[str]) -> None:
    """Write the facts and, last, the checksums of the files that `names` lists."""
    write_atomic(folder / META, to_json(facts, indent=1) + "\n")
    sums = {name: sha256_of_file(folder / name) for name in names}
    write_atomic(folder / CHECKSUMS, to_json(sums, indent=1) + "\n")


def damage(folder: Path, *, is_thorough: bool = False) -> tuple[str, ...]:
    """The files of a prepared corpus that are missing or are not what was written; empty if it is whole.

    A folder of more than 64 MiB is read again only if a file's size, times or inode changed since it was last
    read, or if is_thorough.
    """
    try:
        recorded = json.loads((folder / CHECKSUMS).read_bytes())
    except (OSError, ValueError):
        return (CHECKSUMS,)
    if not isinstance(recorded, dict):
        return (CHECKSUMS,)
    names = [*_ALWAYS, *(name for name in recorded if name not in _ALWAYS)]
    stamps = {name: _stamp(folder / name) for name in (*names, CHECKSUMS)}
    is_small = sum(stamp[0] for stamp in stamps.values() if stamp) <= ALWAYS_CHECKED_BYTES
    if not (is_small or is_thorough) and stamps == _verified(folder):
        return ()
    damaged = tuple(name for name in names if recorded.get(name) != _sum_if_readable(folder / name))
    if not (damaged or is_small):
        with contextlib.suppress(OSError):  # a note spares time, nothing else
            write_atomic(folder / VERIFIED, json.dumps(stamps))
    return damaged


def read_prepared(
    folder: Path,
    *,
    accounting: Accounting = "raw",
    train_files: tuple[Path, ...] = (),
    val_files: tuple[Path, ...] = (),
) -> PreparedData:
    """The prepared corpus in a folder that `damage` found whole. Raises DataError if it cannot be read."""
    try:
        facts = from_json(Facts, (folder / META).read_text(encoding="utf-8"))
        tokenizer = read_tokenizer((folder / TOKENIZER).read_text(encoding="utf-8"))
    except (OSError, ValueError, LedgerError) as error:
        raise DataError(f"prepared corpus {folder} cannot be read: {error}", fix="Delete the folder.") from error
    return PreparedData(
        folder=folder,
        tokenizer=tokenizer,
        facts=facts,
        accounting=accounting,
        train_files=train_files,
        val_files=val_files,
    )


def _only(shards: TokenShards) -> NDArray[np.uint16]:
    if len(shards.arrays) > 1:
        raise DataError("the tokens are in several shards", value=len(shards.arrays), fix="Use `train_shards`.")
    return shards.arrays[0]


def _stamp(path: Path) -> list[int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _verified(folder: Path) -> object:
    try:
        return json.loads((folder / VERIFIED).read_bytes())
    except (OSError, ValueError):
        return None


def _sum_if_readable(path: Path) -> str | None:
    try:
        return sha256_of_file(path)
    except OSError:
        return None


def write_offsets(path: Path, offsets: NDArray[np.int64]) -> None:
    """Write where documents begin, and the length of their stream."""
    with path.open("wb") as file:
        np.save(file, offsets.astype("<i8", copy=False), allow_pickle=False)


def _read_offsets(path: Path) -> NDArray[np.int64]:
    offsets: NDArray[np.int64] = np.load(path, mmap_mode="r", allow_pickle=False)
    return offsets.view(np.ndarray)
