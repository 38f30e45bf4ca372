"""Recomputing printed numbers: q from p, intervals, standard errors, the sign rule."""

from __future__ import annotations

import math

from foldover.stats.compare import Moments, welch
from foldover.stats.conditions import sd_from_interval, student_interval
from foldover.stats.multiplicity import adjust
from foldover.stats.paper_facts import (
    Facts,
    PaperCheck,
    check,
    effect,
    effects_table,
    entry,
    last_digit,
    n_from_wins,
    rows_of,
)
from foldover.stats.tails import f_upper, t_quantile

INTERVAL_TABLES = (
    ("t18_seeded_ordering", "budget_min", 5),
    ("t20_linux", "budget_min", 4),
    ("t21_12h", "host", 2),
    ("t22_24h", "host", 2),
)


def sign_rule(facts: Facts) -> PaperCheck:
    """High minus low: the additive model names the worst condition, and pairs that differ in C give C's effect."""
    rows = entry(facts, "t03_design")["inferred_rows"]
    worst = set()
    for budget in (5, 10):
        sizes = [row["effect"] for row in effects_table(facts, budget)]
        predicted = max(rows, key=lambda c: sum(e * x for e, x in zip(sizes, rows[c], strict=True)))
        worst.add((predicted, _ranked(facts, budget, "worst")))
    pilot = {row["source_condition"]: row["mean"] for row in rows_of(facts, "t09_replication_10min")}
    # c01 -> c03 and c14 -> c16 both raise C; E falls in one and rises in the other.
    by_pairs = ((pilot[3] - pilot[1]) + (pilot[16] - pilot[14])) / 2.0
    printed = effect(facts, 10, "C")
    agrees = all(a == b for a, b in worst) and abs(by_pairs - printed) < abs(by_pairs - 2.0 * printed)
    return check(
        "high-minus-low",
        "5.1 with 5.2 and 5.8",
        f"an effect is high minus low; C at 10 min is {printed}",
        f"the additive model puts {min(worst)[0]} last, as printed; pairs that differ in C give {by_pairs:.4f}",
        agrees=agrees,
    )


def common_error(facts: Facts, budget: int) -> PaperCheck:
    """One standard error under all five p-values, given the rounding of effect and p."""
    df = residual_df(facts, budget)
    low, high = _se_range(facts, budget)
    num_rows = entry(facts, {5: "t06_effects_5min", 10: "t07_effects_10min"}[budget])["n_rows"]
    sd = 0.5 * (low + high) * math.sqrt(num_rows) / 2.0
    return check(
        f"common-se-{budget}",
        "5.1",
        f"p-values at {budget} min come from one model with {df} residual df",
        f"se(effect) between {low:.6f} and {high:.6f} fits all five; residual sd {sd:.4f}",
        agrees=low <= high,
    )


def q_values(facts: Facts, budget: int) -> PaperCheck:
    """BH over five, to the rounding of p and q."""
    rows = effects_table(facts, budget)
    q = [x or 0.0 for x in adjust([row["p"] for row in rows], "bh")]
    gaps = [
        abs(x - row["bh_q"]) / (last_digit(row["q_printed"]) * 0.5 + x / row["p"] * last_digit(row["p_printed"]) * 0.5)
        for x, row in zip(q, rows, strict=True)
    ]
    return check(
        f"bh-q-{budget}",
        "5.1",
        f"q at {budget} min is Benjamini-Hochberg over five effects",
        "q = " + ", ".join(f"{row['factor']} {x:.3g}" for row, x in zip(rows, q, strict=True)),
        agrees=max(gaps) <= 1.0,
    )


def q_combined(facts: Facts) -> PaperCheck:
    """BH over both budgets retains the same factors."""
    rows = [(b, row) for b in (5, 10) for row in effects_table(facts, b)]
    q = adjust([row["p"] for _, row in rows], "bh")
    kept = {
        b: {row["factor"] for (c, row), x in zip(rows, q, strict=True) if c == b and x is not None and x <= 0.05}
        for b in (5, 10)
    }
    printed = set(entry(facts, "t07_effects_10min")["text_claims"]["retained"])
    return check(
        "bh-combined",
        "5.1",
        "one family of ten retains the same factors",
        f"retained at 5 min {', '.join(sorted(kept[5]))}; at 10 min {', '.join(sorted(kept[10]))}",
        agrees=kept[5] == kept[10] == printed,
    )


def midpoints(facts: Facts) -> PaperCheck:
    """Estimates lie in the middle of their intervals."""
    gaps = [
        abs((row["ci_low"] + row["ci_high"]) / 2 - row["effect"]) / 1e-4
        for b in (5, 10)
        for row in effects_table(facts, b)
    ]
    for row in rows_of(facts, "t10_dfixed"):
        gaps += [abs((row[f"lo{b}"] + row[f"hi{b}"]) / 2 - row[f"est{b}"]) / 1e-4 for b in (5, 10)]
    means = [row for name, *_ in INTERVAL_TABLES for row in rows_of(facts, name)]
    gaps += [abs((row["ci_low"] + row["ci_high"]) / 2 - row["mean"]) / 1e-6 for row in means]
    return check(
        "midpoints",
        "all interval tables",
        "estimates are the midpoints of their intervals",
        f"{len(gaps)} intervals, largest gap {max(gaps):.2f} units of the last printed digit",
        agrees=max(gaps) <= 1.01,
    )


