from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import sentencepiece

from foldover.core import DataError
from foldover.data import PreparedData, prepare, read_shard, scored_rows, validation_rows, write_shard
from foldover.data.shard import HEADER_BYTES, header
from foldover.data.shards import TokenShards

VOCAB = 330
BOS = 1


@pytest.fixture
def model(piece_model: bytes, tmp_path: Path) -> str:
    path = tmp_path / "pieces.model"
    path.write_bytes(piece_model)
    return f"path:{path}"


@pytest.fixture
def shards(piece_model: bytes, tmp_path: Path) -> Callable[..., Path]:
    """Writes a folder of shards of random documents, each with its BOS."""

    def write(train: Sequence[int] = (700, 500, 300), val: Sequence[int] = (400, 300), top: int = VOCAB) -> Path:
        folder = tmp_path / "golf"
        folder.mkdir(exist_ok=True)
        draw = np.random.default_rng(7)
        for side, sizes in (("train", train), ("val", val)):
            for i, size in enumerate(sizes):
                ids = draw.integers(4, top, size).astype(np.uint16)
                ids[0 if i == 0 else 13 :: 37] = BOS  # documents go on from file to file
                write_shard(folder / f"fineweb_{side}_{i:06d}.bin", ids)
        return folder

    return write


def opened(folder: Path, model: str, tmp_path: Path) -> PreparedData:
    return prepare(f"path:{folder}", VOCAB, tokenizer=model, accounting="pieces", cache=tmp_path / "cache")


def all_ids(folder: Path, side: str) -> np.ndarray:
    return np.concatenate([read_shard(path) for path in sorted(folder.glob(f"*_{side}_*.bin"))])


def test_shards_are_read_in_order_of_name_as_they_are(shards: Callable[..., Path], model: str, tmp_path: Path) -> None:
    folder = shards()
    data = opened(folder, model, tmp_path)
    assert np.array_equal(data.train_shards[0 : len(data.train_shards)], all_ids(folder, "train"))
    assert np.array_equal(data.val_shards[0 : len(data.val_shards)], all_ids(folder, "val"))


def test_nothing_of_the_shards_is_copied_into_the_cache(
    shards: Callable[..., Path], model: str, tmp_path: Path
) -> None:
    data = opened(shards(), model, tmp_path)
    assert not list(data.folder.glob("*.bin"))


def test_documents_begin_where_bos_stands_over_the_borders_of_files(
    shards: Callable[..., Path], model: str, tmp_path: Path
) -> None:
    folder = shards()
    data = opened(folder, model, tmp_path)
    assert np.array_equal(data.train_offsets[:-1], np.flatnonzero(all_ids(folder, "train") == BOS))
    assert data.train_offsets[-1] == 1500


@pytest.mark.parametrize("span", [(0, 10), (690, 710), (0, 1500), (650, 1400), (1200, 1200), (1499, 3000), (-5, None)])
def test_a_slice_of_shards_is_that_of_the_whole(span: tuple[int, int | None], shards: Callable[..., Path]) -> None:
    folder = shards()
    whole = all_ids(folder, "train")
    found = TokenShards(sorted(folder.glob("*train*.bin")))[slice(*span)]
    assert np.array_equal(found, whole[slice(*span)])


def test_single_places_of_shards_are_those_of_the_whole(shards: Callable[..., Path]) -> None:
    folder = shards()
    places = np.array([0, 699, 700, 1199, 1200, 1499, 3])
    found = TokenShards(sorted(folder.glob("*train*.bin"))).take(places)
    assert np.array_equal(found, all_ids(folder, "train")[places])


def test_validation_windows_are_those_of_parameter_golf(
    shards: Callable[..., Path], model: str, tmp_path: Path
) -> None:
    folder = shards()
    rows = validation_rows(opened(folder, model, tmp_path), context=64, num_tokens=640, loader="stream")
    tokens = all_ids(folder, "val")[: 10 * 64 + 1]  # truncated to a multiple of T and one
    assert np.array_equal(rows[:, :-1], tokens[:-1].reshape(-1, 64))
    assert np.array_equal(rows[:, 1:], tokens[1:].reshape(-1, 64))


