"""What is recorded about a corpus that was built part by part: digests, reference lines, counts."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Callable
from pathlib import Path

from foldover.core import Values
from foldover.data.corpus import Side
from foldover.data.encoding import Tokenizer
from foldover.data.parts import StreamedSource
from foldover.data.prepared import Facts
from foldover.data.references import witten_bell_bits
from foldover.data.shard import HEADER_BYTES
from foldover.data.streaming import SHARD, BuildState

REFERENCE_TRAIN_BYTES = 32 * 2**20
REFERENCE_VAL_BYTES = 8 * 2**20
"""How much text the reference lines are counted on at most, from the beginning of each side; it is held in memory."""

_PACKAGES = {"bpe": ("rustbpe", "tiktoken"), "bytes": ("tiktoken",), "sentencepiece": ("sentencepiece",)}


def facts_of(
    source: StreamedSource,
    tokenizer: Tokenizer,
    state: BuildState,
    folder: Path,
    *,
    orders: tuple[int, ...],
    format_version: int,
    progress: Callable[[float], None],
) -> Facts:
    """The facts of a corpus whose token files are complete."""
    train, val = _beginning(source, "train"), _beginning(source, "val")
    bits = witten_bell_bits(train, val, max(orders), progress=progress)
    packages = _PACKAGES.get(tokenizer.name.removeprefix("folded-"), ("tiktoken",))
    return Facts(
        digests=Values(
            corpus=source.digest,
            tokenizer=tokenizer.digest,
            train=stream_digest((folder / SHARD["train"],)),
            validation=stream_digest((folder / SHARD["val"],)),
        ),
        references=Values({f"order_{order}": bits[order] for order in orders}),
        meta=Values(
            corpus=source.name,
            location=source.location,
            tokenizer=tokenizer.name,
            vocab_size=tokenizer.vocab_size,
            format=format_version,
            train_documents=state.train.documents,
            train_bytes=state.train.text_bytes,
            train_tokens=state.train.tokens,
            val_documents=state.val.documents,
            val_bytes=state.val.text_bytes,
            val_tokens=state.val.tokens,
            val_piece_bytes=state.val.piece_bytes,
            val_unknown=state.val.unknown,
            skipped_documents=state.train.skipped + state.val.skipped,
            repeated_documents=state.repeated_documents,
            repeated_bytes=state.repeated_bytes,
            reference_train_bytes=sum(map(len, train)),
            **{package: importlib.metadata.version(package) for package in packages},
        ),
    )


def stream_digest(files: tuple[Path, ...]) -> str:
    """sha256 (hex) of the ids of shards one after another, as little-endian uint16."""
    sha = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            file.seek(HEADER_BYTES)
            while block := file.read(2**22):
                sha.update(block)
    return sha.hexdigest()


def _beginning(source: StreamedSource, side: Side) -> list[bytes]:
    texts: list[bytes] = []
    left = REFERENCE_TRAIN_BYTES if side == "train" else REFERENCE_VAL_BYTES
    for document in source.documents(side):
        texts.append(document.text[:left])
        left -= len(texts[-1])
        if left <= 0:
            break
    return texts
