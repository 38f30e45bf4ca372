"""Branches: where they leave their trunk, and that they are the run from its first step, whatever the levers."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from test_lm_run_levers import TABLE

from foldover.core import (
    Budget,
    LedgerError,
    Limit,
    Outcome,
    Recipe,
    RecipeError,
    RunSpec,
    Settings,
    TrainerError,
    bind,
)
from foldover.lm.branch import trunk_values
from foldover.lm.checkpoint import checkpoints, read_checkpoint
from foldover.lm.levers import CONSTANTS, LEVERS, MICRO, PRESETS, TrainConfig
from foldover.lm.schedule import Moment, rates_at
from foldover.lm.trainer import LMTrainer
from foldover.ports import Branches
from foldover.rundir import RunRoot, damage

TRAINER = LMTrainer()
SMALL = {"depth": 2, "aspect": 16, "context": 32, "total_batch": 128, "momentum_warmup": 3}
BRANCHING = {"warmdown_ratio": 0.5, "decay_taper_start": 0.5}

# What depends on the whole budget before a warm-down, and so has no trunk.
REFUSED = {
    "schedule.warmup_ratio",
    "schedule.adaptive_threshold",
    "schedule.adaptive_window",
    "schedule.adaptive_smoothing",
    "schedule.adaptive_min_steps",
    "schedule.unfreeze_ratio",
    "batch.batch_start",
    "batch.batch_ramp_ratio",
    "batch.length_start",
    "batch.length_ramp_ratio",
    "loss.word_start_ramp_from",
}


def spec_of(limit: str = "6 steps", *, preset=MICRO, **levers: object) -> RunSpec:
    return RunSpec(
        study="",
        stage="",
        package="",
        condition="",
        levels=(1.0,),
        recipe=Recipe(trainer="lm", values=LEVERS.complete({**SMALL, **BRANCHING, **levers}, preset)),
        budget=Budget(limit=Limit.parse(limit)),
        seed=3,
        constants=CONSTANTS.complete({"eval_tokens": 128}),
    )


def point_of(spec: RunSpec) -> Limit | None:
    return TRAINER.branch_point(TRAINER.resolve(spec.recipe), spec.budget)


def trunk_of(*specs: RunSpec) -> RunSpec:
    """The run at constant rates from which all of them branch."""
    points = sorted({point for spec in specs if (point := point_of(spec))}, key=lambda point: point.amount)
    return replace(
        specs[0],
        levels=(),
        recipe=TRAINER.trunk_recipe(specs[0].recipe),
        budget=Budget(limit=points[-1]),
        branch_points=tuple(points),
    )


def perform(root: Path, spec: RunSpec) -> Outcome:
    runs = RunRoot(root)
    with runs.claim(spec) as folder:
        assert folder is not None
        outcome = TRAINER.train(spec, folder, Settings())
        runs.finish(folder, outcome)
    return outcome


def assert_same(branch: Outcome, whole: Outcome) -> None:
    assert branch.status == whole.status == "finished"
    assert branch.responses == whole.responses
    assert branch.counters["last_train_loss"] == whole.counters["last_train_loss"]
    assert (branch.counters["steps"], branch.counters["tokens"]) == (whole.counters["steps"], whole.counters["tokens"])
    assert set(branch.fired) == set(whole.fired)


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second passes each time that a run looks at its clock: a limit in seconds is so many steps."""
    seconds = count()
    monkeypatch.setattr("foldover.lm.compiling.CompileTime.now", lambda self: float(next(seconds)))


def full(levers: dict[str, object]) -> dict[str, object]:
    return {LEVERS.find(name).name: value for name, value in levers.items()}


def crowds() -> list[dict[str, object]]:
    """All levers of training that may have a trunk, each off its base in one of a few recipes."""
    found: list[dict[str, object]] = []
    for name, (value, base) in TABLE.items():
        own = full({**base, name: value})
        if name in REFUSED:
            continue
        for crowd in found:
            if all(crowd.get(key, wanted) == wanted for key, wanted in own.items()) and is_possible({**crowd, **own}):
                crowd.update(own)
                break
        else:
            found.append(own)
    return found


def is_possible(levers: dict[str, object]) -> bool:
    try:
        return point_of(spec_of(**levers)) is not None
    except RecipeError:
        return False


