"""Runs that start from another: when they may begin, and how they end if they never can."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast

from foldover.core import RunSpec, Status, UserError
from foldover.rundir import RunRoot
from foldover.rundir.folder import OUTCOME

Standing = Literal["ready", "waiting", "barren"]

_log = logging.getLogger(__name__)


class Lineage:
    """What became of the runs that others start from, looked up once each."""

    def __init__(self, root: RunRoot) -> None:
        self._root = root
        self._ended: dict[str, Status | None] = {}

    def check(self, specs: Sequence[RunSpec]) -> None:
        """Raises UserError for a run that starts from one that has not ended and is not here either."""
        planned = {spec.run_id for spec in specs}
        for spec in specs:
            trunk = spec.starts_from
            if trunk is not None and trunk not in planned and not self._root.has_ended(trunk):
                raise UserError(
                    f"run {spec.run_id} starts from run {trunk}, which has not ended and is not to be run",
                    fix="Run that one first, or together with it.",
                )

    def standing(self, spec: RunSpec) -> Standing:
        """Whether a run may begin; `barren` if the run it starts from ended without a result."""
        trunk = spec.starts_from
        if trunk is None:
            return "ready"
        if trunk not in self._ended:
            if not self._root.has_ended(trunk):
                return "waiting"
            self._ended[trunk] = status_of(self._root.folder(trunk))
        # A trunk that cannot be read is for the trainer to refuse, with its reason.
        return "ready" if self._ended[trunk] in ("finished", None) else "barren"


def status_of(folder: Path) -> Status | None:
    """What an ended run's outcome says; None if it is damaged, which is `verify`'s to report."""
    try:
        return cast(Status, json.loads((folder / OUTCOME).read_text(encoding="utf-8"))["status"])
    except (OSError, ValueError, LookupError, TypeError):
        _log.warning("run=%s outcome cannot be read", folder.name)
        return None
