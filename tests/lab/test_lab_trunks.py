"""Studies whose runs share training, from the file to the report."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldover.cli.plan_text import plan_text
from foldover.core import RunRecord, Settings, digest
from foldover.lab import (
    Session,
    analyse,
    check,
    create,
    execute,
    open_session,
    outline,
    plan_next,
    report_document,
    run_study,
    status,
)
from foldover.lab import verify as verify_study
from foldover.ledger import Ledger, manifest
from foldover.report import render_text
from foldover.rundir import read_json_lines

HERE = Path(__file__).parent

EXPORTS = """\
[study]
name = "exports"
question = "What is lost after training?"
trainer = "sharing"

[constants]
noise = 0.02

[factors.A]
lever = "rate"
low = 0.05
high = 0.2

[factors.B]
lever = "decay"
low = 0.0
high = 0.1

[factors.C]
lever = "bits"
low = 3
high = 12

[factors.D]
lever = "stride"
low = 0
high = 1

[[stages]]
name = "screen"
kind = "screen"
runs = 16
budgets = ["10 steps", "20 steps"]
seeds = [1, 2, 3]
"""

BRANCHES = """\
[study]
name = "branches"
question = "What do short budgets tell of long ones?"
trainer = "sharing"

[factors.A]
lever = "rate"
low = 0.05
high = 0.2

[factors.B]
lever = "decay"
low = 0.0
high = 0.1

