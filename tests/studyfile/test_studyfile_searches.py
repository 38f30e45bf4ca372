"""Searches of a study file: what is wrong is told at its line and all at once; what is right is scaled and written."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldover.core import Limit, StudyError
from foldover.studyfile import render, scale_study

SEARCHES = """
[[stages]]
name = "greedy"
kind = "search"
strategy = "greedy"
runs = 32
matched_to = "screen"
budgets = ["6s"]
seeds = [31]

[[stages]]
name = "asha"
kind = "search"
strategy = "asha"
cost = "90s"
budgets = ["1s", "3s", "9s"]
seeds = [41]

[[stages]]
name = "halving"
kind = "search"
strategy = "halving"
matched_to = "screen"
budgets = ["100s", "150s"]
seeds = [51]

[[stages]]
name = "hyperband"
kind = "search"
strategy = "hyperband"
matched_to = "asha"
budgets = ["1s", "3s", "9s"]
seeds = [61]

[[stages]]
name = "bohb"
kind = "search"
strategy = "bohb"
cost = "1000 steps"
levels = { C = [-1, 0, 1] }
budgets = ["5 steps", "20 steps"]
regime = "fixed"
seed = 71

[[stages]]
name = "population"
kind = "search"
strategy = "population"
batch = 4
cost = "2min"
budgets = ["1s", "2s", "9s"]
seeds = [81]
"""


@pytest.fixture
def searches(text, study_of):
    return study_of(text + SEARCHES)


def told(study_of, text):
    with pytest.raises(StudyError) as caught:
        study_of(text)
    return caught.value.problems


def test_a_cost_is_given_or_that_of_the_stage_it_is_matched_to(searches):
    found = {stage.name: stage.search for stage in searches.stages if stage.search}
    # The screen: 16 conditions, two seeds, 2 s and 6 s.
    assert found["halving"].cost == Limit(kind="seconds", amount=16 * 2 * (2.0 + 6.0))
    assert found["asha"].cost == found["hyperband"].cost == Limit(kind="seconds", amount=90.0)
    assert found["population"].cost == Limit(kind="seconds", amount=120.0)
    assert found["bohb"].cost == Limit(kind="steps", amount=1000)
    assert (found["greedy"].runs, found["greedy"].cost) == (32, None)
    assert {name: search.runs for name, search in found.items() if name != "greedy"} == dict.fromkeys(
        ("asha", "halving", "hyperband", "bohb", "population")
    )


def test_a_batch_that_is_not_given_follows_from_the_strategy(searches):
    found = {stage.name: stage.search.batch for stage in searches.stages if stage.search}
    # Halving: as many as send one point through all rungs, 150 / 100 rounded up.
    assert found == {"greedy": 1, "asha": 2, "halving": 2, "hyperband": 1, "bohb": 1, "population": 4}


def test_searches_are_written_as_they_are_read(searches, study_of):
    again = study_of(render(searches))
    assert replace(again, source="") == replace(searches, source="")


@pytest.mark.parametrize("factor", [0.37, 1 / 3, 7.0])
def test_a_scaled_search_is_a_search_of_the_scaled_cost(text, study_of, factor):
    steps = (
        (text + SEARCHES)
        .replace('"2s", "6s"]', '"200 steps", "600 steps"]')
        .replace('["6s"]\nseeds = [31]', '["600 steps"]\nseeds = [31]')
        .replace('["100s", "150s"]', '["100 steps", "300 steps", "900 steps"]')
    )
    study = study_of(steps)
    scaled = scale_study(study, factor)
    assert study_of(scaled.source).stages == scaled.stages
    screen, halving = scaled.stage("screen"), scaled.stage("halving")
    assert halving.search.cost.amount == 32 * sum(budget.limit.amount for budget in screen.budgets)
    assert scaled.stage("asha").search.cost == scaled.stage("hyperband").search.cost
    assert scaled.stage("asha").search.cost.amount == pytest.approx(90.0 * factor)


MISTAKES = [
    ('strategy = "asha"', 'strategy = "ahsa"', "`strategy` cannot be 'ahsa'. Did you mean `asha`?"),
    ('strategy = "asha"\n', "", "`strategy` is missing."),
    ('["1s", "3s", "9s"]\nseeds = [41]', '["3s", "1s", "9s"]\nseeds = [41]', "budgets are in the wrong order"),
    (
        '["1s", "3s", "9s"]\nseeds = [41]',
        '["9s"]\nseeds = [41]',
        'asha goes from short budgets to long ones and needs two or more. E.g. ["1 s", "3 s", "9 s"].',
    ),
    (
        '["1s", "3s", "9s"]\nseeds = [41]',
        '["2s", "5s", "10s"]\nseeds = [41]',
        'each budget is as many times the one before (got 2.5, 2). The ladder of 2 is ["2.5 s", "5 s", "10 s"].',
    ),
    (
        '["5 steps", "20 steps"]',
        '["500 steps", "2000 steps", "9000 steps"]',
        'The ladder of 4 is ["562 steps", "2250 steps", "9000 steps"].',
    ),
    ('["1s", "3s", "9s"]\nseeds = [41]', '["1s", "3 steps"]\nseeds = [41]', "give all of them in one unit"),
    ('["6s"]\nseeds = [31]', '["2s", "6s"]\nseeds = [31]', "greedy has one budget: write a stage for each."),
    ('cost = "90s"', 'cost = "900 steps"', "`cost` is in steps and the budgets are in seconds."),
    ('cost = "90s"', "cost = 90", "`cost` must be a text"),
    ('cost = "90s"', 'cost = "ninety"', "a budget is not readable"),
    ('cost = "90s"', "", "`cost` is missing, in the unit of the budgets. Or name a stage in `matched_to`."),
    ('cost = "90s"', "runs = 90", "the runs of asha are of several lengths: give the `cost`"),
    ('cost = "90s"', 'cost = "1.5s"', "the first batch of asha is 2 runs of 1 s: that is 2 s, and it may spend 1.5 s."),
    ('cost = "90s"', 'cost = "1e6s"', "would pay for more than 100,000 runs of 1 s."),
    (
        '["1s", "3s", "9s"]\nseeds = [41]',
        '["0.001s", "3s", "1e308s"]\nseeds = [41]',
        "The ladder of 10 is",
    ),
    (
        'matched_to = "asha"',
        'cost = "8s"',
        "the first batch of hyperband is 9 runs of 1 s: that is 9 s, and it may spend 8 s.",
    ),
    ("runs = 32\n", 'runs = 32\ncost = "90s"\n', "greedy has runs of one length: say in `runs` how many."),
    ("runs = 32\n", "", "`runs` is missing."),
    ("runs = 32\n", "runs = 32\nbatch = 4\n", "`batch` means nothing to greedy: it asks for one run at a time."),
    ('matched_to = "asha"', 'matched_to = "asha"\nbatch = 4', "its brackets follow from its budgets. Leave it out."),
    ("batch = 4", "batch = 1", "population needs two or more runs to choose among (got 1)."),
    ("batch = 4", "batch = 0", "`batch` must be a whole number from 1 on"),
    ("batch = 4", "size = 4", "unknown key `size`"),
    ("batch = 4", "eta = 4", "unknown key `eta`"),
    (
        'matched_to = "asha"',
        'matched_to = "asha"\ncost = "91s"',
        "must cost as much as what it is matched to: 91 s, but stage asha costs 90 s. Leave `cost` out.",
    ),
    ('matched_to = "asha"', 'matched_to = "ahsa"', "there is no stage 'ahsa' before this one"),
    ('matched_to = "asha"', 'matched_to = "bohb"', "does not come before this one. Move it up."),
    ('matched_to = "asha"', 'matched_to = "refine"', "what stage refine costs is known only when it is planned"),
    (
        'cost = "1000 steps"',
        'matched_to = "screen"',
        "stage screen is in seconds and this one is in steps.",
    ),
    ('matched_to = "screen"\nbudgets = ["6s"]', 'matched_to = "refine"\nbudgets = ["6s"]', "can be matched to it"),
    ("runs = 32\n", "runs = 33\n", "33 runs of 6 s, but stage screen has 32."),
    ("seeds = [81]", "seeds = [81, 82]", "a search takes one seed"),
    ("seeds = [81]", "seeds = [81]\nreruns = 2", "a search decides itself what it runs again."),
]


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES)
def test_a_mistake_is_told_at_its_stage(text, study_of, old, new, message):
    whole = text + SEARCHES
    assert whole.count(old) >= 1
    at = whole.index(old, len(text))
    spoiled = whole[:at] + new + whole[at + len(old) :]
    problems = told(study_of, spoiled)
    found = [problem for problem in problems if message in problem.message]
    assert found, [problem.message for problem in problems]
    first = spoiled[: spoiled.rfind("[[stages]]", 0, at)].count("\n") + 1
    assert first <= found[0].line <= first + 10


def test_a_greedy_search_may_be_matched_to_what_a_search_over_rungs_may_spend(text, study_of):
    after = SEARCHES + SEARCHES[: SEARCHES.index("[[stages]]", 20)].replace('"greedy"\nkind', '"again"\nkind').replace(
        'matched_to = "screen"\nbudgets = ["6s"]', 'matched_to = "population"\nbudgets = ["9s"]'
    )
    problems = told(study_of, text + after)
    assert [problem.message for problem in problems] == [
        "stage again: a baseline must cost as much as what it is matched to: stage population may spend 2 min, which "
        "is 13 runs of 9 s (got 32)."
    ]
    at = after.rindex("runs = 32")
    assert study_of(text + after[:at] + "runs = 13" + after[at + 9 :]).stage("again").search.runs == 13


def test_all_that_is_wrong_with_a_search_is_told_at_once(text, study_of):
    spoiled = SEARCHES.replace(
        'cost = "90s"\nbudgets = ["1s", "3s", "9s"]\nseeds = [41]',
        'cost = "90 steps"\nruns = 4\nbatch = 0\nbudgets = ["2s", "5s", "10s"]\nseeds = [1, 2]\nlevels = { Z = [0] }',
    )
    found = [p.message for p in told(study_of, text + spoiled) if p.message.startswith("stage asha")]
    for part in ("lengths", "`batch` must be", "The ladder of 2", "takes one seed", "coded levels by letter"):
        assert any(part in message for message in found), part


def test_a_batch_of_one_that_used_to_be_written_is_still_read(text, study_of):
    """Files that foldover scaled and wrote had `batch = 1` in every search."""
    whole = text + SEARCHES.replace("runs = 32\n", "runs = 32\nbatch = 1\n")
    assert study_of(whole).stage("greedy").search.batch == 1


ODD = """
    "asha" "halving" "greedy" "population" "screen" "refine" "" 0 -1 3 10000000000 1e400 nan true [] {} [7]
    "9s" "1e300s" "0.0000001s" "5steps" "1e300steps" ["1s"] ["1s","3s"] ["1s","1e308s"] ["0.00001s","1e308s"]
    ["1steps","2steps","3steps"] ["1s","3steps"] ["3s","1s"] ["1s",{}] ["1s",3] {C=[0,1]} {C=[1]} {Z=3}
    """


@given(st.lists(st.tuples(st.integers(0, 200), st.sampled_from(ODD.split())), min_size=1, max_size=4))
@settings(max_examples=200)
def test_a_spoiled_search_is_a_study_or_a_study_error(changes):
    """Whatever stands there; and a study has all of its stages."""
    lines = SEARCHES.splitlines()
    places = [i for i, line in enumerate(lines) if " = " in line]
    for place, odd in changes:
        at = places[place % len(places)]
        lines[at] = f"{lines[at].partition(' = ')[0]} = {odd}"
    try:
        study = GOOD[1](GOOD[0] + "\n".join(lines) + "\n")
    except StudyError:
        return
    assert len(study.stages) == 9
    assert GOOD[1](render(study)).stages == study.stages


GOOD: list = []


@pytest.fixture(autouse=True)
def _good(text, study_of):
    # hypothesis does not mix with fixtures that are made anew for each test.
    GOOD[:] = [text, study_of]
