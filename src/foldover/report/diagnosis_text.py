"""A diagnosis as lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

MOST_ROWS = 12
GATE_POINTS = 6
Rows = Sequence[Sequence[str]]


def diagnosis_text(document: Mapping[str, Any]) -> str:
    """The tables of a diagnosis (`foldover.lm.diagnostics`), as plain values, one under another."""
    parts = [f"{title}\n{aligned(header, rows)}" for title, header, rows in diagnosis_tables(document)]
    return "\n\n".join((_head(document), *parts))


def diagnosis_tables(document: Mapping[str, Any]) -> list[tuple[str, Sequence[str], Rows]]:
    """(title, header, rows) of each table; pages and terminal show the same."""
    d = document
    layers = {layer["position"]: layer for layer in d["layers"]}
    worst = sorted(d["matrices"], key=lambda one: one["relative_rank"])
    return [
        (
            "Loss by position in the row (nats)",
            ("positions", "loss"),
            [(f"{one['first']} to {one['end'] - 1}", _number(one["nats"])) for one in d["positions"]],
        ),
        (
            "Targets by kind",
            ("kind", "share", "share of loss", "loss"),
            [(s["name"], _percent(s["count"]), _percent(s["loss"]), _number(s["nats"])) for s in d["kinds"]],
        ),
        (
            "Branches: |added| / |stream|, and bits per byte lost without them",
            ("position", "branch", "contribution", "ablation", "", "stream RMS behind"),
            [
                (
                    str(b["position"]),
                    b["branch"],
                    _number(b["contribution"]),
                    f"{b['ablation_bpb']:+.4f}",
                    "dead" if b["is_dead"] else "",
                    _number(layers[b["position"]]["stream_rms"]) if b["branch"] == "mlp" else "",
                )
                for b in d["branches"]
            ],
        ),
        (
            "Hidden activations of the MLPs",
            ("position", "largest", "share above 4"),
            [
                (str(i), _number(one["largest_activation"]), _percent(one["large_activations"]))
                for i, one in layers.items()
            ],
        ),
        (
            "Matrices, the lowest relative rank first",
            (
                "matrix",
                "size",
                "effective rank",
                "of full",
                "stable rank",
                "condition",
                "kurtosis",
                "rows",
                "outlier rows",
            ),
            [
                (
                    one["name"],
                    f"{one['rows']}x{one['columns']}",
                    f"{one['effective_rank']:.1f}",
                    _percent(one["relative_rank"]),
                    f"{one['stable_rank']:.1f}",
                    "infinite" if one["condition"] is None else f"{one['condition']:.3g}",
                    f"{one['kurtosis']:.2f}",
                    f"{one['row_kurtosis']:.2f}",
                    ", ".join(f"{row['row']} ({row['ratio']:.1f}x)" for row in one["outliers"]) or "none",
                )
                for one in worst
            ],
        ),
        (
            "Outlier rows of several matrices",
            ("row", "matrices"),
            [(str(one["row"]), ", ".join(one["matrices"])) for one in d["recurring_rows"]],
        ),
        (
            "Gates, scales and mixes",
            ("name", "size", "mean", "lowest", "highest"),
            [(g["name"], str(g["size"]), *(f"{g[key]:+.4f}" for key in ("mean", "low", "high"))) for g in d["gates"]],
        ),
        _gate_courses(d),
        (
            "Gradient norms on training rows",
            ("group", "norm"),
            [(one["group"], f"{one['norm']:.4g}") for one in d["gradients"]],
        ),
        (
            "Most frequent confusions",
            ("target", "predicted", "times"),
            [(one["target"], one["predicted"], str(one["count"])) for one in d["confusions"][:MOST_ROWS]],
        ),
    ]


def diagnosis_facts(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, value) of the single numbers."""
    d, hits, logits, ends = document, document["accuracy"], document["logits"], document["boundary"]
    return [
        ("val_bpb", f"{d['val_bpb']:.6f} on {d['tokens']:,} targets (ablations: {d['ablated_tokens']:,})"),
        ("loss", f"{_number(d['loss'])} nats a target"),
        ("accuracy", f"{_percent(hits['top1'])}, among five {_percent(hits['top5'])}"),
        ("accuracy where a word starts", f"{_percent(hits['word_starts'])}, elsewhere {_percent(hits['others'])}"),
        ("calibration error", f"{d['calibration']['error']:.4f}"),
        ("loss after the end of a sentence", f"{_number(ends['after_end'])}, elsewhere {_number(ends['elsewhere'])}"),
        (
            "largest logit",
            f"{logits['largest']:.2f} of {logits['cap']:g}; {_percent(logits['near_cap'])} above 0.9 of the cap",
        ),
    ]


def _gate_courses(d: Mapping[str, Any]) -> tuple[str, Sequence[str], Rows]:
    """Some of the points, evenly, the first and the last among them. Older documents have none."""
    courses = d.get("gate_courses", ())
    progress = courses[0]["progress"] if courses else ()
    last = len(progress) - 1
    shown = sorted({round(i * last / (GATE_POINTS - 1)) for i in range(GATE_POINTS)}) if courses else []
    header = ("name", *(f"at {_percent(progress[i])}" for i in shown))
    rows = [(c["name"], *("none" if (m := c["means"][i]) is None else f"{m:+.4f}" for i in shown)) for c in courses]
    return "Means of gates, scales and mixes while they were trained, by share of the budget", header, rows


def aligned(header: Sequence[str], rows: Rows) -> str:
    """Columns under each other, two spaces apart; `none` where there are no rows."""
    if not rows:
        return "  none"
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = ("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in (header, *rows))
    return "\n".join("  " + line for line in lines)


def _head(document: Mapping[str, Any]) -> str:
    lines = [f"run {document['run_id']}, {document['state']}"]
    return "\n".join([*lines, *(f"  {name}: {value}" for name, value in diagnosis_facts(document))])


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{100 * value:.1f} %"
