"""Every printed number of a published study's results, computed again as far as what is printed allows.

Three ways, told apart because they show different things:
recomputed: from other printed numbers, so it checks the paper; rebuilt: runs were made that have the printed moments,
and the analysis of this package was given them, so it checks that this analysis prints what theirs did; neither: with
the reason. "Agrees" is to the digits printed; where inputs are rounded, to the digits that they leave.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any, Literal

from foldover.stats.compare import Moments, welch
from foldover.stats.conditions import sd_from_interval, summarize_conditions
from foldover.stats.dominance import win_counts
from foldover.stats.paper_facts import (
    Facts,
    effect,
    entry,
    mean_of,
    n_from_wins,
    parameters,
    rows_of,
    vocabulary,
    width,
)
from foldover.stats.paper_rebuild import rebuilt_follow_up, rebuilt_screen, sample_with

Way = Literal["recomputed", "rebuilt", "neither"]

NOT_PRINTED_RUNS = "its runs are not printed"
NOT_PRINTED_PATH = "the course of the search is not printed"
NOT_PRINTED_MEANS = "the means of the six conditions are not printed"
NOT_PRINTED_GREEDY = "the greedy mean on this host is not printed"
OVERLAP = "mean, sd and n leave the count open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One printed number. computed: as text with the printed digits ("" where it cannot be); reason: why it cannot."""

    section: str
    table: str
    item: str
    printed: str
    computed: str
    way: Way
    agrees: bool | None
    reason: str = ""


def replay_paper(facts: Facts) -> tuple[Replayed, ...]:
    """Every number of the tables of sections 5.1 to 5.12, in their order. Raises AnalysisError for a missing table."""
    makers: Sequence[Callable[[Facts], Iterator[Replayed]]] = (
        _pilot,
        lambda f: _screen(f, "t06_effects_5min"),
        lambda f: _screen(f, "t07_effects_10min"),
        lambda f: _reruns(f, "t08_replication_2min", "source_condition"),
        lambda f: _reruns(f, "t09_replication_10min", "source_condition"),
        _follow_up,
        _greedy,
        _random,
        lambda f: _reruns(f, "t14_bridge_probes", "seconds"),
        _shares,
        _targeted,
        lambda f: _means(f, "t18_seeded_ordering", "budget_min", 5),
        _bridge,
        lambda f: _means(f, "t20_linux", "budget_min", 4),
        _linux_wins,
        lambda f: _means(f, "t21_12h", "host", 2),
        lambda f: _two_seed_wins(f, "t21_12h"),
        lambda f: _means(f, "t22_24h", "host", 2),
        lambda f: _two_seed_wins(f, "t22_24h"),
    )
    return tuple(one for make in makers for one in make(facts))


def _pilot(facts: Facts) -> Iterator[Replayed]:
    for row in rows_of(facts, "t05_effects_2min"):
        yield _neither(
            facts, "t05_effects_2min", f"effect of {row['factor']}", _fixed(row["effect"], 4), NOT_PRINTED_RUNS
        )


def _screen(facts: Facts, table: str) -> Iterator[Replayed]:
    """Effects, intervals, p and q by the model of the paper on runs that have the printed effects and error."""
    found = {effect.term: effect for effect in rebuilt_screen(facts, table)}
    for row in rows_of(facts, table):
        name, own = row["factor"], found[row["factor"]]
        yield _rebuilt(facts, table, f"effect of {name}", _fixed(row["effect"], 4), own.estimate)
        yield _rebuilt(facts, table, f"low of {name}", _fixed(row["ci_low"], 4), own.low)
        yield _rebuilt(facts, table, f"high of {name}", _fixed(row["ci_high"], 4), own.high)
        yield _rebuilt(facts, table, f"p of {name}", row["p_printed"], own.p)
        yield _rebuilt(facts, table, f"q of {name}", row["q_printed"], own.q)


def _reruns(facts: Facts, table: str, key: str) -> Iterator[Replayed]:
    for row in rows_of(facts, table):
        values = sample_with(row["mean"], row["sd"], row["n"])
        own = summarize_conditions(["c"] * len(values), range(len(values)), values, package="p", budget="b")[0]
        yield _rebuilt(facts, table, f"mean of {row[key]}", _fixed(row["mean"], 6), own.mean)
        yield _rebuilt(facts, table, f"sd of {row[key]}", _fixed(row["sd"], 6), own.sd)


