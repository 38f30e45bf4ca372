"""The register of families: declared once, tested once, never edited after data."""

from __future__ import annotations

import pytest

from foldover.core import AnalysisError, from_json, to_json
from foldover.stats import Family, FamilyRegister, Hypothesis

A, B = Hypothesis(term="A", budget="5 min"), Hypothesis(term="B", budget="5 min")
MAIN = Family(id="main-5", hypotheses=(A, B), stopping_rule="5 seeds")


def declared(*families: Family) -> FamilyRegister:
    register = FamilyRegister()
    for family in families:
        register = register.declare(family)
    return register


def test_result_carries_adjusted_p_and_decisions() -> None:
    _, result = declared(MAIN).test("main-5", {A: 0.01, B: 0.4}, evidence="e1")
    assert [(d.adjusted, d.rejected) for d in result.decided] == [(0.02, True), (0.4, False)]


def test_missing_hypothesis_counts_as_p_one() -> None:
    _, result = declared(MAIN).test("main-5", {A: 0.03}, evidence="e1")
    assert [d.rejected for d in result.decided] == [False, False]


def test_second_test_on_other_evidence_is_refused() -> None:
    register, _ = declared(MAIN).test("main-5", {A: 0.2, B: 0.4}, evidence="first")
    with pytest.raises(AnalysisError, match="tested already"):
        register.test("main-5", {A: 0.01, B: 0.4}, evidence="second")


def test_recomputation_from_the_same_evidence_gives_the_same_result() -> None:
    register, result = declared(MAIN).test("main-5", {A: 0.2, B: 0.4}, evidence="first")
    assert register.test("main-5", {A: 0.2, B: 0.4}, evidence="first") == (register, result)


def test_other_p_from_the_same_evidence_is_refused() -> None:
    register, _ = declared(MAIN).test("main-5", {A: 0.2, B: 0.4}, evidence="first")
    with pytest.raises(AnalysisError, match="tested already"):
        register.test("main-5", {A: 0.1, B: 0.4}, evidence="first")


def test_edit_after_data_is_refused() -> None:
    register, _ = declared(MAIN).test("main-5", {A: 0.2, B: 0.4}, evidence="first")
    with pytest.raises(AnalysisError, match="edited after its data were seen"):
        register.declare(Family(id="main-5", hypotheses=(A,)))


def test_amendment_needs_a_new_id_and_a_note() -> None:
    with pytest.raises(AnalysisError, match="without a note"):
        Family(id="main-5b", hypotheses=(A,), amends="main-5")
    register = declared(MAIN, Family(id="main-5b", hypotheses=(A,), amends="main-5", amendment_note="B was fixed"))
    with pytest.raises(AnalysisError, match="replaced by main-5b"):
        register.test("main-5", {A: 0.1}, evidence="e")


def test_amendment_of_a_tested_family_is_refused() -> None:
    register, _ = declared(MAIN).test("main-5", {A: 0.2, B: 0.4}, evidence="first")
    with pytest.raises(AnalysisError, match="was tested already"):
        register.declare(Family(id="new", hypotheses=(A,), amends="main-5", amendment_note="we looked"))


def test_declaring_the_same_family_twice_changes_nothing() -> None:
    register = declared(MAIN)
    assert register.declare(MAIN) is register


def test_hypothesis_in_two_primary_families_is_refused() -> None:
    with pytest.raises(AnalysisError, match="both test"):
        declared(MAIN, Family(id="again", hypotheses=(A,)))


def test_sensitivity_analysis_may_share_hypotheses() -> None:
    assert len(declared(MAIN, Family(id="by", hypotheses=(A, B), procedure="by", role="secondary")).families) == 2


def test_descriptive_family_rejects_nothing() -> None:
    family = Family(id="look", hypotheses=(A,), role="descriptive")
    _, result = declared(family).test("look", {A: 1e-9}, evidence="e")
    assert not result.decided[0].rejected


def test_hypothesis_outside_the_family_is_refused() -> None:
    with pytest.raises(AnalysisError, match="does not contain"):
        declared(MAIN).test("main-5", {Hypothesis(term="C"): 0.1}, evidence="e")


def test_serial_gate_opens_only_after_rejection() -> None:
    later = Family(id="long", hypotheses=(Hypothesis(term="A", budget="60 min"),), after="main-5")
    register = declared(MAIN, later)
    with pytest.raises(AnalysisError, match="has not been tested"):
        register.test("long", {}, evidence="e")
    failed, _ = register.test("main-5", {A: 0.01, B: 0.9}, evidence="e")
    with pytest.raises(AnalysisError, match="did not reject"):
        failed.test("long", {}, evidence="e")
    passed, _ = register.test("main-5", {A: 0.01, B: 0.02}, evidence="e")
    assert passed.test("long", {later.hypotheses[0]: 0.01}, evidence="e")[1].all_rejected


def test_digest_changes_with_the_plan_and_not_with_results() -> None:
    register = declared(MAIN)
    tested, _ = register.test("main-5", {A: 0.2}, evidence="e")
    assert tested.digest == register.digest
    assert declared(Family(id="main-5", hypotheses=(A, B), q=0.1)).digest != register.digest


def test_register_round_trips_through_json() -> None:
    register, _ = declared(MAIN).test("main-5", {A: 0.2, B: 0.4}, evidence="first")
    assert from_json(FamilyRegister, to_json(register)) == register


def test_family_names_each_hypothesis_once() -> None:
    with pytest.raises(AnalysisError, match="twice"):
        Family(id="x", hypotheses=(A, A))


def test_unknown_family_lists_the_known_ones() -> None:
    with pytest.raises(AnalysisError, match="main-5"):
        declared(MAIN).family("main-10")
