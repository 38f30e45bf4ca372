"""The tables of a study file that say what is asked, from where, and by which rule: all but factors and stages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast, get_args

from foldover.core import (
    Budget,
    BudgetError,
    Correction,
    Direction,
    EffectMethod,
    Factor,
    Gate,
    Host,
    LeverSet,
    Limit,
    Recipe,
    RecipeError,
    Scalar,
    Settings,
    UserError,
    Values,
)
from foldover.studyfile.table import Table, is_number, is_whole, nearest
from foldover.studyfile.trainer import TrainerInfo, TrainerOf

_MACHINE = ("threads", "processes", "device", "compute", "kernels", "compile")
DEFAULT_GRACE_SECONDS = 120.0
# Names become names of packages and of files.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What `[study]` says; a field is None where the file has it wrong or lacks it."""

    name: str | None
    question: str | None
    direction: Direction
    seed: int
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What is around every limit of the study."""

    grace_seconds: float = DEFAULT_GRACE_SECONDS
    artifact_bytes: int | None = None


def read_head(table: Table, *, is_there: bool) -> Head:
    """`[study]` but for the trainer and the response; where it is missing, its keys are not asked for."""
    table.refuse_others(("name", "question", "trainer", "response", "direction", "seed", "host"))
    for key in ("name", "question", "trainer") if is_there else ():
        table.require(key)
    seed = table.whole("seed", at_least=0)
    return Head(
        name=read_name(table, "name"),
        question=table.text("question"),
        direction=cast(Direction, table.choice("direction", get_args(Direction)) or "minimize"),
        seed=0 if seed is None else seed,
        host=table.text("host") or "",
    )


def read_name(table: Table, key: str) -> str | None:
    """A name of letters, digits, dots, hyphens and underscores."""
    name = table.text(key)
    if name is None or _NAME.fullmatch(name):
        return name
    table.problem(key, f"`{key}` may have letters, digits, `.`, `-` and `_` only (got {name!r}).")
    return None


def read_trainer(table: Table, trainer_of: TrainerOf) -> TrainerInfo | None:
    """The trainer that `[study]` names."""
    name = table.text("trainer")
    if name is None:
        return None
    try:
        return trainer_of(name)
    except UserError as error:
        table.problem("trainer", str(error))
        return None


def read_response(table: Table, trainer: TrainerInfo | None) -> str | None:
    """The response that is judged, by default the trainer's first."""
    if trainer is None:
        return table.text("response")
    if "response" not in table:
        return trainer.responses[0]
    return table.choice("response", trainer.responses)


def read_baseline(table: Table | None, name: str, trainer: TrainerInfo) -> Recipe | None:
    """`[baseline]`: a preset (by default the levers' own defaults) and what differs from it."""
    base = trainer.levers.defaults()
    if table is None:
        return Recipe(trainer=name, values=base)
    table.refuse_others(("preset", "set"))
    preset = table.choice("preset", trainer.presets)
    if preset is not None:
        base = trainer.presets[preset]
    values = read_values(table.table("set", title="[baseline.set]"), trainer.levers, base, noun="lever")
    return None if values is None or ("preset" in table and preset is None) else Recipe(trainer=name, values=values)


def with_factors(baseline: Recipe, levers: LeverSet, factors: Mapping[str, Factor | None]) -> Recipe:
    """The baseline with a value of every lever that is varied, also where sparse values leave it out."""
    varied = [factor.lever for factor in factors.values() if factor is not None]
    return replace(
        baseline, values=baseline.values.with_({name: levers.value(name, baseline.values) for name in varied})
    )


def read_values(table: Table | None, levers: LeverSet, base: Values, *, noun: str) -> Values | None:
    """Values given by full or short name, on top of `base`; None if any of them is wrong."""
    if table is None:
        return base
    given: dict[str, Scalar] = {}
    is_whole_table_good = True
    for written, path, value in table.flat():
        try:
            lever = levers.find(written)
            checked = lever.check(value)
        except RecipeError as error:
            is_known = any(written in (lever.name, lever.short_name) for lever in levers.values())
            known = [*levers, *(lever.short_name for lever in levers.values())]
            unknown = f"`{written}` is not a {noun}. {nearest(written, dict.fromkeys(known))}"
            table.report.add(path, f"{table.title}: {error if is_known else unknown}")
            is_whole_table_good = False
            continue
        if lever.name in given:
            table.report.add(path, f"{table.title}: `{lever.name}` is given twice.")
            is_whole_table_good = False
        given[lever.name] = checked
    return base.with_(given) if is_whole_table_good else None


def read_allowance(table: Table | None) -> Allowance:
    """`[budget]`: grace and cap for every limit of the study."""
    if table is None:
        return Allowance()
    table.refuse_others(("grace_seconds", "artifact_bytes"))
    return _allowance(table, Allowance())


