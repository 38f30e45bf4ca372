"""The simulator as a trainer: levers, resolved recipes, what a run leaves in its folder."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from foldover.core import Budget, BudgetError, Factor, Limit, Recipe, RecipeError, RunSpec, Settings, Values, digest
from foldover.rundir import RunRoot, damage, read_ended
from foldover.simulator import SimTrainer, calibration, coded_levels, get_surface
from foldover.trainers import get_trainer

KNOWN = json.loads((Path(__file__).parent / "data" / "surface-known-answers.json").read_text())
TRAINER = SimTrainer()
WORST = {"model.depth": 8, "model.aspect": 72, "batch.total_batch": 524288}


def recipe(**values):
    return Recipe(trainer="simulator", values=TRAINER.levers.complete(values))


def preset(name):
    return Recipe(trainer="simulator", values=TRAINER.presets[name])


def spec_of(recipe, budget="5min", seed=1, **constants):
    return RunSpec(
        study="s",
        stage="screen",
        package="screen at 5 min",
        condition="c01",
        levels=(),
        recipe=recipe,
        budget=Budget(limit=Limit.parse(budget)),
        seed=seed,
        constants=Values(constants),
    )


def run(spec, path):
    root = RunRoot(path)
    with root.claim(spec) as folder:
        return read_ended(root.finish(folder, TRAINER.train(spec, folder, Settings())))


def statuses(path, recipe, count, **keywords):
    found = []
    for seed in range(count):
        spec = spec_of(recipe, seed=seed, **keywords)
        found.append(run(spec, path / str(seed)).outcome.status)
    return found


# levers.md, table A1: parameters and FLOPs a token of karpathy/autoresearch at commit 228791f.
TABLE_A1 = [
    (6, 48, 384, 26_345_772, 120_325_824),
    (6, 64, 384, 26_345_772, 120_325_824),
    (6, 72, 512, 39_846_284, 188_745_984),
    (8, 48, 384, 33_030_544, 150_997_248),
    (8, 64, 512, 50_332_176, 239_078_400),
    (8, 72, 640, 70_779_536, 346_033_920),
]


@pytest.mark.parametrize(("depth", "aspect", "width", "num_params", "flops"), TABLE_A1)
def test_resolved_recipe_has_the_width_parameters_and_flops_of_table_a1(depth, aspect, width, num_params, flops):
    derived = TRAINER.resolve(recipe(depth=depth, aspect=aspect)).derived
    found = [derived.integer(name) for name in ("width", "num_params", "flops_per_token")]
    assert found == [width, num_params, flops]


def test_aspects_that_round_to_one_width_are_the_same_run():
    narrow, rounded = (TRAINER.resolve(recipe(depth=6, aspect=aspect)).effective for aspect in (48, 64))
    assert narrow == rounded


def test_aspects_that_round_to_one_width_give_the_same_value(tmp_path):
    found = [run(spec_of(recipe(depth=6, aspect=aspect)), tmp_path).outcome.responses for aspect in (48, 64)]
    assert found[0] == found[1]


@pytest.mark.parametrize("row", KNOWN["realised_width"], ids=lambda row: f"{row['depth']}x{row['aspect']}")
def test_coded_width_is_the_realised_one(row):
    values = recipe(depth=row["depth"], aspect=row["aspect"]).values
    assert coded_levels(values)[1] == pytest.approx(row["b_eff"])


@pytest.mark.parametrize("name", calibration().recipes)
def test_preset_has_the_coded_levels_that_the_surface_names(name):
    assert coded_levels(TRAINER.presets[name]) == pytest.approx(calibration().recipes[name])


def test_baseline_preset_is_the_defaults():
    assert TRAINER.presets["autoresearch"] == TRAINER.levers.defaults()


def test_corners_decoded_from_factors_are_exactly_minus_and_plus_one():
    factors = [
        Factor(letter="A", lever="model.depth", low=6, high=8, kind="int"),
        Factor(letter="B", lever="model.aspect", low=48, high=72, kind="int"),
        Factor(letter="C", lever="optimizer.matrix_lr", low=0.03, high=0.05),
        Factor(letter="D", lever="batch.total_batch", low=2**18, high=2**19, kind="int", scale="log"),
        Factor(letter="E", lever="schedule.warmdown_ratio", low=0.25, high=0.5),
    ]
    for level in (-1.0, 1.0):
        values = {factor.lever: factor.decode(level) for factor in factors}
        assert coded_levels(TRAINER.levers.complete(values)) == (level,) * 5


@pytest.mark.parametrize("aspect", [36, 84])
def test_width_off_the_surface_is_refused(aspect):
    with pytest.raises(RecipeError, match="does not reach"):
        TRAINER.resolve(recipe(depth=6 if aspect == 36 else 7, aspect=aspect))


@pytest.mark.parametrize("lever", [*TRAINER.levers.values(), *TRAINER.constants.values()], ids=lambda item: item.name)
def test_lever_says_what_it_is_and_what_it_may_be(lever):
    assert lever.doc.endswith(".")
    assert lever.kind == "choice" or (lever.low is not None and lever.high is not None)


@pytest.mark.parametrize("name", TRAINER.levers)
def test_every_lever_changes_the_response(name, tmp_path):
    other = {
        "model.depth": 7,
        "model.aspect": 72,
        "optimizer.matrix_lr": 0.03,
        "batch.total_batch": 262144,
        "schedule.warmdown_ratio": 0.25,
    }[name]
    before, after = (run(spec_of(r), tmp_path).outcome.responses for r in (recipe(), recipe(**{name: other})))
    assert before != after


def test_it_is_the_registered_trainer_of_its_name():
    assert isinstance(get_trainer("simulator"), SimTrainer)


def test_response_is_the_surface_at_the_coded_levels(tmp_path):
    vector = KNOWN["test_vectors"][1]
    found = run(spec_of(preset(vector["recipe"]), "5min", seed=1), tmp_path).outcome.responses.number("val_bpb")
    assert found == pytest.approx(vector["value"], abs=1e-7)


@pytest.mark.parametrize(("host", "surface"), [("linux", "calibrated"), ("windows", "null"), ("windows", "linear")])
def test_host_and_surface_are_constants(host, surface, tmp_path):
    found = run(spec_of(preset("c14"), host=host, surface=surface), tmp_path).outcome.responses.number("val_bpb")
    expected = get_surface(surface).values([calibration().recipes["c14"]], 5, host, seeds=[1]).item()
    assert found == pytest.approx(expected, abs=1e-12)


def test_reruns_of_a_seed_differ_a_little(tmp_path):
    first, second = (
        run(spec_of(preset("c14"), rerun=rerun), tmp_path).outcome.responses.number("val_bpb") for rerun in (0, 1)
    )
    assert 0 < abs(first - second) < 0.0015


def test_outcome_depends_on_the_spec_alone(tmp_path):
    spec = spec_of(recipe())
    first, second = (run(spec, tmp_path / name) for name in "ab")
    assert replace(first.outcome, started="", finished="") == replace(second.outcome, started="", finished="")
    assert first.curve == second.curve


def test_run_folder_is_complete(tmp_path):
    spec = spec_of(recipe())
    ended = run(spec, tmp_path)
    assert ended.outcome.run_id == spec.run_id
    assert ended.outcome.status == "finished"
    assert damage(RunRoot(tmp_path).folder(spec.run_id)) == ()


def test_outcome_tells_the_pretended_host(tmp_path):
    assert run(spec_of(recipe(), host="linux"), tmp_path).outcome.machine.text("host") == "linux"


def test_curve_ends_at_the_last_step_with_a_rate_of_zero(tmp_path):
    ended = run(spec_of(recipe()), tmp_path)
    last = ended.curve[-1]
    assert (last["step"], last["progress"], last["lr_multiplier"]) == (ended.outcome.counters["steps"], 1.0, 0.0)


def test_curve_falls(tmp_path):
    losses = [point["train_loss"] for point in run(spec_of(recipe()), tmp_path).curve]
    assert losses == sorted(losses, reverse=True)


def test_warmdown_fires_where_the_recipe_says(tmp_path):
    ended = run(spec_of(recipe(warmdown_ratio=0.25)), tmp_path)
    assert ended.outcome.fired == ("warmdown_started",)
    assert ended.events[0]["progress"] == 0.75


def test_last_step_ends_at_or_after_a_limit_in_seconds(tmp_path):
    counters = run(spec_of(recipe()), tmp_path).outcome.counters
    step_seconds = counters.number("training_seconds") / counters.number("steps")
    assert 0 <= counters.number("training_seconds") - 300 < step_seconds


@pytest.mark.parametrize("budget", ["200 steps", "104857600 tokens", "25068800000000000 flops"])
def test_other_limits_take_as_many_steps_as_they_say(budget, tmp_path):
    flops_per_step = 239_078_400 * 524_288
    amount, kind = budget.split()
    expected = {"steps": 200, "tokens": 200, "flops": -(-int(amount) // flops_per_step)}[kind]
    assert run(spec_of(recipe(), budget), tmp_path).outcome.counters["steps"] == expected


def test_equal_steps_take_longer_on_the_slower_host(tmp_path):
    first, second = (
        run(spec_of(recipe(), "300 steps", host=host), tmp_path).outcome.counters.number("training_seconds")
        for host in ("windows", "linux")
    )
    assert first < second


def test_runs_fail_at_about_the_stated_rate(tmp_path):
    found = statuses(tmp_path, recipe(), 120, failure_rate=0.3)
    assert set(found) == {"finished", "failed"}
    assert 20 <= found.count("failed") <= 55


def test_failed_run_says_why_and_has_no_response(tmp_path):
    outcome = run(spec_of(recipe(), failure_rate=1.0), tmp_path).outcome
    assert (outcome.status, outcome.failure.kind, outcome.responses) == ("failed", "SimulatedFailure", Values())


def test_only_deep_wide_recipes_with_a_large_batch_diverge(tmp_path):
    found = {
        name: set(statuses(tmp_path / name, preset(name), 20, divergence_rate=1.0))
        for name in ("c14", "c16", "c07", "control_c10")
    }
    assert found == {"c14": {"diverged"}, "c16": {"diverged"}, "c07": {"finished"}, "control_c10": {"finished"}}


def test_nothing_diverges_after_five_minutes(tmp_path):
    assert run(spec_of(recipe(**WORST), "10min", divergence_rate=1.0), tmp_path).outcome.status == "finished"


def test_diverged_run_stops_early_and_records_the_event(tmp_path):
    ended = run(spec_of(recipe(**WORST), divergence_rate=1.0), tmp_path)
    assert ended.events[-1]["event"] == "diverged"
    assert ended.outcome.counters.number("training_seconds") < 300


def test_nothing_fails_by_default(tmp_path):
    assert set(statuses(tmp_path, recipe(**WORST), 30)) == {"finished"}


def test_estimate_is_next_to_nothing_without_a_pace():
    resolved = TRAINER.resolve(recipe())
    assert TRAINER.estimate_seconds(resolved, Budget(limit=Limit.parse("24h")), Values()) < 0.1


def test_estimate_follows_the_pace():
    resolved = TRAINER.resolve(recipe())
    seconds = TRAINER.estimate_seconds(resolved, Budget(limit=Limit.parse("5min")), Values(pace=0.1))
    assert seconds == pytest.approx(30, abs=0.1)


def test_pace_waits_as_long_as_it_says(tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr(time, "sleep", waits.append)
    run(spec_of(recipe(), pace=0.01), tmp_path)
    assert sum(waits) == pytest.approx(3.0)


def test_plan_is_told_of_a_budget_beyond_the_surface():
    with pytest.raises(BudgetError, match="does not reach"):
        TRAINER.estimate_seconds(TRAINER.resolve(recipe()), Budget(limit=Limit.parse("30s")), Values())


def test_unknown_constant_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="not a lever"):
        run(spec_of(recipe(), colour="red"), tmp_path)


def test_constants_of_the_surface_are_in_the_outcome_by_digest(tmp_path):
    assert run(spec_of(recipe()), tmp_path).outcome.digests["surface"] == calibration().sha256


def test_recipes_are_named_by_what_they_are():
    assert digest(recipe()) == digest(preset("autoresearch"))
