import math
from itertools import pairwise

import pytest

from foldover.core import BudgetError, Limit
from foldover.lm.clock import BudgetClock, Elapsed, training_limit
from foldover.lm.levers_optimizer import Optimizer
from foldover.lm.levers_training import Batch, Schedule
from foldover.lm.schedule import (
    Moment,
    Plateau,
    decay_taper,
    first_frozen_block,
    lr_multiplier,
    momentum,
    row_length,
    rows_of_step,
)


class FakeTime:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def stepped(limit: str, seconds_per_step: float, *, free_steps: int) -> BudgetClock:
    time = FakeTime()
    clock = BudgetClock(Limit.parse(limit), free_steps=free_steps, tokens_per_step=100, flops_per_token=10, now=time)
    while not clock.is_over:
        clock.begin_step()
        time.now += seconds_per_step
        clock.end_step()
        time.now += 5.0  # between steps nothing counts
    return clock


def test_time_of_the_free_steps_does_not_count() -> None:
    clock = stepped("2s", 0.5, free_steps=11)
    assert clock.steps == 15
    assert clock.counted_seconds == pytest.approx(2.0)
    assert clock.total_seconds == pytest.approx(7.5)
    assert clock.elapsed.last_step_seconds == 0.5


def test_a_free_step_counts_nothing_as_the_last_one() -> None:
    assert stepped("1 steps", 5.0, free_steps=11).elapsed.last_step_seconds == 0.0


def test_upstream_runs_at_least_twelve_steps_however_slow_they_are() -> None:
    assert stepped("2s", 60.0, free_steps=11).steps == 12


def test_a_reserve_is_taken_off_a_limit_in_seconds_and_off_no_other() -> None:
    assert training_limit(Limit.parse("10min"), reserve_seconds=12.0) == Limit.parse("588s")
    for text in ("600 steps", "600 tokens", "600 flops"):
        assert training_limit(Limit.parse(text), reserve_seconds=12.0) == Limit.parse(text)


@pytest.mark.parametrize("reserve", [600.0, 601.0])
def test_a_reserve_that_leaves_nothing_is_refused(reserve: float) -> None:
    with pytest.raises(BudgetError, match=r"`schedule.reserve_seconds` leaves nothing of 10 min to train in"):
        training_limit(Limit.parse("10min"), reserve_seconds=reserve)


def test_a_limit_in_steps_is_exact_and_ignores_time() -> None:
    assert stepped("7 steps", 100.0, free_steps=11).steps == 7


def test_a_limit_in_tokens_and_flops_counts_every_step() -> None:
    assert stepped("1000 tokens", 1.0, free_steps=3).steps == 10
    assert stepped("5000 flops", 1.0, free_steps=3).steps == 5


def at(progress: float, **known: float) -> Moment:
    return Moment(progress=progress, step=int(known.pop("step", 0)), **known)


def test_multiplier_is_one_before_the_warmdown_and_ends_at_the_final_fraction() -> None:
    schedule = Schedule(warmdown_ratio=0.25, final_lr_fraction=0.1)
    assert lr_multiplier(schedule, at(0.7499)) == 1.0
    assert lr_multiplier(schedule, at(0.75)) == pytest.approx(1.0)
    assert lr_multiplier(schedule, at(0.875)) == pytest.approx(0.5 + 0.5 * 0.1)
    assert lr_multiplier(schedule, at(1.0)) == pytest.approx(0.1)


def test_warmup_starts_at_zero() -> None:
    schedule = Schedule(warmup_ratio=0.2)
    assert lr_multiplier(schedule, at(0.0)) == 0.0
    assert lr_multiplier(schedule, at(0.1)) == pytest.approx(0.5)


def test_neutral_ratios_leave_the_rate_alone() -> None:
    schedule = Schedule(warmup_ratio=0.0, warmdown_ratio=0.0)
    assert [lr_multiplier(schedule, at(p)) for p in (0.0, 0.5, 1.0)] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("shape", ["linear", "cosine", "one_minus_sqrt"])
def test_every_shape_is_continuous_falls_and_ends_at_zero(shape: str) -> None:
    schedule = Schedule(warmdown_ratio=0.5, warmdown_shape=shape)
    values = [lr_multiplier(schedule, at(0.5 + i / 2000)) for i in range(1001)]
    assert values[0] == pytest.approx(1.0)
    assert values[-1] == pytest.approx(0.0, abs=1e-12)
    assert all(a >= b for a, b in pairwise(values))
    # The square root is steep at its start: 1 - sqrt(1 / 1000) is the largest step of all.
    assert max(a - b for a, b in pairwise(values)) < 0.032


