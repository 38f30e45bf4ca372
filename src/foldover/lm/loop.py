"""The training loop, and nothing else."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor

from foldover.core import Scalar
from foldover.lm.clock import BudgetClock
from foldover.lm.device import Device, page_faults
from foldover.lm.feed import Feed, sizes
from foldover.lm.levers import TrainConfig
from foldover.lm.loss import Share
from foldover.lm.optim import clip_gradients
from foldover.lm.parallel import Recorder, share_of, tokens_of_ranks
from foldover.lm.parts import Parts, copied, restore
from foldover.lm.schedule import Moment, Rates, first_frozen_block, rates_at, row_length, rows_of_step

LOSS_LIMIT = 100.0  # nats; upstream calls a run failed above it
CURVE_STEPS = 20  # of the first steps every one is a point of the curve
CURVE_PROGRESS = 1 / 400  # after that a point each time progress has grown by this
STEADY_STEPS = 3  # page faults are counted from here on


@dataclass(slots=True, kw_only=True)
class Progress:
    """What the loop remembers from step to step besides the parts and the clock.

    last_loss: plain cross-entropy of the last step, nats; last_point: progress at the last point of the curve;
    seconds: time split of all steps; fired: events that happened; steady_faults: page faults since step 3;
    rank_tokens: trained on by each process.
    """

    last_loss: float = math.nan
    last_point: float = -1.0
    is_diverged: bool = False
    fired: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(
        default_factory=lambda: {"data": 0.0, "forward": 0.0, "backward": 0.0, "optimizer": 0.0}
    )
    steady_faults: int = 0
    steady_steps: int = 0
    rank_tokens: list[int] = field(default_factory=list)


def train(
    parts: Parts,
    feed: Feed,
    clock: BudgetClock,
    config: TrainConfig,
    device: Device,
    folder: Recorder,
    progress: Progress,
    *,
    save: Callable[[], None] = lambda: None,
) -> None:
    """Step until the clock says the budget is over or the loss is not finite.

    progress: where the loop stands, changed as it goes on; save: called after each step, with everything
    consistent. Straight and long on purpose: this is the order in which things happen.
    """
    events = _Events(progress, folder, clock)
    while not clock.is_over:
        clock.begin_step()
        faults = page_faults()
        moment = _moment(parts, clock)
        rates = rates_at(config, moment)
        frozen = parts.frozen(
            first_frozen_block(config.schedule, num_blocks=len(parts.blocks), progress=moment.progress)
        )
        events.of_schedules(config, moment, rates, is_frozen=bool(frozen))

        started = time.perf_counter()
        rows_per_step = config.batch.total_batch // config.model.context
        micro = feed.take(
            rows_of_step(config.batch, rows_per_step=rows_per_step, progress=moment.progress),
            row_length=row_length(config.batch, context=config.model.context, progress=moment.progress),
        )
        progress.seconds["data"] += time.perf_counter() - started

        for event in parts.forward_weights.acting(rates):
            events.fire(event)
        events.of_rows(parts, micro)
        with parts.forward_weights.in_training(step=moment.step, rates=rates):
            mean = step_gradients(parts, micro, moment.progress, device, progress.seconds)
            _count_tokens(progress, micro, parts.ranks.size)
            if parts.model.is_looping:
                events.fire("loops_started")
            loss = float(mean)  # waits for the device
            if not math.isfinite(loss) or loss > LOSS_LIMIT:
                progress.last_loss, progress.is_diverged = loss, True
                folder.add_event("diverged", step=clock.steps, progress=moment.progress)
                clock.end_step(tokens=sizes(micro))
                break
            if parts.meta.add_gradients(micro, objective_of(parts, moment.progress, device), step=moment.step):
                events.fire("meta_ttt")

        differentiated = time.perf_counter()
        if parts.penalty.add_gradients(step=moment.step) is not None:
            events.fire("compression_penalty")
        if config.optimizer.clip_norm:
            _clip(parts, config.optimizer.clip_norm, events)
        parts.optimizer.step(
            lr_multiplier=rates.lr_multiplier,
            momentum=rates.momentum,
            weight_decay=rates.weight_decay,
            adam_weight_decay=rates.adam_weight_decay,
            frozen=frozen,
        )
        if parts.average.update(step=moment.step, rates=rates):
            events.fire("averaging_started")
        device.synchronize()
        progress.seconds["optimizer"] += time.perf_counter() - differentiated
        progress.last_loss = loss
        if moment.step >= STEADY_STEPS:
            progress.steady_faults += page_faults() - faults
            progress.steady_steps += 1

        clock.end_step(tokens=sizes(micro))
        if parts.plateau.observe(loss, step=moment.step, progress=clock.progress):
            events.fire("plateau_found")
        if moment.step < CURVE_STEPS or clock.progress - progress.last_point >= CURVE_PROGRESS or clock.is_over:
            progress.last_point = clock.progress
            folder.add_to_curve(
                step=moment.step,
                tokens=clock.tokens,
                seconds=clock.counted_seconds,
                progress=clock.progress,
                train_loss=loss,
                lr_multiplier=rates.lr_multiplier,
            )
        save()


def step_gradients(
    parts: Parts, micro: Sequence[Tensor], progress: float, device: Device, seconds: dict[str, float]
) -> Tensor:
    """Gradients of a step's objective, into `grad`; gives the mean of the plain losses, over all processes.

    seconds: `forward` and `backward` are added to it; the latter includes what is left to wait for of the sums over
    processes. A GPU works behind the host, which first waits when it reads the loss: not in here.
    """
    num_rows = sum(len(rows) for rows in micro)
    mean = torch.zeros((), device=device.device)
    parts.model.set_progress(progress)
    for i, (part, share) in enumerate(_own_parts(parts, micro, progress)):
        is_last = i == len(micro) - 1
        began = passed = parts.now()
        with parts.gradient_sum.last_pass(parts.model.idle) if is_last else nullcontext():
            if len(part):
                with device.compute():
                    losses = parts.objective.losses(parts.loss_model, part, share)
                passed = parts.now()
                torch.autograd.backward(losses.objective)
                mean += losses.plain * (len(part) / num_rows)
        seconds["forward"] += passed - began
        seconds["backward"] += parts.now() - passed
    parts.ranks.add([mean])
    return mean


def objective_of(parts: Parts, progress: float, device: Device) -> Callable[[Sequence[Tensor]], Iterator[Tensor]]:
    """Micro-batches to what this process's rows of them add to the objective, one after the other."""

    def losses(micro: Sequence[Tensor]) -> Iterator[Tensor]:
        for part, share in _own_parts(parts, micro, progress):
            if len(part):
                with device.compute():
                    found = parts.objective.losses(parts.loss_model, part, share).objective
                yield found

    return losses