def test_more_windows_than_there_are_is_refused(shards: Callable[..., Path], model: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="fills only 10 rows of 64 tokens"):
        validation_rows(opened(shards(), model, tmp_path), context=64, num_tokens=704, loader="stream")


def test_spread_windows_are_windows_of_the_stream(shards: Callable[..., Path], model: str, tmp_path: Path) -> None:
    data = opened(shards(), model, tmp_path)
    rows = validation_rows(data, context=64, num_tokens=320, loader="stream", order="spread")
    every = validation_rows(data, context=64, num_tokens=640, loader="stream")
    assert {row.tobytes() for row in rows} < {row.tobytes() for row in every}


def test_packing_works_over_the_borders_of_files(shards: Callable[..., Path], model: str, tmp_path: Path) -> None:
    data = opened(shards(), model, tmp_path)
    rows = validation_rows(data, context=36, num_tokens=360)
    assert (rows.shape, set(rows[:, 0].tolist())) == ((10, 37), {BOS})


def test_bytes_of_windows_are_those_of_a_loop_over_tokens(
    shards: Callable[..., Path], model: str, piece_model: bytes, tmp_path: Path
) -> None:
    processor = sentencepiece.SentencePieceProcessor(model_proto=piece_model)
    scored = scored_rows(opened(shards(), model, tmp_path), context=64, num_tokens=640, loader="stream")
    expected = []
    for before, target in zip(scored.ids[:, :-1].ravel().tolist(), scored.ids[:, 1:].ravel().tolist(), strict=True):
        if processor.is_control(target) or processor.is_unknown(target):
            expected.append(0)
        elif processor.is_byte(target):
            expected.append(1)
        else:
            piece = processor.id_to_piece(target)
            is_bound = processor.is_control(before) or processor.is_unknown(before)
            expected.append(len(piece.removeprefix("▁").encode()) + (piece.startswith("▁") and not is_bound))
    assert scored.bytes.ravel().tolist() == expected


def test_under_pieces_every_target_is_scored(shards: Callable[..., Path], model: str, tmp_path: Path) -> None:
    scored = scored_rows(opened(shards(), model, tmp_path), context=64, num_tokens=640, loader="stream")
    assert scored.is_scored.all()


def test_raw_bytes_of_tokens_without_text_are_refused(shards: Callable[..., Path], model: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r'tokens without their text.*accounting = "pieces"'):
        prepare(f"path:{shards()}", VOCAB, tokenizer=model, cache=tmp_path / "cache")


