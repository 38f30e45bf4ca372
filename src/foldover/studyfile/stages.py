"""`[[stages]]`: what is run one after the other, and what each stage may say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast, get_args

from foldover.core import Branch, Budget, DesignRequest, Factor, Stage, StageKind
from foldover.studyfile.generators import read_request
from foldover.studyfile.sections import Allowance, read_budgets, read_name
from foldover.studyfile.table import Report, Table, is_whole

_REQUIRED = ("name", "kind", "budgets", "seeds")
_COMMON = (*_REQUIRED, "branch")
_OWN_KEYS: Mapping[str, tuple[str, ...]] = {
    "screen": ("runs", "design", "generators"),
    "confirm": ("after", "best", "worst"),
    "refine": ("after", "centers"),
}
# Confirming needs conditions that were compared; refining needs verdicts on factors.
_MAY_FOLLOW: Mapping[str, tuple[str, ...]] = {"confirm": ("screen", "refine"), "refine": ("screen",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A stage as far as it could be read; None for what the file lacks or has wrong."""

    name: str | None
    kind: StageKind | None
    budgets: tuple[Budget, ...] | None
    seeds: tuple[int, ...] | None
    branch: Branch | None = None
    num_conditions: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What a stage may refer to. earlier: the stages above it, by name; later: names from itself on."""

    factors: Mapping[str, Factor | None]
    earlier: Mapping[str, _Draft]
    later: Sequence[str]


def read_stages(
    content: Mapping[str, object], report: Report, factors: Mapping[str, Factor | None], allowance: Allowance
) -> tuple[Stage | None, ...]:
    """The stages in order; None for one that the file has wrong."""
    items = content.get("stages")
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        report.add(("stages",), "the study has no stages. Write each one under its own `[[stages]]`.")
        return ()
    names = [str(item.get("name")) for item in items]
    earlier: dict[str, _Draft] = {}
    stages: list[Stage | None] = []
    for index, item in enumerate(items):
        title = f"stage {item.get('name', f'number {index + 1}')}"
        table = Table(path=("stages", index), title=title, content=item, report=report)
        if "name" in table and names[index] in names[:index]:
            table.problem("name", f"there are two stages named {names[index]!r}.")
        draft = _read_draft(table, allowance)
        stage = _read_stage(table, draft, _Known(factors=factors, earlier=dict(earlier), later=names[index:]))
        conditions = None if stage is None or stage.design is None else stage.design.runs
        earlier[names[index]] = replace(draft, num_conditions=conditions)
        stages.append(stage)
    return tuple(stages)


def _read_draft(table: Table, allowance: Allowance) -> _Draft:
    for key in _REQUIRED:
        table.require(key)
    return _Draft(
        name=read_name(table, "name"),
        kind=cast("StageKind | None", table.choice("kind", get_args(StageKind))),
        budgets=read_budgets(table, "budgets", allowance),
        seeds=_seeds(table),
        branch=cast("Branch | None", table.choice("branch", get_args(Branch))),
    )


def _read_stage(table: Table, draft: _Draft, known: _Known) -> Stage | None:
    if draft.kind is None:
        table.refuse_others((*_COMMON, *(key for keys in _OWN_KEYS.values() for key in keys)))
        return None
    _refuse_other_kinds(table, draft.kind)
    readers = {"screen": _read_screen, "confirm": _read_confirm, "refine": _read_refine}
    own = readers[draft.kind](table, draft, known)
    if own is None or draft.name is None or draft.budgets is None or draft.seeds is None:
        return None
    return replace(own, name=draft.name, budgets=draft.budgets, seeds=draft.seeds, branch=draft.branch)


def _read_screen(table: Table, draft: _Draft, known: _Known) -> Stage | None:
    request = read_request(table, list(known.factors)) if known.factors else None
    return None if request is None else _blank("screen", design=request)


def _read_confirm(table: Table, draft: _Draft, known: _Known) -> Stage | None:
    after = _after(table, "confirm", known)
    best, worst = (table.whole(key, at_least=0) for key in ("best", "worst"))
    stage = _blank("confirm", best=1 if best is None else best, worst=1 if worst is None else worst, after=after)
    before = None if after is None else known.earlier[after]
    is_good = _is_number_of_conditions(table, stage, before)
    is_good &= before is None or _are_new_seeds(table, draft.seeds or (), before)
    return stage if is_good and after is not None else None


def _read_refine(table: Table, draft: _Draft, known: _Known) -> Stage | None:
    after = _after(table, "refine", known)
    centers = _centers(table, known.factors)
    return None if after is None or centers is None else _blank("refine", after=after, centers=centers)


def _blank(
    kind: StageKind,
    *,
    design: DesignRequest | None = None,
    after: str | None = None,
    best: int = 1,
    worst: int = 1,
    centers: tuple[str, ...] = (),
) -> Stage:
    """A stage that lacks what all kinds have."""
    return Stage(
        name="", kind=kind, budgets=(), seeds=(), design=design, after=after, best=best, worst=worst, centers=centers
    )


def _refuse_other_kinds(table: Table, kind: str) -> None:
    for other, keys in _OWN_KEYS.items():
        for key in keys:
            if key in table and key not in _OWN_KEYS[kind]:
                table.problem(key, f"`{key}` belongs to a stage of kind {other}, but this is a {kind}.")
    everything = {key for keys in _OWN_KEYS.values() for key in keys}
    unknown = {key: value for key, value in table.content.items() if key not in everything}
    Table(path=table.path, title=table.title, content=unknown, report=table.report).refuse_others(
        (*_COMMON, *_OWN_KEYS[kind])
    )


def _seeds(table: Table) -> tuple[int, ...] | None:
    items = table.array("seeds")
    if items is None:
        return None
    is_good = True
    for index, item in enumerate(items):
        if not is_whole(item) or not 0 <= cast(int, item) < 2**63:
            table.problem_in("seeds", index, f"a seed is a whole number from 0 to 2^63 - 1 (got {item!r}).")
            is_good = False
        elif item in items[:index]:
            table.problem_in("seeds", index, f"seed {item} is given twice.")
            is_good = False
    return tuple(cast("list[int]", items)) if is_good else None


def _are_new_seeds(table: Table, seeds: Sequence[int], before: _Draft) -> bool:
    used = [seed for seed in seeds if seed in (before.seeds or ())]
    for seed in used:
        text = f"seed {seed} was used in stage {before.name}. A confirmation needs new seeds."
        table.problem_in("seeds", seeds.index(seed), text)
    return not used


def _after(table: Table, kind: str, known: _Known) -> str | None:
    table.require("after")
    name = table.text("after")
    if name is None:
        return None
    if name not in known.earlier:
        if name in known.later:
            table.problem("after", f"stage {name!r} does not come before this one. Move it up.")
        else:
            there = ", ".join(known.earlier) or "none"
            table.problem("after", f"there is no stage {name!r} before this one (there are: {there}).")
        return None
    before = known.earlier[name]
    if before.kind is not None and before.kind not in _MAY_FOLLOW[kind]:
        wanted = " or ".join(_MAY_FOLLOW[kind])
        table.problem("after", f"a {kind} follows a {wanted}, but stage {name} is a {before.kind}.")
        return None
    return name


def _is_number_of_conditions(table: Table, stage: Stage, before: _Draft | None) -> bool:
    if stage.best + stage.worst == 0:
        table.problem(None, "`best` and `worst` are both 0: nothing would be run.")
        return False
    there = None if before is None else before.num_conditions
    if before is not None and there is not None and stage.best + stage.worst > there:
        key = "best" if "best" in table else "worst"
        text = f"{stage.best} best and {stage.worst} worst are more than the {there} conditions of {before.name}."
        table.problem(key, text)
        return False
    return True


def _centers(table: Table, factors: Mapping[str, Factor | None]) -> tuple[str, ...] | None:
    """The letters to centre; each one has a centre that is not one of its levels."""
    items = table.array("centers") if "centers" in table else []
    if items is None or not factors:
        return None
    is_good = True
    for index, item in enumerate(items):
        problem = _problem_of_center(item, items[:index], factors)
        if problem:
            table.problem_in("centers", index, problem)
            is_good = False
    return tuple(cast("list[str]", items)) if is_good else None


def _problem_of_center(item: object, before: Sequence[object], factors: Mapping[str, Factor | None]) -> str:
    if not isinstance(item, str) or item not in factors:
        there = ", ".join(factors)
        return f"a centre is the letter of a factor (got {item!r}; there are {there})."
    if item in before:
        return f"factor {item} is given twice."
    factor = factors[item]
    if factor is None:
        return ""
    if factor.kind == "choice":
        return f"factor {item} (`{factor.lever}`) is a choice and has no centre."
    middle = factor.decode(0)
    if middle in (factor.low, factor.high):
        text = f"the middle of factor {item} ({factor.low} and {factor.high}) rounds to {middle}, one of its levels."
        return f"{text} Give its `center`."
    return ""