def _own_parts(parts: Parts, micro: Sequence[Tensor], progress: float) -> Iterator[tuple[Tensor, Share]]:
    """Of each micro-batch the rows of this process, and what they count in the step."""
    for rows, share in zip(micro, parts.objective.shares(micro, progress=progress), strict=True):
        own = share_of(len(rows), rank=parts.ranks.rank, size=parts.ranks.size)
        yield rows[own], share.part(own, of=len(rows))


def _clip(parts: Parts, limit: float, events: _Events) -> None:
    norm = clip_gradients(parts.optimizer, limit)
    # Looked at until it has happened once: each look waits for the device.
    if not events.has("gradient_clipped") and float(norm) > limit:
        events.fire("gradient_clipped")


def _count_tokens(progress: Progress, micro: Sequence[Tensor], num_ranks: int) -> None:
    # A continued run may have begun with another number of processes.
    before = progress.rank_tokens if len(progress.rank_tokens) == num_ranks else [0] * num_ranks
    progress.rank_tokens = [old + new for old, new in zip(before, tokens_of_ranks(micro, num_ranks), strict=True)]


def rehearse(parts: Parts, feed: Feed, config: TrainConfig, device: Device) -> None:
    """Take `schedule.restored_steps` real steps, so that everything is warm, then put the state back.

    feed: a stream of its own, so that training begins with its first row.
    """
    state = copied(parts)
    rates = rates_at(config, Moment(progress=0.0, step=0))
    rows = config.batch.total_batch // config.model.context
    for _ in range(config.schedule.restored_steps):
        step_gradients(
            parts, feed.take(rows, row_length=config.model.context), 0.0, device, {"forward": 0.0, "backward": 0.0}
        )
        parts.optimizer.step(
            lr_multiplier=1.0,
            momentum=rates.momentum,
            weight_decay=rates.weight_decay,
            adam_weight_decay=rates.adam_weight_decay,
        )
    device.synchronize()
    restore(parts, state)
    parts.optimizer.clear_gradients()


class _Events:
    """Records, once each, that something really acted."""

    def __init__(self, progress: Progress, folder: Recorder, clock: BudgetClock) -> None:
        self._progress, self._folder, self._clock = progress, folder, clock

    def has(self, event: str) -> bool:
        return event in self._progress.fired

    def fire(self, event: str) -> None:
        if event not in self._progress.fired:
            self._progress.fired.append(event)
            self._folder.add_event(event, step=self._clock.steps, progress=self._clock.progress)

    def of_rows(self, parts: Parts, micro: Sequence[Tensor]) -> None:
        # Looked at until it has happened once: each look waits for the device.
        if not self.has("documents_kept_apart") and parts.keeps_apart(micro):
            self.fire("documents_kept_apart")

    def of_schedules(self, config: TrainConfig, moment: Moment, rates: Rates, *, is_frozen: bool) -> None:
        schedule, batch, optimizer = config.schedule, config.batch, config.optimizer
        cycle_begins = max(optimizer.momentum_warmup, 1)
        happening: dict[str, Scalar] = {
            "warmdown_started": rates.is_warming_down,
            "warmup_ended": 0 < schedule.warmup_ratio <= moment.progress,
            "momentum_cycle_started": optimizer.momentum_cycle > 0 and moment.step >= cycle_begins,
            "batch_full": batch.batch_start < 1.0 and moment.progress >= batch.batch_ramp_ratio,
            "length_full": batch.length_start != "1" and moment.progress >= batch.length_ramp_ratio,
            "unfrozen": schedule.unfreeze_ratio > 0 and not is_frozen,
        }
        for event, is_so in happening.items():
            if is_so:
                self.fire(event)


def _moment(parts: Parts, clock: BudgetClock) -> Moment:
    return Moment(
        progress=clock.progress,
        step=clock.steps,
        remaining_steps=clock.remaining_steps,
        plateau=parts.plateau.progress,
    )
