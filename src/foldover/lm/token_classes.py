"""What kind of token an id is, from the bytes that it stands for. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHORT_SUFFIX_BYTES = 3
SENTENCE_ENDS = (".", "!", "?")
CLOSING = "\"')]}’”» \t\r\n"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenClasses:
    """Flags by id, bool of shape (V,).

    word_start: a letter after a space; short_suffix: up to three bytes of letters without a space before them, the
    end or the middle of a word; sentence_end: ends in a full stop, an exclamation or a question mark, closing
    quotes, brackets and white space aside. Specials are none of these.
    """

    word_start: NDArray[np.bool_]
    short_suffix: NDArray[np.bool_]
    sentence_end: NDArray[np.bool_]


def token_classes(pieces: Sequence[bytes]) -> TokenClasses:
    """The classes of a tokenizer. pieces: the bytes of each id, none for specials."""
    flags = np.zeros((3, len(pieces)), dtype=np.bool_)
    for token, piece in enumerate(pieces):
        text = piece.decode("utf-8", errors="ignore")
        flags[0, token] = text[:1] == " " and text[1:2].isalpha()
        flags[1, token] = text.isalpha() and len(piece) <= SHORT_SUFFIX_BYTES
        flags[2, token] = text.rstrip(CLOSING).endswith(SENTENCE_ENDS)
    return TokenClasses(word_start=flags[0], short_suffix=flags[1], sentence_end=flags[2])