CROWDS = crowds()


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("levers", CROWDS, ids=[f"{len(crowd)} levers" for crowd in CROWDS])
def test_a_branch_is_the_run_from_its_first_step_whatever_the_levers(levers: dict, tmp_path: Path) -> None:
    spec = spec_of(**levers)
    trunk = trunk_of(spec)
    perform(tmp_path, trunk)
    branch = perform(tmp_path, replace(spec, starts_from=trunk.run_id))
    assert branch.counters["continued_from_step"] == trunk.branch_points[0].amount > 0
    assert_same(branch, perform(tmp_path, spec))


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_depends_on_the_whole_budget_has_no_trunk(name: str) -> None:
    value, base = TABLE[name]
    with pytest.raises(RecipeError, match="a run that starts from another cannot have"):
        trunk_of(spec_of(**{**base, name: value}))


def first_changing_step(spec: RunSpec, num_steps: int) -> int:
    """Counted by looking at every step's rates: those of a run without warm-down and taper, or not."""
    config = bind(TrainConfig, spec.recipe.values)
    constant = bind(TrainConfig, trunk_values(spec.recipe.values))
    for step in range(num_steps):
        moment = Moment(progress=step / num_steps, step=step, remaining_steps=float(num_steps - step))
        if rates_at(config, moment) != rates_at(constant, moment):
            return step
    return num_steps


@pytest.mark.parametrize("num_steps", [1, 2, 3, 7, 10, 33, 100])
@pytest.mark.parametrize(
    "levers",
    [
        {},
        {"warmdown_ratio": 0.3},
        {"warmdown_ratio": 0.0, "warmdown_steps": 5},
        {"warmdown_ratio": 0.2, "decay_taper_start": 0.1},
        {"warmdown_ratio": 0.0, "decay_final_fraction": 1.0},
        {"warmdown_ratio": 1.0},
        {"warmdown_ratio": 0.5, "weight_decay": 0.0, "decay_taper_start": 0.0},
    ],
)
def test_the_branch_point_is_the_first_step_with_other_rates(num_steps: int, levers: dict) -> None:
    spec = spec_of(f"{num_steps} steps", **levers)
    steps = first_changing_step(spec, num_steps)
    point = point_of(spec)
    assert point == (Limit(kind="steps", amount=steps) if steps else None)
    tokens = replace(spec, budget=Budget(limit=Limit.parse(f"{num_steps * 128} tokens")))
    assert point_of(tokens) == (Limit(kind="tokens", amount=steps * 128) if steps else None)


def test_in_seconds_the_branch_point_is_where_the_first_of_warmdown_and_taper_begins() -> None:
    assert point_of(spec_of("8 s", warmdown_ratio=0.25, weight_decay=0.0)) == Limit.parse("6 s")
    assert point_of(spec_of("8 s", warmdown_ratio=0.25, decay_taper_start=0.5)) == Limit.parse("4 s")
    assert point_of(spec_of("8 s", warmdown_ratio=1.0)) is None
    with pytest.raises(RecipeError, match="only its speed tells when these begin"):
        point_of(spec_of("8 s", warmdown_steps=3))


def test_runs_that_reserve_differently_leave_one_trunk_at_their_own_times() -> None:
    specs = [spec_of("8 s", warmdown_ratio=0.25, decay_taper_start=0.5, reserve_seconds=s) for s in (0.0, 2.0)]
    assert [point_of(spec) for spec in specs] == [Limit.parse("4 s"), Limit.parse("3 s")]
    trunks = {TRAINER.trunk_recipe(spec.recipe).digest for spec in (*specs, spec_of("8 s", warmdown_ratio=0.25))}
    assert trunks == {TRAINER.trunk_recipe(spec_of().recipe).digest}


@pytest.mark.usefixtures("prepared")
def test_a_branch_with_a_reserve_is_the_run_that_has_so_much_less_time(ticking: None, tmp_path: Path) -> None:
    reserved, shorter = spec_of("20 s", reserve_seconds=8.0), spec_of("12 s")
    trunk = trunk_of(reserved, shorter)
    assert len(trunk.branch_points) == 1
    perform(tmp_path, trunk)
    branches = [perform(tmp_path, replace(spec, starts_from=trunk.run_id)) for spec in (reserved, shorter)]
    assert_same(*branches)
    assert_same(branches[0], perform(tmp_path, reserved))