def read_budgets(table: Table, key: str, allowance: Allowance) -> tuple[Budget, ...] | None:
    """Limits as texts (`"2s"`), or tables with their own grace and cap; None if any of them is wrong."""
    table.require(key)
    items = table.array(key)
    if items is None:
        return None
    budgets = [_budget(table, key, index, item, allowance) for index, item in enumerate(items)]
    for index, budget in enumerate(budgets):
        if budget is not None and budget.limit in [earlier.limit for earlier in budgets[:index] if earlier]:
            table.problem_in(key, index, f"the budget {budget.label()} is given twice.")
            return None
    return None if None in budgets else tuple(budget for budget in budgets if budget)


def read_gate(table: Table | None) -> Gate:
    """`[decision]`: the rule by which effects become decisions."""
    default = Gate()
    if table is None:
        return default
    table.refuse_others(("correction", "q", "smallest_effect", "level", "method", "more_seeds", "fold_over"))
    fold_over = table.content.get("fold_over", False)
    if not isinstance(fold_over, bool):
        table.problem("fold_over", f"`fold_over` must be true or false (got {fold_over!r}).")
    smallest = table.number("smallest_effect")
    if smallest is not None and smallest < 0:
        table.problem("smallest_effect", f"`smallest_effect` cannot be negative (got {smallest:g}). Give its size.")
    return Gate(
        correction=cast(Correction, table.choice("correction", get_args(Correction)) or default.correction),
        method=cast(EffectMethod, table.choice("method", get_args(EffectMethod)) or default.method),
        q=_probability(table, "q", default.q),
        smallest_effect=default.smallest_effect if smallest is None else smallest,
        level=_probability(table, "level", default.level),
        more_seeds=table.whole("more_seeds", at_least=0) or 0,
        fold_over=fold_over is True,
    )


def read_hosts(table: Table | None) -> tuple[Host, ...]:
    """`[hosts.NAME]`: kinds of machines, which of them this one is, and their settings."""
    hosts = []
    for label in table.content if table is not None else ():
        assert table is not None, "an absent table has no content"
        own = table.table(label, title=f"[hosts.{label}]")
        if own is None:
            continue
        own.refuse_others(("title", "here", "hourly_cost", *_MACHINE))
        here = own.content.get("here", False)
        if not isinstance(here, bool):
            own.problem("here", f"`here` must be true or false (got {here!r}).")
        settings = Values({key: cast(Scalar, own.content[key]) for key in _MACHINE if key in own})
        try:
            replace(Settings(), **settings)  # type: ignore[arg-type]
        except (UserError, TypeError) as error:
            own.problem(None, str(error))
        cost = own.number("hourly_cost") or 0.0
        if cost < 0:
            own.problem("hourly_cost", f"`hourly_cost` cannot be negative (got {cost:g}).")
        title = own.text("title") or ""
        hosts.append(Host(label=label, title=title, here=here is True, hourly_cost=cost, settings=settings))
    return tuple(hosts)


def _probability(table: Table, key: str, default: float) -> float:
    value = table.number(key)
    if value is None or 0 < value < 1:
        return default if value is None else value
    table.problem(key, f"`{key}` must lie between 0 and 1 (got {value:g}).")
    return default


def _budget(table: Table, key: str, index: int, item: object, allowance: Allowance) -> Budget | None:
    text = item
    if isinstance(item, dict):
        own = Table(path=(*table.path, key, index), title=table.title, content=item, report=table.report)
        own.refuse_others(("limit", "grace_seconds", "artifact_bytes"))
        own.require("limit")
        text = own.text("limit")
        allowance = _allowance(own, allowance)
        if text is None:
            return None
    if not isinstance(text, str):
        table.problem_in(key, index, f'a budget is a text such as "300s" or "300 steps" (got {item!r}).')
        return None
    try:
        limit = Limit.parse(text)
    except BudgetError as error:
        table.problem_in(key, index, str(error))
        return None
    return Budget(limit=limit, grace_seconds=allowance.grace_seconds, artifact_bytes=allowance.artifact_bytes)


def _allowance(table: Table, default: Allowance) -> Allowance:
    grace, cap = table.content.get("grace_seconds"), table.content.get("artifact_bytes")
    if grace is not None and not (is_number(grace) and cast(float, grace) > 0):
        table.problem("grace_seconds", f"`grace_seconds` must be a number above 0 (got {grace!r}).")
        grace = None
    if cap is not None and not (is_whole(cap) and cast(int, cap) > 0):
        table.problem("artifact_bytes", f"`artifact_bytes` must be a whole number above 0 (got {cap!r}).")
        cap = None
    return Allowance(
        grace_seconds=default.grace_seconds if grace is None else float(cast(float, grace)),
        artifact_bytes=default.artifact_bytes if cap is None else cast(int, cap),
    )
