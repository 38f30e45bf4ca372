"""`foldover plan` as text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from foldover.cli.options import duration
from foldover.core import Design, Scalar

if TYPE_CHECKING:
    from foldover.lab import Outline, OutlineStage, OutlineTrunk

TRUNK_WIDTH = 110


def plan_text(outline: Outline) -> str:
    """Every stage with its design, resolved conditions, runs and time."""
    lines = [f"study {outline.study}: {outline.question}", ""]
    for stage in outline.stages:
        lines += [*_stage_lines(stage), ""]
    bound = "at most " if any(stage.is_upper for stage in outline.stages) else ""
    bound = "about " if any(stage.is_expected for stage in outline.stages) else bound
    lines.append(
        f"total: {bound}{outline.total_runs} runs, about {duration(outline.total_wall_seconds)} with "
        f"{outline.jobs} at a time"
    )
    for host in outline.hosts if len(outline.hosts) > 1 or outline.hosts[0].label else ():
        hours = f", {host.training_hours:,.4g} h of training" if host.training_hours else ""
        cost = f", which cost {host.cost:,.4g}" if host.cost else ""
        lines.append(f"on {host.title}: {host.runs} runs{hours}{cost}")
    return "\n".join(lines)


def _stage_lines(stage: OutlineStage) -> list[str]:
    lines = [
        f"stage {stage.name} ({stage.kind}): {_size(stage)}{_reruns(stage)}{_runs(stage)}, "
        f"about {duration(stage.cost.wall_seconds)}"
    ]
    if stage.design is not None:
        lines += _design_lines(stage.design)
    if stage.conditions:
        lines += _condition_lines(stage)
    lines += [f"  {line}" for trunk in stage.trunks for line in _trunk_lines(trunk, len(stage.seeds))]
    lines += [f"  note: {note}" for note in stage.notes]
    if not stage.conditions:
        lines.append("  which conditions: decided by the results of the stages before it")
    return lines


def _size(stage: OutlineStage) -> str:
    budgets = f"{len(stage.budgets)} budgets ({', '.join(stage.budgets)})"
    if stage.is_expected:
        return f"runs of {budgets}, seed {stage.seeds[0]}"
    bound = "at most " if stage.is_upper else ""
    seeds = f"{len(stage.seeds)} seeds ({', '.join(map(str, stage.seeds))})"
    return f"{bound}{stage.num_conditions} conditions x {budgets} x {seeds}"


def _reruns(stage: OutlineStage) -> str:
    return (f" x {stage.reruns} reruns" if stage.reruns > 1 else "") + (f" on {stage.host}" if stage.host else "")


def _runs(stage: OutlineStage) -> str:
    cost = stage.cost
    if not cost.trunks:
        return f" = {'about ' if stage.is_expected else ''}{cost.runs} runs"
    return f" = {cost.runs - cost.trunks} runs, {cost.continued} of them from a state, and {cost.trunks} that train it"


def _design_lines(design: Design) -> list[str]:
    k, runs = len(design.factors), len(design.rows)
    lines = [f"  design: {design.kind}, {runs} runs of {k} factors"]
    if design.generators:
        lines.append(f"  generators: {', '.join(design.generators)}")
    if design.words:
        lines.append(f"  defining relation: I = {' = '.join(design.words)} (resolution {_roman(design.resolution)})")
    if design.aliases:
        pairs = ", ".join(" = ".join([term, *others]) for term, others in design.aliases if others)
        lines.append(f"  aliases: {pairs}")
    for factor in design.factors:
        is_alone = factor.kind == "choice" or design.kind == "one_at_a_time"
        middle = "" if is_alone else f", centre {_text(factor.decode(0.0))}"
        lines.append(f"  {factor.letter}: {factor.lever} from {_text(factor.low)} to {_text(factor.high)}{middle}")
    return lines


def _condition_lines(stage: OutlineStage) -> list[str]:
    assert stage.design is not None, "conditions come from a design"
    shown = [
        name
        for name in ("width", "num_params", "tokens_per_step", "artifact_bytes")
        if name in stage.conditions[0].derived
    ]
    header = ["condition", *stage.design.letters, *shown, ""]
    rows = [
        [
            row.label,
            *(_text(row.natural[f.lever]) for f in stage.design.factors),
            *(f"{row.derived[name]:,}" for name in shown),
            f"same run as {row.same_as}" if row.same_as else "",
        ]
        for row in stage.conditions
    ]
    return ["  " + line for line in table(header, rows)]


def _trunk_lines(trunk: OutlineTrunk, num_seeds: int) -> list[str]:
    times = "" if num_seeds == 1 else f", under each of {num_seeds} seeds"
    head = (
        f"{trunk.label} ({trunk.package.partition(' @ ')[2]}{times}) keeps its state at {', '.join(trunk.keeps)} for:"
    )
    return textwrap.wrap(f"{head} {', '.join(trunk.conditions)}", TRUNK_WIDTH, subsequent_indent="  ")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns aligned to the right, but the first to the left."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    return [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (header, *rows)
    ]


def _text(value: Scalar) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _roman(number: int | None) -> str:
    numerals = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X")
    if number is None:
        return "none"
    return numerals[number] if number < len(numerals) else str(number)
