"""Ctrl-C and its like, noticed where it does no harm."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Remembers the first signal; a second one raises at once, but not in what is `held`."""

    def __init__(self) -> None:
        self._is_interrupted = False
        self._is_held = False

    def raise_if_any(self) -> None:
        """Raise KeyboardInterrupt if a signal has come."""
        if self._is_interrupted:
            raise KeyboardInterrupt

    @contextmanager
    def held(self) -> Iterator[None]:
        """For a short clean-up that must be whole."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        if self._is_interrupted and not self._is_held:
            raise KeyboardInterrupt
        self._is_interrupted = True


@contextmanager
def deferred_interrupts() -> Iterator[Interrupts]:
    """SIGINT, SIGTERM and SIGHUP wait for `raise_if_any` or for the end, so that nothing is cut in the middle.

    Signals that are ignored (nohup, background jobs) stay ignored. Outside the main thread nothing changes:
    only that one may set handlers.
    """
    interrupts = Interrupts()
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.getsignal(number) for number in _SIGNALS}
    ours = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in ours:
        signal.signal(number, interrupts.handle)
    try:
        yield interrupts
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
    interrupts.raise_if_any()
