"""`foldover report --format`: the same numbers as files for other documents."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest


def test_tables_are_written_where_the_user_says(call, copy: Path, tmp_path: Path):
    out = tmp_path / "tables"
    said = call("report", copy, "--format", "csv", "--out", out, "--json").json
    assert {Path(name) for name in said["files"]} == set(out.iterdir())
    document = json.loads(call("report", copy, "--json").out)
    tables = {table["name"]: table for section in document["sections"] for table in section["tables"]}
    assert {path.stem for path in out.glob("*.csv")} == {*tables, "decisions", "recommendation"}
    decided = list(csv.DictReader((out / "decisions.csv").read_text(encoding="utf-8").splitlines()))
    assert [(row["stage"], row["subject"]) for row in decided] == [
        (verdict["stage"], verdict["subject"]) for verdict in document["verdicts"]
    ]
    for name, table in tables.items():
        rows = list(csv.reader((out / f"{name}.csv").read_text(encoding="utf-8").splitlines()))
        assert len(rows) == len(table["rows"]) + 1


def test_a_page_in_markdown_and_tables_in_latex(call, copy: Path, tmp_path: Path):
    assert call("report", copy, "--format", "md", "--out", tmp_path / "md").code == 0
    assert (tmp_path / "md" / "report.md").read_text(encoding="utf-8").startswith("# ")
    assert call("report", copy, "--format", "latex", "--out", tmp_path / "tex").code == 0
    assert (tmp_path / "tex" / "tables.tex").exists()


def test_a_format_needs_a_place(call, copy: Path, tmp_path: Path):
    done = call("report", copy, "--format", "md")
    assert (done.code, "--format and --out go together" in done.err) == (2, True)
    file = tmp_path / "file"
    file.write_text("")
    assert call("report", copy, "--format", "md", "--out", file / "below").code == 2


def test_pictures_as_png(call, copy: Path, tmp_path: Path):
    pytest.importorskip("resvg_py")
    out = tmp_path / "figures"
    done = call("report", copy, "--format", "png", "--out", out)
    if "no font" in done.err:
        pytest.skip("this machine has no font")
    call("report", copy, "--format", "md", "--out", tmp_path / "md")
    assert done.code == 0
    assert {path.name for path in out.iterdir()} == {f"{p.stem}.png" for p in (tmp_path / "md").glob("*.svg")}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in out.iterdir())
