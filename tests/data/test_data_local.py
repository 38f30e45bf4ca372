from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

import foldover.data.json_lines
import foldover.data.parquet
from foldover.core import DataError
from foldover.data import Document, StreamedSource, TokenSource, corpus_source
from foldover.data.fingerprint import FOLDER

Lines = Callable[[Path, Sequence[object]], Path]
Parquet = Callable[[Path, Sequence[str | None]], Path]


def opened(path: Path | str, cache: Path) -> StreamedSource:
    source = corpus_source(f"path:{path}", cache=cache)
    assert isinstance(source, StreamedSource)
    return source


def texts(documents: Iterator[Document]) -> list[str]:
    return [document.text.decode() for document in documents]


@contextmanager
def refused(words: str) -> Iterator[None]:
    with pytest.raises(DataError, match=words):
        yield


def essays(folder: Path, count: int = 12) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        (folder / f"essay-{i:02d}.txt").write_text(f"Essay number {i}, with words of its own.\n" * 9, encoding="utf-8")
    return folder


# One text


def test_one_text_is_cut_after_nine_tenths_of_its_characters(tmp_path: Path) -> None:
    file = tmp_path / "book.txt"
    file.write_text("äbcdefghij" * 10, encoding="utf-8")
    source = opened(file, tmp_path)
    assert texts(source.documents("train")) == ["äbcdefghij" * 9]
    assert texts(source.documents("val")) == ["äbcdefghij"]


def test_tiny_shakespeare_is_cut_as_everywhere(shared_data: Path, tmp_path: Path) -> None:
    source = opened(shared_data / "tinyshakespeare" / "input.txt", tmp_path)
    sizes = [sum(len(one.text) for one in source.documents(side)) for side in ("train", "val")]
    assert sizes == [1_003_854, 111_540]  # nanoGPT's split


def test_a_text_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "latin.txt"
    file.write_bytes(b"fine\nfine\nnot \xe4 fine\n")
    with refused(r"latin.txt is not UTF-8: .* at byte 14, line 3"):
        list(opened(file, tmp_path).documents("train"))


# A folder of texts


def test_folders_train_and_val_are_the_sides(tmp_path: Path) -> None:
    for name in ("train/a.txt", "train/deep/b.md", "val/c.txt"):
        (tmp_path / "c" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "c" / name).write_text(name)
    source = opened(tmp_path / "c", tmp_path)
    assert texts(source.documents("train")) == ["train/a.txt", "train/deep/b.md"]
    assert texts(source.documents("val")) == ["val/c.txt"]


def test_files_beside_the_two_folders_are_refused(tmp_path: Path) -> None:
    for name in ("train/a.txt", "val/c.txt", "b.txt"):
        (tmp_path / "c" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "c" / name).write_text(name)
    with refused("folders train and val, and text files beside them"):
        opened(tmp_path / "c", tmp_path)


def test_without_sides_the_smallest_sha256_are_validation(tmp_path: Path) -> None:
    folder = essays(tmp_path / "essays")
    smallest = min(folder.iterdir(), key=lambda file: hashlib.sha256(file.read_bytes()).hexdigest())
    val = [one.id for one in opened(folder, tmp_path).documents("val")]
    assert val == [smallest.name]


def test_every_file_is_on_one_side(tmp_path: Path) -> None:
    source = opened(essays(tmp_path / "essays", 40), tmp_path)
    names = [one.id for side in ("train", "val") for one in source.documents(side)]
    assert sorted(names) == [f"essay-{i:02d}.txt" for i in range(40)]


def test_hidden_files_are_left_out(tmp_path: Path) -> None:
    folder = essays(tmp_path / "essays")
    (folder / ".git").mkdir()
    (folder / ".git" / "notes.txt").write_text("hidden")
    names = [one.id for side in ("train", "val") for one in opened(folder, tmp_path).documents(side)]
    assert len(names) == 12


# JSON lines


def test_files_named_after_sides_are_the_sides(tmp_path: Path, write_lines: Lines) -> None:
    write_lines(tmp_path / "c" / "train_0.jsonl", ["one", "two"])
    write_lines(tmp_path / "c" / "val.jsonl", ["three"])
    source = opened(tmp_path / "c", tmp_path)
    assert texts(source.documents("train")) == ["one", "two"]
    assert texts(source.documents("val")) == ["three"]


def test_some_named_and_some_not_is_refused(tmp_path: Path, write_lines: Lines) -> None:
    write_lines(tmp_path / "c" / "train.jsonl", ["one"])
    write_lines(tmp_path / "c" / "more.jsonl", ["two"])
    with refused("some files are named after a side"):
        opened(tmp_path / "c", tmp_path)


