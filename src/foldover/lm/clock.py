"""The only judge of elapsed budget; gives `progress` in [0, 1]."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from foldover.core import BudgetError, Limit


def training_limit(limit: Limit, *, reserve_seconds: float) -> Limit:
    """What of a limit training may use: of one in seconds, all but the reserve; others are what they were.

    Raises BudgetError where nothing would be left.
    """
    if limit.kind != "seconds" or not reserve_seconds:
        return limit
    if reserve_seconds >= limit.amount:
        raise BudgetError(
            f"`schedule.reserve_seconds` leaves nothing of {limit.label()} to train in",
            value=reserve_seconds,
            fix="Reserve less, or give the run more.",
        )
    return Limit(kind="seconds", amount=limit.amount - reserve_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Elapsed:
    """What a clock has counted: all that a checkpoint needs of it.

    last_step_seconds: what the last step counted; inherited_seconds: what of the counted seconds another run spent,
    from whose state this one goes on.
    """

    steps: int = 0
    tokens: int = 0
    counted_seconds: float = 0.0
    total_seconds: float = 0.0
    last_step_seconds: float = 0.0
    inherited_seconds: float = 0.0


class BudgetClock:
    """Counts steps, tokens and seconds of training against one limit: that of training, without any reserve.

    The time of the first `free_steps` steps does not count against a limit in seconds (start-up,
    allocation, compilation), and the run does not end before they are done; steps, tokens and FLOPs
    always count. now: gives seconds; replaced in tests. agreed: of a step's seconds, what all processes of the run
    take them for; elapsed: where a continued run goes on.
    """

    def __init__(
        self,
        limit: Limit,
        *,
        free_steps: int,
        tokens_per_step: int,
        flops_per_token: int,
        now: Callable[[], float] = time.perf_counter,
        agreed: Callable[[float], float] = float,
        elapsed: Elapsed | None = None,
    ) -> None:
        elapsed = elapsed or Elapsed()
        self._limit = limit
        self._free_steps = free_steps
        self._tokens_per_step = tokens_per_step
        self._flops_per_token = flops_per_token
        self._now, self._agreed = now, agreed
        self._started: float | None = None
        self.steps, self.tokens = elapsed.steps, elapsed.tokens
        self.counted_seconds, self.total_seconds = elapsed.counted_seconds, elapsed.total_seconds
        self._last_step_seconds, self._inherited_seconds = elapsed.last_step_seconds, elapsed.inherited_seconds

    @property
    def elapsed(self) -> Elapsed:
        """Everything counted so far."""
        return Elapsed(
            steps=self.steps,
            tokens=self.tokens,
            counted_seconds=self.counted_seconds,
            total_seconds=self.total_seconds,
            last_step_seconds=self._last_step_seconds,
            inherited_seconds=self._inherited_seconds,
        )

    @property
    def progress(self) -> float:
        """Share of the limit that is used up, at most 1."""
        used = {
            "seconds": self.counted_seconds,
            "steps": self.steps,
            "tokens": self.tokens,
            "flops": self.tokens * self._flops_per_token,
        }[self._limit.kind]
        return min(used / self._limit.amount, 1.0)

    @property
    def remaining_steps(self) -> float | None:
        """Steps that are left: exactly, or for a limit in seconds at the mean speed of the counted steps.

        None while no step was counted.
        """
        amount, tokens = self._limit.amount, self._tokens_per_step
        if self._limit.kind == "seconds":
            counted = self.steps - self._free_steps
            if counted < 1 or not self.counted_seconds:
                return None
            return max(0.0, (amount - self.counted_seconds) * counted / self.counted_seconds)
        left = {
            "steps": amount - self.steps,
            "tokens": (amount - self.tokens) / tokens,
            "flops": (amount / self._flops_per_token - self.tokens) / tokens,
        }[self._limit.kind]
        return max(0.0, left)

    @property
    def is_over(self) -> bool:
        """Whether the budget is spent."""
        if self._limit.kind == "seconds" and self.steps < self._free_steps:
            return False
        return self.progress >= 1.0

    def begin_step(self) -> None:
        """A step starts now."""
        self._started = self._now()

    def end_step(self, *, tokens: int | None = None) -> float:
        """The step is done; gives its seconds. tokens: how many it took, None for the full batch."""
        assert self._started is not None, "end_step without begin_step"
        seconds = self._agreed(self._now() - self._started)
        self._started = None
        self.total_seconds += seconds
        self._last_step_seconds = seconds if self.steps >= self._free_steps else 0.0
        self.counted_seconds += self._last_step_seconds
        self.steps += 1
        self.tokens += self._tokens_per_step if tokens is None else tokens
        return seconds
