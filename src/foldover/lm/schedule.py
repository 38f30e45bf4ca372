"""Every schedule, as a function of what is known when a step begins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from foldover.lm.levers import TrainConfig
from foldover.lm.levers_optimizer import Optimizer
from foldover.lm.levers_training import Batch, Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When a step happens.

    progress: share of the budget used up; step: from 0; remaining_steps: how many are left, by the speed so
    far (None while unknown); plateau: progress at which the loss was found to stand still (None: not yet).
    """

    progress: float
    step: int
    remaining_steps: float | None = None
    plateau: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What the optimiser is given. is_warming_down: whether `lr_multiplier` is on its way down."""

    lr_multiplier: float
    momentum: float
    weight_decay: float
    adam_weight_decay: float
    is_warming_down: bool


def rates_at(config: TrainConfig, moment: Moment) -> Rates:
    """All rates of a step."""
    return Rates(
        lr_multiplier=lr_multiplier(config.schedule, moment),
        momentum=momentum(config.optimizer, moment.step),
        weight_decay=config.optimizer.weight_decay * decay_taper(config.optimizer, moment.progress),
        adam_weight_decay=config.optimizer.adam_weight_decay * decay_taper(config.optimizer, moment.progress),
        is_warming_down=is_warming_down(config.schedule, moment),
    )


def lr_multiplier(schedule: Schedule, moment: Moment) -> float:
    """Factor on every learning rate: linear warm-up, constant, warm-down to `final_lr_fraction` or the floor."""
    if moment.progress < schedule.warmup_ratio:
        return moment.progress / schedule.warmup_ratio
    if not is_warming_down(schedule, moment):
        return 1.0
    left = min(_left(schedule, moment))
    share = {
        "linear": lambda: left,
        "cosine": lambda: 0.5 * (1.0 + math.cos(math.pi * (1.0 - left))),
        "one_minus_sqrt": lambda: 1.0 - math.sqrt(1.0 - left),
    }[schedule.warmdown_shape]()
    return max(share + (1.0 - share) * schedule.final_lr_fraction, schedule.min_lr_fraction)


def is_warming_down(schedule: Schedule, moment: Moment) -> bool:
    """Whether the warm-down has begun."""
    return bool(_left(schedule, moment))


def _left(schedule: Schedule, moment: Moment) -> Sequence[float]:
    """What is left, from 1 to 0, of each warm-down that has begun."""
    progress, remaining = moment.progress, moment.remaining_steps
    found = []
    if schedule.warmdown_ratio > 0 and progress >= 1.0 - schedule.warmdown_ratio:
        found.append(min((1.0 - progress) / schedule.warmdown_ratio, 1.0))
    if remaining is not None and remaining <= schedule.warmdown_steps > 0:
        found.append(max(remaining, 0.0) / schedule.warmdown_steps)
    if moment.plateau is not None:
        found.append((1.0 - progress) / (1.0 - moment.plateau) if moment.plateau < 1.0 else 0.0)
    return found


def decay_taper(optimizer: Optimizer, progress: float) -> float:
    """Factor on weight decay: 1, and from `decay_taper_start` on linearly down to `decay_final_fraction`."""
    start, final = optimizer.decay_taper_start, optimizer.decay_final_fraction
    over = max(0.0, progress - start) / (1.0 - start)
    return final + (1.0 - final) * (1.0 - over)


def momentum(optimizer: Optimizer, step: int) -> float:
    """Muon's momentum: a linear rise over `momentum_warmup` steps, then constant or a triangle wave.

    It counts steps, not time, as upstream does.
    """
    if step < optimizer.momentum_warmup:
        share = step / optimizer.momentum_warmup
        return (1.0 - share) * optimizer.momentum_start + share * optimizer.momentum
    if optimizer.momentum_cycle:
        phase = step % (2 * optimizer.momentum_cycle) / optimizer.momentum_cycle
        height = phase if phase <= 1.0 else 2.0 - phase
        return optimizer.momentum_cycle_low + height * (optimizer.momentum - optimizer.momentum_cycle_low)
    return optimizer.momentum


def rows_of_step(batch: Batch, *, rows_per_step: int, progress: float) -> int:
    """Rows of full length that a step takes: `rows_per_step`, or fewer while the batch grows."""
    if batch.batch_start >= 1.0 or progress >= batch.batch_ramp_ratio:
        return rows_per_step
    share = batch.batch_start + (1.0 - batch.batch_start) * progress / batch.batch_ramp_ratio
    return max(1, round(share * rows_per_step))


def row_length(batch: Batch, *, context: int, progress: float) -> int:
    """Tokens a training row: the context, or a part of it while rows grow."""
    parts = int(batch.length_start.rpartition("/")[2])
    if parts == 1 or progress >= batch.length_ramp_ratio:
        return context
    doublings = parts.bit_length() - 1
    done = math.floor(progress / batch.length_ramp_ratio * doublings)
    return context // parts << done


def first_frozen_block(schedule: Schedule, *, num_blocks: int, progress: float) -> int:
    """Blocks from this index on are not trained yet."""
    if progress >= schedule.unfreeze_ratio:
        return num_blocks
    return min(num_blocks, math.floor(progress / schedule.unfreeze_ratio * num_blocks) + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlateauState:
    """What is remembered of the loss. average: smoothed; history: of the last window; progress: where it was found."""

    average: float | None = None
    history: tuple[float, ...] = ()
    progress: float | None = None


class Plateau:
    """Finds out when the training loss stands still (levers `schedule.adaptive_*`).

    The moving average of the loss is compared with what it was a window of steps ago. Not before `min_steps`,
    and only as long as at least `warmdown_ratio` of the budget is left: after that the ordinary warm-down runs.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._average: float | None = None
        self._history: list[float] = []
        self.progress: float | None = None

    def observe(self, loss: float, *, step: int, progress: float) -> bool:
        """Take note of a step's loss; True if the plateau was found now. progress: after the step."""
        schedule = self._schedule
        if not schedule.adaptive_threshold or self.progress is not None:
            return False
        beta = schedule.adaptive_smoothing
        self._average = loss if self._average is None else beta * self._average + (1.0 - beta) * loss
        self._history.append(self._average)
        if len(self._history) <= schedule.adaptive_window:
            return False
        before = self._history.pop(0)
        if step + 1 < schedule.adaptive_min_steps or progress >= 1.0 - schedule.warmdown_ratio:
            return False
        if before - self._average >= schedule.adaptive_threshold * abs(before):
            return False
        self.progress = progress
        return True

    @property
    def state(self) -> PlateauState:
        """For a checkpoint."""
        return PlateauState(average=self._average, history=tuple(self._history), progress=self.progress)

    def restore(self, state: PlateauState) -> None:
        """Put back what `state` gave."""
        self._average, self._history, self.progress = state.average, list(state.history), state.progress
