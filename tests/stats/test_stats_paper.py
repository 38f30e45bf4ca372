"""The tables of the seed paper, recomputed; the page that lists what does not agree is up to date."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from foldover.core import AnalysisError
from foldover.stats.paper import check_paper, paper_consistency

FACTS: dict[str, Any] = json.loads((Path(__file__).parent / "paper_tables.json").read_text(encoding="utf-8"))
PAGE = Path(__file__).parents[2] / "docs" / "paper-consistency.md"
CHECKS = {c.id: c for c in check_paper(FACTS)}


@pytest.mark.parametrize(
    ("id_", "numbers"),
    [
        ("accounting", ["613 = 569 + 44", "14 packages"]),
        ("package-sizes", ["all 14"]),
        ("common-se-5", ["0.007114", "0.007123", "0.0318"]),
        ("common-se-10", ["0.001939", "0.0087"]),
        ("bh-q-5", ["4.95e-11", "5.95e-08", "0.029", "4.5e-17", "0.454"]),
        ("bh-q-10", ["2.21e-13", "0.00532", "0.0274", "4.51e-27", "0.501"]),
        ("seed-f", ["F(4, 68) = 6.34", "0.00021"]),
        ("bridge-60", ["-0.007326", "t = -7.06", "df 6.00", "p = 0.0004"]),
        ("random-summary", ["1.0906146", "1.09045", "3/5", "2/5"]),
        ("two-seed-values", ["0.925516 and 0.927324"]),
        ("parameters", ["50.33 M", "39.85 M"]),
        ("ratios", ["5.86", "7.69", "21.2%", "40.7%"]),
        ("mean-intervals", ["0.051969"]),
    ],
)
def test_printed_numbers_that_agree(id_: str, numbers: list[str]) -> None:
    assert CHECKS[id_].verdict == "consistent"
    assert [n for n in numbers if n not in CHECKS[id_].computed] == []


@pytest.mark.parametrize(
    ("id_", "numbers"),
    [
        ("overtaking", ["+0.0074", "1.098092"]),
        ("best-pair", ["49 of its 50"]),
        ("center-point", ["+0.33", "+0.42", "[384, 384, 512]", "[384, 512, 640]"]),
        ("width-steps", ["26.35 M", "39.85 M", "33.03 M", "70.78 M"]),
        ("interactions-with-D", ["A:D +0.0341", "B:D +0.0231", "C:D -0.0080", "A:D +0.0096"]),
        ("residual", ["0.0318", "0.0087", "ratio of 19", "60 left"]),
        ("rerun-variability", ["0.0019"]),
        ("dfixed-quantile", ["0.000660", "0.000673", "0.00133", "0.00130"]),
        ("winners-share", ["E = +1"]),
        ("procedure", ["BY 0.0662, Holm 0.0464", "BY 0.0625, Holm 0.0438"]),
        ("two-seeds", ["12.706", "0.333"]),
        ("replication-rows", ["8 + 12 = 20"]),
    ],
)
def test_printed_numbers_that_do_not_agree(id_: str, numbers: list[str]) -> None:
    assert CHECKS[id_].verdict == "inconsistent"
    assert [n for n in numbers if n not in CHECKS[id_].computed] == []


def test_what_is_not_printed_is_listed() -> None:
    missing = {id_ for id_, c in CHECKS.items() if c.verdict == "incomplete"}
    assert missing == {"two-minute-effects", "linux-greedy", "seeded-means", "bridge-recipe"}


@pytest.mark.parametrize(
    ("table", "row", "column", "value", "id_"),
    [
        ("t01_run_accounting", 0, 4, 49, "accounting"),
        ("t01_run_accounting", 5, 4, 91, "package-sizes"),
        ("t06_effects_5min", 1, 4, 3.57e-7, "common-se-5"),
        ("t07_effects_10min", 2, 5, 0.05, "bh-q-10"),
        ("t18_seeded_ordering", 2, 4, 1.2, "midpoints"),
        ("t19_bridge60", 0, 3, 0.97, "bridge-60"),
        ("t13_random_winners", 1, 3, 1.0, "random-summary"),
        ("t15_eta_sq", 0, 1, 0.5, "eta-sum"),
    ],
)
def test_altered_number_is_found(table: str, row: int, column: int, value: float, id_: str) -> None:
    altered = copy.deepcopy(FACTS)
    altered["tables"][table]["rows"][row][column] = value
    altered["tables"][table]["rows"][row] = [
        "3.57e-07" if cell == "3.57e-08" else cell for cell in altered["tables"][table]["rows"][row]
    ]
    assert {c.id: c.verdict for c in check_paper(altered)}[id_] == "inconsistent"


def test_missing_table_is_refused_by_name() -> None:
    with pytest.raises(AnalysisError, match="no such table"):
        check_paper({"tables": {}})


def test_every_check_has_its_own_name() -> None:
    assert len(CHECKS) == len(check_paper(FACTS))


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == paper_consistency(FACTS), "run python docs/make_paper_consistency.py"


def test_page_counts_what_it_lists() -> None:
    page = paper_consistency(FACTS)
    consistent = sum(c.verdict == "consistent" for c in CHECKS.values())
    assert f"{consistent} statements agree" in page
    assert page.split("## Number by number")[0].count("\n| ") == len(CHECKS) + 3
