"""Recounting a published study: rows of packages, the design, names, win counts, parameters."""

from __future__ import annotations

from statistics import median

from foldover.stats.paper_facts import (
    Facts,
    PaperCheck,
    check,
    effect,
    entry,
    minutes,
    n_from_wins,
    parameters,
    rows_of,
    statement,
    vocabulary,
    width,
)
from foldover.stats.tails import t_quantile


def accounting(facts: Facts) -> PaperCheck:
    """Rows of all packages, by host."""
    table, rows = entry(facts, "t01_run_accounting"), rows_of(facts, "t01_run_accounting")
    total = sum(row["rows"] for row in rows)
    windows = sum(row["rows"] for row in rows if row["host"].startswith("Windows"))
    linux = total - windows
    agrees = (total, windows, linux, len(rows)) == (
        table["total"],
        table["total_windows_a100"],
        table["total_linux_l40s"],
        table["n_packages"],
    )
    return check(
        "accounting",
        "Table 1",
        f"{table['total']} rows in {table['n_packages']} packages on two hosts",
        f"{total} = {windows} + {linux} rows in {len(rows)} packages",
        agrees=agrees,
    )


def package_sizes(facts: Facts) -> PaperCheck:
    """Rows of each package from its design."""
    printed = {row["package"]: row for row in rows_of(facts, "t01_run_accounting")}
    runs = len(entry(facts, "t03_design")["inferred_rows"])
    targeted, random = entry(facts, "t15_eta_sq"), entry(facts, "t12_random_summary")
    anchors = n_from_wins(entry(facts, "t19_bridge60")["wins"]["bridge_best<greedy"])
    roles = len(rows_of(facts, "t19_bridge60"))
    linux = n_from_wins(entry(facts, "t20_linux")["wins"]["bridge_best<greedy"]["10"])
    expected = {
        "pilot screening": runs * minutes(printed["pilot screening"]["budgets"]),
        "extreme-condition replication": sum(
            row["n"] for name in ("t08_replication_2min", "t09_replication_10min") for row in rows_of(facts, name)
        ),
        "D-fixed follow-up original + rerun": entry(facts, "t10_dfixed")["n_rows"],
        "same-host greedy baselines": sum(row["runs"] for row in rows_of(facts, "t11_greedy")),
        "centered-width bridge probes": sum(row["n"] for row in rows_of(facts, "t14_bridge_probes")),
        "targeted seed confirmation": targeted["conditions"] * targeted["budgets"] * targeted["seeds"],
        "full seeded screens": sum(
            runs * entry(facts, name)["seeds_per_condition"] for name in ("t06_effects_5min", "t07_effects_10min")
        ),
        "random-search baseline": random["batches"] * random["draws_per_batch"],
        "60-minute bridge package": roles * anchors,
        "Linux cross-host anchors": statement(facts, "anchors_on_linux") * 2 * linux,
    }
    for name, table in (("12h", "t21_12h"), ("24h", "t22_24h")):
        for host in ("Windows", "Linux"):
            seeds = n_from_wins(entry(facts, table)["wins"][host]["bridge_best<greedy"])
            expected[f"{host} {name} anchors"] = seeds * sum(r["host"] == host for r in rows_of(facts, table))
    wrong = [f"{name}: {n} for {printed[name]['rows']}" for name, n in expected.items() if printed[name]["rows"] != n]
    return check(
        "package-sizes",
        "Table 1 with the designs",
        "rows of each package follow from its design",
        "; ".join(wrong) or f"all {len(expected)} follow",
        agrees=not wrong and len(expected) == len(printed),
    )


def design(facts: Facts) -> PaperCheck:
    """The rows obey E = ABCD, in binary order with A slowest, and are orthogonal."""
    rows = list(entry(facts, "t03_design")["inferred_rows"].values())
    generated = all(a * b * c * d == e for a, b, c, d, e in rows)
    binary = all([(i >> 3 - j & 1) * 2 - 1 for j in range(4)] == row[:4] for i, row in enumerate(rows))
    crossed = [sum(row[i] * row[j] for row in rows) for i in range(5) for j in range(i)]
    return check(
        "design",
        "4.3",
        "16 runs of 2^(5-1) with E = ABCD",
        f"{len(rows)} rows, generator {'kept' if generated else 'broken'}, column products to {max(map(abs, crossed))}",
        agrees=generated and binary and not any(crossed),
    )


def recipe_names(facts: Facts) -> PaperCheck:
    """Names such as full32_c10 give the recipe by the same binary rule over ABCDE."""
    wrong = []
    for row in rows_of(facts, "t13_random_winners"):
        index = int(row["condition"].rsplit("c", 1)[1]) - 1
        levels = [(index >> 4 - j & 1) * 2 - 1 for j in range(5)]
        if "_".join(f"{letter}{x:+d}" for letter, x in zip("ABCDE", levels, strict=True)) != row["recipe"]:
            wrong.append(row["condition"])
    return check(
        "recipe-names",
        "5.5",
        "the 32 conditions are numbered in binary, A slowest",
        f"contradicted by {wrong}" if wrong else "all winners' recipes follow from their numbers",
        agrees=not wrong,
    )


