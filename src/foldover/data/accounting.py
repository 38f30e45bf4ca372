"""How many bytes of text a token stands for, and the check that they add up.

Bits per byte divides by bytes, so a wrong count is a wrong metric: openai/parameter-golf's history has scores that
were off by 17 % (issue 1719) because a table counted spaces twice. Two ways of counting are known here:

- `raw`: bytes of the text as it was, document by document. Exact by construction, whatever a tokenizer does.
- `pieces`: bytes by the tokenizer's own table, as openai/parameter-golf counts for SentencePiece. Where a model
  normalises text or has an unknown token, these are not the bytes of the text; the ratio is recorded with the data,
  and beyond a hundredth it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from foldover.core import DataError

Accounting = Literal["raw", "pieces"]
MAX_DEVIATION = 0.01
"""How far the piece bytes may be from the bytes of the text before `pieces` is refused."""

Ids = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ByteTable:
    """Bytes of each id of a vocabulary, shape (V,) each.

    base: int32, bytes of the piece without a leading space mark; has_leading_space: whether it had one, which
    stands for a byte unless the token before is_boundary: control, unknown or unused, after which no space is.
    """

    base: NDArray[np.int32]
    has_leading_space: NDArray[np.bool_]
    is_boundary: NDArray[np.bool_]

    def of_targets(self, ids: Ids) -> NDArray[np.int32]:
        """Bytes of ids[..., 1:], each after the id before it (openai/parameter-golf, `eval_val`)."""
        before, targets = ids[..., :-1], ids[..., 1:]
        spaces = self.has_leading_space[targets] & ~self.is_boundary[before]
        counted: NDArray[np.int32] = self.base[targets] + spaces
        return counted

    def total(self, ids: Ids) -> int:
        """Bytes of a stream whose first id is a boundary (BOS)."""
        return int(self.of_targets(ids).sum(dtype=np.int64)) + int(self.base[ids[:1]].sum(dtype=np.int64))


def plain_table(token_bytes: NDArray[np.int32]) -> ByteTable:
    """The table of a byte-level vocabulary: a token weighs the same wherever it stands; weightless ones are bounds."""
    return ByteTable(
        base=token_bytes, has_leading_space=np.zeros(len(token_bytes), dtype=bool), is_boundary=token_bytes == 0
    )


def bytes_from_ends(ends: NDArray[np.int64], text_bytes: int) -> NDArray[np.uint32]:
    """Bytes of the text that each token covers, from where its surface ends; they add up to text_bytes.

    Text between two surfaces (what a normaliser dropped) belongs to the token after it, the rest to the last one.
    A character in several byte tokens belongs to the last of them.
    """
    bounds = np.minimum(np.maximum.accumulate(ends), text_bytes)
    bounds[-1:] = text_bytes
    return np.diff(bounds, prepend=0).astype(np.uint32)


def check_pieces(piece_bytes: int, text_bytes: int, *, tokenizer: str) -> None:
    """Raises DataError, with the ratio, if piece bytes are too far from the bytes of the text to be divided by."""
    ratio = piece_bytes / text_bytes
    if abs(ratio - 1) > MAX_DEVIATION:
        raise DataError(
            f"the pieces of tokenizer {tokenizer} do not add up to the text: {piece_bytes:,} bytes by the pieces, "
            f"{text_bytes:,} in the text, ratio {ratio:.6f}",
            fix='Bits per byte would be wrong by this ratio; set the constant accounting = "raw".',
        )
