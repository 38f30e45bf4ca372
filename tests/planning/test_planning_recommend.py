"""The recommended recipe, and sentences that say no more than the paired intervals carry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import mean

import pytest

from foldover.core import ConditionSummary, Outcome, RunRecord, Study, Values, Verdict
from foldover.planning import Candidate, Plan, best_candidate, candidates, compare, recommend

Make = Callable[[str, Mapping[int, float]], Candidate]

# Pairs of c01 and c02 differ by about 0.1 with little spread; those of c01 and c03 by 0.02 with much.
C01 = {11: 1.00, 12: 1.20, 13: 1.10}
C02 = {11: 1.10, 12: 1.31, 13: 1.20}
C03 = {11: 1.10, 12: 1.10, 13: 1.16}


@pytest.fixture
def candidate(screen: Plan, summary_of: Callable[..., ConditionSummary]) -> Make:
    def make(label: str, by_seed: Mapping[int, float]) -> Candidate:
        summary = summary_of(label, mean(by_seed.values()), package="confirm @ 5 min", n=len(by_seed))
        return Candidate(condition=screen.condition(label), summary=summary, by_seed=by_seed)

    return make


@pytest.fixture
def found(candidate: Make) -> list[Candidate]:
    return [candidate("c02", C02), candidate("c01", C01), candidate("c03", C03)]


def verdict(subject: str, decision: str) -> Verdict:
    return Verdict(stage="screen", subject=subject, decision=decision, because="numbers", rule="", evidence="")  # type: ignore[arg-type]


def test_the_best_mean_is_recommended(quick_study, found):
    recommendation = recommend(quick_study, found, [])
    assert (recommendation.condition, recommendation.package) == ("c01", "confirm @ 5 min")


def test_the_largest_mean_is_recommended_where_more_is_better(quick_study, found):
    assert recommend(replace(quick_study, direction="maximize"), found, []).condition == "c02"


def test_of_equal_means_the_first_label_is_taken(candidate):
    assert best_candidate([candidate("c02", C01), candidate("c01", C01)], "minimize").condition.label == "c01"


def test_a_recommendation_has_the_recipe_and_its_changes(quick_study, found, screen):
    recommendation = recommend(quick_study, found, [])
    recipe = screen.condition("c01").recipe
    assert (recommendation.recipe, recommendation.changes) == (recipe, recipe.diff(quick_study.baseline))


def test_what_a_paired_interval_resolves_is_supported(quick_study, found):
    supports = recommend(quick_study, found, []).supports
    assert "Its 95% interval of the seed-paired difference excludes 0 against c02." in supports


def test_what_no_interval_resolves_is_not_supported(quick_study, found):
    against = recommend(quick_study, found, []).does_not_support
    assert "That it beats c03: these differences are not resolved by 3 seeds." in against


def test_an_unresolved_rival_is_nowhere_among_what_is_supported(quick_study, found):
    assert not any("c03" in sentence for sentence in recommend(quick_study, found, []).supports)


def test_when_all_is_resolved_no_rival_is_left_open(quick_study, candidate):
    found = [candidate("c01", C01), candidate("c02", C02)]
    assert not any("beats" in sentence for sentence in recommend(quick_study, found, []).does_not_support)


def test_the_claim_never_reaches_beyond_budget_host_and_levels(quick_study, candidate):
    (sentence,) = recommend(quick_study, [candidate("c01", C01)], []).does_not_support
    assert sentence.startswith("Anything beyond 5 min, this host and these levels")


def test_the_mean_of_the_best_of_several_is_said_to_be_flattered(quick_study, found):
    assert any("best of 3" in sentence for sentence in recommend(quick_study, found, []).does_not_support)


def test_two_seeds_and_reruns_of_one_are_said_to_describe_only(quick_study, candidate):
    two = [candidate("c01", {11: 1.0, 12: 1.01}), candidate("c02", {11: 1.5, 12: 1.5101})]
    first, second = recommend(quick_study, two, []).supports
    assert "best mean val_bpb of the conditions run at 5 min under fresh seeds (1.0050, n = 2)" in first
    assert second.endswith("seed-paired difference excludes 0 against c02: descriptive only, 2 seeds.")
    fixed = [replace(each, is_fixed=True) for each in two]
    first, second = recommend(quick_study, fixed, []).supports
    assert "under one fixed seed (1.0050, n = 2)" in first
    assert second.endswith("difference of its reruns excludes 0 against c02: descriptive only, one fixed seed.")


def test_the_only_condition_is_not_called_the_best(quick_study, candidate):
    (sentence,) = recommend(quick_study, [candidate("c01", C01)], []).supports
    assert sentence == "c01 has the only mean val_bpb of the conditions run at 5 min under fresh seeds (1.1000, n = 3)."


@pytest.mark.parametrize(
    ("decision", "is_said"),
    [("fix_low", True), ("fix_high", True), ("drop", True), ("undecided", False), ("keep_open", False)],
)
def test_only_decided_factors_are_supported(quick_study, found, decision, is_said):
    supports = recommend(quick_study, found, [verdict("A", decision)]).supports
    assert ("Factor A: numbers." in supports) == is_said


def test_every_rival_is_compared_with_numbers(quick_study, found):
    comparisons = recommend(quick_study, found, []).comparisons
    assert [c.partition(":")[0] for c in comparisons] == ["c01 - c02", "c01 - c03"]
    assert "-0.1033" in comparisons[0]
    assert "(paired, 3 seeds, p = " in comparisons[0]


def test_a_comparison_without_common_seeds_has_no_interval(quick_study, candidate):
    found = [candidate("c01", C01), candidate("c02", {21: 1.5, 22: 1.6})]
    recommendation = recommend(quick_study, found, [])
    assert "without an interval" in recommendation.comparisons[0]
    assert any("That it beats c02" in sentence for sentence in recommendation.does_not_support)


def test_only_common_seeds_are_paired(candidate):
    difference = compare(candidate("c01", C01), candidate("c02", {**C02, 14: 9.0}), level=0.95)
    assert (difference.what, difference.n) == ("paired difference", 3)


def test_one_common_seed_is_no_comparison(candidate):
    assert compare(candidate("c01", C01), candidate("c02", {11: 1.5, 21: 1.6}), level=0.95) is None


def test_differences_without_any_spread_have_no_interval(candidate):
    assert compare(candidate("c01", {1: 1.0, 2: 2.0}), candidate("c02", {1: 2.0, 2: 3.0}), level=0.95) is None


def test_a_rival_that_is_better_pairwise_is_not_called_beaten(quick_study, candidate):
    # c02 is better under both common seeds, but has a bad third one of its own.
    found = [candidate("c01", {11: 1.1, 12: 1.1001}), candidate("c02", {11: 1.0, 12: 1.0, 13: 9.0})]
    recommendation = recommend(quick_study, found, [])
    assert any("That it beats c02" in sentence for sentence in recommendation.does_not_support)


# Candidates


def records(study: Study, plan: Plan, label: str, package: str) -> list[RunRecord]:
    runs = [run for run in plan.runs if (run.condition, run.package) == (label, package)]
    return [
        RunRecord(
            spec=run,
            attempt=1,
            outcome=Outcome(
                run_id=run.run_id,
                status="finished",
                started="",
                finished="",
                responses=Values({study.response: float(run.seed)}),
            ),
        )
        for run in runs
    ]


def test_a_candidate_has_its_results_by_seed(quick_study, screen, summary_of):
    (candidate,) = candidates(
        records(quick_study, screen, "c01", "screen @ 5 min"),
        [summary_of("c01", 1.5)],
        {("screen @ 5 min", "c01"): screen.condition("c01")},
        packages={"screen @ 5 min": "explicit"},
        response="val_bpb",
    )
    assert candidate.by_seed == {1: 1.0, 2: 2.0}


def test_an_excluded_run_is_no_result_of_a_candidate(quick_study, screen, summary_of):
    first, second = records(quick_study, screen, "c01", "screen @ 5 min")
    (candidate,) = candidates(
        [replace(first, exclusion="shared machine"), second],
        [summary_of("c01", 1.5)],
        {("screen @ 5 min", "c01"): screen.condition("c01")},
        packages={"screen @ 5 min": "explicit"},
        response="val_bpb",
    )
    assert set(candidate.by_seed) == {second.spec.seed}


def test_conditions_of_other_packages_are_no_candidates(screen, summary_of):
    found = candidates(
        [],
        [summary_of("c01", 1.0, package="screen @ 2 min")],
        {("screen @ 2 min", "c01"): screen.condition("c01")},
        packages={"screen @ 5 min": "explicit"},
        response="val_bpb",
    )
    assert found == ()
