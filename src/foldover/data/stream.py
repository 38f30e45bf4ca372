"""Documents as one stream of token ids, and the check that its bytes add up to the text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foldover.core import DataError
from foldover.data.corpus import Document, num_bytes, text_of
from foldover.data.tokenizer import BytePairTokenizer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenStream:
    """Documents one after another, each starting with BOS.

    tokens: uint16, shape (N,); offsets: int64, shape (D + 1,): where each document starts, and N.
    """

    tokens: NDArray[np.uint16]
    offsets: NDArray[np.int64]


def encode_documents(
    documents: Sequence[Document],
    tokenizer: BytePairTokenizer,
    *,
    side: str,
    progress: Callable[[float], None] | None = None,
) -> TokenStream:
    """The documents as tokens, checked: they decode to the text again, and their bytes add up to its bytes.

    side: how errors call these documents; progress: gets the fraction done.
    Raises DataError for text that is not UTF-8, or a tokenizer that loses or miscounts bytes.
    """
    encoding = tokenizer.encoding()
    total = num_bytes(documents)
    parts: list[NDArray[np.uint16]] = []
    done = 0
    for document in documents:
        ids = encoding.encode_ordinary(text_of(document))
        if encoding.decode_bytes(ids) != document.text:
            raise DataError(f"{side} document does not decode to its own text", value=document.id)
        parts.append(np.array([tokenizer.bos_id, *ids], dtype=np.uint16))
        done += len(document.text)
        if progress is not None:
            progress(done / total)
    lengths = np.fromiter((0, *map(len, parts)), dtype=np.int64)
    stream = TokenStream(tokens=np.concatenate(parts), offsets=np.cumsum(lengths))
    check_bytes(stream.tokens, tokenizer.token_bytes, total, side=side)
    return stream


def check_bytes(tokens: NDArray[np.uint16], token_bytes: NDArray[np.int32], text_bytes: int, *, side: str) -> None:
    """Raises DataError, with the ratio, unless the bytes of the tokens add up to the bytes of the text.

    Bits per byte divides by the sum over tokens; where that is not the text, the metric is wrong by the ratio.
    """
    counted = int(token_bytes[tokens].sum(dtype=np.int64))
    if counted != text_bytes:
        raise DataError(
            f"the bytes of the {side} tokens do not add up: {counted:,} by the table of bytes per token, "
            f"{text_bytes:,} in the text, ratio {counted / text_bytes:.6f}",
            fix="Bits per byte would be wrong by this ratio; use a tokenizer that counts the bytes of the text.",
        )
