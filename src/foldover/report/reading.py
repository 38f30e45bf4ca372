"""The shape of a report document, and how its readers find their way in it.

A document is plain JSON: objects, arrays, strings, finite numbers, booleans, null. Whoever renders one relies on
the order of its arrays and never on that of an object's names, so a document read back from disk reads the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# Any: the values of a JSON object; `document.build_report` says which names there are.
Document = dict[str, Any]
Row = Mapping[str, Any]

DECISION_WORDS = {
    "fix_low": "fixed at low",
    "fix_high": "fixed at high",
    "keep_open": "kept open",
    "drop": "dropped",
    "confirm": "confirmed",
    "undecided": "undecided",
    "send_back": "sent back: open again",
    "more_seeds": "undecided: more seeds",
    "fold_over": "doubtful: fold over",
    "carry": "carried on",
}
STATUSES = ("finished", "failed", "diverged", "timeout", "over_cap", "cancelled")


def is_main(effect: Row) -> bool:
    """Whether the effect is that of one factor."""
    return bool(effect["kind"] == "main")


def main_effects(document: Row) -> list[Row]:
    """The main effects, in the document's order."""
    return [effect for effect in document["effects"] if is_main(effect)]


def shares_lever(effect: Row, effects: Sequence[Row]) -> bool:
    """Whether another factor is of the same lever, so that only the levels tell the two apart."""
    lever = effect["lever"]
    return lever is not None and any(e["term"] != effect["term"] and e["lever"] == lever for e in effects)


def terms_by_size(effects: Sequence[Row]) -> list[str]:
    """Terms, the one with the largest effect at any budget first."""
    size: dict[str, float] = {}
    for effect in effects:
        size[effect["term"]] = max(size.get(effect["term"], 0.0), abs(effect["estimate"]))
    return sorted(size, key=lambda term: (-size[term], term))


def budgets_of(rows: Sequence[Row]) -> list[str]:
    """The budget labels of some rows, the shortest first; kinds of limits are kept apart."""
    known = {row["budget"]: (row["limit"]["kind"], row["limit"]["amount"]) for row in rows}
    return sorted(known, key=lambda label: known[label])


def package_names(rows: Sequence[Row]) -> list[str]:
    """The packages of some rows, in order of first mention."""
    return list(dict.fromkeys(row["package"] for row in rows))


def package_labels(rows: Sequence[Row]) -> dict[str, str]:
    """What to call each package of some rows: by its budget where that tells them apart, else by its whole name."""
    budgets = {row["package"]: row["budget"] for row in rows}
    is_unique = len(set(budgets.values())) == len(budgets)
    return {package: budget if is_unique else package for package, budget in budgets.items()}


def half_width(row: Row) -> float | None:
    """Half of a row's interval (None where it has none)."""
    if row["low"] is None or row["high"] is None:
        return None
    return float(row["high"] - row["low"]) / 2
