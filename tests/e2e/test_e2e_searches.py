"""Searches over rungs, killed in the middle: every run ends once, and the study ends as if nothing had happened."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from foldover.core import Settings
from foldover.lab import create, open_session, run_study

SHIPPED = Path(__file__).parents[2] / "studies" / "searches.toml"
PACE = 0.0002
KEPT = ("asha", "bohb")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Two of the shipped searches and nothing else, each for 45 minutes of training."""
    text = SHIPPED.read_text(encoding="utf-8")
    stages = {block.split('"')[1]: block for block in text.split("[[stages]]\n")[1:]}
    whole = text[: text.index("# 16 conditions")].replace('"calibrated"\n', f'"calibrated"\npace = {PACE}\n')
    for name in KEPT:
        whole += "[[stages]]\n" + stages[name].replace('matched_to = "screen"', 'cost = "45min"')
    path = tmp_path / "small.toml"
    path.write_text(whole, encoding="utf-8")
    return path


def test_searches_that_are_killed_go_on_and_end_the_same(start, foldover, folder, small, until, tmp_path):
    whole = create(small, tmp_path / "whole")
    run_study(whole, Settings(jobs=2))
    total = sum(len(plan.runs) for plan in whole.workspace.plans())
    killed = 0
    for goal in (total // 4, total // 2):
        process = start("run", small, "--dir", folder.root, "--jobs", "2", "--quiet")
        until(lambda goal=goal, process=process: len(folder.runs.ended()) >= goal or process.poll() is not None)
        process.kill()
        killed += process.wait() == -signal.SIGKILL
    assert killed, "all calls ended by themselves: nothing was tested"
    code, _, err = foldover("run", small, "--dir", folder.root, "--jobs", "2", "--quiet")
    assert code == 0, err
    folder.assert_whole()
    again = open_session(folder.root)
    assert again.workspace.plans() == whole.workspace.plans()
    responses = [
        {record.spec.run_id: record.outcome.responses for record in records}
        for records in (folder.records()[0], read(whole))
    ]
    assert responses[0] == responses[1]
    code, out, _ = foldover("verify", folder.root)
    assert (code, out.strip()) == (0, "run folders, ledger, decisions and report agree")


def read(session):
    with session.ledger(read_only=True) as ledger:
        return ledger.records()
