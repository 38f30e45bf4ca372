"""Section on size: parameters and FLOPs beside the means of anchors, and what of a bridge's advantage matching leaves.

A bridge that centres a width changes the size of the model as well. Anchors that were picked with `match` have its
parameters or its FLOPs per token by other levels, so that what the bridge still gains over them is not size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from foldover.core import Package, Study
from foldover.lab.evidence import StageView
from foldover.lab.sections_bridges import BRIDGE, difference, ordered
from foldover.planning import Condition
from foldover.planning.followup import TOLERANCE
from foldover.report.numbers import MINUS, MOST_DECIMALS, counted, signed
from foldover.report.section import Section, SectionTable, columns, decimals_of

# Quantities that a pick may match, as sentences call them.
NAMES: Mapping[str, str] = {"num_params": "parameters", "flops_per_token": "FLOPs per token"}
CONTROL = "control"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gap:
    """The bridge less another condition. low, high: None where there is no error to make an interval of."""

    other: str
    estimate: float
    low: float | None
    high: float | None
    how: str

    def favours_first(self, sign: float) -> bool:
        """Whether the interval says that the bridge is better."""
        return self.low is not None and self.high is not None and max(sign * self.low, sign * self.high) < 0.0

    def favours_second(self, sign: float) -> bool:
        """Whether it says that the other is."""
        return self.low is not None and self.high is not None and min(sign * self.low, sign * self.high) > 0.0

    def text(self, decimals: int) -> str:
        """`-0.012 [-0.015, -0.009]`."""
        if self.low is None or self.high is None:
            return f"{signed(self.estimate, decimals)} (no interval)"
        # An end that is not 0 is not printed as 0: whether it is decides what is said.
        while decimals < MOST_DECIMALS and any(end and not round(end, decimals) for end in (self.low, self.high)):
            decimals += 1
        return f"{signed(self.estimate, decimals)} [{signed(self.low, decimals)}, {signed(self.high, decimals)}]"


def sizes(view: StageView) -> Section | None:
    """Parameters and FLOPs of the anchors, how near they are to the bridge's, and whether its advantage is size."""
    if not view.packages:
        return None
    conditions = view.conditions
    names = [name for name in ("width", *NAMES) if any(name in c.derived for c in conditions.values())]
    means = {s.condition: s.mean for s in view.evidence.conditions if s.package == view.packages[-1].name}
    bridges = ordered(view, {}, BRIDGE, means=means)
    if not bridges or not names or len(means) < 2:
        return None
    matched = {label: _matched_in(view, condition) for label, condition in conditions.items()}
    survival = [row for package in view.packages for row in _rows(view, package, matched)]
    is_matched = any(matched.values())
    return Section(
        name=f"sizes-{view.slug}",
        title=f"Size beside response: {view.where}",
        claims=tuple(claim for package in view.packages for claim in _claims(view, package, matched)),
        notes=(
            "A bridge that changes width changes parameters and FLOPs too: unless an anchor of the same size stands "
            "beside it, what it gains may be size.",
            *(
                (
                    f"Matched: within {TOLERANCE:.0%}, the nearest that whole layers and heads allow. Intervals are "
                    "each by itself; the bridge is the best of its role.",
                )
                if is_matched
                else ()
            ),
        ),
        tables=(_size_table(view, bridges[0], names, matched, means), *_survival_tables(view, survival)),
    )


def _size_table(
    view: StageView, bridge: str, names: list[str], matched: Mapping[str, str], means: Mapping[str, float]
) -> SectionTable:
    shown = [name for name in NAMES if name in names]
    rows = tuple(
        (
            label, c.role, NAMES.get(matched[label], ""), *(c.derived.get(name) for name in names),
            *(_gap(c, view.conditions[bridge], name) for name in shown),
            _differs_in(c, view.conditions[bridge]), means[label],
        )
        for label, c in view.conditions.items()
        if label in means
    )  # fmt: skip
    return SectionTable(
        name=f"sizes-{view.slug}",
        title=f"Size of the anchors at {view.packages[-1].budget.label()} ({view.where})",
        columns=columns(
            "condition",
            "role",
            "matched_in:text:matched in",
            *(f"{name}:setting" for name in names),
            *(f"{name}_gap:share:{NAMES[name]} beside {bridge}" for name in shown),
            f"differs_in:text:other than {bridge} in",
            "mean:number",
        ),
        rows=rows,
        decimals=5,
    )


Row = tuple[str, str, str, str, float | None, float, float | None, float | None, str]


def _survival_tables(view: StageView, rows: list[Row]) -> list[SectionTable]:
    if not rows:
        return []
    return [
        SectionTable(
            name=f"matched-{view.slug}",
            title=f"The bridge less the control, and less anchors of its size ({view.where})",
            columns=columns(
                "budget",
                "bridge",
                "anchor",
                "matched_in:text:matched in",
                "gap:share:how far off",
                "difference:signed",
                "low:signed",
                "high:signed",
                "how",
            ),
            rows=tuple(rows),
            decimals=decimals_of([(row[6], row[7]) for row in rows]),
        )
    ]


def _rows(view: StageView, package: Package, matched: Mapping[str, str]) -> list[Row]:
    if not any(matched.values()):
        return []
    values = view.values(package)
    rows: list[Row] = []
    for bridge in ordered(view, values, BRIDGE)[:1]:
        control = _control(view, values, matched)
        wanted = [("", control)] if control else []
        wanted += [(name, anchor) for name in NAMES if (anchor := _anchor(view, bridge, name, matched, values))]
        for name, anchor in wanted:
            found = _less(view, values, bridge, anchor)
            gap = _gap(view.conditions[anchor], view.conditions[bridge], name) if name else None
            rows.append(
                (
                    package.budget.label(), bridge, anchor, NAMES.get(name, ""), gap, found.estimate, found.low,
                    found.high, found.how,
                )
            )  # fmt: skip
    return rows


