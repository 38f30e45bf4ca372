"""What can be known to go wrong before a run is paid for. No torch.

`training_problems` needs the recipe alone and belongs to `resolve`; `check_budget` needs the limit as well: a
schedule that no step of the run would feel is an error, not a surprise in the results.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from foldover.core import BudgetError, Limit, RecipeError
from foldover.lm.clock import training_limit
from foldover.lm.levers import TrainConfig


def training_problems(config: TrainConfig) -> Iterator[RecipeError]:
    """What a recipe's schedules, batches and losses cannot be."""
    total_batch, context = config.batch.total_batch, config.model.context
    if total_batch % context:
        yield RecipeError(
            f"`batch.total_batch` is {total_batch}, not a multiple of the context",
            value=context,
            fix=f"Use {max(1, round(total_batch / context)) * context}.",
        )
    if config.schedule.warmup_ratio + config.schedule.warmdown_ratio > 1:
        yield RecipeError(
            "warm-up and warm-down overlap",
            value=(config.schedule.warmup_ratio, config.schedule.warmdown_ratio),
            fix="Their ratios may add up to at most 1.",
        )
    parts = int(config.batch.length_start.rpartition("/")[2])
    if context % parts or context // parts < 2:
        yield RecipeError(
            f"`batch.length_start` is {config.batch.length_start}, which does not cut the context into rows",
            value=context,
            fix=f"Use a context that is a multiple of {2 * parts}, or longer rows.",
        )
    if config.loss.ignore_token >= config.tokenizer.vocab_size:
        yield RecipeError(
            f"`loss.ignore_token` is {config.loss.ignore_token}, not an id of the vocabulary",
            value=config.tokenizer.vocab_size,
            fix="Use -1 to ignore none.",
        )
    if config.optimizer.momentum_cycle and config.optimizer.momentum_cycle_low > config.optimizer.momentum:
        yield RecipeError(
            "`optimizer.momentum_cycle_low` is above `optimizer.momentum`",
            value=(config.optimizer.momentum_cycle_low, config.optimizer.momentum),
            fix="Lower the one or raise the other.",
        )


def num_steps(config: TrainConfig, limit: Limit, *, flops_per_token: int) -> int | None:
    """Steps that a run takes; None where only the clock knows."""
    if limit.kind == "seconds":
        return None
    if limit.kind == "steps":
        return int(limit.amount)
    if config.batch.batch_start < 1.0:
        return None
    tokens = limit.amount if limit.kind == "tokens" else limit.amount / flops_per_token
    return max(1, math.ceil(tokens / config.batch.total_batch))


def check_budget(config: TrainConfig, limit: Limit, *, flops_per_token: int) -> None:
    """Raises BudgetError for something in the recipe that this limit leaves no step for, or that it does not know.

    Of a limit in seconds nothing is known before the first step but whether the reserve leaves some of it.
    """
    reserve = config.schedule.reserve_seconds
    training_limit(limit, reserve_seconds=reserve)
    if reserve and limit.kind != "seconds":
        raise BudgetError(
            f"`schedule.reserve_seconds` cannot act within {limit.label()}: it is kept of limits in seconds",
            value=reserve,
            fix="Leave it at 0, or give the run a limit in seconds.",
        )
    steps = num_steps(config, limit, flops_per_token=flops_per_token)
    if steps is None:
        return
    last = (steps - 1) / steps  # progress at the beginning of the last step
    schedule, optimizer, averaging = config.schedule, config.optimizer, config.averaging
    latest_plateau = (1.0 - schedule.warmdown_ratio) * steps
    impossible: dict[str, tuple[bool, object]] = {
        "schedule.warmdown_ratio": (0 < schedule.warmdown_ratio < 1.0 - last, schedule.warmdown_ratio),
        "schedule.warmup_ratio": (schedule.warmup_ratio > last > 0, schedule.warmup_ratio),
        "schedule.unfreeze_ratio": (schedule.unfreeze_ratio > last > 0, schedule.unfreeze_ratio),
        "schedule.adaptive_min_steps": (
            schedule.adaptive_threshold > 0
            and max(schedule.adaptive_min_steps, schedule.adaptive_window + 1) >= latest_plateau,
            (schedule.adaptive_min_steps, schedule.adaptive_window),
        ),
        "optimizer.momentum_cycle": (
            optimizer.momentum_cycle > 0 and optimizer.momentum_warmup >= steps,
            optimizer.momentum_warmup,
        ),
        "optimizer.meta_ttt_every": (
            optimizer.meta_ttt > 0 and optimizer.meta_ttt_every > steps,
            optimizer.meta_ttt_every,
        ),
        "averaging.ema_every": (averaging.kind == "ema" and averaging.ema_every > steps, averaging.ema_every),
        "averaging.snapshot_every": (
            averaging.kind in ("swa", "lawa") and averaging.snapshot_every > steps,
            averaging.snapshot_every,
        ),
        "compression.penalty_from": (
            config.compression.weight > 0 and config.compression.penalty_from >= steps,
            config.compression.penalty_from,
        ),
    }
    for name, (is_impossible, value) in impossible.items():
        if is_impossible:
            raise BudgetError(
                f"`{name}` cannot act within {limit.label()}, which are {steps} steps",
                value=value,
                fix="Change it, switch it off, or give the run more.",
            )
