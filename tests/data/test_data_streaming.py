from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from foldover.core import DataError
from foldover.data import (
    Corpus,
    CorpusSource,
    Document,
    PreparedData,
    StreamedSource,
    list_prepared,
    prepare,
    prepare_source,
)
from foldover.data.prepared import FILES, VAL_BYTES, damage
from foldover.data.streaming import STATE

Lines = Callable[[Path, Sequence[object]], Path]

# Builds a corpus of eight parts; kills itself, or is full, when it has come to the part of that number.
BUILDER = """
import os, signal, sys
from dataclasses import dataclass
from pathlib import Path
from foldover.data import Document, StreamedSource, prepare_source

@dataclass(frozen=True)
class Part:
    number: int
    name: str = "part"
    approximate_bytes: int = 1
    def documents(self):
        print("part", self.number, flush=True)
        if str(self.number) == sys.argv[2]:
            os.kill(os.getpid(), signal.SIGKILL)
        for i in range(5):
            text = f"{self.number} {i} " + "little ducks went swimming one day. " * (3 + self.number)
            yield Document(id=f"{self.number}/{i}", text=text.encode())

source = StreamedSource(
    name="ducks", location="ducks", digest="d" * 64,
    train=tuple(Part(i) for i in range(6)), val=(Part(6), Part(7)),
)
data = prepare_source(source, int(sys.argv[4]), cache=Path(sys.argv[1]), tokenizer=sys.argv[3])
print(data.digests["train"], data.digests["validation"], flush=True)
"""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A part of given documents."""

    texts: tuple[bytes, ...]
    name: str = "listed"
    approximate_bytes: int = 10

    def documents(self) -> Iterator[Document]:
        for i, text in enumerate(self.texts):
            yield Document(id=f"{self.name}/{i}", text=text)


def source_of(train: Sequence[bytes], val: Sequence[bytes], digest: str = "x" * 64) -> StreamedSource:
    return StreamedSource(
        name="listed",
        location="path:listed",
        digest=digest,
        train=tuple(Listed(texts=(text,), name=f"t{i}") for i, text in enumerate(train)),
        val=(Listed(texts=tuple(val), name="v"),),
    )


TRAIN = tuple(f"Training text {i} of the ducks that went swimming one day.\n".encode() * 9 for i in range(20))
VAL = tuple(f"Validation text {i}, where only {i} little ducks came back.\n".encode() * 5 for i in range(6))


def run_builder(cache: Path, stop: str, tokenizer: str = "bytes", size: int = 260) -> tuple[int, list[str]]:
    command = [sys.executable, "-c", BUILDER, str(cache), stop, tokenizer, str(size)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    return done.returncode, done.stdout.split("\n")[:-1]


def partial_of(cache: Path) -> Path:
    (only,) = (path for path in cache.iterdir() if path.name.endswith(".partial"))
    return only


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    return prepare_source(source_of(TRAIN, VAL), 300, cache=tmp_path_factory.mktemp("cache"))


def test_tokens_of_a_streamed_corpus_decode_to_it(listed: PreparedData) -> None:
    encoder = listed.tokenizer.encoder()
    for tokens, texts in ((listed.train_tokens, TRAIN), (listed.val_tokens, VAL)):
        assert encoder.decode(tokens[tokens != listed.bos_id].astype(np.uint32)) == b"".join(texts)


def test_part_by_part_gives_the_tokens_of_all_at_once(tiny_corpus: Corpus, tmp_path: Path) -> None:
    whole = prepare_source(CorpusSource(name="a", digest="a", load=lambda: tiny_corpus), 300, cache=tmp_path)
    parts = source_of([one.text for one in tiny_corpus.train], [one.text for one in tiny_corpus.val])
    streamed = prepare_source(parts, 300, cache=tmp_path)
    names = ("tokenizer", "train", "validation")
    assert [streamed.digests[name] for name in names] == [whole.digests[name] for name in names]
    assert streamed.references == whole.references
    for name in ("train.bin", "train_offsets.npy", "val.bin", "val_offsets.npy"):
        assert (streamed.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_a_finished_folder_holds_nothing_of_the_building(listed: PreparedData) -> None:
    assert sorted(file.name for file in listed.folder.iterdir()) == sorted((*FILES, "checksums.json"))


def test_sizes_of_a_streamed_corpus_are_recorded(listed: PreparedData) -> None:
    meta = listed.meta
    assert (meta["train_documents"], meta["val_documents"]) == (20, 6)
    assert (meta["train_bytes"], meta["val_bytes"]) == (sum(map(len, TRAIN)), sum(map(len, VAL)))
    assert meta["location"] == "path:listed"


def test_preparing_a_streamed_corpus_again_reads_the_cache(listed: PreparedData) -> None:
    unreadable = replace(source_of((), ()), digest="x" * 64)
    assert prepare_source(unreadable, 300, cache=listed.folder.parent) == listed


@pytest.mark.parametrize("kind", ["bytes", "pieces"])
@pytest.mark.parametrize("stop", ["7", "3"])
def test_a_killed_build_goes_on_with_the_next_part(stop: str, kind: str, piece_model: bytes, tmp_path: Path) -> None:
    (tmp_path / "pieces.model").write_bytes(piece_model)
    tokenizer = ("bytes", 260) if kind == "bytes" else (f"path:{tmp_path / 'pieces.model'}", 330)
    code, said = run_builder(tmp_path / "killed", stop, *tokenizer)
    assert (code, said[-1]) == (-signal.SIGKILL, f"part {stop}")
    code, again = run_builder(tmp_path / "killed", "-", *tokenizer)
    _, whole = run_builder(tmp_path / "whole", "-", *tokenizer)
    assert (code, again[0], again[-1]) == (0, f"part {stop}", whole[-1])


def test_what_was_written_after_the_state_is_cut_off(tmp_path: Path) -> None:
    assert run_builder(tmp_path / "killed", "2")[0] == -signal.SIGKILL
    for name in ("train.bin", "train_lengths.raw"):
        with (partial_of(tmp_path / "killed") / name).open("ab") as file:
            file.write(b"half a part")
    assert run_builder(tmp_path / "killed", "-")[1][-1] == run_builder(tmp_path / "whole", "-")[1][-1]


def test_a_damaged_state_begins_the_encoding_anew(tmp_path: Path) -> None:
    assert run_builder(tmp_path / "killed", "2")[0] == -signal.SIGKILL
    (partial_of(tmp_path / "killed") / STATE).write_text("{")
    assert run_builder(tmp_path / "killed", "-")[1] == run_builder(tmp_path / "whole", "-")[1]


def test_a_killed_build_is_listed_as_unfinished(tmp_path: Path) -> None:
    assert run_builder(tmp_path / "killed", "2")[0] == -signal.SIGKILL
    assert [folder.condition for folder in list_prepared(tmp_path / "killed")] == ["unfinished"]


def test_several_processes_give_the_same_files(
    tmp_path: Path, write_lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foldover.data.json_lines.PART_BYTES", 3000)
    write_lines(tmp_path / "c" / "train.jsonl", [text.decode() for text in TRAIN])
    write_lines(tmp_path / "c" / "val.jsonl", [text.decode() for text in VAL])
    one, two = (prepare(f"path:{tmp_path / 'c'}", 280, cache=tmp_path / str(n), workers=n) for n in (1, 2))
    assert [(two.folder / name).read_bytes() for name in FILES] == [(one.folder / name).read_bytes() for name in FILES]


def test_an_error_in_a_process_of_the_pool_is_the_error(tmp_path: Path, write_lines: Lines) -> None:
    write_lines(tmp_path / "c" / "train_0.jsonl", ["fine " * 99])
    write_lines(tmp_path / "c" / "train_1.jsonl", [{"text": 3}])
    write_lines(tmp_path / "c" / "val.jsonl", ["fine, too"])
    with pytest.raises(DataError, match=r"train_1\.jsonl:1"):
        prepare(f"path:{tmp_path / 'c'}", 260, tokenizer="bytes", cache=tmp_path, workers=2)


def test_errors_leave_no_folder_behind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="t1/0 is not UTF-8"):
        prepare_source(source_of([TRAIN[0], b"\xff"], VAL), 260, tokenizer="bytes", cache=tmp_path)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize(
    ("train", "val", "words"),
    [((), VAL, "no training text"), (TRAIN, (), "no validation text"), (TRAIN, (b"",), "no validation text")],
)
def test_a_side_without_text_is_refused(
    train: Sequence[bytes], val: Sequence[bytes], words: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=words):
        prepare_source(source_of(train, val), 260, tokenizer="bytes", cache=tmp_path)


def test_empty_documents_are_left_out_and_counted(tmp_path: Path) -> None:
    found = prepare_source(source_of([*TRAIN, b""], [*VAL, b""]), 260, tokenizer="bytes", cache=tmp_path)
    assert (found.meta["skipped_documents"], found.meta["val_documents"]) == (2, 6)


def test_one_document_longer_than_all_else_is_taken(tmp_path: Path) -> None:
    long = b"And so on.\n" * 200_000
    found = prepare_source(source_of([*TRAIN, long], VAL), 260, tokenizer="bytes", cache=tmp_path)
    assert np.diff(found.train_offsets).max() == len(long) + 1


def test_validation_text_that_training_has_is_refused_with_its_share(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 of 6 validation documents .* \(16.7% of the validation text"):
        prepare_source(source_of([*TRAIN, VAL[3]], VAL), 260, tokenizer="bytes", cache=tmp_path)


def test_a_little_of_it_is_counted(tmp_path: Path) -> None:
    val = [*VAL, b"Page not found."]
    found = prepare_source(source_of([*TRAIN, val[-1], val[-1]], val), 260, tokenizer="bytes", cache=tmp_path)
    assert (found.meta["repeated_documents"], found.meta["repeated_bytes"]) == (1, 15)


def test_each_tokenizer_has_a_folder_of_its_own(tmp_path: Path) -> None:
    source = source_of(TRAIN, VAL)
    folders = {
        prepare_source(source, size, tokenizer=name, cache=tmp_path).folder
        for name, size in (("bpe", 280), ("bytes", 260), ("sentencepiece", 300))
    }
    assert len(folders) == 3


def test_raw_bytes_of_validation_tokens_are_kept_where_pieces_do_not_say(tmp_path: Path) -> None:
    found = prepare_source(source_of(TRAIN, VAL), 300, tokenizer="sentencepiece", cache=tmp_path)
    covered = found.val_bytes
    assert covered is not None
    sums = np.add.reduceat(covered, found.val_offsets[:-1])
    assert sums.tolist() == [len(text) for text in VAL]
    assert (found.folder / VAL_BYTES).exists()


def test_bytes_of_a_token_alone_are_refused_where_they_depend_on_its_place(tmp_path: Path) -> None:
    found = prepare_source(source_of(TRAIN, VAL), 300, tokenizer="sentencepiece", cache=tmp_path)
    with pytest.raises(DataError, match="depend on where it stands"):
        _ = found.token_bytes


def test_piece_bytes_far_from_the_text_are_refused_where_they_are_divided_by(
    folding_model: bytes, tmp_path: Path
) -> None:
    (tmp_path / "folding.model").write_bytes(folding_model)
    source = source_of(TRAIN, ["いろはにほへと ちりぬるを\n".encode() * 9])
    name = f"path:{tmp_path / 'folding.model'}"
    prepare_source(source, 150, tokenizer=name, cache=tmp_path)
    with pytest.raises(DataError, match=r"do not add up to the text: .* ratio 0\.[0-9]{6}"):
        prepare_source(source, 150, tokenizer=name, cache=tmp_path, accounting="pieces")


def test_large_folders_are_read_again_only_if_something_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foldover.data.prepared.ALWAYS_CHECKED_BYTES", 100)
    found = prepare_source(source_of(TRAIN, VAL), 260, tokenizer="bytes", cache=tmp_path)
    assert damage(found.folder) == ()
    monkeypatch.setattr("foldover.data.prepared.sha256_of_file", None)
    assert damage(found.folder) == ()
    monkeypatch.undo()
    os.utime(found.folder / "val.bin", ns=(1, 1))
    data = bytearray((found.folder / "val.bin").read_bytes())
    data[-1] ^= 1
    (found.folder / "val.bin").write_bytes(bytes(data))
    assert damage(found.folder) == ("val.bin",)


@pytest.mark.parametrize("tokenizer", [("bpe", 280), ("sentencepiece", 300)])
def test_a_prepared_corpus_pickles(tokenizer: tuple[str, int], tmp_path: Path) -> None:
    found = prepare_source(source_of(TRAIN, VAL), tokenizer[1], tokenizer=tokenizer[0], cache=tmp_path)
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301


# Known answers on real text


# Vocabulary, tokens with a BOS a document, unknown tokens, bytes by the pieces / bytes of the text.
FINEWEB = [
    (1024, 640_396, 496, 0.99706),
    (2048, 552_192, 496, 0.99706),
    (4096, 481_116, 496, 0.99706),
    (8192, 429_121, 0, 0.99753),
]


@pytest.mark.parametrize(("size", "tokens", "unknown", "ratio"), FINEWEB)
def test_fineweb_models_on_openstax_are_as_counted_elsewhere(
    size: int, tokens: int, unknown: int, ratio: float, shared_data: Path, tmp_path: Path
) -> None:
    shards = sorted((shared_data / "openstax").glob("*.parquet"))
    (tmp_path / "c").mkdir()
    small = shared_data / "unicode" / "shard_00001.parquet"
    (tmp_path / "c" / "shard_0.parquet").symlink_to(small)
    (tmp_path / "c" / "shard_1.parquet").symlink_to(shards[-1])
    model = shared_data / "tokenizers" / f"fineweb_{size}_bpe.model"
    found = prepare(f"path:{tmp_path / 'c'}", size, tokenizer=f"path:{model}", cache=tmp_path / "cache")
    meta = found.meta
    assert (meta["val_documents"], meta["val_bytes"], meta["val_tokens"]) == (108, 1_682_480, tokens)
    assert (meta["val_unknown"], round(meta.integer("val_piece_bytes") / 1_682_480, 5)) == (unknown, ratio)
    if size == 1024:
        there = shared_data / "token_shards_sp1024" / "openstax_val_000000.bin"
        assert (found.folder / "val.bin").read_bytes() == there.read_bytes()


def test_documents_of_any_script_keep_their_bytes(shared_data: Path, tmp_path: Path) -> None:
    found = prepare(f"path:{shared_data / 'unicode'}", 2000, tokenizer="sentencepiece", cache=tmp_path)
    covered = found.val_bytes
    assert covered is not None
    assert int(covered.sum()) == found.meta["val_bytes"] == 70_479


def test_the_embedded_corpus_as_parquet_has_the_same_tokens(
    shared_data: Path, prepared: PreparedData, tmp_path: Path
) -> None:
    found = prepare(f"path:{shared_data / 'sotu'}", 1024, cache=tmp_path)
    assert found.digests["validation"] == prepared.digests["validation"]
    assert found.references["order_6"] == prepared.references["order_6"]
