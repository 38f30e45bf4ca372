from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldover.core import DataError, from_json, to_json
from foldover.data import (
    BlockRows,
    CorpusSource,
    Prefetcher,
    PreparedData,
    RowsState,
    StreamOrder,
    StreamRows,
    TrainRows,
    open_rows,
    prepare_source,
    scored_rows,
    train_rows,
    validation_rows,
)

CONTEXT = 24


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, tiny_corpus) -> PreparedData:  # type: ignore[no-untyped-def]
    source = CorpusSource(name="tiny", digest="t" * 64, load=lambda: tiny_corpus)
    return prepare_source(source, 300, cache=tmp_path_factory.mktemp("cache"))


def new(tiny: PreparedData, loader: str, seed: int = 3) -> TrainRows | StreamRows | BlockRows:
    orders: dict[str, StreamOrder] = {"shuffled": "shuffled", "coprime": "coprime"}
    return open_rows(
        tiny,
        context=CONTEXT,
        seed=seed,
        loader="pack" if loader == "pack" else "stream",
        order=orders.get(loader, "sequential"),
    )


both = pytest.mark.parametrize("loader", ["pack", "stream", "shuffled", "coprime"])
blocks = pytest.mark.parametrize("order", ["shuffled", "coprime"])


@blocks
def test_no_block_comes_twice_before_all_have_come(order: StreamOrder, tiny: PreparedData) -> None:
    tokens = np.asarray(tiny.train_tokens)
    count = (len(tokens) - CONTEXT) // CONTEXT
    rows = BlockRows(tiny, context=CONTEXT, seed=3, order=order)
    first, second = rows.take(count), rows.take(count)
    assert rows.epoch == 1
    for epoch in (first, second):
        phases = [
            phase
            for phase in range(CONTEXT)
            if {row.tobytes() for row in epoch}
            == {tokens[phase + i * CONTEXT : phase + (i + 1) * CONTEXT + 1].tobytes() for i in range(count)}
        ]
        assert phases, "the rows are not the blocks of the stream"
    assert not np.array_equal(first, second)


@blocks
def test_other_seeds_have_other_orders_and_equal_ones_the_same(order: StreamOrder, tiny: PreparedData) -> None:
    one, other, again = (BlockRows(tiny, context=CONTEXT, seed=seed, order=order).take(40) for seed in (1, 2, 1))
    assert not np.array_equal(one, other)
    assert np.array_equal(one, again)


def test_coprime_blocks_are_a_stride_apart(tiny: PreparedData) -> None:
    tokens = np.asarray(tiny.train_tokens)
    count = (len(tokens) - CONTEXT) // CONTEXT
    where: dict[bytes, list[int]] = {}
    for i in range(count):
        where.setdefault(tokens[i * CONTEXT : (i + 1) * CONTEXT + 1].tobytes(), []).append(i)
    found = [where[row.tobytes()] for row in BlockRows(tiny, context=CONTEXT, seed=5, order="coprime").take(count)]
    places = [one[0] if len(one) == 1 else None for one in found]
    steps = {(b - a) % count for a, b in pairwise(places) if a is not None and b is not None}
    assert len(steps) == 1


def test_too_short_a_stream_for_blocks_is_refused(tiny: PreparedData) -> None:
    with pytest.raises(DataError, match="less than two rows"):
        BlockRows(tiny, context=10**6, seed=0, order="shuffled")


def test_rows_of_the_stream_follow_each_other_with_one_id_in_common(tiny: PreparedData) -> None:
    rows = StreamRows(tiny, context=CONTEXT).take(10)
    assert np.array_equal(rows[1:, 0], rows[:-1, -1])
    assert np.array_equal(np.append(rows[:, :-1].ravel(), rows[-1, -1]), tiny.train_tokens[: 10 * CONTEXT + 1])


