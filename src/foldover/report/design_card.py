"""A design with what a user must know before the first run, as a record and as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from textwrap import wrap

from foldover.core import Design, Row, Scalar
from foldover.report.numbers import MINUS, coded, counted, setting

CARD_SCHEMA = 1
SHOWN_ROWS = 128
SHOWN_ALIASES = 120
_ROMAN = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """A model on the design: efficiencies in per cent, I as the mean prediction variance, the largest inflation.

    not_estimable: why the design cannot carry the model ("" where it can; the numbers are None where it cannot).
    """

    model: str
    num_terms: int
    d: float | None
    a: float | None
    g: float | None
    i: float | None
    largest_vif: float | None
    not_estimable: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TermPower:
    """Power for terms of one precision, run under so many seeds. df: of the error; analysis: by its name."""

    terms: tuple[str, ...]
    effect: float
    sd: float
    seeds: int
    se: float
    df: float
    analysis: str
    power: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignCard:
    """What is known of a design before it is run.

    resolution: in Roman numerals ("" without a defining relation); pattern: counts of words of 3, 4, ... letters;
    clear: main effects and interactions free of each other; partial: (term, omitted term, coefficient) of an irregular
    design; seeds_needed: (effect, sd, seeds) for 90% power; unit: of the effects, `sd` where none was given.
    """

    schema: int
    name: str
    kind: str
    num_runs: int
    num_conditions: int
    generators: tuple[str, ...]
    words: tuple[str, ...]
    resolution: str
    pattern: tuple[int, ...]
    aliases: tuple[tuple[str, tuple[str, ...]], ...]
    clear_main: tuple[str, ...]
    clear_two_factor: tuple[str, ...]
    strongly_clear: tuple[str, ...]
    partial: tuple[tuple[str, str, float], ...]
    efficiencies: tuple[Efficiency, ...]
    power: tuple[TermPower, ...]
    seeds_needed: tuple[tuple[float, float, int], ...]
    unit: str
    notes: tuple[str, ...]
    cautions: tuple[str, ...]


def render_design_text(design: Design, card: DesignCard, *, width: int = 120) -> str:
    """Plain lines for a terminal of `width` columns."""
    blocks = [
        _head(design, card),
        _table(design),
        _relation(card, width),
        _aliases(card, width),
        _efficiency(card, width),
        _power(card),
        [line for note in (*card.notes, *card.cautions) for line in wrap(f"- {note}", width, subsequent_indent="  ")],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def roman(number: int | None) -> str:
    """A resolution as it is written; "" for none."""
    return "" if number is None else _ROMAN[number] if number < len(_ROMAN) else str(number)


def _head(design: Design, card: DesignCard) -> list[str]:
    lines = [f"{card.kind}: {counted(card.num_runs, 'run')} of {counted(len(design.factors), 'factor')}"]
    if card.num_conditions != card.num_runs:
        lines[0] += f", {card.num_conditions} conditions"
    order = "standard order" if design.seed is None else f"run order from seed {design.seed}"
    lines[0] += f"; {order}"
    if design.whole_plot:
        lines.append(f"whole-plot factors: {', '.join(design.whole_plot)}")
    if design.block_words:
        lines.append(f"confounded with blocks: {', '.join(design.block_words)}")
    return lines


def _table(design: Design) -> list[str]:
    has_names = any(factor.lever != factor.letter for factor in design.factors)
    has_blocks = any(row.block for row in design.rows)
    has_plots = any(row.whole_plot for row in design.rows)
    header = ["run", "label", *(["block"] if has_blocks else []), *(["whole plot"] if has_plots else [])]
    names = [factor.lever.rpartition(".")[2] for factor in design.factors] if has_names else []
    rows = []
    for row in design.rows[:SHOWN_ROWS]:
        own = [str(row.order + 1), row.label]
        own += [row.block] if has_blocks else []
        own += [row.whole_plot] if has_plots else []
        natural = [setting(value) for value in _natural(design, row)] if has_names else []
        rows.append([*own, *map(coded, row.levels), *natural])
    lines = _aligned([[*header, *design.letters, *names], *rows], left=1 + has_blocks + has_plots)
    more = len(design.rows) - SHOWN_ROWS
    return [*lines, f"  and {counted(more, 'row')} more: --csv writes them all"] if more > 0 else lines


def _natural(design: Design, row: Row) -> Iterable[Scalar]:
    values = design.decode(row)
    return [values[factor.lever] for factor in design.factors]


def _relation(card: DesignCard, width: int) -> list[str]:
    if not card.generators:
        return []
    lines = [f"generators: {', '.join(card.generators)}"]
    if card.words:
        lines += wrap(f"defining relation: I = {' = '.join(card.words)}", width, subsequent_indent="    ")
    counts = ", ".join(f"A{i + 3} = {count}" for i, count in enumerate(card.pattern) if count)
    lines.append(f"resolution {card.resolution}; word lengths: {counts or 'none'}")
    mains, pairs = ", ".join(card.clear_main) or "none", ", ".join(card.clear_two_factor) or "none"
    clear = f"clear main effects: {mains}; clear two-factor interactions: {pairs}"
    lines += wrap(clear, width, subsequent_indent="    ")
    return lines


def _aliases(card: DesignCard, width: int) -> list[str]:
    if card.partial:
        shown = [
            f"{term} {'-' if value < 0 else '+'} {abs(value):.2f} {omitted}"
            for term, omitted, value in card.partial[:12]
        ]
        more = f" and {len(card.partial) - 12} more" if len(card.partial) > 12 else ""
        return ["partial aliases (coefficient of the omitted term):", *wrap("; ".join(shown) + more, width - 2)]
    if not card.aliases:
        return []
    # Chains of three-factor terms fill pages where many factors share few runs; --json has them.
    longest = len(card.aliases) if len(card.generators) <= 2 else 2
    lines = ["aliases" + ("" if longest > 2 else " of up to two factors (--json has three)")]
    for words, size in (("main effects", 1), ("two-factor interactions", 2)):
        own = [(term, others) for term, others in card.aliases if len(term) == size and others][:SHOWN_ALIASES]
        kept = [(term, [x for x in others if len(x.lstrip("-")) <= longest]) for term, others in own]
        chains = ["\u00a0=\u00a0".join([term, *others]) for term, others in kept if others]
        if chains:
            text = f"  {words}: {', '.join(chains)}"
            lines += [line.replace("\u00a0", " ") for line in wrap(text, width, subsequent_indent="    ")]
    return lines


def _efficiency(card: DesignCard, width: int) -> list[str]:
    rows = [
        [e.model, str(e.num_terms), *(_percent(x) for x in (e.d, e.a, e.g)), _number(e.i), _number(e.largest_vif)]
        for e in card.efficiencies
        if not e.not_estimable
    ]
    header = ["model", "terms", "D", "A", "G", "I (mean variance)", "largest VIF"]
    lines = ["efficiency", *_aligned([header, *rows], left=0)] if rows else []
    for e in card.efficiencies:
        if e.not_estimable:
            lines += wrap(f"  {e.model}: not estimable: {e.not_estimable}", width, subsequent_indent="    ")
    return lines


def _power(card: DesignCard) -> list[str]:
    if not card.power:
        return []
    unit = " sd" if card.unit == "sd" else ""
    rows = [
        [
            f"{p.effect:g}{unit}",
            str(p.seeds),
            f"{p.se:.3g}",
            f"{p.df:.3g}",
            p.analysis,
            f"{100 * p.power:.0f}%",
            _terms(p.terms),
        ]
        for p in card.power
    ]
    sd = "" if card.unit == "sd" else f", sd {card.power[0].sd:g} a run"
    lines = [f"power (two-sided 5%{sd})"]
    lines += _aligned([["effect", "seeds", "se", "df", "analysis", "power", "for"], *rows], left=-1, last_left=True)
    needed = ", ".join(f"{seeds} seeds for {effect:g}{unit}" for effect, _, seeds in card.seeds_needed)
    return [*lines, f"  90% power needs {needed}"] if needed else lines


def _terms(terms: Sequence[str]) -> str:
    return ", ".join(terms) if len(terms) <= 6 else f"{', '.join(terms[:3])}, ..., {terms[-1]}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}%"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}".replace("-", MINUS)


def _aligned(rows: Sequence[Sequence[str]], *, left: int, last_left: bool = False) -> list[str]:
    """Columns as wide as their widest cell, to the right but some: 1 to `left`, or the first where `left` is 0."""
    count = len(rows[0])
    widths = [max(len(row[i]) for row in rows) for i in range(count)]
    to_left = set(range(1, left + 1)) | ({0} if left == 0 else set()) | ({count - 1} if last_left else set())
    lines = []
    for row in rows:
        pairs = enumerate(zip(row, widths, strict=True))
        cells = [cell.ljust(w) if i in to_left else cell.rjust(w) for i, (cell, w) in pairs]
        lines.append("  " + "  ".join(cells).rstrip())
    return lines
