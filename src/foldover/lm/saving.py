"""When a run saves checkpoints: every so many steps, and where others will branch from it."""

from __future__ import annotations

from collections.abc import Callable

from foldover.core import Limit, RunSpec, Settings
from foldover.lm.branch import is_reached
from foldover.lm.clock import Elapsed


class Saver:
    """Called after each step. write: saves the state as it is now."""

    def __init__(
        self,
        spec: RunSpec,
        settings: Settings,
        write: Callable[[], None],
        *,
        begins_at: Elapsed,
        flops_per_token: int,
    ) -> None:
        self._every = settings.save_every
        self._write = write
        self._flops_per_token = flops_per_token
        self._points = [p for p in spec.branch_points if not self._is_reached(p, begins_at)]

    def after_step(self, elapsed: Elapsed) -> None:
        """A point is reached by the first step that ends at or after it."""
        waiting = [point for point in self._points if not self._is_reached(point, elapsed)]
        if len(waiting) < len(self._points) or (self._every and elapsed.steps % self._every == 0):
            self._write()
        self._points = waiting

    def _is_reached(self, point: Limit, elapsed: Elapsed) -> bool:
        return is_reached(point, elapsed, flops_per_token=self._flops_per_token)
