"""Ending a run in the name of a dead worker."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from foldover.core import Outcome, RunSpec
from foldover.rundir import RunFolder, RunRoot, damage, read_ended

MakeSpec = Callable[..., RunSpec]


def outcome(spec: RunSpec) -> Outcome:
    return Outcome(run_id=spec.run_id, status="timeout", started="2026-01-01", finished="2026-01-01")


def test_folder_is_given_as_it_was_left(spec_of: MakeSpec, tmp_path: Path) -> None:
    root, spec = RunRoot(tmp_path), spec_of()
    left = RunFolder(root.partial_folder(spec.run_id), spec, attempt=2)
    left.begin()
    (left.path / "curve.jsonl").write_text('{"step":1}\n')
    with root.take_over(spec) as folder:
        assert folder is not None
        root.finish(folder, outcome(spec))
    ended = read_ended(root.folder(spec.run_id))
    assert (ended.attempt, ended.outcome.status, len(ended.curve)) == (2, "timeout", 1)
    assert damage(root.folder(spec.run_id)) == ()
    assert root.lost() == ()


def test_fresh_folder_where_none_was_left(spec_of: MakeSpec, tmp_path: Path) -> None:
    root, spec = RunRoot(tmp_path), spec_of()
    with root.take_over(spec) as folder:
        assert folder is not None
        root.finish(folder, outcome(spec))
    assert read_ended(root.folder(spec.run_id)).attempt == 1


def test_sealed_folder_is_the_runs_end(spec_of: MakeSpec, tmp_path: Path) -> None:
    root, spec = RunRoot(tmp_path), spec_of()
    left = RunFolder(root.partial_folder(spec.run_id), spec, attempt=1)
    left.begin()
    left.seal(outcome(spec))
    with root.take_over(spec) as folder:
        assert folder is None
    assert root.has_ended(spec.run_id)


def test_run_that_is_at_work_is_not_taken(spec_of: MakeSpec, tmp_path: Path) -> None:
    root, spec = RunRoot(tmp_path), spec_of()
    with root.claim(spec), pytest.raises(TimeoutError), root.take_over(spec, timeout=0.0):
        pass


def test_claim_gives_up_after_its_timeout(spec_of: MakeSpec, tmp_path: Path) -> None:
    root, spec = RunRoot(tmp_path), spec_of()
    with root.claim(spec), pytest.raises(TimeoutError), root.claim(spec, timeout=0.0):
        pass