def test_the_trainer_is_one_that_branches() -> None:
    assert isinstance(TRAINER, Branches)
    values = spec_of().recipe.values
    assert TRAINER.trunk_recipe(spec_of(warmdown_ratio=0.9).recipe) == TRAINER.trunk_recipe(spec_of().recipe)
    assert trunk_values(values)["schedule.warmdown_ratio"] == 0.0
    assert trunk_values(values)["optimizer.matrix_lr"] == values["optimizer.matrix_lr"]


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("unit", ["steps", "tokens", "flops"])
def test_several_budgets_branch_from_one_trunk(unit: str, tmp_path: Path) -> None:
    flops_per_token = TRAINER.resolve(spec_of().recipe).derived.integer("flops_per_token")
    size = {"steps": 1, "tokens": 128, "flops": 128 * flops_per_token}[unit]
    specs = [
        spec_of(f"{steps * size} {unit}", warmdown_ratio=ratio, weight_decay=0.0)
        for steps, ratio in ((4, 0.5), (8, 0.5), (8, 0.25))
    ]
    trunk = trunk_of(*specs)
    assert [point.amount / size for point in trunk.branch_points] == [2, 4, 6]
    done = perform(tmp_path, trunk)
    assert (done.counters["steps"], "warmdown_started" in done.fired) == (6, False)
    saved = checkpoints(RunRoot(tmp_path).folder(trunk.run_id))
    assert [read_checkpoint(path).elapsed.steps for path in saved] == [6, 4, 2]
    for spec, begins in zip(specs, (2, 4, 6), strict=True):
        branch = perform(tmp_path, replace(spec, starts_from=trunk.run_id))
        assert branch.counters["continued_from_step"] == begins
        assert branch.counters["inherited_seconds"] < branch.counters["training_seconds"]
        assert_same(branch, perform(tmp_path, spec))


@pytest.mark.usefixtures("prepared")
def test_in_seconds_a_branch_begins_with_the_first_step_that_reached_its_point(tmp_path: Path) -> None:
    specs = [spec_of(limit, preset=PRESETS["golf-micro"]) for limit in ("0.05 s", "0.2 s")]
    trunk = trunk_of(*specs)
    perform(tmp_path, trunk)
    saved = [read_checkpoint(path) for path in checkpoints(RunRoot(tmp_path).folder(trunk.run_id))]
    for spec, point in zip(specs, trunk.branch_points, strict=True):
        branch = perform(tmp_path, replace(spec, starts_from=trunk.run_id))
        (origin,) = {c.elapsed for c in saved if c.elapsed.steps == branch.counters["continued_from_step"]}
        assert origin.counted_seconds >= point.amount > origin.counted_seconds - origin.last_step_seconds
        assert branch.counters["training_seconds"] >= spec.budget.limit.amount
        assert branch.counters["inherited_seconds"] == origin.counted_seconds
        assert "warmdown_started" in branch.fired


@pytest.mark.usefixtures("prepared")
def test_a_trunk_that_died_keeps_the_states_it_had_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short, long = spec_of("4 steps"), spec_of("12 steps")
    trunk = trunk_of(short, long)
    runs = RunRoot(tmp_path)

    def die(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, runs.claim(trunk) as folder:
        patch.setattr("foldover.lm.run.evaluate", die)
        with pytest.raises(KeyboardInterrupt):
            TRAINER.train(trunk, folder, Settings())
        for file in (folder._curve, folder._events):
            if file is not None:
                file.close()
    runs.put_aside_dead()
    outcome = perform(tmp_path, trunk)
    assert outcome.counters["continued_from_step"] == 6
    assert [path.name[5:14] for path in checkpoints(runs.folder(trunk.run_id))] == ["000000006", "000000002"]
    branch = perform(tmp_path, replace(short, starts_from=trunk.run_id))
    assert_same(branch, perform(tmp_path, short))


@pytest.mark.usefixtures("prepared")
def test_a_checkpoint_that_was_changed_is_not_used(tmp_path: Path) -> None:
    spec = spec_of()
    trunk = trunk_of(spec)
    perform(tmp_path, trunk)
    place = RunRoot(tmp_path).folder(trunk.run_id)
    (path,) = checkpoints(place)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    assert damage(place)
    with pytest.raises(LedgerError, match=f"{trunk.run_id} is damaged: checkpoints/{path.name} was changed"):
        perform(tmp_path, replace(spec, starts_from=trunk.run_id))


@pytest.mark.usefixtures("prepared")
def test_a_branch_of_another_trunk_is_refused(tmp_path: Path) -> None:
    trunk = trunk_of(spec_of())
    perform(tmp_path, trunk)
    with pytest.raises(TrainerError, match=r"no trunk of this one: `optimizer.matrix_lr` was 0.04 and is 0.05"):
        perform(tmp_path, replace(spec_of(matrix_lr=0.05), starts_from=trunk.run_id))
