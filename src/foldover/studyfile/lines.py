"""Which line of a TOML text a key stands on: what `tomllib` does not say.

A scanner that assumes valid TOML (`tomllib` has accepted the text) and records the line of every key, table
and array element under its path, e.g. `("stages", 1, "seeds", 0)`. It skips values instead of reading them.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping

KeyPath = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"[^,\]}\n#]*")
# Longest opening first; a closing triple quote may have one or two quotes of the content before it.
_STRINGS = (
    ('"""', re.compile(r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})', re.DOTALL)),
    ("'''", re.compile(r"'''.*?'''(?:'{0,2})", re.DOTALL)),
    ('"', re.compile(r'"(?:[^"\\\n]|\\.)*"')),
    ("'", re.compile(r"'[^'\n]*'")),
)


def index_lines(text: str) -> dict[KeyPath, int]:
    """The line (from 1) of every key, table and array element of a valid TOML text, by path."""
    scanner = _Scanner(text)
    scanner.scan()
    return scanner.lines


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """The line of `path`, or of the nearest thing around it that has one; 0 for the file as a whole."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return 0


class _Scanner:
    """A position in a text; `lines` fills up as it moves."""

    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._text = text
        self._at = 0
        self._num_elements: dict[KeyPath, int] = {}
        self._newlines = [match.start() for match in re.finditer("\n", text)]

    def scan(self) -> None:
        table: KeyPath = ()
        self._skip_blank()
        while self._at < len(self._text):
            if self._peek("["):
                table = self._header()
            else:
                self._entry(table)
            self._skip_blank()

    def _header(self) -> KeyPath:
        line = self._line()
        is_array = self._peek("[[")
        self._at += 2 if is_array else 1
        names = self._key()
        self._at += 2 if is_array else 1
        path: KeyPath = ()
        for name in names[:-1]:
            path = self._enter((*path, name), line)
        path = (*path, names[-1])
        if is_array:
            self.lines.setdefault(path, line)
            index = self._num_elements.get(path, 0)
            self._num_elements[path] = index + 1
            path = (*path, index)
        self.lines[path] = line
        return path

    def _enter(self, path: KeyPath, line: int) -> KeyPath:
        """The table at `path`: of an array of tables its last element."""
        if path in self._num_elements:
            path = (*path, self._num_elements[path] - 1)
        self.lines.setdefault(path, line)
        return path

    def _entry(self, table: KeyPath) -> None:
        line = self._line()
        path = table
        for name in self._key():
            path = (*path, name)
            self.lines.setdefault(path, line)
        self._at += 1  # the equals sign
        self._skip_blank()
        self._value(path)

    def _key(self) -> list[str]:
        names = []
        while True:
            self._skip_blank()
            if self._peek('"') or self._peek("'"):
                names.append(str(tomllib.loads(f"key = {self._string()}")["key"]))
            else:
                names.append(self._take(_BARE_KEY))
            self._skip_blank()
            if not self._peek("."):
                return names
            self._at += 1

    def _value(self, path: KeyPath) -> None:
        if self._peek("["):
            self._array(path)
        elif self._peek("{"):
            self._inline_table(path)
        elif self._peek('"') or self._peek("'"):
            self._string()
        else:
            self._take(_BARE_VALUE)

    def _array(self, path: KeyPath) -> None:
        self._at += 1
        index = 0
        self._skip_blank()
        while not self._peek("]"):
            self.lines[*path, index] = self._line()
            self._value((*path, index))
            index += 1
            self._skip_comma()
        self._at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._at += 1
        self._skip_blank()
        while not self._peek("}"):
            self._entry(path)
            self._skip_comma()
        self._at += 1

    def _string(self) -> str:
        for opening, pattern in _STRINGS:
            if self._peek(opening):
                return self._take(pattern)
        raise AssertionError("not at a string")

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        assert match is not None, "the text was accepted by tomllib"
        self._at = match.end()
        return match.group()

    def _peek(self, text: str) -> bool:
        return self._text.startswith(text, self._at)

    def _skip_blank(self) -> None:
        self._take(_BLANK)

    def _skip_comma(self) -> None:
        self._skip_blank()
        if self._peek(","):
            self._at += 1
            self._skip_blank()

    def _line(self) -> int:
        return bisect_right(self._newlines, self._at - 1) + 1
