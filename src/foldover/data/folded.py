"""A tokenizer of text whose capitals are folded away (`casing`): another one, with markers in what it reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from foldover.core import DataError, digest, to_json
from foldover.data.accounting import ByteTable
from foldover.data.casing import MARKERS, fold, original_bytes, unfold, without_markers
from foldover.data.encoding import Encoder, Tokenizer

_MARKER_BYTES = MARKERS.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedTokenizer:
    """A tokenizer behind `fold`. inner: the one that reads folded text, of any kind but this."""

    FORMAT: ClassVar[str] = "foldover-folded-1"
    inner: Tokenizer

    @property
    def name(self) -> str:
        """`folded-` and the inner one's name."""
        return f"folded-{self.inner.name}"

    @property
    def vocab_size(self) -> int:
        """As the inner one."""
        return self.inner.vocab_size

    @property
    def bos_id(self) -> int:
        """As the inner one."""
        return self.inner.bos_id

    @property
    def unknown_id(self) -> int | None:
        """As the inner one."""
        return self.inner.unknown_id

    @property
    def is_exact(self) -> bool:
        """False: a token's bytes of the text depend on the markers that it holds, so they are kept by position."""
        return False

    @property
    def byte_table(self) -> ByteTable:
        """Bytes by piece, of the folded text: with markers."""
        return self.inner.byte_table

    @property
    def id_bytes(self) -> tuple[bytes, ...]:
        """What each id writes, in small letters and without markers; nothing for an id that is markers alone."""
        return tuple(map(without_markers, self.inner.id_bytes))

    @property
    def digest(self) -> str:
        """sha256 (hex) of the form and of the inner one's."""
        return digest([self.FORMAT, self.inner.digest])

    def encoder(self) -> FoldedEncoder:
        """An encoder."""
        return FoldedEncoder(self.inner)

    def to_json(self) -> str:
        """The inner one's text in a frame, for `tokenizer_file.read_tokenizer`."""
        return to_json({"format": self.FORMAT, "inner": self.inner.to_json()}, indent=1) + "\n"


class FoldedEncoder:
    """Encoding of folded text; bytes are those of the text as it was."""

    def __init__(self, inner: Tokenizer) -> None:
        self._name = inner.name
        self._encoder: Encoder = inner.encoder()

    def ids(self, text: str) -> NDArray[np.uint32]:
        """The ids of a text. Raises DataError if the inner tokenizer loses markers, and capitals with them."""
        folded = fold(text)
        ids = self._encoder.ids(folded)
        self._check(folded, ids)
        return ids

    def ids_and_bytes(self, text: str) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """The ids and how many bytes of the text each covers, none for a marker. Raises as `ids`."""
        folded = fold(text)
        ids, sizes = self._encoder.ids_and_bytes(folded)
        self._check(folded, ids)
        return ids, original_bytes(folded.encode(), sizes)

    def decode(self, ids: NDArray[np.uint32]) -> bytes:
        """The text; a character cut in its middle stays cut."""
        folded = self._encoder.decode(ids).decode("utf-8", errors="surrogateescape")
        return unfold(folded).encode("utf-8", errors="surrogateescape")

    def _check(self, folded: str, ids: NDArray[np.uint32]) -> None:
        if _markers(self._encoder.decode(ids)) != _markers(folded.encode()):
            raise DataError(
                f"tokenizer {self._name} loses the markers that stand for capital letters",
                fix="Set tokenizer.fold_case to false, or take a tokenizer that changes nothing.",
            )


def _markers(text: bytes) -> bytes:
    return bytes(byte for byte in text if byte in _MARKER_BYTES)
