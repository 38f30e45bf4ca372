"""The analysis of a plain table as text: factors, effects, what stands behind them, and all cautions."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from foldover.report.numbers import MINUS, coded, counted, decimals_for, listed, percent, plain, probability, signed
from foldover.report.table_findings import Caution, Part, SurfaceFindings, TableFindings

if TYPE_CHECKING:
    from foldover.core import ConditionSummary, Effect
    from foldover.stats import Diagnostics, Relaxation

SHOWN_CONDITIONS = 12
SHOWN_EFFECTS = 40
SHOWN_RUNS = 8
_TEST_NAMES = {
    "breusch_pagan": "equal variance (Breusch-Pagan)",
    "brown_forsythe": "equal variance of conditions (Brown-Forsythe)",
    "shapiro_wilk": "normal residuals (Shapiro-Wilk)",
    "durbin_watson": "independence in run order (Durbin-Watson)",
}


def render_effects_text(findings: TableFindings, *, width: int = 120) -> str:
    """Plain lines for a terminal of `width` columns."""
    blocks = [_head(findings)]
    for part in findings.parts:
        if part.budget:
            blocks.append([f"== {findings.response} at budget {part.budget} ({counted(part.num_runs, 'run')})"])
        blocks += [_surface(part.surface, findings)] if part.surface else _two_level(findings, part)
        blocks.append(_conditions(findings, part))
        blocks.append(_diagnostics(part))
        blocks.append(_cautions("Cautions" + (f" at {part.budget}" if part.budget else ""), part.cautions, width))
    if findings.relaxation is not None:
        blocks.append(_relaxation(findings.relaxation))
    blocks.append(_left_out(findings))
    blocks.append(_cautions("Cautions", findings.cautions, width))
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _head(findings: TableFindings) -> list[str]:
    finished = sum(part.num_runs for part in findings.parts)
    lines = [
        f"{findings.source}: {counted(findings.num_rows, 'row')}, {finished} analysed; "
        f"response {findings.response} ({'lower' if findings.direction == 'minimize' else 'higher'} is better), "
        f"block {findings.block or 'none'}"
    ]
    rows = [
        [factor.letter, factor.column, f"{factor.low} \u2192 {factor.high}", _coding(factor.coding, factor.levels)]
        for factor in findings.factors
    ]
    lines += _aligned([["", "factor", MINUS + "1 \u2192 +1", "levels"], *rows])
    design = findings.design
    if design is None:
        lines.append("design: not a regular two-level design; aliases are not listed")
    elif design.generators:
        relation = f"I = {' = '.join(design.words[:12])}" + (" = ..." if len(design.words) > 12 else "")
        roman = f", resolution {_roman(design.resolution)}" if design.resolution else ""
        lines.append(f"design {design.source}: fraction with {', '.join(design.generators)}; {relation}{roman}")
    else:
        lines.append(f"design {design.source}: {'full factorial' if design.kind == 'full' else design.kind}")
    return lines


def _coding(coding: str, levels: int) -> str:
    return {"coded": "coded", "natural": f"{levels} values", "log": f"{levels} values, log scale"}.get(coding, coding)


def _two_level(findings: TableFindings, part: Part) -> list[list[str]]:
    return [_effects(findings, part), _lenth(part), _conditional(part), _tests(part)]


def _effects(findings: TableFindings, part: Part) -> list[str]:
    effects = part.effects
    decimals = decimals_for([*_halves(effects), part.margin])
    shown = sorted(effects, key=lambda e: (len(e.term) > 1, -abs(e.estimate)))[:SHOWN_EFFECTS]
    shares = {row.term: row.eta_sq for row in part.anova.rows} if part.anova else {}
    rows = [_effect_row(effect, decimals, shares.get(effect.term)) for effect in shown]
    header = ["", "effect", "se", f"{percent(findings.level)} interval", "p", "q", "share", "", "aliased with"]
    is_described = part.method == "lenth"
    if is_described:
        header, rows = _drop(header, rows, {2, 3, 4, 5})
    if not any(effect.aliased_with for effect in effects):
        header, rows = header[:-1], [row[:-1] for row in rows]
    title = f"Effects on {findings.response}, high minus low; method {part.method}"
    if not is_described and effects and effects[0].df is not None:
        title += f", {effects[0].df:.3g} degrees of freedom"
    if not is_described:
        title += f"; retained: interval excludes 0 and q \u2264 {findings.q:g} ({findings.correction})"
    lines = [title, *_aligned([header, *rows], right=set(range(1, 3 if is_described else 7)))]
    if len(shown) < len(effects):
        lines.append(f"  and {len(effects) - len(shown)} smaller ones (--json has all)")
    noted = [f"  {effect.term}: {note}" for effect in shown for note in effect.notes if _is_news(note)]
    return [*lines, *noted]


def _effect_row(effect: Effect, decimals: int, share: float | None) -> list[str]:
    interval = "\u2013"
    if effect.low is not None:
        interval = f"[{signed(effect.low, decimals)}, {signed(effect.high, decimals)}]"
    verdict = {True: "retained", False: "", None: ""}[effect.retained]
    if effect.method == "lenth":
        verdict = "beyond the margin" if any("exceeds" in note for note in effect.notes) else ""
    return [
        effect.term,
        signed(effect.estimate, decimals),
        plain(effect.se, decimals + 1) if effect.se is not None else "\u2013",
        interval,
        probability(effect.p),
        probability(effect.q),
        "" if share is None else f"{100 * share:.1f}%",
        verdict,
        ", ".join(effect.aliased_with[:4]) + (", ..." if len(effect.aliased_with) > 4 else ""),
    ]


def _is_news(note: str) -> bool:
    return not note.startswith(("Lenth:", "outside the declared family"))


def _lenth(part: Part) -> list[str]:
    if part.lenth is None:
        return []
    found = part.lenth
    decimals = decimals_for([found.pse])
    active = [point for point in reversed(part.contrasts) if point.name in found.active]
    named = ", ".join(f"{point.name} {signed(point.effect, decimals)}" for point in active) or "none"
    return [
        f"Single runs: Lenth's margin over {counted(len(found.names), 'contrast')}: PSE {found.pse:.{decimals}f}, "
        f"margin {found.margin:.{decimals}f}, simultaneous {found.simultaneous:.{decimals}f}",
        f"  beyond the margin: {named}",
        f"  beyond the simultaneous margin: {', '.join(found.active_simultaneous) or 'none'}",
    ]


def _conditional(part: Part) -> list[str]:
    if not part.conditional:
        return []
    decimals = decimals_for(_halves(part.conditional))
    rows = [
        [e.term, signed(e.estimate, decimals), f"[{signed(e.low, decimals)}, {signed(e.high, decimals)}]"]
        for e in part.conditional
    ]
    return ["Where two factors interact, read each at the levels of the other", *_aligned(rows, right={1, 2})]


def _tests(part: Part) -> list[str]:
    lines = []
    if part.lack_of_fit is not None:
        found = part.lack_of_fit
        lines.append(
            f"Lack of fit of {part.lack_of_fit_model} against {found.against}: F({found.df_lack}, {found.df_error}) = "
            f"{found.f:.3g}, p = {probability(found.p)}"
        )
    if part.curvature is not None:
        curved = part.curvature
        decimals = decimals_for([curved.se])
        lines.append(
            f"Curvature: corners minus centre {signed(curved.difference, decimals)} "
            f"[{signed(curved.low, decimals)}, {signed(curved.high, decimals)}], F(1, {curved.df}) = {curved.f:.3g}, "
            f"p = {probability(curved.p)} ({curved.num_corners} corner and {curved.num_centers} centre runs; "
            f"{curved.method})"
        )
    return lines


def _surface(surface: SurfaceFindings, findings: TableFindings) -> list[str]:
    decimals = decimals_for([term.se for term in surface.terms])
    rows = [
        [
            term.term,
            signed(term.estimate, decimals),
            plain(term.se, decimals + 1),
            f"[{signed(term.low, decimals)}, {signed(term.high, decimals)}]",
            probability(term.p),
        ]
        for term in surface.terms
    ]
    header = ["", "coefficient", "se", f"{percent(findings.level)} interval", "p"]
    lines = [
        f"Second-order model of {findings.response} in coded units, {surface.df} degrees of freedom, "
        f"residual sd {surface.sigma:.4g}, R\u00b2 {surface.r2:.3f}",
        *_aligned([header, *rows], right={1, 2, 3, 4}),
    ]
    if surface.stationary is not None:
        value = plain(surface.stationary_value, decimals)
        lines.append(f"stationary point ({surface.nature}): {_point(surface.stationary, findings)}, predicted {value}")
        if surface.stationary_low is not None and surface.stationary_high is not None:
            ends = zip(findings.factors, surface.stationary_low, surface.stationary_high, strict=True)
            lines.append("  intervals: " + ", ".join(f"{f.letter} [{low:+.2f}, {high:+.2f}]" for f, low, high in ends))
    lines.append("eigenvalues: " + ", ".join(f"{value:+.4g}" for value in surface.eigenvalues))
    natural = f" ({', '.join(f'{name} = {value}' for name, value in surface.natural)})" if surface.natural else ""
    best = plain(surface.best_value, decimals)
    lines.append(f"best within the region: {_point(surface.best, findings)}{natural}, predicted {best}")
    steps = [f"{distance:.2g}: {plain(value, decimals)}" for distance, _, value in surface.path]
    lines.append("path of the best by distance from the centre: " + ", ".join(steps))
    return lines


def _point(x: Sequence[float], findings: TableFindings) -> str:
    return ", ".join(f"{factor.letter} {signed(value, 3)}" for factor, value in zip(findings.factors, x, strict=True))


def _conditions(findings: TableFindings, part: Part) -> list[str]:
    rows = sorted(part.conditions, key=lambda c: c.mean if findings.direction == "minimize" else -c.mean)
    decimals = decimals_for(_halves(rows))
    levels = dict(part.levels)
    letters = "".join(factor.letter for factor in findings.factors)
    header = ["", "condition", letters if len(letters) <= 16 else "levels"]
    table = [[*header, "mean", "sd", f"{percent(findings.level)} interval", "n"]]
    for i, c in enumerate(rows, start=1):
        interval = f"[{plain(c.low, decimals)}, {plain(c.high, decimals)}]" if c.low is not None else "\u2013"
        signs = "".join(map(coded, levels[c.condition])) if len(letters) <= 16 else ""
        table.append([f"{i}.", c.condition, signs, plain(c.mean, decimals), plain(c.sd, decimals), interval, str(c.n)])
    lines = _aligned(table, right={0, 3, 4, 5, 6})
    if len(rows) > SHOWN_CONDITIONS:
        head = SHOWN_CONDITIONS - 2
        lines = [*lines[: head + 1], f"  ... {len(rows) - head - 1} between ...", lines[-1]]
    label = "; descriptive: fewer than 3 runs each" if all(c.n < 3 for c in rows) else ""
    return [f"Conditions by mean {findings.response}{label}", *lines]


def _diagnostics(part: Part) -> list[str]:
    found = part.diagnostics
    if found is None:
        return ["Residuals: none; the model uses every degree of freedom"] if part.method == "lenth" else []
    model = " + ".join(part.diagnosed[:8]) + (" + ..." if len(part.diagnosed) > 8 else "")
    fit = f"R\u00b2 {found.r2:.3f}"
    if found.predicted_r2 is not None:
        fit += f", predicted {found.predicted_r2:.3f}, PRESS {found.press:.4g}"
    lines = [f"Residuals of {model}: {fit}"]
    lines += [f"  {_TEST_NAMES.get(t.name, t.name)}: {t.statistic:.4g}, p = {probability(t.p)}" for t in found.tests]
    lines += _flagged(found)
    return [*lines, *(f"  {note}" for note in found.notes if "left out" not in note and "survivors" not in note)]


def _flagged(found: Diagnostics) -> list[str]:
    runs = sorted(found.flagged(), key=lambda run: -abs(run.external or 0.0))
    rows = [
        [
            run.run_id,
            run.condition,
            f"residual {run.residual:+.4g}",
            "" if run.external is None else f"studentised {run.external:+.2f}",
            f"leverage {run.leverage:.2f}",
            ", ".join(run.flags),
        ]
        for run in runs[:SHOWN_RUNS]
    ]
    more = [f"  and {len(runs) - SHOWN_RUNS} more (--json has all)"] if len(runs) > SHOWN_RUNS else []
    return [*_aligned(rows), *more] if rows else []


def _relaxation(found: Relaxation) -> list[str]:
    decimals = decimals_for(_halves(found.effects))
    ends = (found.budgets[0], found.budgets[-1])
    header = ["", *found.budgets, "shrinkage", "p (one-sided)", "ratio", ""]
    rows = []
    for term in dict.fromkeys(step.term for step in found.steps):
        curve = {effect.budget: effect.estimate for effect in found.curve(term)}
        step = next(s for s in found.steps if s.term == term and (s.short, s.long) == ends)
        notes = ["changes sign"] if step.changes_sign else []
        notes += ["paired by block"] if step.paired else []
        rows.append(
            [
                term,
                *(signed(curve.get(budget), decimals) for budget in found.budgets),
                signed(step.shrinkage, decimals),
                probability(step.p),
                "\u2013" if step.ratio is None else f"{step.ratio.ratio:.2f}",
                ", ".join(notes),
            ]
        )
    return [
        f"Relaxation of effects from budget {found.budgets[0]} to {found.budgets[-1]}",
        *_aligned([header, *rows], right=set(range(1, len(header) - 1))),
    ]


def _left_out(findings: TableFindings) -> list[str]:
    if not findings.left_out:
        return []
    rows = [[out.run_id, out.condition, f"seed {out.seed}", out.reason] for out in findings.left_out[:SHOWN_RUNS]]
    more = len(findings.left_out) - SHOWN_RUNS
    lines = [f"Left out: {counted(len(findings.left_out), 'run')}", *_aligned(rows)]
    lines += [f"  and {more} more (--json has all)"] if more > 0 else []
    if findings.failures:
        told = [f"{f.letter} {f.failed_low}/{f.failed_high} (p {f.adjusted:.2g})" for f in findings.failures]
        lines.append(f"  failures at low/high of each factor (Fisher, Holm): {', '.join(told)}")
    return lines


def _cautions(title: str, cautions: Sequence[Caution], width: int) -> list[str]:
    if not cautions:
        return []
    lines = [title]
    for caution in cautions:
        rows = f" ({listed(caution.rows[:SHOWN_RUNS])}{', ...' if len(caution.rows) > SHOWN_RUNS else ''})"
        words = f"{caution.kind}: {caution.message}{rows if caution.rows else ''}"
        lines += textwrap.wrap(words, width, initial_indent="  - ", subsequent_indent="    ")
    return lines


def _halves(rows: Sequence[Effect | ConditionSummary]) -> list[float]:
    """Half-widths of the intervals that there are."""
    return [(row.high - row.low) / 2 for row in rows if row.high is not None and row.low is not None]


def _drop(header: list[str], rows: list[list[str]], columns: set[int]) -> tuple[list[str], list[list[str]]]:
    keep = [i for i in range(len(header)) if i not in columns]
    return [header[i] for i in keep], [[row[i] for i in keep] for row in rows]


def _aligned(rows: Sequence[Sequence[str]], *, right: set[int] = frozenset()) -> list[str]:  # type: ignore[assignment]
    """Columns as wide as their widest cell, indented by two. right: columns aligned to the right."""
    if not rows:
        return []
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(
            cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _roman(number: int | None) -> str:
    numerals = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X")
    return "" if number is None else numerals[number] if number < len(numerals) else str(number)
