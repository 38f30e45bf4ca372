"""The record of what was changed in a declared study: when, why, and what of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from foldover.report.numbers import listed
from foldover.report.section import Section, SectionTable, columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """A change of a declared study. time: UTC, ISO 8601; before, after: digests of the study; changed: what of it."""

    time: str
    reason: str
    before: str
    after: str
    changed: tuple[str, ...]
    version: str


def amendments(root: Path) -> tuple[Amendment, ...]:
    """The amendments of the study in a folder, the oldest first."""
    path = root / "amendments.jsonl"
    if not path.exists():
        return ()
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        plain = json.loads(line)
        found.append(Amendment(**{**plain, "changed": tuple(plain["changed"])}))
    return tuple(found)


def amended(made: tuple[Amendment, ...]) -> tuple[Section, ...]:
    """A section for the report that says so; none where the study is as it was declared."""
    if not made:
        return ()
    return (
        Section(
            name="amendments",
            title="Amendments",
            claims=tuple(f"After runs had begun, at {a.time}, {listed(a.changed)} changed: {a.reason}." for a in made),
            tables=(
                SectionTable(
                    name="amendments",
                    title="Changes of the study after it was declared",
                    columns=columns("time", "changed", "reason", "before", "after"),
                    rows=tuple((a.time, "; ".join(a.changed), a.reason, a.before[:12], a.after[:12]) for a in made),
                    note="The texts as they were lie in the study's folder as study-before-NN.toml.",
                ),
            ),
        ),
    )
