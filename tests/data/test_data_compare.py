from __future__ import annotations

import math
from collections import Counter

import pytest

from foldover.core import DataError
from foldover.data import Corpus, SentencePieceTokenizer, compare_tokenizers, load_tokenizer, train_tokenizer


def test_the_unigram_bound_is_the_entropy_of_the_tokens_per_byte(tiny_corpus: Corpus) -> None:
    tokenizer = train_tokenizer([one.text.decode() for one in tiny_corpus.train], 300)
    (found,) = compare_tokenizers("tiny", tiny_corpus.val, [("bpe", tokenizer)]).tokenizers
    encoding = tokenizer.encoding()
    counts = Counter(i for one in tiny_corpus.val for i in encoding.encode_ordinary(one.text.decode()))
    tokens, size = sum(counts.values()), sum(len(one.text) for one in tiny_corpus.val)
    bits = -sum(count * math.log2(count / tokens) for count in counts.values())
    assert found.unigram_bits_per_byte == pytest.approx(bits / size, rel=1e-12)
    assert (found.tokens, found.used_ids, found.bytes_per_token) == (tokens, len(counts), size / tokens)


def test_a_limit_takes_the_first_documents(tiny_corpus: Corpus) -> None:
    found = compare_tokenizers("tiny", tiny_corpus.train, [("bytes", load_tokenizer("bytes"))], limit=2)
    assert (found.documents, found.text_bytes) == (2, sum(len(one.text) for one in tiny_corpus.train[:2]))


def test_a_model_that_normalises_shows_its_ratio(tiny_corpus: Corpus, folding_model: bytes) -> None:
    tokenizer = SentencePieceTokenizer(model=folding_model)
    (found,) = compare_tokenizers("tiny", tiny_corpus.val, [("folding", tokenizer)]).tokenizers
    assert (found.unknown > 0, found.piece_bytes_ratio < 0.99) == (True, True)


def test_no_text_is_refused() -> None:
    with pytest.raises(DataError, match="no text to compare on"):
        compare_tokenizers("none", (), [("bytes", load_tokenizer("bytes"))])
