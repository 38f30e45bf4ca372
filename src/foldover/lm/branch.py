"""Runs that go on from the state of another: which states may be used, and when. No torch.

A warm-down branched from a run at constant rates is the run that it would have been from its first step, so several
budgets cost one trunk. That holds only where nothing before the branch depends on the budget: this module says so.
"""

from __future__ import annotations

from foldover.core import Limit, RecipeError
from foldover.lm.clock import BudgetClock, Elapsed
from foldover.lm.levers import TrainConfig
from foldover.lm.schedule import Moment, decay_taper, is_warming_down

BRANCH_LEVERS = frozenset(
    {
        "schedule.warmdown_ratio",
        "schedule.warmdown_steps",
        "schedule.warmdown_shape",
        "schedule.final_lr_fraction",
        "schedule.min_lr_fraction",
        "optimizer.decay_taper_start",
        "optimizer.decay_final_fraction",
    }
)
"""What a branch may have otherwise than its trunk: none of it acts while rates and decay are constant."""


def check_branch(config: TrainConfig) -> None:
    """Raises RecipeError for a recipe whose every step depends on the budget: it has no trunk."""
    for name, value, neutral in (
        ("schedule.warmup_ratio", config.schedule.warmup_ratio, 0.0),
        ("schedule.adaptive_threshold", config.schedule.adaptive_threshold, 0.0),
        ("schedule.unfreeze_ratio", config.schedule.unfreeze_ratio, 0.0),
        ("batch.batch_start", config.batch.batch_start, 1.0),
        ("batch.length_start", config.batch.length_start, "1"),
        ("loss.word_start_ramp_from", config.loss.word_start_ramp_from, 1.0),
        ("recurrence.active_from", config.recurrence.active_from, 0.0),
        ("recurrence.all_from", config.recurrence.all_from, 0.0),
    ):
        if value != neutral:
            raise RecipeError(
                f"a run that starts from another cannot have `{name}`, which depends on the whole budget",
                value=value,
                fix=f"Use {neutral}.",
            )


def is_constant_up_to(config: TrainConfig, limit: Limit, elapsed: Elapsed, *, flops_per_token: int) -> bool:
    """Whether a run of this recipe and limit has full rates and decay in every step before `elapsed`."""
    if not elapsed.steps:
        return True
    clock = BudgetClock(
        limit,
        free_steps=config.schedule.free_steps,
        tokens_per_step=config.batch.total_batch,
        flops_per_token=flops_per_token,
        elapsed=elapsed,
    )
    # When the last step that was taken began: for a limit in seconds, nearly.
    before = Moment(
        progress=clock.progress * (elapsed.steps - 1) / elapsed.steps,
        step=elapsed.steps - 1,
        remaining_steps=None if clock.remaining_steps is None else clock.remaining_steps + 1,
    )
    has_decay = config.optimizer.weight_decay > 0 or config.optimizer.adam_weight_decay > 0
    is_decay_full = not has_decay or decay_taper(config.optimizer, before.progress) == 1.0
    return is_decay_full and not is_warming_down(config.schedule, before)
