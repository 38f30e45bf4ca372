"""The validation stream of prepared data, its bytes against the text."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from foldover.core import DataError
from foldover.data import Corpus, CorpusSource, Document, PreparedData, scored_rows, text_digest
from foldover.data.cache import prepare_source
from foldover.evaluation.stream import Stream, validation_stream

VERSES = ("Ring the bells that still can ring. ", "Über allen Gipfeln ist Ruh — 色は匂へど. ", "In 1790, 13 states.\n")


def document(name: str, seed: int) -> Document:
    return Document(id=name, text="".join(VERSES[(i * seed) % 3] for i in range(3 + seed)).encode())


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    train, val = (tuple(document(f"{side}-{i}", i + start) for i in range(4)) for side, start in (("t", 1), ("v", 5)))
    return Corpus(name="verses", train=train, val=val)


@pytest.fixture(scope="module")
def data(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    source = CorpusSource(name="verses", digest=text_digest((*corpus.train, *corpus.val)), load=lambda: corpus)
    return prepare_source(source, 260, tokenizer="bytes", cache=tmp_path_factory.mktemp("cache"))


def test_the_whole_side_has_the_bytes_of_its_text(data: PreparedData, corpus: Corpus) -> None:
    total = len(data.val_shards) - 1
    stream = validation_stream(data, num_tokens=total)
    size = sum(len(document.text) for document in corpus.val)
    assert (int(stream.bytes.sum()), stream.text_bytes) == (size, size)
    assert stream.starts.tolist() == data.val_offsets.tolist()
    assert stream.is_scored.tolist() == (stream.ids != data.bos_id).tolist()


@pytest.mark.parametrize("order", ["stream", "spread"])
def test_a_part_is_whole_documents_and_the_beginning_of_one(data: PreparedData, corpus: Corpus, order: str) -> None:
    stream = validation_stream(data, num_tokens=700, order=order)
    assert len(stream) == 701
    texts = [document.text for document in corpus.val]
    found = [bytes(stream.ids[a + 1 : b].tolist()) for a, b in zip(stream.starts[:-1], stream.starts[1:], strict=True)]
    assert all(text in texts for text in found[:-1])
    assert any(text.startswith(found[-1]) for text in texts)
    assert len(set(found)) == len(found) > 1
    assert stream.text_bytes == sum(map(len, found)) == stream.bytes.sum()
    assert (found[:-1] == texts[: len(found) - 1]) == (order == "stream")


def test_a_contiguous_stream_counts_what_its_plain_rows_count(data: PreparedData) -> None:
    rows = scored_rows(data, context=32, num_tokens=640, order="stream", loader="stream")
    stream = validation_stream(data, num_tokens=640)
    assert np.array_equal(stream.ids[1:], rows.ids[:, 1:].reshape(-1))
    assert np.array_equal(stream.bytes[1:], rows.bytes.reshape(-1))
    assert np.array_equal(stream.is_scored[1:], rows.is_scored.reshape(-1))


@pytest.mark.parametrize("accounting", ["raw", "pieces"])
def test_bytes_of_a_tokenizer_that_is_not_exact_are_those_of_its_rows(
    corpus: Corpus, tmp_path: Path, accounting: str
) -> None:
    pytest.importorskip("sentencepiece")
    plain = replace(corpus, **{side: tuple(Document(id=d.id, text=d.text.replace(b"\n", b" ")) for d in getattr(corpus, side)) for side in ("train", "val")})  # fmt: skip # noqa: E501
    source = CorpusSource(name="plain", digest=text_digest((*plain.train, *plain.val)), load=lambda: plain)
    data = prepare_source(source, 300, tokenizer="sentencepiece", accounting=accounting, cache=tmp_path)
    rows = scored_rows(data, context=8, num_tokens=64, order="stream", loader="stream")
    stream = validation_stream(data, num_tokens=64)
    assert np.array_equal(stream.bytes[1:], rows.bytes.reshape(-1))
    assert np.array_equal(stream.is_scored[1:], rows.is_scored.reshape(-1))
    whole = validation_stream(data, num_tokens=len(data.val_shards) - 1)
    if accounting == "raw":
        assert whole.text_bytes == whole.bytes.sum() == sum(len(document.text) for document in plain.val)
    assert stream.text_bytes is None


def test_more_tokens_than_there_are_is_an_error(data: PreparedData) -> None:
    for count in (0, len(data.val_shards)):
        with pytest.raises(DataError, match="Score 1 to"):
            validation_stream(data, num_tokens=count)


def test_streams_that_do_not_fit_together_are_refused() -> None:
    ids = np.zeros(5, dtype=np.uint16)
    sizes, marks = np.ones(5, dtype=np.int64), np.ones(5, dtype=bool)
    with pytest.raises(DataError, match="number"):
        Stream(ids=ids, bytes=sizes[1:], is_scored=marks, starts=np.array([0, 5]))
    for starts in ([0, 4], [1, 5], [0, 2, 2, 5], [0]):
        with pytest.raises(DataError, match="units"):
            Stream(ids=ids, bytes=sizes, is_scored=marks, starts=np.array(starts))
