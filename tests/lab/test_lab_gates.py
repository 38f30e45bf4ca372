"""A factor that two screens would fix at different levels is sent back; hosts and regimes are never mixed in it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from foldover.core import (
    Budget,
    Design,
    DesignRequest,
    Effect,
    Factor,
    Gate,
    Limit,
    Package,
    Recipe,
    Stage,
    Study,
    Values,
)
from foldover.lab.analysis import Analysis, judge_stage, screen_verdicts
from foldover.planning import Plan

BUDGET = Budget(limit=Limit(kind="seconds", amount=60.0))
A = Factor(letter="A", lever="model.depth", low=6, high=8, kind="int")
DESIGN = Design(name="d", kind="full", factors=(A,), rows=())


def stage(name: str, *, host: str = "", regime: str = "explicit", follows: str = "") -> Stage:
    return Stage(
        name=name, kind="screen", budgets=(BUDGET,), seeds=(1, 2), design=DesignRequest(runs=2), host=host,
        regime=regime, follows=follows,  # type: ignore[arg-type]
    )  # fmt: skip


def found(estimates: Mapping[str, float], *stages: Stage) -> tuple[Study, list[Plan], Analysis]:
    """A study of screens of one factor whose effects are retained as given, by stage."""
    study = Study(
        name="s", question="?", response="y", direction="minimize",
        baseline=Recipe(trainer="simulator", values=Values({"model.depth": 6})), factors=(A,), stages=stages,
        gate=Gate(), constants=Values(), host="home",
    )  # fmt: skip
    plans = []
    for each in stages:
        package = Package(
            name=each.name, stage=each.name, budget=BUDGET, seeds=each.seeds, runs=(), host=study.host_of(each),
            regime=each.regime,
        )  # fmt: skip
        plans.append(Plan(stage=each.name, design=DESIGN, conditions=(), packages=(package,), runs=()))
    effects = tuple(
        Effect(
            term="A", package=name, budget="1 min", estimate=x, se=0.1, low=x - 0.2, high=x + 0.2, level=0.95, p=0.001,
            q=0.001, retained=True, df=9.0, n=32, aliased_with=(), method="paper",
        )
        for name, x in estimates.items()
    )  # fmt: skip
    return study, plans, Analysis(records=(), effects=effects, conditions=(), notes=())


def decisions(study: Study, plans: list[Plan], analysis: Analysis) -> list[str]:
    return [judge_stage(study, plan, plans, analysis)[0].decision for plan in plans]


def test_a_factor_that_a_later_screen_finds_better_at_its_other_level_is_sent_back():
    study, plans, analysis = found({"one": 1.0, "two": -1.0}, stage("one"), stage("two"))
    assert decisions(study, plans, analysis) == ["fix_low", "send_back"]
    (verdict,) = judge_stage(study, plans[1], plans, analysis)
    assert "stage one found the other level better, so neither is fixed" in verdict.because
    assert screen_verdicts(study, plans, analysis) == (verdict,)


def test_screens_that_agree_send_nothing_back():
    assert decisions(*found({"one": 1.0, "two": 0.5}, stage("one"), stage("two"))) == ["fix_low", "fix_low"]


@pytest.mark.parametrize(
    "second",
    [stage("two", host="away"), stage("two", follows="one")],
    ids=["another host", "the follow-up of a screen itself"],
)
def test_what_is_not_a_contradiction_is_not_sent_back(second: Stage):
    assert decisions(*found({"one": 1.0, "two": -1.0}, stage("one"), second)) == ["fix_low", "fix_high"]


def test_one_fixed_seed_does_not_speak_against_many():
    study, plans, analysis = found({"one": 1.0, "two": -1.0}, stage("one", regime="fixed"), stage("two"))
    assert decisions(study, plans, analysis) == ["fix_low", "fix_high"]


def test_many_seeds_and_the_study_s_own_host_stand_before_what_came_later():
    stages = (stage("home"), stage("fixed", regime="fixed"), stage("away", host="away"))
    study, plans, analysis = found({"home": 1.0, "fixed": 1.0, "away": -1.0}, *stages)
    assert [verdict.stage for verdict in screen_verdicts(study, plans, analysis)] == ["home"]
