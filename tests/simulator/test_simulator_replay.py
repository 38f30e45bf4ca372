"""The trainer that answers from recorded runs."""

import pytest

from foldover.core import Budget, DataError, Limit, Recipe, RecipeError, RunSpec, Settings, TrainerError, Values
from foldover.rundir import RunRoot, read_ended
from foldover.simulator import ReplayTrainer

TEXT = """A,B,host,budget,seed,status,val_bpb
-1,-1,windows,5min,1,finished,1.25
-1,-1,windows,5min,2,finished,1.26
-1,-1,windows,600s,1,finished,1.05
1,-1,windows,5min,1,failed,
1,-1,linux,5min,1,finished,1.5
"""


def replay(text=TEXT):
    return ReplayTrainer(text, constants=["host"])


def run(trainer, path, *, budget="5min", seed=1, host="windows", **levels):
    spec = RunSpec(
        study="s",
        stage="x",
        package="p",
        condition="c01",
        levels=(),
        recipe=Recipe(trainer="replay", values=trainer.levers.complete(levels)),
        budget=Budget(limit=Limit.parse(budget)),
        seed=seed,
        constants=Values(host=host),
    )
    root = RunRoot(path)
    with root.claim(spec) as folder:
        return read_ended(root.finish(folder, trainer.train(spec, folder, Settings()))).outcome


def test_run_has_the_recorded_response(tmp_path):
    assert run(replay(), tmp_path, A=-1, B=-1, seed=2).responses == Values(val_bpb=1.26)


def test_budget_is_compared_as_an_amount_not_as_text(tmp_path):
    assert run(replay(), tmp_path, A=-1, B=-1, budget="10min").responses == Values(val_bpb=1.05)


def test_constant_columns_tell_runs_apart(tmp_path):
    assert run(replay(), tmp_path, A=1, B=-1, host="linux").responses == Values(val_bpb=1.5)


def test_recorded_failure_is_a_failure_again(tmp_path):
    outcome = run(replay(), tmp_path, A=1, B=-1)
    assert (outcome.status, outcome.responses) == ("failed", Values())
    assert "line 5" in outcome.failure.message


def test_outcome_is_marked_as_told_by_others(tmp_path):
    assert run(replay(), tmp_path, A=-1, B=-1).measured_by == "self_reported"


def test_levers_are_the_other_columns_with_the_recorded_range():
    levers = replay().levers
    assert [(lever.name, lever.kind, lever.low, lever.high) for lever in levers.values()] == [
        ("A", "int", -1, 1),
        ("B", "int", -1, -1),
    ]


def test_levers_may_be_numbers_and_words():
    trainer = ReplayTrainer("lr,norm,budget,seed,val_bpb\n0.03,rms,5min,1,1.2\n0.05,layer,5min,1,1.3\n")
    assert [lever.kind for lever in trainer.levers.values()] == ["float", "choice"]


def test_unknown_recipe_is_refused_at_planning_with_the_nearest():
    trainer = replay("A,B,host,budget,seed,val_bpb\n-1,-1,w,5min,1,1\n1,1,w,5min,1,1\n1,0,w,5min,1,1\n")
    with pytest.raises(RecipeError, match=r"nearest recorded one is \{'A': -1, 'B': -1\}"):
        trainer.resolve(Recipe(trainer="replay", values=Values(A=-1, B=0)))


def test_unknown_seed_is_refused_with_the_recorded_ones(tmp_path):
    with pytest.raises(TrainerError, match="recorded are 1, 2"):
        run(replay(), tmp_path, A=-1, B=-1, seed=3)


def test_unknown_budget_is_refused_with_the_recorded_ones(tmp_path):
    with pytest.raises(TrainerError, match="recorded are 10 min, 5 min"):
        run(replay(), tmp_path, A=-1, B=-1, budget="1h")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lacks columns"),
        ("A,budget,val_bpb\n1,5min,1\n", "lacks columns"),
        ("A,A,budget,seed,val_bpb\n1,1,5min,1,1\n", "repeats"),
        ("A,budget,seed,val_bpb\n", "no row"),
        ("budget,seed,val_bpb\n5min,1,1\n", "no column that is a lever"),
        ("A,budget,seed,val_bpb\n1,5min,1\n", "line 2: not one cell a column"),
        ("A,budget,seed,val_bpb\n1,5min,1,1,1\n", "line 2: not one cell a column"),
        ("A,budget,seed,val_bpb\n,5min,1,1\n", "`A` has an empty cell"),
        ("A,budget,seed,val_bpb\n1,5min,1,much\n", "line 2: `val_bpb` is not a finite number"),
        ("A,budget,seed,val_bpb\n1,5min,1,nan\n", "line 2: `val_bpb` is not a finite number"),
        ("A,budget,seed,val_bpb\ninf,5min,1,1\n", "`A` has a level that is not finite"),
        ("A,budget,seed,val_bpb\n1,5min,1.5,1\n", "line 2: `seed` is not a whole number"),
        ("A,budget,seed,val_bpb\n1,soon,1,1\n", "line 2: a budget is not readable"),
        ("A,budget,seed,val_bpb\n1,5min,1,\n", "line 2: a finished run has an empty response"),
        ("A,budget,seed,status,val_bpb\n1,5min,1,crash,\n", "line 2: unknown status"),
        ("A,budget,seed,val_bpb\n1,5min,1,1\n1,300s,1,2\n", "lines 2 and 3"),
    ],
)
def test_text_that_is_no_table_of_runs_is_refused(text, message):
    with pytest.raises(DataError, match=message):
        ReplayTrainer(text)
