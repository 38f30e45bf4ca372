"""A race: the same numbers on any number of processes, and a replay that says what it lacks."""

from __future__ import annotations

from statistics import fmean
from typing import get_args

import pytest

from foldover.core import DesignError, Strategy
from foldover.lab import RaceRequest, create, open_session, race, run_study
from foldover.lab.naming import RANDOM
from foldover.lab.racing import STRATEGIES, half_fraction, problem_of
from foldover.simulator.surface import get_surface


def test_a_race_is_the_same_on_one_process_and_on_two():
    request = RaceRequest(total=200.0, screen_seeds=2, repetitions=6, names=("staged", "greedy"))
    one, two = race(request), race(request, jobs=2)
    assert one == two
    assert [each.name for each in one.standings] == ["staged", "greedy"]
    assert all(each.repetitions == 6 and each.bands[-1].cost == 200.0 for each in one.standings)
    assert [(curve.way, curve.budget) for curve in one.curves][::3] == [("screen", 10.0), (RANDOM, 10.0)]
    assert [point.runs for point in one.curves[0].points][:3] == [32, 48, 64]


def test_every_strategy_that_a_study_may_have_is_raced():
    assert set(get_args(Strategy)) == set(STRATEGIES) - {"staged"}
    (halving,) = race(RaceRequest(total=200.0, screen_seeds=2, repetitions=2, names=("halving",))).standings
    # Brackets of 9, 3 and 1 run at 10/9, 10/3 and 10 minutes: 13 runs for 30 minutes; six, and 20 minutes for 12 more.
    assert halving.runs == 6 * 13 + 12


def test_the_truth_of_the_simulated_problem_is_the_surface():
    problem = problem_of(RaceRequest())
    surface = get_surface("calibrated")
    best = problem.best()
    assert best == (-1.0, 1.0, 1.0, -1.0, 1.0)  # c07, as the surface's page says
    assert problem.truth(best) == pytest.approx(float(surface.mean(best, 10.0)))
    request = RaceRequest(repetitions=1, names=("greedy",), total=400.0)
    assert race(request).true_set == ("A", "B", "C", "D")


def test_the_screen_is_the_published_fraction():
    rows = half_fraction()
    assert len(set(rows)) == 16
    assert all(a * b * c * d == e for a, b, c, d, e in rows)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"names": ("grid",)}, "unknown strategy 'grid'"),
        ({"total": 100.0}, "the screen alone would cost more"),
        ({"short": 20.0}, "budgets must rise"),
        ({"repetitions": 0}, "at least one repetition"),
    ],
)
def test_what_cannot_be_raced_is_said(changed, says):
    with pytest.raises(DesignError, match=says):
        RaceRequest(**changed)


def test_a_finished_study_answers_with_what_it_recorded(small_study, settings, tmp_path):
    study = small_study()
    root = tmp_path / "study"
    run_study(create(study, root), settings)
    request = RaceRequest(
        study=root,
        total=60.0,
        target=5.0,
        short=2.0,
        least=2.0,
        screen_seeds=1,
        repetitions=3,
        names=("greedy", "random"),
    )
    found = race(request)
    assert found.curves == ()
    with open_session(root).ledger(read_only=True) as ledger:
        records = [r for r in ledger.records() if r.spec.budget.label() == "5 min"]
    values = {}
    for record in records:
        values.setdefault(record.spec.levels, []).append(record.outcome.responses["val_bpb"])
    corners = {levels: fmean(found) for levels, found in values.items() if set(map(abs, levels)) == {1.0}}
    assert found.best == min(corners, key=corners.__getitem__)
    with pytest.raises(DesignError, match="needs every combination of two levels at each budget; it has 2, 5 minutes"):
        race(RaceRequest(study=root, total=60.0, target=4.0, short=2.0, least=2.0, screen_seeds=1, names=("greedy",)))
