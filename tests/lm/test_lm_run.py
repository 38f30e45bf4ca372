"""Whole runs of the built-in trainer on the embedded corpus: seconds each."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from foldover.core import Budget, Limit, Outcome, Recipe, RunSpec, Settings, bind
from foldover.data import PreparedData, scored_rows
from foldover.lm.after_training import evaluate
from foldover.lm.device import open_device
from foldover.lm.feed import Feed, micro_batches
from foldover.lm.levers import CONSTANTS, LEVERS, MICRO, TrainConfig
from foldover.lm.model import build_model
from foldover.lm.trainer import LMTrainer
from foldover.rundir import EndedRun, RunRoot, read_ended


def run_once(root: Path, limit: str = "4 steps", seed: int = 7, **levers: object) -> tuple[Outcome, EndedRun]:
    spec = RunSpec(
        study="",
        stage="",
        package="",
        condition="",
        levels=(),
        recipe=Recipe(trainer="lm", values=LEVERS.complete(levers, MICRO)),
        budget=Budget(limit=Limit.parse(limit)),
        seed=seed,
        constants=CONSTANTS.complete({"eval_tokens": 1024}),
    )
    runs = RunRoot(root)
    with runs.claim(spec) as folder:
        assert folder is not None
        outcome = LMTrainer().train(spec, folder, Settings())
        place = runs.finish(folder, outcome)
    return outcome, read_ended(place)


@pytest.mark.usefixtures("prepared")
def test_a_run_in_steps_repeats_to_the_last_bit(tmp_path: Path) -> None:
    first, _ = run_once(tmp_path / "a")
    second, _ = run_once(tmp_path / "b")
    assert first.responses["val_bpb"] == second.responses["val_bpb"]
    assert first.counters["last_train_loss"] == second.counters["last_train_loss"]


@pytest.mark.usefixtures("prepared")
def test_another_seed_gives_another_result(tmp_path: Path) -> None:
    first, _ = run_once(tmp_path / "a", seed=1)
    second, _ = run_once(tmp_path / "b", seed=2)
    assert first.responses["val_bpb"] != second.responses["val_bpb"]


@pytest.mark.usefixtures("prepared")
def test_a_finished_run_records_what_it_did_and_on_what(tmp_path: Path) -> None:
    outcome, ended = run_once(tmp_path)
    assert outcome.status == "finished"
    assert outcome.counters["steps"] == 4
    assert outcome.counters["tokens"] == 4 * 4096
    assert outcome.fired == ("warmdown_started",)
    assert [event["event"] for event in ended.events] == ["warmdown_started"]
    assert [point["step"] for point in ended.curve] == [0, 1, 2, 3]
    assert set(outcome.digests) == {"corpus", "tokenizer", "train", "validation", "scored", "code"}
    assert outcome.references.number("order_0") == pytest.approx(4.3652, abs=5e-5)


@pytest.mark.usefixtures("prepared")
def test_training_learns(tmp_path: Path) -> None:
    short, _ = run_once(tmp_path / "a", limit="2 steps")
    long, _ = run_once(tmp_path / "b", limit="12 steps")
    assert long.responses.number("val_bpb") < short.responses.number("val_bpb") - 0.2


@pytest.mark.usefixtures("prepared")
def test_the_contiguous_loader_reads_other_rows(tmp_path: Path) -> None:
    packed, _ = run_once(tmp_path / "a")
    stream, _ = run_once(tmp_path / "b", loader="stream", long_documents="crop")
    assert stream.status == "finished"
    assert stream.digests["scored"] != packed.digests["scored"]
    assert stream.counters["last_train_loss"] != packed.counters["last_train_loss"]


@pytest.mark.usefixtures("prepared")
def test_a_loss_that_is_not_finite_ends_as_diverged_without_a_number(tmp_path: Path) -> None:
    outcome, ended = run_once(tmp_path, limit="30 steps", embedding_lr=10.0, unembedding_lr=1.0, softcap=1e9)
    assert outcome.status == "diverged"
    assert len(outcome.responses) == 0
    assert ended.events[-1]["event"] == "diverged"
    assert outcome.failure is not None


@pytest.mark.usefixtures("prepared")
def test_a_limit_in_seconds_counts_neither_start_up_nor_evaluation(tmp_path: Path) -> None:
    outcome, _ = run_once(tmp_path, limit="0.3s")
    assert outcome.counters.number("training_seconds") >= 0.3
    assert outcome.counters.number("step_seconds") > outcome.counters.number("training_seconds")
    assert outcome.counters.number("total_seconds") > outcome.counters.number("step_seconds")


def test_val_bpb_of_a_model_agrees_with_plain_numpy(prepared: PreparedData) -> None:
    model = build_model(bind(TrainConfig, MICRO), seed=0, device=torch.device("cpu"))
    with torch.no_grad():
        model.head.weight.mul_(300.0)
    scored = scored_rows(prepared, context=128, num_tokens=1024, long_documents="split")
    score = evaluate(model, scored, open_device(Settings()))
    rows = scored.ids
    with torch.no_grad():
        logits = model(torch.from_numpy(rows[:, :-1].astype(np.int64))).numpy().astype(np.float64)
    targets = rows[:, 1:].astype(np.int64)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    nll = -np.take_along_axis(log_p, targets[..., None], axis=-1)[..., 0]
    sizes = np.asarray(prepared.token_bytes)[targets]
    expected = nll[sizes > 0].sum() / (math.log(2) * sizes.sum())
    assert score.bits_per_byte == pytest.approx(expected, abs=1e-9)


def numbered_feed(rows: int, length: int = 5, tokens_at_once: int = 16) -> Feed:
    return Feed(
        (np.full(length, i, dtype=np.uint16) for i in range(rows)),
        tokens_at_once=tokens_at_once,
        device=torch.device("cpu"),
    )


def test_batch_size_does_not_change_the_order_of_rows() -> None:
    orders = []
    for rows, tokens in ((4, 16), (4, 12), (8, 32)):
        feed = numbered_feed(24, tokens_at_once=tokens)
        steps = [feed.take(rows, row_length=4) for _ in range(24 // rows)]
        orders.append([int(row[0]) for step in steps for batch in step for row in batch])
    assert orders == [list(range(24))] * 3


def test_micro_batches_are_equal_and_within_the_bound() -> None:
    assert [len(batch) for batch in micro_batches(torch.zeros(12, 5), rows_at_once=5)] == [4, 4, 4]


def test_short_rows_are_consecutive_parts_of_the_long_ones() -> None:
    feed = Feed(iter([np.arange(9, dtype=np.uint16)]), tokens_at_once=100, device=torch.device("cpu"))
    (rows,) = feed.take(1, row_length=4)
    assert rows.tolist() == [[0, 1, 2, 3, 4], [4, 5, 6, 7, 8]]


def test_skipped_rows_are_counted_and_gone() -> None:
    feed = numbered_feed(8)
    feed.skip(3)
    assert int(feed.take(1, row_length=4)[0][0, 0]) == 3
    assert feed.taken == 4
