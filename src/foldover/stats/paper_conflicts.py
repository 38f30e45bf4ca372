"""Where the published numbers contradict each other: comparisons of conditions, regimes and errors."""

from __future__ import annotations

import math
from statistics import NormalDist

from foldover.stats.multiplicity import adjust
from foldover.stats.paper_facts import (
    Facts,
    PaperCheck,
    check,
    effect,
    effects_table,
    entry,
    mean_of,
    missing,
    rows_of,
    statement,
)
from foldover.stats.paper_numbers import cell_sd, residual_df, seeded_se
from foldover.stats.tails import t_quantile


def overtaking(facts: Facts) -> PaperCheck:
    """Bridges against the screened best at 10 minutes, by two tables."""
    bridge = mean_of(facts, "t19_bridge60", "mean10", role="bridge_best")
    screened = mean_of(facts, "t19_bridge60", "mean10", role="screened_best")
    second = mean_of(facts, "t18_seeded_ordering", "mean", budget_min=10, rank="second")
    row = next(r for r in rows_of(facts, "t17_refinement") if r["budget_min"] == 10)
    implied = bridge - row["bridge_d8 - bridge_d6"] - row["bridge_d6 - best_best"]
    return check(
        "overtaking",
        "5.7 against 5.8 and 5.9",
        "both bridges overtake the screened best extremes by 10 min",
        f"the best bridge ({bridge}) is {bridge - screened:+.4f} from the screened best ({screened}); the 'best' of "
        f"5.7 would lie at {implied:.6f}, above even the second-best seeded mean ({second})",
        agrees=implied <= second and bridge < screened,
    )


def best_pair(facts: Facts) -> PaperCheck:
    """How many wins the screened best alone would have against the bridges."""
    row = next(r for r in rows_of(facts, "t16_dominance") if r["budget_min"] == 10)
    wins, pairs = (int(x) for x in row["best<bridge"].split("/"))
    bridge = mean_of(facts, "t19_bridge60", "mean10", role="bridge_best")
    best = mean_of(facts, "t18_seeded_ordering", "mean", budget_min=10, rank="best")
    sd = cell_sd(facts, 10, "best")
    expected = pairs / 2 * NormalDist().cdf((bridge - best) / (sd * math.sqrt(2.0)))
    return check(
        "best-pair",
        "5.7",
        f"the best pair beats the bridges in {row['best<bridge']} pairs at 10 min",
        f"c07 as one of the two would win about {expected:.0f} of its {pairs // 2} pairs alone: it is not in the pair, "
        "whose members are not named",
        agrees=expected <= wins,
    )


def mixed_regimes(facts: Facts) -> PaperCheck:
    """Whether the 10-minute column of the 60-minute table holds comparable numbers."""
    greedy = mean_of(facts, "t19_bridge60", "mean10", role="greedy_winner")
    single = mean_of(facts, "t11_greedy", "best", budget_min=10)
    runs = int(mean_of(facts, "t11_greedy", "runs", budget_min=10))
    screened = mean_of(facts, "t19_bridge60", "mean10", role="screened_best")
    seeded = mean_of(facts, "t18_seeded_ordering", "mean", budget_min=10, rank="best")
    return check(
        "mixed-regimes",
        "5.9",
        "one column of 10-min means",
        f"greedy {greedy} equals the single best of {runs} runs ({single}); screened best {screened} equals a mean of "
        f"5 seeds ({seeded}): a selected minimum beside means",
        agrees=greedy != single,
    )


def dslice(facts: Facts) -> PaperCheck:
    """Interactions with D that full screen and D-low slice imply."""
    implied = {}
    for budget in (5, 10):
        for factor in "ABCE":
            low = mean_of(facts, "t10_dfixed", f"est{budget}", effect=factor)
            implied[factor, budget] = effect(facts, budget, factor) - low
    biggest = implied["A", 5]
    c, d = abs(effect(facts, 5, "C")), abs(effect(facts, 5, "D"))
    listed = "; ".join(f"{b} min: " + ", ".join(f"{f}:D {implied[f, b]:+.4f}" for f in "ABC") for b in (5, 10))
    return check(
        "interactions-with-D",
        "5.3, abstract",
        "interactions are real but secondary",
        f"{listed} (screen minus D-low slice): |A:D| at 5 min is {abs(biggest) / c:.1f} times |C| and "
        f"{100 * abs(biggest) / d:.0f}% of D, and was never estimated",
        agrees=abs(biggest) < c,
    )


def pooled_residual(facts: Facts) -> PaperCheck:
    """Residual sd of the main-effects model against the sds of its cells."""
    runs = statement(facts, "seeded_conditions")
    df = residual_df(facts, 5)
    rows = entry(facts, "t06_effects_5min")["n_rows"]
    sds = {b: (cell_sd(facts, b, "second"), cell_sd(facts, b, "worst")) for b in (5, 10)}
    residual = {b: seeded_se(facts, b) * math.sqrt(rows) / 2.0 for b in (5, 10)}
    ratio = sds[5][1] / sds[5][0]
    lack = runs - 1 - len(effects_table(facts, 5))
    return check(
        "residual",
        "4.4 and 5.1",
        f"one error variance on {df} df",
        f"residual sd {residual[5]:.4f} (5 min) and {residual[10]:.4f} (10 min) while cells have {sds[5][0]:.4f} to "
        f"{sds[5][1]:.4f}: a ratio of {ratio:.0f}; {lack} of the df belong to interactions that could "
        f"have been fitted ({df - lack} left)",
        agrees=ratio < 3.0,
    )


