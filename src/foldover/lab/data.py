"""Data as a person looks at it: prepare a corpus, see what lies in the cache, survey one, compare tokenizers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from foldover.core import DataError
from foldover.data import (
    Accounting,
    Comparison,
    CorpusSource,
    FoldedTokenizer,
    PreparedData,
    PreparedFolder,
    Side,
    Survey,
    Tokenizer,
    TokenSource,
    cache_folder,
    compare_tokenizers,
    corpus_source,
    list_prepared,
    load_tokenizer,
    prepare,
    prepare_source,
    survey,
)

Progress = Callable[[str, float], None]
TRAINED = ("bpe", "sentencepiece")
FOLDED = "fold:"
DEFAULT_VOCAB_SIZE = 1024


def usual_accounting(corpus: str, progress: Progress | None = None) -> Accounting:
    """How a corpus is counted where nobody says: `pieces` if it is token shards without their text, else `raw`.

    Raises DataError for what lies there.
    """
    is_tokens = corpus.startswith("path:") and isinstance(corpus_source(corpus, progress=progress), TokenSource)
    return "pieces" if is_tokens else "raw"


def prepare_data(
    corpus: str,
    *,
    tokenizer: str,
    vocab_size: int | None,
    accounting: Accounting,
    fold_case: bool = False,
    workers: int = 1,
    progress: Progress | None = None,
) -> PreparedData:
    """`foldover.data.prepare`; without a vocab_size, that of the tokenizer, or 1024 for one to be trained."""
    if vocab_size is None:
        vocab_size = DEFAULT_VOCAB_SIZE if tokenizer in TRAINED else load_tokenizer(tokenizer).vocab_size
    return prepare(
        corpus,
        vocab_size,
        tokenizer=tokenizer,
        fold_case=fold_case,
        accounting=accounting,
        workers=workers,
        progress=progress,
    )


def list_data(*, is_thorough: bool = False) -> tuple[PreparedFolder, ...]:
    """What lies in the cache folder; is_thorough: every byte is read."""
    return list_prepared(cache_folder(), is_thorough=is_thorough)


def inspect_data(corpus: str, *, limit: int | None = None, progress: Progress | None = None) -> Survey:
    """What a corpus holds; limit: documents a side that are read. Raises DataError."""
    return survey(corpus_source(corpus, progress=progress), limit=limit)


def compare_data(
    corpus: str,
    tokenizers: Sequence[str],
    *,
    side: Side = "val",
    limit: int | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """The same documents under several tokenizers.

    tokenizers: `bpe:SIZE` and `sentencepiece:SIZE` (trained on the training side, and kept in the cache), `bytes`,
    `path:FILE`, `tiktoken:NAME`; with `fold:` in front, of text without capitals. Raises DataError for an unknown one,
    or a corpus without text.
    """
    source = corpus_source(corpus, progress=progress)
    if isinstance(source, TokenSource):
        raise DataError(f"{corpus} holds tokens, not text to compare on", fix="Name a corpus of text.")
    named: list[tuple[str, Tokenizer]] = []
    for name in tokenizers:
        is_folded, inner = name.startswith(FOLDED), name.removeprefix(FOLDED)
        kind, _, size = inner.partition(":")
        if kind not in TRAINED:
            found = load_tokenizer(inner)
            named.append((name, FoldedTokenizer(inner=found) if is_folded else found))
            continue
        if not size.isdecimal():
            raise DataError("a tokenizer to be trained needs a size", value=name, fix=f"Write {kind}:1024.")
        made = prepare_source(source, int(size), tokenizer=kind, fold_case=is_folded, progress=progress)
        named.append((name, made.tokenizer))
    if isinstance(source, CorpusSource):
        loaded = source.load()
        return compare_tokenizers(corpus, loaded.val if side == "val" else loaded.train, named, limit=limit)
    return compare_tokenizers(corpus, source.documents(side), named, limit=limit)
