"""The exception tree of foldover.

    FoldoverError
    ├── UserError            what the user wrote cannot be done            exit code 2
    │   ├── StudyError       a study file, all problems at once
    │   ├── RecipeError      a lever, a value, a combination of values
    │   ├── DesignError      a factor, a generator, a design request
    │   ├── AnalysisError    a model that the data cannot carry
    │   ├── BudgetError      a limit that cannot be kept
    │   ├── DataError        a corpus, a tokenizer, a stream of tokens
    │   ├── ArtifactError    an artifact that is damaged, hostile or does not fit
    │   └── EvaluationError  a score that broke a rule, which it names
    └── OutsideError         the machine, the disk, another program        exit code 3
        ├── LedgerError      the ledger or a run folder is not what it should be
        └── TrainerError     a trainer broke its contract

Each error says three things, in this order: what is wrong, the value, what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class FoldoverError(Exception):
    """Base of all errors that foldover raises on purpose.

    what: one sentence, named as the user wrote it; value: the offending value, shown when given;
    fix: what to do about it.
    """

    exit_code = 3

    def __init__(self, what: str, *, value: object = None, fix: str = "") -> None:
        self.what = what
        self.value = value
        self.fix = fix
        super().__init__(self._text())

    def _text(self) -> str:
        text = self.what
        if self.value is not None:
            text += f" (got {self.value!r})"
        if not text.endswith((".", "?", "!")):
            text += "."
        return f"{text} {self.fix}".strip()


class UserError(FoldoverError):
    """What the user wrote cannot be done."""

    exit_code = 2


class OutsideError(FoldoverError):
    """Something outside foldover failed."""

    exit_code = 3


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Problem:
    """One mistake in a study file: its line (1-based; 0 when it has none) and the message."""

    line: int
    message: str


class StudyError(UserError):
    """A study file cannot be used; `problems` lists every mistake found, in order of line."""

    def __init__(self, path: str, problems: Sequence[Problem]) -> None:
        self.path = path
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """One line a problem, `file:line: message`."""
        return [f"{self.path}:{p.line}: {p.message}" if p.line else f"{self.path}: {p.message}" for p in self.problems]

    def _text(self) -> str:
        return self.what


class RecipeError(UserError):
    """A lever, a value or a combination of values is not possible."""


class DesignError(UserError):
    """A factor, a generator or a design request is not possible."""


class AnalysisError(UserError):
    """The data cannot carry the model that was asked for."""


class BudgetError(UserError):
    """A limit is malformed or cannot be kept."""


class DataError(UserError):
    """A corpus, a tokenizer or a stream of tokens is not what it should be."""


class ArtifactError(UserError):
    """An artifact is damaged, hostile, of another version, or does not fit what it is used with."""


class EvaluationError(UserError):
    """An evaluation broke a rule, so that there is no score.

    rule: `causality`, `normalisation`, `score_first`, `once` or `bytes`.
    """

    def __init__(self, rule: str, what: str, *, value: object = None, fix: str = "") -> None:
        self.rule = rule
        super().__init__(f"rule `{rule}` is broken: {what}", value=value, fix=fix)


class LedgerError(OutsideError):
    """The ledger or a run folder is damaged, foreign or from another version."""


class TrainerError(OutsideError):
    """A trainer broke its contract."""
