from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from foldover.core import DataError
from foldover.data import BytePairTokenizer, Corpus, Document, check_bytes, encode_documents, num_bytes, train_tokenizer
from foldover.data.corpus import text_of


@pytest.fixture(scope="module")
def tokenizer(tiny_corpus: Corpus) -> BytePairTokenizer:
    return train_tokenizer(map(text_of, tiny_corpus.train), 300)


class CountsUpstream(BytePairTokenizer):
    """Counts a token that is not valid UTF-8 by itself as the three bytes of the replacement character."""

    __slots__ = ()

    @property
    def token_bytes(self) -> NDArray[np.int32]:
        sizes = [len(piece.decode(errors="replace").encode()) for piece in self.pieces]
        return np.array([*sizes, 0, 0, 0, 0], dtype=np.int32)


def test_every_document_starts_with_bos(tiny_corpus: Corpus, tokenizer: BytePairTokenizer) -> None:
    stream = encode_documents(tiny_corpus.train, tokenizer, side="training")
    starts = np.flatnonzero(stream.tokens == tokenizer.bos_id)
    assert np.array_equal(starts, stream.offsets[:-1])


def test_the_last_offset_is_the_number_of_tokens(tiny_corpus: Corpus, tokenizer: BytePairTokenizer) -> None:
    stream = encode_documents(tiny_corpus.val, tokenizer, side="validation")
    assert stream.offsets[-1] == len(stream.tokens)


def test_tokens_between_offsets_decode_to_the_document(tiny_corpus: Corpus, tokenizer: BytePairTokenizer) -> None:
    stream = encode_documents(tiny_corpus.val, tokenizer, side="validation")
    ids = stream.tokens[stream.offsets[1] + 1 : stream.offsets[2]].tolist()
    assert tokenizer.encoding().decode_bytes(ids) == tiny_corpus.val[1].text


def test_bytes_of_tokens_are_the_bytes_of_the_text(tiny_corpus: Corpus, tokenizer: BytePairTokenizer) -> None:
    stream = encode_documents(tiny_corpus.train, tokenizer, side="training")
    assert tokenizer.token_bytes[stream.tokens].sum() == num_bytes(tiny_corpus.train)


def test_progress_ends_at_one(tiny_corpus: Corpus, tokenizer: BytePairTokenizer) -> None:
    fractions: list[float] = []
    encode_documents(tiny_corpus.val, tokenizer, side="validation", progress=fractions.append)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_a_table_that_counts_wrong_is_refused_with_the_ratio(tiny_corpus: Corpus, tokenizer: BytePairTokenizer) -> None:
    planted = CountsUpstream(pieces=tokenizer.pieces)
    with pytest.raises(DataError, match=r"bytes of the validation tokens do not add up.*ratio 1\.\d{6}"):
        encode_documents(tiny_corpus.val, planted, side="validation")


def test_the_ratio_is_counted_over_true_bytes() -> None:
    tokens = np.array([0, 1, 1], dtype=np.uint16)
    with pytest.raises(DataError, match=r"ratio 0\.750000"):
        check_bytes(tokens, np.array([1, 1], dtype=np.int32), 4, side="training")


def test_an_exact_count_passes() -> None:
    check_bytes(np.array([0, 1, 1], dtype=np.uint16), np.array([2, 1], dtype=np.int32), 4, side="training")


def test_text_that_is_not_utf8_is_refused_by_name(tokenizer: BytePairTokenizer) -> None:
    with pytest.raises(DataError, match="document latin is not UTF-8"):
        encode_documents([Document(id="latin", text=b"caf\xe9")], tokenizer, side="training")
