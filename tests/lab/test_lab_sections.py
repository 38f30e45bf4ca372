"""Sections of a report from plans and records: what each says, checked with plain loops over the same records.

The records are of a small staged study on the simulator's surface: every kind of stage, two hosts, both regimes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, stdev

import pytest

from foldover.core import (
    Budget,
    DesignRequest,
    Factor,
    Gate,
    Host,
    Limit,
    Outcome,
    Package,
    Recipe,
    RunRecord,
    RunSpec,
    Search,
    Stage,
    Study,
    Values,
)
from foldover.designs import fractional_factorial
from foldover.lab.analysis import Analysis, analyse_records
from foldover.lab.evidence import Evidence
from foldover.lab.sections import sections_of
from foldover.planning import Condition, Plan
from foldover.report.section import Section, SectionTable
from foldover.simulator import levers
from foldover.simulator.surface import get_surface

LEVERS = ("model.depth", "model.aspect", "optimizer.matrix_lr", "batch.total_batch", "schedule.warmdown_ratio")
FACTORS = (
    Factor(letter="A", lever=LEVERS[0], low=6, high=8, kind="int"),
    Factor(letter="B", lever=LEVERS[1], low=48, high=72, kind="int"),
    Factor(letter="C", lever=LEVERS[2], low=0.03, high=0.05),
    Factor(letter="D", lever=LEVERS[3], low=262144, high=524288, kind="int", scale="pow2"),
    Factor(letter="E", lever=LEVERS[4], low=0.25, high=0.5),
)
LEGACY = 36008
NAMED = {
    "c07": (-1.0, 1.0, 1.0, -1.0, 1.0),
    "c03": (-1.0, -1.0, 1.0, -1.0, -1.0),
    "c14": (1.0, 1.0, -1.0, 1.0, -1.0),
    "c16": (1.0, 1.0, 1.0, 1.0, 1.0),
    "control": (1.0, -1.0, -1.0, 1.0, 1.0),
    "bridge-d8": (1.0, 0.0, 1.0, -1.0, 1.0),
    "bridge-d6": (-1.0, -1.0, 1.0, -1.0, 1.0),
    "greedy": (-1.0, 1.0, -0.25, -1.0, 1.91),
}
ROLES = {
    "c07": "screened best", "c03": "best", "c14": "worst", "c16": "worst", "control": "control",
    "bridge-d8": "bridge", "bridge-d6": "bridge", "greedy": "greedy",
}  # fmt: skip


def minutes(*amounts: float) -> tuple[Budget, ...]:
    return tuple(Budget(limit=Limit(kind="seconds", amount=60.0 * amount)) for amount in amounts)


def a_study() -> Study:
    design = DesignRequest(runs=16, generators=("E=ABCD",))
    stages = (
        Stage(name="screen", kind="screen", budgets=minutes(5, 10), seeds=(1, 2, 3, 4, 5), design=design),
        Stage(name="pilot", kind="screen", budgets=minutes(2, 5), seeds=(LEGACY,), design=design, regime="fixed"),
        Stage(name="fixed", kind="screen", budgets=minutes(5, 10), seeds=(LEGACY,), design=DesignRequest(runs=16),
              fix=Values(D="low"), regime="fixed", reruns=2),
        Stage(name="greedy", kind="search", budgets=minutes(10), seeds=(LEGACY,), regime="fixed",
              search=Search(strategy="greedy", runs=6)),
        Stage(name="random", kind="search", budgets=minutes(10), seeds=(1,),
              search=Search(strategy="random", runs=8, batch=4)),
        Stage(name="probe", kind="bridge", budgets=minutes(2), seeds=(LEGACY,), regime="fixed", reruns=3),
        Stage(name="confirm", kind="confirm", budgets=minutes(2, 5, 10), seeds=(11, 12, 13, 14, 15)),
        Stage(name="long", kind="bridge", budgets=minutes(60), seeds=(21, 22, 23, 24)),
        Stage(name="linux", kind="anchors", budgets=minutes(10, 60), seeds=(31, 32, 33, 34), host="linux"),
        Stage(name="linux-24h", kind="anchors", budgets=minutes(1440), seeds=(41, 42), host="linux"),
        Stage(name="windows-24h", kind="anchors", budgets=minutes(1440), seeds=(41, 42)),
    )  # fmt: skip
    return Study(
        name="staged",
        question="Which choices matter, and on which host?",
        response="val_bpb",
        direction="minimize",
        baseline=Recipe(trainer="simulator", values=Values({f.lever: f.low for f in FACTORS})),
        factors=FACTORS,
        stages=stages,
        gate=Gate(smallest_effect=0.003),
        constants=Values(),
        host="windows",
        hosts=(Host(label="windows", title="Windows A100"), Host(label="linux", title="Linux L40S")),
    )


def plans_of(study: Study) -> tuple[Plan, ...]:
    half = [(*row, math.prod(row)) for row in itertools.product((-1.0, 1.0), repeat=4)]
    full = {f"c{i + 1:02d}": levels for i, levels in enumerate(half)}
    low = {f"f{i + 1:02d}": (*r[:3], -1.0, r[3]) for i, r in enumerate(itertools.product((-1.0, 1.0), repeat=4))}
    walk = ("c14", "c16", "control", "c03", "c03", "c07")
    drawn = [half[i] for i in (0, 9, 13, 6, 15, 2, 4, 11)]
    anchors = ("bridge-d8", "greedy", "c07", "control")
    confirm = ("c03", "c07", "c14", "c16", "bridge-d8", "bridge-d6")
    asked = {
        "screen": full,
        "pilot": full,
        "fixed": low,
        "greedy": {name: NAMED[name] for name in walk},
        "random": {f"r{i}": levels for i, levels in enumerate(drawn)},
        "confirm": {name: NAMED[name] for name in confirm},
        "probe": {"bridge-d6": NAMED["bridge-d6"]},
    }
    plans = []
    for stage in study.stages:
        named = asked.get(stage.name, {name: NAMED[name] for name in anchors})
        order = walk if stage.name == "greedy" else tuple(named)
        plans.append(_plan(study, stage, named, order))
    return tuple(plans)


def records_of(plans: Sequence[Plan]) -> tuple[RunRecord, ...]:
    surface = get_surface("calibrated")
    found = []
    for run in (run for plan in plans for run in plan.runs):
        budget = run.budget.limit.amount / 60.0
        value = float(surface.values([run.levels], budget, run.host, seeds=[run.seed], rerun=run.rerun)[0, 0])
        found.append(
            RunRecord(
                spec=run,
                attempt=1,
                outcome=Outcome(
                    run_id=run.run_id,
                    status="finished",
                    started="2026-01-05T10:00:00+00:00",
                    finished="2026-01-05T10:00:04+00:00",
                    responses=Values(val_bpb=value),
                    counters=Values(steps=int(100 * budget / (1.0 + 0.2 * run.levels[0])), training_seconds=1.0),
                ),
            )
        )
    return tuple(found)


def analysis_of(study: Study, plans: Sequence[Plan], records: Sequence[RunRecord]) -> Analysis:
    return analyse_records(study, plans, records, levers.LEVERS)


def _plan(study: Study, stage: Stage, named: dict[str, tuple[float, ...]], order: Sequence[str]) -> Plan:
    conditions, packages, runs = {}, [], []
    host = study.host_of(stage)
    roles = {"screen": "screen", "search": "search"}
    for label, levels in named.items():
        recipe = Recipe(trainer="simulator", values=Values(dict(zip(LEVERS, levels, strict=True))))
        conditions[label] = Condition(
            label=label,
            role=roles.get(stage.kind) or ROLES[label],
            levels=levels,
            recipe=recipe,
            derived=Values(width=512, num_params=int(3e7 + 1e7 * levels[0])),
            origin={"long": "confirm", "linux": "long"}.get(stage.name, ""),
        )
    for budget in stage.budgets:
        name = f"{stage.name} @ {budget.label()}"
        times: dict[str, int] = {}
        own = []
        for seed, rerun, label in itertools.product(stage.seeds, range(stage.reruns), order):
            again = times.get(label, 0) if stage.kind == "search" else rerun
            times[label] = times.get(label, 0) + 1
            own.append(
                RunSpec(
                    study=study.name,
                    stage=stage.name,
                    package=name,
                    condition=label,
                    levels=named[label],
                    recipe=conditions[label].recipe,
                    budget=budget,
                    seed=seed,
                    host=host,
                    rerun=again,
                )
            )
        packages.append(
            Package(name=name, stage=stage.name, budget=budget, seeds=stage.seeds, runs=tuple(r.run_id for r in own),
                    host=host, regime=stage.regime)
        )  # fmt: skip
        runs += own
    design = None
    if stage.kind == "screen":
        letters = [f for f in FACTORS if f.letter not in stage.fix]
        made = fractional_factorial(letters, runs=16, generators=stage.design.generators if stage.design else ())
        design = replace(made, name=stage.name)
    return Plan(
        stage=stage.name, design=design, conditions=tuple(conditions.values()), packages=tuple(packages),
        runs=tuple(runs),
    )  # fmt: skip


@pytest.fixture(scope="module")
def records():
    return records_of(plans_of(a_study()))


@pytest.fixture(scope="module")
def found(records) -> dict[str, Section]:
    study = a_study()
    plans = plans_of(study)
    return {section.name: section for section in sections_of(study, plans, analysis_of(study, plans, records))}


def rows_of(table: SectionTable) -> list[dict[str, object]]:
    names = [column.name for column in table.columns]
    return [dict(zip(names, row, strict=True)) for row in table.rows]


def values(records, stage: str, budget: str) -> dict[str, dict[int, list[float]]]:
    found: dict[str, dict[int, list[float]]] = {}
    for r in records:
        if r.spec.stage == stage and r.spec.budget.label() == budget:
            found.setdefault(r.spec.condition, {}).setdefault(r.spec.seed, []).append(r.outcome.responses["val_bpb"])
    return found


def contrast(records, stage: str, budget: str, letters: str) -> float:
    sides = {1.0: [], -1.0: []}
    for r in records:
        if r.spec.stage == stage and r.spec.budget.label() == budget:
            sign = 1.0
            for letter in letters:
                sign *= r.spec.levels["ABCDE".index(letter)]
            sides[sign].append(r.outcome.responses["val_bpb"])
    return fmean(sides[1.0]) - fmean(sides[-1.0])


def test_what_a_stage_shows_follows_from_its_kind_budgets_and_regime(found):
    assert {"effects-screen", "pooled-screen", "relaxation-screen", "pairing-screen", "speed-screen"} <= set(found)
    assert {"effects-fixed", "pooled-fixed", "reruns-fixed"} <= set(found)
    # One seed shows neither relaxation with an error nor what seeds save.
    assert not {"relaxation-fixed", "pairing-fixed", "speed-fixed", "shares-fixed"} & set(found)
    assert {"wins-confirm", "shares-confirm", "refinement-confirm", "separation-confirm"} <= set(found)
    assert {"greedy-greedy", "random-random", "separation-long", "sizes-long", "next-surface"} <= set(found)
    assert not {"shares-long", "fidelity-long"} & set(found)  # one budget


def test_runs_are_accounted_by_package_host_and_regime(found):
    totals = dict(found["accounting"].tables[1].rows)
    assert totals["all"] == sum(totals[host] for host in ("Windows A100", "Linux L40S"))
    assert totals["all"] == 160 + 32 + 64 + 6 + 8 + 3 + 90 + 16 + 32 + 8 + 8
    assert totals["fixed seed"] == 32 + 64 + 6 + 3


def test_effects_are_high_minus_low_of_the_stage(found, records):
    rows = rows_of(found["effects-screen"].tables[0])
    assert len(rows) == 10
    for row in rows:
        assert row["effect"] == pytest.approx(contrast(records, "screen", row["budget"], row["term"]))


def test_one_family_over_all_budgets_is_told_beside_that_of_each(found):
    rows = rows_of(found["effects-screen"].tables[0])
    ascending = sorted(rows, key=lambda row: row["p"])
    q, smallest = {}, 1.0
    for rank in range(len(rows), 0, -1):  # Benjamini and Hochberg by hand, over all ten tests
        row = ascending[rank - 1]
        smallest = min(smallest, row["p"] * len(rows) / rank)
        q[row["budget"], row["term"]] = smallest
    moved = [
        f"{r['term']} at {r['budget']}"
        for r in rows
        if (q[r["budget"], r["term"]] <= 0.05 and r["low"] * r["high"] > 0) != (r["outcome"] == "retained")
    ]
    assert moved == ["C at 10 min"]
    note = "With BH over all 10 tests of the stage at once the verdict on C at 10 min changes."
    assert note in found["effects-screen"].notes
    assert not any("at once" in note for note in found["effects-fixed"].notes)


def test_conditions_that_no_design_made_are_decoded_once(found, records):
    rows = {row["condition"]: row for row in rows_of(found["program"].tables[-1])}
    assert {name: row["first_in"] for name, row in rows.items()} == {"bridge-d8": "confirm", "greedy": "long"}
    assert [rows["bridge-d8"][x] for x in "ABCDE"] == [1, 0, 1, -1, 1]
    assert rows["bridge-d8"][LEVERS[1]] == NAMED["bridge-d8"][1]
    assert not {"c07", "c14"} & set(rows)  # rows of the design


def test_effects_over_all_budgets_come_from_one_package_each(found, records):
    section = found["over-screens"]
    rows = rows_of(section.tables[0])
    # Explicit seeds before the pilot and the follow-up at 5 minutes; the pilot alone has 2 minutes.
    stages = {"2 min": "pilot", "5 min": "screen", "10 min": "screen"}
    assert {(row["budget"], row["package"]) for row in rows} == {(b, f"{s} @ {b}") for b, s in stages.items()}
    for row in rows:
        assert row["effect"] == pytest.approx(contrast(records, stages[row["budget"]], row["budget"], row["term"]))
    marks = section.pictures[0].marks
    assert [mark.label for mark in marks[:3]] == ["D total_batch"] * 3
    assert {mark.series: mark.hollow for mark in marks} == {
        "2 min (pilot)": True, "5 min (screen)": False, "10 min (screen)": False,
    }  # fmt: skip


def test_a_picture_names_the_levels_of_factors_that_share_a_lever():
    study = a_study()
    twice = Factor(letter="F", lever=LEVERS[0], low=6, high=7, kind="int")
    evidence = Evidence(
        study=replace(study, factors=(*FACTORS, twice)), plans=(), records=(), effects=(), conditions=(), verdicts=(),
        table=None,
    )  # fmt: skip
    assert evidence.named("A") == "A depth 6 \u2192 8"
    assert evidence.named("F") == "F depth 6 \u2192 7"
    assert evidence.named("B") == "B aspect"


def test_conditions_over_hosts_have_a_panel_a_package_with_their_single_runs(found, records):
    section = found["over-hosts"]
    marks = section.pictures[0].marks
    # At 10 minutes the hosts have two conditions in common: no order.
    assert list(dict.fromkeys(mark.panel for mark in marks)) == [
        "Windows A100, 1 h (n = 4)", "Linux L40S, 1 h (n = 4)", "Windows A100, 24 h (n = 2)",
        "Linux L40S, 24 h (n = 2)",
    ]  # fmt: skip
    mark = next(m for m in marks if m.panel.startswith("Linux L40S, 1 h") and m.label == "c07")
    runs = [x for own in values(records, "linux", "1 h")["c07"].values() for x in own]
    assert (mark.runs, mark.hollow) == (tuple(runs), False)
    assert mark.value == pytest.approx(fmean(runs))
    assert section.claims == (
        "bridge-d8 has the best mean in 4 of 4 packages on two hosts or more (long @ 1 h, linux @ 1 h, "
        "windows-24h @ 24 h and linux-24h @ 24 h; descriptive only, fewer than 3 seeds: windows-24h @ 24 h and "
        "linux-24h @ 24 h).",
    )


def test_pooled_effects_and_their_change_with_the_budget(found, records):
    section = found["pooled-fixed"]
    effects, deltas, salience = (rows_of(table) for table in section.tables)
    assert {row["term"] for row in effects} == {*"ABCE", "AB", "AC", "AE", "BC", "BE", "CE"}  # D is held
    for row in effects:
        assert row["effect"] == pytest.approx(contrast(records, "fixed", row["budget"], row["term"]))
    for row in deltas:
        both = [contrast(records, "fixed", budget, row["term"]) for budget in ("5 min", "10 min")]
        assert row["change"] == pytest.approx(both[1] - both[0])
    first = salience[0]
    assert first["ratio"] == pytest.approx(abs(first["interaction_effect"] / first["main_effect"]))
    assert "42 degrees of freedom" in section.notes[0]  # 64 runs, 22 coefficients


def test_relaxation_is_the_loss_of_size(found, records):
    for row in rows_of(found["relaxation-screen"].tables[0]):
        short, long = (contrast(records, "screen", budget, row["term"]) for budget in (row["from"], row["to"]))
        assert row["shrinkage"] == pytest.approx(abs(short) - abs(long))
    assert found["relaxation-screen"].claims[0].startswith("H1 in stage screen on Windows A100: |effect| shrinks")


def test_a_stage_of_one_condition_shows_its_mean_and_orders_nothing(found, records):
    section = found["ordering-probe"]
    (row,) = rows_of(section.tables[0])
    runs = [x for own in values(records, "probe", "2 min")["bridge-d6"].values() for x in own]
    assert (row["condition"], row["n"]) == ("bridge-d6", 3)
    assert (row["mean"], row["sd"]) == pytest.approx((fmean(runs), stdev(runs)))
    assert (section.claims, section.pictures) == ((), ())


def test_what_was_carried_on_stands_beside_where_it_was_picked(found, records):
    rows = {row["condition"]: row for row in rows_of(found["carried-long"].tables[0])}
    assert set(rows) == {"bridge-d8", "c07"}  # the others did not run in `confirm`
    for label, row in rows.items():
        before, now = (
            [x for own in values(records, stage, budget)[label].values() for x in own]
            for stage, budget in (("confirm", "10 min"), ("long", "1 h"))
        )
        assert (row["before"], row["n_before"], row["n"]) == ("confirm @ 10 min, Windows A100", 5, 4)
        assert (row["mean_before"], row["mean"]) == pytest.approx((fmean(before), fmean(now)))
    assert {r["before"] for r in rows_of(found["carried-linux"].tables[0])} == {"long @ 1 h, Windows A100"}
    assert "carried-windows-24h" not in found


def test_wins_are_counted_over_all_pairs_and_name_their_members(found, records):
    rows = {(r["budget"], r["first"], r["second"]): r for r in rows_of(found["wins-confirm"].tables[0])}
    cells = values(records, "confirm", "10 min")
    best = [x for seeds in [cells["c03"]] for own in seeds.values() for x in own]
    bridge = [x for name in ("bridge-d8", "bridge-d6") for own in cells[name].values() for x in own]
    count = sum(a < b for a, b in itertools.product(best, bridge))
    row = rows["10 min", "best", "bridge"]
    assert row["wins"] == f"{count}/50"
    assert row["second_members"] == "bridge-d8 (5), bridge-d6 (5)"


def test_shares_of_the_sum_of_squares_by_hand(found, records):
    cells = {
        (b, c, s): own[0]
        for b in ("2 min", "5 min", "10 min")
        for c, seeds in values(records, "confirm", b).items()
        for s, own in seeds.items()
    }
    grand = fmean(cells.values())
    total = sum((y - grand) ** 2 for y in cells.values())

    def between(index: int) -> float:
        groups: dict[object, list[float]] = {}
        for key, y in cells.items():
            groups.setdefault(key[index], []).append(y)
        return sum(len(own) * (fmean(own) - grand) ** 2 for own in groups.values()) / total

    bars = found["shares-confirm"].pictures[0]
    assert bars.bars
    assert [m.value for m in bars.marks[:2]] == pytest.approx([between(0), between(1)])
    eta = {row["term"]: row["eta_sq"] for row in rows_of(found["shares-confirm"].tables[0])}
    assert [eta[name] for name in ("budget", "condition", "seed")] == pytest.approx([between(i) for i in range(3)])
    assert sum(eta.values()) == pytest.approx(1.0)


def test_refinement_pairs_bridges_by_seed(found, records):
    row = next(r for r in rows_of(found["refinement-confirm"].tables[0]) if r["budget"] == "5 min")
    cells = values(records, "confirm", "5 min")
    gaps = [cells[row["first"]][s][0] - cells[row["second"]][s][0] for s in cells[row["first"]]]
    assert {row["first"], row["second"]} == {"bridge-d8", "bridge-d6"}
    assert row["difference"] == pytest.approx(fmean(gaps))
    assert row["how"] == "paired, 5 seeds"


def test_the_bridge_is_separated_by_welch_under_holm(found, records):
    from scipy.stats import ttest_ind

    cells = {c: [own[0] for own in seeds.values()] for c, seeds in values(records, "long", "1 h").items()}
    p = {}
    for a, b in itertools.combinations(cells, 2):
        p[frozenset((a, b))] = float(ttest_ind(cells[a], cells[b], equal_var=False).pvalue)
    ascending = sorted(p, key=p.__getitem__)
    adjusted, highest = {}, 0.0
    for i, pair in enumerate(ascending):
        highest = max(highest, min(1.0, (len(p) - i) * p[pair]))
        adjusted[pair] = highest
    rows = rows_of(found["separation-long"].tables[0])
    assert {row["anchor"] for row in rows} == {"greedy", "c07", "control"}
    for row in rows:
        assert row["p"] == pytest.approx(adjusted[frozenset((row["bridge"], row["anchor"]))])
        assert row["difference"] == pytest.approx(fmean(cells["bridge-d8"]) - fmean(cells[row["anchor"]]))
    assert found["separation-long"].claims == (
        "H2 at 1 h (long @ 1 h, Windows A100; n = 4): bridge-d8 is better than each of greedy, c07 and control.",
    )


def test_hosts_are_compared_by_order_and_two_seeds_only_described(found):
    name = "hosts-long-1-h-linux-1-h"
    ranks = {row["condition"]: (row["first_rank"], row["second_rank"]) for row in rows_of(found[name].tables[0])}
    assert ranks == {"bridge-d8": (1, 1), "greedy": (2, 3), "c07": (3, 4), "control": (4, 2)}
    pairs = {frozenset((row["first"], row["second"])) for row in rows_of(found[name].tables[1])}
    assert pairs == {frozenset(("greedy", "control")), frozenset(("c07", "control"))}
    day = next(s for n, s in found.items() if n.startswith("hosts-linux-24h"))
    assert day.claims[0].endswith("descriptive only, two seeds.")
    assert all(row["supported"] == "no" for row in rows_of(day.tables[1]))


def test_a_fixed_seed_and_two_seeds_are_described_only(found):
    claims = [*found["effects-fixed"].claims, *found["ordering-fixed"].claims, *found["separation-linux-24h"].claims]
    assert claims
    assert all("descriptive only" in claim for claim in claims)


def test_greedy_accepts_what_beats_the_value_it_holds(found, records):
    asked = [r for r in records if r.spec.stage == "greedy"]
    held, accepted = None, []
    for number, r in enumerate(asked, start=1):
        value = r.outcome.responses["val_bpb"]
        if held is not None and held[0] == r.spec.condition:
            held = (r.spec.condition, value)
        elif held is None or value < held[1]:
            held = (r.spec.condition, value)
            accepted.append((number, r.spec.condition))
    rows = rows_of(found["greedy-greedy"].tables[0])
    assert [(row["run"], row["condition"]) for row in rows] == accepted
    assert {row["seed"] for row in rows} == {str(LEGACY)}
    # A and D have the largest effects; c03 is the first of the walk with both low.
    assert "first run in the region D low and A low was number 4" in found["greedy-greedy"].claims[0]


def test_random_batches_are_read_batch_by_batch(found, records):
    drawn = [r.outcome.responses["val_bpb"] for r in records if r.spec.stage == "random"]
    best, beside = (rows_of(table) for table in found["random-random"].tables)
    assert [row["value"] for row in best] == [min(drawn[:4]), min(drawn[4:])]
    screen = next(row for row in beside if "screen @ 10 min" in row["beside"])
    runs = [x for seeds in values(records, "screen", "10 min").values() for own in seeds.values() for x in own]
    assert screen["value"] == min(runs)
    assert screen["batches_better"] == sum(row["value"] < min(runs) for row in best)


def test_the_split_by_speed_adds_up(found, records):
    rows = rows_of(found["speed-screen"].tables[0])
    for row in rows:
        assert row["per_step"] + row["speed"] == pytest.approx(row["effect"])
        assert row["effect"] == pytest.approx(contrast(records, "screen", row["budget"], row["term"]))
    # Only depth changes the number of steps here.
    assert {row["term"]: abs(row["speed"]) > 1e-9 for row in rows} == {
        "A": True, "B": False, "C": False, "D": False, "E": False,
    }  # fmt: skip


def test_the_next_surface_holds_the_largest_effect(found):
    section = found["next-surface"]
    assert [column.name for column in section.tables[0].columns] == ["row", "A", "B", "C"]
    assert "D (`batch.total_batch`) held at 262,144" in section.notes[0]


def test_nothing_planned_has_no_section():
    study = a_study()
    assert sections_of(study, (), analysis_of(study, (), ())) == ()


def test_names_of_tables_and_pictures_are_unique(found):
    tables = [table.name for section in found.values() for table in section.tables]
    pictures = [picture.name for section in found.values() for picture in section.pictures]
    assert len(set(tables)) == len(tables)
    assert len(set(pictures)) == len(pictures)
