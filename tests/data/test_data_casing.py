"""Case folding: nothing is lost, bytes are those of the text as it was, and nobody takes folded text for text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldover.core import DataError
from foldover.data import (
    Corpus,
    CorpusSource,
    FoldedTokenizer,
    SentencePieceTokenizer,
    fold,
    prepare,
    prepare_source,
    read_tokenizer,
    scored_rows,
    train_tokenizer,
    unfold,
    write_shard,
)
from foldover.data.casing import original_bytes
from foldover.data.tokenizer import byte_tokenizer

# Letters that fold, that only seem to (long s, Kelvin, sharp S, dotted I, titlecase digraph, final sigma), and markers.
ODD = "aAbBzZ .\n\t'1_éÉßẞİıſ\u212aσΣςǅǄǆДж𐐀𐐨Ꭰꭰ\x01\x02\x03"
odd_text = st.text(st.sampled_from(ODD)) | st.text()


@given(odd_text)
def test_any_text_comes_back(text: str) -> None:
    assert unfold(fold(text)) == text


@given(odd_text)
def test_folded_text_has_no_letter_that_could_have_been_folded(text: str) -> None:
    assert not any("A" <= letter <= "Z" or letter in "ÉΣДÀÖ" for letter in fold(text))


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("The cat", "\x01the cat"),
        ("the Cat", "the\x01 cat"),
        ("a  Cat", "a \x01 cat"),
        ("of NASA.", "of\x02 nasa."),
        ("I am", "\x01i am"),
        ("McDonald", "\x01mc\x01donald"),
        ("an iPhone", "an i\x01phone"),
        ("“Über”\nÉ", "“\x01über”\n\x01é"),
        ("\x01 A", "\x03\x01\x01 a"),
        ("\u212a ẞ İ ǅ", "\u212a ẞ İ ǅ"),
        ("lower only", "lower only"),
    ],
)
def test_markers_stand_where_they_are_said_to_stand(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(odd_text, st.lists(st.integers(0, 200), max_size=6))
def test_bytes_of_any_cut_of_the_folded_text_add_up_to_the_text(text: str, cuts: list[int]) -> None:
    folded = fold(text).encode()
    ends = sorted([min(cut, len(folded)) for cut in cuts] + [len(folded)])
    sizes = np.diff(np.array([0, *ends])).astype(np.uint32)
    assert int(original_bytes(folded, sizes).sum()) == len(text.encode())


def test_a_token_weighs_the_bytes_that_it_stands_for() -> None:
    ids, sizes = FoldedTokenizer(inner=byte_tokenizer()).encoder().ids_and_bytes("Of É\x01")
    assert bytes(ids.astype(np.uint8)) == "\x01of\x01 é\x03\x01".encode()
    assert sizes.tolist() == [0, 1, 1, 0, 1, 1, 1, 0, 1]


@given(odd_text)
def test_a_tokenizer_of_folded_text_gives_the_text_back_and_counts_its_bytes(text: str) -> None:
    encoder = FoldedTokenizer(inner=byte_tokenizer()).encoder()
    ids, sizes = encoder.ids_and_bytes(text)
    assert encoder.decode(ids) == text.encode()
    assert int(sizes.sum()) == len(text.encode())


def test_a_tokenizer_of_folded_text_is_read_back_from_its_file(tiny_corpus: Corpus) -> None:
    texts = [fold(one.text.decode()) for one in tiny_corpus.train]
    tokenizer = FoldedTokenizer(inner=train_tokenizer(texts, 300))
    again = read_tokenizer(tokenizer.to_json())
    assert again == tokenizer
    assert again.digest == tokenizer.digest != tokenizer.inner.digest
    with pytest.raises(DataError, match="damaged"):
        read_tokenizer(json.dumps({"format": FoldedTokenizer.FORMAT, "inner": 3}))


def test_pieces_are_shown_without_markers(tiny_corpus: Corpus) -> None:
    texts = [fold(one.text.decode()) for one in tiny_corpus.train]
    tokenizer = FoldedTokenizer(inner=train_tokenizer(texts, 400))
    assert any(b"\x01" in piece and len(piece) > 1 for piece in tokenizer.inner.id_bytes)
    assert not any(marker in piece for piece in tokenizer.id_bytes for marker in b"\x01\x02\x03")
    assert tokenizer.id_bytes[1] == b""


def test_a_tokenizer_that_drops_markers_is_refused(folding_model: bytes) -> None:
    encoder = FoldedTokenizer(inner=SentencePieceTokenizer(model=folding_model)).encoder()
    with pytest.raises(DataError, match=r"loses the markers.*fold_case to false"):
        encoder.ids("The quick Fox")
    assert len(encoder.ids("the quick fox"))


@pytest.mark.parametrize(("tokenizer", "vocab_size"), [("bpe", 330), ("sentencepiece", 330), ("bytes", 260)])
def test_a_prepared_corpus_has_the_bytes_of_the_text(
    tiny_source: CorpusSource, tiny_corpus: Corpus, tmp_path: Path, tokenizer: str, vocab_size: int
) -> None:
    data = prepare_source(tiny_source, vocab_size, tokenizer=tokenizer, fold_case=True, cache=tmp_path)
    text = b"".join(one.text for one in tiny_corpus.val)
    assert data.val_bytes is not None
    assert int(data.val_bytes.sum()) == len(text)
    assert data.meta["val_bytes"] == len(text)
    ids = np.asarray(data.val_tokens)
    assert data.tokenizer.encoder().decode(ids[ids != data.bos_id].astype(np.uint32)) == text
    rows = scored_rows(data, context=32, num_tokens=len(ids) - 1 - (len(ids) - 1) % 32, loader="stream")
    assert int(rows.bytes.sum()) == int(data.val_bytes[1 : 1 + rows.bytes.size].sum())
    plain = prepare_source(tiny_source, vocab_size, tokenizer=tokenizer, cache=tmp_path)
    assert plain.folder != data.folder
    assert plain.digests["tokenizer"] != data.digests["tokenizer"]
    assert plain.digests["corpus"] == data.digests["corpus"]


def test_text_as_it_is_keeps_its_place_in_the_cache(tiny_source: CorpusSource, tmp_path: Path) -> None:
    """What was prepared before there was folding is found again; digests of names are of what they were."""
    names = {
        kind: prepare_source(tiny_source, size, tokenizer=kind, cache=tmp_path).folder.name
        for kind, size in (("bpe", 300), ("bytes", 260))
    }
    assert names == NAMES


NAMES = {"bpe": "tiny-300-b681636a3134b682", "bytes": "tiny-bytes-260-5896b6e2e7b7d7de"}


def test_piece_accounting_is_refused(tiny_source: CorpusSource, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"pieces of folded text.*fold_case = true.*accounting = \"raw\""):
        prepare_source(tiny_source, 300, fold_case=True, accounting="pieces", cache=tmp_path)


def test_token_shards_are_refused(tmp_path: Path) -> None:
    for side in ("train", "val"):
        write_shard(tmp_path / f"one_{side}_000000.bin", np.full(50, 256, dtype=np.uint16))
    with pytest.raises(DataError, match="holds tokens, not text whose case could be folded"):
        prepare(f"path:{tmp_path}", 260, tokenizer="bytes", fold_case=True, accounting="pieces", cache=tmp_path / "c")


def test_a_file_of_a_folding_tokenizer_is_used_for_folded_text_only(tiny_source: CorpusSource, tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(FoldedTokenizer(inner=byte_tokenizer()).to_json(), encoding="utf-8")
    with pytest.raises(DataError, match=r"reads text without capital letters.*Set tokenizer.fold_case to true"):
        prepare_source(tiny_source, 260, tokenizer=f"path:{file}", cache=tmp_path)
    named = prepare_source(tiny_source, 260, tokenizer=f"path:{file}", fold_case=True, cache=tmp_path)
    assert named.folder == prepare_source(tiny_source, 260, tokenizer="bytes", fold_case=True, cache=tmp_path).folder