def test_shapes_half_way_through_the_warmdown() -> None:
    found = {
        shape: lr_multiplier(Schedule(warmdown_ratio=0.5, warmdown_shape=shape), at(0.875))
        for shape in ("linear", "cosine", "one_minus_sqrt")
    }
    u = 0.75
    assert found == pytest.approx(
        {"linear": 1 - u, "cosine": 0.5 * (1 + math.cos(math.pi * u)), "one_minus_sqrt": 1 - math.sqrt(u)}
    )


def test_a_floor_cuts_the_warmdown_off_and_a_final_fraction_bends_it() -> None:
    floor, blend = Schedule(min_lr_fraction=0.1), Schedule(final_lr_fraction=0.1)
    assert lr_multiplier(floor, at(0.75)) == pytest.approx(0.5)
    assert lr_multiplier(blend, at(0.75)) == pytest.approx(0.55)
    assert lr_multiplier(floor, at(0.99)) == lr_multiplier(floor, at(1.0)) == 0.1


def test_a_warmdown_in_steps_ends_with_the_budget() -> None:
    schedule = Schedule(warmdown_ratio=0.0, warmdown_steps=4)
    clock = BudgetClock(Limit.parse("10 steps"), free_steps=0, tokens_per_step=1, flops_per_token=1)
    found = []
    while not clock.is_over:
        found.append(
            lr_multiplier(schedule, at(clock.progress, step=clock.steps, remaining_steps=clock.remaining_steps))
        )
        clock.begin_step()
        clock.end_step()
    assert found == pytest.approx([1, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25])


def test_a_warmdown_longer_than_what_fits_into_the_seconds_falls_from_the_first_measured_step() -> None:
    # levers.md B2: with w steps asked for and fewer that fit, the first multiplier is about what fits over w.
    time = FakeTime()
    clock = BudgetClock(Limit.parse("600s"), free_steps=0, tokens_per_step=1, flops_per_token=1, now=time)
    schedule = Schedule(warmdown_ratio=0.0, warmdown_steps=3000)
    assert lr_multiplier(schedule, at(clock.progress, remaining_steps=clock.remaining_steps)) == 1.0
    clock.begin_step()
    time.now += 0.5
    clock.end_step()
    assert lr_multiplier(schedule, at(clock.progress, remaining_steps=clock.remaining_steps)) == pytest.approx(
        1199 / 3000
    )


def test_of_two_warmdowns_the_lower_rate_holds() -> None:
    schedule = Schedule(warmdown_ratio=0.5, warmdown_steps=100)
    assert lr_multiplier(schedule, at(0.75, remaining_steps=80.0)) == pytest.approx(0.5)
    assert lr_multiplier(schedule, at(0.75, remaining_steps=10.0)) == pytest.approx(0.1)


def test_a_warmdown_from_a_plateau_takes_the_rest_of_the_budget() -> None:
    schedule = Schedule(warmdown_ratio=0.1)
    assert lr_multiplier(schedule, at(0.4, plateau=0.4)) == pytest.approx(1.0)
    assert lr_multiplier(schedule, at(0.7, plateau=0.4)) == pytest.approx(0.5)
    assert lr_multiplier(schedule, at(1.0, plateau=0.4)) == pytest.approx(0.0)


def curve(step: int) -> float:
    return 3.0 + 2.0 * math.exp(-step / 20)


def plateau_found_at(**levers: float) -> list[int]:
    schedule = Schedule(
        **{"adaptive_threshold": 1e-3, "adaptive_window": 10, "adaptive_smoothing": 0.5, "adaptive_min_steps": 30}
        | levers
    )
    plateau = Plateau(schedule)
    return [s for s in range(400) if plateau.observe(curve(s), step=s, progress=(s + 1) / 400)]


def test_a_plateau_is_found_once_and_where_the_curve_flattens() -> None:
    (step,) = plateau_found_at()
    average, averages = curve(0), []
    for s in range(step + 1):
        average = 0.5 * average + 0.5 * curve(s)
        averages.append(average)
    flat = [s for s in range(10, step + 1) if averages[s - 10] - averages[s] < 1e-3 * averages[s - 10]]
    assert flat == [step]


def test_no_plateau_is_found_before_its_first_step_nor_when_the_warmdown_is_due() -> None:
    assert plateau_found_at(adaptive_min_steps=150) == [149]
    assert plateau_found_at(warmdown_ratio=0.9) == []