def _follow_up(facts: Facts) -> Iterator[Replayed]:
    """The pooled model on 64 runs with the printed effects, its error set by the printed p of the AB change."""
    table = "t10_dfixed"
    found = rebuilt_follow_up(facts)
    effects = {(e.budget, e.term): e for e in found.effects}
    for row in rows_of(facts, table):
        for budget in (5, 10):
            own = effects[f"{budget} min", row["effect"].replace(":", "")]
            at = f"of {row['effect']} at {budget} min"
            yield _rebuilt(facts, table, f"effect {at}", _fixed(row[f"est{budget}"], 4), own.estimate)
            for side, value in (("lo", own.low), ("hi", own.high)):
                yield _rebuilt(facts, table, f"{side} {at}", _fixed(row[f"{side}{budget}"], 4), value, slack=5e-5)
    delta = next(d for d in found.deltas if d.term == "AB")
    printed = entry(facts, table)
    yield _recomputed(facts, table, "change of A:B", _fixed(printed["AB_budget_delta"], 4), delta.estimate, slack=5e-5)
    yield _rebuilt(facts, table, "p of the change of A:B", f"{printed['AB_budget_delta_p']:.2e}", delta.p)
    est = {(row["effect"], b): row[f"est{b}"] for row in rows_of(facts, table) for b in (5, 10)}
    for budget in (5, 10):
        ratio = abs(est["A:B", budget] / est["A", budget])
        slack = 5e-5 * (1 + ratio) / abs(est["A", budget])
        text = _fixed(printed[f"AB_over_A_{budget}min"], 3)
        yield _recomputed(facts, table, f"|A:B| / |A| at {budget} min", text, ratio, slack=slack)


def _greedy(facts: Facts) -> Iterator[Replayed]:
    table = "t11_greedy"
    for row in rows_of(facts, table):
        for name, digits in (("accepted", 0), ("best", 6), ("best_step", 0)):
            item = f"{name} at {row['budget_min']} min"
            yield _neither(facts, table, item, _fixed(row[name], digits), NOT_PRINTED_PATH)
    hit = entry(facts, table)["first_hit_A_low_D_low_step_10min"]
    yield _neither(facts, table, "first hit at 10 min", _fixed(hit, 0), NOT_PRINTED_PATH)


def _random(facts: Facts) -> Iterator[Replayed]:
    table = "t12_random_summary"
    printed = {row["statistic"]: row["value"] for row in rows_of(facts, table)}
    marks = entry(facts, table)["benchmarks"]
    best = [row["best_val_bpb"] for row in rows_of(facts, "t13_random_winners")]
    numbers = {"mean": fmean(best), "median": median(best), "min": min(best), "max": max(best)}
    for name, value in numbers.items():
        text = _fixed(printed[f"{name} batch best"], 6)
        yield _recomputed(
            facts, table, f"{name} of the batch bests", text, value, slack=5e-7 if name == "mean" else 0.0
        )
    for mark, words in (("pilot_screened_best", "pilot screened best"), ("greedy_best", "greedy best")):
        count = f"{sum(value <= marks[mark] for value in best)} / {len(best)}"
        yield _same(
            facts, table, f"batches at or better than {words}", printed[f"batches at or better than {words}"], count
        )
    greedy = _fixed(mean_of(facts, "t11_greedy", "best", budget_min=10), 6)
    yield _same(facts, table, "greedy best", _fixed(marks["greedy_best"], 6), greedy)
    yield _neither(facts, table, "pilot screened best", _fixed(marks["pilot_screened_best"], 6), NOT_PRINTED_RUNS)
    for row in rows_of(facts, "t13_random_winners"):
        item = f"best of batch {row['batch']}"
        yield _neither(facts, "t13_random_winners", item, _fixed(row["best_val_bpb"], 6), NOT_PRINTED_RUNS)


def _shares(facts: Facts) -> Iterator[Replayed]:
    rows = rows_of(facts, "t15_eta_sq")
    for row in rows:
        rest = 1.0 - sum(other["eta_sq"] for other in rows if other is not row)
        text = _fixed(row["eta_sq"], 4)
        yield _recomputed(facts, "t15_eta_sq", f"share of {row['term']}", text, rest, slack=5e-5 * (len(rows) - 1))


