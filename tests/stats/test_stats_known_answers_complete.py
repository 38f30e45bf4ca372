"""Every known answer has its test: the cases by name, with the file that holds each.

The cases (P: practice, D: designs) are published or made with R, FrF2, unrepx, BsMD, lme4 and statsmodels; data and
sources stand in the JSON files beside the tests. A case counts as held if its file speaks of it by name.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
HELD_BY = {
    "designs/test_designs_blocks.py": "D10",
    "designs/test_designs_catalogue.py": "D06 D07",
    "designs/test_designs_check.py": "D14",
    "designs/test_designs_definitive.py": "P19 D25",
    "designs/test_designs_evaluate.py": "P48",
    "designs/test_designs_fold.py": "D08 D09",
    "designs/test_designs_gf2.py": "D01 D02 D03 D04 D05_alias_8_5 D05_alias_16_6 D05_alias_16_7 D05_alias_32_8",
    "designs/test_designs_must_raise.py": "D21",
    "designs/test_designs_optimal.py": "P20 P21",
    "designs/test_designs_requirements.py": "D28",
    "designs/test_designs_response_surface.py": "P17 D26",
    "designs/test_designs_screening.py": "P10 D11 D12 D27",
    "designs/test_designs_splitplot.py": "D13",
    "simulator/test_simulator_surface.py": "D24",
    "stats/test_stats_anova.py": "P34 D20",
    "stats/test_stats_brackets.py": "D16",
    "stats/test_stats_budgets.py": "P49 P50",
    "stats/test_stats_curvature.py": "P15 P16",
    "stats/test_stats_diagnostics.py": "P35 P36 P53",
    "stats/test_stats_effects.py": "D19 D23",
    "stats/test_stats_known_claims.py": """
        P22 P23 P24 P25 P26 P27 P28 P29 P30 P31 P32 P33 P40 P41 P42 P43 P44 P45 P46 P47 P52 D15 D17 D18 D22
    """,
    "stats/test_stats_mixed.py": "P37 P38",
    "stats/test_stats_model_search.py": "P11",
    "stats/test_stats_splitplot.py": "P39",
    "stats/test_stats_surface.py": "P12 P13 P14 P18",
    "stats/test_stats_unreplicated.py": "P01 P02 P03 P04 P05 P06 P07 P08 P09 P51",
}
# Two cases are whole tables, which their tests take by another name.
SPOKEN_OF_AS = {"D07": "catalogue_rows", "D24": "test_vectors"}
CASES = [(case, file) for file, cases in HELD_BY.items() for case in cases.split()]


def test_all_84_cases_are_listed_once() -> None:
    aliases = [f"D05_alias_{name}" for name in ("8_5", "16_6", "16_7", "32_8")]
    numbered = [f"P{i:02d}" for i in range(1, 54)] + [f"D{i:02d}" for i in range(1, 29) if i != 5]
    assert sorted(case for case, _ in CASES) == sorted(numbered + aliases)
    assert len(CASES) == 84


@pytest.mark.parametrize(("case", "file"), CASES)
def test_a_case_is_held_by_a_test(case: str, file: str) -> None:
    name = SPOKEN_OF_AS.get(case, case)
    source = (TESTS / file).read_text(encoding="utf-8")
    assert re.search(rf"(?<![a-z0-9]){name}(?![0-9])", source, re.IGNORECASE), f"{file} does not speak of {name}"