def effect_intervals(facts: Facts) -> PaperCheck:
    """Seeded effect intervals have the half-width t(70) se."""
    wrong, widths = [], []
    for budget in (5, 10):
        df = residual_df(facts, budget)
        rows = effects_table(facts, budget)
        low, high = _se_range(facts, budget)
        for row in rows:
            half = (row["ci_high"] - row["ci_low"]) / 2
            t = t_quantile(0.975, df)
            widths.append(half)
            if not t * low - 1e-4 <= half <= t * high + 1e-4:
                wrong.append(f"{row['factor']} at {budget} min")
    return check(
        "effect-intervals",
        "5.1",
        "95% intervals are effect +- t se",
        f"{len(widths)} half-widths, wrong: {wrong or 'none'}",
        agrees=not wrong,
    )


def mean_intervals(facts: Facts) -> PaperCheck:
    """Printed intervals of means, inverted to an sd and rebuilt."""
    wrong, sds = [], []
    for name, key, n in INTERVAL_TABLES:
        for row in rows_of(facts, name):
            sd = sd_from_interval(row["ci_low"], row["ci_high"], n)
            interval = student_interval(row["mean"], sd, n)
            sds.append(sd)
            if interval is None or max(abs(interval.low - row["ci_low"]), abs(interval.high - row["ci_high"])) > 1.6e-6:
                wrong.append(f"{row['condition']} ({row[key]})")
    return check(
        "mean-intervals",
        "5.8 to 5.12",
        "Student intervals of the means",
        f"{len(sds)} intervals give sds from {min(sds):.6f} to {max(sds):.6f}",
        agrees=not wrong,
    )


def seed_f(facts: Facts) -> PaperCheck:
    """Residual df and the F of seeds in the targeted package."""
    table = entry(facts, "t15_eta_sq")
    eta = {row["term"]: row["eta_sq"] for row in rows_of(facts, "t15_eta_sq")}
    c, b, s = table["conditions"], table["budgets"], table["seeds"]
    df = c * b * s - c * b - (s - 1)
    f = (eta["seed"] / (s - 1)) / (eta["residual"] / df)
    return check(
        "seed-f",
        "5.7",
        "seed explains a small share of the variance",
        f"F({s - 1}, {df}) = {f:.2f}, p = {f_upper(f, s - 1, df):.2g}: small but not zero",
        agrees=c * b * s == table["n_rows"],
    )


def bridge_60(facts: Facts) -> PaperCheck:
    """Difference, standard error and Welch test at 60 minutes from the printed intervals."""
    table = entry(facts, "t19_bridge60")
    n = n_from_wins(table["wins"]["bridge_best<greedy"])
    rows = {row["role"]: row for row in rows_of(facts, "t19_bridge60")}
    a, b = (
        Moments(n=n, mean=rows[r]["mean60"], sd=sd_from_interval(rows[r]["ci_low60"], rows[r]["ci_high60"], n))
        for r in ("bridge_best", "greedy_winner")
    )
    test = welch(a, b)
    agrees = (
        abs(test.se - table["se_difference"]) < 2e-6 and abs(test.difference - table["bridge_minus_greedy"]) < 1.5e-6
    )
    return check(
        "bridge-60",
        "5.9",
        f"bridge - greedy {table['bridge_minus_greedy']}, se {table['se_difference']}",
        f"{test.difference:.6f}, se {test.se:.6f}, t = {test.t:.2f}, df {test.df:.2f}, p = {test.p:.2g}",
        agrees=agrees,
    )


def residual_df(facts: Facts, budget: int) -> int:
    """Of the stated model: rows - 1 - five effects - (seeds - 1)."""
    table = entry(facts, {5: "t06_effects_5min", 10: "t07_effects_10min"}[budget])
    return int(table["n_rows"] - 1 - len(table["rows"]) - (table["seeds_per_condition"] - 1))


def seeded_se(facts: Facts, budget: int) -> float:
    """Standard error of a seeded effect: the middle of what all five p-values allow."""
    low, high = _se_range(facts, budget)
    return 0.5 * (low + high)


def cell_sd(facts: Facts, budget: int, rank: str) -> float:
    """Sd over seeds of a printed condition of the seeded screens."""
    for row in rows_of(facts, "t18_seeded_ordering"):
        if row["budget_min"] == budget and row["rank"] == rank:
            return sd_from_interval(
                row["ci_low"], row["ci_high"], entry(facts, "t06_effects_5min")["seeds_per_condition"]
            )
    raise KeyError((budget, rank))


def _se_range(facts: Facts, budget: int) -> tuple[float, float]:
    df = residual_df(facts, budget)
    low, high = 0.0, math.inf
    for row in effects_table(facts, budget):
        half = last_digit(row["p_printed"]) / 2.0
        size = abs(row["effect"])
        low = max(low, -(size - 5e-5) / t_quantile((row["p"] - half) / 2.0, df))
        high = min(high, -(size + 5e-5) / t_quantile((row["p"] + half) / 2.0, df))
    return low, high


def _ranked(facts: Facts, budget: int, rank: str) -> str:
    rows = rows_of(facts, "t18_seeded_ordering")
    return str(next(r["condition"] for r in rows if r["budget_min"] == budget and r["rank"] == rank))
