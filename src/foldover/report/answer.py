"""The answer in a sentence or two, bounded by the evidence: no "best" without n, interval and comparison."""

from __future__ import annotations

from foldover.report.numbers import counted, decimals_for, listed, percent, plain, setting, signed
from foldover.report.reading import Row, budgets_of, half_width, main_effects, package_labels, package_names

# More changed levers than this are counted, not listed, in the headline.
MOST_CHANGES = 5


def describe_answer(document: Row) -> dict[str, object]:
    """`status` (`recommended`, `open`, `no_result`), the `headline`, and `points`: a sentence a fact."""
    if document["recommendation"] is not None:
        return {"status": "recommended", "headline": _recommended(document), "points": _points(document)}
    if not any(run["counts"] for run in document["runs"]):
        return {"status": "no_result", "headline": _no_result(document), "points": []}
    headline = "No recipe is recommended: the study has not come to a decision."
    return {"status": "open", "headline": headline, "points": _points(document)}


def interval_text(row: Row, decimals: int) -> str:
    """`(95% interval 2.4051 to 2.4193, n = 5)`; `(one run, no interval)` where there is none."""
    if row["low"] is None or row["high"] is None:
        return f"({counted(row['n'], 'run')}, no interval)"
    low, high = plain(row["low"], decimals), plain(row["high"], decimals)
    return f"({percent(row['level'])} interval {low} to {high}, n = {row['n']})"


def shared_training(document: Row) -> str:
    """How many trainings carry the runs; "" where each run trained by itself."""
    totals = document["totals"]
    if not totals["continued"]:
        return ""
    return (
        f"{counted(totals['trained'], 'run')} trained from the first step; {totals['continued']} began with the state "
        "of another and trained only what was left, or nothing."
    )


def _recommended(document: Row) -> str:
    recommendation, study = document["recommendation"], document["study"]
    summary = recommendation["summary"]
    decimals = decimals_for([half_width(summary)])
    unit = f" {study['unit']}" if study["unit"] else ""
    own = next((row for row in document["conditions"] if row["is_recommended"]), None)
    host = f" on {own['host']}" if own is not None and own["host"] else ""
    caveat = _caveat(own) if own is not None and own["descriptive"] else ""
    recipe = f"{recommendation['condition']}{_changes(recommendation)}"
    return (
        f"At {summary['budget']}{host} the recommended recipe is {recipe}: "
        f"mean {study['response']} {plain(summary['mean'], decimals)}{unit} {interval_text(summary, decimals)}{caveat}."
    )


def _caveat(row: Row) -> str:
    """Why the order of its package is no more than a description."""
    return "; descriptive only, one fixed seed" if row["regime"] == "fixed" else f"; descriptive only, n = {row['n']}"


def _changes(recommendation: Row) -> str:
    """What is set differently from the baseline, where that fits in a sentence."""
    changes = recommendation["changes"]
    if not changes:
        return ", the baseline itself"
    if len(changes) > MOST_CHANGES:
        return f", which sets {len(changes)} levers differently from the baseline"
    words = listed(f"{change['lever']} {setting(change['recommended'])}" for change in changes)
    return f" ({words})"


def _no_result(document: Row) -> str:
    ended = [run for run in document["runs"] if run["status"] != "lost"]
    if not ended:
        return "No run has ended yet, so there is nothing to conclude."
    return f"None of {counted(len(ended), 'run')} gave a result that counts, so there is nothing to conclude."


def _points(document: Row) -> list[str]:
    points = []
    tested = [effect for effect in main_effects(document) if effect["retained"] is not None and effect["limit"]]
    labels = package_labels(tested)
    for package in sorted(package_names(tested), key=lambda name: _place(tested, name)):
        own = [effect for effect in tested if effect["package"] == package]
        points.append(_retained(own, _where(own[0], labels[package])))
    if tested:
        points.append(_largest(tested, document))
    elif main_effects(document):
        points.append("The effects are descriptive: they rest on one run a condition, so nothing is tested.")
    return points


def _place(effects: list[Row], package: str) -> tuple[str, float, str]:
    limit = next(effect["limit"] for effect in effects if effect["package"] == package)
    return limit["kind"], limit["amount"], package


def _where(effect: Row, label: str) -> str:
    """The budget; the package too where several have it, and the host and regime that a reader must know."""
    told = [label] if label != effect["budget"] else []
    told += [effect["host"]] if effect["host"] else []
    told += ["one fixed seed"] if effect["regime"] == "fixed" else []
    words = f" ({', '.join(told)})" if told else ""
    return f"{effect['budget']}{words}"


def _retained(effects: list[Row], where: str) -> str:
    letters = list(dict.fromkeys(effect["term"] for effect in effects))
    kept = [letter for letter in letters if any(e["retained"] for e in effects if e["term"] == letter)]
    said, factors = f"At {where} the effects of {listed(kept)}", counted(len(letters), "factor")
    is_fixed = effects[0]["regime"] == "fixed"
    if not kept:
        says = "stands out: descriptive only" if is_fixed else "is retained"
        return f"At {where} no effect of {factors} {says}."
    if is_fixed:
        return f"{said} {'stands' if len(kept) == 1 else 'stand'} out, of {factors}: descriptive only."
    return f"{said} {'is' if len(kept) == 1 else 'are'} retained, of {factors} tested."


def _largest(effects: list[Row], document: Row) -> str:
    explicit = [effect for effect in effects if effect["regime"] == "explicit"] or effects
    shortest = budgets_of(explicit)[0]
    own = [effect for effect in explicit if effect["budget"] == shortest]
    largest = max(own, key=lambda effect: abs(effect["estimate"]))
    decimals = decimals_for([half_width(effect) for effect in own])
    low, high = largest["levels"]
    unit = f" {document['study']['unit']}" if document["study"]["unit"] else ""
    text = (
        f"The largest effect at {shortest} is that of {largest['term']} ({largest['lever']}, {setting(low)} to "
        f"{setting(high)}): {signed(largest['estimate'], decimals)}{unit}"
    )
    if largest["low"] is not None:
        text += f" [{signed(largest['low'], decimals)}, {signed(largest['high'], decimals)}]"
    return text + ("; descriptive only, one fixed seed." if largest["regime"] == "fixed" else ".")
