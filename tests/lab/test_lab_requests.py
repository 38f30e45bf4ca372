"""Gates that ask for more: it is planned where the study allows it, and judged together with what it follows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from foldover.core import Settings
from foldover.lab import analyse, create, run_study, verify
from foldover.planning.requests import folded_generators

FOLD = (("smallest_effect = 0.002", "smallest_effect = 0.002\nfold_over = true"),)
MORE = (("smallest_effect = 0.002", "smallest_effect = 0.0\nmore_seeds = 3"),)


@pytest.fixture
def three(quick_path, tmp_path):
    """A B and C in four runs: every main effect is aliased with a two-factor interaction."""

    def make(*changes):
        text = quick_path.read_text(encoding="utf-8")
        for letter in "DE":
            head, _, rest = text.partition(f"[factors.{letter}]")
            text = head + rest[rest.index("[") :]
        text = text.replace('design = "2^(5-1)"\ngenerators = ["E=ABCD"]', 'design = "2^(3-1)"\ngenerators = ["C=AB"]')
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "three.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return make


def test_an_alias_that_leaves_a_doubt_is_folded_over_where_the_study_allows_it(three, tmp_path):
    session = create(three(*FOLD), tmp_path / "s")
    run_study(session, Settings(jobs=2))
    decisions = {d.stage: {v.subject: v.decision for v in d.verdicts} for d in session.workspace.decisions()}
    assert "fold_over" in decisions["screen"].values()
    assert list(decisions)[:2] == ["screen", "screen-fold"]
    assert not {"fold_over", "more_seeds"} & set(decisions["screen-fold"].values())
    plans = {plan.stage: plan for plan in session.workspace.plans()}
    corners = {run.levels for name in ("screen", "screen-fold") for run in plans[name].runs}
    assert corners == set(itertools.product((-1.0, 1.0), repeat=3))
    # Over both halves together each main effect is a plain difference of means.
    rows = [r for r in analyse(session).records if r.spec.package in ("screen @ 5 min", "screen-fold @ 5 min")]
    levels = np.array([r.spec.levels for r in rows])
    y = np.array([r.outcome.responses.number("val_bpb") for r in rows])
    found = {e.term: e.estimate for e in analyse(session).effects if e.package == "screen-fold @ 5 min"}
    for j, letter in enumerate("ABC"):
        plain = y[levels[:, j] > 0].mean() - y[levels[:, j] < 0].mean()
        assert found[letter] == pytest.approx(plain, abs=1e-9)
    aliases = {e.package: e.aliased_with for e in analyse(session).effects if e.term == "A"}
    assert (aliases["screen @ 5 min"], aliases["screen-fold @ 5 min"]) == (("BC",), ())
    assert verify(session) == ()


def test_a_study_that_does_not_allow_it_is_not_followed_up(three, tmp_path):
    session = create(three(), tmp_path / "s")
    run_study(session, Settings(jobs=2))
    assert [plan.stage for plan in session.workspace.plans()] == ["screen", "confirm", "refine"]


def test_an_undecided_factor_gets_the_seeds_that_the_study_allows(small_study, tmp_path):
    session = create(small_study(*MORE, ('surface = "calibrated"', 'surface = "null"')), tmp_path / "s")
    run_study(session, Settings(jobs=2))
    plans = {plan.stage: plan for plan in session.workspace.plans()}
    assert {run.seed for run in plans["screen-more"].runs} == {14, 15, 16}
    assert {run.budget.label() for run in plans["screen-more"].runs} == {"5 min"}
    effect = next(e for e in analyse(session).effects if e.package == "screen-more @ 5 min")
    assert effect.n == 4 * 5
    run_study(session, Settings(jobs=2))
    assert len(session.workspace.plans()) == len(plans)


def test_reversing_all_signs_twice_gives_the_fraction_back():
    once = folded_generators(("D=AB", "E=ABC", "F=-AC"))
    assert once == ("D=-AB", "E=ABC", "F=AC")
    assert folded_generators(once) == ("D=AB", "E=ABC", "F=-AC")