def rerun_variability(facts: Facts) -> PaperCheck:
    """Whether the D-fixed intervals reflect the spread of reruns."""
    rows = rows_of(facts, "t10_dfixed")
    half = sum(row[f"hi{b}"] - row[f"lo{b}"] for row in rows for b in (5, 10)) / (4 * len(rows))
    n = entry(facts, "t10_dfixed")["n_rows_per_budget"]
    sd = half / 1.96 * math.sqrt(n) / 2.0
    reruns = [r["sd"] for t in ("t08_replication_2min", "t09_replication_10min") for r in rows_of(facts, t)]
    return check(
        "rerun-variability",
        "5.3",
        f"{statement(facts, 'rerun_variability_claimed_for')} quantify rerun variability",
        f"half-width {half:.4f} implies a residual sd of {sd:.4f}, {sd / max(reruns):.1f} to {sd / min(reruns):.0f} "
        "times the rerun sds: lack of fit is in it",
        agrees=sd <= max(reruns),
    )


def dfixed_quantile(facts: Facts) -> PaperCheck:
    """Interval quantile and p-value of the D-fixed model."""
    table = entry(facts, "t10_dfixed")
    df = table["n_rows"] - 2 * (1 + len(table["rows"]))
    t = -t_quantile(table["AB_budget_delta_p"] / 2.0, df)
    # The delta is a difference of two effects, each with the se that the intervals show.
    delta = abs(table["AB_budget_delta"])
    low_se, high_se = ((delta + x) / t / math.sqrt(2.0) for x in (-5e-5, 5e-5))
    allowed = min((r[f"hi{b}"] - r[f"lo{b}"]) / 2 + 5e-5 for r in rows_of(facts, "t10_dfixed") for b in (5, 10))
    needed = t_quantile(0.975, df) * low_se
    return check(
        "dfixed-quantile",
        "5.3",
        f"p = {table['AB_budget_delta_p']} for a budget delta of {table['AB_budget_delta']}",
        f"t on {df} df gives se(effect) {low_se:.6f} to {high_se:.6f}, a half-width of at least {needed:.5f}; the "
        f"printed intervals allow {allowed:.5f}: they use 1.96, or another error",
        agrees=needed <= allowed,
    )


def curve_regimes(facts: Facts) -> PaperCheck:
    """What error the 2-minute effects carry."""
    cell = max(cell_sd(facts, b, "worst") for b in (5, 10))
    runs = statement(facts, "seeded_conditions")
    return missing(
        "two-minute-effects",
        "5.1",
        "effects shrink from 2 to 10 min (H1)",
        f"the 2-min effects come from one legacy seed and have no interval; with cell sds up to {cell:.3f} an effect "
        f"of single runs may have an se of up to {2 * cell / math.sqrt(runs):.3f}",
    )


def selected_minima(facts: Facts) -> PaperCheck:
    """Benchmarks that are order statistics against a seeded mean."""
    marks = dict(entry(facts, "t12_random_summary")["benchmarks"])
    marks |= {f"batch {r['batch']}": r["best_val_bpb"] for r in rows_of(facts, "t13_random_winners")}
    seeded = mean_of(facts, "t18_seeded_ordering", "mean", budget_min=10, rank="best")
    return check(
        "selected-minima",
        "5.4 and 5.5",
        "screen, greedy and random search compared by their best values",
        f"each is the smallest of 16 to 20 noisy runs ({min(marks.values())} to {max(marks.values())}); the mean of "
        f"c07 over 5 seeds, {seeded}, lies {'below all of them' if seeded < min(marks.values()) else 'among them'}",
        agrees=seeded >= min(marks.values()),
    )


def dependence(facts: Facts) -> PaperCheck:
    """Whether retention of C depends on the procedure."""
    texts, lost = [], False
    for budget in (5, 10):
        rows = effects_table(facts, budget)
        c = [row["factor"] for row in rows].index("C")
        p = [row["p"] for row in rows]
        by, holm = adjust(p, "by")[c], adjust(p, "holm")[c]
        lost |= by is not None and by > 0.05
        texts.append(f"{budget} min: BY {by:.4f}, Holm {holm:.4f}")
    return check(
        "procedure",
        "5.1",
        "D, A, B and C are retained",
        f"C depends on the procedure ({'; '.join(texts)}): any-dependence control would drop it",
        agrees=not lost,
    )


def null_factor(facts: Facts) -> PaperCheck:
    """E in the seeded screens and in the D-fixed slice."""
    row = next(r for r in rows_of(facts, "t10_dfixed") if r["effect"] == "E")
    excludes = [not row[f"lo{b}"] <= 0.0 <= row[f"hi{b}"] for b in (5, 10)]
    opposite = row["est5"] * row["est10"] < 0
    return check(
        "E-null",
        "5.1 against 5.3",
        "E is not retained",
        f"in the D-low slice E is {row['est5']:+.4f} and {row['est10']:+.4f}, both intervals "
        f"{'exclude' if all(excludes) else 'do not all exclude'} 0"
        f"{', with opposite signs' if opposite else ''}: no joint statement is possible",
        agrees=not any(excludes),
    )
