"""What a trainer may say about the machine, where it has something to say."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from foldover.core import RunSpec, Settings
from foldover.ports import Trainer


@runtime_checkable
class ChecksSettings(Protocol):
    """A trainer to which not every setting is possible."""

    def check_settings(self, settings: Settings) -> None:
        """Raises UserError for what is not there."""


@runtime_checkable
class Follows(Protocol):
    """A trainer whose runs can be shared by processes that somebody else has started."""

    def follow(self, spec: RunSpec, settings: Settings) -> None:
        """Help with a run that another process records."""


def check_settings(trainer: Trainer, settings: Settings) -> None:
    """Raises UserError for settings that no run could have: once, before any is paid for."""
    if isinstance(trainer, ChecksSettings):
        trainer.check_settings(settings)
