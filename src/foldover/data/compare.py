"""The same documents under several tokenizers, and what can be said of one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from foldover.core import DataError
from foldover.data.corpus import Document, num_bytes, text_of
from foldover.data.encoding import Tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerFigures:
    """One tokenizer on some documents.

    tokens: without BOS; bytes_per_token: of the text; unigram_bits_per_byte: the entropy of the tokens' own
    frequencies, per byte of the text: what a model would score that knew these and nothing of context. It bounds from
    below every fixed distribution over this vocabulary, and says how much of the work is left to the model;
    used_ids: ids that occur; unknown: tokens; piece_bytes_ratio: bytes by the tokenizer's pieces / bytes of the text.
    """

    name: str
    vocab_size: int
    digest: str
    tokens: int
    bytes_per_token: float
    unigram_bits_per_byte: float
    used_ids: int
    unknown: int
    piece_bytes_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Tokenizers on the same documents. text_bytes: UTF-8 bytes of all of them."""

    corpus: str
    documents: int
    text_bytes: int
    tokenizers: tuple[TokenizerFigures, ...]


def compare_tokenizers(
    corpus: str,
    documents: Iterable[Document],
    tokenizers: Sequence[tuple[str, Tokenizer]],
    *,
    limit: int | None = None,
) -> Comparison:
    """Encode the same documents with each tokenizer, in one pass; tokenizers: pairs of label and tokenizer.

    limit: of documents. Raises DataError if there is no text, or text that is not UTF-8.
    """
    counters = [_Counter(label, tokenizer) for label, tokenizer in tokenizers]
    count, total = 0, 0
    for document in islice(documents, limit):
        text = text_of(document)
        for counter in counters:
            counter.add(text)
        count += 1
        total += num_bytes([document])
    if not total:
        raise DataError(f"corpus {corpus} has no text to compare on")
    return Comparison(
        corpus=corpus,
        documents=count,
        text_bytes=total,
        tokenizers=tuple(counter.figures(total) for counter in counters),
    )


class _Counter:
    def __init__(self, label: str, tokenizer: Tokenizer) -> None:
        self._label = label
        self._tokenizer = tokenizer
        self._encoder = tokenizer.encoder()
        self._table = tokenizer.byte_table
        self._counts: NDArray[np.int64] = np.zeros(tokenizer.vocab_size, dtype=np.int64)
        self._piece_bytes = 0

    def add(self, text: str) -> None:
        ids = self._encoder.ids(text)
        self._counts += np.bincount(ids, minlength=len(self._counts))
        with_bos = np.concatenate((np.array([self._tokenizer.bos_id], dtype=np.uint32), ids))
        self._piece_bytes += self._table.total(with_bos)

    def figures(self, text_bytes: int) -> TokenizerFigures:
        tokens = int(self._counts.sum())
        if not tokens:
            raise DataError(f"tokenizer {self._label} makes no token of this text")
        used = self._counts[self._counts > 0]
        bits = -float((used * np.log2(used / tokens)).sum())
        unknown = self._tokenizer.unknown_id
        return TokenizerFigures(
            name=self._label,
            vocab_size=self._tokenizer.vocab_size,
            digest=self._tokenizer.digest,
            tokens=tokens,
            bytes_per_token=text_bytes / tokens,
            unigram_bits_per_byte=math.fabs(bits) / text_bytes,
            used_ids=len(used),
            unknown=0 if unknown is None else int(self._counts[unknown]),
            piece_bytes_ratio=self._piece_bytes / text_bytes,
        )
