"""Byte-level byte-pair encoding: training with rustbpe, encoding with tiktoken, exact bytes per token.

The vocabulary is that of karpathy/autoresearch (228791f): 256 bytes, then merges in the order learned, then
four reserved specials at the end, the first of which (BOS) starts every document. It deviates in what a
token weighs. There a token that is not valid UTF-8 by itself counts as the three bytes of the replacement
character; here a token counts the bytes that it stands for, so the counts add up to the text exactly.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from foldover.core import DataError, digest, to_json
from foldover.data.accounting import ByteTable, plain_table
from foldover.data.extras import missing

if TYPE_CHECKING:
    import tiktoken

SPECIALS = ("<|reserved_0|>", "<|reserved_1|>", "<|reserved_2|>", "<|reserved_3|>")
NUM_BYTES = 256
# Token streams are stored as uint16.
MAX_VOCAB_SIZE = 2**16
MIN_VOCAB_SIZE = NUM_BYTES + len(SPECIALS)

PATTERN = "|".join(
    (
        r"'(?i:[sdmt]|ll|ve|re)",  # English contractions
        r"[^\r\n\p{L}\p{N}]?+\p{L}+",  # a word, with the one space or sign before it
        r"\p{N}{1,2}",  # numbers by two digits (GPT-4: three), which a small vocabulary can afford
        r" ?[^\s\p{L}\p{N}]++[\r\n]*",  # punctuation, with the line end after it
        r"\s*[\r\n]",  # white space up to a line end
        r"\s+(?!\S)",  # white space but for the last one, which belongs to the next word
        r"\s+",
    )
)
"""How text is cut before merging (the pre-tokeniser of autoresearch); no token crosses a cut."""

BLOCK_CHARS = 4 * 2**20

_FORMAT = "foldover-bpe-1"
_LINE_END = re.compile(r"(?<=\S)\n(?=\S)")


@dataclass(frozen=True, slots=True, kw_only=True)
class BytePairTokenizer:
    """A trained vocabulary. pieces: the bytes of each mergeable token, by id, which is also its merge rank.

    Raises DataError if the first 256 are not the single bytes, a piece comes twice, or ids do not fit uint16.
    """

    pieces: tuple[bytes, ...]
    pattern: str = PATTERN
    specials: tuple[str, ...] = SPECIALS

    def __post_init__(self) -> None:
        if self.pieces[:NUM_BYTES] != tuple(bytes([byte]) for byte in range(NUM_BYTES)):
            raise DataError("a byte-level tokenizer must begin with the 256 bytes in order")
        if len(set(self.pieces)) != len(self.pieces):
            raise DataError("a tokenizer has a piece twice")
        check_vocab_size(self.vocab_size)

    @property
    def name(self) -> str:
        """`bpe`, or `bytes` if there are no merges."""
        return "bpe" if len(self.pieces) > NUM_BYTES else "bytes"

    @property
    def vocab_size(self) -> int:
        """Number of ids, specials included."""
        return len(self.pieces) + len(self.specials)

    @property
    def bos_id(self) -> int:
        """The id that starts every document: the first special."""
        return len(self.pieces)

    @property
    def token_bytes(self) -> NDArray[np.int32]:
        """Bytes of text that each id stands for, shape (vocab_size,); 0 for specials."""
        return np.array([*map(len, self.pieces), *(0 for _ in self.specials)], dtype=np.int32)

    @property
    def unknown_id(self) -> int | None:
        """None: all bytes are there."""
        return None

    @property
    def is_exact(self) -> bool:
        """True: it is byte-level."""
        return True

    @property
    def byte_table(self) -> ByteTable:
        """`token_bytes` as a table."""
        return plain_table(self.token_bytes)

    @property
    def id_bytes(self) -> tuple[bytes, ...]:
        """The pieces, and nothing for each special."""
        return (*self.pieces, *(b"" for _ in self.specials))

    @property
    def digest(self) -> str:
        """sha256 (hex) of the canonical JSON form."""
        return digest(self._plain())

    def encoding(self) -> tiktoken.Encoding:
        """An encoder. Use `encode_ordinary`: text that looks like a special is text."""
        try:
            import tiktoken  # late: only encoding needs it
        except ModuleNotFoundError as error:
            raise not_installed(error) from error
        return tiktoken.Encoding(
            name=f"foldover-{self.vocab_size}",
            pat_str=self.pattern,
            mergeable_ranks={piece: rank for rank, piece in enumerate(self.pieces)},
            special_tokens={name: len(self.pieces) + i for i, name in enumerate(self.specials)},
        )

    def encoder(self) -> ByteLevelEncoder:
        """An encoder of texts of any length."""
        return ByteLevelEncoder(self.encoding(), self.token_bytes)

    def to_json(self) -> str:
        """The tokenizer as text: pattern, specials and pieces in base64."""
        return to_json(self._plain(), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> BytePairTokenizer:
        """The tokenizer that `to_json` wrote. Raises DataError if the text is not one."""
        try:
            plain = json.loads(text)
            if plain["format"] != _FORMAT:
                raise DataError("unknown tokenizer format", value=plain["format"], fix=f"foldover reads {_FORMAT}.")
            return cls(
                pieces=tuple(base64.b64decode(piece, validate=True) for piece in plain["pieces"]),
                pattern=str(plain["pattern"]),
                specials=tuple(str(name) for name in plain["specials"]),
            )
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise DataError(f"a tokenizer file is damaged: {error!r}", fix="Prepare the corpus again.") from error

    def _plain(self) -> dict[str, object]:
        pieces = [base64.b64encode(piece).decode() for piece in self.pieces]
        return {"format": _FORMAT, "pattern": self.pattern, "specials": self.specials, "pieces": pieces}


class ByteLevelEncoder:
    """Encoding with tiktoken; texts of any length, in memory bounded by that of their ids."""

    def __init__(self, encoding: tiktoken.Encoding, token_bytes: NDArray[np.int32]) -> None:
        self._encoding = encoding
        self._token_bytes = token_bytes

    def ids(self, text: str) -> NDArray[np.uint32]:
        """The ids of a text."""
        parts = [np.array(self._encoding.encode_ordinary(block), dtype=np.uint32) for block in blocks(text)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def ids_and_bytes(self, text: str) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """The ids, and their bytes by the table."""
        ids = self.ids(text)
        return ids, self._token_bytes[ids].astype(np.uint32)

    def decode(self, ids: NDArray[np.uint32]) -> bytes:
        """The text."""
        return self._encoding.decode_bytes(ids.tolist())


def blocks(text: str, size: int = BLOCK_CHARS) -> list[str]:
    """A text in pieces of at least `size` characters whose ids are, one after another, those of the whole.

    A list of ids takes some 36 bytes for each, so texts of gigabytes are encoded by and by. They are cut after a
    line end between two characters that are no white space: there every pre-tokeniser here has a boundary, and
    what is before it is cut the same without what follows. A text without such a place stays whole.
    """
    cuts = [0]
    while len(text) - cuts[-1] > size:
        found = _LINE_END.search(text, cuts[-1] + size)
        if found is None:
            break
        cuts.append(found.end())
    return [text[start:stop] for start, stop in zip(cuts, [*cuts[1:], len(text)], strict=True)]


def byte_tokenizer() -> BytePairTokenizer:
    """The vocabulary of the 256 bytes and the specials."""
    return BytePairTokenizer(pieces=tuple(bytes([byte]) for byte in range(NUM_BYTES)))


def train_tokenizer(
    texts: Iterable[str],
    vocab_size: int,
    *,
    pattern: str = PATTERN,
    document_chars: int | None = None,
    total_chars: int = 1_000_000_000,
) -> BytePairTokenizer:
    """Learn the merges of `vocab_size` ids (specials included) from training texts; the same texts give the same ids.

    document_chars: how much of each text is read; total_chars: of all together. autoresearch reads the first
    10,000 characters of each document, so that a few giants among millions of web pages do not decide the
    vocabulary. The default here is no cut: a corpus of some hundred long documents would lose four fifths
    of its text to it, and learn its vocabulary from their opening paragraphs.
    Raises DataError for an impossible size, or if the texts have too few pairs to merge.
    """
    try:
        import rustbpe  # late: only training needs it
    except ModuleNotFoundError as error:
        raise not_installed(error) from error
    check_vocab_size(vocab_size)
    trainer = rustbpe.Tokenizer()
    num_pieces = vocab_size - len(SPECIALS)
    trainer.train_from_iterator(_capped(texts, document_chars, total_chars), num_pieces, pattern=pattern)
    ranks = sorted((rank, bytes(piece)) for piece, rank in trainer.get_mergeable_ranks())
    if len(ranks) != num_pieces:
        raise DataError(
            f"the training text has pairs for only {len(ranks)} mergeable tokens",
            value=vocab_size,
            fix=f"Ask for a vocabulary of at most {len(ranks) + len(SPECIALS)}.",
        )
    return BytePairTokenizer(pieces=tuple(piece for _, piece in ranks), pattern=pattern)


def check_vocab_size(vocab_size: int) -> None:
    """Raises DataError unless the 256 bytes and the specials fit, and ids fit uint16."""
    if not MIN_VOCAB_SIZE <= vocab_size <= MAX_VOCAB_SIZE:
        raise DataError(
            "the vocabulary size is not possible",
            value=vocab_size,
            fix=f"Choose {MIN_VOCAB_SIZE} (bytes and specials alone) to {MAX_VOCAB_SIZE} (ids are stored as uint16).",
        )


def _capped(texts: Iterable[str], document_chars: int | None, total_chars: int) -> Iterator[str]:
    left = total_chars
    for text in texts:
        part = text[:document_chars][:left]
        left -= len(part)
        yield part
        if left <= 0:
            return


def not_installed(error: ModuleNotFoundError) -> DataError:
    """The error for rustbpe or tiktoken missing."""
    return missing(error, "train", "Preparing a corpus")
