"""Which tokenizer is meant: names in recipes and on the command line.

bpe                 byte pairs, trained on the training side (the default)
sentencepiece       a SentencePiece model, trained likewise
bytes               the 256 bytes
path:FILE           one that exists: .model (SentencePiece), .tiktoken (ranks), .json (as foldover writes it)
tiktoken:NAME       one of tiktoken's own
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from foldover.core import DataError, digest
from foldover.data.encoding import Tokenizer, read_tokenizer
from foldover.data.piece_model import SentencePieceTokenizer
from foldover.data.ranks import named_encoding, read_ranks
from foldover.data.tokenizer import MAX_VOCAB_SIZE, MIN_VOCAB_SIZE, byte_tokenizer, check_vocab_size

TOKENIZERS = ("bpe", "sentencepiece", "bytes", "path:", "tiktoken:")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerChoice:
    """A tokenizer that exists (`fixed`), or one of `vocab_size` ids that is to be trained on the training side."""

    kind: str
    vocab_size: int
    fixed: Tokenizer | None = None

    @property
    def key(self) -> str:
        """Digest of what determines it, given the text."""
        return self.fixed.digest if self.fixed is not None else digest([self.kind, self.vocab_size])


def choose_tokenizer(name: str, vocab_size: int) -> TokenizerChoice:
    """The tokenizer of that name.

    vocab_size: of the one to be trained; of one that exists, what it must have, so that a plan that was made from
    the number is a plan for this tokenizer. Raises DataError for an unknown name, a file that is none, or
    another size.
    """
    if name == "bpe":
        check_vocab_size(vocab_size)
        return TokenizerChoice(kind=name, vocab_size=vocab_size)
    if name == "sentencepiece":
        return TokenizerChoice(kind=name, vocab_size=vocab_size)
    tokenizer = load_tokenizer(name)
    if tokenizer.vocab_size != vocab_size:
        raise DataError(
            f"tokenizer {name} has {tokenizer.vocab_size} ids",
            value=vocab_size,
            fix=f"Set tokenizer.vocab_size to {tokenizer.vocab_size}.",
        )
    check_fits(tokenizer)
    return TokenizerChoice(kind=tokenizer.name, vocab_size=vocab_size, fixed=tokenizer)


def load_tokenizer(name: str) -> Tokenizer:
    """A tokenizer that needs no training: `bytes`, `path:FILE` or `tiktoken:NAME`. Raises DataError."""
    kind, _, rest = name.partition(":")
    if name == "bytes":
        return byte_tokenizer()
    if kind == "tiktoken" and rest:
        return named_encoding(rest)
    if kind == "path" and rest:
        return _from_file(Path(rest).expanduser())
    raise DataError("there is no tokenizer of that name", value=name, fix=f"Known: {', '.join(TOKENIZERS)}.")


def check_fits(tokenizer: Tokenizer) -> None:
    """Raises DataError if ids do not fit the uint16 of token streams."""
    if tokenizer.vocab_size > MAX_VOCAB_SIZE:
        raise DataError(
            f"tokenizer {tokenizer.name} has {tokenizer.vocab_size:,} ids, and token streams hold uint16",
            fix=f"Train with a vocabulary of {MIN_VOCAB_SIZE} to {MAX_VOCAB_SIZE}; `foldover data compare` takes any.",
        )


def _from_file(path: Path) -> Tokenizer:
    try:
        if path.suffix == ".model":
            return SentencePieceTokenizer(model=path.read_bytes())
        if path.suffix == ".json":
            return read_tokenizer(path.read_text(encoding="utf-8"))
        if path.suffix == ".tiktoken":
            return read_ranks(path)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"tokenizer file {path} cannot be read: {error}") from error
    raise DataError(
        "a tokenizer file is known by its suffix", value=path.name, fix="Give a .model, .tiktoken or .json file."
    )
