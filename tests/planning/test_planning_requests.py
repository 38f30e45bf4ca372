"""Follow-ups that gates ask for, planned without running anything."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from foldover.core import DesignRequest, Verdict
from foldover.planning import plan_screen, with_follow_ups

DOUBT = Verdict(stage="screen", subject="A", decision="fold_over", because="", rule="", evidence="")


@pytest.mark.parametrize("generators", [(), ("C=AB",), ("C=-AB",)])
def test_a_fold_is_the_other_half_of_the_screen_also_of_one_from_the_catalogue(quick_study, resolve, generators):
    screen = replace(quick_study.stage("screen"), design=DesignRequest(runs=4, generators=generators))
    study = replace(quick_study, factors=quick_study.factors[:3], stages=(screen,))
    followed = with_follow_ups(study, {"screen": [DOUBT]})
    assert [stage.name for stage in followed.stages] == ["screen", "screen-fold"]
    halves = [
        {condition.levels for condition in plan_screen(followed, stage, resolve).conditions}
        for stage in followed.stages
    ]
    assert not halves[0] & halves[1]
    assert halves[0] | halves[1] == set(itertools.product((-1.0, 1.0), repeat=3))


def test_the_largest_number_of_seeds_that_a_gate_asked_for_is_run(quick_study):
    study = replace(quick_study, gate=replace(quick_study.gate, more_seeds=9), stages=(quick_study.stage("screen"),))
    few, many = (replace(DOUBT, decision="more_seeds", more_seeds=n) for n in (2, 4))
    followed = with_follow_ups(study, {"screen": [few, many]})
    first = 1 + max(study.stages[0].seeds)
    assert followed.stages[1].seeds == tuple(range(first, first + 4))
