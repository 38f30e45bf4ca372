"""The published program whole: every package, every count, and nothing left to do the second time."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from foldover.core import Settings
from foldover.lab import Session, check, create, open_session, outline, report_document, run_study, verify
from foldover.lab.replication import predicted_power, repeat_study
from foldover.report.formats import files_of

STAGED = Path(__file__).parents[2] / "studies" / "staged-screening.toml"
PUBLISHED = Path(__file__).parents[1] / "stats" / "paper_tables.json"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    root = tmp_path_factory.mktemp("staged") / "study"
    run_study(create(STAGED, root), Settings(jobs=2))
    return open_session(root)


def table_1() -> list[list[object]]:
    return json.loads(PUBLISHED.read_text(encoding="utf-8"))["tables"]["t01_run_accounting"]["rows"]


def minutes(session: Session, package: str) -> list[float]:
    stages = [stage for stage in session.study.stages if stage.accounted_as == package]
    return sorted({budget.limit.amount / 60 for stage in stages for budget in stage.budgets})


def test_packages_hosts_budgets_and_rows_are_those_of_the_published_table(session):
    study, runs = session.study, [run for plan in session.workspace.plans() for run in plan.runs]
    package_of = {stage.name: stage.accounted_as for stage in study.stages}
    counts = Counter(package_of[run.stage] for run in runs)
    hosts = {package_of[run.stage]: study.title_of(run.host) for run in runs}
    published = table_1()
    assert list(dict.fromkeys(package_of.values())) == [row[0] for row in published]
    assert [(counts[row[0]], hosts[row[0]]) for row in published] == [(row[4], row[1]) for row in published]
    for name, _, regime, budgets, _ in published:
        unit = 60.0 if str(budgets).endswith("h") else 1.0
        amounts = [float(part) * unit for part in str(budgets).removesuffix("min").removesuffix("h").split(",")]
        assert minutes(session, str(name)) == amounts
        is_explicit = {s.regime for s in study.stages if s.accounted_as == name} == {"explicit"}
        assert is_explicit == (regime == "explicit seeded reruns")
    assert (len(runs), len({run.run_id for run in runs}), Counter(run.host for run in runs)["linux"]) == (613, 613, 44)


def test_every_stage_is_decided_by_its_gate(session):
    decisions = session.workspace.decisions()
    assert [decision.stage for decision in decisions] == [stage.name for stage in session.study.stages]
    assert all(decision.verdicts for decision in decisions)
    by_stage = {d.stage: {v.subject: v.decision for v in d.verdicts} for d in decisions}
    assert by_stage["screens"] == {
        "A": "fix_low",
        "B": "fix_low",
        "C": "fix_high",
        "D": "fix_low",
        "E": "undecided",
    }
    assert by_stage["pilot"]["D"] == "fix_low"


def test_the_follow_up_holds_the_factor_where_the_pilot_found_it_better(session):
    plan = next(plan for plan in session.workspace.plans() if plan.stage == "d-fixed")
    assert {run.levels[3] for run in plan.runs} == {-1.0}
    assert {run.recipe.values["batch.total_batch"] for run in plan.runs} == {262144}
    assert plan.design is not None
    assert (plan.design.letters, len({run.levels for run in plan.runs})) == (("A", "B", "C", "E"), 16)


def test_no_run_repeats_another_ones_draw(session):
    """Reruns of a fixed seed are counted on through the stages, so that a replication is no copy of the pilot."""
    runs = [run for plan in session.workspace.plans() for run in plan.runs]
    cells = Counter((run.recipe.digest, run.budget.label(), run.seed, run.host, run.rerun) for run in runs)
    assert max(cells.values()) == 1
    first = {run.rerun for run in runs if run.stage == "pilot"}
    again = {run.rerun for run in runs if run.stage == "extremes-10min"}
    assert (first, again) == ({0}, {1, 2})


def test_anchors_keep_their_roles_from_host_to_host_and_day_to_day(session):
    plans = {plan.stage: plan for plan in session.workspace.plans()}
    roles = {name: {c.role: c.recipe.digest for c in plans[name].conditions} for name in plans}
    home = roles["anchors-60min"]
    assert list(home) == ["bridge", "screened best", "greedy", "control"]
    assert len(set(home.values())) == 4
    assert roles["anchors-linux"] == home
    for name in ("windows-12h", "linux-12h", "windows-24h", "linux-24h"):
        assert roles[name] == {role: home[role] for role in ("bridge", "greedy", "control")}


def test_run_again_it_does_nothing(session):
    before = {path: path.stat().st_mtime_ns for path in session.workspace.root.rglob("*.json")}
    run_study(session, Settings(jobs=2))
    after = {path: path.stat().st_mtime_ns for path in session.workspace.root.rglob("*.json")}
    report = {session.workspace.report_json}
    assert {p for p in after if after[p] != before.get(p)} <= report


def test_what_lies_there_agrees(session):
    assert verify(session) == ()


def test_every_table_and_figure_of_the_paper_has_the_file_that_the_page_names(session):
    page = (STAGED.parents[1] / "docs" / "staged-screening.md").read_text(encoding="utf-8")
    part = page[page.index("## What of the paper is where") : page.index("## At CPU size")]
    named = {name for line in part.splitlines() if line.startswith("|") for name in re.findall("`([^`]+)`", line)}
    files = {Path(name).stem for name in files_of(report_document(session), "csv")}
    assert len(named) > 30
    assert named <= files


def test_figures_show_what_the_paper_s_show(session):
    document = report_document(session)
    pictures = {p["name"]: p for section in document["sections"] for p in section["pictures"]}
    first = pictures["figure-effects-over-screens"]["marks"]
    assert {(m["series"], m["hollow"]) for m in first} == {
        ("2 min (pilot)", True), ("5 min (screens)", False), ("10 min (screens)", False),
    }  # fmt: skip
    assert [m["label"] for m in pictures["figure-eta-seeds"]["marks"]][:4] == [
        "budget", "condition", "budget:condition", "seed",
    ]  # fmt: skip
    assert all(len(m["runs"]) == 4 for m in pictures["figure-ordering-anchors-60min-1-h"]["marks"])
    last = pictures["figure-over-hosts"]["marks"]
    panels = {
        panel: [m["series"] for m in last if m["panel"] == panel] for panel in dict.fromkeys(m["panel"] for m in last)
    }
    for hours in ("12 h", "24 h"):
        assert panels[f"Windows A100, {hours} (n = 2)"] == ["bridge", "greedy", "control"]
        assert panels[f"Linux L40S, {hours} (n = 2)"] == ["bridge", "control", "greedy"]


def test_the_outline_counts_every_run_before_the_first():
    assert outline(check(STAGED), jobs=2).total_runs == 613


def test_without_files_it_runs_and_decides_the_same(session):
    found = repeat_study(session.study, 0)
    plans = {plan.stage: plan for plan in session.workspace.plans()}
    assert {name: result.plan.runs for name, result in found.stages.items()} == {n: p.runs for n, p in plans.items()}
    stored = {d.stage: [(v.subject, v.decision) for v in d.verdicts] for d in session.workspace.decisions()}
    screens = {name for name in plans if session.study.stage(name).kind in ("screen", "search")}
    again = {name: [(v.subject, v.decision) for v in result.verdicts] for name, result in found.stages.items()}
    assert {name: again[name] for name in screens} == {name: stored[name] for name in screens}


def test_another_repetition_has_other_noise_and_as_many_runs(session):
    first, second = (repeat_study(session.study, number) for number in (1, 2))
    means = [result.stages["anchors-60min"].mean_of("bridge", "1 h") for result in (first, second)]
    assert (first.num_runs, second.num_runs) == (613, 613)
    assert means[0] != means[1]


def test_power_is_what_plain_simulation_says(session):
    """Responses drawn anew, least squares written out: coefficients, residual, t, and the step-up of five p-values."""
    import numpy as np
    from scipy.stats import t as student

    from foldover.simulator import get_surface

    study, surface = session.study, get_surface("calibrated")
    rows = [[a, b, c, d, a * b * c * d] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1) for d in (-1, 1)]
    x = np.array(rows, dtype=float)
    full = np.column_stack([np.ones(80), np.tile(x, (5, 1)), np.repeat(np.eye(5), 16, axis=0)[:, 1:]])
    inverse = np.linalg.inv(full.T @ full)
    kept = np.zeros(5)
    studies = 400
    for i in range(studies):
        y = surface.values(x, 10.0, seeds=[10_000_000 + 5 * i + s for s in range(5)]).T.ravel()
        beta = inverse @ full.T @ y
        s2 = float((y - full @ beta) @ (y - full @ beta)) / 70
        p = 2 * student.sf(np.abs(beta[1:6]) / np.sqrt(s2 * np.diag(inverse)[1:6]), 70)
        order = np.argsort(p)
        last = max([k for k in range(5) if p[order[k]] <= 0.05 * (k + 1) / 5], default=-1)
        kept[order[: last + 1]] += 1
    predicted = predicted_power(study, study.stage("screens"), 10.0, num_retained=4)
    assert predicted["C"] == pytest.approx(kept[2] / studies, abs=0.07)
    assert predicted["A"] > 0.99
    assert predicted["E"] < 0.05
