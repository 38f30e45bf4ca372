"""A declared study changes on the record, and only where nothing rests on it."""

from __future__ import annotations

import json

import pytest

from foldover.core import UserError
from foldover.lab import amend, amendments, create, execute_next, open_session, report_document, run_study, verify


@pytest.fixture
def begun(small_study, settings, view, tmp_path):
    """A study whose screen has run."""
    session = create(small_study(), tmp_path / "s")
    execute_next(session, settings, view)
    return session.workspace.root


def test_a_stage_that_is_not_planned_may_change_with_time_and_reason(begun, small_study, settings, view):
    changed = small_study(("seeds = [11, 12, 13]", "seeds = [21, 22]"), name="changed.toml")
    with pytest.raises(UserError, match="foldover amend"):
        create(changed, begun)
    made = amend(changed, begun, reason="  two seeds are enough ")
    assert (made.reason, made.changed) == ("two seeds are enough", ("stage confirm", "stage refine"))
    assert [json.loads(line)["reason"] for line in (begun / "amendments.jsonl").read_text().splitlines()] == [
        made.reason
    ]
    assert "seeds = [11, 12, 13]" in (begun / "study-before-01.toml").read_text()
    session = open_session(begun)
    run_study(session, settings, view)
    seeds = {run.seed for plan in session.workspace.plans() if plan.stage != "screen" for run in plan.runs}
    assert seeds == {21, 22}
    assert (verify(session), amendments(begun)) == ((), (made,))
    (section,) = [s for s in report_document(session)["sections"] if s["name"] == "amendments"]
    assert section["claims"] == [
        f"After runs had begun, at {made.time}, stage confirm and stage refine changed: two seeds are enough."
    ]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("seeds = [1, 2]", "seeds = [1, 3]", "stage screen"),
        ("smallest_effect = 0.002", "smallest_effect = 0.02", "gate"),
        ("low = 6", "low = 7", "factors"),
        ('surface = "calibrated"', 'surface = "null"', "constants"),
    ],
)
def test_what_was_run_or_decided_cannot_be_amended(begun, small_study, old, new, what):
    before = (begun / "study.toml").read_text()
    with pytest.raises(UserError, match=what):
        amend(small_study((old, new), name="changed.toml"), begun, reason="because")
    assert (begun / "study.toml").read_text() == before
    assert not (begun / "amendments.jsonl").exists()


def test_an_amendment_needs_a_reason_and_a_change(begun, small_study):
    with pytest.raises(UserError, match="reason"):
        amend(small_study(("seeds = [11, 12, 13]", "seeds = [21, 22]"), name="changed.toml"), begun, reason=" ")
    with pytest.raises(UserError, match="nothing to amend"):
        amend(begun / "study.toml", begun, reason="because")
