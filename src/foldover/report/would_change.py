"""What would change a recommendation: rivals not told apart, open factors, other hosts, longer budgets, its size."""

from __future__ import annotations

from foldover.report.numbers import counted, decimals_for, listed, plain
from foldover.report.reading import Row, half_width

SAME_SIZE = 0.1  # models within a tenth count as of one size
OPEN = ("undecided", "keep_open", "send_back", "more_seeds", "fold_over")


def would_change(document: Row) -> list[str]:
    """Sentences, the likeliest first; [] where nothing is recommended."""
    recommendation = document["recommendation"]
    if recommendation is None:
        return []
    own = [row for row in document["conditions"] if row["package"] == recommendation["package"]]
    chosen = next((row for row in own if row["condition"] == recommendation["condition"]), None)
    if chosen is None:
        return []
    few = [f"More seeds: with n = {chosen['n']} the order is descriptive only."] if chosen["descriptive"] else []
    return [
        *few,
        *_rivals(own, chosen),
        *_factors(document, chosen),
        *_elsewhere(document, chosen),
        *_size(document, chosen),
    ]


def _rivals(own: list[Row], chosen: Row) -> list[str]:
    """Conditions of the package whose intervals reach the chosen one's."""
    close = [row for row in own if row is not chosen and _overlap(row, chosen)]
    if not close:
        return []
    one = len(close) == 1
    return [
        f"More seeds, if {listed(row['condition'] for row in close)} should {'' if one else 'one of them '}come out "
        f"better: {'its interval reaches' if one else 'their intervals reach'} that of {chosen['condition']} "
        f"(n = {chosen['n']})."
    ]


def _factors(document: Row, chosen: Row) -> list[str]:
    """Factors that are open by the last verdict of the recipe's own host, and of explicit seeds where there are any."""
    last: dict[str, str] = {}
    letters = {factor["letter"] for factor in document["study"]["factors"]}
    weight = {e["stage"]: (e["host"] == chosen["host"], e["regime"] == "explicit") for e in document["effects"]}
    for verdict in sorted(document["verdicts"], key=lambda verdict: weight.get(verdict["stage"], (False, False))):
        if verdict["subject"] in letters:
            last[verdict["subject"]] = verdict["decision"]
    still_open = [letter for letter, decision in last.items() if decision in OPEN]
    if not still_open:
        return []
    verb = "is" if len(still_open) == 1 else "are"
    return [f"An effect of {listed(still_open)}, which {verb} not decided: another level could be better."]


def _elsewhere(document: Row, chosen: Row) -> list[str]:
    """Packages on other hosts, or at longer budgets, in which the chosen recipe runs and another leads."""
    found = []
    for package in dict.fromkeys(row["package"] for row in document["conditions"]):
        rows = [row for row in document["conditions"] if row["package"] == package]
        there = next((row for row in rows if row["condition"] == chosen["condition"]), None)
        if package == chosen["package"] or there is None or there["rank"] == 1 or not _is_beyond(rows[0], chosen):
            continue
        decimals = decimals_for([half_width(row) for row in rows])
        host = f" on {rows[0]['host']}" if rows[0]["host"] else ""
        count = counted(len(rows[0]["seeds"]), "seed")
        caveat = f"; descriptive only, {count}" if rows[0]["descriptive"] else f"; {count}"
        found.append(
            f"A different target: at {rows[0]['budget']}{host} ({package}{caveat}) {rows[0]['condition']} has the "
            f"better mean, {plain(rows[0]['mean'], decimals)} against {plain(there['mean'], decimals)}."
        )
    return found


def _size(document: Row, chosen: Row) -> list[str]:
    """That the chosen recipe is larger than all that it was compared with, where it is."""
    sizes = {
        run["condition"]: run["derived"]["num_params"]
        for run in document["runs"]
        if run["package"] == chosen["package"] and run["counts"] and "num_params" in run["derived"]
    }
    own = sizes.pop(chosen["condition"], 0)
    if not sizes or any(size > own / (1 + SAME_SIZE) for size in sizes.values()):
        return []
    return [
        f"A rival of its own size: {chosen['condition']} has {own:,} parameters, the others at most "
        f"{max(sizes.values()):,}, and its lead may be size."
    ]


def _is_beyond(row: Row, chosen: Row) -> bool:
    if not row["limit"] or not chosen["limit"] or row["limit"]["kind"] != chosen["limit"]["kind"]:
        return False
    longer = row["limit"]["amount"] > chosen["limit"]["amount"]
    return bool(longer or (row["host"] != chosen["host"] and row["limit"]["amount"] == chosen["limit"]["amount"]))


def _overlap(a: Row, b: Row) -> bool:
    if None in (a["low"], a["high"], b["low"], b["high"]):
        return True
    return bool(a["low"] <= b["high"] and b["low"] <= a["high"])
