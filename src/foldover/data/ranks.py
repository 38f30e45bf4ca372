"""tiktoken encodings: GPT-2's and later vocabularies, from their ranks file or through tiktoken itself.

A ranks file (`cl100k_base.tiktoken`) has a line `BASE64 RANK` for each token, and neither the pre-tokeniser nor the
specials: those are known here for the encodings named in `ENCODINGS`, and read from a JSON file beside any other.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from foldover.core import DataError, OutsideError, digest, to_json
from foldover.data.accounting import ByteTable, plain_table
from foldover.data.tokenizer import ByteLevelEncoder, not_installed

if TYPE_CHECKING:
    import tiktoken

END_OF_TEXT = "<|endoftext|>"

GPT2_PATTERN = "|".join(
    (
        r"'(?:[sdmt]|ll|ve|re)",  # English contractions, small letters only
        r" ?\p{L}+",  # a word, with the space before it
        r" ?\p{N}+",  # a number
        r" ?[^\s\p{L}\p{N}]+",  # punctuation
        r"\s+(?!\S)",
        r"\s+",
    )
)
CL100K_PATTERN = "|".join(
    (
        r"'(?i:[sdmt]|ll|ve|re)",
        r"[^\r\n\p{L}\p{N}]?+\p{L}+",
        r"\p{N}{1,3}",  # GPT-4 cuts numbers by three digits
        r" ?[^\s\p{L}\p{N}]++[\r\n]*",
        r"\s*[\r\n]",
        r"\s+(?!\S)",
        r"\s+",
    )
)
ENCODINGS: dict[str, tuple[str, dict[str, int]]] = {
    "r50k_base": (GPT2_PATTERN, {END_OF_TEXT: 50256}),
    "p50k_base": (GPT2_PATTERN, {END_OF_TEXT: 50256}),
    "cl100k_base": (
        CL100K_PATTERN,
        {
            END_OF_TEXT: 100257,
            "<|fim_prefix|>": 100258,
            "<|fim_middle|>": 100259,
            "<|fim_suffix|>": 100260,
            "<|endofprompt|>": 100276,
        },
    ),
}
"""Pre-tokeniser and specials of the encodings whose ranks file needs no JSON beside it (as in tiktoken 0.14)."""


@dataclass(frozen=True, kw_only=True)
class RankTokenizer:
    """A byte-level vocabulary whose ids are tiktoken's ranks.

    ranks: id and bytes of each mergeable token; specials: name and id; documents begin with `<|endoftext|>`, as
    GPT-2's training data had it between them. Raises DataError if a byte has no token, an id or a token comes
    twice, or there is no `<|endoftext|>`.
    """

    FORMAT: ClassVar[str] = "foldover-ranks-1"
    encoding_name: str
    pattern: str
    ranks: tuple[tuple[int, bytes], ...] = field(repr=False)
    specials: tuple[tuple[str, int], ...]

    def __post_init__(self) -> None:
        pieces = [piece for _, piece in self.ranks]
        lacking = {bytes([byte]) for byte in range(256)} - set(pieces)
        if lacking:
            raise DataError(f"encoding {self.encoding_name} has no token for some bytes", value=sorted(lacking)[:4])
        ids = [rank for rank, _ in self.ranks] + [number for _, number in self.specials]
        if len(set(ids)) != len(ids) or len(set(pieces)) != len(pieces) or min(ids) < 0:
            raise DataError(f"encoding {self.encoding_name} has an id or a token twice, or an id below 0")
        if END_OF_TEXT not in dict(self.specials):
            raise DataError(f"encoding {self.encoding_name} has no special {END_OF_TEXT}, with which documents begin")

    @property
    def name(self) -> str:
        """The encoding's name."""
        return self.encoding_name

    @cached_property
    def vocab_size(self) -> int:
        """The highest id and one."""
        return 1 + max(max(rank for rank, _ in self.ranks), max(number for _, number in self.specials))

    @property
    def bos_id(self) -> int:
        """The id of `<|endoftext|>`."""
        return dict(self.specials)[END_OF_TEXT]

    @property
    def unknown_id(self) -> int | None:
        """None: all bytes are there."""
        return None

    @property
    def is_exact(self) -> bool:
        """True: it is byte-level."""
        return True

    @cached_property
    def byte_table(self) -> ByteTable:
        """Bytes of each id; 0 for specials and for numbers that are no id."""
        sizes = np.zeros(self.vocab_size, dtype=np.int32)
        sizes[[rank for rank, _ in self.ranks]] = [len(piece) for _, piece in self.ranks]
        return plain_table(sizes)

    @cached_property
    def id_bytes(self) -> tuple[bytes, ...]:
        """The bytes of each id; none for specials and for numbers that are no id."""
        known = dict(self.ranks)
        return tuple(known.get(number, b"") for number in range(self.vocab_size))

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) of the canonical JSON form."""
        return digest(self._plain())

    def encoder(self) -> ByteLevelEncoder:
        """An encoder."""
        try:
            import tiktoken  # late: only encoding needs it
        except ModuleNotFoundError as error:
            raise not_installed(error) from error
        encoding = tiktoken.Encoding(
            name=self.encoding_name,
            pat_str=self.pattern,
            mergeable_ranks={piece: rank for rank, piece in self.ranks},
            special_tokens=dict(self.specials),
        )
        return ByteLevelEncoder(encoding, self.byte_table.base)

    def to_json(self) -> str:
        """Name, pattern, specials and ranks in base64."""
        return to_json(self._plain(), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> RankTokenizer:
        """The tokenizer that `to_json` wrote. Raises DataError."""
        try:
            plain = json.loads(text)
            return cls(
                encoding_name=str(plain["name"]),
                pattern=str(plain["pattern"]),
                ranks=tuple((int(rank), base64.b64decode(piece, validate=True)) for rank, piece in plain["ranks"]),
                specials=tuple((str(name), int(number)) for name, number in plain["specials"]),
            )
        except (ValueError, KeyError, TypeError, binascii.Error) as error:
            raise DataError(f"a tokenizer file is damaged: {error!r}", fix="Prepare the corpus again.") from error

    def _plain(self) -> dict[str, object]:
        ranks = [(rank, base64.b64encode(piece).decode()) for rank, piece in self.ranks]
        return {
            "format": self.FORMAT,
            "name": self.encoding_name,
            "pattern": self.pattern,
            "ranks": ranks,
            "specials": self.specials,
        }


def read_ranks(path: Path) -> RankTokenizer:
    """The encoding of a local ranks file; its name is the file's.

    Raises DataError if the file is no ranks file, or if nothing says how text is cut.
    """
    try:
        lines = path.read_bytes().splitlines()
        pairs = [line.split() for line in lines if line]
        ranks = tuple((int(rank), base64.b64decode(piece, validate=True)) for piece, rank in pairs)
    except OSError as error:
        raise DataError(f"ranks file {path} cannot be read: {error}") from error
    except ValueError as error:
        raise DataError(f"{path} is no ranks file: {error}", fix="Each line is to be `BASE64 RANK`.") from error
    pattern, specials = ENCODINGS.get(path.stem) or _beside(path)
    return RankTokenizer(
        encoding_name=path.stem, pattern=pattern, ranks=ranks, specials=tuple(sorted(specials.items()))
    )


def named_encoding(name: str) -> RankTokenizer:
    """One of tiktoken's own encodings, from its cache or the network.

    Raises DataError for a name that it does not know, OutsideError if it cannot get the file.
    """
    try:
        import tiktoken  # late: only encoding needs it
    except ModuleNotFoundError as error:
        raise not_installed(error) from error
    known = tiktoken.list_encoding_names()
    if name not in known:
        raise DataError("tiktoken has no such encoding", value=name, fix=f"Known: {', '.join(sorted(known))}.")
    try:
        return _from_tiktoken(tiktoken.get_encoding(name))
    except (OSError, ValueError) as error:  # errors of requests are OSErrors; a wrong checksum is a ValueError
        raise OutsideError(
            f"encoding {name} is not in tiktoken's cache and cannot be downloaded: {type(error).__name__}",
            fix=f"Put its ranks file on this machine and name it: path:/some/where/{name}.tiktoken.",
        ) from error


def _from_tiktoken(encoding: tiktoken.Encoding) -> RankTokenizer:
    specials = {name: encoding.encode_single_token(name) for name in encoding.special_tokens_set}
    found = []
    for number in range(encoding.n_vocab):
        try:
            piece = encoding.decode_single_token_bytes(number)
        except KeyError:  # numbers between the tokens and the specials
            continue
        if number not in specials.values():
            found.append((number, piece))
    return RankTokenizer(
        encoding_name=encoding.name,
        pattern=encoding._pat_str,
        ranks=tuple(found),
        specials=tuple(sorted(specials.items())),
    )


def _beside(path: Path) -> tuple[str, dict[str, int]]:
    beside = path.with_suffix(".json")
    try:
        plain = json.loads(beside.read_bytes())
        return str(plain["pattern"]), {str(name): int(number) for name, number in plain["specials"].items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise DataError(
            f"nothing says how {path.name} cuts text: it is none of {', '.join(ENCODINGS)}, and {beside.name} "
            f"beside it cannot be read: {error}",
            fix='Write {"pattern": "...", "specials": {"<|endoftext|>": N}} into it.',
        ) from error
