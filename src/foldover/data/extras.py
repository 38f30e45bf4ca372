"""The error for a package that is not installed: it names the extra that has it."""

from __future__ import annotations

from foldover.core import DataError


def missing(error: ModuleNotFoundError, extra: str, purpose: str) -> DataError:
    """The error to raise. extra: of foldover, with the package; purpose: what cannot be done, as a subject."""
    return DataError(f"{error.name} is not installed", fix=f'{purpose} needs it: pip install "foldover[{extra}]".')
