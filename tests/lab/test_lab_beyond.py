"""What a published program left open: size beside the bridge, surfaces, splits, common seeds and trunks in a report.

Records are made from formulas, so that each sentence has a known answer.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev

import pytest
from scipy.stats import t as student

from foldover.core import (
    Budget,
    DesignRequest,
    Factor,
    Gate,
    Limit,
    Outcome,
    Pick,
    Recipe,
    Resolved,
    RunRecord,
    RunSpec,
    Stage,
    Study,
    Values,
)
from foldover.lab.analysis import analyse_records, judge_stage
from foldover.lab.sections import sections_of
from foldover.planning import Condition, Plan, expand
from foldover.planning.stages import plan_screen
from foldover.report.section import Section, SectionTable
from foldover.simulator import levers

A = Factor(letter="A", lever="model.depth", low=4, high=8, kind="int")
B = Factor(letter="B", lever="model.aspect", low=48, high=80, kind="int")
C = Factor(letter="C", lever="optimizer.matrix_lr", low=0.02, high=0.08, scale="log")
FACTORS = (A, B, C)
SEEDS = (1, 2, 3, 4)


def limit(text: str) -> Budget:
    return Budget(limit=Limit.parse(text))


def study_of(*stages: Stage) -> Study:
    return Study(
        name="beyond",
        question="What is left?",
        response="val_bpb",
        direction="minimize",
        baseline=Recipe(trainer="simulator", values=Values({f.lever: f.low for f in FACTORS})),
        factors=FACTORS,
        stages=stages,
        gate=Gate(),
        constants=Values(),
    )


def record_of(run: RunSpec, value: float, **counters: float) -> RunRecord:
    outcome = Outcome(
        run_id=run.run_id,
        status="finished",
        started="2026-01-05T10:00:00+00:00",
        finished="2026-01-05T10:00:04+00:00",
        responses=Values(val_bpb=value),
        counters=Values({"steps": 100, "training_seconds": 1.0, **counters}),
    )
    return RunRecord(spec=run, attempt=1, outcome=outcome)


def found_in(
    study: Study, plans: Sequence[Plan], value: Callable[[RunSpec], float], count: Callable[[RunSpec], dict[str, float]]
) -> dict[str, Section]:
    records = [record_of(run, value(run), **count(run)) for plan in plans for run in plan.runs]
    analysis = analyse_records(study, plans, records, levers.LEVERS)
    return {section.name: section for section in sections_of(study, plans, analysis)}


def nothing(run: RunSpec) -> dict[str, float]:
    return {}


def rows_of(table: SectionTable) -> list[dict[str, object]]:
    names = [column.name for column in table.columns]
    return [dict(zip(names, row, strict=True)) for row in table.rows]


def noise(*name: object, sd: float) -> float:
    return random.Random("/".join(map(str, name))).gauss(0.0, sd)  # noqa: S311


SIZES = {"bridge": (100, 1000), "c10": (160, 1700), "cap": (103, 800), "work": (140, 980)}


def anchors(
    means: Mapping[str, float], *, seeds: tuple[int, ...] = SEEDS, sizes: Mapping[str, tuple[int, int]] = SIZES
) -> tuple[Section, dict[str, dict[int, float]]]:
    """The section on sizes of a bridge, a control and two matched anchors with these means, and the runs."""
    screen = Stage(name="screen", kind="screen", budgets=(limit("9s"),), seeds=(9,), design=DesignRequest(runs=8))
    picks = (
        Pick(role="bridge", stage="screen", best=1, changes=Values({B.lever: 64})),
        Pick(role="control", stage="screen", worst=1),
        Pick(role="same capacity", stage="screen", best=1, match="num_params", over=("A",)),
        Pick(role="same work", stage="screen", best=1, match="flops_per_token", over=("A",)),
    )
    stage = Stage(name="anchors", kind="anchors", budgets=(limit("90s"),), seeds=seeds, picks=picks)
    roles = {"bridge": "bridge", "c10": "control", "cap": "same capacity", "work": "same work"}
    study = study_of(screen, stage)
    conditions = [
        Condition(
            label=label,
            role=roles[label],
            levels=(-1.0, 0.0, float(i)),
            recipe=Recipe(trainer="simulator", values=study.baseline.values.with_({C.lever: 0.02 + 0.01 * i})),
            derived=Values(width=8 * i, num_params=sizes[label][0], flops_per_token=sizes[label][1]),
        )
        for i, label in enumerate(means)
    ]
    plan = expand(study, stage, conditions)
    runs: dict[str, dict[int, float]] = {label: {} for label in means}

    def value(run: RunSpec) -> float:
        runs[run.condition][run.seed] = (
            means[run.condition] + noise(run.seed, sd=0.05) + noise(run.condition, run.seed, sd=0.002)
        )
        return runs[run.condition][run.seed]

    return found_in(study, [plan], value, nothing)["sizes-anchors"], runs


WON = {"bridge": 1.0, "c10": 1.1, "cap": 1.05, "work": 1.0}


def test_sizes_stand_beside_the_bridge_with_how_far_off_they_are():
    section, _ = anchors(WON)
    rows = {row["condition"]: row for row in rows_of(section.tables[0])}
    assert {label: row["matched_in"] for label, row in rows.items()} == {
        "bridge": "", "c10": "", "cap": "parameters", "work": "FLOPs per token",
    }  # fmt: skip
    assert (rows["c10"]["num_params"], rows["c10"]["flops_per_token"]) == (160, 1700)
    assert [rows[label]["num_params_gap"] for label in ("bridge", "c10", "cap")] == pytest.approx([0.0, 0.6, 0.03])
    assert rows["work"]["flops_per_token_gap"] == pytest.approx(-0.02)
    assert [rows[label]["differs_in"] for label in ("bridge", "c10")] == ["", "matrix_lr"]


def test_the_bridge_less_its_anchors_is_paired_by_seed():
    section, runs = anchors(WON)
    rows = {row["anchor"]: row for row in rows_of(section.tables[1])}
    assert [rows[label]["matched_in"] for label in ("c10", "cap", "work")] == ["", "parameters", "FLOPs per token"]
    for label, row in rows.items():
        gaps = [runs["bridge"][seed] - runs[str(label)][seed] for seed in SEEDS]
        half = student.ppf(0.975, 3) * stdev(gaps) / 2
        assert (row["difference"], row["low"], row["high"]) == pytest.approx(
            (fmean(gaps), fmean(gaps) - half, fmean(gaps) + half)
        )


def ends(section: Section) -> list[str]:
    return [claim.rpartition(": ")[2] for claim in section.claims]


def test_what_survives_matching_is_said_quantity_by_quantity():
    section, _ = anchors(WON)
    in_size, in_work = section.claims
    assert "less cap, which has its parameters (+3.0%), " in in_size
    assert in_size.endswith(": the advantage survives matching in parameters.")
    assert "less work, which has its FLOPs per token (\u22122.0%), " in in_work
    assert in_work.endswith(": whether the advantage survives matching in FLOPs per token cannot be told.")
    lost, _ = anchors({**WON, "cap": 0.95})
    assert ends(lost)[0] == "the anchor of that size is better."
    none, _ = anchors({**WON, "c10": 1.0})
    assert ends(none)[0] == "no advantage over c10 is shown that size could explain."
    worse, _ = anchors({**WON, "c10": 0.9})
    assert ends(worse)[0] == "no advantage over c10 is shown that size could explain (the other is better)."


def test_an_end_that_is_not_zero_is_not_printed_as_zero():
    from foldover.lab.sections_sizes import _Gap

    gap = _Gap(other="work", estimate=0.0126, low=0.00034, high=0.0248, how="")
    assert gap.text(3) == "+0.0126 [+0.0003, +0.0248]"
    assert gap.text(2) == "+0.0126 [+0.0003, +0.0248]"


def test_two_seeds_tell_nothing_of_survival():
    section, _ = anchors(WON, seeds=(1, 2))
    assert all("cannot be told, descriptive only (2 seeds)" in claim for claim in section.claims)


def test_what_is_too_far_off_is_no_match():
    section, _ = anchors(WON, sizes={**SIZES, "cap": (120, 800), "work": (140, 1090)})
    assert section.claims[0].endswith(
        "whether bridge gains more than size cannot be told: no anchor is matched within 10% of its parameters; the "
        "nearest is cap (+20.0%)."
    )
    assert "less work, which has its FLOPs per token (+9.0%)" in section.claims[1]


def test_one_anchor_may_be_matched_in_both():
    section, _ = anchors({k: WON[k] for k in ("bridge", "c10", "cap")}, sizes={**SIZES, "cap": (103, 990)})
    assert "less cap, which has its parameters (+3.0%)" in section.claims[0]
    assert "less cap, which has its FLOPs per token (\u22121.0%)" in section.claims[1]


def test_without_a_match_size_is_shown_and_nothing_claimed():
    stage = Stage(name="long", kind="bridge", budgets=(limit("90s"),), seeds=SEEDS)
    study = study_of(stage)
    conditions = [
        Condition(
            label=label,
            role=role,
            levels=(0.0, 0.0, x),
            recipe=replace(study.baseline, values=study.baseline.values.with_({C.lever: 0.04 + 0.01 * x})),
            derived=Values(num_params=size),
        )
        for label, role, x, size in (("bridge", "bridge", 0.0, 100), ("c10", "control", 1.0, 101))
    ]
    plan = expand(study, stage, conditions)
    section = found_in(study, [plan], lambda run: 1.0 + noise(run.condition, run.seed, sd=0.1), nothing)["sizes-long"]
    assert section.claims == ()
    assert len(section.tables) == 1


def surface_study(seeds: tuple[int, ...] = SEEDS) -> tuple[Study, Plan]:
    design = DesignRequest(runs=9, kind="faced")
    stage = Stage(
        name="region", kind="surface", budgets=(limit("9s"),), seeds=seeds, design=design, fix=Values(A="low")
    )
    study = study_of(stage)
    return study, plan_screen(study, stage, resolve)


def resolve(recipe: Recipe) -> Resolved:
    return Resolved(recipe=recipe, derived=Values(), effective=recipe.values)


def bowl(run: RunSpec) -> float:
    """Smallest at (0.5, 0): aspect 72, matrix_lr 0.04."""
    _, b, c = run.levels
    seed = noise("seed", run.seed, sd=0.3)
    return 1.0 + (b - 0.5) ** 2 + 0.2 * c**2 + seed + noise(run.condition, run.seed, sd=0.02)


def test_a_surface_tells_where_it_bends_and_where_it_is_best():
    study, plan = surface_study()
    section = found_in(study, [plan], bowl, nothing)["surface-region"]
    terms = {row["term"]: row for row in rows_of(section.tables[0])}
    truth = {"B": -1.0, "C": 0.0, "BC": 0.0, "B^2": 1.0, "C^2": 0.2}
    assert set(terms) == set(truth)
    for term, value in truth.items():
        assert terms[term]["coefficient"] == pytest.approx(value, abs=0.03)
        assert terms[term]["low"] < terms[term]["coefficient"] < terms[term]["high"]
    assert section.claims[0] == "At 9 s in stage region the response bends along B and C."
    best = {row["factor"]: row for row in rows_of(section.tables[1])}
    assert best["B"]["best"] in (71, 72, 73)
    assert best["B"]["low"] <= 72 <= best["B"]["high"]
    assert best["C"]["best"] == pytest.approx(0.04, rel=0.1)
    corners = {run.condition: run.levels for run in plan.runs if all(abs(x) == 1 for x in run.levels[1:])}
    label = section.claims[1].partition("best mean (")[2].partition(")")[0]
    assert corners[label][1] == 1.0
    # The bowl is 0.25 higher in B and 0.2 in C at the better corners.
    low, high = section.claims[1].rpartition("[")[2].partition("]")[0].replace("\u2212", "-").split(", ")
    assert float(low) < -0.45 < float(high)
    assert section.claims[1].endswith("told apart.")
    assert "no lack of fit is shown (F(3, 24)" in section.tables[0].note  # 9 conditions, 4 seeds


def test_a_surface_that_is_flat_claims_no_more():
    study, plan = surface_study()
    section = found_in(study, [plan], lambda run: noise(run.condition, run.seed, sd=0.1), nothing)["surface-region"]
    assert section.claims[0] == "At 9 s in stage region no curvature is shown."
    assert "not told apart" in section.claims[1] or "what lies beyond it is not known" in section.claims[1]


def test_two_seeds_of_a_surface_describe():
    study, plan = surface_study(seeds=(1, 2))
    section = found_in(study, [plan], bowl, nothing)["surface-region"]
    assert section.claims[1].endswith("descriptive only, 2 seeds.")


def test_the_best_condition_of_a_surface_is_carried_and_not_compared():
    study, plan = surface_study()
    records = [record_of(run, bowl(run)) for run in plan.runs]
    (verdict,) = judge_stage(study, plan, [plan], analyse_records(study, [plan], records, levers.LEVERS))
    # Aspects 64 and 80 are equally far from 72, at the centre of the rate.
    assert verdict.decision == "carry"
    assert verdict.subject in ("a02", "z01")
    assert "the best of 9 conditions in 36 runs: flattered by chance" in verdict.because


def screened(kind: str, *, branch: bool = False) -> tuple[Study, Plan]:
    stage = Stage(
        name="screen",
        kind="screen",
        budgets=tuple(limit(f"{amount} {kind}") for amount in (1000, 2000, 4000)),
        seeds=SEEDS,
        design=DesignRequest(runs=8),
        branch="warmdown" if branch else None,
    )
    study = study_of(stage)
    return study, plan_screen(study, stage, resolve)


def steps_of(run: RunSpec) -> int:
    """The high level of A takes half the steps."""
    return int(run.budget.limit.amount / (1.0 if run.levels[0] < 0 else 2.0))


def by_steps(run: RunSpec) -> float:
    """Half a unit less for each doubling of steps, and A is 0.2 better at equal steps."""
    value = 5.0 - 0.5 * math.log2(steps_of(run)) - 0.1 * run.levels[0]
    return value + noise("seed", run.seed, sd=0.2) + noise(run.condition, run.seed, run.budget.label(), sd=0.001)


def test_effects_at_equal_flops_are_split_into_steps_and_speed():
    study, plan = screened("flops")
    section = found_in(study, [plan], by_steps, lambda run: {"steps": steps_of(run)})["speed-screen"]
    row = next(row for row in rows_of(section.tables[0]) if row["term"] == "A" and row["budget"] == "4,000 flops")
    assert (row["effect"], row["per_step"], row["speed"]) == pytest.approx((0.3, -0.2, 0.5), abs=0.003)
    assert (row["steps_low"], row["steps_high"]) == pytest.approx((4000, 2000))
    (claim,) = section.claims  # B and C change no steps
    assert claim.startswith("At 4,000 flops in stage screen the effect of A, ")
    assert claim.endswith("its high level takes 0.50 times the steps of the low one.")
    assert "not told from 0" not in claim
    assert "At equal FLOPs" in section.notes[0]


def test_what_cannot_be_split_is_said():
    study, plan = screened("tokens")

    def few(run: RunSpec) -> dict[str, float]:
        return {"steps": run.budget.limit.amount / (1.0 if run.levels[0] < 0 else 16.0)}

    section = found_in(study, [plan], by_steps, few)["speed-screen"]
    assert "Not split: A at 2,000 tokens and A at 4,000 tokens" in section.notes[1]
    assert "A" not in {row["term"] for row in rows_of(section.tables[0])}


def test_equal_steps_are_not_split():
    study, plan = screened("steps")
    assert "speed-screen" not in found_in(study, [plan], by_steps, lambda run: {"steps": steps_of(run)})


def test_signs_that_a_short_budget_keeps_turns_or_does_not_tell():
    study, plan = screened("steps")

    def turning(run: RunSpec) -> float:
        a, b, c = run.levels
        turned = b if run.budget.limit.amount < 4000 else -b
        balanced = 0.05 * c * (-1) ** run.seed  # an effect of 0 with an error
        return 0.5 * a + 0.5 * turned + balanced + noise("seed", run.seed, sd=0.2) + noise(run.run_id, sd=0.001)

    claims = found_in(study, [plan], turning, nothing)["fidelity-screen"].claims
    assert claims[-1] == (
        "Factor by factor in stage screen, 2,000 steps keeps the sign of A; it turns that of B; it does not tell that "
        "of C at 4,000 steps (each with a probability of 95% or more)."
    )


def test_budgets_that_share_trunks_are_said_to_agree_for_it():
    study, plan = screened("steps", branch=True)
    shared = found_in(study, [plan], by_steps, nothing)["fidelity-screen"].notes
    alone = found_in(*((other := screened("steps"))[0], [other[1]]), by_steps, nothing)["fidelity-screen"].notes
    assert len(shared) == len(alone) + 1
    assert "share most of their training" in shared[-1]


def test_common_seeds_save_what_their_interval_tells():
    study, plan = screened("steps")

    def shared(run: RunSpec) -> float:
        return noise("seed", run.seed, sd=1.0) + noise(run.condition, run.seed, run.budget.label(), sd=0.02)

    section = found_in(study, [plan], shared, nothing)["pairing-screen"]
    assert len(section.claims) == 3
    for row in rows_of(section.tables[0]):
        if row["low"] is not None and row["low"] > 0:
            assert f"{row['term']} ({row['saved']:.0%} [{row['low']:.0%}, {row['high']:.0%}])" in " ".join(
                section.claims
            )
    assert any("save variance of" in claim for claim in section.claims)
    assert fmean(float(str(row["saved"])) for row in rows_of(section.tables[0])) > 0.99


def branched(plan: Plan) -> Plan:
    """A trunk of 3,000 steps a condition and seed; budgets begin at 750, 1,500 and 3,000."""
    points = {1000.0: 750.0, 2000.0: 1500.0, 4000.0: 3000.0}
    trunks: dict[tuple[str, int], RunSpec] = {}
    for run in plan.runs:
        trunks.setdefault(
            (run.condition, run.seed),
            replace(
                run,
                package="screen trunk",
                condition=f"trunk-{run.condition}",
                budget=limit("3000 flops"),
                branch_points=tuple(Limit(kind="flops", amount=amount) for amount in points.values()),
            ),
        )
    own = [replace(run, starts_from=trunks[run.condition, run.seed].run_id) for run in plan.runs]
    packages = tuple(
        replace(package, runs=tuple(run.run_id for run in own if run.package == package.name))
        for package in plan.packages
    )
    return replace(plan, runs=(*trunks.values(), *own), packages=packages)


def test_what_trunks_save_is_counted_beside_the_longest_budget():
    study, plan = screened("flops")
    plan = branched(plan)

    def count(run: RunSpec) -> dict[str, float]:
        return {} if run.is_trunk else {"steps": 100, "continued_from_step": 75}

    section = found_in(study, [plan], by_steps, count)["trunks-screen"]
    units = 8 * len(SEEDS)
    spent, alone, whole = units * (3000 + 250 + 500 + 1000), units * 4000, units * 7000
    rows = rows_of(section.tables[0])
    assert [row["trained"] for row in rows] == [units * 3000, units * 250, units * 500, units * 1000]
    assert sum(float(str(row["from_first_step"])) for row in rows) == whole
    assert section.claims == (
        f"3 budgets of stage screen took {spent:,} flops of training: {spent / alone:.2f} times the longest alone "
        f"({alone:,} flops), and {1 - spent / whole:.0%} less than from their first steps ({whole:,} flops).",
    )


def test_runs_that_do_not_say_their_steps_are_left_out_and_counted():
    study, plan = screened("flops")
    plan = branched(plan)
    silent = next(run for run in plan.runs if run.starts_from and run.budget.limit.amount == 1000)

    def count(run: RunSpec) -> dict[str, float]:
        return {"steps": 0} if run == silent else {"steps": 100, "continued_from_step": 75}

    section = found_in(study, [plan], by_steps, count)["trunks-screen"]
    assert section.notes[-1] == "1 run without a number of steps left out."
    assert rows_of(section.tables[0])[1]["runs"] == 8 * len(SEEDS) - 1


def test_trunks_are_not_counted_before_all_have_ended():
    study, plan = screened("flops")
    plan = branched(plan)
    records = [record_of(run, by_steps(run), continued_from_step=75) for run in plan.runs[:-1]]
    analysis = analyse_records(study, [plan], records, levers.LEVERS)
    assert "trunks-screen" not in {section.name for section in sections_of(study, [plan], analysis)}


def test_common_seeds_of_anchors_are_paired_with_the_bridge():
    stage = Stage(name="long", kind="bridge", budgets=(limit("90s"),), seeds=SEEDS)
    study = study_of(stage)
    conditions = [
        Condition(label=label, role=role, levels=(0.0, 0.0, x), recipe=Recipe(trainer="simulator", values=Values({
            **study.baseline.values, C.lever: 0.04 + 0.01 * x})), derived=Values())
        for label, role, x in (("bridge", "bridge", 0.0), ("c10", "control", 1.0))
    ]  # fmt: skip
    plan = expand(study, stage, conditions)

    def value(run: RunSpec) -> float:
        return noise("seed", run.seed, sd=1.0) + noise(run.condition, run.seed, sd=0.01)

    section = found_in(study, [plan], value, nothing)["pairing-long"]
    (row,) = rows_of(section.tables[0])
    own = {label: [value(run) for run in sorted(plan.runs, key=lambda r: r.seed) if run.condition == label]
           for label in ("bridge", "c10")}  # fmt: skip
    gaps = [a - b for a, b in zip(own["bridge"], own["c10"], strict=True)]
    assert row["paired_sd"] == pytest.approx(stdev(gaps))
    assert row["unpaired_sd"] == pytest.approx(math.hypot(stdev(own["bridge"]), stdev(own["c10"])))
    assert "save variance of bridge \u2212 c10 (100% [" in section.claims[0]
