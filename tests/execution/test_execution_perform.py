"""What a worker makes of one run; on the inline executor, which shares that code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from foldover.core import Outcome, RunSpec, Settings
from foldover.execution import InlineExecutor
from foldover.rundir import RunRoot, damage, read_ended

MakeSpec = Callable[..., RunSpec]
OutcomeOf = Callable[[RunSpec], Outcome]
SETTINGS = Settings()


def run(spec: RunSpec, root: Path) -> None:
    InlineExecutor(SETTINGS).run_all([spec], root, lambda path: None)


def test_finished_run_is_a_whole_folder(spec_of: MakeSpec, tmp_path: Path) -> None:
    spec = spec_of()
    run(spec, tmp_path)
    folder = RunRoot(tmp_path).folder(spec.run_id)
    ended = read_ended(folder)
    assert (ended.spec, ended.attempt, ended.outcome.status) == (spec, 1, "finished")
    assert damage(folder) == ()


def test_exception_becomes_failed_with_class_and_message(
    spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf
) -> None:
    spec = spec_of("raise")
    run(spec, tmp_path)
    outcome = outcome_of(spec)
    assert outcome.failure is not None
    assert outcome.status == "failed"
    assert outcome.failure.kind == "ZeroDivisionError"
    assert outcome.failure.message == "the loss went where no loss should go"
    assert dict(outcome.responses) == {}
    assert outcome.derived["width"] == 64


def test_failure_keeps_the_last_lines_of_the_traceback(
    spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf
) -> None:
    spec = spec_of("raise")
    run(spec, tmp_path)
    failure = outcome_of(spec).failure
    assert failure is not None
    lines = failure.trace.splitlines()
    assert lines[-1] == "ZeroDivisionError: the loss went where no loss should go"
    assert "fake_trainer.py" in failure.trace
    assert len(lines) <= 20


def test_traceback_is_in_the_log(spec_of: MakeSpec, tmp_path: Path) -> None:
    spec = spec_of("raise")
    run(spec, tmp_path)
    log = (RunRoot(tmp_path).folder(spec.run_id) / "log.txt").read_text()
    assert log.rstrip().endswith("ZeroDivisionError: the loss went where no loss should go")


@pytest.mark.parametrize(
    ("mode", "kind", "message"),
    [
        ("out_of_memory", "MemoryError", "MemoryError"),
        ("exit", "SystemExit", "3"),
        ("unresolvable", "RecipeError", "no such model can be built."),
        ("nothing", "TrainerError", "trainer `fake` did not return an Outcome."),
        ("another_run", "TrainerError", "trainer `fake` returned the outcome of another run (got '0000000000000000')"),
        ("no_response", "TrainerError", "trainer `fake` finished without its response `loss` (got [])"),
    ],
)
def test_failures_are_recorded(
    mode: str, kind: str, message: str, spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf
) -> None:
    spec = spec_of(mode)
    run(spec, tmp_path)
    failure = outcome_of(spec).failure
    assert failure is not None
    assert failure.kind == kind
    assert failure.message.startswith(message)


def test_unknown_trainer_is_a_recorded_failure(spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf) -> None:
    spec = spec_of(trainer="simulater")
    run(spec, tmp_path)
    failure = outcome_of(spec).failure
    assert failure is not None
    assert "Did you mean `simulator`?" in failure.message


def test_other_statuses_of_the_trainer_stand(spec_of: MakeSpec, tmp_path: Path, outcome_of: OutcomeOf) -> None:
    spec = spec_of("diverge")
    run(spec, tmp_path)
    assert outcome_of(spec).status == "diverged"


def test_output_stays_on_the_terminal_for_a_debugger(
    spec_of: MakeSpec, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    InlineExecutor(SETTINGS, is_captured=False).run_all([spec_of("raise")], tmp_path, lambda path: None)
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_quiet_run_has_an_empty_log(spec_of: MakeSpec, tmp_path: Path) -> None:
    spec = spec_of()
    run(spec, tmp_path)
    assert (RunRoot(tmp_path).folder(spec.run_id) / "log.txt").read_text() == ""


def test_log_is_nobody_elses_file_once_the_run_ended(spec_of: MakeSpec, tmp_path: Path) -> None:
    spec = spec_of("leave_writer")
    run(spec, tmp_path)
    folder = RunRoot(tmp_path).folder(spec.run_id)
    writer = int((folder / "writer.fd").read_text())
    try:
        with open(writer, "w") as late:
            late.write("too late\n")
    finally:
        assert damage(folder) == ()


def test_interrupt_leaves_a_partial_folder(spec_of: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fake_trainer

    def interrupt(spec: RunSpec, folder: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(fake_trainer.MODES, "ok", interrupt)
    spec = spec_of()
    with pytest.raises(KeyboardInterrupt):
        run(spec, tmp_path)
    assert not RunRoot(tmp_path).has_ended(spec.run_id)
    assert [path.name for path in RunRoot(tmp_path).partial()] == [spec.run_id]


def test_inline_runs_in_order_and_once(spec_of: MakeSpec, tmp_path: Path) -> None:
    specs = [spec_of(number=number) for number in (3, 1, 2)]
    ended: list[str] = []
    InlineExecutor(SETTINGS).run_all([*specs, specs[0]], tmp_path, lambda path: ended.append(path.name))
    assert ended == [spec.run_id for spec in specs]
    InlineExecutor(SETTINGS).run_all(specs, tmp_path, lambda path: ended.append(path.name))
    assert len(ended) == 3


def test_inline_reports_progress(spec_of: MakeSpec, tmp_path: Path) -> None:
    seen: list[tuple[int, int, object]] = []
    executor = InlineExecutor(SETTINGS, on_progress=lambda p: seen.append((p.ended, p.planned, p.by_status)))
    executor.run_all([spec_of(), spec_of("raise")], tmp_path, lambda path: None)
    assert seen == [(1, 2, (("finished", 1),)), (2, 2, (("failed", 1), ("finished", 1)))]
