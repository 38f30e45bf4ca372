from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import sentencepiece

from foldover.data import Corpus, CorpusSource, Document, text_digest, train_sentencepiece

VERSES = (
    "The quick brown fox jumps over the lazy dog; the dog, being lazy, doesn't mind at all.\n",
    "Über allen Gipfeln ist Ruh, in allen Wipfeln spürest du kaum einen Hauch – «warte nur».\n",
    "In 1790 there were 13 states,\r\n\tand 4 million people.  The census cost $44,377.28!\n\n",
    "いろはにほへと ちりぬるを — 色は匂へど散りぬるを 🦊🦊\n",
)


def document(name: str, seed: int) -> Document:
    """A text of some kilobytes, different for each seed."""
    text = "".join(VERSES[(i * i + seed) % len(VERSES)][i % 7 :] for i in range(20 + seed))
    return Document(id=name, text=text.encode())


@pytest.fixture(scope="session")
def tiny_corpus() -> Corpus:
    return Corpus(
        name="tiny",
        train=tuple(document(f"train-{i}", i) for i in range(8)),
        val=tuple(document(f"val-{i}", 50 + i) for i in range(3)),
    )


@pytest.fixture
def tiny_source(tiny_corpus: Corpus) -> CorpusSource:
    digest = text_digest((*tiny_corpus.train, *tiny_corpus.val))
    return CorpusSource(name="tiny", digest=digest, load=lambda: tiny_corpus)


@pytest.fixture
def write_lines() -> Callable[[Path, Sequence[object]], Path]:
    """Writes JSON lines; a string stands for a document, anything else for itself."""

    def write(path: Path, documents: Sequence[object]) -> Path:
        plain = [{"text": one} if isinstance(one, str) else one for one in documents]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(one) + "\n" for one in plain), encoding="utf-8")
        return path

    return write


@pytest.fixture
def write_parquet() -> Callable[[Path, Sequence[str | None]], Path]:
    """Writes a shard of the hub's layout, two documents a row group."""

    def write(path: Path, texts: Sequence[str | None]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(
            pyarrow.table({"text": pyarrow.array(texts, pyarrow.string())}), path, row_group_size=2
        )
        return path

    return write


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real text and models that lie beside some checkouts; without them these tests are skipped."""
    folder = Path(__file__).parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("there is no data for comparison beside this checkout")
    return folder


@pytest.fixture(scope="session")
def piece_model(tiny_corpus: Corpus) -> bytes:
    """A small SentencePiece model with byte pieces, trained on the tiny corpus."""
    return train_sentencepiece([one.text.decode() for one in tiny_corpus.train], 330)


@pytest.fixture(scope="session")
def folding_model(tiny_corpus: Corpus) -> bytes:
    """One that normalises, folds white space, adds a space in front and has no byte pieces, as FineWeb's models do."""
    model = io.BytesIO()
    lines = [line for one in tiny_corpus.train for line in one.text.decode().splitlines() if line]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        model_type="bpe",
        vocab_size=150,
        character_coverage=0.98,
        normalization_rule_name="nmt_nfkc",
        pad_id=0,
        bos_id=1,
        eos_id=2,
        unk_id=3,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()
