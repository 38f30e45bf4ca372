"""A trained state looked at: from the folder of a run to a document, a page and a terminal view."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from foldover.core import Settings, to_json, to_plain
from foldover.report.diagnosis_page import render_diagnosis
from foldover.report.diagnosis_text import diagnosis_text
from foldover.rundir import write_atomic

DOCUMENT, PAGE = "diagnostics.json", "diagnostics.html"


def diagnose_run(place: Path, settings: Settings, *, tokens: int) -> dict[str, Any]:
    """The diagnosis of the state that lies at a path, as plain values. Raises UserError where none was kept."""
    from foldover.lm.diagnostics.examine import diagnose  # torch only here
    from foldover.lm.state import find_state

    return cast(dict[str, Any], to_plain(diagnose(find_state(place), settings, tokens=tokens)))


def write_diagnosis(document: dict[str, Any], out: Path) -> tuple[Path, ...]:
    """Write document and page into a folder; gives their paths."""
    out.mkdir(parents=True, exist_ok=True)
    for name, text in ((DOCUMENT, to_json(document, indent=1) + "\n"), (PAGE, render_diagnosis(document))):
        write_atomic(out / name, text)
    return out / DOCUMENT, out / PAGE


def describe_diagnosis(document: dict[str, Any]) -> str:
    """The tables as text."""
    return diagnosis_text(document)
