"""What a tokenizer is to the rest of foldover."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from foldover.data.accounting import ByteTable


class Encoder(Protocol):
    """A tokenizer at work. It may hold a library's objects, so it is made where it is used and never pickled."""

    def ids(self, text: str) -> NDArray[np.uint32]:
        """The ids of a text, shape (n,), without BOS; text that looks like a special is text."""

    def ids_and_bytes(self, text: str) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """The ids and how many bytes of the text each covers; these add up to the text if there are ids at all."""

    def decode(self, ids: NDArray[np.uint32]) -> bytes:
        """The text that ids stand for; that of `ids` again where the tokenizer `is_exact`."""


class Tokenizer(Protocol):
    """A vocabulary with its rules: plain values, picklable, the same everywhere under one digest.

    Every document begins with `bos_id`. If `is_exact`, any text decodes to itself and a token's bytes by
    `byte_table` are its bytes of the text.
    """

    @property
    def name(self) -> str:
        """What kind it is, in a word that may be part of a folder's name."""

    @property
    def vocab_size(self) -> int:
        """Number of ids, specials included."""

    @property
    def bos_id(self) -> int:
        """The id that starts every document."""

    @property
    def unknown_id(self) -> int | None:
        """The id that stands for what the vocabulary lacks; None if it lacks nothing."""

    @property
    def is_exact(self) -> bool:
        """Whether no text is changed or lost."""

    @property
    def byte_table(self) -> ByteTable:
        """Bytes by piece."""

    @property
    def id_bytes(self) -> tuple[bytes, ...]:
        """The bytes of text that each id writes, a leading space included; empty for specials and unused ids."""

    @property
    def digest(self) -> str:
        """sha256 (hex) of all that determines ids and bytes."""

    def encoder(self) -> Encoder:
        """An encoder. Raises DataError that names the extra if its library is not installed."""

    def to_json(self) -> str:
        """The tokenizer as text, for `tokenizer_file.read_tokenizer`."""
