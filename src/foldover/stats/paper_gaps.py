"""What a published study leaves out, counts differently, or rounds: realised levels, missing means, small sums."""

from __future__ import annotations

import math
from math import comb

from foldover.stats.paper_facts import (
    Facts,
    PaperCheck,
    check,
    entry,
    mean_of,
    missing,
    n_from_wins,
    parameters,
    rows_of,
    statement,
    vocabulary,
    width,
)
from foldover.stats.paper_numbers import cell_sd


def center_point(facts: Facts) -> PaperCheck:
    """The coded value of aspect 64 and the widths it gives."""
    low, high = _levels(facts, "B")
    middle = 64
    linear = 2 * (middle - (low + high) / 2) / (high - low)
    log = 2 * (math.log(middle) - math.log(low * high) / 2) / math.log(high / low)
    widths = {d: [width(d, a) for a in (low, middle, high)] for d in _levels(facts, "A")}
    twin = next(r for r in rows_of(facts, "t13_random_winners") if r["condition"] == "full32_c06")
    probe = mean_of(facts, "t14_bridge_probes", "mean", seconds=600)
    return check(
        "center-point",
        "4.1 with 4.2, 5.6 and 5.7",
        f"an aspect ratio of {middle} is the centre between {low} and {high}",
        f"coded it is {linear:+.2f} (linear) or {log:+.2f} (log); widths {widths}: at depth 6 it is the network of "
        f"aspect {low} (probe {probe}, random winner c06 {twin['best_val_bpb']})",
        agrees=abs(linear) < 0.05 and len(set(widths[6])) == 3,
    )


def width_steps(facts: Facts) -> PaperCheck:
    """How much wider factor B makes the model at each depth, and what that weighs."""
    low, high = _levels(facts, "B")
    depths = _levels(facts, "A")
    growth = {d: width(d, high) / width(d, low) - 1 for d in depths}
    millions = {(d, a): parameters(d, width(d, a), vocabulary(facts)) / 1e6 for d in depths for a in (low, high)}
    return check(
        "width-steps",
        "4.2",
        "B is one change of width",
        f"it widens the model by {', '.join(f'{100 * g:.0f}% at depth {d}' for d, g in growth.items())}; parameters "
        + ", ".join(f"{m:.2f} M at {k}" for k, m in millions.items())
        + ": part of A:B is rounding, and A and B are confounded with size",
        agrees=max(growth.values()) - min(growth.values()) < 0.05,
    )


def linux_greedy(facts: Facts) -> PaperCheck:
    """The greedy mean on Linux."""
    table = entry(facts, "t20_linux")
    shown = {r["condition"] for r in rows_of(facts, "t20_linux")}
    return missing(
        "linux-greedy",
        "5.10",
        f"{statement(facts, 'anchors_on_linux')} anchors ran on Linux",
        f"{len(shown)} are reported; the greedy mean is {table['greedy_mean_printed'] or 'not printed'}; win counts of "
        "16/16 and 0/16 only bound it",
    )


def seeded_means(facts: Facts) -> PaperCheck:
    """How many of the seeded condition means are printed."""
    total = statement(facts, "seeded_conditions")
    printed = {
        b: {r["condition"] for r in rows_of(facts, "t18_seeded_ordering") if r["budget_min"] == b} for b in (5, 10)
    }
    lacking = ", ".join(f"{total - len(c)} at {b} min" for b, c in printed.items())
    return missing(
        "seeded-means",
        "5.8",
        "; ".join(entry(facts, "t18_seeded_ordering")["text_claims"]),
        f"of {total} condition means {lacking} are not printed, so effects cannot be recomputed; c16 has no number",
    )


def bridge_recipe(facts: Facts) -> PaperCheck:
    """The recipe of the bridge probes."""
    depth = entry(facts, "t14_bridge_probes")["depth"]
    return missing(
        "bridge-recipe",
        "5.6",
        "bridge probes at the centre of aspect",
        f"depth {depth}; neither are learning rate, batch and warm-down; 6 and 8 have no realised centre but 7",
    )


def winners_share(facts: Facts) -> PaperCheck:
    """Levels that all random winners have in common."""
    recipes = [{p[0]: int(p[1:]) for p in r["recipe"].split("_")} for r in rows_of(facts, "t13_random_winners")]
    shared = {f: x for f, x in recipes[0].items() if all(r[f] == x for r in recipes)}
    omitted = statement(facts, "winners_list_omits")
    return check(
        "winners-share",
        "5.5",
        "what the five random winners have in common",
        "all share " + ", ".join(f"{f} = {x:+d}" for f, x in shared.items()) + f"; the text leaves out {omitted}",
        agrees=omitted not in shared,
    )


