from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
import tiktoken
import tiktoken_ext.openai_public
from hypothesis import given, settings
from hypothesis import strategies as st

from foldover.core import DataError, OutsideError
from foldover.data import (
    BytePairTokenizer,
    Corpus,
    RankTokenizer,
    choose_tokenizer,
    load_tokenizer,
    read_tokenizer,
    train_tokenizer,
)
from foldover.data.ranks import CL100K_PATTERN, GPT2_PATTERN
from foldover.data.tokenizer import blocks, byte_tokenizer

PIECES = [bytes([byte]) for byte in range(256)] + [b" t", b"he", b" the", b"\xc3\xbc"]


@pytest.fixture
def ranks_file(tmp_path: Path) -> Path:
    """A ranks file of GPT-2's form: its tokens in another order than the bytes."""
    pieces = PIECES[33:127] + PIECES[:33] + PIECES[127:]
    lines = [f"{base64.b64encode(piece).decode()} {rank}" for rank, piece in enumerate(pieces)]
    path = tmp_path / "r50k_base.tiktoken"
    path.write_text("\n".join(lines) + "\n")
    return path


def custom(tmp_path: Path, pieces: list[bytes], beside: object) -> Path:
    lines = [f"{base64.b64encode(piece).decode()} {rank}" for rank, piece in enumerate(pieces)]
    path = tmp_path / "mine.tiktoken"
    path.write_text("\n".join(lines))
    path.with_suffix(".json").write_text(json.dumps(beside))
    return path


# Bytes


def test_the_byte_tokenizer_gives_each_byte_its_number() -> None:
    assert byte_tokenizer().encoder().ids("aé").tolist() == [97, 0xC3, 0xA9]


def test_the_byte_tokenizer_has_the_bytes_and_the_specials() -> None:
    tokenizer = byte_tokenizer()
    assert (tokenizer.name, tokenizer.vocab_size, tokenizer.bos_id) == ("bytes", 260, 256)


# Long texts


@given(
    st.lists(
        st.sampled_from(["word", "Two words", "\n", "\n\n", " ", "\r\n", "12345", "don't!", "é", "\t"]), max_size=40
    )
)
@settings(max_examples=150)
def test_ids_of_a_text_in_blocks_are_those_of_the_whole(parts: list[str]) -> None:
    text = "".join(parts)
    for pattern in (None, GPT2_PATTERN, CL100K_PATTERN):
        tokenizer = BytePairTokenizer(pieces=tuple(PIECES), **({} if pattern is None else {"pattern": pattern}))
        encoding = tokenizer.encoding()
        cut = [i for block in blocks(text, 3) for i in encoding.encode_ordinary(block)]
        assert cut == encoding.encode_ordinary(text)


def test_blocks_are_the_text() -> None:
    text = "one\ntwo\n\nthree\n four\nfive " * 50
    found = blocks(text, 40)
    assert ("".join(found), len(found) > 10) == (text, True)


def test_a_text_without_line_ends_stays_whole() -> None:
    assert blocks("a" * 100, 10) == ["a" * 100]


# Ranks


def test_ids_of_a_ranks_file_are_its_ranks(ranks_file: Path) -> None:
    tokenizer = load_tokenizer(f"path:{ranks_file}")
    assert tokenizer.encoder().ids("! the").tolist() == [0, 258]


def test_a_ranks_tokenizer_is_tiktokens(ranks_file: Path) -> None:
    tokenizer = load_tokenizer(f"path:{ranks_file}")
    assert isinstance(tokenizer, RankTokenizer)
    peer = tiktoken.Encoding(
        name="peer",
        pat_str=tiktoken_ext.openai_public.r50k_pat_str,
        mergeable_ranks={piece: rank for rank, piece in tokenizer.ranks},
        special_tokens={"<|endoftext|>": 50256},
    )
    text = "The  quick\n\n brown fox's über 123456 — 🦊!\t\n" * 5
    assert tokenizer.encoder().ids(text).tolist() == peer.encode_ordinary(text)


def test_documents_of_a_ranks_tokenizer_begin_with_end_of_text(ranks_file: Path) -> None:
    tokenizer = load_tokenizer(f"path:{ranks_file}")
    assert (tokenizer.bos_id, tokenizer.vocab_size, tokenizer.byte_table.base[50256]) == (50256, 50257, 0)


def test_numbers_between_ranks_and_specials_weigh_nothing(ranks_file: Path) -> None:
    table = load_tokenizer(f"path:{ranks_file}").byte_table.base
    assert (table[:260].min(), table[260:].max()) == (1, 0)


