"""Preparing a corpus once: text to tokens in a cache folder, under a lock, complete or absent.

    CACHE/NAME-VOCAB-DIGEST/           a prepared corpus, complete: it appears by one rename
    CACHE/.NAME-VOCAB-DIGEST.partial/  one being built, by the process that holds the lock
    CACHE/.NAME-VOCAB-DIGEST.lock      the lock; the kernel frees it when its holder dies, however it dies

DIGEST covers all that determines the content: the corpus, the rules here, the pre-tokeniser, the format. A tokenizer
other than byte pairs trained here stands in the name, too: NAME-KIND-VOCAB-DIGEST. The embedded corpus is built at
once; others part by part, and what a killed builder left is taken up again.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from foldover.core import DataError, OutsideError, Values, digest
from foldover.data.accounting import Accounting, check_pieces
from foldover.data.build import build_streamed
from foldover.data.choice import TokenizerChoice, choose_tokenizer
from foldover.data.corpus import CorpusSource, num_bytes, text_of
from foldover.data.parts import StreamedSource, as_streamed
from foldover.data.places import CACHE_VARIABLE, cache_folder
from foldover.data.prepared import Facts, PreparedData, damage, read_prepared, write_prepared
from foldover.data.progress import Progress, part_of
from foldover.data.references import witten_bell_bits
from foldover.data.sources import Source, corpus_source
from foldover.data.stream import encode_documents
from foldover.data.token_folder import TokenSource, build_token_folder
from foldover.data.tokenizer import PATTERN, SPECIALS, train_tokenizer
from foldover.rundir.files import sync_folder

# To be raised when the content of a cache folder changes for the same text.
FORMAT_VERSION = 1
REFERENCE_ORDERS = (0, 2, 6)

logger = logging.getLogger(__name__)


def prepare(
    corpus: str = "sotu",
    vocab_size: int = 1024,
    *,
    tokenizer: str = "bpe",
    fold_case: bool = False,
    accounting: Accounting = "raw",
    cache: Path | None = None,
    progress: Progress | None = None,
    workers: int = 1,
) -> PreparedData:
    """The corpus as tokens; built on the first call (the embedded one in some seconds).

    corpus: `sotu`, `path:...` (see `foldover.data.local`) or `hub:OWNER/NAME` (see `foldover.data.hub`).
    tokenizer: `bpe` or `sentencepiece` (trained on the training side), `bytes`, `path:FILE` or `tiktoken:NAME`;
    vocab_size: its size. fold_case: whether it reads text without capitals (see `foldover.data.casing`); bytes stay
    those of the text. accounting: which bytes the metric divides by (see `foldover.data.accounting`).
    cache: folder of prepared corpora; default `$FOLDOVER_CACHE`, else the platform's cache folder for foldover.
    progress: gets the phase and the fraction of the whole done, from 0 to 1; not called if nothing is to do.
    workers: processes that encode a large corpus; more than one only from a program whose main module is guarded.
    Every call checks the sha256 of every file, and builds again what is damaged (and logs it); of folders above
    64 MiB, only what has changed since it was last checked. Any number of processes may call at once: one builds,
    the others wait.
    Raises DataError for an unknown corpus or tokenizer, an impossible size, text that is not the pinned one or cannot
    be read, or bytes that do not add up; OutsideError if the cache folder cannot be written.
    """
    source = corpus_source(corpus, cache=cache_folder(cache), progress=progress)
    return prepare_source(
        source,
        vocab_size,
        tokenizer=tokenizer,
        fold_case=fold_case,
        accounting=accounting,
        cache=cache,
        progress=progress,
        workers=workers,
    )


def prepare_source(
    source: Source,
    vocab_size: int,
    *,
    tokenizer: str = "bpe",
    fold_case: bool = False,
    accounting: Accounting = "raw",
    cache: Path | None = None,
    progress: Progress | None = None,
    workers: int = 1,
) -> PreparedData:
    """As `prepare`, for a corpus that is in no table."""
    choice = choose_tokenizer(tokenizer, vocab_size, fold_case=fold_case)
    _check_accounting(source, choice, accounting)
    root = cache_folder(cache)
    folder = root / _name(source, choice)
    report = progress or _no_progress
    if damage(folder):
        try:
            with _lock(root, folder.name, report):
                _build_if_damaged(source, choice, folder, report, workers)
        except OSError as error:
            raise OutsideError(
                f"the cache folder {root} cannot be written: {error}", fix=f"Set {CACHE_VARIABLE} to another folder."
            ) from error
    train_files, val_files = (source.train, source.val) if isinstance(source, TokenSource) else ((), ())
    prepared = read_prepared(folder, accounting=accounting, train_files=train_files, val_files=val_files)
    if accounting == "pieces" and "val_bytes" in prepared.meta and "val_piece_bytes" in prepared.meta:
        counted, text = prepared.meta.integer("val_piece_bytes"), prepared.meta.integer("val_bytes")
        check_pieces(counted, text, tokenizer=tokenizer)
    return prepared


def _name(source: Source, choice: TokenizerChoice) -> str:
    parts: dict[str, object] = {
        "format": FORMAT_VERSION,
        "corpus": source.digest,
        "vocab_size": choice.vocab_size,
        "pattern": PATTERN,
        "specials": SPECIALS,
        "references": REFERENCE_ORDERS,
    }
    if choice.is_usual:
        return f"{source.name}-{choice.vocab_size}-{digest(parts)[:16]}"
    key = digest({**parts, "tokenizer": choice.key})
    kind = choice.kind if choice.fixed is not None or not choice.fold_case else f"folded-{choice.kind}"
    return f"{source.name}-{kind}-{choice.vocab_size}-{key[:16]}"


def _check_accounting(source: Source, choice: TokenizerChoice, accounting: Accounting) -> None:
    if choice.fold_case and isinstance(source, TokenSource):
        raise DataError(
            f"{source.location} holds tokens, not text whose case could be folded",
            value="tokenizer.fold_case = true",
            fix="Set tokenizer.fold_case to false, or name a corpus of text.",
        )
    if choice.fold_case and accounting == "pieces":
        raise DataError(
            "the pieces of folded text are not those of the text, so their bytes are no measure of it",
            value=f"accounting = {accounting}, tokenizer.fold_case = true",
            fix='Set the constant accounting = "raw", or tokenizer.fold_case to false.',
        )
    if not isinstance(source, TokenSource):
        return
    if choice.fixed is None:
        raise DataError(
            f"{source.location} holds tokens, which no tokenizer can be trained on",
            value=choice.kind,
            fix="Name the tokenizer that made them: tokenizer.name = path:FILE.model.",
        )
    if accounting == "raw" and not choice.fixed.is_exact:
        raise DataError(
            f"{source.location} holds tokens without their text, so the bytes of the text are not known",
            value=f"accounting = {accounting}",
            fix='Set the constant accounting = "pieces", which counts as openai/parameter-golf does.',
        )


@contextmanager
def _lock(root: Path, name: str, report: Progress) -> Iterator[None]:
    root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / f".{name}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        report("waiting for another process", 0.0)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _build_if_damaged(source: Source, choice: TokenizerChoice, folder: Path, report: Progress, workers: int) -> None:
    """Build and move in; the caller holds the lock. Another process may have built it meanwhile."""
    damaged = damage(folder, is_thorough=True)
    if not damaged:
        return
    if folder.exists():
        logger.warning("prepared corpus damaged folder=%s files=%s action=rebuild", folder, ",".join(damaged))
    partial = folder.with_name(f".{folder.name}.partial")
    if isinstance(source, CorpusSource) and choice.is_usual:
        _remove(partial)  # of a builder that was killed
        partial.mkdir()
        with _removed_on_error(partial, BaseException):
            _build(source, choice.vocab_size, partial, report)
    else:
        partial.mkdir(exist_ok=True)
        # What cannot be used is not kept; what a full disk or a signal interrupted is.
        with _removed_on_error(partial, DataError):
            _build_anything(source, choice, partial, report, workers)
    _remove(folder)
    partial.rename(folder)
    sync_folder(folder.parent)
    report("prepared", 1.0)


def _build_anything(source: Source, choice: TokenizerChoice, partial: Path, report: Progress, workers: int) -> None:
    if isinstance(source, TokenSource):
        assert choice.fixed is not None
        report("reading shards", 0.0)
        build_token_folder(source, choice.fixed, partial, format_version=FORMAT_VERSION)
        return
    streamed = source if isinstance(source, StreamedSource) else as_streamed(source)
    build_streamed(
        streamed, choice, partial, report, orders=REFERENCE_ORDERS, format_version=FORMAT_VERSION, workers=workers
    )


@contextmanager
def _removed_on_error(folder: Path, kind: type[BaseException]) -> Iterator[None]:
    try:
        yield
    except kind:
        _remove(folder)
        raise


def _remove(folder: Path) -> None:
    if folder.is_dir():
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)


def _build(source: CorpusSource, vocab_size: int, folder: Path, report: Progress) -> None:
    # The fractions are shares of the time that each phase takes on the embedded corpus.
    report("reading", 0.0)
    corpus = source.load()
    report("training the tokenizer", 0.03)
    tokenizer = train_tokenizer(map(text_of, corpus.train), vocab_size)
    report("encoding", 0.25)
    train = encode_documents(corpus.train, tokenizer, side="training", progress=part_of(report, "encoding", 0.25, 0.72))
    val = encode_documents(corpus.val, tokenizer, side="validation", progress=part_of(report, "encoding", 0.72, 0.78))
    bits = witten_bell_bits(
        [document.text for document in corpus.train],
        [document.text for document in corpus.val],
        max(REFERENCE_ORDERS),
        progress=part_of(report, "counting reference lines", 0.78, 0.98),
    )
    report("writing", 0.98)
    facts = Facts(
        digests=Values(
            corpus=source.digest,
            tokenizer=tokenizer.digest,
            train=_tokens_digest(train.tokens),
            validation=_tokens_digest(val.tokens),
        ),
        references=Values({f"order_{order}": bits[order] for order in REFERENCE_ORDERS}),
        meta=Values(
            corpus=source.name,
            vocab_size=vocab_size,
            format=FORMAT_VERSION,
            train_documents=len(corpus.train),
            train_bytes=num_bytes(corpus.train),
            train_tokens=len(train.tokens),
            val_documents=len(corpus.val),
            val_bytes=num_bytes(corpus.val),
            val_tokens=len(val.tokens),
            rustbpe=importlib.metadata.version("rustbpe"),
            tiktoken=importlib.metadata.version("tiktoken"),
        ),
    )
    write_prepared(folder, tokenizer=tokenizer, train=train, val=val, facts=facts)


def _tokens_digest(tokens: NDArray[np.uint16]) -> str:
    return hashlib.sha256(tokens.astype("<u2", copy=False).tobytes()).hexdigest()


def _no_progress(phase: str, fraction: float) -> None:
    pass