def test_a_plateau_that_is_put_back_goes_on_as_if_nothing_had_been() -> None:
    schedule = Schedule(adaptive_threshold=1e-3, adaptive_window=10, adaptive_smoothing=0.5, adaptive_min_steps=30)
    first = Plateau(schedule)
    for s in range(50):
        first.observe(curve(s), step=s, progress=s / 400)
    second = Plateau(schedule)
    second.restore(first.state)
    tail = range(50, 400)
    assert [first.observe(curve(s), step=s, progress=s / 400) for s in tail] == [
        second.observe(curve(s), step=s, progress=s / 400) for s in tail
    ]


def test_momentum_rises_over_its_steps_and_stays() -> None:
    optimizer = Optimizer(momentum_start=0.85, momentum=0.95, momentum_warmup=300)
    assert momentum(optimizer, 0) == pytest.approx(0.85)
    assert momentum(optimizer, 150) == pytest.approx(0.90)
    assert momentum(optimizer, 10_000) == pytest.approx(0.95)
    assert momentum(Optimizer(momentum_warmup=0), 0) == pytest.approx(0.95)


def test_cyclic_momentum_is_lowest_at_multiples_of_the_period_and_highest_half_way() -> None:
    optimizer = Optimizer(momentum_cycle=50, momentum_cycle_low=0.85, momentum=0.95, momentum_warmup=0)
    assert [momentum(optimizer, s) for s in (0, 25, 50, 75, 100)] == pytest.approx([0.85, 0.9, 0.95, 0.9, 0.85])


def test_cyclic_momentum_waits_for_the_momentum_warmup() -> None:
    optimizer = Optimizer(momentum_cycle=50, momentum_warmup=1500)
    assert momentum(optimizer, 1099) == pytest.approx(0.85 + 0.1 * 1099 / 1500)


def test_decay_falls_to_zero() -> None:
    assert decay_taper(Optimizer(), 0.5) == pytest.approx(0.5)
    assert decay_taper(Optimizer(), 1.0) == 0.0


def test_decay_that_tapers_late_and_not_to_zero() -> None:
    optimizer = Optimizer(decay_taper_start=0.7, decay_final_fraction=0.5)
    assert [decay_taper(optimizer, p) for p in (0.0, 0.7, 0.85, 1.0)] == pytest.approx([1.0, 1.0, 0.75, 0.5])


def test_a_growing_batch_starts_with_its_share_and_ends_whole() -> None:
    batch = Batch(batch_start=0.25, batch_ramp_ratio=0.5)
    assert [rows_of_step(batch, rows_per_step=32, progress=p) for p in (0.0, 0.25, 0.5, 1.0)] == [8, 20, 32, 32]
    assert rows_of_step(Batch(batch_start=0.001), rows_per_step=4, progress=0.0) == 1


def test_rows_double_up_to_the_context() -> None:
    batch = Batch(length_start="1/4", length_ramp_ratio=0.5)
    found = [row_length(batch, context=2048, progress=p) for p in (0.0, 0.249, 0.25, 0.499, 0.5, 1.0)]
    assert found == [512, 512, 1024, 1024, 2048, 2048]


def test_blocks_are_unfrozen_from_the_first_on() -> None:
    schedule = Schedule(unfreeze_ratio=0.8)
    found = [first_frozen_block(schedule, num_blocks=4, progress=p) for p in (0.0, 0.19, 0.2, 0.41, 0.61, 0.8)]
    assert found == [1, 1, 2, 3, 4, 4]
    assert first_frozen_block(Schedule(), num_blocks=4, progress=0.0) == 4


def test_a_clock_that_is_put_back_goes_on_counting() -> None:
    time = FakeTime()
    clock = BudgetClock(
        Limit.parse("10s"),
        free_steps=2,
        tokens_per_step=100,
        flops_per_token=1,
        now=time,
        elapsed=Elapsed(steps=5, tokens=450, counted_seconds=3.0, total_seconds=7.0, inherited_seconds=2.0),
    )
    clock.begin_step()
    time.now += 1.0
    clock.end_step()
    assert clock.elapsed == Elapsed(
        steps=6, tokens=550, counted_seconds=4.0, total_seconds=8.0, last_step_seconds=1.0, inherited_seconds=2.0
    )
    assert clock.remaining_steps == pytest.approx(6.0)


def test_a_clock_counts_the_tokens_of_a_smaller_batch() -> None:
    clock = BudgetClock(Limit.parse("1000 tokens"), free_steps=0, tokens_per_step=100, flops_per_token=1)
    clock.begin_step()
    clock.end_step(tokens=40)
    assert clock.progress == pytest.approx(0.04)
    assert clock.remaining_steps == pytest.approx(9.6)
