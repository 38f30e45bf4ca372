from __future__ import annotations

import logging
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from foldover.core import DataError, OutsideError
from foldover.data import Corpus, CorpusSource, PreparedData, cache_folder, num_bytes, prepare, prepare_source
from foldover.data.prepared import CHECKSUMS, FILES, damage

SIZE = 300

# Builds a small corpus in a process of its own; says "building" and waits for a line before it goes on.
BUILDER = """
import os, signal, sys
from pathlib import Path
import foldover.data.prepared as prepared
from foldover.data import Corpus, CorpusSource, Document, prepare_source

def load():
    print("building", flush=True)
    sys.stdin.readline()
    text = "".join(f"{i} little ducks went swimming one day. " for i in range(99)).encode()
    return Corpus(name="ducks", train=(Document(id="a", text=text),), val=(Document(id="b", text=text[:500]),))

def progress(phase, fraction):
    if phase.startswith("waiting"):
        print(phase, flush=True)

def die(path, offsets):
    os.kill(os.getpid(), signal.SIGKILL)

if sys.argv[2] == "die half-way":
    prepared.write_offsets = die
source = CorpusSource(name="ducks", digest="d" * 64, load=load)
print(prepare_source(source, 280, cache=Path(sys.argv[1]), progress=progress).digests["train"], flush=True)
"""


@pytest.fixture
def built(tiny_source: CorpusSource, tmp_path: Path) -> PreparedData:
    return prepare_source(tiny_source, SIZE, cache=tmp_path)


def never_loads() -> Corpus:
    raise AssertionError("the corpus was read although its cache is whole")


@contextmanager
def builder(cache: Path, how: str = "") -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", BUILDER, str(cache), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def says(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def names(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if not path.name.endswith(".lock"))


def test_tokens_of_both_sides_decode_to_the_corpus(built: PreparedData, tiny_corpus: Corpus) -> None:
    encoding = built.tokenizer.encoding()
    for tokens, documents in ((built.train_tokens, tiny_corpus.train), (built.val_tokens, tiny_corpus.val)):
        text = tokens[tokens != built.bos_id].tolist()
        assert encoding.decode_bytes(text) == b"".join(document.text for document in documents)


def test_offsets_point_at_the_bos_of_each_document(built: PreparedData) -> None:
    for tokens, offsets in ((built.train_tokens, built.train_offsets), (built.val_tokens, built.val_offsets)):
        assert np.array_equal(np.flatnonzero(tokens == built.bos_id), offsets[:-1])


def test_bytes_add_up_on_both_sides(built: PreparedData, tiny_corpus: Corpus) -> None:
    found = [built.token_bytes[tokens].sum() for tokens in (built.train_tokens, built.val_tokens)]
    assert found == [num_bytes(tiny_corpus.train), num_bytes(tiny_corpus.val)]


def test_the_tokenizer_is_trained_on_the_training_side_only(
    tiny_corpus: Corpus, tiny_source: CorpusSource, built: PreparedData, tmp_path: Path
) -> None:
    other = replace(tiny_corpus, val=tiny_corpus.val[:1])
    source = replace(tiny_source, digest="other", load=lambda: other)
    assert prepare_source(source, SIZE, cache=tmp_path).digests["tokenizer"] == built.digests["tokenizer"]


def test_sizes_are_recorded(built: PreparedData) -> None:
    assert built.meta.integer("val_tokens") == len(built.val_tokens)
    assert built.meta.integer("train_documents") == len(built.train_offsets) - 1


def test_preparing_again_reads_the_cache(built: PreparedData, tiny_source: CorpusSource, tmp_path: Path) -> None:
    assert prepare_source(replace(tiny_source, load=never_loads), SIZE, cache=tmp_path) == built


def test_preparing_elsewhere_gives_the_same_files(
    built: PreparedData, tiny_source: CorpusSource, tmp_path: Path
) -> None:
    other = prepare_source(tiny_source, SIZE, cache=tmp_path / "other")
    assert [(other.folder / name).read_bytes() for name in FILES] == [(built.folder / n).read_bytes() for n in FILES]


def test_another_vocabulary_size_has_a_folder_of_its_own(
    built: PreparedData, tiny_source: CorpusSource, tmp_path: Path
) -> None:
    assert prepare_source(tiny_source, SIZE + 1, cache=tmp_path).folder != built.folder


def test_another_text_has_a_folder_of_its_own(built: PreparedData, tiny_source: CorpusSource, tmp_path: Path) -> None:
    assert prepare_source(replace(tiny_source, digest="x"), SIZE, cache=tmp_path).folder != built.folder


def test_token_arrays_are_read_only(built: PreparedData) -> None:
    for array in (built.train_tokens, built.train_offsets, built.val_tokens, built.val_offsets):
        assert not array.flags.writeable


def test_pickling_does_not_copy_the_tokens(built: PreparedData) -> None:
    text = pickle.dumps(built)
    assert pickle.loads(text) == built  # noqa: S301
    assert len(text) < 10_000


