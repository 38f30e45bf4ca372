"""One part of a corpus as token ids: the work of one process in a pool, and of the only one without."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from foldover.core import DataError
from foldover.data.corpus import Document, text_of
from foldover.data.encoding import Encoder, Tokenizer
from foldover.data.parts import Part
from foldover.data.tokenizer_file import read_tokenizer

HASH_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EncodedPart:
    """The documents of a part, each with its BOS.

    tokens: uint16 (n,); lengths: of each document in ids, int64 (d,); token_bytes: bytes of the text that each id
    covers, uint32 (n,), 0 for BOS (None if not asked for); hashes: 16 bytes of each document's sha256; text_bytes:
    int64 (d,); piece_bytes: of all tokens by the tokenizer's table; unknown: tokens; skipped: documents without ids.
    """

    tokens: NDArray[np.uint16]
    lengths: NDArray[np.int64]
    token_bytes: NDArray[np.uint32] | None
    hashes: tuple[bytes, ...]
    text_bytes: NDArray[np.int64]
    piece_bytes: int
    unknown: int
    skipped: int


def encode_part(part: Part, tokenizer: Tokenizer, encoder: Encoder, *, with_bytes: bool) -> EncodedPart:
    """Encode and check a part: bytes add up document by document, and exact tokenizers give the text back.

    Raises DataError for what cannot be read, is not UTF-8, or does not add up.
    """
    table = tokenizer.byte_table.base
    ids_of: list[NDArray[np.uint16]] = []
    bytes_of: list[NDArray[np.uint32]] = []
    hashes: list[bytes] = []
    sizes: list[int] = []
    skipped = 0
    for document in part.documents():
        text = text_of(document)
        if with_bytes:
            ids, covered = encoder.ids_and_bytes(text)
        else:
            ids, covered = encoder.ids(text), None
        if not len(ids):
            skipped += 1
            continue
        _check(document, ids, covered, tokenizer, encoder, table)
        ids_of.append(np.concatenate(([tokenizer.bos_id], ids)).astype(np.uint16))
        if covered is not None:
            bytes_of.append(np.concatenate((np.zeros(1, dtype=np.uint32), covered)))
        hashes.append(hashlib.sha256(document.text).digest()[:HASH_BYTES])
        sizes.append(len(document.text))
    tokens = np.concatenate(ids_of) if ids_of else np.empty(0, dtype=np.uint16)
    return EncodedPart(
        tokens=tokens,
        lengths=np.array([len(ids) for ids in ids_of], dtype=np.int64),
        token_bytes=(np.concatenate(bytes_of) if bytes_of else np.empty(0, dtype=np.uint32)) if with_bytes else None,
        hashes=tuple(hashes),
        text_bytes=np.array(sizes, dtype=np.int64),
        piece_bytes=tokenizer.byte_table.total(tokens) if len(tokens) else 0,
        unknown=int((tokens == tokenizer.unknown_id).sum()) if tokenizer.unknown_id is not None else 0,
        skipped=skipped,
    )


def encode_parts(
    parts: Sequence[Part], tokenizer_file: Path, *, with_bytes: bool, workers: int
) -> Iterator[EncodedPart]:
    """The parts in order, encoded by `workers` processes, at most two parts a process under way at a time."""
    if workers <= 1 or len(parts) <= 1:
        for part in parts:
            yield _encode_with_file(part, tokenizer_file, with_bytes)
        return
    # Fresh processes: the caller may have threads, which a fork does not survive.
    with ProcessPoolExecutor(min(workers, len(parts)), mp_context=get_context("spawn")) as pool:
        waiting: list[Future[EncodedPart]] = []
        try:
            for part in parts:
                waiting.append(pool.submit(_encode_with_file, part, tokenizer_file, with_bytes))
                if len(waiting) >= 2 * workers:
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        finally:
            pool.shutdown(cancel_futures=True)


def _encode_with_file(part: Part, tokenizer_file: Path, with_bytes: bool) -> EncodedPart:
    tokenizer, encoder = _opened(tokenizer_file.read_text(encoding="utf-8"))
    return encode_part(part, tokenizer, encoder, with_bytes=with_bytes)


@lru_cache(maxsize=1)
def _opened(text: str) -> tuple[Tokenizer, Encoder]:
    tokenizer = read_tokenizer(text)
    return tokenizer, tokenizer.encoder()


def _check(
    document: Document,
    ids: NDArray[np.uint32],
    covered: NDArray[np.uint32] | None,
    tokenizer: Tokenizer,
    encoder: Encoder,
    table: NDArray[np.int32],
) -> None:
    if int(ids.max()) >= tokenizer.vocab_size:
        raise DataError(f"tokenizer {tokenizer.name} gave an id outside its vocabulary", value=int(ids.max()))
    size = len(document.text)
    counted = int(table[ids].sum(dtype=np.int64)) if tokenizer.is_exact else size
    if covered is not None:
        counted = int(covered.sum(dtype=np.int64))
    if counted != size:
        raise DataError(
            f"the bytes of document {document.id} do not add up: {counted:,} by tokenizer {tokenizer.name}, "
            f"{size:,} in the text, ratio {counted / size:.6f}",
            fix="Bits per byte would be wrong by this ratio; use a tokenizer that counts the bytes of the text.",
        )
    if tokenizer.is_exact and encoder.decode(ids) != document.text:
        raise DataError(f"document {document.id} does not decode to its own text under {tokenizer.name}")
