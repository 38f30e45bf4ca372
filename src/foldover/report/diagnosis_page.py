"""A diagnosis as one self-contained page: its tables, and pictures where order or shape matters.

Every word is escaped, nothing is loaded from anywhere, and the same document gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from foldover.report import svg
from foldover.report.diagnosis_text import Rows, diagnosis_facts, diagnosis_tables
from foldover.report.plot import STYLE, plot

WIDTH, HEIGHT = 420.0, 280.0
GATE_LINES = 12
PAGE_STYLE = Markup(
    ":root{color-scheme:light dark}body{font:15px system-ui,sans-serif;max-width:980px;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:.5rem 0 1.5rem}td,th{padding:.15rem .7rem .15rem 0;text-align:left;"
    "border-bottom:1px solid #8885;font-variant-numeric:tabular-nums;vertical-align:top}h2{font-size:1.1rem}"
    "dt{font-weight:600}dd{margin:0 0 .4rem}.pictures{display:flex;flex-wrap:wrap;gap:1rem}"
)


def render_diagnosis(document: Mapping[str, Any]) -> str:
    """The text of `diagnostics.html`, made of a diagnosis as plain values (`diagnostics.json`) alone."""
    title = f"Diagnosis of run {document['run_id']}"
    facts = [svg.tag("dt", name) + svg.tag("dd", value) for name, value in diagnosis_facts(document)]
    tables = [
        svg.tag("h2", name) + (_table(header, rows) if rows else svg.tag("p", "none"))
        for name, header, rows in diagnosis_tables(document)
    ]
    body = svg.tag(
        "body",
        svg.tag("h1", title),
        svg.tag("p", f"State: {document['state']}"),
        svg.tag("dl", *facts),
        svg.tag("div", *_pictures(document), class_="pictures"),
        *tables,
    )
    head = svg.tag(
        "head",
        svg.tag("meta", charset="utf-8"),
        svg.tag("title", title),
        svg.tag("style", PAGE_STYLE, STYLE),
    )
    return "<!doctype html>\n" + str(svg.tag("html", head, body, lang="en")) + "\n"


def _table(header: Sequence[str], rows: Rows) -> Markup:
    lines = [svg.tag("tr", *(svg.tag("th", cell or "\u00a0") for cell in header))]
    lines += [svg.tag("tr", *(svg.tag("td", cell or "\u00a0") for cell in row)) for row in rows]
    return svg.tag("table", *lines)


def _pictures(d: Mapping[str, Any]) -> Iterator[Markup]:
    bins = d["positions"]
    names = [f"{one['first']}" for one in bins]
    yield _curve("Loss by position", [one["nats"] for one in bins], names, "first position of the bin", "nats")
    yield _calibration(d["calibration"]["bins"])
    layers = d["layers"]
    places = [str(layer["position"]) for layer in layers]
    yield _curve("Residual stream", [layer["stream_rms"] for layer in layers], places, "position", "RMS")
    for branch in ("attention", "mlp"):
        found = [one for one in d["branches"] if one["branch"] == branch]
        sizes = [one["contribution"] for one in found]
        yield _curve(f"Contribution of {branch}", sizes, places, "position", "|added| / |stream|")
        lost = [one["ablation_bpb"] for one in found]
        yield _curve(f"Lost without {branch}", lost, places, "position", "bits per byte")
    if courses := d.get("gate_courses"):
        yield _gates(courses)


def _curve(title: str, values: Sequence[float], names: Sequence[str], x_label: str, y_label: str) -> Markup:
    """Values in order, one tick each."""
    at = list(range(len(values)))
    frame = plot(
        title, x=[-0.5, len(values) - 0.5], y=[0.0, *values], x_label=x_label, y_label=y_label, width=WIDTH,
        height=HEIGHT,
    )  # fmt: skip
    step = max(1, len(at) // 12)
    dots = [frame.dot(i, value, words=f"{name}: {value:.6g}") for i, value, name in zip(at, values, names, strict=True)]
    marks = [frame.across(0.0), frame.stroke(zip(at, values, strict=True)), *dots]
    ticks = [(float(i), names[i]) for i in at[::step]]
    return svg.drawing(WIDTH, HEIGHT, frame.inside(*marks, x_ticks=ticks), label=title)


def _gates(courses: Sequence[Mapping[str, Any]]) -> Markup:
    """A line a gate, of those that moved most; named when its end is pointed at."""
    title = "Gates while they were trained"
    lines = [
        (one["name"], [(p, m) for p, m in zip(one["progress"], one["means"], strict=True) if m is not None])
        for one in courses
    ]
    moved = sorted(
        (line for line in lines if line[1]),
        key=lambda line: min(m for _, m in line[1]) - max(m for _, m in line[1]),
    )[:GATE_LINES]
    frame = plot(
        title, x=[0.0, 1.0], y=[0.0, *(m for _, line in moved for _, m in line)], x_label="share of the budget",
        y_label="mean", width=WIDTH, height=HEIGHT,
    )  # fmt: skip
    strokes = [frame.stroke(line) for _, line in moved]
    ends = [frame.dot(*line[-1], words=f"{name}: {line[0][1]:.4g} to {line[-1][1]:.4g}") for name, line in moved]
    return svg.drawing(WIDTH, HEIGHT, frame.inside(frame.across(0.0), *strokes, *ends), label=title)


def _calibration(bins: Sequence[Mapping[str, float]]) -> Markup:
    title = "Calibration"
    frame = plot(
        title, x=[0.0, 1.0], y=[0.0, 1.0], x_label="probability of the likeliest token", y_label="share that was right",
        width=WIDTH, height=HEIGHT,
    )  # fmt: skip
    dots = [
        frame.dot(one["confidence"], one["accuracy"], words=f"{one['count']} targets: {one['accuracy']:.4f}")
        for one in bins
    ]
    marks = [frame.stroke([(0.0, 0.0), (1.0, 1.0)], class_="axis"), *dots]
    return svg.drawing(WIDTH, HEIGHT, frame.inside(*marks), label=title)
