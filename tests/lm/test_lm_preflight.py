"""What is refused before a run is paid for, and how a failing machine is recorded."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from foldover.core import Budget, BudgetError, Limit, Outcome, Recipe, RecipeError, RunSpec, Settings, bind
from foldover.lm.failures import failure_kind
from foldover.lm.levers import CONSTANTS, LEVERS, MICRO, PRESETS, TrainConfig
from foldover.lm.preflight import check_budget, num_steps
from foldover.lm.resolve import resolve
from foldover.lm.trainer import LMTrainer
from foldover.rundir import RunRoot


def check(limit: str, **levers: object) -> None:
    check_budget(bind(TrainConfig, LEVERS.complete(levers, MICRO)), Limit.parse(limit), flops_per_token=10)


@pytest.mark.parametrize(
    ("limit", "levers", "named"),
    [
        ("10 steps", {"warmdown_ratio": 0.05}, "schedule.warmdown_ratio"),
        ("1 steps", {}, "schedule.warmdown_ratio"),
        ("8192 tokens", {"warmdown_ratio": 0.4}, "schedule.warmdown_ratio"),
        ("81920 flops", {"warmdown_ratio": 0.4}, "schedule.warmdown_ratio"),
        ("4 steps", {"warmup_ratio": 0.8, "warmdown_ratio": 0.2, "momentum_warmup": 0}, "schedule.warmdown_ratio"),
        ("4 steps", {"warmup_ratio": 0.8, "warmdown_ratio": 0.0}, "schedule.warmup_ratio"),
        ("4 steps", {"unfreeze_ratio": 0.8}, "schedule.unfreeze_ratio"),
        ("100 steps", {"adaptive_threshold": 0.1}, "schedule.adaptive_min_steps"),
        ("30 steps", {"momentum_cycle": 5}, "optimizer.momentum_cycle"),
        ("3 steps", {"meta_ttt": 0.5}, "optimizer.meta_ttt_every"),
        ("30 steps", {"averaging.kind": "ema", "ema_every": 31}, "averaging.ema_every"),
        ("30 steps", {"averaging.kind": "lawa"}, "averaging.snapshot_every"),
        ("30 steps", {"compression.weight": 1.0, "penalty_from": 30}, "compression.penalty_from"),
    ],
)
def test_what_no_step_of_the_budget_would_feel_is_refused_by_name(limit: str, levers: dict, named: str) -> None:
    with pytest.raises(BudgetError, match=f"`{named}` cannot act within"):
        check(limit, **levers)


@pytest.mark.parametrize("limit", ["2 steps", "100 steps", "8193 tokens", "1s"])
def test_the_small_preset_fits_small_budgets(limit: str) -> None:
    check(limit)


def test_a_limit_in_seconds_is_known_by_the_clock_alone() -> None:
    check("1s", warmdown_ratio=0.001)


@pytest.mark.parametrize("limit", ["30 steps", "8193 tokens", "81920 flops"])
def test_a_reserve_of_seconds_is_refused_where_the_limit_is_in_none(limit: str) -> None:
    with pytest.raises(BudgetError, match=r"`schedule.reserve_seconds` cannot act within .*: it is kept of limits"):
        check(limit, reserve_seconds=1.0)
    check(limit, reserve_seconds=0.0)


def test_a_reserve_must_leave_some_of_the_limit() -> None:
    check("12.5s", reserve_seconds=12.0)
    with pytest.raises(BudgetError, match="leaves nothing of 12 s to train in"):
        check("12s", reserve_seconds=12.0)


def test_number_of_steps_of_a_limit() -> None:
    config = bind(TrainConfig, MICRO)
    found = [num_steps(config, Limit.parse(t), flops_per_token=10) for t in ("7 steps", "4097 tokens", "40960 flops")]
    assert found == [7, 2, 1]
    assert num_steps(config, Limit.parse("1s"), flops_per_token=10) is None


@pytest.mark.parametrize("name", list(PRESETS))
def test_no_preset_sets_what_has_no_effect(name: str) -> None:
    assert LEVERS.without_effect(PRESETS[name]) == ()


def test_a_lever_whose_owner_is_off_is_told_with_its_owner() -> None:
    with pytest.raises(RecipeError, match=r"`averaging.ema_decay` has no effect here: it needs `averaging.kind=ema`"):
        LEVERS.check_effects(LEVERS.complete({"ema_decay": 0.9}, MICRO))
    LEVERS.check_effects(LEVERS.complete({"ema_decay": 0.9, "averaging.kind": "ema"}, MICRO))


@pytest.mark.parametrize(
    ("levers", "text"),
    [
        ({"length_start": "1/16", "context": 24, "total_batch": 240}, "length_start` is 1/16"),
        ({"ignore_token": 1024}, "ignore_token` is 1024, not an id"),
        ({"momentum_cycle": 5, "momentum_cycle_low": 0.96}, "momentum_cycle_low` is above"),
        ({"total_batch": 5000}, "not a multiple of the context"),
    ],
)
def test_schedules_and_losses_that_cannot_be_are_refused_with_the_recipe(levers: dict, text: str) -> None:
    with pytest.raises(RecipeError, match=text):
        resolve(Recipe(trainer="lm", values=LEVERS.complete(levers, MICRO)))


def spec_of(**levers: object) -> RunSpec:
    return RunSpec(
        study="",
        stage="",
        package="",
        condition="",
        levels=(),
        recipe=Recipe(trainer="lm", values=LEVERS.complete({"total_batch": 1024, **levers}, MICRO)),
        budget=Budget(limit=Limit.parse("3 steps")),
        seed=1,
        constants=CONSTANTS.complete({"eval_tokens": 512}),
    )


def perform(root: Path, spec: RunSpec) -> Outcome:
    runs = RunRoot(root)
    with runs.claim(spec) as folder:
        assert folder is not None
        outcome = LMTrainer().train(spec, folder, Settings())
        runs.finish(folder, outcome)
    return outcome


def test_a_plan_refuses_what_its_budget_has_no_step_for() -> None:
    trainer, recipe = LMTrainer(), spec_of(warmdown_ratio=0.01).recipe
    with pytest.raises(BudgetError, match="warmdown_ratio"):
        trainer.estimate_seconds(trainer.resolve(recipe), Budget(limit=Limit.parse("5 steps")), CONSTANTS.complete({}))


def test_a_plan_refuses_a_reserve_that_leaves_nothing_of_its_budget() -> None:
    trainer, recipe = LMTrainer(), spec_of(reserve_seconds=4.0).recipe
    for trunk in (None, Limit.parse("1s")):
        with pytest.raises(BudgetError, match="leaves nothing of 3 s"):
            trainer.estimate_part_seconds(
                trainer.resolve(recipe), Budget(limit=Limit.parse("3s")), CONSTANTS.complete({}), trunk
            )


def failing_after(steps: int, error: BaseException):
    from foldover.lm.optim import MuonAdamW

    step = MuonAdamW.step
    taken = []

    def fail(self: MuonAdamW, **rates: object) -> None:
        taken.append(1)
        if len(taken) > steps:
            raise error
        step(self, **rates)

    return fail


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "out_of_memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "out_of_memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (RuntimeError("CUDA error: unspecified launch failure"), "device_lost"),
    ],
    ids=["gpu memory", "cpu memory", "disk", "device"],
)
def test_a_machine_that_fails_ends_the_run_with_what_was_counted(
    error: BaseException, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foldover.lm.optim.MuonAdamW.step", failing_after(2, error))
    outcome = perform(tmp_path, spec_of())
    assert (outcome.status, outcome.failure.kind) == ("failed", kind)
    assert outcome.counters["steps"] == 2
    assert len(outcome.responses) == 0


@pytest.mark.usefixtures("prepared")
def test_an_error_of_the_program_is_not_taken_for_one_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foldover.lm.optim.MuonAdamW.step", failing_after(0, RuntimeError("shape mismatch")))
    with pytest.raises(RuntimeError, match="shape mismatch"):
        perform(tmp_path, spec_of())


def test_kinds_of_failures() -> None:
    assert failure_kind(MemoryError()) == "out_of_memory"
    assert failure_kind(OSError(errno.EACCES, "denied")) is None
    assert failure_kind(ValueError("out of memory")) is None


@pytest.mark.usefixtures("prepared")
def test_a_record_has_rates_faults_and_the_split_of_time(tmp_path: Path) -> None:
    outcome = perform(tmp_path, replace(spec_of(), budget=Budget(limit=Limit.parse("5 steps"))))
    counters = outcome.counters
    split = [counters.number(f"{name}_seconds") for name in ("data", "forward", "backward", "optimizer")]
    assert all(seconds > 0 for seconds in split)
    assert sum(split) <= counters.number("step_seconds")
    assert counters.number("tokens_per_second") == pytest.approx(5 * 1024 / counters.number("step_seconds"))
    assert 0 < counters.number("mfu") < 1.5
    assert counters.number("page_faults_per_step") >= 0
    assert outcome.machine.number("gemm_flops_per_second") > 0
