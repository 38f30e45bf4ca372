"""The page for the terminal."""

from __future__ import annotations

import pytest

from foldover.report import Document, ReportInputs, build_report, render_text


@pytest.mark.parametrize("width", [80, 100, 120])
def test_text_fits_the_terminal(width: int, document: Document) -> None:
    assert max(len(line) for line in render_text(document, width=width).splitlines()) <= width


def test_a_narrow_terminal_gets_no_picture_of_the_effects(document: Document) -> None:
    assert "\u25cf" in render_text(document, width=120)
    assert "\u25cf" not in render_text(document, width=90)


def test_text_shows_effects_order_recommendation_and_place(document: Document) -> None:
    text = render_text(document, lies_at="out/report.html")
    assert "optimizer.total_batch" in text
    assert "Conditions of refine @ 2 s" in text
    assert document["answer"]["headline"] in text.replace("\n", " ")
    assert text.endswith("report: out/report.html\n")


def test_text_names_failures_by_status(document: Document) -> None:
    text = render_text(document)
    assert "1 diverged" in text
    assert "the loss is not finite" in text
    assert "the loss is not finite or above its limit at step 12" in render_text(document, width=150)


def test_text_marks_single_seed_effects_as_descriptive(studies: dict[str, ReportInputs]) -> None:
    text = render_text(build_report(studies["single_seed"]))
    assert text.count("descriptive  ") >= 10
    assert "\u25cf" not in text
    assert "\u25cb" in text


def test_text_cuts_long_orderings_but_keeps_the_worst(document: Document) -> None:
    text = render_text(document)
    assert "and 11 between" in text
    assert "16." in text


@pytest.mark.parametrize("name", ["whole", "single_seed", "two_seeds", "all_failed", "nothing_yet"])
def test_text_of_a_study_at_any_stage_has_no_trailing_blanks(name: str, studies: dict[str, ReportInputs]) -> None:
    text = render_text(build_report(studies[name]))
    assert text.endswith("\n")
    assert all(line == line.rstrip() for line in text.splitlines())
