"""The shipped study of searches: whole, cut between batches and within one, rebuilt, reported; and its plan."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from foldover.cli.plan_text import plan_text
from foldover.core import Outcome, RunRecord, Settings, UserError, Values
from foldover.execution import InlineExecutor
from foldover.lab import Session, amend, check, collect, create, decide, execute, open_session, outline, report, verify
from foldover.lab.analysis import analyse_records
from foldover.lab.manifest import manifest
from foldover.lab.replication import repeat_study
from foldover.lab.sections import sections_of
from foldover.lab.verbs import pending, plan_next, undecided
from foldover.ledger import Ledger
from foldover.planning import Plan, is_whole
from foldover.simulator.surface import get_surface
from foldover.trainers import get_trainer

SHIPPED = Path(__file__).parents[2] / "studies" / "searches.toml"
OVER_RUNGS = ("halving", "hyperband", "asha", "bohb", "population")
SETTINGS = Settings(jobs=1)


def small_text() -> str:
    """The shipped study with three factors in four conditions, and two rungs: about 100 runs."""
    text = SHIPPED.read_text(encoding="utf-8")
    for letter in "CE":
        head, _, rest = text.partition(f"[factors.{letter}]")
        text = head + rest[min(rest.find(mark) for mark in ("[factors", "# 16") if mark in rest) :]
    changes = (
        ("runs = 32\n", "runs = 8\n"),
        ("batch = 16\n", "batch = 4\n"),
        ('design = "2^(5-1)"\ngenerators = ["E=ABCD"]\n', "runs = 4\n"),
        ("batch = 8\nmatched", "batch = 4\nmatched"),
        ('["1min", "3min", "9min"]', '["3min", "9min"]'),
    )
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("searches") / "small.toml"
    path.write_text(small_text(), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def whole(study: Path) -> Session:
    """Run from beginning to end. Not to be written to."""
    root = study.parent / "whole"
    run_inline(create(study, root))
    report(open_session(root))
    return open_session(root)


def run_inline(session: Session, *, stop: Callable[[int], bool] = lambda call: False) -> bool:
    """As `run_study`, in this process; whether it ended. stop: whether to give up after so many calls."""
    with InlineExecutor(SETTINGS) as executor:
        for call in range(10_000):
            if stop(call):
                return False
            if not pending(session):
                if undecided(session):
                    decide(session)
                if plan_next(session) is None:
                    break
            execute(session, SETTINGS, executor=executor)
    if undecided(session):
        decide(session)
    return True


def content(session: Session) -> dict[str, object]:
    """All of a ledger that no clock has a part in."""

    def timeless(record: RunRecord) -> RunRecord:
        return replace(record, outcome=replace(record.outcome, started="", finished=""))

    with session.ledger(read_only=True) as ledger:
        found: dict[str, object] = {name: ledger.table(name) for name in ("study", "package", "run", "response")}
        found["decision"] = [(d.stage, [replace(v, evidence="") for v in d.verdicts]) for d in ledger.decisions()]
        found["records"] = [timeless(record) for record in ledger.records()]
    return found


def test_every_search_spends_what_the_screen_did_and_never_more(whole):
    plans = {plan.stage: plan for plan in whole.workspace.plans()}
    cost = sum(run.budget.limit.amount for run in plans["screen"].runs)
    assert cost == 8 * 540.0
    for stage in whole.study.stages:
        spent = sum(run.budget.limit.amount for run in plans[stage.name].runs)
        assert cost - 540.0 < spent <= cost, stage.name
        assert is_whole(plans[stage.name], stage)
        assert bool(plans[stage.name].end) == (stage.name in OVER_RUNGS)
    assert [decision.stage for decision in whole.workspace.decisions()] == [stage.name for stage in whole.study.stages]
    assert all(decision.verdicts for decision in whole.workspace.decisions())


def test_a_study_that_is_killed_again_and_again_goes_on_to_the_same_ledger(whole, study, tmp_path):
    """Between batches, within a batch before anybody collected it, and with its ledger lost."""
    root, halved, left = tmp_path / "cut", 0, 0
    while not run_inline(create(study, root), stop=lambda call: call >= 9):
        left += 1
        assert left < 50
        session = create(study, root)
        waiting = pending(session) or (plan_next(session) and pending(session)) or []
        if left % 2:
            with InlineExecutor(SETTINGS) as executor:
                executor.run_all(waiting[: len(waiting) // 2], root, lambda folder: None)
            halved += len(waiting) > 1
            session.workspace.ledger_path.unlink()
    assert halved > 1
    again = open_session(root)
    assert content(again) == content(whole)
    assert again.workspace.plans() == whole.workspace.plans()


def test_a_rebuilt_ledger_is_the_same(whole, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(whole.workspace.root, root)
    with Ledger.open(root / "ledger.sqlite", read_only=True) as ledger:
        before = ledger.digest()
    collect(open_session(root), rebuild_ledger=True)
    with Ledger.open(root / "ledger.sqlite", read_only=True) as ledger:
        assert ledger.digest() == before


@pytest.fixture
def alone(study, tmp_path):
    """A study of nothing but searches over rungs by these strategies, each for the cost that they are given."""

    def make(changes=(), **costs: str) -> Path:
        text = study.read_text(encoding="utf-8")
        stages = {block.split('"')[1]: block for block in text.split("[[stages]]\n")[1:]}
        whole = text[: text.index("# 16 conditions")]
        for name, cost in costs.items():
            whole += "[[stages]]\n" + stages[name].replace('matched_to = "screen"', f'cost = "{cost}"')
        for old, new in changes:
            assert old in whole, old
            whole = whole.replace(old, new)
        path = tmp_path / f"alone-{len(list(tmp_path.iterdir()))}.toml"
        path.write_text(whole, encoding="utf-8")
        return path

    return make


def test_a_search_that_is_planned_cannot_be_amended_and_one_that_is_not_can(alone, tmp_path):
    costs, root = {"halving": "18min", "population": "40min"}, tmp_path / "study"
    assert not run_inline(create(alone(**costs), root), stop=lambda call: call >= 1)
    with pytest.raises(UserError, match="what was run rests on stage halving"):
        amend(alone(halving="36min", population="40min"), root, reason="it was too little")
    amend(alone((("batch = 4", "batch = 3"),), **costs), root, reason="a smaller population")
    assert run_inline(open_session(root))
    plans = {plan.stage: [run.budget.label() for run in plan.runs] for plan in open_session(root).workspace.plans()}
    assert plans == {"halving": ["3 min"] * 3 + ["9 min"], "population": ["3 min"] * 3 + ["9 min"] * 3}


def test_what_is_written_is_what_the_ledger_gives(whole):
    assert verify(whole) == ()


def test_runs_are_accounted_by_stage(whole):
    found = manifest(whole)
    planned = {plan.stage: len(plan.runs) for plan in whole.workspace.plans()}
    assert {row.package: (row.rows, row.ended) for row in found.packages} == {
        name: (count, count) for name, count in planned.items()
    }
    assert {row.package: row.budgets for row in found.packages}["asha"] == ("3 min", "9 min")
    assert found.is_complete


def test_runs_that_fail_cost_and_have_no_value(alone, tmp_path):
    names = ("asha", "bohb", "population")
    changes = (('"calibrated"\n', '"calibrated"\nfailure_rate = 0.25\n'),)
    session = create(alone(changes, **dict.fromkeys(names, "126min")), tmp_path / "study")
    assert run_inline(session)
    tables = tables_of(session)
    for name in names:
        records = asked(session, name)
        failed = sum(record.outcome.status == "failed" for record in records)
        assert 0 < failed < len(records) / 2
        assert 117 * 60.0 < sum(record.spec.budget.limit.amount for record in records) <= 126 * 60.0
        for row in tables[f"rungs-{name}"]:
            done = [r for r in records if r.spec.budget.label() == row["budget"]]
            finished = [r for r in done if r.outcome.status == "finished"]
            assert (row["runs"], row["results"]) == (len(done), len(finished))
            assert row["value"] == min(value_of(record) for record in finished)


# The report


def sections_by_name(session):
    with session.ledger(read_only=True) as ledger:
        records = ledger.records()
    plans = session.workspace.plans()
    analysis = analyse_records(session.study, plans, records, session.trainer.levers)
    return {section.name: section for section in sections_of(session.study, plans, analysis)}


def tables_of(session) -> dict[str, list[dict[str, object]]]:
    found = {}
    for section in sections_by_name(session).values():
        for table in section.tables:
            names = [column.name for column in table.columns]
            found[table.name] = [dict(zip(names, row, strict=True)) for row in table.rows]
    return found


@pytest.fixture(scope="module")
def sections(whole):
    return sections_by_name(whole)


@pytest.fixture(scope="module")
def tables(whole):
    return tables_of(whole)


def asked(session, stage) -> list[RunRecord]:
    """The records of a stage in the order in which its runs were planned."""
    with session.ledger(read_only=True) as ledger:
        by_id = {record.spec.run_id: record for record in ledger.records()}
    plan = next(plan for plan in session.workspace.plans() if plan.stage == stage)
    return [by_id[run.run_id] for run in plan.runs]


def value_of(record) -> float:
    return record.outcome.responses["val_bpb"]


def test_rungs_are_counted_with_their_best(whole, tables):
    for name in OVER_RUNGS:
        records = asked(whole, name)
        rows = tables[f"rungs-{name}"]
        assert [row["budget"] for row in rows] == ["3 min", "9 min"]
        for row in rows:
            own = [record for record in records if record.spec.budget.label() == row["budget"]]
            best = min(own, key=value_of)
            assert (row["runs"], row["condition"], row["value"]) == (len(own), best.spec.condition, value_of(best))


def test_what_was_promoted_is_what_ran_at_the_next_rung(whole, tables):
    """Brackets of halving and ASHA begin at the first rung: all that runs above it was promoted."""
    for name in ("halving", "asha"):
        counts = [row["runs"] for row in tables[f"rungs-{name}"]]
        assert [row["taken_on"] for row in tables[f"rungs-{name}"]] == [*counts[1:], None]
    # Hyperband: three points of which one goes on, then two at 9 minutes that were not run before; again and again.
    first, last = (row["runs"] for row in tables["rungs-hyperband"])
    assert [row["taken_on"] for row in tables["rungs-hyperband"]] == [first // 3, None]
    assert (first, last) == (6, 6)
    assert first // 3 < last


def first_in(records, region, label):
    """Number of the first run in a region at a budget ("" for any), and the minutes spent until it had ended."""
    minutes = 0.0
    for number, record in enumerate(records, start=1):
        minutes += record.spec.budget.limit.amount / 60.0
        place = dict(zip("ABD", record.spec.levels, strict=True))
        if label in ("", record.spec.budget.label()) and all(place[f] * x > 0 for f, x in region.items()):
            return number, f"{minutes:g} min"
    return None, None


def test_searches_of_one_cost_stand_in_one_table(whole, tables, sections):
    region = {"A": -1.0, "D": -1.0}
    section = sections["matched-greedy-8"]
    assert "D low and A low" in section.notes[1]
    rows = {row["stage"]: row for row in tables["matched-greedy"]}
    assert list(rows) == ["screen", "greedy", "random", "tpe", *OVER_RUNGS]
    assert rows["screen"]["spent"] == "72 min"
    for name, row in rows.items():
        records = asked(whole, name)
        there = [record for record in records if record.spec.budget.label() == "9 min"]
        assert row["spent"] == f"{sum(r.spec.budget.limit.amount for r in records) / 60:g} min"
        assert (row["runs"], row["target_runs"]) == (len(records), len(there))
        best = min(there, key=value_of)
        assert (row["value"], row["condition"]) == (value_of(best), best.spec.condition)
        assert row["levels"] == " ".join("+" if level > 0 else "\u2212" for level in best.spec.levels)
        hit = (None, None) if name == "screen" else first_in(records, region, "9 min")
        assert (row["hit_run"], row["hit_cost"]) == hit


def test_claims_say_what_was_spent_and_what_is_left(whole, sections):
    for name in OVER_RUNGS:
        records = asked(whole, name)
        spent = sum(record.spec.budget.limit.amount for record in records) / 60
        claims, left = " ".join(sections[f"rungs-{name}"].claims), 72 - spent
        assert f"spent {spent:g} min of 72 min on {len(records)} runs" in claims
        assert (f"{left:g} min are unspent" in claims) == (left > 0)
        number, cost = first_in(records, {"A": -1.0, "D": -1.0}, "")
        assert (f"was number {number}, after {cost}" if number else "No run of it lies in the region") in claims


def test_the_population_says_that_no_weights_are_inherited(sections):
    assert "no weights are inherited" in sections["rungs-population"].notes[0]
    assert "asked for 4 at a time" in " ".join(sections["rungs-asha"].notes)


# The plan


def test_the_plan_foresees_the_runs_and_says_that_it_does(whole, study):
    found = outline(check(study), jobs=2)
    counts = {plan.stage: len(plan.runs) for plan in whole.workspace.plans()}
    for stage in found.stages:
        assert stage.is_expected == (stage.name in OVER_RUNGS)
        if stage.name != "asha":
            assert stage.cost.runs == counts[stage.name], stage.name
    text = plan_text(found)
    assert "stage halving (search): runs of 2 budgets (3 min, 9 min), seed 4001 on windows = about " in text
    assert "halving: never more than 72 min in all; 12 of 3 min, 4 of 9 min if none fails" in text
    assert "at most 24 runs" in text
    assert "total: about " in text
    # 9 stages of 72 minutes.
    assert found.hosts[0].training_hours == pytest.approx(9 * 72 / 60)


def test_a_cost_that_never_reaches_the_last_budget_is_said_before_anything_runs(alone):
    (stage,) = outline(check(alone(hyperband="12min")), jobs=1).stages
    assert stage.notes[1] == "the cost does not pay for a run of 9 min, which is the one that counts"


def test_a_study_may_begin_with_a_search(alone, tmp_path):
    path = alone(population="30min")
    assert outline(check(path), jobs=1).total_runs == 6
    session = create(path, tmp_path / "study")
    assert run_inline(session)
    section = sections_by_name(session)["rungs-population"]
    assert "region" not in " ".join(section.claims)


def test_the_page_shows_what_the_shipped_study_gives():
    """The table of docs/searches.md, from the surface itself and the plans alone."""
    study = check(SHIPPED)
    plans = [result.plan for result in repeat_study(study, 0).stages.values()]
    analysis = analyse_records(study, plans, records_of(plans), get_trainer("simulator").levers)
    section = {section.name: section for section in sections_of(study, plans, analysis)}["matched-greedy-8"]
    page = (SHIPPED.parents[1] / "docs" / "searches.md").read_text(encoding="utf-8")
    shown = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| ")
    ]
    table = section.tables[0]
    assert shown[0] == [column.title for column in table.columns]
    assert shown[2:] == [
        ["–" if cell is None else f"{cell:.6f}" if isinstance(cell, float) else str(cell) for cell in row]
        for row in table.rows
    ]


def records_of(plans: Sequence[Plan]) -> tuple[RunRecord, ...]:
    surface, found = get_surface("calibrated"), []
    for run in (run for plan in plans for run in plan.runs):
        minutes = run.budget.limit.amount / 60.0
        value = float(surface.values([run.levels], minutes, run.host, seeds=[run.seed], rerun=run.rerun)[0, 0])
        outcome = Outcome(
            run_id=run.run_id, status="finished", started="", finished="", responses=Values(val_bpb=value)
        )
        found.append(RunRecord(spec=run, attempt=1, outcome=outcome))
    return tuple(found)
