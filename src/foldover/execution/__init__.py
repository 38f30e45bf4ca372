"""Gets run folders made. Executors differ in where the worker is; what a worker does is the same (`perform`).

The coordinator may be killed at any moment: finished runs are whole folders, and the next call begins with
what is not finished. Runs never open the ledger.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable

from foldover.core import Settings, UserError
from foldover.execution.inline import InlineExecutor
from foldover.execution.interrupts import deferred_interrupts
from foldover.execution.local import LocalExecutor
from foldover.execution.profile import usable_cores, visible_gpus
from foldover.execution.progress import Progress, Running

__all__ = [
    "InlineExecutor",
    "LocalExecutor",
    "Progress",
    "Running",
    "deferred_interrupts",
    "get_executor",
    "usable_cores",
    "visible_gpus",
]

_EXECUTORS: dict[str, type[LocalExecutor] | type[InlineExecutor]] = {"inline": InlineExecutor, "local": LocalExecutor}


def get_executor(
    name: str, settings: Settings, *, on_progress: Callable[[Progress], None] | None = None
) -> LocalExecutor | InlineExecutor:
    """The executor of that name, `local` or `inline`, to be used in a `with`. Raises UserError for another name."""
    if name not in _EXECUTORS:
        near = difflib.get_close_matches(name, _EXECUTORS, n=1)
        hint = f"Did you mean `{near[0]}`? " if near else ""
        raise UserError(f"`{name}` is not an executor", fix=f"{hint}Known: {', '.join(sorted(_EXECUTORS))}.")
    return _EXECUTORS[name](settings, on_progress=on_progress)
