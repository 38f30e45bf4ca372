"""The report as files for other documents, in a folder that the user names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from foldover.core import UserError
from foldover.lab.session import Session
from foldover.lab.verbs import report_document
from foldover.report import render_html, render_json
from foldover.report.formats import FORMATS, files_of
from foldover.rundir import write_atomic


def write_report_files(session: Session, kind: str, out: Path) -> list[Path]:
    """Write the report in one of FORMATS into a folder, which is made if need be; gives the files.

    html: the page and its JSON; md: a page and a summary; csv and latex: a file a table; pictures beside each; png:
    pictures alone. Raises UserError for another format, for PNG without what draws it, and for a folder that cannot be
    written.
    """
    if kind not in FORMATS:
        raise UserError("unknown format of a report", value=kind, fix=f"Use {', '.join(FORMATS)}.")
    document = report_document(session)
    files: Mapping[str, str | bytes] = (
        {"report.html": render_html(document), "report.json": render_json(document)}
        if kind == "html"
        else files_of(document, kind)
    )
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_atomic(out / name, content)
    except OSError as error:
        raise UserError(f"the folder {out} cannot be written: {error}") from None
    return [out / name for name in sorted(files)]
