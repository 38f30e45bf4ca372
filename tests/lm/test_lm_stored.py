"""What an artifact will hold and weigh, known before anything is trained."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from lever_cases import cases, config_of, model_of, neutral, off_case

from foldover.core import Budget, Limit, Recipe, RecipeError, RunSpec, Scalar, Settings, UserError, Values
from foldover.lm.artifact import infos_of, stored_parameters
from foldover.lm.levers import CONSTANTS, LEVERS, PRESETS
from foldover.lm.resolve import resolve
from foldover.lm.shape import shape_of
from foldover.lm.spread import expected_spread, first_spread, full_steps
from foldover.lm.stored import stored_tensors
from foldover.lm.trainer import LMTrainer
from foldover.rundir import RunRoot
from foldover.trainers import get_trainer

COMBINED: tuple[dict[str, Scalar], ...] = (
    {"head.low_rank": 3, "embedding.factor_dim": 8, "embedding.factor_form": "separate", "head.copy": "attention"},
    {"embedding.bigram_buckets": 64, "embedding.bigram_place": "after_norm", "embedding.token_type": True},
    {"embedding.bigram_buckets": 64, "embedding.token_type": True, "embedding.smear": "gate"},
    {"model.layer_map": "1,1,2", "model.depth": 3, "mlp.activation": "swiglu", "head.tied": True},
)


def assert_known(values: Values) -> None:
    model = model_of(values)
    sizes = {name: tuple(parameter.shape) for name, parameter in stored_parameters(model)}
    infos = infos_of(model)
    config = config_of(values)
    found = stored_tensors(config, shape_of(config))
    assert {info.name: (info, size) for info, size in found.matrices} == {
        info.name: (info, sizes[info.name]) for info in infos if info.is_matrix
    }
    vectors = [info.name for info in infos if not info.is_matrix]
    assert found.num_vectors == len(vectors)
    assert found.vector_size == sum(model.get_parameter(name).numel() for name in vectors)


@pytest.mark.parametrize(("name", "value"), cases(), ids=lambda part: str(part))
def test_the_tensors_of_a_recipe_are_those_of_its_model(name: str, value: Scalar) -> None:
    assert_known(off_case(name, value)[1])


@pytest.mark.parametrize("levers", COMBINED, ids=lambda levers: ",".join(levers))
def test_levers_that_name_the_same_places_are_counted_together(levers: dict[str, Scalar]) -> None:
    assert_known(LEVERS.complete(levers, neutral()))


SMALL: dict[str, Scalar] = {
    "export.artifact": True,
    "context": 64,
    "vocab_size": 512,
    "total_batch": 2048,
    "momentum_warmup": 4,
    "calibration.batches": 1,
    "calibration.rows": 4,
}
ROUNDED: dict[str, Scalar] = {"gptq": False}
OURS: dict[str, Scalar] = {"scheme": "step", "codec": "ans", "column_steps": "feedback", "gptq_order": "natural"}
FLOORED: dict[str, Scalar] = {**ROUNDED, "matrix_format": "int8", "clip": "quantile", "scale_floor": 1 / 127}
VARIED: dict[str, tuple[str, dict[str, Scalar]]] = {
    "golf": ("golf-micro", {}),
    "golf, uniform steps": ("golf-micro", OURS),
    "int8 and zlib": ("golf-micro", {**ROUNDED, "matrix_format": "int8", "codec": "zlib", "grid.clip": "quantile"}),
    "int4 and lzma": ("micro", {**ROUNDED, "aspect": 48, "matrix_format": "int4", "codec": "lzma", "clip": "absmax"}),
    "ternary": ("golf-micro", {**ROUNDED, "width": 128, "matrix_format": "ternary", "codec": "ans"}),
    "binary": ("micro", {**ROUNDED, "aspect": 64, "matrix_format": "binary", "codec": "ans"}),
    "tables": ("micro", {**ROUNDED, "bigram_buckets": 512, "bigram_dim": 32, "table_format": "int5", "codec": "ans"}),
    "groups and zstd": (
        "golf-micro",
        {**ROUNDED, "axis": "group", "quant_group": 32, "codec": "zstd"},
    ),
    "corrections": ("golf-micro", {"residual_rank": 1, "lqer_rank": 2, "awq_alpha": 0.5, "codec": "ans"}),
    "pruned, wide": ("micro", {**ROUNDED, "aspect": 64, "scheme": "step", "prune_fraction": 0.2, "codec": "ans"}),
    "a floor, zlib": ("golf-micro", {**FLOORED, "codec": "zlib"}),
    "a floor": ("micro", {**FLOORED, "aspect": 64, "embedding_format": "int6", "clip": "absmax", "codec": "ans"}),
    "floats": ("golf-micro", {"scheme": "none", "width": 128, "codec": "lzma"}),
}


def recipe(preset: str, levers: dict[str, Scalar]) -> Recipe:
    return Recipe(trainer="lm", values=LEVERS.complete({**SMALL, **levers}, PRESETS[preset]))


@pytest.mark.parametrize("name", VARIED)
def test_bytes_predicted_before_training_are_within_five_percent_of_the_file(name: str, tmp_path: Path) -> None:
    spec = RunSpec(
        study="",
        stage="",
        package="",
        condition="varied",
        levels=(1.0,),
        recipe=recipe(*VARIED[name]),
        budget=Budget(limit=Limit(kind="steps", amount=16.0)),
        seed=1,
        constants=CONSTANTS.complete({"eval_tokens": 256}),
    )
    trainer, root = get_trainer("lm"), RunRoot(tmp_path)
    assert isinstance(trainer, LMTrainer)
    trainer.prepare(spec.recipe, spec.constants, lambda phase, share: None)
    with root.claim(spec) as folder:
        assert folder is not None
        outcome = trainer.train(spec, folder, Settings(device="cpu"))
        assert outcome.artifact is not None
        assert outcome.artifact.bytes == (folder.path / outcome.artifact.path).stat().st_size
        root.finish(folder, outcome)
    predicted = trainer.predicted_bytes(resolve(spec.recipe), spec.budget, spec.constants)
    assert predicted == pytest.approx(outcome.artifact.bytes, rel=0.05)


def predicted(levers: dict[str, Scalar]) -> int:
    return resolve(recipe("golf-micro", {**OURS, **levers})).derived.integer("artifact_bytes")


def test_a_recipe_without_an_artifact_predicts_none() -> None:
    assert "artifact_bytes" not in resolve(recipe("golf-micro", {"export.artifact": False})).derived


def test_prediction_follows_steps_and_sizes() -> None:
    assert predicted({"matrix_step": 0.4}) < predicted({"matrix_step": 0.2}) < predicted({"matrix_step": 0.1})
    assert predicted({"width": 128}) > predicted({})


def within(levers: dict[str, Scalar], steps: float, **constants: object) -> int:
    budget = Budget(limit=Limit(kind="steps", amount=steps))
    return LMTrainer().predicted_bytes(resolve(recipe("golf-micro", levers)), budget, CONSTANTS.complete(constants))


def test_a_floor_under_the_steps_saves_the_more_the_smaller_the_weights_are() -> None:
    without = within({**FLOORED, "scale_floor": 0.0}, 16)
    floored = [within(FLOORED, steps) for steps in (16, 200, 100_000)]
    assert floored[0] < floored[1] < floored[2]
    assert floored[2] == pytest.approx(without, rel=1e-3)  # what the lever is called in the header remains
    assert floored[0] < 0.8 * without
    assert within({**FLOORED, "scale_floor": 0.0}, 100_000) == without
    assert within({**FLOORED, "scale_floor": 0.05}, 16) < floored[0]


def test_a_fitted_size_leaves_room_for_counted_code() -> None:
    free = within(OURS, 16)
    assert within({**OURS, "allocate_to_bytes": free // 2}, 16, code_bytes=1000) == free // 2 - 1000


@pytest.mark.parametrize("matrices", ["uniform", "fan_in", "orthogonal"])
@pytest.mark.parametrize("preset", ["micro", "golf-micro"])
def test_weights_are_known_to_begin_as_their_model_does(preset: str, matrices: str) -> None:
    values = LEVERS.complete({"init.matrices": matrices, "context": 64}, PRESETS[preset])
    config, model = config_of(values), model_of(values)
    shape = shape_of(config)
    for info, size in stored_tensors(config, shape).matrices:
        expected = first_spread(config, shape, info, size)
        assert float(model.get_parameter(info.name).detach().std()) == pytest.approx(expected, rel=0.1, abs=1e-12)
        assert expected_spread(config, shape, info, size, steps=0) == expected


def test_full_steps_are_the_sum_of_a_schedules_factors() -> None:
    config = config_of(LEVERS.complete({"warmup_ratio": 0.1, "warmdown_ratio": 0.5}, PRESETS["golf-micro"]))
    factors = [min(1.0, (i + 0.5) / 100, 2.0 * (1 - (i + 0.5) / 1000)) for i in range(1000)]
    assert full_steps(config, 1000) == pytest.approx(sum(factors), rel=0.01)


def test_a_size_that_is_fitted_is_the_prediction_unless_nothing_reaches_it() -> None:
    free = predicted({})
    assert predicted({"allocate_to_bytes": free // 2}) == free // 2
    assert free // 20 < predicted({"allocate_to_bytes": 100}) < free


def test_a_level_that_a_codec_does_not_have_is_found_before_training() -> None:
    levers: dict[str, Scalar] = {"artifact": True, "scheme": "none", "codec": "zlib"}
    assert resolve(recipe("golf-micro", {**levers, "codec_level": 9}))
    with pytest.raises(UserError, match=r"no such level of zlib \(got 22\)"):
        resolve(recipe("golf-micro", {**levers, "codec_level": 22}))


def test_an_override_that_matches_nothing_is_found_before_training() -> None:
    with pytest.raises(RecipeError, match="is the first match of no matrix"):
        resolve(recipe("golf-micro", {"overrides": "nothing.*=int4"}))
