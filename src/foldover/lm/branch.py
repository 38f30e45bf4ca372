"""Runs that go on from the state of another: which states may be used, and when. No torch.

A warm-down branched from a run at constant rates is the run that it would have been from its first step, so several
budgets cost one trunk. That holds only where nothing before the branch depends on the budget: this module says so.
"""

from __future__ import annotations

from dataclasses import replace

from foldover.core import Limit, RecipeError, Values
from foldover.lm.clock import BudgetClock, Elapsed, training_limit
from foldover.lm.levers import LEVERS, TrainConfig
from foldover.lm.preflight import num_steps
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
        "schedule.reserve_seconds",
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
    if _tapers(config) and not config.optimizer.decay_taper_start:
        raise RecipeError(
            "a run that starts from another cannot have weight decay that tapers from the first step on",
            value=config.optimizer.decay_final_fraction,
            fix="Begin the taper later (`optimizer.decay_taper_start`), or keep the decay "
            "(`optimizer.decay_final_fraction = 1`).",
        )


def trunk_values(values: Values) -> Values:
    """The levers of the trunk of such runs: as theirs, at constant rates and constant decay, with nothing reserved."""
    kept = {name: value for name, value in values.items() if name not in BRANCH_LEVERS}
    rest = {name: LEVERS[name].default for name in BRANCH_LEVERS if not LEVERS[name].may_be_left_out}
    constant = {"schedule.warmdown_ratio": 0.0, "schedule.warmdown_steps": 0, "optimizer.decay_final_fraction": 1.0}
    return Values({**kept, **rest, **constant})


def branch_point(config: TrainConfig, limit: Limit, *, flops_per_token: int) -> Limit | None:
    """What a run trains before a warm-down or taper begins, in the limit's kind; None where that is nothing.

    In steps, tokens and FLOPs it is exact. In seconds it is the time after which the first step ends the constant part.
    Raises RecipeError where there is no trunk, or where only the measured speed will tell.
    """
    check_branch(config)
    if limit.kind == "seconds":
        if config.schedule.warmdown_steps:
            raise RecipeError(
                "with a limit in seconds a run that starts from another cannot have `schedule.warmdown_steps`: only "
                "its speed tells when these begin",
                value=config.schedule.warmdown_steps,
                fix="Use `schedule.warmdown_ratio`, or a limit in steps.",
            )
        ends = [1.0 - config.schedule.warmdown_ratio, config.optimizer.decay_taper_start if _tapers(config) else 1.0]
        seconds = training_limit(limit, reserve_seconds=config.schedule.reserve_seconds).amount
        return Limit(kind="seconds", amount=min(ends) * seconds) if min(ends) > 0 else None
    low, high = 0, num_steps(config, limit, flops_per_token=flops_per_token)
    assert high is not None, "the batch is constant"
    batch = config.batch.total_batch
    while low < high:  # the first steps are constant, the others are not: the last constant one is searched for
        middle = (low + high + 1) // 2
        elapsed = Elapsed(steps=middle, tokens=middle * batch)
        if is_constant_up_to(config, limit, elapsed, flops_per_token=flops_per_token):
            low = middle
        else:
            high = middle - 1
    per_step = {"steps": 1, "tokens": batch, "flops": batch * flops_per_token}[limit.kind]
    return Limit(kind=limit.kind, amount=min(low * per_step, limit.amount)) if low else None


def is_constant_up_to(config: TrainConfig, limit: Limit, elapsed: Elapsed, *, flops_per_token: int) -> bool:
    """Whether a run of this recipe and limit has full rates and decay in every step before `elapsed`."""
    if not elapsed.steps:
        return True
    clock = BudgetClock(
        training_limit(limit, reserve_seconds=config.schedule.reserve_seconds),
        free_steps=config.schedule.free_steps,
        tokens_per_step=config.batch.total_batch,
        flops_per_token=flops_per_token,
        elapsed=replace(
            elapsed,
            steps=elapsed.steps - 1,
            tokens=elapsed.tokens - config.batch.total_batch,
            counted_seconds=elapsed.counted_seconds - elapsed.last_step_seconds,
        ),
    )
    # When the last step that was taken began.
    before = Moment(progress=clock.progress, step=clock.steps, remaining_steps=clock.remaining_steps)
    is_decay_full = not _tapers(config) or decay_taper(config.optimizer, before.progress) == 1.0
    return is_decay_full and not is_warming_down(config.schedule, before)


def is_reached(point: Limit, elapsed: Elapsed, *, flops_per_token: int) -> bool:
    """Whether so much has been trained."""
    done = {
        "seconds": elapsed.counted_seconds,
        "steps": elapsed.steps,
        "tokens": elapsed.tokens,
        "flops": elapsed.tokens * flops_per_token,
    }[point.kind]
    return done >= point.amount


def _tapers(config: TrainConfig) -> bool:
    optimizer = config.optimizer
    has_decay = optimizer.weight_decay > 0 or optimizer.adam_weight_decay > 0
    return has_decay and optimizer.decay_final_fraction != 1.0