def _targeted(facts: Facts) -> Iterator[Replayed]:
    for row in rows_of(facts, "t16_dominance"):
        for name in ("best<worst", "bridge<worst", "best<bridge"):
            item = f"{name} at {row['budget_min']} min"
            yield _neither(facts, "t16_dominance", item, row[name], NOT_PRINTED_RUNS)
    for row in rows_of(facts, "t17_refinement"):
        for name in ("bridge_d8 - bridge_d6", "bridge_d6 - best_best"):
            item = f"{name} at {row['budget_min']} min"
            yield _neither(facts, "t17_refinement", item, _fixed(row[name], 4), NOT_PRINTED_MEANS)


def _means(facts: Facts, table: str, key: str, n: int) -> Iterator[Replayed]:
    for row in rows_of(facts, table):
        unit = "min" if key == "budget_min" else ""
        at = f"{row['condition']} ({row[key]}{f' {unit}' if unit else ''})"
        yield from _interval(facts, table, at, row["mean"], row["ci_low"], row["ci_high"], n)


def _interval(facts: Facts, table: str, at: str, mean: float, low: float, high: float, n: int) -> Iterator[Replayed]:
    """Mean and Student interval of n runs with the printed mean, as far as its last digit, and the interval's sd."""
    middle = min(max((low + high) / 2, mean - 4.9e-7), mean + 4.9e-7)
    values = sample_with(middle, sd_from_interval(low, high, n), n)
    own = summarize_conditions(["c"] * n, range(n), values, package="p", budget="b")[0]
    yield _rebuilt(facts, table, f"mean of {at}", _fixed(mean, 6), own.mean)
    yield _rebuilt(facts, table, f"low of {at}", _fixed(low, 6), own.low)
    yield _rebuilt(facts, table, f"high of {at}", _fixed(high, 6), own.high)


def _bridge(facts: Facts) -> Iterator[Replayed]:
    table = "t19_bridge60"
    printed = entry(facts, table)
    n = n_from_wins(printed["wins"]["bridge_best<greedy"])
    rows = {row["role"]: row for row in rows_of(facts, table)}
    elsewhere = {
        "greedy_winner": mean_of(facts, "t11_greedy", "best", budget_min=10),
        "screened_best": mean_of(facts, "t18_seeded_ordering", "mean", budget_min=10, rank="best"),
    }
    cells = {}
    for role, row in rows.items():
        text = _fixed(row["mean10"], 6)
        if role in elsewhere:
            yield _same(facts, table, f"10-min value of {role}", text, _fixed(elsewhere[role], 6))
        else:
            yield _neither(facts, table, f"10-min value of {role}", text, NOT_PRINTED_RUNS)
        yield from _interval(facts, table, role, row["mean60"], row["ci_low60"], row["ci_high60"], n)
        cells[role] = Moments(n=n, mean=row["mean60"], sd=sd_from_interval(row["ci_low60"], row["ci_high60"], n))
    test = welch(cells["bridge_best"], cells["greedy_winner"])
    gap = printed["bridge_minus_greedy"]
    yield _recomputed(facts, table, "bridge less greedy", _fixed(gap, 6), test.difference, slack=1e-6)
    yield _recomputed(facts, table, "its standard error", _fixed(printed["se_difference"], 6), test.se, slack=1e-6)
    yield _recomputed(facts, table, "in standard errors", _fixed(printed["about_se"], 1), abs(test.t))
    short = {
        "bridge_best": "bridge_best",
        "greedy": "greedy_winner",
        "screened_best": "screened_best",
        "control": "control",
    }
    for name, label in printed["wins"].items():
        a, b = (cells[short[part]] for part in name.split("<"))
        yield from _forced(facts, table, f"wins {name}", label, a, b)
    for item, depth, aspect, text in (
        ("parameters of the bridge, M", 8, 64, printed["params_bridge_M"]),
        ("parameters at depth 6, M", 6, 72, printed["params_depth6_M"]),
    ):
        millions = parameters(depth, width(depth, aspect), vocabulary(facts)) / 1e6
        # 39.85 is printed as 39.8: the digits beyond are cut, or the last is rounded to even.
        yield _recomputed(facts, table, item, _fixed(text, 1), millions, slack=0.01)
    for letter in "DA":
        share = 100.0 * abs(gap) / abs(effect(facts, 10, letter))
        text = _fixed(printed[f"gap_as_share_of_{letter}10_percent"], 0)
        yield _recomputed(facts, table, f"gap as a share of {letter}, %", text, share)


