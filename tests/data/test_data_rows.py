from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foldover.core import DataError
from foldover.data import (
    CorpusSource,
    LongDocuments,
    PreparedData,
    ValidationOrder,
    cut_units,
    prepare_source,
    shuffled,
    train_rows,
    validation_digest,
    validation_rows,
)

CONTEXT = 256
RULES = ("split", "crop")


def test_a_training_row_holds_context_plus_one_ids(prepared: PreparedData) -> None:
    assert next(train_rows(prepared, context=CONTEXT, seed=0)).shape == (CONTEXT + 1,)


@pytest.mark.parametrize("rule", RULES)
def test_training_rows_start_with_bos(prepared: PreparedData, rule: LongDocuments) -> None:
    rows = train_rows(prepared, context=CONTEXT, seed=0, long_documents=rule).take(500)
    assert (rows[:, 0] == prepared.bos_id).all()


@pytest.mark.parametrize("rule", RULES)
def test_rows_do_not_depend_on_how_many_are_taken_at_a_time(prepared: PreparedData, rule: LongDocuments) -> None:
    together = train_rows(prepared, context=CONTEXT, seed=3, long_documents=rule).take(60)
    one_by_one = train_rows(prepared, context=CONTEXT, seed=3, long_documents=rule)
    in_sevens = train_rows(prepared, context=CONTEXT, seed=3, long_documents=rule)
    assert np.array_equal(together, [next(one_by_one) for _ in range(60)])
    assert np.array_equal(together[:56], np.concatenate([in_sevens.take(7) for _ in range(8)]))


def test_another_seed_gives_other_rows(prepared: PreparedData) -> None:
    first, second = (train_rows(prepared, context=CONTEXT, seed=seed).take(20) for seed in (0, 1))
    assert not np.array_equal(first, second)


def test_the_first_training_rows_are_the_known_ones(prepared: PreparedData) -> None:
    # As first computed; a change means that runs of one seed no longer share their batches with earlier ones.
    rows = train_rows(prepared, context=CONTEXT, seed=7).take(64)
    assert validation_digest(rows)[:16] == "5a6d878d3bd6f7af"


def test_an_epoch_shows_nearly_the_whole_corpus_when_split(prepared: PreparedData) -> None:
    rows = train_rows(prepared, context=CONTEXT, seed=0)
    total = 0
    while rows.epoch < 1:
        total += int(prepared.token_bytes[rows.take(1)].sum())
    # What is not seen yet waits in the buffer of a thousand units.
    assert 0.9 < total / prepared.meta.number("train_bytes") < 1.0


def test_the_position_counts_epochs_and_rows(prepared: PreparedData) -> None:
    rows = train_rows(prepared, context=CONTEXT, seed=0, long_documents="crop")
    before = (rows.epoch, rows.rows)
    rows.take(3)
    # Every document is longer than a row, and a buffer of 1,000 holds more than four epochs of 232.
    assert (before, rows.epoch, rows.rows) == ((-1, 0), 4, 3)


def test_the_second_epoch_shows_the_same_pieces_in_another_order(tiny_source: CorpusSource, tmp_path: Path) -> None:
    tiny = prepare_source(tiny_source, 300, cache=tmp_path)
    units = cut_units(tiny.train_tokens, tiny.train_offsets, row_length=33, bos_id=tiny.bos_id)
    whole_pieces = int((units.lengths == 33).sum())
    rows = train_rows(tiny, context=32, seed=0)
    first, second = (rows.take(whole_pieces).tolist() for _ in range(2))
    assert first != second
    assert sorted(first) == sorted(second)


def test_epochs_differ_in_their_order() -> None:
    assert not np.array_equal(shuffled(100, seed=0, epoch=0), shuffled(100, seed=0, epoch=1))


def test_an_order_is_a_permutation() -> None:
    assert sorted(shuffled(1000, seed=5, epoch=2).tolist()) == list(range(1000))


def test_validation_rows_are_tokens_over_context(prepared: PreparedData) -> None:
    assert validation_rows(prepared, context=CONTEXT, num_tokens=65_600).shape == (256, CONTEXT + 1)


@pytest.mark.parametrize("order", ["stream", "spread"])
def test_fewer_validation_tokens_are_the_beginning_of_more(prepared: PreparedData, order: ValidationOrder) -> None:
    few, more = (validation_rows(prepared, context=CONTEXT, num_tokens=n, order=order) for n in (5_120, 10_240))
    assert np.array_equal(few, more[: len(few)])


@pytest.mark.parametrize("order", ["stream", "spread"])
def test_the_whole_validation_side_can_be_scored(prepared: PreparedData, order: ValidationOrder) -> None:
    rows = validation_rows(prepared, context=CONTEXT, num_tokens=287_744, order=order)
    assert prepared.token_bytes[rows].sum() / prepared.meta.number("val_bytes") > 0.998


def test_a_spread_part_is_as_dense_in_bytes_as_the_whole(prepared: PreparedData) -> None:
    rows = validation_rows(prepared, context=CONTEXT, num_tokens=32_768, order="spread")
    whole = prepared.meta.number("val_bytes") / prepared.meta.number("val_tokens")
    assert prepared.token_bytes[rows[:, 1:]].mean() == pytest.approx(whole, rel=0.01)


def test_validation_digests_tell_rows_apart(prepared: PreparedData) -> None:
    rows = [validation_rows(prepared, context=c, num_tokens=n) for c, n in ((256, 5_120), (256, 10_240), (128, 5_120))]
    assert len({validation_digest(each) for each in rows}) == 3


@pytest.mark.parametrize(("order", "digest"), [("stream", "953028ad3db92c90"), ("spread", "072b79b7658c0d4e")])
def test_the_validation_rows_are_the_known_ones(prepared: PreparedData, order: ValidationOrder, digest: str) -> None:
    rows = validation_rows(prepared, context=CONTEXT, num_tokens=65_536, order=order)
    assert validation_digest(rows)[:16] == digest


def test_too_few_validation_tokens_are_refused_with_how_many_there_are(prepared: PreparedData) -> None:
    with pytest.raises(DataError, match="`eval_tokens` to at most 287744"):
        validation_rows(prepared, context=CONTEXT, num_tokens=300_000)


def test_less_than_a_row_of_validation_is_refused(prepared: PreparedData) -> None:
    with pytest.raises(DataError, match="no validation row of 256"):
        validation_rows(prepared, context=CONTEXT, num_tokens=255)
