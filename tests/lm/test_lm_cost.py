"""What a run is expected to take, by what its levers ask for."""

from __future__ import annotations

import pytest

from foldover.core import Budget, Limit, Recipe, Scalar, bind
from foldover.lm.cost import passed_tokens
from foldover.lm.levers import CONSTANTS, LEVERS, PRESETS, TrainConfig
from foldover.lm.resolve import resolve
from foldover.lm.trainer import LMTrainer

BUDGET = Budget(limit=Limit(kind="steps", amount=10.0))
TOKENS = 4096


def tokens(**levers: Scalar) -> float:
    named = {name.replace("__", "."): value for name, value in levers.items()}
    resolved = resolve(Recipe(trainer="lm", values=LEVERS.complete(named, PRESETS["golf-micro"])))
    return passed_tokens(bind(TrainConfig, resolved.recipe.values), resolved.responses, TOKENS)


def test_a_recipe_without_later_levers_is_measured_once() -> None:
    assert tokens() == TOKENS


def test_a_window_a_stride_passes_a_context_for_each_stride() -> None:
    # The plain score twice, and windows of 128 every 32 tokens.
    assert tokens(mode="sliding", stride=32) == 2 * TOKENS + 4 * TOKENS


def test_learning_passes_each_token_three_times_an_epoch() -> None:
    assert tokens(adapt="sgd", adapt_epochs=2) - tokens(adapt="sgd", adapt_epochs=1) == 3 * TOKENS


def test_calibration_text_is_passed_once_and_three_times_with_gradients() -> None:
    plain = tokens(artifact=True, gptq=False)
    assert tokens(artifact=True) - plain == 16 * 8 * 128
    assert tokens(artifact=True, gptq=False, scheme="step", row_steps="gradient") - plain == 3 * 16 * 8 * 128


@pytest.mark.parametrize("levers", [{"export.artifact": True}, {"evaluate.mode": "sliding"}])
def test_the_estimate_grows_with_what_is_done_after_training(levers: dict[str, Scalar]) -> None:
    trainer, constants = LMTrainer(), CONSTANTS.defaults()
    found = [
        trainer.estimate_seconds(resolve(Recipe(trainer="lm", values=values)), BUDGET, constants)
        for values in (PRESETS["golf-micro"], LEVERS.complete(levers, PRESETS["golf-micro"]))
    ]
    assert found[0] < found[1]


def test_what_is_reserved_is_not_trained() -> None:
    trainer, constants, budget = LMTrainer(), CONSTANTS.defaults(), Budget(limit=Limit.parse("10min"))
    plain, reserved = (
        resolve(Recipe(trainer="lm", values=LEVERS.complete({"reserve_seconds": s}, PRESETS["golf-micro"])))
        for s in (0.0, 12.0)
    )

    def seconds(spent: Limit | None) -> float:
        return trainer.estimate_part_seconds(reserved, budget, constants, spent)

    whole = trainer.estimate_seconds(reserved, budget, constants)
    assert trainer.estimate_seconds(plain, budget, constants) - whole == pytest.approx(12.0)
    # Half of 588 s is done when the warm-down begins, and all of them where another run did the training.
    point = trainer.branch_point(reserved, budget)
    assert point == Limit.parse("294s")
    assert (seconds(None), whole - seconds(point)) == (whole, pytest.approx(294.0))
    assert whole - seconds(budget.limit) == pytest.approx(588.0)


def test_on_a_gpu_five_minutes_take_little_more_however_much_is_scored() -> None:
    recipe = resolve(Recipe(trainer="lm", values=PRESETS["autoresearch"]))
    budget, constants = Budget(limit=Limit.parse("5min")), CONSTANTS.complete({"eval_tokens": 20_971_520})
    on_gpu = LMTrainer().estimating_on("cuda:0").estimate_seconds(recipe, budget, constants)
    assert 300 < on_gpu < 400
    assert LMTrainer().estimating_on("auto").estimate_seconds(recipe, budget, constants) > 3600