def test_the_bytes_of_ids_of_ranks_are_the_text(ranks_file: Path) -> None:
    tokenizer = load_tokenizer(f"path:{ranks_file}")
    text = "Über den 13 states 🦊"
    assert b"".join(tokenizer.id_bytes[i] for i in tokenizer.encoder().ids(text)) == text.encode()
    assert tokenizer.id_bytes[tokenizer.bos_id] == b""


def test_a_ranks_tokenizer_comes_back_from_json(ranks_file: Path) -> None:
    tokenizer = load_tokenizer(f"path:{ranks_file}")
    assert read_tokenizer(tokenizer.to_json()) == tokenizer


def test_pattern_and_specials_are_read_beside_a_ranks_file_of_another_name(tmp_path: Path) -> None:
    path = custom(tmp_path, PIECES, {"pattern": r"\s+|\S+", "specials": {"<|endoftext|>": 300}})
    tokenizer = load_tokenizer(f"path:{path}")
    assert (tokenizer.name, tokenizer.vocab_size) == ("mine", 301)


@pytest.mark.parametrize(
    ("pieces", "beside", "words"),
    [
        (PIECES, {}, "nothing says how mine.tiktoken cuts text"),
        (PIECES[1:], {"pattern": r"\S+|\s+", "specials": {"<|endoftext|>": 300}}, "no token for some bytes"),
        (PIECES, {"pattern": r"\S+|\s+", "specials": {"<|endoftext|>": 3}}, "an id or a token twice"),
        (PIECES, {"pattern": r"\S+|\s+", "specials": {"<|pad|>": 300}}, "no special <|endoftext|>"),
    ],
)
def test_an_impossible_ranks_file_is_refused(pieces: list[bytes], beside: object, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words.replace("|", r"\|")):
        load_tokenizer(f"path:{custom(tmp_path, pieces, beside)}")


@pytest.mark.parametrize("content", ["not a line of ranks", "YQ== x", "%%% 3"])
def test_a_file_of_something_else_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "r50k_base.tiktoken").write_text(content)
    with pytest.raises(DataError, match="is no ranks file"):
        load_tokenizer(f"path:{tmp_path / 'r50k_base.tiktoken'}")


def test_an_encoding_that_cannot_be_downloaded_is_an_outside_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(name: str) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(tiktoken, "get_encoding", offline)
    with pytest.raises(OutsideError, match=r"cannot be downloaded: ConnectionError.*path:.*cl100k_base.tiktoken"):
        load_tokenizer("tiktoken:cl100k_base")


def test_an_encoding_that_tiktoken_has_is_taken_whole(ranks_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = load_tokenizer(f"path:{ranks_file}")
    assert isinstance(known, RankTokenizer)
    encoding = tiktoken.Encoding(
        name="r50k_base",
        pat_str=GPT2_PATTERN,
        mergeable_ranks={piece: rank for rank, piece in known.ranks},
        special_tokens={"<|endoftext|>": 50256},
    )
    monkeypatch.setattr(tiktoken, "get_encoding", lambda name: encoding)
    assert load_tokenizer("tiktoken:r50k_base") == known


def test_an_unknown_encoding_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"no such encoding.*cl100k_base"):
        load_tokenizer("tiktoken:gpt99")


# Choosing


@pytest.mark.parametrize("name", ["bpf", "path:", "tiktoken:", "path:/no/such.model", "path:/no/such.txt"])
def test_a_name_of_no_tokenizer_is_refused(name: str) -> None:
    with pytest.raises(DataError):
        choose_tokenizer(name, 1024)


def test_another_size_than_the_tokenizer_has_is_refused_with_its_own() -> None:
    with pytest.raises(DataError, match=r"tokenizer bytes has 260 ids.*Set tokenizer.vocab_size to 260"):
        choose_tokenizer("bytes", 1024)


def test_ids_beyond_uint16_are_refused(tmp_path: Path) -> None:
    path = custom(tmp_path, PIECES, {"pattern": r"\s+|\S+", "specials": {"<|endoftext|>": 100_000}})
    with pytest.raises(DataError, match="has 100,001 ids, and token streams hold uint16"):
        choose_tokenizer(f"path:{path}", 100_001)


def test_a_tokenizer_of_the_cache_can_be_named(tiny_corpus: Corpus, tmp_path: Path) -> None:
    tokenizer = train_tokenizer([one.text.decode() for one in tiny_corpus.train], 300)
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_json())
    assert choose_tokenizer(f"path:{tmp_path / 'tokenizer.json'}", 300).fixed == tokenizer


def test_bytes_of_byte_level_tokens_do_not_depend_on_their_place(ranks_file: Path) -> None:
    table = load_tokenizer(f"path:{ranks_file}").byte_table
    ids = np.array([50256, 258, 50256, 258, 258], dtype=np.uint32)
    assert table.of_targets(ids).tolist() == [4, 0, 4, 4]
