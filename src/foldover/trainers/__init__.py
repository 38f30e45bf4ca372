"""Name -> trainer, the only registry; a trainer's module is imported when the trainer is asked for.

Trainers written by users are added by the environment variable FOLDOVER_TRAINERS, which worker processes
inherit: `name=module:attribute`, several separated by commas. The attribute, called without arguments, gives
a `Trainer` (see `foldover.ports`); the module must be importable: installed, or on PYTHONPATH.
"""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Callable, Mapping
from typing import cast

from foldover.core import Limit, RecipeError, Resolved, RunSpec
from foldover.ports import Branches, Trainer

__all__ = ["TRAINERS_VARIABLE", "estimated_seconds", "get_trainer", "trainer_names"]

TRAINERS_VARIABLE = "FOLDOVER_TRAINERS"

_BUILT_IN: Mapping[str, str] = {
    "lm": "foldover.lm.trainer:LMTrainer",
    "simulator": "foldover.simulator:SimTrainer",
}


def trainer_names() -> tuple[str, ...]:
    """Names that `get_trainer` knows: the built-in ones and the user's. Raises RecipeError as it does."""
    return tuple(sorted(_entries()))


def get_trainer(name: str) -> Trainer:
    """A new trainer of that name; constructing one does not import torch.

    Raises RecipeError for an unknown name (it names the nearest), for an entry of FOLDOVER_TRAINERS that is
    not readable, and for a trainer whose module cannot be imported.
    """
    entries = _entries()
    if name not in entries:
        near = difflib.get_close_matches(name, entries, n=1)
        hint = f"Did you mean `{near[0]}`? " if near else ""
        raise RecipeError(f"`{name}` is not a trainer", fix=f"{hint}Known: {', '.join(sorted(entries))}.")
    module_name, _, attribute = entries[name].partition(":")
    try:
        make = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise RecipeError(
            f"trainer `{name}` ({entries[name]}) cannot be imported: {error}",
            fix="Install what it needs; a trainer of your own must be installed or lie on PYTHONPATH.",
        ) from error
    return cast(Callable[[], Trainer], make)()


def estimated_seconds(trainer: Trainer, run: RunSpec, resolved: Resolved, *, spent: Limit | None = None) -> float:
    """What a run will take by its trainer's estimate. spent: what of its training is done when it begins.

    resolved: its recipe. Raises as `Trainer.estimate_seconds`.
    """
    if isinstance(trainer, Branches) and (run.is_trunk or spent is not None):
        return trainer.estimate_part_seconds(resolved, run.budget, run.constants, spent)
    return trainer.estimate_seconds(resolved, run.budget, run.constants)


def _entries() -> dict[str, str]:
    return {**_BUILT_IN, **_user_entries(os.environ.get(TRAINERS_VARIABLE, ""))}


def _user_entries(text: str) -> dict[str, str]:
    entries: dict[str, str] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, equals, target = (part.strip() for part in entry.partition("="))
        module_name, colon, attribute = target.partition(":")
        if not (name and equals and module_name and colon and attribute.isidentifier()):
            raise RecipeError(
                f"{TRAINERS_VARIABLE} has an entry that is not readable",
                value=entry,
                fix="Write `name=module:attribute`, several separated by commas.",
            )
        if name in _BUILT_IN:
            raise RecipeError(f"{TRAINERS_VARIABLE} redefines the built-in trainer `{name}`", fix="Use another name.")
        entries[name] = target
    return entries
