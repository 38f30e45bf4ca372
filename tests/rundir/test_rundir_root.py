"""Which runs ended, which are at work, which were lost; at whatever moment somebody died."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys

import pytest

from foldover.core import Outcome, to_json
from foldover.rundir import RunFolder, damage, read_ended


def lost_outcome(spec):
    return Outcome(run_id=spec.run_id, status="lost", started="2026-01-01T00:00:00", finished="2026-01-01T00:00:01")


def test_a_fresh_folder_has_no_runs(root):
    assert (root.ended(), root.lost(), root.partial()) == ((), (), ())


def test_a_finished_run_lies_under_its_id(root, ended, spec):
    assert root.ended() == (ended,) == (root.folder(spec.run_id),)
    assert root.has_ended(spec.run_id)
    assert root.partial() == ()


def test_a_run_at_work_has_not_ended(root, spec):
    with root.claim(spec) as folder:
        assert not root.has_ended(spec.run_id)
        assert root.partial() == (folder.path,)


def test_a_run_that_ended_is_not_claimed_again(root, ended, spec):
    with root.claim(spec) as folder:
        assert folder is None


def test_what_a_dead_worker_left_is_kept_and_the_run_begins_again(root, begun, spec):
    with root.claim(spec) as folder:
        assert folder.attempt == 2
        assert not (folder.path / "curve.jsonl").exists()
    (lost,) = root.lost()
    assert lost.name == f"{spec.run_id}-1"


def test_a_lost_attempt_is_sealed_with_its_status(root, begun, spec):
    assert root.put_aside_dead() == (spec.run_id,)
    (lost,) = root.lost()
    run = read_ended(lost)
    assert (run.outcome.status, run.attempt, run.curve) == ("lost", 1, ({"loss": 4.0, "step": 0},))
    assert damage(lost) == ()


def test_a_run_that_somebody_holds_is_not_put_aside(root, spec):
    with root.claim(spec) as folder:
        assert root.put_aside_dead() == ()
        assert folder.path.is_dir()


def test_a_run_that_somebody_holds_is_waited_for_no_longer_than_asked(root, spec):
    with root.claim(spec), pytest.raises(TimeoutError), root.claim(spec, timeout=0.01):
        pass


def test_a_run_sealed_before_its_worker_died_is_whole(root, begun, spec, outcome):
    RunFolder(begun, spec, 1).seal(outcome)
    with root.claim(spec) as folder:
        assert folder is None
    assert read_ended(root.folder(spec.run_id)).outcome == outcome
    assert root.lost() == ()


def test_a_sealed_run_that_was_damaged_is_lost(root, begun, spec, outcome):
    RunFolder(begun, spec, 1).seal(outcome)
    (begun / "curve.jsonl").write_text("")
    assert root.put_aside_dead() == (spec.run_id,)
    assert not root.has_ended(spec.run_id)
    assert read_ended(root.lost()[0]).outcome.status == "lost"


def test_a_lost_attempt_whose_finder_died_before_the_rename_is_still_lost(root, begun, spec):
    RunFolder(begun, spec, 1).seal(lost_outcome(spec))
    assert root.put_aside_dead() == (spec.run_id,)
    assert not root.has_ended(spec.run_id)
    assert [path.name for path in root.lost()] == [f"{spec.run_id}-1"]


def test_a_worker_that_died_before_it_wrote_its_spec_left_nothing(root, spec):
    root.partial_folder(spec.run_id).mkdir(parents=True)
    with root.claim(spec) as folder:
        assert folder.attempt == 1
    assert root.lost() == ()


@pytest.mark.parametrize("content", ["", '{"version": 1'])
def test_a_spec_cut_short_does_not_block_the_run(root, begun, spec, content):
    (begun / "spec.json").write_text(content)
    with root.claim(spec) as folder:
        assert folder.attempt == 1


def test_attempts_are_numbered_on_when_a_lost_folder_was_moved_away(root, spec):
    for _ in range(2):
        with root.claim(spec):
            pass
    with root.claim(spec) as folder:
        assert folder.attempt == 3
    shutil.rmtree(root.lost()[0])
    with root.claim(spec) as folder:
        assert folder.attempt == 4
    assert [path.name[-2:] for path in root.lost()] == ["-2", "-3"]


def test_taking_over_gives_the_folder_as_the_dead_worker_left_it(root, begun, spec, outcome):
    with root.take_over(spec) as folder:
        assert (folder.path, folder.attempt) == (begun, 1)
        path = root.finish(folder, outcome)
    assert read_ended(path).curve == ({"loss": 4.0, "step": 0},)


def test_taking_over_what_was_never_begun_gives_a_fresh_folder(root, spec):
    with root.take_over(spec) as folder:
        assert folder.attempt == 1
        assert (folder.path / "spec.json").exists()


def test_taking_over_a_run_that_ended_gives_nothing(root, ended, spec):
    with root.take_over(spec) as folder:
        assert folder is None


def test_taking_over_a_folder_without_a_readable_spec_gives_a_fresh_one(root, begun, spec):
    (begun / "spec.json").write_text("{")
    with root.take_over(spec) as folder:
        assert not (folder.path / "curve.jsonl").exists()


KILLED_AT_WORK = """
import os, sys
from pathlib import Path
from foldover.core import RunSpec, from_json
from foldover.rundir import RunRoot
with RunRoot(Path(sys.argv[1])).claim(from_json(RunSpec, sys.argv[2])) as folder:
    folder.add_to_curve(step=0, loss=4.0)
    os.kill(os.getpid(), 9)
"""


def test_the_lock_of_a_killed_worker_is_free_and_its_lines_are_kept(root, spec):
    command = [sys.executable, "-c", KILLED_AT_WORK, str(root.path.parent), to_json(spec)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert root.put_aside_dead() == (spec.run_id,)
    assert read_ended(root.lost()[0]).curve == ({"loss": 4.0, "step": 0},)
