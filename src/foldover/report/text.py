"""The report for a terminal: effects, order of conditions, recommendation, where the rest lies."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from foldover.report.answer import interval_text, shared_training
from foldover.report.numbers import counted, decimals_for, duration, plain, probability, setting, signed
from foldover.report.reading import (
    Row,
    half_width,
    main_effects,
    package_labels,
    package_names,
    shares_lever,
    terms_by_size,
)

PICTURE_WIDTH = 27
LONGEST_LEVER = 26
SHOWN_CONDITIONS = 5


def render_text(document: Mapping[str, Any], *, lies_at: str = "", width: int = 120) -> str:
    """Plain lines for a terminal.

    lies_at: where the page lies, said at the end ("" to leave it out); width: of the terminal, in columns:
    sentences are wrapped to it, and where the table of effects does not fit with its picture it has none.
    """
    study = document["study"]
    blocks = [
        [*_wrapped(study["question"], width), *_accounting(document, width)],
        _effects(document, width),
        *[_conditions(document, package) for package in package_names(document["conditions"])],
        _recommendation(document, width),
        _trouble(document, width),
        [f"report: {lies_at}"] if lies_at else [],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _accounting(document: Row, width: int) -> list[str]:
    totals = document["totals"]
    parts = [f"{totals['finished']} of {counted(totals['planned'], 'run')} finished"]
    named = (("failed", "failed"), ("diverged", "diverged"), ("timeout", "timed out"), ("over_cap", "over the cap"))
    parts += [f"{totals[name]} {words}" for name, words in (*named, ("pending", "to do")) if totals[name]]
    if totals["lost_attempts"]:
        parts.append(counted(totals["lost_attempts"], "lost attempt"))
    lines = _wrapped(", ".join(parts) + f"; {duration(totals['training_seconds'])} of training", width)
    return [*lines, *_wrapped(shared_training(document), width)] if totals["continued"] else lines


def _effects(document: Row, width: int) -> list[str]:
    effects = main_effects(document)
    if not effects:
        return ["No effect could be estimated."]
    study = document["study"]
    decimals = decimals_for([half_width(effect) for effect in effects])
    reach = max(abs(value) for e in effects for value in (e["estimate"], e["low"], e["high"]) if value is not None)
    reach = min(reach, 2 * max(abs(e["estimate"]) for e in effects)) or 1.0
    unit = study["unit"] or study["response"]
    names = package_labels(effects)
    header = ["", "factor", "budget", "effect", "interval", "q", "", "0".center(PICTURE_WIDTH)]
    rows = []
    for term in terms_by_size(effects):
        for i, effect in enumerate(e for e in effects if e["term"] == term):
            rows.append(
                _effect_row(effect, names, decimals, reach, is_first=i == 0, name=_factor_name(effect, effects))
            )
    title = f"Effects on {study['response']} ({unit}), high minus low"
    return [title, *_table_that_fits(header, rows, width), *_effect_notes(effects, width)]


def _table_that_fits(header: list[str], rows: list[list[str]], width: int) -> list[str]:
    """The table of effects, in a narrow terminal without its picture, then without the names of the levers."""
    table = _table(header, rows, right={3, 4, 5})
    if max(len(line) for line in table) > width:
        header, rows = header[:-1], [row[:-1] for row in rows]
        table = _table(header, rows, right={3, 4, 5})
    if max(len(line) for line in table) > width:
        header, rows = [header[0], *header[2:]], [[row[0], *row[2:]] for row in rows]
        table = _table(header, rows, right={2, 3, 4})
    return table


def _factor_name(effect: Row, effects: Sequence[Row]) -> str:
    """The lever; with its levels where several factors are of one."""
    name = _short(effect["lever"] or "")
    if shares_lever(effect, effects):
        low, high = effect["levels"]
        return f"{name} {low} \u2192 {high}"
    return name


def _effect_row(
    effect: Row, names: Mapping[str, str], decimals: int, reach: float, *, is_first: bool, name: str
) -> list[str]:
    interval = "descriptive" if effect["descriptive"] else "\u2013"
    if effect["low"] is not None:
        interval = f"[{signed(effect['low'], decimals)}, {signed(effect['high'], decimals)}]"
    retained = ("stands out" if effect["descriptive"] else "retained") if effect["retained"] else ""
    return [
        effect["term"] if is_first else "",
        name if is_first else "",
        names[effect["package"]],
        signed(effect["estimate"], decimals),
        interval,
        probability(effect["q"]),
        retained,
        _picture(effect, reach),
    ]


def _picture(effect: Row, reach: float) -> str:
    """The interval as a line through its estimate, zero in the middle; hollow where nothing is tested."""

    def place(value: float) -> int:
        share = max(-1.0, min(1.0, value / reach))
        return round((share + 1) / 2 * (PICTURE_WIDTH - 1))

    cells = [" "] * PICTURE_WIDTH
    cells[place(0.0)] = "\u2502"
    if effect["low"] is not None:
        for i in range(place(effect["low"]), place(effect["high"]) + 1):
            cells[i] = "\u253c" if i == place(0.0) else "\u2500"
    cells[place(effect["estimate"])] = "\u25cb" if effect["descriptive"] else "\u25cf"
    return "".join(cells)


def _effect_notes(effects: Sequence[Row], width: int) -> list[str]:
    aliases = [f"{e['term']} = {' = '.join(e['aliased_with'])}" for e in effects if e["aliased_with"]]
    unique = list(dict.fromkeys(aliases))
    return _wrapped("aliased: " + ", ".join(unique), width, indent="  ") if unique else []


def _conditions(document: Row, package: str) -> list[str]:
    rows = [row for row in document["conditions"] if row["package"] == package]
    decimals = decimals_for([half_width(row) for row in rows])
    shown = rows if len(rows) <= SHOWN_CONDITIONS + 1 else [*rows[: SHOWN_CONDITIONS - 1], rows[-1]]
    lines = []
    for row in shown:
        values = f"{plain(row['mean'], decimals)} {interval_text(row, decimals)}"
        lines.append([f"{row['rank']}.", row["condition"], values])
    table = _table(None, lines, right={0})
    if len(shown) < len(rows):
        table.insert(-1, f"     and {len(rows) - len(shown)} between")
    label = "; descriptive: fewer than 3 seeds" if all(row["descriptive"] for row in rows) else ""
    return [f"Conditions of {package}, by mean {document['study']['response']}{label}", *table]


def _recommendation(document: Row, width: int) -> list[str]:
    recommendation = document["recommendation"]
    lines = _wrapped(document["answer"]["headline"], width)
    if recommendation is None:
        return lines
    changes = [
        ["", change["lever"], setting(change["baseline"]), "\u2192", setting(change["recommended"])]
        for change in recommendation["changes"]
    ]
    lines += _table(None, changes, right={2}) or ["  The baseline itself: nothing changes."]
    said = (
        ("compared with the others", "comparisons"),
        ("the evidence supports", "supports"),
        ("it would change with", "would_change"),
        ("it does not support", "does_not_support"),
    )
    for words, name in said:
        lines += [f"  {words}:"] if recommendation[name] else []
        for sentence in recommendation[name]:
            lines += _wrapped(sentence, width, indent="    ")
    return lines


def _trouble(document: Row, width: int) -> list[str]:
    failed = [run for run in document["runs"] if run["status"] not in ("finished", "lost")]
    if not failed:
        return []
    lines = [[run["condition"], f"seed {run['seed']}", run["package"], run["status"], _why(run)] for run in failed[:8]]
    rest = [f"  and {len(failed) - 8} more; report.json lists them"] if len(failed) > 8 else []
    table = [line[:width].rstrip() for line in _table(None, lines, right=set())]
    return [f"{counted(len(failed), 'run')} without a result", *table, *rest]


def _why(run: Row) -> str:
    if run["failure"] is None:
        return ""
    return str(run["failure"]["message"]).split("\n", 1)[0]


def _table(header: Sequence[str] | None, rows: Sequence[Sequence[str]], *, right: set[int]) -> list[str]:
    """Rows in columns as wide as their widest cell, indented by two. right: columns aligned to the right."""
    every = [*([header] if header else []), *rows]
    if not rows:
        return []
    widths = [max(len(row[i]) for row in every) for i in range(len(every[0]))]
    lines = []
    for row in every:
        cells = [
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines


def _wrapped(words: str, width: int, indent: str = "") -> list[str]:
    """A sentence on as many lines as it needs; the further ones are indented by as much as the first."""
    return textwrap.wrap(words, width, initial_indent=indent, subsequent_indent=" " * len(indent)) or [""]


def _short(lever: str) -> str:
    return lever if len(lever) <= LONGEST_LEVER else "\u2026" + lever[-LONGEST_LEVER + 1 :]
