"""foldover: screen, confirm, refine, continue.

The names here are the ones that most programs need; each is loaded when it is first used, so that
`import foldover` costs nothing. Everything else that is public is in the `__all__` of the package it belongs to
(`foldover.designs`, `foldover.stats`, ...), listed in docs/api.md.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foldover.core import Budget as Budget
    from foldover.core import Design as Design
    from foldover.core import Effect as Effect
    from foldover.core import Factor as Factor
    from foldover.core import FoldoverError as FoldoverError
    from foldover.core import LeverSet as LeverSet
    from foldover.core import Limit as Limit
    from foldover.core import Outcome as Outcome
    from foldover.core import Recipe as Recipe
    from foldover.core import Resolved as Resolved
    from foldover.core import RunRecord as RunRecord
    from foldover.core import RunSpec as RunSpec
    from foldover.core import Settings as Settings
    from foldover.core import Study as Study
    from foldover.core import StudyError as StudyError
    from foldover.core import UserError as UserError
    from foldover.core import Values as Values
    from foldover.core import Verdict as Verdict
    from foldover.core import bind as bind
    from foldover.core import lever as lever
    from foldover.core import levers_of as levers_of
    from foldover.designs import fold_over as fold_over
    from foldover.designs import fractional_factorial as fractional_factorial
    from foldover.designs import full_factorial as full_factorial
    from foldover.designs import plackett_burman as plackett_burman
    from foldover.lab import Outline as Outline
    from foldover.lab import Session as Session
    from foldover.lab import analyse as analyse
    from foldover.lab import check as check
    from foldover.lab import collect as collect
    from foldover.lab import create as create
    from foldover.lab import decide as decide
    from foldover.lab import open_session as open_session
    from foldover.lab import report_document as report_document
    from foldover.lab import run_study as run_study
    from foldover.lab import verify as verify
    from foldover.lab.outline import outline as outline
    from foldover.ports import Executor as Executor
    from foldover.ports import Trainer as Trainer
    from foldover.rundir import RunFolder as RunFolder
    from foldover.stats import estimate_effects as estimate_effects
    from foldover.stats import lenth as lenth
    from foldover.stats import paired_difference as paired_difference
    from foldover.stats import power_of as power_of
    from foldover.stats import seeds_needed as seeds_needed
    from foldover.stats import table_from_columns as table_from_columns
    from foldover.stats import tabulate as tabulate
    from foldover.trainers import get_trainer as get_trainer
    from foldover.trainers import trainer_names as trainer_names

__version__ = "0.1.0"

_HOMES: Mapping[str, str] = {
    "foldover.core": """
        Budget Design Effect Factor FoldoverError LeverSet Limit Outcome Recipe Resolved RunRecord
        RunSpec Settings Study StudyError UserError Values Verdict bind lever levers_of
    """,
    "foldover.designs": "fold_over fractional_factorial full_factorial plackett_burman",
    "foldover.lab": """
        Outline Session analyse check collect create decide open_session outline report_document run_study verify
    """,
    "foldover.ports": "Executor Trainer",
    "foldover.rundir": "RunFolder",
    "foldover.stats": """
        estimate_effects lenth paired_difference power_of seeds_needed table_from_columns tabulate
    """,
    "foldover.trainers": "get_trainer trainer_names",
}
_HOME_OF: Mapping[str, str] = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = sorted(("__version__", *_HOME_OF))


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module `foldover` has no attribute `{name}`")
    value: object = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
