"""What a part of the benchmarks gives: text, checks, figures; and how pages take them up."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A figure that a promise is made about. must, aim: bounds, lower ones unless `is_at_most`; None: none set."""

    name: str
    value: float
    must: float | None = None
    aim: float | None = None
    is_at_most: bool = False
    unit: str = ""

    @property
    def is_kept(self) -> bool:
        """Whether the must is kept, where there is one."""
        return self.must is None or self._reaches(self.must)

    @property
    def verdict(self) -> str:
        """`FAIL`, `PASS`, or `PASS, aim reached`."""
        if not self.is_kept:
            return "FAIL"
        if self.aim is None:
            return "PASS"
        reached = "aim reached" if self._reaches(self.aim) else "aim missed"
        return reached if self.must is None else f"PASS, {reached}"

    def _reaches(self, bound: float) -> bool:
        return self.value <= bound if self.is_at_most else self.value >= bound

    def row(self) -> list[str]:
        """Cells of the table of checks."""
        sign = "at most" if self.is_at_most else "at least"
        bounds = ["\u2013" if bound is None else f"{sign} {bound:g}{self.unit}" for bound in (self.must, self.aim)]
        return [self.name, f"{self.value:.3g}{self.unit}", *bounds, self.verdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part. name: by which it is asked for and marked in pages; lines: Markdown; figures: JSON values."""

    name: str
    title: str
    command: str
    machine: Sequence[str]
    lines: Sequence[str]
    checks: Sequence[Check] = ()
    figures: dict[str, Any] = field(default_factory=dict)

    def text(self) -> list[str]:
        """The whole section."""
        today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
        out = [f"## {self.title}", "", f"`{self.command}`, {today}", "", *(f"- {line}" for line in self.machine), ""]
        out += self.lines
        if self.checks:
            out += ["", *markdown(["what", "measured", "must", "aim", ""], [check.row() for check in self.checks])]
        return out


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def write_into(page: Path, sections: Sequence[Section]) -> None:
    """Put each section between its marks in a page. ValueError for a section that the page has no marks for."""
    text = page.read_text(encoding="utf-8")
    for section in sections:
        begin, end = f"<!-- {section.name}: made by python -m benchmarks -->", f"<!-- end of {section.name} -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"{page} has no marks for {section.name}: {begin} ... {end}")
        made = "\n".join([begin, "", *section.text(), "", end])
        text = pattern.sub(lambda match, made=made: made, text)
    page.write_text(text, encoding="utf-8")
