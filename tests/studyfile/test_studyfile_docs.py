"""The documented example is a study file, and every key is documented."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

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
