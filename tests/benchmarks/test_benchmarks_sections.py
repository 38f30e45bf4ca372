"""Checks, tables in pages, exit codes of the benchmarks."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.section import Check, Section, write_into
from benchmarks.shapes import SHAPES
from benchmarks.training import Taken

from benchmarks import __main__ as command


def section(name: str = "train", *checks: Check) -> Section:
    return Section(
        name=name, title="A title", command="python -m x", machine=["a machine"], lines=["a line"], checks=checks
    )


@pytest.mark.parametrize(
    ("check", "verdict"),
    [
        (Check(name="x", value=1.9, must=1.7, aim=2.4), "PASS, aim missed"),
        (Check(name="x", value=2.4, must=1.7, aim=2.4), "PASS, aim reached"),
        (Check(name="x", value=1.69, must=1.7), "FAIL"),
        (Check(name="x", value=100.0, must=100.0, is_at_most=True), "PASS"),
        (Check(name="x", value=101.0, must=100.0, is_at_most=True), "FAIL"),
        (Check(name="x", value=0.05, aim=0.04, is_at_most=True), "aim missed"),
    ],
)
def test_verdicts(check: Check, verdict: str) -> None:
    assert check.verdict == verdict
    assert check.is_kept == (verdict != "FAIL")


def test_page_gets_the_new_table_and_keeps_the_rest(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    marks = "<!-- {0}: made by python -m benchmarks -->\n{1}\n<!-- end of {0} -->\n"
    page.write_text("before\n" + marks.format("train", "old") + "between\n" + marks.format("workers", "kept"))
    for _ in range(2):
        write_into(page, [section("train", Check(name="x", value=1.0, must=2.0))])
    text = page.read_text()
    assert text.count("## A title") == 1
    assert "| x | 1 | at least 2 | \u2013 | FAIL |" in text
    assert "old" not in text
    assert text.startswith("before\n<!-- train")
    assert text.endswith("between\n" + marks.format("workers", "kept"))


def test_section_without_marks_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    with pytest.raises(ValueError, match="no marks for train"):
        write_into(page, [section()])


@pytest.mark.parametrize(("value", "arguments", "code"), [(1.0, ["--strict"], 1), (1.0, [], 0), (3.0, ["--strict"], 0)])
def test_exit_code_follows_the_musts_only_when_strict(
    value: float, arguments: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = Check(name="x", value=value, must=2.0)
    monkeypatch.setattr("benchmarks.workers.section", lambda rounds: section("workers", check))
    assert command.main(["workers", *arguments]) == code


def test_flops_are_those_of_the_published_shapes() -> None:
    assert SHAPES["S"].flops / SHAPES["S"].tokens == pytest.approx(7.08e6, rel=1e-3)
    assert SHAPES["M"].flops / SHAPES["M"].tokens == pytest.approx(34.6e6, rel=1e-3)


def test_the_page_of_the_project_has_marks_for_every_section() -> None:
    text = command.PAGE.read_text(encoding="utf-8")
    for name in (*command.ROUNDS, "gpu"):
        assert f"<!-- {name}: made by python -m benchmarks -->" in text
        assert f"<!-- end of {name} -->" in text


def test_page_faults_of_a_settled_heap_are_those_after_its_last_growth() -> None:
    found = {name: [1.0] * 29 for name in ("cpu", "wall", "losses")} | {"gemm_flops_per_second": 1.0, "peak_bytes": 1}
    faults = [9000, 8000] + [400] * 17 + [3] * 10  # between two of 30 steps each; the first 20 steps have 19
    long = Taken.of({**found, "faults": faults, "compute": "float32"})
    assert (long.faults, long.settled_faults) == (400, 3)
    assert long.mean_faults == pytest.approx((17 * 400 + 10 * 3) / 27)
    assert Taken.of({**found, "faults": faults[:11], "compute": "float32"}).settled_faults is None
