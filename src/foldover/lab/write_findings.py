"""The files of a plain analysis: analysis.json, analysis.txt and the pictures."""

from __future__ import annotations

from pathlib import Path

from foldover.lab.tables import write_json, write_text
from foldover.report import TableFindings, figures_of, render_effects_text


def write_findings(findings: TableFindings, folder: Path) -> tuple[str, ...]:
    """Write the findings into a folder, which is made if it is not there; the names of the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "analysis.json", findings)
    write_text(folder / "analysis.txt", render_effects_text(findings))
    figures = figures_of(findings)
    for name, picture in figures.items():
        write_text(folder / name, picture)
    return ("analysis.json", "analysis.txt", *figures)
