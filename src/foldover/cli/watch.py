"""Live progress on stderr: one line that is redrawn on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from foldover.cli.options import duration
from foldover.execution import Progress

REDRAW_SECONDS = 0.2
PLAIN_SECONDS = 10.0


class ProgressView:
    """Shows what `LocalExecutor` and `Trainer.prepare` report. Use in a `with`; quiet shows nothing."""

    def __init__(self, *, quiet: bool = False, label: str = "") -> None:
        self._quiet = quiet
        self.label = label
        self._is_terminal = sys.stderr.isatty()
        self._last = 0.0
        self._width = 0
        self._ended = -1

    def __enter__(self) -> ProgressView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()

    def show(self, progress: Progress) -> None:
        """Where the runs stand."""
        is_last = progress.ended == progress.planned and progress.ended != self._ended
        self._ended = progress.ended
        self._draw(progress_line(progress, self.label), is_due=is_last)

    def prepare(self, phase: str, share: float) -> None:
        """How far the preparation of data is."""
        self._draw(f"preparing data: {phase} {_bar(share)} {share:4.0%}", is_due=False)

    def say(self, text: str) -> None:
        """A line that stays."""
        if not self._quiet:
            self._clear()
            print(text, file=sys.stderr, flush=True)  # noqa: T201

    def _draw(self, line: str, *, is_due: bool) -> None:
        now = time.monotonic()
        pause = REDRAW_SECONDS if self._is_terminal else PLAIN_SECONDS
        if self._quiet or (not is_due and now - self._last < pause):
            return
        self._last = now
        if self._is_terminal:
            print("\r" + line.ljust(self._width), end="", file=sys.stderr, flush=True)  # noqa: T201
            self._width = len(line)
        else:
            print(line, file=sys.stderr, flush=True)  # noqa: T201

    def _clear(self) -> None:
        if self._width:
            print("\r" + " " * self._width + "\r", end="", file=sys.stderr, flush=True)  # noqa: T201
            self._width = 0


def progress_line(progress: Progress, label: str) -> str:
    """`screen [####....] 12/64 runs, 2 running (41%, 80%), 3 min 10 s left`."""
    share = progress.ended / progress.planned if progress.planned else 1.0
    parts = [f"{label} {_bar(share)} {progress.ended}/{progress.planned} runs".strip()]
    bad = [f"{count} {status}" for status, count in progress.by_status if status != "finished"]
    if bad:
        parts.append(", ".join(bad))
    if progress.running:
        shares = ", ".join("..." if r.fraction is None else f"{r.fraction:.0%}" for r in progress.running)
        parts.append(f"{len(progress.running)} running ({shares})")
    if progress.seconds_left is not None and progress.ended < progress.planned:
        parts.append(f"{duration(progress.seconds_left)} left")
    return ", ".join(parts)


def _bar(share: float, width: int = 20) -> str:
    full = round(max(0.0, min(1.0, share)) * width)
    return "[" + "#" * full + "." * (width - full) + "]"