def random_summary(facts: Facts) -> PaperCheck:
    """Mean, median, range and counts of the five batch winners."""
    printed = {row["statistic"]: row["value"] for row in rows_of(facts, "t12_random_summary")}
    marks = entry(facts, "t12_random_summary")["benchmarks"]
    best = [row["best_val_bpb"] for row in rows_of(facts, "t13_random_winners")]
    counts = [sum(v <= marks[m] for v in best) for m in ("pilot_screened_best", "greedy_best")]
    mean = sum(best) / len(best)
    agrees = (
        abs(mean - printed["mean batch best"]) <= 5.1e-7
        and median(best) == printed["median batch best"]
        and (min(best), max(best)) == (printed["min batch best"], printed["max batch best"])
        and f"{counts[0]} / {len(best)}" == printed["batches at or better than pilot screened best"]
        and f"{counts[1]} / {len(best)}" == printed["batches at or better than greedy best"]
    )
    return check(
        "random-summary",
        "5.5",
        "summary of the random baseline",
        f"mean {mean:.7f}, median {median(best)}, {counts[0]}/{len(best)} and {counts[1]}/{len(best)}",
        agrees=agrees,
    )


def win_denominators(facts: Facts) -> PaperCheck:
    """Denominators are products of the groups' sizes."""
    seeds = entry(facts, "t15_eta_sq")["seeds"]
    pairs = {int(row[c].split("/")[1]) for row in rows_of(facts, "t16_dominance") for c in row if c != "budget_min"}
    anchors = {n_from_wins(w) for w in entry(facts, "t19_bridge60")["wins"].values()}
    return check(
        "win-denominators",
        "5.7 and 5.9",
        "win counts are over all pairs of runs",
        f"{sorted(pairs)} = (2 conditions x {seeds} seeds)^2; 60 min: n = {sorted(anchors)}",
        agrees=pairs == {(2 * seeds) ** 2} and anchors == {4},
    )


def two_seed_values(facts: Facts) -> PaperCheck:
    """An interval of two values gives both values back; a win count of 4/4 means they do not overlap."""
    wrong, shown = [], ""
    for name in ("t21_12h", "t22_24h"):
        wins = entry(facts, name)["wins"]
        for host in ("Windows", "Linux"):
            both = {}
            for row in rows_of(facts, name):
                if row["host"] == host:
                    half = (row["ci_high"] - row["ci_low"]) / 2 / t_quantile(0.975, 1)
                    both[row["condition"].split("_")[0] + row["condition"].split("_")[1]] = (
                        row["mean"] - half,
                        row["mean"] + half,
                    )
            bridge, greedy, control = both["bestbridge"], both["greedywinner"], both["predeclaredcontrol"]
            shown = shown or f"{bridge[0]:.6f} and {bridge[1]:.6f} for {host} 12 h bridge"
            counted = {
                "bridge_best<greedy": _wins(bridge, greedy),
                "bridge_best<control": _wins(bridge, control),
                "greedy<control": _wins(greedy, control),
            }
            wrong += [f"{name} {host} {k}" for k, v in counted.items() if f"{v}/4" != wins[host][k]]
    return check(
        "two-seed-values",
        "5.11 and 5.12",
        "win counts of the two-seed packages",
        f"both seeds follow from each interval ({shown}); wrong counts: {wrong or 'none'}",
        agrees=not wrong,
    )


def parameter_counts(facts: Facts) -> PaperCheck:
    """Parameters of the two named widths."""
    table = entry(facts, "t19_bridge60")
    bridge = parameters(8, width(8, 64), vocabulary(facts)) / 1e6
    shallow = parameters(6, width(6, 72), vocabulary(facts)) / 1e6
    # The paper truncates 39.85 to 39.8, so a digit is allowed.
    agrees = abs(bridge - table["params_bridge_M"]) < 0.1 and abs(shallow - table["params_depth6_M"]) < 0.1
    return check(
        "parameters",
        "5.9",
        f"{table['params_bridge_M']} M and {table['params_depth6_M']} M parameters",
        f"{bridge:.2f} M and {shallow:.2f} M",
        agrees=agrees,
    )


def ratios(facts: Facts) -> PaperCheck:
    """D against B and C, and the gap at 60 minutes as a share of D and A at 10."""
    table = entry(facts, "t19_bridge60")
    a, b, c, d = (abs(effect(facts, 10, f)) for f in "ABCD")
    gap = abs(table["bridge_minus_greedy"])
    share_d, share_a = 100 * gap / d, 100 * gap / a
    agrees = (
        round(d / b) == 6
        and round(d / c) == 8
        and round(share_d) == table["gap_as_share_of_D10_percent"]
        and round(share_a) == table["gap_as_share_of_A10_percent"]
    )
    return check(
        "ratios",
        "5.1 and 5.9",
        "D about six times B and eight times |C|; gap 21% of D and 41% of A",
        f"{d / b:.2f}, {d / c:.2f}, {share_d:.1f}% and {share_a:.1f}%",
        agrees=agrees,
    )


def _wins(a: tuple[float, float], b: tuple[float, float]) -> int:
    return sum(x < y for x in a for y in b)
