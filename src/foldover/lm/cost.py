"""Seconds of a run before it is run: an estimate for one CPU core or one GPU, that measured runs replace. No torch."""

from __future__ import annotations

from foldover.core import Budget, Resolved, Values, bind
from foldover.evaluation.checks import phases_of
from foldover.lm.clock import training_limit
from foldover.lm.levers import TrainConfig

# What one CPU core of 2020 or later does with small shapes, and a GPU of a data centre with those of the presets;
# `plan` says that it is an assumption, and runs that have been measured replace it.
ASSUMED_FLOPS_PER_SECOND = {"cpu": 2.0e10, "cuda": 1.0e14}
ASSUMED_OVERHEAD_SECONDS = {"cpu": 0.3, "cuda": 15.0}
FORWARD_SHARE = 1 / 3
# Seconds for each million weights that are packed and written, without GPTQ and with it (measured on models of 2.6
# million weights); those of the feedback of GPTQ grow with width.
PACKING_SECONDS = 0.5
GPTQ_SECONDS = 2.0


def estimated_seconds(
    resolved: Resolved, budget: Budget, constants: Values, *, share: float, device: str = "cpu"
) -> float:
    """All of a run. share: of the training that is left to do; device: `cpu` or `cuda`."""
    rate = ASSUMED_FLOPS_PER_SECOND[device]
    config = bind(TrainConfig, resolved.recipe.values)
    tokens_per_second = rate / resolved.derived.number("flops_per_token")
    limit = training_limit(budget.limit, reserve_seconds=config.schedule.reserve_seconds)
    amount = limit.amount
    training = {
        "seconds": amount,
        "steps": amount * resolved.derived.number("tokens_per_step") / tokens_per_second,
        "tokens": amount / tokens_per_second,
        "flops": amount / rate,
    }[limit.kind]
    passes = FORWARD_SHARE * passed_tokens(config, resolved.responses, constants.integer("eval_tokens"))
    packing = _packing_seconds(config, resolved.derived.number("num_params"))
    return share * training + passes / tokens_per_second + packing + ASSUMED_OVERHEAD_SECONDS[device]


def passed_tokens(config: TrainConfig, responses: tuple[str, ...], eval_tokens: int) -> float:
    """Tokens that go through the model forwards after training; a backward pass counts as two more."""
    total = float(eval_tokens)
    if len(responses) == 1:
        return total
    evaluate, calibration = config.evaluate, config.calibration
    context = evaluate.eval_context or config.model.context
    windows = context / min(evaluate.stride, context) if evaluate.mode == "sliding" else 1.0
    total += eval_tokens * (1.0 + windows)
    if evaluate.adapt == "sgd":
        total += 3.0 * eval_tokens * evaluate.adapt_epochs
    if evaluate.adapt == "lora":
        # A phase reads what came before it: half of all, on average.
        phases = 0.5 * evaluate.phase_epochs * len(phases_of(evaluate))
        total += 3.0 * eval_tokens * (1.0 + phases)
    export = config.export
    if export.artifact and export.scheme != "none" and _needs_text(config):
        is_backward = bool(export.allocate_to_bytes) or config.grid.row_steps == "gradient"
        total += calibration.rows * calibration.batches * config.model.context * (3.0 if is_backward else 1.0)
    return total


def _needs_text(config: TrainConfig) -> bool:
    return bool(
        config.calibration.gptq
        or config.grid.awq_alpha
        or config.grid.row_steps == "gradient"
        or config.export.allocate_to_bytes
    )


def _packing_seconds(config: TrainConfig, num_params: float) -> float:
    if not config.export.artifact:
        return 0.0
    is_gptq = config.export.scheme != "none" and config.calibration.gptq
    return num_params / 1e6 * (GPTQ_SECONDS if is_gptq else PACKING_SECONDS)
