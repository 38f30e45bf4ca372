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
from foldover.data.encoding import Tokenizer
from foldover.data.folded import FoldedTokenizer
from foldover.data.piece_model import SentencePieceTokenizer
from foldover.data.ranks import named_encoding, read_ranks
from foldover.data.tokenizer import MAX_VOCAB_SIZE, MIN_VOCAB_SIZE, byte_tokenizer, check_vocab_size
from foldover.data.tokenizer_file import read_tokenizer

TRAINED = ("bpe", "sentencepiece")
TOKENIZERS = (*TRAINED, "bytes", "path:", "tiktoken:")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerChoice:
    """A tokenizer that exists (`fixed`), or one of `vocab_size` ids that is to be trained on the training side.

    fold_case: whether one to be trained is to read text without capitals; one that exists is known by its kind.
    """

    kind: str
    vocab_size: int
    fixed: Tokenizer | None = None
    fold_case: bool = False

    @property
    def is_usual(self) -> bool:
        """Byte pairs trained on the text as it is: the tokenizer of a corpus where nobody says otherwise."""
        return self.kind == "bpe" and self.fixed is None and not self.fold_case

    @property
    def key(self) -> str:
        """Digest of what determines it, given the text."""
        if self.fixed is not None:
            return self.fixed.digest
        trained = digest([self.kind, self.vocab_size])
        return digest([FoldedTokenizer.FORMAT, trained]) if self.fold_case else trained


def choose_tokenizer(name: str, vocab_size: int, *, fold_case: bool = False) -> TokenizerChoice:
    """The tokenizer of that name.

    vocab_size: of the one to be trained; of one that exists, what it must have, so that a plan that was made from
    the number is a plan for this tokenizer. fold_case: behind `casing.fold`. Raises DataError for an unknown name,
    a file that is none, another size, or a tokenizer of folded text where the text is not to be folded.
    """
    if name in TRAINED:
        if name == "bpe":
            check_vocab_size(vocab_size)
        return TokenizerChoice(kind=name, vocab_size=vocab_size, fold_case=fold_case)
    tokenizer = load_tokenizer(name)
    if isinstance(tokenizer, FoldedTokenizer) and not fold_case:
        raise DataError(
            f"tokenizer {name} reads text without capital letters",
            value="tokenizer.fold_case = false",
            fix="Set tokenizer.fold_case to true.",
        )
    if fold_case and not isinstance(tokenizer, FoldedTokenizer):
        tokenizer = FoldedTokenizer(inner=tokenizer)
    if tokenizer.vocab_size != vocab_size:
        raise DataError(
            f"tokenizer {name} has {tokenizer.vocab_size} ids",
            value=vocab_size,
            fix=f"Set tokenizer.vocab_size to {tokenizer.vocab_size}.",
        )
    check_fits(tokenizer)
    return TokenizerChoice(kind=tokenizer.name, vocab_size=vocab_size, fixed=tokenizer, fold_case=fold_case)


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
