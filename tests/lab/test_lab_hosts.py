"""Runs are executed where their host is, and what follows from them waits."""

from __future__ import annotations

import csv
import io
import json
import zipfile

import pytest

from foldover.core import Settings, UserError
from foldover.lab import create, manifest, open_session, run_study, write_manifest
from foldover.lab.verbs import settings_on

AWAY = """
[hosts.windows]
title = "at home"

[hosts.linux]
title = "far away"
threads = 2

[[stages]]
name = "away"
kind = "anchors"
host = "linux"
pick = [{ role = "best", from = "screen", best = 2, budget = "2min" }]
budgets = ["5min"]
seeds = [31]

[[stages]]
name = "back"
kind = "anchors"
pick = [{ role = "best of those", from = "away", best = 1 }]
budgets = ["5min"]
seeds = [41]
"""


@pytest.fixture
def split(small_study):
    path = small_study(("seed = 2026", 'seed = 2026\nhost = "windows"'))
    path.write_text(path.read_text() + AWAY)
    return path


def test_a_run_waits_for_its_host_and_what_picks_from_it_waits_too(split, settings, view, tmp_path):
    root = tmp_path / "s"
    run_study(create(split, root), settings, view)
    assert [plan.stage for plan in open_session(root).workspace.plans()] == ["screen", "confirm", "refine", "away"]
    assert not any(
        open_session(root).workspace.runs.has_ended(r.run_id) for r in open_session(root).workspace.plans()[-1].runs
    )
    assert any("2 runs wait for host linux" in text for text in view.said)
    run_study(open_session(root, hosts=["linux"]), settings, view)
    run_study(create(split, root), settings, view)
    with open_session(root).ledger() as ledger:
        hosts = {(r.spec.stage, r.spec.host, r.outcome.machine["host"]) for r in ledger.records()}
    assert {("screen", "windows", "windows"), ("away", "linux", "linux"), ("back", "windows", "windows")} <= hosts


def test_a_host_has_settings_of_its_own_and_an_unknown_one_is_refused(split, tmp_path):
    session = create(split, tmp_path / "s")
    assert settings_on(session, "linux", Settings(jobs=3)) == Settings(jobs=3, threads=2)
    assert settings_on(session, "windows", Settings(jobs=3)) == Settings(jobs=3)
    with pytest.raises(UserError, match="moon"):
        open_session(tmp_path / "s", hosts=["moon"])


def test_every_budget_is_scaled_and_picks_follow(split, tmp_path):
    study = create(split, tmp_path / "s", scale=0.5).study
    assert [budget.label() for stage in study.stages for budget in stage.budgets][:3] == ["1 min", "150 s", "150 s"]
    assert study.stage("away").picks[0].budget == "1 min"
    assert open_session(tmp_path / "s").study.stages == study.stages
    with pytest.raises(UserError, match="says something else"):
        create(split, tmp_path / "s")


def test_runs_are_accounted_for_by_package_and_host(split, settings, view, tmp_path):
    root = tmp_path / "s"
    run_study(create(split, root), settings, view)
    session = open_session(root)
    found = manifest(session)
    planned = [run for plan in session.workspace.plans() for run in plan.runs]
    assert (found.total, found.by_host) == (len(planned), {"at home": len(planned) - 2, "far away": 2})
    assert (found.ended, found.is_complete) == (len(planned) - 2, False)
    write_manifest(session, tmp_path / "out")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "packages.csv").read_text())))
    assert [(row["package"], int(row["rows"])) for row in rows] == [(p.package, p.rows) for p in found.packages]
    base = list(csv.DictReader(io.StringIO((tmp_path / "out" / "conditions" / "screen.csv").read_text())))
    assert [(r["A"], r["model.depth"]) for r in base] == [("-1.0", "6")] * 2 + [("1.0", "8")] * 2
    for row in rows:
        matrix = list(csv.DictReader(io.StringIO((tmp_path / "out" / "matrices" / row["file"]).read_text())))
        specs = {run.run_id: run for run in planned if run.stage == row["package"]}
        assert {r["run_id"] for r in matrix} == set(specs)
        for r in matrix:
            run = specs[r["run_id"]]
            assert (r["condition"], r["budget"], int(r["seed"])) == (run.condition, run.budget.label(), run.seed)
            assert r["host"] == ("far away" if run.host == "linux" else "at home")
            assert int(r["model.depth"]) == run.recipe.values["model.depth"]
    contents = list(csv.DictReader(io.StringIO((tmp_path / "out" / "contents.csv").read_text())))
    with zipfile.ZipFile(tmp_path / "out" / "source.zip") as archive:
        assert archive.namelist() == [row["path"] for row in contents]
        assert len(archive.read("foldover/lab/manifest.py")) == int(
            next(row["bytes"] for row in contents if row["path"] == "foldover/lab/manifest.py")
        )
    first = json.loads((tmp_path / "out" / "totals.json").read_text())
    assert first["rows_by_regime"] == {"explicit seeds": len(planned)}
    assert first["source_changed_since_the_study_began"] == []
    write_manifest(session, tmp_path / "again")
    assert json.loads((tmp_path / "again" / "totals.json").read_text()) == first


def test_the_manifest_says_which_files_of_the_program_are_not_those_that_the_study_began_with(split, tmp_path):
    root = tmp_path / "s"
    session = create(split, root)
    begun = (root / "source.csv").read_text()
    assert "foldover/lab/manifest.py," in begun
    lines = [line for line in begun.splitlines() if not line.startswith("foldover/lab/manifest.py,")]
    (root / "source.csv").write_text("\n".join([*lines, "foldover/gone.py,1,00"]) + "\n")
    create(split, root)  # goes on, and leaves what was written down
    write_manifest(session, tmp_path / "out")
    totals = json.loads((tmp_path / "out" / "totals.json").read_text())
    assert totals["source_changed_since_the_study_began"] == ["foldover/gone.py", "foldover/lab/manifest.py"]
    (root / "source.csv").unlink()
    write_manifest(session, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "totals.json").read_text())["source_changed_since_the_study_began"] is None