def test_after_the_last_id_of_the_stream_comes_the_first(tiny: PreparedData) -> None:
    rows = StreamRows(tiny, context=CONTEXT)
    count = len(tiny.train_tokens)
    found = rows.take(3 * count // CONTEXT)
    places = np.arange(len(found))[:, None] * CONTEXT + np.arange(CONTEXT + 1)
    assert np.array_equal(found, tiny.train_tokens[places % count])
    assert rows.epoch == 2


def test_the_stream_is_the_same_for_every_seed(tiny: PreparedData) -> None:
    assert np.array_equal(new(tiny, "stream", 1).take(50), new(tiny, "stream", 2).take(50))


def test_a_stream_shorter_than_a_row_is_refused(tiny: PreparedData) -> None:
    with pytest.raises(DataError, match="less than a row"):
        StreamRows(tiny, context=10**6)


@both
def test_rows_are_the_same_however_they_are_taken(loader: str, tiny: PreparedData) -> None:
    one, many = new(tiny, loader), new(tiny, loader)
    assert np.array_equal(np.concatenate([one.take(n) for n in (1, 5, 2, 40)]), many.take(48))


@both
@given(before=st.integers(0, 700), after=st.integers(1, 60))
@settings(max_examples=25)
def test_a_restored_loader_goes_on_exactly(loader: str, tiny: PreparedData, before: int, after: int) -> None:
    whole, other = new(tiny, loader), new(tiny, loader)
    whole.take(before)
    other.restore(whole.state())
    assert np.array_equal(other.take(after), whole.take(after))
    assert (other.state(), other.epoch, other.rows) == (whole.state(), whole.epoch, whole.rows)


@both
def test_a_loader_goes_back_to_where_it_was(loader: str, tiny: PreparedData) -> None:
    rows = new(tiny, loader)
    rows.take(33)
    state = rows.state()
    first = rows.take(20)
    rows.restore(state)
    assert np.array_equal(rows.take(20), first)


@both
def test_a_state_survives_json(loader: str, tiny: PreparedData) -> None:
    rows = new(tiny, loader)
    rows.take(33)
    assert from_json(RowsState, to_json(rows.state())) == rows.state()


@pytest.mark.parametrize("change", ["seed", "context", "loader", "order", "long_documents"])
def test_a_state_of_other_rows_is_refused(change: str, tiny: PreparedData) -> None:
    state = train_rows(tiny, context=CONTEXT, seed=3).state()
    others: dict[str, Callable[[], TrainRows | StreamRows | BlockRows]] = {
        "seed": lambda: train_rows(tiny, context=CONTEXT, seed=4),
        "context": lambda: train_rows(tiny, context=CONTEXT + 1, seed=3),
        "loader": lambda: StreamRows(tiny, context=CONTEXT),
        "order": lambda: BlockRows(tiny, context=CONTEXT, seed=3, order="shuffled"),
        "long_documents": lambda: train_rows(tiny, context=CONTEXT, seed=3, long_documents="crop"),
    }
    with pytest.raises(DataError, match="belongs to other rows"):
        others[change]().restore(state)


@both
def test_prefetched_batches_are_the_batches(loader: str, tiny: PreparedData) -> None:
    plain = new(tiny, loader)
    with Prefetcher(new(tiny, loader), 7) as ahead:
        for _ in range(9):
            assert np.array_equal(next(ahead), plain.take(7))


@both
def test_the_position_of_a_prefetcher_is_that_of_what_it_gave(loader: str, tiny: PreparedData) -> None:
    plain = new(tiny, loader)
    with Prefetcher(new(tiny, loader), 7, depth=4) as ahead:
        assert ahead.state() == plain.state()
        for _ in range(3):
            next(ahead)
        plain.take(21)
        assert ahead.state() == plain.state()


def test_a_closed_prefetcher_has_no_thread(tiny: PreparedData) -> None:
    with Prefetcher(new(tiny, "pack"), 7) as ahead:
        next(ahead)
    assert not ahead._thread.is_alive()


def test_an_error_of_the_loader_comes_where_its_batch_would_have(tiny: PreparedData) -> None:
    class Failing(StreamRows):
        def take(self, num_rows: int):  # type: ignore[no-untyped-def]
            if self.rows >= 14:
                raise DataError("the disk is gone")
            return super().take(num_rows)

    with Prefetcher(Failing(tiny, context=CONTEXT), 7) as ahead:
        next(ahead)
        next(ahead)
        with pytest.raises(DataError, match="the disk is gone"):
            next(ahead)


def _first_rows(data: PreparedData) -> bytes:
    return train_rows(data, context=CONTEXT, seed=3).take(5).tobytes()


def test_another_process_reads_the_same_rows_from_a_pickle(tiny: PreparedData) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_first_rows, (tiny,)) == _first_rows(tiny)


# What is scored


@pytest.mark.parametrize("loader", ["pack", "stream"])
@pytest.mark.parametrize("order", ["stream", "spread"])
def test_scored_rows_are_the_validation_rows(loader, order, tiny: PreparedData) -> None:  # type: ignore[no-untyped-def]
    arguments = {"context": CONTEXT, "num_tokens": 10 * CONTEXT, "loader": loader, "order": order}
    scored = scored_rows(tiny, **arguments)
    assert np.array_equal(scored.ids, validation_rows(tiny, **arguments))


def test_bytes_of_byte_level_targets_are_those_of_the_table(tiny: PreparedData) -> None:
    scored = scored_rows(tiny, context=CONTEXT, num_tokens=10 * CONTEXT)
    assert np.array_equal(scored.bytes, tiny.token_bytes[scored.ids[:, 1:]])
    assert np.array_equal(scored.is_scored, scored.ids[:, 1:] != tiny.bos_id)


@pytest.mark.parametrize("long_documents", ["split", "crop"])
def test_raw_bytes_are_packed_with_their_tokens(long_documents, tiny_corpus, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    source = CorpusSource(name="tiny", digest="t" * 64, load=lambda: tiny_corpus)
    data = prepare_source(source, 330, tokenizer="sentencepiece", cache=tmp_path)
    num_rows = 20 if long_documents == "split" else 3
    scored = scored_rows(
        data, context=CONTEXT, num_tokens=num_rows * CONTEXT, long_documents=long_documents, order="spread"
    )
    # This model changes nothing, so bytes by its pieces, which the tokens say, are the bytes that were packed. All but
    # characters in byte pieces, whose bytes all stand at the last piece: sums agree where a row cuts none.
    table = data.tokenizer.byte_table
    pieces = table.of_targets(scored.ids)
    is_byte_row = (table.base[scored.ids] == 1).any(axis=1)
    assert np.array_equal(scored.bytes[~is_byte_row], pieces[~is_byte_row])
    assert abs(int(scored.bytes.sum()) - int(pieces.sum())) <= 4 * len(scored.ids)