def _linux_wins(facts: Facts) -> Iterator[Replayed]:
    table = "t20_linux"
    n = n_from_wins(next(iter(entry(facts, table)["wins"].values()))["10"])
    for name, by_budget in entry(facts, table)["wins"].items():
        for budget, label in by_budget.items():
            item = f"wins {name} at {budget} min"
            if "greedy" in name:
                yield _neither(facts, table, item, label, NOT_PRINTED_GREEDY)
                continue
            rows = [row for row in rows_of(facts, table) if row["budget_min"] == int(budget)]
            found = {
                ("bridge_best" if "bridge" in row["condition"] else "control"): Moments(
                    n=n, mean=row["mean"], sd=sd_from_interval(row["ci_low"], row["ci_high"], n)
                )
                for row in rows
                if "bridge" in row["condition"] or "control" in row["condition"]
            }
            a, b = (found[part] for part in name.split("<"))
            yield from _forced(facts, table, item, label, a, b)


def _two_seed_wins(facts: Facts, table: str) -> Iterator[Replayed]:
    """Both seeds follow from mean and interval, so the counts do."""
    for host, counts in entry(facts, table)["wins"].items():
        values = {}
        for row in (row for row in rows_of(facts, table) if row["host"] == host):
            role = next(r for r in ("bridge", "greedy", "control") if r in row["condition"])
            values[role] = sample_with(row["mean"], sd_from_interval(row["ci_low"], row["ci_high"], 2), 2)
        for name, label in counts.items():
            a, b = (part.removesuffix("_best") for part in name.split("<"))
            found = win_counts({a: values[a]}, {b: values[b]})
            yield _same(facts, table, f"wins {name} on {host}", label, found.label)


def _forced(facts: Facts, table: str, item: str, label: str, a: Moments, b: Moments) -> Iterator[Replayed]:
    """A win count without a choice: no value lies further from its mean than sd (n - 1) / sqrt(n)."""
    reach = sum(x.sd * (x.n - 1) / math.sqrt(x.n) for x in (a, b))
    if abs(a.mean - b.mean) <= reach:
        yield _neither(facts, table, item, label, OVERLAP)
        return
    pairs = a.n * b.n
    yield _same(facts, table, item, label, f"{pairs if a.mean < b.mean else 0}/{pairs}")


def _rebuilt(facts: Facts, table: str, item: str, printed: str, value: float | None, *, slack: float = 0.0) -> Replayed:
    return _numeric(facts, table, item, printed, value, "rebuilt", slack)


def _recomputed(facts: Facts, table: str, item: str, printed: str, value: float, *, slack: float = 0.0) -> Replayed:
    return _numeric(facts, table, item, printed, value, "recomputed", slack)


def _numeric(
    facts: Facts, table: str, item: str, printed: str, value: float | None, way: Way, slack: float
) -> Replayed:
    """slack: how far the rounding of the inputs may have moved the value."""
    assert value is not None, f"{table}: {item} has an error"
    unit = _unit(printed)
    return Replayed(
        section=_section(facts, table),
        table=table,
        item=item,
        printed=printed,
        computed=f"{value:.{len(printed.split('e')[0].split('.')[1])}e}"
        if "e" in printed
        else _fixed(value, _places(unit)),
        way=way,
        agrees=abs(value - float(printed)) <= unit / 2 * (1 + 1e-6) + slack,
    )


def _same(facts: Facts, table: str, item: str, printed: str, computed: str) -> Replayed:
    return Replayed(
        section=_section(facts, table), table=table, item=item, printed=printed, computed=computed, way="recomputed",
        agrees=printed == computed,
    )  # fmt: skip


def _neither(facts: Facts, table: str, item: str, printed: str, reason: str) -> Replayed:
    return Replayed(
        section=_section(facts, table),
        table=table,
        item=item,
        printed=printed,
        computed="",
        way="neither",
        agrees=None,
        reason=reason,
    )


def _section(facts: Facts, table: str) -> str:
    return str(entry(facts, table)["section"])


def _fixed(value: Any, digits: int) -> str:
    return f"{float(value):.{digits}f}"


def _unit(printed: str) -> float:
    """One in the last printed place."""
    mantissa, _, exponent = printed.partition("e")
    places = len(mantissa.split(".")[1]) if "." in mantissa else 0
    return float(10.0 ** ((int(exponent) if exponent else 0) - places))


def _places(unit: float) -> int:
    return max(0, round(-math.log10(unit)))
