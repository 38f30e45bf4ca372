"""A rendered study parses to the study."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldover.core import Budget, Gate, Limit
from foldover.studyfile import render


def same(study, study_of):
    return replace(study_of(render(study)), source="") == replace(study, source="")


def test_a_rendered_study_parses_to_the_same_study(text, study_of):
    assert same(study_of(text), study_of)


def test_rendering_again_changes_nothing(text, study_of):
    once = render(study_of(text))
    assert render(study_of(once)) == once


def test_choices_and_switches_survive(text, study_of):
    changed = text.replace("low = 2\nhigh = 4", 'low = "rms"\nhigh = "layer"').replace('"depth"', '"norm"')
    changed = changed.replace("low = 0.02\nhigh = 0.08", "low = false\nhigh = true").replace("matrix_lr", "nesterov")
    assert same(study_of(changed.replace('["C", "E"]', '["E"]')), study_of)


@pytest.mark.parametrize(
    "limit",
    [
        Limit(kind="seconds", amount=0.00001),
        Limit(kind="seconds", amount=90.5),
        Limit(kind="steps", amount=300),
        Limit(kind="tokens", amount=1e9),
        Limit(kind="flops", amount=1e22),
    ],
)
def test_every_limit_survives(text, study_of, limit):
    study = study_of(text)
    stage = replace(study.stages[0], budgets=(Budget(limit=limit),))
    assert same(replace(study, stages=(stage, *study.stages[1:])), study_of)


def test_budgets_of_different_grace_and_cap_survive(text, study_of):
    study = study_of(text)
    budgets = (
        Budget(limit=Limit(kind="seconds", amount=2.0)),
        Budget(limit=Limit(kind="seconds", amount=6.0), grace_seconds=7.5, artifact_bytes=10**7),
    )
    assert same(replace(study, stages=(replace(study.stages[0], budgets=budgets), *study.stages[1:])), study_of)


@given(
    question=st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip),
    q=st.floats(0, 1, exclude_min=True, exclude_max=True),
    smallest=st.floats(0, 1e9),
    seeds=st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=3, unique=True),
)
def test_any_text_and_number_survives(question, q, smallest, seeds):
    study = STUDY[0]
    gate = Gate(q=q, smallest_effect=smallest)
    changed = replace(study, question=question, gate=gate, stages=(replace(study.stages[0], seeds=tuple(seeds)),))
    assert same(changed, STUDY[1])


def test_a_rendered_study_is_toml_with_every_lever(text, study_of):
    content = tomllib.loads(render(study_of(text)))
    assert len(content["baseline"]["set"]) == 9


STUDY: list = []


@pytest.fixture(autouse=True)
def _study(text, study_of):
    # hypothesis does not mix with fixtures that are made anew for each test.
    STUDY[:] = [study_of(text), study_of]
