"""Processes that share a run: the run is that of one process, and the death of one of them is not waited for."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))

import shared_runs
from shared_runs import TWO, helpers_of, perform, spec_of

import foldover.lm.run as run_module
from foldover.core import Settings, UserError
from foldover.data import PreparedData
from foldover.lm.levers import MICRO
from foldover.lm.parallel import Alone, Overlapped, share_of, tokens_of_ranks
from foldover.lm.parallel.buckets import in_buckets
from foldover.lm.parallel.ranks import Pending
from foldover.lm.place import Place, place_of
from foldover.rundir import EndedRun, RunFolder

ONE = Settings(compute="fp32")
TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}


def losses(ended: EndedRun) -> list[float]:
    return [float(point["train_loss"] or 0.0) for point in ended.curve]


# Whole runs


@pytest.mark.usefixtures("prepared")
def test_two_processes_at_half_the_micro_batch_give_the_curve_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the recipe of the preset as it is: whole micro-batches of its 4,096 tokens, and the same halves to the bit."""
    levers = {"total_batch": MICRO["batch.total_batch"]}
    two, shared = perform(tmp_path / "two", spec_of(**levers), TWO)
    one, alone = perform(tmp_path / "one", spec_of(**levers), ONE)
    assert len(losses(shared)) == 20
    assert losses(shared) == pytest.approx(losses(alone), rel=1e-5)
    assert two.responses.number("val_bpb") == pytest.approx(one.responses.number("val_bpb"), rel=1e-5)
    assert [p["tokens"] for p in shared.curve] == [p["tokens"] for p in alone.curve]
    # One process that adds up the same halves makes the same sums: to the bit, through 20 steps and the evaluation.
    monkeypatch.setitem(run_module.TOKENS_AT_ONCE, "cpu", 2048)
    _, halved = perform(tmp_path / "halved", spec_of(**levers), ONE)
    assert losses(shared) == losses(halved)
    assert [p["tokens"] for p in shared.curve] == [p["tokens"] for p in halved.curve]

    assert two.machine["processes"] == 2
    assert two.machine["backend"] == "gloo"
    assert two.counters["rank_tokens"] == "40960,40960"
    memory = [int(part) for part in two.counters.text("rank_memory_bytes").split(",")]
    assert len(memory) == 2
    assert two.counters["peak_memory_bytes"] == max(memory)
    assert one.machine["processes"] == 1
    assert "rank_tokens" not in one.counters


@pytest.mark.usefixtures("prepared")
def test_a_process_that_is_killed_ends_the_run_as_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add = RunFolder.add_to_curve
    killed = []

    def add_and_kill(self: RunFolder, **values: object) -> None:
        add(self, **values)  # type: ignore[arg-type]
        if values["step"] == 3:
            killed.extend(helpers_of(os.getpid()))
            os.kill(killed[0], signal.SIGKILL)

    monkeypatch.setattr(RunFolder, "add_to_curve", add_and_kill)
    outcome, ended = perform(tmp_path, spec_of("100000 steps"), TWO)
    assert outcome.status == "failed"
    assert outcome.failure is not None
    assert outcome.failure.kind == "rank_died"
    assert outcome.failure.message == "rank 1 was ended by signal 9 (Killed)"
    assert outcome.counters["steps"] == len(ended.curve)
    assert len(outcome.responses) == 0
    assert len(killed) == 1
    assert helpers_of(os.getpid()) == []


@pytest.mark.usefixtures("prepared")
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")
def test_nothing_outlives_a_rank_0_that_is_killed(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, shared_runs.__file__, "die", str(tmp_path / "runs")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        (helper,) = (int(pid) for pid in process.stdout.readline().split())
        handle = os.pidfd_open(helper)
        process.stdin.write(b"\n")
        process.stdin.flush()
        ended, _, _ = select.select([handle], [], [], 30.0)
        os.close(handle)
    assert process.returncode == -signal.SIGKILL
    assert ended
    assert list(tmp_path.glob("foldover-*")) == []


@pytest.mark.usefixtures("prepared")
def test_a_run_that_one_process_began_is_gone_on_with_by_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plateau = {"adaptive_threshold": 0.5, "adaptive_window": 2, "adaptive_min_steps": 1, "warmdown_ratio": 0.25}
    spec = spec_of("8 steps", **{"adam_eps": 1e-5, "averaging.kind": "ema", **plateau})
    _, whole = perform(tmp_path / "whole", spec, ONE)
    add = RunFolder.add_to_curve

    def add_or_die(self: RunFolder, **values: object) -> None:
        add(self, **values)  # type: ignore[arg-type]
        if values["step"] == 5:
            for file in (self._curve, self._events):
                if file is not None:
                    file.close()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "add_to_curve", add_or_die)
        with pytest.raises(KeyboardInterrupt):
            perform(tmp_path / "parts", spec, replace(ONE, save_every=2))
    outcome, continued = perform(tmp_path / "parts", spec, TWO)
    assert outcome.counters["continued_from_step"] == 4
    assert [point["step"] for point in continued.curve] == list(range(8))
    assert losses(continued) == pytest.approx(losses(whole), rel=1e-5)
    assert outcome.counters["rank_tokens"] == "2048,2048"