def _claims(view: StageView, package: Package, matched: Mapping[str, str]) -> list[str]:
    """One sentence a quantity that some anchor was matched in."""
    values = view.values(package)
    bridges, control = ordered(view, values, BRIDGE), _control(view, values, matched)
    if not bridges or not any(matched.values()):
        return []
    gained = _less(view, values, bridges[0], control) if control else None
    return [
        _claim(view, package, matched, bridges[0], gained, name)
        for name in NAMES
        if any(name in view.conditions[label].derived for label in values)
    ]


def _claim(
    view: StageView, package: Package, matched: Mapping[str, str], bridge: str, gained: _Gap | None, name: str
) -> str:
    values = view.values(package)
    host = view.evidence.study.title_of(view.host)
    where = f"At {package.budget.label()} ({package.name}{f', {host}' if host else ''}; "
    where += f"n = {counted(len(package.seeds), 'seed')})"
    anchor = _anchor(view, bridge, name, matched, values)
    if anchor is None:
        off = {c: _gap(view.conditions[c], view.conditions[bridge], name) for c in values if c != bridge}
        near = min((c for c in off if off[c] is not None), key=lambda c: abs(off[c] or 0.0), default=None)
        nearest = f"; the nearest is {near} ({_percent(off[near])})" if near else ""
        return (
            f"{where} whether {bridge} gains more than size cannot be told: no anchor is matched within "
            f"{TOLERANCE:.0%} of its {NAMES[name]}{nearest}."
        )
    found = _less(view, values, bridge, anchor)
    known = [gap for gap in (gained, found) if gap is not None]
    decimals = decimals_of([(gap.low, gap.high) for gap in known])
    off_by = _gap(view.conditions[anchor], view.conditions[bridge], name)
    text = f"{bridge} less {gained.other} is {gained.text(decimals)}, and " if gained else f"{bridge} "
    text += f"less {anchor}, which has its {NAMES[name]} ({_percent(off_by)}), {found.text(decimals)}"
    return f"{where} {text}: {_verdict(view, package, gained, found, name)}."


def _verdict(view: StageView, package: Package, gained: _Gap | None, found: _Gap, name: str) -> str:
    """What the intervals carry, and no more."""
    sign = view.evidence.sign
    if view.is_descriptive(package):
        why = "one fixed seed" if view.is_fixed else counted(len(package.seeds), "seed")
        return f"whether an advantage survives matching in {NAMES[name]} cannot be told, descriptive only ({why})"
    if gained is not None and not gained.favours_first(sign):
        told = " (the other is better)" if gained.favours_second(sign) else ""
        return f"no advantage over {gained.other} is shown that size could explain{told}"
    if found.favours_first(sign):
        return f"the advantage survives matching in {NAMES[name]}"
    if found.favours_second(sign):
        return f"the advantage does not survive matching in {NAMES[name]}: the anchor of that size is better"
    return f"whether the advantage survives matching in {NAMES[name]} cannot be told"


def _matched_in(view: StageView, condition: Condition) -> str:
    return _declared(view.evidence.study, view.name, condition.role)


def _declared(study: Study, stage: str, role: str) -> str:
    """The quantity that conditions of a role were matched in where they were picked; "" if they were not."""
    for pick in study.stage(stage).picks:
        if pick.role == role:
            return pick.match or _declared(study, pick.stage, pick.among or role)
    return ""


def _anchor(
    view: StageView, bridge: str, name: str, matched: Mapping[str, str], values: Mapping[str, object]
) -> str | None:
    """The anchor that has this quantity of the bridge: one matched in it, else one matched in another that has it."""
    near = []
    for label in values:
        gap = _gap(view.conditions[label], view.conditions[bridge], name)
        if matched[label] and gap is not None and abs(gap) <= TOLERANCE:
            near.append((matched[label] != name, abs(gap), label))
    return min(near)[2] if near else None


def _control(view: StageView, values: dict[str, dict[int, float]], matched: Mapping[str, str]) -> str:
    """What the bridge has an advantage over: the control, or the best that is no bridge and was not matched."""
    rest = [label for label in values if view.role(label) != BRIDGE and not matched[label]]
    controls = [label for label in rest if view.role(label) == CONTROL] or rest
    means = {label: sum(values[label].values()) / len(values[label]) for label in controls}
    return min(means, key=lambda label: (view.evidence.sign * means[label], label), default="")


def _less(view: StageView, values: dict[str, dict[int, float]], bridge: str, other: str) -> _Gap:
    _, _, _, estimate, low, high, _, how = difference(view, values, bridge, other)
    return _Gap(other=other, estimate=estimate, low=low, high=high, how=how)


def _differs_in(condition: Condition, bridge: Condition) -> str:
    """The levers that tell a condition from the bridge, by their last parts."""
    return ", ".join(name.rpartition(".")[2] for name, _, _ in condition.recipe.diff(bridge.recipe))


def _percent(gap: float | None) -> str:
    """`+0.9%`, with a true minus sign."""
    return "" if gap is None else f"{gap:+.1%}".replace("-", MINUS)


def _gap(condition: Condition, bridge: Condition, name: str) -> float | None:
    """How much larger a condition is than the bridge, relative to it."""
    own, other = condition.derived.get(name), bridge.derived.get(name)
    if not isinstance(own, int | float) or not isinstance(other, int | float) or not other:
        return None
    return own / other - 1.0