[[stages]]
name = "screen"
kind = "screen"
runs = 4
budgets = ["10 steps", "20 steps", "40 steps"]
seeds = [1, 2]
branch = "warmdown"
"""


@pytest.fixture(scope="module", autouse=True)
def sharing_trainer() -> Iterator[None]:
    """Registers it, in this process and in the workers it starts."""
    with pytest.MonkeyPatch.context() as patch:
        path = os.environ.get("PYTHONPATH")
        patch.setenv("PYTHONPATH", f"{HERE}{os.pathsep}{path}" if path else str(HERE))
        patch.setenv("FOLDOVER_TRAINERS", "sharing=sharing_trainer:SharingTrainer")
        patch.syspath_prepend(HERE)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Session]:
    """Runs the study of a text in a folder of its own."""

    def run_text(text: str) -> Session:
        folder = tmp_path_factory.mktemp("trunks")
        (folder / "study.toml").write_text(text)
        session = create(folder / "study.toml", folder / "run")
        run_study(session, Settings(jobs=2))
        return session

    return run_text


@pytest.fixture(scope="module")
def exports(run: Callable[[str], Session]) -> Session:
    return run(EXPORTS)


@pytest.fixture(scope="module")
def document(exports: Session) -> dict[str, Any]:
    return report_document(exports)


def records_of(session: Session) -> tuple[RunRecord, ...]:
    with session.ledger(read_only=True) as ledger:
        return ledger.records()


def trained_steps(session: Session) -> int:
    folders = session.workspace.runs.ended()
    return sum(len(read_json_lines(folder / "curve.jsonl")) for folder in folders)


def test_what_is_varied_after_training_costs_no_training(exports):
    records = records_of(exports)
    assert Counter(r.spec.is_trunk for r in records) == {False: 16 * 2 * 3, True: 4 * 2 * 3}
    assert {r.outcome.status for r in records} == {"finished"}
    # Four trainings of 10 and of 20 steps under each of three seeds.
    assert trained_steps(exports) == 4 * 3 * (10 + 20)


def test_time_left_counts_training_once(tmp_path):
    (tmp_path / "study.toml").write_text(EXPORTS)
    session, seen = create(tmp_path / "study.toml", tmp_path / "run"), []
    plan_next(session)
    with session.workspace.hold():
        execute(session, Settings(jobs=1), on_progress=seen.append)
    # The trainer says a second a step and one more: 12 trainings of 10 and of 20 steps, 96 runs without a step.
    assert seen[0].seconds_left == pytest.approx(12 * 11 + 12 * 21 + 96 * 1)


def test_trunks_are_compared_with_nothing(exports, document):
    packages = {package["name"]: package["role"] for package in document["packages"]}
    assert packages == {
        "screen @ 10 steps": "compared",
        "screen @ 20 steps": "compared",
        "screen trained @ 10 steps": "trunk",
        "screen trained @ 20 steps": "trunk",
    }
    assert {row["package"] for row in document["conditions"]} == {"screen @ 10 steps", "screen @ 20 steps"}
    assert {effect["package"] for effect in document["effects"]} == {"screen @ 10 steps", "screen @ 20 steps"}
    assert all("left out" not in note for effect in document["effects"] for note in effect["notes"])


def contrast(records: list[RunRecord], factor: int) -> tuple[float, float, int]:
    """Effect, its standard error and degrees of freedom, by plain sums over four trainings and three seeds.

    Training factors: 12 means of four runs, fitted by mean, three-level seed and A, B. Others: within each training.
    """
    y = {(r.spec.levels, r.spec.seed): r.outcome.responses.number("loss") for r in records}
    plots: dict[tuple[float, float, int], list[tuple[tuple[float, ...], float]]] = {}
    for (levels, seed), value in y.items():
        plots.setdefault((levels[0], levels[1], seed), []).append((levels, value))
    if factor < 2:
        rows = [(a, b, seed, np.mean([v for _, v in runs])) for (a, b, seed), runs in plots.items()]
        X = np.array([[1, a, b, seed == 2, seed == 3] for a, b, seed, _ in rows], dtype=float)
        means, column = np.array([row[3] for row in rows]), 1 + factor
    else:
        deviations = [(lv, v - np.mean([x for _, x in runs])) for runs in plots.values() for lv, v in runs]
        X = np.array([[lv[2], lv[3]] for lv, _ in deviations])
        means, column = np.array([d for _, d in deviations]), factor - 2
    coefficients, *_ = np.linalg.lstsq(X, means, rcond=None)
    df = len(means) - X.shape[1] - (0 if factor < 2 else len(plots))
    variance = np.sum((means - X @ coefficients) ** 2) / df
    error = np.sqrt(variance * np.linalg.inv(X.T @ X)[column, column])
    return 2 * coefficients[column], 2 * error, df


@pytest.mark.parametrize("budget", ["10 steps", "20 steps"])
def test_each_factor_is_judged_by_the_error_of_its_stratum(exports, document, budget):
    records = [r for r in records_of(exports) if r.spec.package == f"screen @ {budget}"]
    effects = {e["term"]: e for e in document["effects"] if e["budget"] == budget}
    for i, letter in enumerate("ABCD"):
        estimate, error, df = contrast(records, i)
        assert (effects[letter]["estimate"], effects[letter]["se"], effects[letter]["df"]) == pytest.approx(
            (estimate, error, df), rel=1e-6
        )
        stratum = "whole-plot stratum (12 whole plots)" if letter in "AB" else "sub-plot stratum"
        assert stratum in effects[letter]["notes"]
        assert effects[letter]["method"] == "split_plot"
        assert effects[letter]["q"] is not None
    assert effects["A"]["se"] > 3 * effects["C"]["se"]


def test_the_report_says_how_many_trainings_carry_the_runs(exports, document):
    assert (document["totals"]["trained"], document["totals"]["continued"]) == (24, 96)
    sentence = "24 runs trained from the first step; 96 began with the state of another"
    assert sentence in " ".join(render_text(document).split())
    assert sentence in exports.workspace.report_html.read_text()
    # 12 trainings of each budget, counted once though 4 runs each report them.
    assert document["totals"]["training_seconds"] == 12 * (10.0 + 20.0)


def test_lineage_is_in_the_report_the_ledger_and_the_status(exports, document):
    specs = {r.spec.run_id: r.spec for r in records_of(exports)}
    assert {run["run_id"]: run["starts_from"] for run in document["runs"]} == {
        run_id: spec.starts_from for run_id, spec in specs.items()
    }
    with sqlite3.connect(exports.workspace.ledger_path) as connection:
        rows = connection.execute("SELECT run_id, starts_from, role FROM runs").fetchall()
    connection.close()
    assert {(run_id, origin) for run_id, origin, _ in rows} == {(i, s.starts_from) for i, s in specs.items()}
    assert Counter(role for *_, role in rows) == {"compared": 96, "trunk": 24}
    with Ledger.open(exports.workspace.ledger_path, read_only=True) as ledger:
        assert [(a.role, a.continued) for a in manifest(ledger)] == [("compared", 48)] * 2 + [("trunk", 0)] * 2
    assert [(row.role, row.continued) for row in status(exports)] == [("compared", 48)] * 2 + [("trunk", 0)] * 2


def test_all_of_it_agrees_and_a_second_call_does_nothing(exports):
    before = sorted(path.name for path in exports.workspace.runs.ended())
    assert verify_study(exports) == ()
    run_study(open_session(exports.workspace.root), Settings(jobs=2))
    assert sorted(path.name for path in exports.workspace.runs.ended()) == before
    assert trained_steps(exports) == 4 * 3 * (10 + 20)


def test_the_plan_tells_trainings_and_what_begins_with_them(exports):
    found = outline(check(exports.workspace.study_path), jobs=2)
    (stage,) = found.stages
    assert (stage.cost.runs, stage.cost.trunks, stage.cost.continued) == (120, 24, 96)
    # A training takes its steps and 1 s, by the trainer's estimate; what begins with it 1 s.
    assert stage.cost.slot_seconds == 12 * (11.0 + 21.0) + 96 * 1.0
    text = plan_text(found)
    assert "= 96 runs, 96 of them from a state, and 24 that train it" in text
    assert "trained-01 (10 steps, under each of 3 seeds) keeps its state at 10 steps for: c01 @ 10 steps," in text
    assert "note: 24 trainings for 96 runs" in text


def test_the_method_per_seed_tells_the_strata_apart_by_itself(run):
    session = run(EXPORTS + '\n[decision]\nmethod = "per_seed"\n')
    assert {effect.method for effect in analyse(session).effects} == {"per_seed"}


def test_where_each_seed_has_one_training_the_trainings_are_the_blocks(run):
    text = EXPORTS
    for letter, following in (("A", "B"), ("B", "C")):
        head, _, rest = text.partition(f"[factors.{letter}]")
        text = head + rest[rest.index(f"[factors.{following}]") :]
    session = run(text.replace("runs = 16", "runs = 4"))
    effects = analyse(session).effects
    # Three trainings of four runs each: 12 values less 3 levels and 2 effects.
    assert {(e.term, e.df, e.method) for e in effects} == {("C", 7.0, "split_plot"), ("D", 7.0, "split_plot")}
    assert report_document(session)["totals"]["trained"] == 3 * 2


def test_failed_training_ends_what_waits_for_it_once_and_the_study_goes_on(run):
    session = run(
        EXPORTS.replace('lever = "decay"\nlow = 0.0\nhigh = 0.1', 'lever = "fails"\nlow = false\nhigh = true')
    )
    records = records_of(session)
    failed = [r for r in records if r.outcome.failure is not None]
    kinds = Counter((r.spec.is_trunk, r.outcome.failure.kind) for r in failed if r.outcome.failure)
    assert kinds == {(True, "ZeroDivisionError"): 2 * 2 * 3, (False, "trunk_failed"): 8 * 2 * 3}
    assert {r.spec.levels[1] for r in failed if not r.spec.is_trunk} == {1.0}
    before = digest([r.outcome for r in records])
    run_study(open_session(session.workspace.root), Settings(jobs=2))
    assert digest([r.outcome for r in records_of(session)]) == before
    assert any("no effects" in note for note in analyse(session).notes)


def test_branched_warmdowns_give_what_straight_runs_give_for_less(run):
    branched, straight = run(BRANCHES), run(BRANCHES.replace('branch = "warmdown"\n', ""))

    def found(session: Session) -> dict[tuple[str, str, int], float]:
        return {
            (r.spec.condition, r.spec.budget.label(), r.spec.seed): r.outcome.responses.number("loss")
            for r in records_of(session)
            if not r.spec.is_trunk
        }

    assert found(branched) == found(straight)
    assert trained_steps(straight) == 4 * 2 * (10 + 20 + 40)
    assert trained_steps(branched) == 4 * 2 * (20 + 5 + 10 + 20)
    (plan,) = branched.workspace.plans()
    assert plan.notes[0] == "8 trunks at constant rates for 24 runs: 440 steps of training instead of 560 (21% less)"
    # Each trunk has one run a package: the effects are those of straight runs, to the bit.
    first, second = ({(e.term, e.budget): e.estimate for e in analyse(s).effects} for s in (branched, straight))
    assert first == second
    assert {effect.method for effect in analyse(branched).effects} == {"paper"}
