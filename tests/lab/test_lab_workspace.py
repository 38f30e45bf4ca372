"""The folder of a study: locked to its study, held by one process, facts written once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from foldover.core import LedgerError, StudyError, UserError
from foldover.lab import StageDecision, Workspace, check, create, open_session, outline, plan_next

HOLD = """
import sys
from pathlib import Path
from foldover.lab import Workspace
with Workspace(Path(sys.argv[1])).hold():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_new_folder_takes_the_study_file_as_it_was_written(quick_path, tmp_path):
    session = create(quick_path, tmp_path / "deep" / "new")
    assert session.workspace.study_path.read_text() == quick_path.read_text()


def test_the_same_study_is_accepted_again(small_study, tmp_path):
    path = small_study()
    assert create(path, tmp_path / "s").study == create(path, tmp_path / "s").study


def test_comments_and_layout_may_change(small_study, tmp_path):
    create(small_study(), tmp_path / "s")
    other = small_study(('name = "quick"', '# a remark\nname    =   "quick"'))
    assert create(other, tmp_path / "s").study.name == "quick"


def test_the_text_that_was_declared_first_stays(small_study, tmp_path):
    first = create(small_study(), tmp_path / "s").workspace.study_path.read_text()
    create(small_study(('name = "quick"', '# a remark\nname = "quick"')), tmp_path / "s")
    assert (tmp_path / "s" / "study.toml").read_text() == first


@pytest.mark.parametrize(
    "change",
    [
        ("low = 6", "low = 7"),
        ("seeds = [1, 2]", "seeds = [1, 2, 3]"),
        ("q = 0.05", "q = 0.10"),
        ("smallest_effect = 0.002", "smallest_effect = 0.0"),
        ('surface = "calibrated"', 'surface = "linear"'),
        ("seed = 2026", "seed = 2027"),
    ],
)
def test_another_study_in_the_same_folder_is_refused(small_study, tmp_path, change):
    create(small_study(), tmp_path / "s")
    with pytest.raises(UserError, match=r"holds the study as it was declared.*use another --dir") as caught:
        create(small_study(change, name="other.toml"), tmp_path / "s")
    assert caught.value.exit_code == 2


def test_a_refused_study_changes_nothing(small_study, tmp_path):
    create(small_study(), tmp_path / "s")
    before = (tmp_path / "s" / "study.toml").read_bytes()
    with pytest.raises(UserError):
        create(small_study(("low = 6", "low = 7")), tmp_path / "s")
    assert (tmp_path / "s" / "study.toml").read_bytes() == before


def test_a_faulty_study_makes_no_folder(small_study, tmp_path):
    with pytest.raises(StudyError):
        create(small_study(("low = 6", "low = 99")), tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_folder_without_a_study_says_how_to_start_one(tmp_path):
    with pytest.raises(
        UserError, match=r"is not the folder of a study\. Start one with `foldover run STUDY --dir DIR`"
    ):
        open_session(tmp_path)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_study_file_that_cannot_be_read_is_the_users_error(tmp_path, content):
    path = tmp_path / "study.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"the study file .* cannot be read"):
        check(path)


def test_a_second_process_is_refused_while_one_holds(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="another foldover is at work in"), Workspace(tmp_path).hold():
            pass
        other.communicate("")


def test_a_folder_is_free_again_after_its_holder_was_killed(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        other.kill()
    with Workspace(tmp_path).hold():
        pass


def test_a_timeout_of_the_work_itself_is_not_taken_for_a_held_folder(tmp_path):
    with pytest.raises(TimeoutError, match="of the work"), Workspace(tmp_path).hold():
        raise TimeoutError("of the work")


def test_a_stage_is_planned_once(small_study, tmp_path):
    session = create(small_study(), tmp_path / "s")
    plan = plan_next(session)
    with pytest.raises(LedgerError, match="stage screen has a file in plans already"):
        session.workspace.save_plan(plan)


def test_a_plan_is_read_back_as_it_was_written(small_study, tmp_path):
    session = create(small_study(), tmp_path / "s")
    plan = plan_next(session)
    assert session.workspace.plans() == (plan,)


def test_decisions_are_read_back_in_the_order_of_the_stages(tmp_path):
    workspace = Workspace(tmp_path)
    made = [StageDecision(stage=stage, verdicts=(), evidence="e", version="1") for stage in ("z", "a-b", "m")]
    for decision in made:
        workspace.save_decision(decision)
    assert workspace.decisions() == tuple(made)


def test_a_damaged_plan_is_a_ledger_error(small_study, tmp_path):
    session = create(small_study(), tmp_path / "s")
    plan_next(session)
    (path,) = (tmp_path / "s" / "plans").iterdir()
    path.write_text(path.read_text()[:-20])
    with pytest.raises(LedgerError, match="not JSON"):
        session.workspace.plans()


def test_an_outline_bounds_what_the_study_will_run(quick_study, finished):
    bound = outline(quick_study, jobs=2)
    planned = sum(len(plan.runs) for plan in open_session(finished).workspace.plans())
    assert planned <= bound.total_runs


def test_the_outline_of_a_screen_is_exact(quick_study, finished):
    (screen, *_) = outline(quick_study, jobs=2).stages
    (plan, *_) = open_session(finished).workspace.plans()
    assert (screen.cost.runs, screen.is_upper, screen.design) == (len(plan.runs), False, plan.design)


def test_an_outline_names_rows_that_resolve_to_the_same_run(quick_path, tmp_path):
    # Aspects 48 and 60 give one width at depth 6, and two at the baseline's depth 8.
    path = tmp_path / "s.toml"
    text = quick_path.read_text().replace("high = 72", "high = 60")
    path.write_text(text.replace('design = "2^(5-1)"\ngenerators = ["E=ABCD"]', 'design = "2^5"'))
    (screen, *_) = outline(check(path), jobs=2).stages
    pairs = {row.label: row.same_as for row in screen.conditions if row.same_as}
    assert pairs == {f"c{i + 8:02d}": f"c{i:02d}" for i in range(1, 9)}


def test_a_factor_whose_levels_give_the_same_run_is_a_problem_of_the_file(quick_path, tmp_path):
    path = tmp_path / "s.toml"
    path.write_text(quick_path.read_text().replace("low = 48\nhigh = 72", "low = 50\nhigh = 60"))
    with pytest.raises(StudyError, match="give the same run"):
        check(path)
