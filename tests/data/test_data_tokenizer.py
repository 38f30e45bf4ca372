from __future__ import annotations

import json
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from foldover.core import DataError
from foldover.data import PATTERN, SPECIALS, BytePairTokenizer, Corpus, num_bytes, train_tokenizer
from foldover.data.corpus import text_of

SIZE = 300


@pytest.fixture(scope="module")
def tokenizer(tiny_corpus: Corpus) -> BytePairTokenizer:
    return train_tokenizer(map(text_of, tiny_corpus.train), SIZE)


def test_the_vocabulary_counts_the_specials(tokenizer: BytePairTokenizer) -> None:
    assert (tokenizer.vocab_size, len(tokenizer.pieces)) == (SIZE, SIZE - 4)


def test_bos_is_the_first_of_four_specials_at_the_end(tokenizer: BytePairTokenizer) -> None:
    special = tokenizer.encoding().encode(SPECIALS[0], allowed_special="all")
    assert special == [tokenizer.bos_id] == [SIZE - 4]


def test_token_bytes_are_byte_lengths_and_zero_for_specials(tokenizer: BytePairTokenizer) -> None:
    encoding = tokenizer.encoding()
    expected = [len(encoding.decode_single_token_bytes(i)) for i in range(SIZE - 4)] + [0] * 4
    assert np.array_equal(tokenizer.token_bytes, expected)


def test_training_twice_gives_the_same_vocabulary(tiny_corpus: Corpus, tokenizer: BytePairTokenizer) -> None:
    assert train_tokenizer(map(text_of, tiny_corpus.train), SIZE).digest == tokenizer.digest


@pytest.mark.parametrize("threads", ["1", "3"])
def test_the_default_tokenizer_does_not_depend_on_threads_or_hashing(threads: str) -> None:
    code = (
        "from foldover.data import load_sotu, train_tokenizer\n"
        "from foldover.data.corpus import text_of\n"
        "print(train_tokenizer(map(text_of, load_sotu().train), 1024).digest)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": threads},
        capture_output=True,
        text=True,
        check=True,
    )
    # As trained with rustbpe 0.1.0; another value here means that cached corpora differ between machines.
    assert done.stdout.strip() == "6b6863134ea53430fba1f0e95d36d57da6cf2ec1b4871947a38422519784a7ba"


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("don't I'LL", ["don", "'t", " I", "'LL"]),
        ("12345", ["12", "34", "5"]),
        ("a  b", ["a", " ", " b"]),
        ("x \n\n y", ["x", " \n\n", " y"]),
        ("end.\r\n$5", ["end", ".\r\n", "$", "5"]),
        ("(word) été", ["(word", ")", " été"]),
        ("tail  ", ["tail", "  "]),
    ],
)
def test_the_pre_tokeniser_cuts_as_described(text: str, pieces: list[str]) -> None:
    # With every cut a piece of its own, encoding shows where the cuts are.
    vocabulary = (*(bytes([b]) for b in range(256)), *_prefixes({p.encode() for p in pieces}))
    encoding = BytePairTokenizer(pieces=vocabulary, pattern=PATTERN).encoding()
    assert [encoding.decode([i]) for i in encoding.encode_ordinary(text)] == pieces


def _prefixes(pieces: set[bytes]) -> list[bytes]:
    """All prefixes of two bytes or more, short ones first, so that merging can build each piece up."""
    found = {piece[:n] for piece in pieces for n in range(2, len(piece) + 1)}
    return sorted(found, key=lambda piece: (len(piece), piece))


@cache
def _encoding(tokenizer: BytePairTokenizer) -> tiktoken.Encoding:
    return tokenizer.encoding()


@given(text=st.text())
def test_any_text_decodes_to_itself(tokenizer: BytePairTokenizer, text: str) -> None:
    encoding = _encoding(tokenizer)
    assert encoding.decode_bytes(encoding.encode_ordinary(text)) == text.encode()


@given(text=st.text())
def test_token_bytes_add_up_on_any_text(tokenizer: BytePairTokenizer, text: str) -> None:
    ids = np.array(_encoding(tokenizer).encode_ordinary(text), dtype=np.int64)
    assert tokenizer.token_bytes[ids].sum() == len(text.encode())


def test_text_that_looks_like_a_special_is_text(tokenizer: BytePairTokenizer) -> None:
    assert tokenizer.bos_id not in tokenizer.encoding().encode_ordinary("a <|reserved_0|> b")


def test_json_round_trips(tokenizer: BytePairTokenizer) -> None:
    assert BytePairTokenizer.from_json(tokenizer.to_json()) == tokenizer


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "other"}'])
def test_a_file_that_is_no_tokenizer_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        BytePairTokenizer.from_json(text)


def test_a_tokenizer_file_with_a_piece_twice_is_refused(tokenizer: BytePairTokenizer) -> None:
    plain = json.loads(tokenizer.to_json())
    plain["pieces"][-1] = plain["pieces"][-2]
    with pytest.raises(DataError, match="twice"):
        BytePairTokenizer.from_json(json.dumps(plain))


def test_a_tokenizer_that_does_not_begin_with_the_bytes_is_refused(tokenizer: BytePairTokenizer) -> None:
    with pytest.raises(DataError, match="256 bytes"):
        BytePairTokenizer(pieces=tokenizer.pieces[1:])


@pytest.mark.parametrize("size", [259, 65_537])
def test_an_impossible_vocabulary_size_is_refused(size: int) -> None:
    with pytest.raises(DataError, match="260"):
        train_tokenizer(["text"], size)


def test_the_smallest_vocabulary_is_bytes_and_specials() -> None:
    assert train_tokenizer(["text"], 260).pieces == tuple(bytes([b]) for b in range(256))


def test_text_with_too_few_pairs_is_refused_with_the_size_it_allows() -> None:
    with pytest.raises(DataError, match="at most 262"):
        train_tokenizer(["aab"], 300)


def test_a_cap_on_document_characters_hides_the_rest(tiny_corpus: Corpus) -> None:
    whole = list(map(text_of, tiny_corpus.train))
    cut = train_tokenizer([text[:700] for text in whole], SIZE)
    assert train_tokenizer(whole, SIZE, document_chars=700) == cut


def test_a_cap_on_all_characters_hides_the_rest() -> None:
    texts = ["abab abab", "cdcd cdcd"]
    assert train_tokenizer(texts, 261, total_chars=9).pieces[-1] == b"ab"


def test_merges_compress_the_training_text(tokenizer: BytePairTokenizer, tiny_corpus: Corpus) -> None:
    ids = [tokenizer.encoding().encode_ordinary(text_of(document)) for document in tiny_corpus.train]
    assert sum(map(len, ids)) < 0.75 * num_bytes(tiny_corpus.train)


@pytest.mark.parametrize("package", ["rustbpe", "tiktoken"])
def test_a_missing_package_is_named_with_what_to_install(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DataError, match=rf"{package} is not installed.*foldover\[train\]"):
        train_tokenizer(["text"], 260).encoding()
