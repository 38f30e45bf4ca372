"""The phases of building a corpus part by part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from foldover.core import DataError
from foldover.data.casing import fold
from foldover.data.choice import TokenizerChoice
from foldover.data.corpus import text_of
from foldover.data.encoding import Tokenizer
from foldover.data.finish import facts_of
from foldover.data.folded import FoldedTokenizer
from foldover.data.parts import StreamedSource, total_bytes
from foldover.data.piece_model import SentencePieceTokenizer, train_sentencepiece
from foldover.data.prepared import FILES, TOKENIZER, VAL_BYTES, seal
from foldover.data.progress import Progress, part_of
from foldover.data.streaming import encode_corpus, read_state
from foldover.data.tokenizer import train_tokenizer
from foldover.data.tokenizer_file import read_tokenizer
from foldover.rundir import write_atomic

TRAINING_CHARS = 1_000_000_000
DOCUMENT_CHARS = 10_000
"""What a tokenizer is trained on, as autoresearch does: so many characters, of each document so many. The cut is made
only where the text is more than can be read; elsewhere it would learn from opening paragraphs alone."""


def build_streamed(
    source: StreamedSource,
    choice: TokenizerChoice,
    folder: Path,
    report: Progress,
    *,
    orders: tuple[int, ...],
    format_version: int,
    workers: int,
) -> None:
    """Build a prepared corpus in a folder that is empty or that an interrupted build left.

    Raises DataError for text that cannot be used or too little of it.
    """
    if read_state(folder) is None:
        for path in folder.iterdir():
            if path.name != TOKENIZER:
                path.unlink()
    tokenizer = _tokenizer(source, choice, folder, report)
    state = encode_corpus(source, tokenizer, folder, workers=workers, progress=part_of(report, "encoding", 0.25, 0.80))
    facts = facts_of(
        source,
        tokenizer,
        state,
        folder,
        orders=orders,
        format_version=format_version,
        progress=part_of(report, "counting reference lines", 0.80, 0.98),
    )
    report("writing", 0.98)
    names = FILES if tokenizer.is_exact else (*FILES, VAL_BYTES)
    seal(folder, facts, names)


def _tokenizer(source: StreamedSource, choice: TokenizerChoice, folder: Path, report: Progress) -> Tokenizer:
    file = folder / TOKENIZER
    if file.exists():
        try:
            return read_tokenizer(file.read_text(encoding="utf-8"))
        except DataError:
            file.unlink()
    if choice.fixed is not None:
        tokenizer: Tokenizer = choice.fixed
    else:
        report("training the tokenizer", 0.03)
        tokenizer = _train(source, choice)
    write_atomic(file, tokenizer.to_json())
    return tokenizer


def _train(source: StreamedSource, choice: TokenizerChoice) -> Tokenizer:
    document_chars = DOCUMENT_CHARS if total_bytes(source.train) > TRAINING_CHARS else None
    texts = (text[:document_chars] for text in _texts(source))
    tokenizer = _trained_on(map(fold, texts) if choice.fold_case else texts, choice)
    return FoldedTokenizer(inner=tokenizer) if choice.fold_case else tokenizer


def _trained_on(texts: Iterator[str], choice: TokenizerChoice) -> Tokenizer:
    if choice.kind == "bpe":
        return train_tokenizer(texts, choice.vocab_size, total_chars=TRAINING_CHARS)
    return SentencePieceTokenizer(model=train_sentencepiece(texts, choice.vocab_size, total_chars=TRAINING_CHARS))


def _texts(source: StreamedSource) -> Iterator[str]:
    return (text_of(document) for document in source.documents("train"))
