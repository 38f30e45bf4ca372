"""Token shards made elsewhere, read as they are: the datasets of openai/parameter-golf and modded-nanogpt.

Training files are those with `_train_` in the name, validation files those with `_val_`, each in order of name; every
other .bin file is refused. There is no text, so there are no reference lines, and bytes are known only as far
as the tokenizer's pieces say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foldover.core import DataError, Values
from foldover.data.corpus import Side
from foldover.data.encoding import Tokenizer
from foldover.data.fingerprint import content_digest
from foldover.data.finish import stream_digest
from foldover.data.prepared import META, TOKENIZER, TRAIN_OFFSETS, VAL_OFFSETS, Facts, seal, write_offsets
from foldover.data.shard import read_shard
from foldover.data.shards import TokenShards, token_range
from foldover.rundir import write_atomic

SUFFIX = ".bin"
# A stream of at least so many ids a vocabulary's id that never goes beyond its half was made by another tokenizer.
_TELLING = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSource:
    """Token shards of two sides. digest: of their contents in order."""

    name: str
    location: str
    digest: str
    train: tuple[Path, ...]
    val: tuple[Path, ...]


def token_folder(name: str, location: str, files: Sequence[Path], *, cache: Path) -> TokenSource:
    """The source of a folder of shards; each header and size is checked here.

    Raises DataError for a shard that is none, is cut short or lies about its size, a name that says no side,
    or a side without files.
    """
    sides: dict[Side, list[Path]] = {"train": [], "val": []}
    for file in files:
        words = file.stem.replace("-", "_").split("_")
        is_train, is_val = "train" in words, "val" in words
        if is_train == is_val:
            raise DataError(
                f"{file} does not say which side it is",
                fix="Name shards ..._train_000000.bin and ..._val_000000.bin.",
            )
        read_shard(file)
        sides["train" if is_train else "val"].append(file)
    for side, found in sides.items():
        if not found:
            raise DataError(f"{location} has no {side} shards", fix=f"Name them ..._{side}_000000.bin.")
    pairs = [(side, file) for side in ("train", "val") for file in sides[side]]
    return TokenSource(
        name=name,
        location=location,
        digest=content_digest("token-shards-1", pairs, cache=cache),
        train=tuple(sides["train"]),
        val=tuple(sides["val"]),
    )


def build_token_folder(source: TokenSource, tokenizer: Tokenizer, folder: Path, *, format_version: int) -> None:
    """Write the cache folder of token shards: tokenizer, where documents begin, facts; the ids stay where they are.

    Raises DataError if an id is outside the tokenizer's vocabulary, or if the ids are plainly of a smaller one.
    """
    train, val = _documents(source.train, tokenizer), _documents(source.val, tokenizer)
    ids = TokenShards(source.val)
    piece_bytes = sum(tokenizer.byte_table.total(array) for array in ids.arrays)
    write_atomic(folder / TOKENIZER, tokenizer.to_json())
    write_offsets(folder / TRAIN_OFFSETS, train)
    write_offsets(folder / VAL_OFFSETS, val)
    facts = Facts(
        digests=Values(
            corpus=source.digest,
            tokenizer=tokenizer.digest,
            train=stream_digest(source.train),
            validation=stream_digest(source.val),
        ),
        references=Values(),
        meta=Values(
            corpus=source.name,
            location=source.location,
            tokenizer=tokenizer.name,
            vocab_size=tokenizer.vocab_size,
            format=format_version,
            train_documents=len(train) - 1,
            train_tokens=int(train[-1]),
            train_shards=len(source.train),
            val_documents=len(val) - 1,
            val_tokens=int(val[-1]),
            val_shards=len(source.val),
            val_piece_bytes=piece_bytes,
            val_unknown=_count(ids, tokenizer.unknown_id),
        ),
    )
    seal(folder, facts, (META, TOKENIZER, TRAIN_OFFSETS, VAL_OFFSETS))


def _documents(files: Sequence[Path], tokenizer: Tokenizer) -> NDArray[np.int64]:
    """Where documents begin in the stream of the files, and its length."""
    places: list[NDArray[np.int64]] = []
    total, highest = 0, 0
    for file in files:
        found, begins = token_range(file, tokenizer.bos_id)
        if found >= tokenizer.vocab_size:
            raise DataError(
                f"{file} has id {found}, and tokenizer {tokenizer.name} has only {tokenizer.vocab_size}",
                fix="Name the tokenizer that the shards were made with.",
            )
        highest = max(highest, found)
        places.append(total + begins)
        total += len(read_shard(file))
    if highest < tokenizer.vocab_size // 2 and total >= _TELLING * tokenizer.vocab_size:
        raise DataError(
            f"the highest of {total:,} ids in {files[0].parent} is {highest}, and tokenizer {tokenizer.name} has "
            f"{tokenizer.vocab_size}: they were made with another one",
            fix="Name the tokenizer that the shards were made with.",
        )
    return np.concatenate([*places, np.array([total])])


def _count(shards: TokenShards, number: int | None) -> int:
    return 0 if number is None else sum(int((array == number).sum()) for array in shards.arrays)
