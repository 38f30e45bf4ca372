"""What one run must not leave to the next in a process that runs many."""

from __future__ import annotations

import gc
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def pristine() -> Iterator[None]:
    """Put back afterwards: folder, environment, arguments, import path, streams, signals, warning filters.

    Random states are not touched: a trainer draws from streams named by the seed, never from a global one.
    """
    folder, environment, arguments, path = Path.cwd(), dict(os.environ), list(sys.argv), list(sys.path)
    streams = sys.stdin, sys.stdout, sys.stderr
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with warnings.catch_warnings():
            yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = streams
        for number, handler in handlers.items():
            if handler is not None:  # None: set from C, and not ours to put back
                signal.signal(number, handler)
        sys.argv[:], sys.path[:] = arguments, path
        if dict(os.environ) != environment:
            os.environ.clear()
            os.environ.update(environment)
        os.chdir(folder)
        # Cycles that hold tensors would otherwise be freed some way into the next run.
        gc.collect()
