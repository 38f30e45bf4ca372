"""The rule by which effects become decisions: each decision, and its borders."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import nct as noncentral
from scipy.stats import t as student

from foldover.core import Effect, Factor, Gate, Verdict
from foldover.planning import judge, rule_text

A = Factor(letter="A", lever="depth", low=2, high=4, kind="int")
GATE = Gate(smallest_effect=0.01)


def effect(
    estimate: float, half: float | None, *, retained: bool | None = None, package: str = "long", term: str = "A"
) -> Effect:
    low, high = (None, None) if half is None else (estimate - half, estimate + half)
    if retained is None and low is not None and high is not None:
        retained = low > 0 or high < 0
    return Effect(
        term=term,
        package=package,
        budget=package,
        estimate=estimate,
        se=None,
        low=low,
        high=high,
        level=0.95,
        p=None,
        q=0.01 if retained else None,
        retained=retained,
        df=None,
        n=32,
        aliased_with=(),
        method="paper",
    )


def verdict(*effects: Effect, gate: Gate = GATE, direction: str = "minimize") -> Verdict:
    (found,) = judge(
        effects,
        [A],
        gate,
        stage="screen",
        packages=["short", "long"],
        direction=direction,  # type: ignore[arg-type]
        evidence="digest",
    )
    return found


@pytest.mark.parametrize(
    ("estimate", "direction", "decision"),
    [
        (0.05, "minimize", "fix_low"),
        (-0.05, "minimize", "fix_high"),
        (0.05, "maximize", "fix_high"),
        (-0.05, "maximize", "fix_low"),
    ],
)
def test_a_retained_effect_that_matters_fixes_the_better_level(estimate, direction, decision):
    assert verdict(effect(estimate, 0.01), direction=direction).decision == decision


def test_an_effect_of_exactly_the_smallest_size_matters():
    assert verdict(effect(0.01, 0.005)).decision == "fix_low"


def test_a_retained_effect_that_is_too_small_is_dropped():
    found = verdict(effect(0.005, 0.001))
    assert (found.decision, "smaller than what matters (0.01)" in found.because) == ("drop", True)


def test_an_interval_inside_the_smallest_effect_drops_the_factor():
    found = verdict(effect(0.001, 0.008))
    assert (found.decision, "lies inside +-0.01" in found.because) == ("drop", True)


@pytest.mark.parametrize(("estimate", "half"), [(0.001, 0.02), (0.02, 0.03), (0.0, 0.01)])
def test_a_wide_interval_leaves_the_factor_undecided(estimate, half):
    assert verdict(effect(estimate, half, retained=False)).decision == "undecided"


def test_an_interval_that_excludes_zero_is_not_enough_without_q():
    assert verdict(effect(0.05, 0.01, retained=False)).decision == "undecided"


def test_an_effect_retained_at_a_shorter_budget_only_is_kept_open():
    found = verdict(effect(0.08, 0.01, package="short"), effect(0.02, 0.03))
    assert (found.decision, "retained at short only" in found.because) == ("keep_open", True)


def test_an_effect_that_has_become_negligible_is_dropped_even_if_it_was_retained_before():
    assert verdict(effect(0.08, 0.01, package="short"), effect(0.001, 0.002)).decision == "drop"


def test_the_longest_budget_decides_when_signs_differ():
    assert verdict(effect(0.08, 0.01, package="short"), effect(-0.05, 0.01)).decision == "fix_high"


def test_an_effect_without_an_error_is_described_only():
    found = verdict(effect(0.5, None))
    assert (found.decision, "described only" in found.because) == ("undecided", True)


def test_a_missing_effect_leaves_the_factor_undecided():
    found = verdict(effect(0.08, 0.01, package="short"))
    assert (found.decision, "no effect could be estimated" in found.because) == ("undecided", True)


def test_without_any_effect_there_is_still_a_verdict():
    assert verdict().decision == "undecided"


def test_without_a_smallest_effect_nothing_retained_is_dropped():
    assert verdict(effect(0.0001, 0.00001), gate=Gate()).decision == "fix_low"


def test_every_factor_gets_one_verdict_in_order():
    factors = [A, Factor(letter="B", lever="aspect", low=16, high=24, kind="int")]
    found = judge(
        [effect(0.05, 0.01, term="B")], factors, GATE, stage="s", packages=["long"], direction="minimize", evidence="e"
    )
    assert [(v.subject, v.decision) for v in found] == [("A", "undecided"), ("B", "fix_low")]


def test_a_verdict_names_its_stage_rule_and_evidence():
    found = verdict(effect(0.05, 0.01))
    assert (found.stage, found.rule, found.evidence) == ("screen", rule_text(GATE), "digest")


def test_a_verdict_says_its_numbers():
    assert (
        verdict(effect(0.05, 0.01)).because == "+0.0500 at long [+0.0400, +0.0600], q = 0.01: retained, low is better"
    )


def test_the_rule_names_every_number_of_the_gate():
    text = rule_text(Gate(correction="holm", q=0.1, smallest_effect=0.002, level=0.9))
    assert all(part in text for part in ("90% interval", "HOLM q <= 0.1", ">= 0.002", "+-0.002"))


@given(st.floats(-1, 1), st.floats(0.001, 1), st.booleans())
def test_maximizing_is_minimizing_with_the_levels_exchanged(estimate, half, retained):
    one = verdict(effect(estimate, half, retained=retained)).decision
    other = verdict(effect(estimate, half, retained=retained), direction="maximize").decision
    assert other == {"fix_low": "fix_high", "fix_high": "fix_low"}.get(one, one)


@given(st.floats(-1, 1), st.floats(0.001, 1))
def test_a_factor_is_fixed_only_if_its_effect_is_retained_and_large(estimate, half):
    found = verdict(effect(estimate, half))
    is_fixed = found.decision in ("fix_low", "fix_high")
    assert is_fixed == (abs(estimate) - half > 0 and abs(estimate) >= GATE.smallest_effect)


# What a gate asks for


def asked(se: float, *, gate: Gate, seeds: int = 4, estimate: float = 0.02, n: int = 64) -> Verdict:
    """The verdict on an effect that is not retained, of n runs under so many seeds."""
    own = replace(effect(estimate, 2.0 * se, retained=False), se=se, n=n)
    (found,) = judge(
        [own], [A], gate, stage="screen", packages=["long"], direction="minimize", evidence="", seeds=seeds
    )  # fmt: skip
    return found


def test_so_many_seeds_are_asked_for_as_an_effect_that_matters_lacks():
    se, gate = 0.012, Gate(smallest_effect=0.02, more_seeds=50)
    found = asked(se, gate=gate)
    # 64 runs under 4 seeds: 16 a seed. With m seeds an effect of 0.02 has se * sqrt(4 / m) for its error, and is
    # found by a paired t test over seeds with a power of 80% or more; one seed fewer is not enough.
    power = {m: t_power(0.02 / (se * math.sqrt(4 / m)), m - 1) for m in (4 + found.more_seeds, 3 + found.more_seeds)}
    assert found.decision == "more_seeds"
    assert power[4 + found.more_seeds] >= 0.8 > power[3 + found.more_seeds]
    assert f"{found.more_seeds} more seeds are asked for" in found.because


def t_power(ncp: float, df: int) -> float:
    critical = float(student.ppf(0.975, df))
    return float(noncentral.sf(critical, df, ncp) + noncentral.cdf(-critical, df, ncp))


def test_no_more_are_asked_for_than_the_study_allows():
    found = asked(0.012, gate=Gate(smallest_effect=0.02, more_seeds=2))
    assert (found.decision, found.more_seeds) == ("more_seeds", 2)
    all_of_them = asked(0.012, gate=Gate(more_seeds=7))
    assert (all_of_them.decision, all_of_them.more_seeds) == ("more_seeds", 7)


def test_where_power_is_not_what_lacks_no_seeds_are_asked_for():
    assert asked(0.001, gate=Gate(smallest_effect=0.02, more_seeds=50), seeds=8).decision == "undecided"