def eta_sum(facts: Facts) -> PaperCheck:
    """Whether the eta squared add up to 1."""
    values = [r["eta_sq"] for r in rows_of(facts, "t15_eta_sq")]
    total = sum(values)
    return check(
        "eta-sum",
        "5.7",
        "eta squared are shares of the total",
        f"they add up to {total:.4f}, within the rounding of {len(values)} numbers",
        agrees=abs(total - 1.0) <= len(values) * 5e-5,
    )


def ab_ratio(facts: Facts) -> PaperCheck:
    """|A:B| / |A| from the printed effects."""
    table = entry(facts, "t10_dfixed")
    wrong, texts = [], []
    for b in (5, 10):
        ab, a = (abs(mean_of(facts, "t10_dfixed", f"est{b}", effect=e)) for e in ("A:B", "A"))
        printed = table[f"AB_over_A_{b}min"]
        texts.append(f"{b} min: {ab / a:.3f} for {printed}")
        if not (ab - 5e-5) / (a + 5e-5) - 5e-4 <= printed <= (ab + 5e-5) / (a - 5e-5) + 5e-4:
            wrong.append(b)
    return check("AB-ratio", "5.3", "|A:B| against |A|", "; ".join(texts) + " (rounding of inputs)", agrees=not wrong)


def replication_rows(facts: Facts) -> PaperCheck:
    """Replication runs against the matrix in the appendix."""
    by_budget = [sum(r["n"] for r in rows_of(facts, t)) for t in ("t08_replication_2min", "t09_replication_10min")]
    listed = statement(facts, "appendix_replication_matrix_rows")
    return check(
        "replication-rows",
        "Appendix A against Table 1",
        f"a replication matrix of {listed} rows",
        f"{by_budget[0]} + {by_budget[1]} = {sum(by_budget)} runs: the two-minute runs have no listed matrix",
        agrees=listed == sum(by_budget),
    )


def stages(facts: Facts) -> PaperCheck:
    """Stages against packages."""
    packages = len(rows_of(facts, "t01_run_accounting"))
    listed = statement(facts, "stages")
    return check(
        "stages",
        "4.6 against Table 1",
        f"{listed} stages",
        f"{packages} packages: some belong to no stage, and the mapping is not given",
        agrees=listed == packages,
    )


def resolution(facts: Facts) -> PaperCheck:
    """What two-factor interactions are aliased with in the pilot."""
    relation = next(r["value"] for r in rows_of(facts, "t03_design") if r["item"] == "defining_relation")
    word = relation.split("=")[1].replace("*", "")
    alias = "".join(letter for letter in word if letter not in "AB")
    return check(
        "resolution",
        "4.4",
        "a screen of main effects, whose two-factor interactions are not unaliased",
        f"I = {word} has length {len(word)}: AB is aliased with {alias} only, so two-factor interactions are estimable "
        "when three-factor ones are negligible",
        agrees=len(word) < 5,
    )


def two_seeds(facts: Facts) -> PaperCheck:
    """What two seeds a cell can say about an order."""
    n = n_from_wins(entry(facts, "t21_12h")["wins"]["Windows"]["bridge_best<greedy"])
    return check(
        "two-seeds",
        "5.11 and 5.12",
        "orderings at 12 and 24 hours",
        f"n = {n} a cell: intervals use t(1) = 12.706, and the smallest exact two-sided p is {2 / comb(2 * n, n):.3f}",
        agrees=2 / comb(2 * n, n) <= 0.05,
    )


def seed_spread(facts: Facts) -> PaperCheck:
    """Rerun sds under one seed against sds over seeds."""
    reruns = [r["sd"] for r in rows_of(facts, "t09_replication_10min")]
    seeds = [cell_sd(facts, 10, rank) for rank in ("best", "second", "worst")]
    return check(
        "low-variance",
        "5.2",
        "variance is low",
        f"that is the spread of reruns of one seed ({min(reruns):.5f} to {max(reruns):.5f}); over seeds it is "
        f"{min(seeds) / max(reruns):.0f} to {max(seeds) / min(reruns):.0f} times as large ({min(seeds):.4f} to "
        f"{max(seeds):.4f})",
        agrees=min(seeds) <= 2 * max(reruns),
    )


def _levels(facts: Facts, code: str) -> tuple[int, int]:
    row = next(r for r in rows_of(facts, "t02_factors") if r["code"] == code)
    return row["low"], row["high"]
