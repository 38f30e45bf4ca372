"""SentencePiece models: loading, training, and their byte accounting.

Models made elsewhere usually normalise (NFKC, folded white space) and many have no byte fallback, so text does not
come back from its ids: openai/parameter-golf's FineWeb models turn every line end into a space. Their `raw` bytes are
read from where each piece lies in the original text. Models trained here change nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from foldover.core import DataError, to_json
from foldover.data.accounting import ByteTable, bytes_from_ends
from foldover.data.extras import missing
from foldover.data.tokenizer import MAX_VOCAB_SIZE

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor

SPACE = "▁"
NUM_RESERVED = 4 + 256
"""pad, bos, eos and unknown, and the byte pieces of a model trained here."""

# SentencePiece skips longer "sentences" in silence (its max_sentence_length).
_SENTENCE_BYTES = 4000
_BAD_MODEL = "Give a .model file that SentencePiece wrote."


@dataclass(frozen=True, slots=True, kw_only=True)
class SentencePieceTokenizer:
    """A SentencePiece model. model: its serialised form, as in a .model file.

    Raises DataError if the bytes are not a model, or if it has no BOS id, with which every document begins.
    """

    FORMAT: ClassVar[str] = "foldover-sentencepiece-1"
    model: bytes = field(repr=False)

    def __post_init__(self) -> None:
        processor = _processor(self.model)
        if processor.bos_id() < 0:
            raise DataError("the SentencePiece model has no BOS id", fix="Train it with a bos_id of 0 or more.")

    @property
    def name(self) -> str:
        """`sentencepiece`."""
        return "sentencepiece"

    @property
    def vocab_size(self) -> int:
        """Number of ids, control pieces included."""
        return int(_processor(self.model).get_piece_size())

    @property
    def bos_id(self) -> int:
        """The model's BOS."""
        return int(_processor(self.model).bos_id())

    @property
    def unknown_id(self) -> int | None:
        """The model's unknown id; text with byte fallback does not need it."""
        found = int(_processor(self.model).unk_id())
        return found if found >= 0 else None

    @property
    def is_exact(self) -> bool:
        """Never taken for granted: models normalise, and even one that does not takes U+2581 for a space."""
        return False

    @property
    def byte_table(self) -> ByteTable:
        """Bytes by piece; a leading space mark counts apart."""
        return _byte_table(self.model)

    @property
    def id_bytes(self) -> tuple[bytes, ...]:
        """The bytes of each piece, its space marks as spaces; a byte piece's own; none for control and unknown."""
        return _id_bytes(self.model)

    @property
    def digest(self) -> str:
        """sha256 (hex) of the model file."""
        return hashlib.sha256(self.model).hexdigest()

    def encoder(self) -> PieceEncoder:
        """An encoder."""
        return PieceEncoder(_processor(self.model))

    def to_json(self) -> str:
        """The model in base64."""
        return to_json({"format": self.FORMAT, "model": base64.b64encode(self.model).decode()}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> SentencePieceTokenizer:
        """The tokenizer that `to_json` wrote. Raises DataError."""
        try:
            return cls(model=base64.b64decode(json.loads(text)["model"], validate=True))
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise DataError(f"a tokenizer file is damaged: {error!r}", fix="Prepare the corpus again.") from error


class PieceEncoder:
    """Encoding with a SentencePiece model."""

    def __init__(self, processor: SentencePieceProcessor) -> None:
        self._processor = processor

    def ids(self, text: str) -> NDArray[np.uint32]:
        """The ids of a text."""
        return np.asarray(self._processor.encode(text, return_type="numpy")).astype(np.uint32)

    def ids_and_bytes(self, text: str) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """The ids, and the bytes of the text each covers, by the offsets that the library reports."""
        data = text.encode()
        found = self._processor.encode(data, return_type="offset_mapping")
        ids = np.array(found["ids"], dtype=np.uint32)
        ends = np.array([end for _, end in found["offsets"]], dtype=np.int64)
        return ids, bytes_from_ends(ends, len(data))

    def decode(self, ids: NDArray[np.uint32]) -> bytes:
        """The normalised text, as far as the vocabulary has it."""
        return str(self._processor.decode(ids.tolist())).encode()


def train_sentencepiece(texts: Iterable[str], vocab_size: int, *, total_chars: int = 1_000_000_000) -> bytes:
    """A serialised BPE model of `vocab_size` ids that loses nothing, from training texts.

    As openai/parameter-golf's recipe (pad 0, bos 1, eos 2, unknown 3, byte fallback, digits one by one, coverage
    0.999), but without normalisation, added or removed white space, so that the bytes of the pieces add up.
    Raises DataError for an impossible size or too little text.
    """
    if not NUM_RESERVED < vocab_size <= MAX_VOCAB_SIZE:
        raise DataError(
            "the vocabulary size is not possible for a SentencePiece model with byte pieces",
            value=vocab_size,
            fix=f"Choose {NUM_RESERVED + 1} to {MAX_VOCAB_SIZE}.",
        )
    library = _library()
    model = io.BytesIO()
    try:
        library.SentencePieceTrainer.train(
            sentence_iterator=_sentences(texts, total_chars),
            model_writer=model,
            model_type="bpe",
            vocab_size=vocab_size,
            byte_fallback=True,
            character_coverage=0.999,
            split_digits=True,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            pad_id=0,
            bos_id=1,
            eos_id=2,
            unk_id=3,
            num_threads=1,
            minloglevel=2,
        )
    except (RuntimeError, OSError, ValueError) as error:
        raise DataError(
            f"SentencePiece cannot learn this vocabulary: {str(error).strip().splitlines()[-1]}",
            value=vocab_size,
            fix="Ask for a smaller vocabulary, or give more text.",
        ) from error
    return model.getvalue()


def _sentences(texts: Iterable[str], total_chars: int) -> Iterator[str]:
    """Lines without their ends, in pieces that the trainer takes."""
    left = total_chars
    for text in texts:
        for line in text[:left].split("\n"):
            for start in range(0, len(line), _SENTENCE_BYTES // 4):
                yield line[start : start + _SENTENCE_BYTES // 4]
        left -= len(text)
        if left <= 0:
            return


@lru_cache(maxsize=4)
def _processor(model: bytes) -> SentencePieceProcessor:
    library = _library()
    try:
        return cast("SentencePieceProcessor", library.SentencePieceProcessor(model_proto=model))
    except (RuntimeError, ValueError, TypeError, OSError) as error:
        raise DataError(f"this is no SentencePiece model: {error}", fix=_BAD_MODEL) from error


@lru_cache(maxsize=4)
def _byte_table(model: bytes) -> ByteTable:
    processor = _processor(model)
    base, leading, boundary = [], [], []
    for i in range(processor.get_piece_size()):
        piece = processor.id_to_piece(i)
        is_boundary = processor.is_control(i) or processor.is_unknown(i) or processor.is_unused(i)
        is_byte = processor.is_byte(i)
        has_space = not (is_boundary or is_byte) and piece.startswith(SPACE)
        text = piece.removeprefix(SPACE).replace(SPACE, " ")  # a further mark is a space of one byte, not three
        base.append(0 if is_boundary else 1 if is_byte else len(text.encode()))
        leading.append(has_space)
        boundary.append(is_boundary)
    return ByteTable(
        base=np.array(base, dtype=np.int32), has_leading_space=np.array(leading), is_boundary=np.array(boundary)
    )


@lru_cache(maxsize=4)
def _id_bytes(model: bytes) -> tuple[bytes, ...]:
    processor = _processor(model)
    found = []
    for i in range(processor.get_piece_size()):
        piece = processor.id_to_piece(i)
        if processor.is_control(i) or processor.is_unknown(i) or processor.is_unused(i):
            found.append(b"")
        elif processor.is_byte(i):
            found.append(bytes([int(piece[1:-1], 16)]))  # <0x41>
        else:
            found.append(piece.replace(SPACE, " ").encode())
    return tuple(found)


def _library() -> Any:  # the package has no types
    try:
        import sentencepiece  # late: an optional extra
    except ModuleNotFoundError as error:
        raise missing(error, "data", "A SentencePiece model") from error
    return sentencepiece
