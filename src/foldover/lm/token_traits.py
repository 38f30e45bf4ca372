"""What some parts of the model know of tokens: kinds, word starts, frequencies, neighbours. No torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foldover.data import PreparedData
from foldover.lm.levers import TrainConfig
from foldover.lm.token_classes import token_classes

SAMPLE_TOKENS = 2_000_000
BYTE_WINDOW, BYTE_BASE = 4, 257
WORD_START, LETTERS, DIGIT, PUNCTUATION, SPACE, OTHER, SPECIAL = range(7)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenTraits:
    """By id, shape (V,). kinds: 0 to 6 (see `token_kind`); counts: in the training text; sample: its first tokens.

    byte_codes, byte_counts: see `byte_tail`.
    """

    bos_id: int
    word_starts: NDArray[np.bool_]
    kinds: NDArray[np.int64]
    counts: NDArray[np.int64]
    sample: NDArray[np.int64]
    byte_codes: NDArray[np.int64]
    byte_counts: NDArray[np.int64]


def needs_traits(config: TrainConfig) -> bool:
    """Whether any part of this recipe's model asks for them."""
    embedding, head = config.embedding, config.head
    is_of_bytes = embedding.bigram_orders == "byte_window"
    in_table = embedding.bigram_buckets > 0 and (embedding.bigram_split or embedding.word_start_boost or is_of_bytes)
    in_input = in_table or embedding.token_type or embedding.smear == "gate"
    init = config.init
    in_init = init.cooccurrence_qk or init.table == "svd" or (head.output_bias and init.output_bias != "zero")
    has_borders = config.attention.within_documents
    return in_input or in_init or has_borders or head.unigram_bias or head.boundary_weight > 0


def token_traits(data: PreparedData) -> TokenTraits:
    """The traits of a prepared corpus."""
    pieces = data.tokenizer.id_bytes
    tokens = data.train_shards
    counts = sum(np.bincount(array, minlength=data.vocab_size) for array in tokens.arrays)
    return TokenTraits(
        bos_id=data.bos_id,
        word_starts=token_classes(pieces).word_start,
        kinds=np.array([*map(token_kind, pieces)], dtype=np.int64),
        counts=np.asarray(counts, dtype=np.int64),
        sample=tokens[:SAMPLE_TOKENS].astype(np.int64),
        byte_codes=np.array([byte_tail(piece)[0] for piece in pieces], dtype=np.int64),
        byte_counts=np.array([byte_tail(piece)[1] for piece in pieces], dtype=np.int64),
    )


def byte_tail(piece: bytes) -> tuple[int, int]:
    """The last bytes of a token, at most four, as a number in base 257, and how many; of a special one mark, 256."""
    tail = list(piece[-BYTE_WINDOW:]) or [BYTE_BASE - 1]
    code = 0
    for byte in tail:
        code = code * BYTE_BASE + byte
    return code, len(tail)


def token_kind(piece: bytes) -> int:
    """Word start, letters, digit, punctuation, white space, other bytes (not whole characters); special if empty."""
    if not piece:
        return SPECIAL
    try:
        text = piece.decode("utf-8")
    except UnicodeDecodeError:
        return OTHER
    bare = text.strip()
    if not bare:
        return SPACE
    if bare[0].isalpha():
        return WORD_START if text[0].isspace() else LETTERS
    if bare[0].isdigit():
        return DIGIT
    return PUNCTUATION if bare[0].isprintable() else OTHER