@pytest.mark.parametrize("name", [*FILES, CHECKSUMS])
@pytest.mark.parametrize("how", ["changed", "truncated", "missing"])
def test_a_damaged_file_is_noticed_and_built_again(
    name: str, how: str, built: PreparedData, tiny_source: CorpusSource, tmp_path: Path
) -> None:
    path = built.folder / name
    data = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        half = len(data) // 2
        path.write_bytes(
            data[:half] if how == "truncated" else data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :]
        )
    again = prepare_source(tiny_source, SIZE, cache=tmp_path)
    assert (path.read_bytes(), damage(again.folder)) == (data, ())


def test_rebuilding_logs_one_line_with_the_damaged_file(
    built: PreparedData, tiny_source: CorpusSource, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (built.folder / "val.bin").write_bytes(b"")
    with caplog.at_level(logging.INFO, logger="foldover"):
        prepare_source(tiny_source, SIZE, cache=tmp_path)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "files=val.bin action=rebuild" in caplog.text


def test_a_reader_keeps_its_tokens_while_a_damaged_cache_is_rebuilt(
    built: PreparedData, tiny_source: CorpusSource, tmp_path: Path
) -> None:
    tokens = built.train_tokens
    copy = tokens.copy()
    (built.folder / "val.bin").write_bytes(b"")
    prepare_source(tiny_source, SIZE, cache=tmp_path)
    assert np.array_equal(tokens, copy)


def test_a_file_in_the_place_of_the_folder_is_replaced(
    built: PreparedData, tiny_source: CorpusSource, tmp_path: Path
) -> None:
    place = tmp_path / "second"
    place.mkdir()
    (place / built.folder.name).write_text("not a folder")
    assert damage(prepare_source(tiny_source, SIZE, cache=place).folder) == ()


def test_two_processes_at_once_build_once(tmp_path: Path) -> None:
    with builder(tmp_path) as first:
        assert says(first) == "building"
        with builder(tmp_path) as second:
            assert says(second) == "waiting for another process"
            go_on(first)
            # The second says the digest at once: it did not build.
            assert len(digest := says(first)) == 64
            assert says(second) == digest


@pytest.mark.parametrize("how", ["", "die half-way"])
def test_a_killed_builder_leaves_nothing_half(how: str, tmp_path: Path) -> None:
    with builder(tmp_path, how) as killed:
        assert says(killed) == "building"
        if how:
            go_on(killed)
        else:
            killed.kill()
        assert killed.wait() == -signal.SIGKILL
    assert all(name.startswith(".") for name in names(tmp_path))
    with builder(tmp_path) as second:
        assert says(second) == "building"
        go_on(second)
        assert len(says(second)) == 64
    (only,) = names(tmp_path)
    assert damage(tmp_path / only) == ()


def test_a_failed_preparation_leaves_nothing(tiny_source: CorpusSource, tmp_path: Path) -> None:
    def fail() -> Corpus:
        raise DataError("the text is not the pinned one")

    with suppress(DataError):
        prepare_source(replace(tiny_source, load=fail), SIZE, cache=tmp_path)
    assert names(tmp_path) == []


def test_progress_runs_from_zero_to_one_through_named_phases(tiny_source: CorpusSource, tmp_path: Path) -> None:
    calls: list[tuple[str, float]] = []
    prepare_source(tiny_source, SIZE, cache=tmp_path, progress=lambda phase, done: calls.append((phase, done)))
    assert list(dict.fromkeys(phase for phase, _ in calls)) == [
        "reading",
        "training the tokenizer",
        "encoding",
        "counting reference lines",
        "writing",
        "prepared",
    ]
    fractions = [done for _, done in calls]
    assert (fractions[0], fractions[-1], fractions) == (0.0, 1.0, sorted(fractions))


def test_a_cache_folder_that_cannot_be_written_is_an_outside_error(tiny_source: CorpusSource, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutsideError, match=r"cannot be written.*FOLDOVER_CACHE"):
        prepare_source(tiny_source, SIZE, cache=tmp_path / "file")


def test_an_impossible_vocabulary_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="vocabulary size"):
        prepare(vocab_size=100, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_an_unknown_corpus_is_refused() -> None:
    with pytest.raises(DataError, match="no corpus of that name"):
        prepare("shakespeare")


def test_the_cache_folder_is_the_argument_before_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FOLDOVER_CACHE", str(tmp_path / "variable"))
    assert (cache_folder(tmp_path / "argument"), cache_folder()) == (tmp_path / "argument", tmp_path / "variable")


def test_without_argument_and_variable_the_platform_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FOLDOVER_CACHE", raising=False)
    assert cache_folder().name == "foldover"


def test_the_default_preparation_is_the_known_one(prepared: PreparedData) -> None:
    # As first computed (rustbpe 0.1.0): a change means that runs from before and after do not compare.
    assert {name: str(value)[:16] for name, value in prepared.digests.items()} == {
        "corpus": "49bf5edcd2da5e10",
        "tokenizer": "6b6863134ea53430",
        "train": "571a879d9e4ef567",
        "validation": "14947eb87eff113d",
    }


def test_bytes_of_the_default_preparation_add_up(prepared: PreparedData) -> None:
    found = [int(prepared.token_bytes[tokens].sum()) for tokens in (prepared.train_tokens, prepared.val_tokens)]
    assert found == [11_326_803, 858_948]