@pytest.mark.parametrize("kind", ["bpe", "sentencepiece"])
def test_no_tokenizer_is_trained_on_tokens(kind: str, shards: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no tokenizer can be trained on"):
        prepare(f"path:{shards()}", VOCAB, tokenizer=kind, cache=tmp_path / "cache")


def test_ids_outside_the_vocabulary_are_refused(shards: Callable[..., Path], model: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has id 39[0-9], and tokenizer sentencepiece has only 330"):
        opened(shards(top=400), model, tmp_path)


def test_ids_of_a_much_smaller_vocabulary_are_refused(shards: Callable[..., Path], model: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the highest of 40,000 ids .* is 1[0-4][0-9].*made with another one"):
        opened(shards(train=(40_000,), top=150), model, tmp_path)


def test_moved_shards_are_the_same_corpus(shards: Callable[..., Path], model: str, tmp_path: Path) -> None:
    folder = shards()
    first = opened(folder, model, tmp_path)
    moved = folder.rename(tmp_path / "moved")
    again = opened(moved, model, tmp_path)
    assert (again.digests, again.val_files[0].parent) == (first.digests, moved)


@pytest.mark.parametrize("name", ["fineweb_000000.bin", "train_val_0.bin"])
def test_a_name_that_says_no_side_is_refused(
    name: str, shards: Callable[..., Path], model: str, tmp_path: Path
) -> None:
    folder = shards()
    write_shard(folder / name, np.arange(9, dtype=np.uint16))
    with pytest.raises(DataError, match="does not say which side"):
        opened(folder, model, tmp_path)


def test_a_side_without_shards_is_refused(shards: Callable[..., Path], model: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no val shards"):
        opened(shards(val=()), model, tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:-1], "cut short or damaged"),
        (lambda data: data + b"\0\0", "cut short or damaged"),
        (lambda data: data[:100], "not a token shard"),
        (lambda data: b"\0" * 8 + data[8:], "does not begin with 20240520"),
        (lambda data: (20240801).to_bytes(4, "little") + data[4:], "holds uint32 ids"),
        (lambda data: data[:4] + b"\7" + data[5:], "unknown version"),
        (lambda data: data[:8] + (2**31 + 5).to_bytes(4, "little") + data[12:], "cut short or damaged"),
        (lambda data: data[:12] + b"\1" + data[13:], "cut short or damaged"),
        (lambda data: header(0), "cut short or damaged"),
    ],
)
def test_a_shard_that_is_not_what_it_says_is_refused_before_it_is_mapped(
    change: Callable[[bytes], bytes], words: str, shards: Callable[..., Path], model: str, tmp_path: Path
) -> None:
    file = shards() / "fineweb_val_000001.bin"
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(DataError, match=words):
        opened(file.parent, model, tmp_path)


def test_a_stream_beyond_int32_is_one_shard(tmp_path: Path) -> None:
    count = 2**31 + 3
    with (tmp_path / "large.bin").open("wb") as file:  # a sparse file: it takes no room
        file.write(header(count))
        file.truncate(HEADER_BYTES + 2 * count)
    assert len(read_shard(tmp_path / "large.bin")) == count


def test_shards_of_real_text_are_those_of_the_models_own_encoding(shared_data: Path, tmp_path: Path) -> None:
    model = f"path:{shared_data / 'tokenizers' / 'fineweb_1024_bpe.model'}"
    data = prepare(
        f"path:{shared_data / 'token_shards_sp1024'}", 1024, tokenizer=model, accounting="pieces", cache=tmp_path
    )
    assert (data.meta["train_tokens"], data.meta["val_tokens"], data.meta["val_unknown"]) == (1_449_172, 640_396, 496)
    assert (data.meta["val_documents"], data.meta["train_documents"]) == (108, 245)


# Bits per byte from text: a thousand documents, from text to a number, by hand and through here.


def test_bits_per_byte_of_a_thousand_documents_is_that_of_plain_code(
    piece_model: bytes, model: str, tmp_path: Path, write_lines: Callable[[Path, Sequence[object]], Path]
) -> None:
    draw = random.Random(5)  # noqa: S311
    words = ["the", "dog", "Über", "Gipfeln", "いろは", "🦊", "𝄞", "don't", "1790", "  ", "\n", "naïve", "½", "x"]
    documents = [f"{i} " + " ".join(draw.choices(words, k=draw.randint(1, 30))) for i in range(1000)]
    write_lines(tmp_path / "c" / "val.jsonl", documents)
    write_lines(tmp_path / "c" / "train.jsonl", ["Something else to train on. " * 20])
    logits = np.random.default_rng(1).normal(size=(VOCAB, VOCAB))
    nll = np.log(np.exp(logits).sum(axis=1, keepdims=True)) - logits  # a model of pairs

    processor = sentencepiece.SentencePieceProcessor(model_proto=piece_model)
    stream = [i for text in documents for i in (BOS, *processor.encode(text))]
    context = 32
    rows = (len(stream) - 1) // context
    nats, size, previous = [], 0, stream[0]
    for target in stream[1 : rows * context + 1]:
        if target != BOS:
            nats.append(nll[previous, target])
        previous = target
    covered = stream[: rows * context + 1]
    ends = [i for i, one in enumerate(covered) if one == BOS] + [len(covered)]
    for text, start, end in zip(documents, ends, ends[1:], strict=False):
        ids = covered[start + 1 : end]
        is_whole = len(ids) == len(processor.encode(text))
        size += len(text.encode()) if is_whole else len(processor.decode(ids).encode())
    expected = math.fsum(nats) / math.log(2) / size

    data = prepare(f"path:{tmp_path / 'c'}", VOCAB, tokenizer=model, cache=tmp_path / "cache")
    scored = scored_rows(data, context=context, num_tokens=rows * context, loader="stream")
    found = (nll[scored.ids[:, :-1], scored.ids[:, 1:]] * scored.is_scored).sum() / math.log(2) / scored.bytes.sum()
    assert found == pytest.approx(expected, rel=1e-9)
