"""Tables and pictures as files: Markdown, CSV, LaTeX, SVG, all from a document's sections."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldover.core import to_plain
from foldover.report import build_report
from foldover.report.chart_intervals import intervals, intervals_file
from foldover.report.formats import FORMATS, csv_of, escaped, files_of, latex_of, markdown, summary
from foldover.report.page import render_html
from foldover.report.section import Mark, Section, SectionPicture, SectionTable, columns
from foldover.report.text import render_text

TABLE = SectionTable(
    name="effects-screen",
    title="Effects of A_B & C at 100%",
    columns=columns("term", "effect:signed", "q:probability", "share:share:share of |SS|", "runs:count"),
    rows=(("A", 0.0568123, 1.5e-11, 0.4321, 80), ("B|C", -0.0165, None, None, 80)),
    decimals=4,
    note="n = 5 seeds",
)
PICTURE = SectionPicture(
    name="figure-effects",
    title="Effects <by> budget",
    axis="effect",
    zero=True,
    marks=(
        Mark(label="A", series="5 min", value=0.06, low=0.04, high=0.08),
        Mark(label="A", series="10 min", value=0.02, low=0.01, high=0.03),
        Mark(label="B", series="5 min", value=-0.02, hollow=True),
    ),
)
SECTION = Section(
    name="effects",
    title="Effects",
    claims=("A is retained.",),
    notes=("A note.",),
    tables=(TABLE,),
    pictures=(PICTURE,),
)


@pytest.fixture(scope="module")
def document(make_inputs):
    return build_report(make_inputs(sections=(SECTION,)))


def test_csv_keeps_full_precision_and_leaves_out_what_is_not_there():
    rows = list(csv.reader(io.StringIO(csv_of(to_plain(TABLE)))))
    assert rows[0] == ["term", "effect", "q", "share", "runs"]
    assert float(rows[1][1]) == 0.0568123
    assert rows[2] == ["B|C", "-0.0165", "", "", "80"]


def test_markdown_has_the_answer_claims_and_tables(document):
    page = markdown(document)
    assert document["answer"]["headline"] in page
    assert "- A is retained." in page
    assert "| A | +0.0568 | 1.5\u00d710\u207b\u00b9\u00b9 | 43.2% | 80 |" in page
    assert "| B\\|C | \u22120.0165 | \u2013 | \u2013 | 80 |" in page
    assert "![Effects <by> budget](figure-effects.svg)" in page


def test_markdown_has_every_decision_and_what_would_change_the_recommendation(document):
    page = markdown(document)
    for verdict in document["verdicts"]:
        assert f"| {verdict['stage']} | {verdict['subject']} | " in page
        assert verdict["because"].replace("|", "\\|") in page
    recommendation = document["recommendation"]
    said = [recommendation[name] for name in ("supports", "does_not_support", "would_change", "comparisons")]
    assert all(f"- {line}\n" in page for lines in said for line in lines)
    for change in recommendation["changes"]:
        assert f"| {change['lever']} | " in page


def test_the_summary_has_every_claim_and_no_table(document):
    page = summary(document)
    front, found = document["answer"], document["recommendation"]
    said = [front["headline"], *front["points"], *found["would_change"], *found["does_not_support"], *SECTION.claims]
    assert all(sentence in page for sentence in said)
    assert "|" not in page


def test_what_is_not_there_yet_has_no_table(make_inputs):
    document = build_report(make_inputs(sections=(SECTION,), recommendation=None, verdicts=()))
    assert set(files_of(document, "csv")) == {"effects-screen.csv", "figure-effects.svg"}
    assert "What would change it" not in markdown(document)


def test_latex_has_rules_of_booktabs_and_escapes_every_cell():
    text = latex_of(to_plain(TABLE))
    assert text.count(r"\toprule") == text.count(r"\midrule") == text.count(r"\bottomrule") == 1
    assert r"\caption{Effects of A\_B \& C at 100\%}" in text
    assert r"A & +0.0568 & 1.5$\times10^{-11}$ & 43.2\% & 80 \\" in text
    assert r"B|C & $-$0.0165 & -- & -- & 80 \\" in text
    assert r"\begin{tabular}{lrrrr}" in text


@given(st.text(alphabet="ab&%$#_{}~^\\\u2212 ", max_size=30))
def test_escaped_text_has_no_bare_command(text: str):
    known = (
        r"\textbackslash{}", r"\textasciitilde{}", r"\textasciicircum{}", "$-$",
        *("\\" + c for c in "&%$#_{}"),
    )  # fmt: skip
    rest = escaped(text)
    for each in known:
        rest = rest.replace(each, "")
    assert not re.search(r"[&%$#_{}~^\\]", rest)


def test_pictures_are_whole_svg_files_with_marks_in_place(document):
    text = files_of(document, "csv")["figure-effects.svg"]
    root = ET.fromstring(text)  # noqa: S314 (our own)
    space = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{space}svg"
    assert "var(--" not in root.find(f"{space}style").text
    circles = [c for c in root.iter(f"{space}circle") if c.get("cy") != "14"]
    x = [float(c.get("cx")) for c in circles]
    # Equal distances in values are equal distances in pixels: 0.06, 0.02, -0.02.
    assert x[0] - x[1] == pytest.approx(x[1] - x[2], abs=0.21)
    assert [c.get("class") for c in circles] == ["mark", "mark", "hollow"]


def test_a_picture_has_single_runs_panels_with_axes_of_their_own_and_bars():
    marks = (
        Mark(label="a", series="bridge", value=1.0, runs=(0.9, 1.1), panel="Windows"),
        Mark(label="b", series="control", value=2.0, runs=(2.0,), panel="Windows"),
        Mark(label="a", series="bridge", value=11.0, panel="Linux"),
        Mark(label="b", series="control", value=12.0, panel="Linux"),
    )
    picture = SectionPicture(name="figure", title="Hosts", axis="val_bpb", marks=marks)
    root = ET.fromstring(intervals_file(to_plain(picture)))  # noqa: S314 (our own)
    space = "{http://www.w3.org/2000/svg}"
    assert [t.text for t in root.iter(f"{space}text") if t.get("class") == "head"] == ["Windows", "Linux"]
    assert len([line for line in root.iter(f"{space}line") if line.get("class") == "seed"]) == 3
    means = [float(c.get("cx")) for c in root.iter(f"{space}circle") if c.get("cy") != "14"]
    assert (root.get("width"), 'width="760"' in intervals(to_plain(picture))) == ("1520", True)
    assert means[3] - means[2] > 200  # on one axis for both panels they would stand close together
    bars = replace(picture, bars=True, zero=True, marks=(Mark(label="budget", series="", value=0.6),))
    text = intervals_file(to_plain(bars))
    assert (text.count("<rect"), text.count("<circle"), "+0.6" in text) == (1, 0, False)


def test_intervals_that_are_all_wide_are_drawn_whole_and_a_single_wide_one_is_cut():
    def arrows(*halves: float) -> int:
        marks = tuple(Mark(label=str(i), series="", value=1 + i / 10, low=1 + i / 10 - h, high=1 + i / 10 + h)
                      for i, h in enumerate(halves))  # fmt: skip
        return intervals_file(to_plain(SectionPicture(name="f", title="t", axis="a", marks=marks))).count("<path")

    assert arrows(2.0, 2.0, 2.0) == 0
    assert arrows(0.1, 0.1, 9.0) == 2


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("md", {"report.md", "summary.md", "figure-effects.svg"}),
        ("csv", {"effects-screen.csv", "decisions.csv", "recommendation.csv", "figure-effects.svg"}),
        ("latex", {"effects-screen.tex", "decisions.tex", "recommendation.tex", "tables.tex", "figure-effects.svg"}),
    ],
)
def test_each_format_has_its_files(document, kind, names):
    assert kind in FORMATS
    files = files_of(document, kind)
    assert set(files) == names
    if kind == "latex":
        assert r"\input{effects-screen}" in files["tables.tex"]


def test_the_page_shows_sections_with_their_numbers_in_full(document):
    page = render_html(document)
    assert "Findings, stage by stage" in page
    assert '<data value="0.0568123">+0.0568</data>' in page
    assert "A is retained." in page
    assert "Effects &lt;by&gt; budget" in page


def test_a_recommendation_says_what_would_change_it(make_inputs):
    document = build_report(make_inputs())
    lines = document["recommendation"]["would_change"]
    own = [row for row in document["conditions"] if row["package"] == document["recommendation"]["package"]]
    chosen = next(row for row in own if row["is_recommended"])
    close = [
        row["condition"]
        for row in own
        if row is not chosen and row["low"] <= chosen["high"] and chosen["low"] <= row["high"]
    ]
    assert all(any(name in line for line in lines) for name in close)
    still_open = [v["subject"] for v in document["verdicts"] if v["decision"] == "undecided"]
    assert any("is not decided" in line or "are not decided" in line for line in lines) == bool(still_open)
    assert all(f"<li>{line}</li>" in render_html(document) for line in lines)


@pytest.mark.parametrize(("size", "is_said"), [(300_000, True), (250_000, False), (100_000, False)])
def test_a_recommended_recipe_larger_than_every_rival_may_lead_by_its_size(make_inputs, size, is_said):
    inputs = make_inputs()
    chosen = inputs.recommendation
    records = [
        replace(r, outcome=replace(r.outcome, derived=r.outcome.derived.with_({"num_params": size})))
        if (r.spec.package, r.spec.condition) == (chosen.package, chosen.condition)
        else r
        for r in inputs.records
    ]
    lines = build_report(replace(inputs, records=tuple(records)))["recommendation"]["would_change"]
    sentence = (
        f"A rival of its own size: {chosen.condition} has {size:,} parameters, the others at most 231,424, and its "
        "lead may be size."
    )
    assert (sentence in lines) == is_said


def test_a_factor_is_open_by_the_last_verdict_of_the_recipe_s_own_host(make_inputs):
    inputs = make_inputs()
    (settled,) = [v for v in inputs.verdicts if v.subject == "D"]
    assert settled.decision == "fix_low"
    away = replace(inputs.packages[0], name="away", stage="away", host="linux")
    effect = replace(inputs.effects[0], package="away")
    later = replace(settled, stage="away", decision="undecided")
    document = build_report(
        replace(
            inputs, packages=(*inputs.packages, away), effects=(*inputs.effects, effect),
            verdicts=(*inputs.verdicts, later),
        )
    )  # fmt: skip
    (sentence,) = [line for line in document["recommendation"]["would_change"] if "not decided" in line]
    assert " D" not in sentence.partition(",")[0]


def test_what_few_seeds_and_a_fixed_seed_carry_is_called_descriptive(make_inputs):
    inputs = make_inputs()
    fixed = [replace(package, regime="fixed", host="windows") for package in inputs.packages]
    document = build_report(replace(inputs, packages=tuple(fixed)))
    points = document["answer"]["points"]
    stand_out = [point for point in points if " out, of 5 factors: descriptive only." in point]
    assert stand_out
    assert points[-1].endswith("; descriptive only, one fixed seed.")
    assert all("(windows, one fixed seed)" in point for point in stand_out)
    assert not any("retained" in point for point in points)
    main = [effect for effect in document["effects"] if effect["kind"] == "main"]
    assert all(effect["descriptive"] for effect in main)
    assert any(effect["retained"] for effect in main)
    assert "retained: low better" not in render_html(document)
    assert '<span class="tag">descriptive, stands out</span>' in render_html(document)
    table = render_text(document, width=140).split("\n\n")[1]
    assert "stands out" in table
    assert "retained" not in table
    chosen = inputs.recommendation.summary
    thin = replace(chosen, n=2, seeds=chosen.seeds[:2])
    conditions = tuple(thin if summary == chosen else summary for summary in inputs.conditions)
    told = build_report(
        replace(inputs, conditions=conditions, recommendation=replace(inputs.recommendation, summary=thin))
    )
    assert "; descriptive only, n = 2." in told["answer"]["headline"]
    assert told["recommendation"]["would_change"][0] == "More seeds: with n = 2 the order is descriptive only."
