"""Known answers of families, comparisons, resampling, planning and ordering (sources in the JSON beside this file)."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldover.stats import (
    Moments,
    adjust,
    anchors_power,
    cliffs_delta,
    expected_minimum,
    functional_anova,
    mann_whitney,
    obrien_fleming,
    ordering_agreement,
    paired_difference,
    permutation_test,
    pocock,
    pooled_t,
    power_of,
    record_test,
    sd_from_interval,
    seeds_needed,
    student_interval,
    summarize_conditions,
    tost,
    tost_power,
    tost_seeds,
    two_arm_power,
    two_arm_seeds,
    variance_components,
    welch,
    win_counts,
)
from foldover.stats.tails import t_quantile

CASES: dict[str, Any] = json.loads((Path(__file__).parent / "known_answers_claims.json").read_text(encoding="utf-8"))[
    "cases"
]


def facts(id_: str) -> tuple[dict[str, Any], dict[str, Any], float]:
    case = CASES[id_]
    return case["input"], case["expected"], case["tol"]


def close(value: float, expected: float, tol: float) -> bool:
    return abs(value - expected) <= tol * max(1.0, abs(expected))


@pytest.mark.parametrize("method", ["bonferroni", "holm", "hochberg", "hommel", "bh", "by"])
def test_p22_adjusted_p_values_of_benjamini_hochberg(method: str) -> None:
    given, expected, tol = facts("P22")
    wanted = expected[method.upper() if method in ("bh", "by") else method]
    assert all(close(q or 0.0, w, tol) for q, w in zip(adjust(given["p"], method), wanted, strict=True))  # type: ignore[arg-type]


def test_p22_rejections() -> None:
    given, expected, _ = facts("P22")
    rejected = [sum(q is not None and q <= 0.05 for q in adjust(given["p"], m)) for m in ("bh", "bonferroni")]
    assert rejected == [expected["reject_BH"], expected["reject_bonf"]]


@pytest.mark.parametrize("method", ["holm", "bh", "by", "bonferroni"])
def test_p23_ties_and_unsorted_input(method: str) -> None:
    given, expected, tol = facts("P23")
    wanted = expected[method.upper() if method in ("bh", "by") else method]
    assert all(close(q or 0.0, w, tol) for q, w in zip(adjust(given["p"], method), wanted, strict=True))  # type: ignore[arg-type]


@pytest.mark.parametrize("family", ["BH_5", "BH_10", "BH_combined", "Holm_5", "Holm_10", "BY_5", "BY_10"])
def test_p24_families_of_the_paper(family: str) -> None:
    given, expected, tol = facts("P24")
    names = list(expected[family])
    found = adjust([given["p"][n] for n in names], family.split("_")[0].lower())  # type: ignore[arg-type]
    # These q span 1e-27 to 1: the tolerance of this case is relative.
    assert found == pytest.approx([expected[family][n] for n in names], rel=tol)


def test_p25_welch_on_the_sleep_data() -> None:
    given, expected, tol = facts("P25")
    found, wanted = welch(given["x"], given["y"]), expected["welch"]
    assert (found.t, found.df, found.p) == pytest.approx((wanted["t"], wanted["df"], wanted["p"]), rel=tol)
    assert (found.low, found.high) == pytest.approx(wanted["ci"], rel=tol)


def test_p25_pooled_t_on_the_sleep_data() -> None:
    given, expected, tol = facts("P25")
    found, wanted = pooled_t(given["x"], given["y"]), expected["pooled"]
    assert (found.t, found.df, found.p) == pytest.approx((wanted["t"], wanted["df"], wanted["p"]), rel=tol)


def test_p25_paired_difference_on_the_sleep_data() -> None:
    given, expected, tol = facts("P25")
    found = paired_difference(dict(enumerate(given["x"])), dict(enumerate(given["y"])))
    wanted = expected["paired"]
    assert (found.df, found.p) == pytest.approx((wanted["df"], wanted["p"]), rel=tol)
    assert (found.low, found.high) == pytest.approx(wanted["ci"], rel=tol)


@pytest.mark.parametrize("id_", ["P26", "P27"])
def test_equivalence_by_two_one_sided_tests(id_: str) -> None:
    given, expected, tol = facts(id_)
    if id_ == "P26":
        a = Moments(n=given["n1"], mean=given["m1"], sd=given["sd1"])
        b = Moments(n=given["n2"], mean=given["m2"], sd=given["sd2"])
        found = tost(a, b, bounds=tuple(given["bounds"]))
    else:
        found = tost(given["x"], given["y"], bounds=tuple(given["bounds"]))
    assert close(found.difference, expected["diff"], tol)
    for name in ("se", "df", "t_lower", "p_lower", "t_upper", "p_upper"):
        assert close(getattr(found, name), expected[name], tol), name
    assert close(found.p, expected["p_tost"], tol)
    assert [found.low, found.high] == pytest.approx(expected["ci90"], abs=tol)
    assert found.equivalent is expected["equivalent"]


def test_p28_record_against_a_published_number() -> None:
    given, expected, tol = facts("P28")
    found = record_test(given["new"], given["sota"], margin=given["margin"], unit="nats_per_token", alpha=0.01)
    assert close(found.threshold, expected["threshold"], tol)
    assert (found.t, found.df, found.p) == pytest.approx((expected["t"], expected["df"], expected["p"]), rel=1e-6)
    assert found.passes is expected["passes"]


def test_p29_record_against_an_incumbent_with_runs() -> None:
    given, expected, tol = facts("P29")
    found = record_test(given["new"], given["incumbent"], margin=given["margin"], unit="nats_per_token", alpha=0.01)
    assert close(found.t, expected["t"], tol)
    assert close(found.df, expected["df"], tol)
    assert close(found.p, expected["p"], tol)


def test_p30_win_count_and_exact_mann_whitney() -> None:
    given, expected, tol = facts("P30")
    count = win_counts({"x": given["x"]}, {"y": given["y"]})
    assert (count.wins, count.ties, count.pairs) == (expected["wins_x_less"], expected["ties"], expected["pairs"])
    assert close(count.cliffs_delta, expected["cliff_delta"], tol)
    assert close(count.wins / count.pairs, expected["prob_x_less"], tol)
    test = mann_whitney(given["x"], given["y"])
    assert test.exact
    assert test.u == expected["U_x"]
    assert close(test.p, expected["exact_p"], tol)


def test_p31_ties_in_the_win_count() -> None:
    given, expected, tol = facts("P31")
    count = win_counts({"x": given["x"]}, {"y": given["y"]})
    wanted = (expected["wins_x_less"], expected["ties"], expected["wins_x_greater"])
    assert (count.wins, count.ties, count.losses) == wanted
    assert close(cliffs_delta(given["x"], given["y"]), expected["cliff_delta"], tol)
    assert close(mann_whitney(given["x"], given["y"], method="normal").p, expected["p_normal_corrected"], tol)


def test_p32_exact_permutation_test() -> None:
    given, expected, tol = facts("P32")
    both = permutation_test(given["x"], given["y"])
    less = permutation_test(given["x"], given["y"], alternative="less")
    assert (both.exact, both.splits) == (True, expected["n_permutations"])
    assert close(both.observed, expected["observed"], tol)
    assert close(both.p, expected["p_two_sided"], tol)
    assert close(less.p, expected["p_less"], tol)


def test_p33_exact_bootstrap_by_weights() -> None:
    from foldover.stats import bootstrap_mean

    given, expected, _ = facts("P33")
    means = np.array([np.mean(pick) for pick in itertools.product(given["x"], repeat=3)])
    assert close(float(means.std()), expected["bootstrap_se"], 1e-10)
    assert close(float(np.std(given["x"])) / 3**0.5, expected["plug_in_se"], 1e-10)
    assert (len(set(means)), means.min(), means.max()) == (expected["n_distinct"], expected["min"], expected["max"])
    assert close(float((means <= 4).mean()), expected["P_le_4"], 1e-10)
    # Sampled replicates approach the 27 resamples: se to 1% with 40,000 (its Monte-Carlo error is 0.35%).
    found = bootstrap_mean(given["x"], kind="percentile", replicates=40_000)
    assert found.se == pytest.approx(expected["bootstrap_se"], rel=0.01)
    assert found.estimate == expected["mean"]


def test_p37_balanced_variance_components_equal_reml() -> None:
    given, expected, tol = facts("P37")
    batch, residual = variance_components(given["Yield"], {"batch": given["Batch"]})
    assert batch.sd == pytest.approx(expected["sigma_batch"], rel=tol)
    assert residual.sd == pytest.approx(expected["sigma_resid"], rel=tol)
    assert batch.share == pytest.approx(expected["icc"], rel=tol)


def test_p40_seeds_per_arm() -> None:
    given, expected, tol = facts("P40")
    plans = [two_arm_seeds(g["delta"], g["sd"], power=g["power"]) for g in given["grid"]]
    assert [p.n for p in plans] == expected["n_ceiling"]
    assert [p.n_exact for p in plans] == pytest.approx(expected["n"], rel=tol)


def test_p41_power_of_two_arms() -> None:
    given, expected, tol = facts("P41")
    assert close(two_arm_power(given["delta"], given["sd"], given["n"]), expected["power"], tol)


@pytest.mark.parametrize(("terms", "key"), [(5, "df70"), (15, "df60")])
def test_p42_power_of_an_effect_on_residual_df(terms: int, key: str) -> None:
    given, expected, tol = facts("P42")
    found = power_of(given["effect"], given["sd"], given["runs"], given["seeds"], terms=terms, analysis="residual")
    assert close(found.se, expected["se"], tol)
    assert close(found.ncp, expected[key]["ncp"], tol)
    assert close(found.power, expected[key]["power"], tol)


def test_p43_smallest_number_of_seeds() -> None:
    given, expected, tol = facts("P43")
    found = seeds_needed(
        given["effect"], given["sd"], given["runs"], terms=5, power=given["target"], analysis="residual"
    )
    assert found.seeds == expected["seeds"]
    assert close(found.power, expected["power_at"], tol)
    assert found.power_below is not None
    assert close(found.power_below, expected["power_below"], tol)


def test_p44_seeds_for_equivalence() -> None:
    given, expected, tol = facts("P44")
    found = tost_seeds(given["bound"], given["sd"], power=given["target"], exact=False)
    assert found.n == expected["n_per_arm"]
    assert close(found.power, expected["power"], tol)
    assert tost_power(given["bound"], given["sd"], found.n) == pytest.approx(found.power, abs=0.01)


def test_p45_power_of_several_anchors() -> None:
    given, expected, tol = facts("P45")
    means = np.array([1.0, -1.0, 0.0, 0.0, 0.0, 0.0])
    means *= given["f"] / means.std()
    assert close(anchors_power(list(means), 1.0, given["n"], alpha=given["alpha"]), expected["power"], tol)


def test_p46_kendall_and_spearman() -> None:
    given, expected, tol = facts("P46")
    names = "abcdef"
    found = ordering_agreement(dict(zip(names, given["x"], strict=True)), dict(zip(names, given["y"], strict=True)))
    assert close(found.tau, expected["tau"], tol)
    assert close(found.p, expected["p_exact"], tol)
    assert close(found.spearman, expected["spearman"], tol)
    assert found.discordant == expected["discordant_pairs"] == len(found.reversals)


def test_p47_ordering_of_four_anchors_on_two_hosts() -> None:
    given, expected, tol = facts("P47")
    linux, windows = (dict(zip(given["anchors"], given[h], strict=True)) for h in ("linux", "windows"))
    found = ordering_agreement(linux, windows)
    assert close(found.tau, expected["tau"], tol)
    assert close(found.p, expected["p_exact"], tol)
    assert (found.concordant, found.discordant) == (expected["concordant"], expected["discordant"])
    assert any("descriptive" in note for note in found.notes)


def test_p52_functional_anova_on_a_grid() -> None:
    given, expected, tol = facts("P52")
    levels = {letter: [1 if i >> j & 1 else -1 for i in range(8)] for j, letter in enumerate("ABC")}
    found = functional_anova(levels, given["f"])
    assert close(found.variance, expected["variance"], tol)
    for name, share in expected["share"].items():
        assert close(found.share(*name), share, tol), name


def test_d15_student_intervals_and_their_inversion() -> None:
    given, expected, tol = facts("D15")
    for case, sd in zip(given["cases"], expected["sd"], strict=True):
        low, high = case["mean"] - case["half"], case["mean"] + case["half"]
        assert close(sd_from_interval(low, high, case["n"]), sd, tol)
        rebuilt = student_interval(case["mean"], sd_from_interval(low, high, case["n"]), case["n"])
        assert rebuilt is not None
        assert close(rebuilt.high, high, 1e-12)
    mean, half_range = given["cases"][1]["mean"], expected["sd"][1] / 2**0.5
    assert [mean - half_range, mean + half_range] == pytest.approx(expected["two_values"], abs=tol)
    for df, quantile in expected["t_quantiles"].items():
        assert close(t_quantile(0.975, int(df)), quantile, tol)


def test_d17_expected_minimum() -> None:
    given, expected, tol = facts("D17")
    assert [expected_minimum(n) for n in given["n"]] == pytest.approx(expected["expected_min"], abs=tol)


def test_d18_group_sequential_boundaries() -> None:
    given, expected, tol = facts("D18")
    for looks in given["looks"]:
        assert close(pocock(looks).z[0], expected["pocock"][str(looks)], tol)
        assert close(obrien_fleming(looks).z[-1], expected["obrien_fleming_final"][str(looks)], tol)


@pytest.mark.parametrize("budget", [2, 5, 10])
def test_d20_win_counts_of_the_targeted_package(budget: int) -> None:
    given, expected, _ = facts("D20")
    cells: dict[str, list[float]] = {}
    for condition, at, _seed, y in given["rows"]:
        if at == budget:
            cells.setdefault(condition, []).append(y)
    groups = {kind: {n: v for n, v in cells.items() if n.startswith(kind)} for kind in ("best", "worst", "bridge")}
    for name, wins in expected["wins"][str(budget)].items():
        a, b = name.split("_lt_")
        count = win_counts(groups[a], groups[b], name_a=a, name_b=b)
        assert (count.wins, count.pairs) == (wins, 100)


def test_d22_effect_per_seed_then_student_t() -> None:
    given, expected, tol = facts("D22")
    effects = given["per_seed_effects"]
    found = summarize_conditions(["A"] * 5, [1, 2, 3, 4, 5], effects, package="screen", budget="5 min")[0]
    assert found.sd is not None
    assert close(found.mean, expected["mean"], tol)
    assert close(found.sd, expected["sd"], tol)
    assert [found.low, found.high] == pytest.approx(expected["ci95"], abs=tol)
