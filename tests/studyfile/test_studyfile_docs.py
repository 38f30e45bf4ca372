"""The documented example is a study file, and every key is documented."""

from __future__ import annotations

import re
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from foldover.core import OVER_RUNGS
from foldover.studyfile import parse, render
from foldover.studyfile.parse import SECTIONS
from foldover.studyfile.stages import _COMMON, _OWN_KEYS
from foldover.trainers import get_trainer

DOCS = Path(__file__).parents[2] / "docs" / "study-file.md"
STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.toml"))


def example():
    (block,) = re.findall(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    return block


def test_the_documented_example_is_a_study():
    study = parse(example(), "example.toml", get_trainer)
    assert [factor.letter for factor in study.factors] == ["A", "B", "C", "D"]
    assert [stage.kind for stage in study.stages] == ["screen", "confirm", "refine", "anchors"]


def test_the_documented_searches_are_stages_of_the_documented_study():
    """One of each strategy over rungs, and greedy; what is matched costs what the example's screen does."""
    blocks = re.findall(r"^    \[\[stages\]\]\n(?:    .*\n)+", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    study = parse(example() + "\n" + "\n".join(map(textwrap.dedent, blocks)), "example.toml", get_trainer)
    searches = {stage.name: stage.search for stage in study.stages if stage.kind == "search"}
    assert set(searches) == {"greedy", *OVER_RUNGS}
    assert {name: search.cost.amount for name, search in searches.items() if search.cost} == {
        "halving": 108.0,
        "hyperband": 8 * 2 * (2.0 + 6.0),
        "asha": 128.0,
        "bohb": 128.0,
        "population": 128.0,
    }


@pytest.mark.parametrize("key", [*SECTIONS, *_COMMON, *(key for keys in _OWN_KEYS.values() for key in keys)])
def test_every_key_is_documented(key):
    assert re.search(rf"`[^`]*\b{key}\b", DOCS.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_a_study_that_is_shipped_is_read_and_written_back(path):
    study = parse(path.read_text(encoding="utf-8"), path.name, get_trainer)
    again = parse(render(study), path.name, get_trainer)
    assert replace(again, source="") == replace(study, source="")


def test_the_documented_problems_are_what_check_says(spoil):
    said = spoil(
        'question = "What', 'question = "?"\nqestion = "What',
        'lever = "depth"', 'lever = "deph"',
        "q = 0.1", "q = 1.5",
        '"E=ABCD"', '"E=ABCF"',
        "[11, 12, 13]", "[11, 12, 2]",
    )  # fmt: skip
    for line in said:
        assert re.sub(r":\d+:", "", line) in re.sub(r":\d+:", "", DOCS.read_text(encoding="utf-8"))
