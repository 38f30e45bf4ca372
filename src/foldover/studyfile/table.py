"""One table of a study file: typed access that notes problems instead of raising them."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from foldover.core import Problem, UserError
from foldover.studyfile.lines import KeyPath, index_lines, line_of


class Report:
    """The problems found so far, each with the line of the key it is about."""

    def __init__(self, text: str) -> None:
        self._lines = index_lines(text)
        self._problems: dict[Problem, None] = {}

    def add(self, path: KeyPath, message: str) -> None:
        """Note a problem with what stands at `path`; the same one twice counts once."""
        self._problems[Problem(line=line_of(self._lines, path), message=message)] = None

    def has(self, path: KeyPath) -> bool:
        """Whether the file says anything at `path`."""
        return path in self._lines

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All of them, in the order they were found."""
        return tuple(self._problems)


def nearest(name: str, known: Iterable[str]) -> str:
    """What to do about an unknown name: the nearest known one, else all of them."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"Did you mean `{close[0]}`?"
    return "Known: " + ", ".join(f"`{item}`" for item in known) + "." if known else "There are none."


def sentence(error: UserError) -> str:
    """The text of an error without the `factor X: ` or `factor X (lever): ` that the table's title says already."""
    text = str(error)
    head, colon, rest = text.partition(": ")
    return rest if colon and head.startswith("factor ") else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """title: how messages name it, e.g. `factor B`; path: where it stands in the file."""

    path: KeyPath
    title: str
    content: Mapping[str, object]
    report: Report

    def __contains__(self, key: str) -> bool:
        return key in self.content

    def problem(self, key: str | int | None, message: str) -> None:
        """Note a problem at the line of `key`, or of the table itself (None)."""
        where = self.path if key is None else (*self.path, key)
        self.report.add(where, f"{self.title}: {message}")

    def problem_in(self, key: str, index: int, message: str) -> None:
        """Note a problem at the line of one element of the array `key`."""
        self.report.add((*self.path, key, index), f"{self.title}: {message}")

    def refuse_others(self, known: Iterable[str]) -> None:
        """Note every key that is not known."""
        known = tuple(known)
        for key in self.content:
            if key not in known:
                self.problem(key, f"unknown key `{key}`. {nearest(key, known)}")

    def require(self, key: str) -> None:
        """Note that a key is missing."""
        if key not in self.content:
            self.problem(None, f"`{key}` is missing.")

    def text(self, key: str) -> str | None:
        """A text that is not blank; None if absent or (noted) something else."""
        value = self.content.get(key)
        if value is None or (isinstance(value, str) and value.strip()):
            return value
        self.problem(key, f"`{key}` must be a text that is not empty (got {value!r}).")
        return None

    def choice(self, key: str, known: Iterable[str]) -> str | None:
        """One of the known texts; None if absent or (noted) another one."""
        value = self.text(key)
        known = tuple(known)
        if value is None or value in known:
            return value
        self.problem(key, f"`{key}` cannot be {value!r}. {nearest(value, known)}")
        return None

    def number(self, key: str) -> float | None:
        """A finite number; None if absent or (noted) something else."""
        value = self.content.get(key)
        if value is None or is_number(value):
            return None if value is None else float(cast(float, value))
        self.problem(key, f"`{key}` must be a number (got {value!r}).")
        return None

    def whole(self, key: str, *, at_least: int) -> int | None:
        """A whole number from `at_least` on; None if absent or (noted) something else."""
        value = self.content.get(key)
        if value is None or (is_whole(value) and cast(int, value) >= at_least):
            return cast("int | None", value)
        self.problem(key, f"`{key}` must be a whole number from {at_least} on (got {value!r}).")
        return None

    def array(self, key: str) -> list[object] | None:
        """An array with at least one element; None if absent or (noted) something else."""
        value = self.content.get(key)
        if value is None:
            return None
        if isinstance(value, list) and value:
            return value
        self.problem(key, f"`{key}` must be an array that is not empty (got {value!r}).")
        return None

    def table(self, key: str, *, title: str) -> Table | None:
        """The table under a key; None if absent or (noted) something else."""
        value = self.content.get(key)
        if value is None:
            return None
        if isinstance(value, dict):
            return Table(path=(*self.path, key), title=title, content=value, report=self.report)
        self.problem(key, f"`{key}` must be a table (got {value!r}).")
        return None

    def flat(self) -> Iterator[tuple[str, KeyPath, object]]:
        """(dotted name, path, value) of every entry: TOML reads the lever `model.depth = 8` as a nested table."""
        yield from _flatten(self.content, self.path, "")


def is_number(value: object) -> bool:
    """Whether a TOML value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def is_whole(value: object) -> bool:
    """Whether a TOML value is a whole number written as one."""
    return isinstance(value, int) and not isinstance(value, bool)


def _flatten(content: Mapping[str, object], path: KeyPath, prefix: str) -> Iterator[tuple[str, KeyPath, object]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _flatten(value, (*path, key), f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", (*path, key), value