def test_without_names_one_document_in_twenty_is_drawn_by_its_sha256(tmp_path: Path, write_lines: Lines) -> None:
    all_texts = [f"document {i}" for i in range(200)]
    source = opened(write_lines(tmp_path / "all.jsonl", all_texts), tmp_path)
    drawn = [t for t in all_texts if int.from_bytes(hashlib.sha256(t.encode()).digest()[:8], "big") % 20 == 0]
    assert texts(source.documents("val")) == drawn
    assert texts(source.documents("train")) == [t for t in all_texts if t not in drawn]


def test_lines_are_read_once_however_the_file_is_cut(
    tmp_path: Path, write_lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_lines(tmp_path / "all.jsonl", [f"{'long ' * (i % 7)}{i}" for i in range(99)])
    whole = [one for side in ("train", "val") for one in opened(file, tmp_path).documents(side)]
    for size in (1, 17, 64, 1000):
        monkeypatch.setattr(foldover.data.json_lines, "PART_BYTES", size)
        source = opened(file, tmp_path)
        assert [one for side in ("train", "val") for one in source.documents(side)] == whole


def test_gzipped_lines_are_read(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    for name, text in (("train", "one"), ("val", "two")):
        with gzip.open(tmp_path / "c" / f"{name}.jsonl.gz", "wt") as file:
            file.write(json.dumps({"text": text}) + "\n")
    assert texts(opened(tmp_path / "c", tmp_path).documents("val")) == ["two"]


def test_gzip_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    data = gzip.compress(b"".join(json.dumps({"text": f"{i} {i * i}"}).encode() + b"\n" for i in range(999)))
    (tmp_path / "all.jsonl.gz").write_bytes(data[:-50])
    with refused("all.jsonl.gz cannot be read"):
        list(opened(tmp_path / "all.jsonl.gz", tmp_path).documents("train"))


@pytest.mark.parametrize("bad", ["{", '{"txt": "a"}', '{"text": 3}', "[]", '{"text": "\\ud800"}'])
def test_a_line_without_text_is_refused_with_its_number(bad: str, tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl"
    file.write_text('{"text": "a"}\n\n' + bad + "\n", encoding="utf-8")
    source = opened(file, tmp_path)
    with refused(r"all.jsonl:3: "):
        list(source.documents("train"))


# Parquet shards


def test_the_last_shard_by_name_is_validation(tmp_path: Path, write_parquet: Parquet) -> None:
    for i, part in enumerate((["a", "b", "c"], ["d"], ["e", "f"])):
        write_parquet(tmp_path / "hub" / f"shard_{i:05d}.parquet", part)
    source = opened(tmp_path / "hub", tmp_path)
    assert [(one.id, one.text) for one in source.documents("val")] == [
        ("shard_00002.parquet:0", b"e"),
        ("shard_00002.parquet:1", b"f"),
    ]
    assert texts(source.documents("train")) == ["a", "b", "c", "d"]


def test_rows_keep_their_number_however_row_groups_are_joined(
    tmp_path: Path, write_parquet: Parquet, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_parquet(tmp_path / "hub" / "shard_0.parquet", [f"row {i}" for i in range(9)])
    write_parquet(tmp_path / "hub" / "shard_1.parquet", ["val"])
    monkeypatch.setattr(foldover.data.parquet, "PART_BYTES", 1)
    source = opened(tmp_path / "hub", tmp_path)
    assert len(source.train) == 5
    found = [(one.id.rpartition(":")[2], one.text.decode()) for one in source.documents("train")]
    assert found == [(str(i), f"row {i}") for i in range(9)]


def test_documents_of_real_shards_are_those_of_their_list(shared_data: Path, tmp_path: Path) -> None:
    with gzip.open(shared_data / "unicode" / "docs.tsv.gz", "rt", encoding="utf-8") as file:
        header, *rows = [line.rstrip("\n").split("\t") for line in file]
    wanted = {(row[header.index("split")], row[header.index("sha256")]) for row in rows}
    source = opened(shared_data / "unicode", tmp_path)
    found = {
        (side, hashlib.sha256(one.text).hexdigest()) for side in ("train", "val") for one in source.documents(side)
    }
    assert found == wanted


def test_one_shard_alone_is_refused(tmp_path: Path, write_parquet: Parquet) -> None:
    write_parquet(tmp_path / "hub" / "shard_0.parquet", ["a"])
    with refused("one Parquet shard; the last one is the validation side"):
        opened(tmp_path / "hub", tmp_path)


def test_a_row_without_text_is_refused_with_its_number(tmp_path: Path, write_parquet: Parquet) -> None:
    write_parquet(tmp_path / "hub" / "shard_0.parquet", ["a", "b", "c", None])
    write_parquet(tmp_path / "hub" / "shard_1.parquet", ["val"])
    with refused("shard_0.parquet: row 3 has no text"):
        list(opened(tmp_path / "hub", tmp_path).documents("train"))


def test_a_shard_that_is_cut_short_is_refused(tmp_path: Path, write_parquet: Parquet) -> None:
    write_parquet(tmp_path / "hub" / "shard_1.parquet", ["val"])
    whole = write_parquet(tmp_path / "hub" / "shard_0.parquet", ["a" * 1000])
    whole.write_bytes(whole.read_bytes()[:-100])
    with refused("shard_0.parquet is no whole Parquet file"):
        opened(tmp_path / "hub", tmp_path)


@pytest.mark.parametrize(
    ("column", "values", "words"), [("content", ["a"], "no column"), ("text", [3], "not hold text")]
)
def test_a_shard_without_a_column_of_texts_is_refused(
    column: str, values: list[object], words: str, tmp_path: Path, write_parquet: Parquet
) -> None:
    import pyarrow
    import pyarrow.parquet

    write_parquet(tmp_path / "hub" / "shard_1.parquet", ["val"])
    pyarrow.parquet.write_table(pyarrow.table({column: values}), tmp_path / "hub" / "shard_0.parquet")
    with refused(words):
        opened(tmp_path / "hub", tmp_path)


# What a path names


def test_a_readme_does_not_make_shards_a_folder_of_texts(tmp_path: Path, write_parquet: Parquet) -> None:
    for i in (0, 1):
        write_parquet(tmp_path / "hub" / f"shard_{i}.parquet", ["a"])
    (tmp_path / "hub" / "README.md").write_text("About this data.")
    assert texts(opened(tmp_path / "hub", tmp_path).documents("train")) == ["a"]


def test_a_folder_of_several_kinds_is_refused(tmp_path: Path, write_parquet: Parquet, write_lines: Lines) -> None:
    write_parquet(tmp_path / "hub" / "shard_0.parquet", ["a"])
    write_lines(tmp_path / "hub" / "all.jsonl", ["a"])
    with refused("several kinds"):
        opened(tmp_path / "hub", tmp_path)


@pytest.mark.parametrize(
    ("make", "words"), [("nothing", "no corpus at this path"), ("empty", "no file of a known kind")]
)
def test_a_path_without_data_is_refused(make: str, words: str, tmp_path: Path) -> None:
    if make == "empty":
        (tmp_path / "c").mkdir()
    with refused(words):
        opened(tmp_path / "c", tmp_path)


@pytest.mark.parametrize("name", ["shakespeare", "paths:/x", "hub:", "hub:only-one-word", "hub:a/b:0"])
def test_a_name_of_no_form_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        corpus_source(name, cache=tmp_path)


# Identity


def test_the_digest_is_that_of_the_content_not_of_the_place(tmp_path: Path) -> None:
    first = opened(essays(tmp_path / "here"), tmp_path).digest
    shutil.copytree(tmp_path / "here", tmp_path / "there" / "other name")
    assert opened(tmp_path / "there" / "other name", tmp_path).digest == first


def test_another_byte_is_another_digest(tmp_path: Path) -> None:
    folder = essays(tmp_path / "here")
    before = opened(folder, tmp_path).digest
    (folder / "essay-03.txt").write_text("changed")
    assert opened(folder, tmp_path).digest != before


def test_a_pinned_corpus_is_the_one_that_was_pinned(tmp_path: Path) -> None:
    folder = essays(tmp_path / "here")
    digest = opened(folder, tmp_path).digest
    assert opened(f"{folder}@{digest[:12]}", tmp_path).digest == digest


def test_a_pin_that_does_not_fit_is_refused_with_the_digest(tmp_path: Path) -> None:
    folder = essays(tmp_path / "here")
    with refused(f"not the pinned one: its digest is {opened(folder, tmp_path).digest[:16]}"):
        opened(f"{folder}@0123456789abcdef", tmp_path)


def test_files_that_have_not_changed_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = essays(tmp_path / "here")
    first = opened(folder, tmp_path).digest
    monkeypatch.setattr("foldover.data.fingerprint.sha256_of_file", None)
    assert opened(folder, tmp_path).digest == first


def test_a_damaged_note_about_a_file_is_not_believed(tmp_path: Path) -> None:
    folder = essays(tmp_path / "here")
    first = opened(folder, tmp_path).digest
    for note in (tmp_path / FOLDER).iterdir():
        note.write_text("")
    assert opened(folder, tmp_path).digest == first


def test_token_shards_are_found_by_their_suffix(tmp_path: Path) -> None:
    import numpy as np

    from foldover.data import write_shard

    for name in ("x_train_000000.bin", "x_val_000000.bin"):
        write_shard(tmp_path / name, np.arange(9, dtype=np.uint16))
    assert isinstance(corpus_source(f"path:{tmp_path}", cache=tmp_path / "cache"), TokenSource)