# Recipes


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, prepared: PreparedData) -> dict[str, dict[str, list[float]]]:
    """What two processes make of each of RECIPES."""
    folder = tmp_path_factory.mktemp("shared")
    command = [sys.executable, shared_runs.__file__, "train"]
    ends = [str(folder / "store"), str(folder / "out")]
    processes = [subprocess.Popen([*command, str(rank), "2", *ends]) for rank in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    found: dict[str, dict[str, list[float]]] = json.loads((folder / "out").read_text())
    return found


# Six rows a step: one process that takes three at a time makes the very sums of two. Not so where the rows of a step
# are shared otherwise, or their weights are added up in another order.
ELSEWISE = {"losses", "more and more rows", "longer rows", "meta"}


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("name", shared_runs.RECIPES)
def test_every_kind_of_recipe_is_that_of_one_process(name: str, shared: dict[str, dict[str, list[float]]]) -> None:
    tokens_at_once = 10_000 if name in ELSEWISE else 96
    curve, weights, tokens = shared_runs.train_recipe(shared_runs.RECIPES[name], Alone(), tokens_at_once)
    if name in ELSEWISE:
        assert shared[name]["losses"] == pytest.approx(curve.losses, rel=1e-5)
        assert shared[name]["weights"] == pytest.approx(weights, rel=1e-5)
    else:
        assert shared[name]["losses"] == curve.losses
        assert shared[name]["weights"] == weights
    assert shared[name]["events"] == curve.events
    assert sum(shared[name]["tokens"]) == sum(tokens)


def test_a_rank_without_rows_still_takes_part(shared: dict[str, dict[str, list[float]]]) -> None:
    first, second = shared["more and more rows"]["tokens"]
    assert first < second  # of one row, the second rank has it all


# Parts


class Doubled(Alone):
    """Two ranks with the same gradients; remembers the order in which sums were begun."""

    size = 2

    def __init__(self) -> None:
        self.sent: list[int] = []

    def send_sum(self, tensor: Tensor) -> Pending:
        self.sent.append(tensor.numel())
        tensor.mul_(2.0)
        return super().send_sum(tensor)


def layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 6), nn.Linear(6, 7))


def test_sums_begin_while_the_backward_pass_runs_and_in_one_order() -> None:
    model, ranks = layers(), Doubled()
    gradients = Overlapped(list(model.parameters()), ranks, bucket_bytes=1)
    seen = []
    model[0].weight.register_hook(lambda gradient: seen.append(gradients.num_sent))
    with gradients.last_pass(()):
        model(torch.ones(2, 4)).sum().backward()
    assert seen[0] >= 4  # both later layers are under way when the first one's gradient is made
    assert ranks.sent == [7, 42, 6, 30, 5, 20]


@given(bucket_bytes=st.integers(1, 600), idle=st.sets(st.integers(0, 2)), passes=st.integers(1, 3))
def test_every_gradient_is_summed_once_whatever_the_buckets(bucket_bytes: int, idle: set[int], passes: int) -> None:
    model, plain, ranks = layers(), layers(), Doubled()
    gradients = Overlapped(list(model.parameters()), ranks, bucket_bytes=bucket_bytes)
    sleeping = [p for i in idle for p in model[i].parameters()]
    for i in range(passes):
        with gradients.last_pass(sleeping) if i == passes - 1 else nullcontext():
            used = [m for j, m in enumerate(model) if j not in idle]
            for layer in used:
                layer(torch.ones(2, layer.in_features)).square().sum().backward()
        for j, layer in enumerate(plain):
            if j not in idle:
                layer(torch.ones(2, layer.in_features)).square().sum().backward()
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        wanted = torch.zeros_like(theirs) if theirs.grad is None else 2.0 * theirs.grad
        assert torch.equal(ours.grad, wanted)
    assert sum(ranks.sent) == sum(p.numel() for p in model.parameters())


def test_a_rank_without_a_backward_pass_sends_zeros_in_the_same_order() -> None:
    with_rows, without = Doubled(), Doubled()
    for ranks in (with_rows, without):
        model = layers()
        with Overlapped(list(model.parameters()), ranks, bucket_bytes=50).last_pass(()):
            if ranks is with_rows:
                model(torch.ones(2, 4)).sum().backward()
        assert all(p.grad is not None for p in model.parameters())
    assert with_rows.sent == without.sent


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=20), most=st.integers(1, 200))
def test_buckets_hold_neighbours_and_no_more_than_they_may(sizes: list[int], most: int) -> None:
    parameters = [nn.Parameter(torch.zeros(size)) for size in sizes]
    buckets = in_buckets(parameters, most)
    assert [p for bucket in buckets for p in bucket] == parameters or all(
        a is b for a, b in zip([p for bucket in buckets for p in bucket], parameters, strict=True)
    )
    assert all(len(bucket) == 1 or sum(p.nbytes for p in bucket) <= most for bucket in buckets)


@given(num_rows=st.integers(0, 50), size=st.integers(1, 9))
def test_shares_are_neighbours_that_cover_all_rows_evenly(num_rows: int, size: int) -> None:
    shares = [share_of(num_rows, rank=rank, size=size) for rank in range(size)]
    assert [row for share in shares for row in range(num_rows)[share]] == list(range(num_rows))
    counts = [share.stop - share.start for share in shares]
    assert max(counts) - min(counts) <= 1
    assert tokens_of_ranks([torch.zeros(num_rows, 5)], size) == [4 * count for count in counts]


def test_torchrun_says_where_a_process_stands() -> None:
    assert place_of(Settings(), TORCHRUN) == Place(rank=3, local_rank=1, size=4, by_torchrun=True)
    alone = {name: TORCHRUN[name] for name in ("RANK", "WORLD_SIZE")}  # some schedulers set these, too
    assert place_of(Settings(processes=2), alone) == Place(rank=0, local_rank=0, size=2, by_torchrun=False)
    with pytest.raises(UserError, match=r"torchrun has started 4 processes \(got 2\). Leave out --processes"):
        place_of(Settings(processes=2), TORCHRUN)
