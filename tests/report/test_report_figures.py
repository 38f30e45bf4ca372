"""Pictures of a plain analysis: whole SVG documents that show the numbers they are made of."""

from __future__ import annotations

import itertools
import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from foldover.lab import AnalysisRequest, analyse_table, read_table
from foldover.report import TableFindings, figures_of, render_effects_text

SVG = "{http://www.w3.org/2000/svg}"


def findings_of(folder: Path, *, budgets: tuple[str, ...] = ("5 min", "10 min"), seeds: int = 3) -> TableFindings:
    """2^3 under seeds at each budget; column names that must be escaped."""
    lines = ["a<b,B,C,seed,budget,y"]
    for budget, scale in zip(budgets, (1.0, 0.5), strict=False):
        for i, (a, b, c) in enumerate(itertools.product((-1, 1), repeat=3)):
            for seed in range(1, seeds + 1):
                y = scale * (a - 0.5 * b + 0.25 * a * b) + 0.1 * seed + 0.01 * math.sin(7.0 * i + 3.0 * seed)
                lines.append(f"{a},{b},{c},{seed},{budget},{y:.6f}")
    path = folder / "t.csv"
    path.write_text("\n".join(lines))
    return analyse_table(read_table(path), AnalysisRequest(response="y", factors=("a<b", "B", "C")))


@pytest.fixture
def findings(tmp_path: Path) -> TableFindings:
    return findings_of(tmp_path)


@pytest.fixture
def single(tmp_path: Path) -> TableFindings:
    """One run a condition at one budget."""
    return findings_of(tmp_path, budgets=("5 min",), seeds=1)


def parsed(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314 (our own picture)


def titles(text: str) -> list[str]:
    """What the marks of a picture say when pointed at."""
    return [node.text or "" for node in parsed(text).iter(f"{SVG}title")]


def test_every_picture_is_a_document_of_its_own(findings):
    for text in figures_of(findings).values():
        root = parsed(text)
        assert root.tag == f"{SVG}svg"
        assert root.get("aria-label")
        assert root.find(f"{SVG}style") is not None


def test_pictures_of_several_budgets_carry_them_in_their_names(findings):
    names = set(figures_of(findings))
    assert {"pareto-5min.svg", "pareto-10min.svg", "relaxation.svg"} <= names


def test_one_budget_has_plain_names_and_no_relaxation(single):
    names = set(figures_of(single))
    assert "half-normal.svg" in names
    assert "relaxation.svg" not in names


def test_pareto_bars_are_as_long_as_the_effects(single):
    root = parsed(figures_of(single)["pareto.svg"])
    widths = [float(bar.get("width", "0")) for bar in root.iter(f"{SVG}rect")]
    sizes = sorted((point.size for point in single.parts[0].contrasts), reverse=True)
    assert [w / widths[0] for w in widths] == pytest.approx([s / sizes[0] for s in sizes], abs=0.002)


def test_the_half_normal_plot_has_a_point_for_every_contrast(single):
    text = figures_of(single)["half-normal.svg"]
    assert len(list(parsed(text).iter(f"{SVG}circle"))) == len(single.parts[0].contrasts) == 7


def test_only_contrasts_beyond_the_margin_are_filled(single):
    part = single.parts[0]
    assert part.lenth is not None
    filled = re.findall(r'<circle[^>]*class="mark"', figures_of(single)["half-normal.svg"])
    assert len(filled) == len(part.lenth.active)


def test_main_effect_points_say_their_mean_and_runs(findings):
    said = titles(figures_of(findings)["main-effects-5min.svg"])
    mean = findings.parts[0].main_means[0][0]
    assert any(words.endswith(f"{mean.n} runs") for words in said)
    assert mean.n == 12


def test_the_interaction_picture_has_a_panel_a_pair(findings):
    text = figures_of(findings)["interactions-5min.svg"]
    assert len(re.findall(r'class="title"', text)) == 3


def test_the_residual_picture_has_four_panels_and_every_run(findings):
    text = figures_of(findings)["residuals-5min.svg"]
    assert len(re.findall(r'class="title"', text)) == 4
    assert len(list(parsed(text).iter(f"{SVG}circle"))) == 3 * 24


def test_the_relaxation_picture_names_the_budgets(findings):
    text = figures_of(findings)["relaxation.svg"]
    assert ">5 min<" in text
    assert ">10 min<" in text


def test_names_of_columns_are_escaped(findings):
    text = figures_of(findings)["main-effects-5min.svg"]
    assert "a&lt;b" in text
    assert "a<b" not in text


def test_pictures_are_the_same_each_time(findings):
    assert figures_of(findings) == figures_of(findings)


def test_no_coordinate_is_missing(findings, single):
    for text in (*figures_of(findings).values(), *figures_of(single).values()):
        assert not re.search(r"\b(nan|inf|None)\b", text)


def test_the_text_fits_its_width_where_it_wraps(findings):
    cautions = render_effects_text(findings, width=80).partition("Cautions")[2]
    assert max(len(line) for line in cautions.splitlines() if line.startswith(("  - ", "    "))) <= 120


def test_the_text_names_factors_block_and_method(findings):
    text = render_effects_text(findings)
    assert "block seed" in text
    assert "method per_seed" in text
    assert re.search(r"^ +[AD-Z] +a<b +", text, re.MULTILINE)
