"""`[[stages]]`: what is run one after the other, and what each stage may say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast, get_args

from foldover.core import (
    EMPTY,
    Branch,
    Budget,
    DesignRequest,
    Factor,
    LeverSet,
    Pick,
    Regime,
    Stage,
    StageKind,
    Values,
)
from foldover.studyfile.generators import faced_labels, faced_request, read_request
from foldover.studyfile.picks import (
    Draft,
    Known,
    find_stage,
    never_fires,
    num_picked,
    read_fix,
    read_host,
    read_picks,
)
from foldover.studyfile.searches import SEARCH_KEYS, read_search
from foldover.studyfile.sections import Allowance, read_budgets, read_name, read_values
from foldover.studyfile.table import Report, Table, is_whole

_REQUIRED = ("name", "kind", "budgets")
_COMMON = (*_REQUIRED, "seeds", "seed", "regime", "reruns", "host", "package", "branch")
_OWN_KEYS: Mapping[str, tuple[str, ...]] = {
    "screen": ("runs", "design", "generators", "after", "fix"),
    "confirm": ("after", "best", "worst", "pick"),
    "refine": ("after", "centers"),
    "replicate": ("pick",),
    "bridge": ("pick", "set"),
    "anchors": ("pick",),
    "surface": ("after", "fix"),
    "search": SEARCH_KEYS,
}
# Confirming needs conditions that were compared; refining and fixing need verdicts on factors.
_MAY_FOLLOW: Mapping[str, tuple[str, ...]] = {
    "screen": ("screen",),
    "confirm": ("screen", "refine"),
    "refine": ("screen",),
    "surface": ("screen",),
}
LEAST_CONTRASTS = 4  # of the pseudo standard error of single runs
MOST_OPEN = 4  # factors of a response surface: beyond it, more rows than a follow-up is worth


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What stages are read against. hosts: the labels of `[hosts]`; host: that of stages which name none."""

    factors: Mapping[str, Factor | None]
    allowance: Allowance
    levers: LeverSet | None = None
    constants: LeverSet | None = None
    hosts: tuple[str, ...] = ()
    host: str = ""


def read_stages(content: Mapping[str, object], report: Report, ground: Ground) -> tuple[Stage | None, ...]:
    """The stages in order; None for one that the file has wrong."""
    items = content.get("stages")
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        report.add(("stages",), "the study has no stages. Write each one under its own `[[stages]]`.")
        return ()
    names = [str(item.get("name")) for item in items]
    earlier: dict[str, Draft] = {}
    stages: list[Stage | None] = []
    for index, item in enumerate(items):
        title = f"stage {item.get('name', f'number {index + 1}')}"
        table = Table(path=("stages", index), title=title, content=item, report=report)
        if "name" in table and names[index] in names[:index]:
            table.problem("name", f"there are two stages named {names[index]!r}.")
        known = Known(
            factors=ground.factors,
            levers=ground.levers,
            earlier=dict(earlier),
            later=names[index:],
            host=ground.host,
        )
        blank = _read_common(table, ground)
        stage = _read_stage(table, blank, known)
        if stage is not None and not _is_accounted_alike(table, stage, stages, ground.host):
            stage = None
        earlier[names[index]] = _draft(names[index], blank, stage)
        stages.append(stage)
    return tuple(stages)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Common:
    """What stages of all kinds have; None for what the file lacks or has wrong."""

    name: str | None
    kind: StageKind | None
    budgets: tuple[Budget, ...] | None
    seeds: tuple[int, ...] | None
    host: str | None
    regime: Regime
    reruns: int
    package: str
    branch: Branch | None


def _read_common(table: Table, ground: Ground) -> _Common:
    for key in _REQUIRED:
        table.require(key)
    regime = cast(Regime, table.choice("regime", get_args(Regime)) or "explicit")
    reruns = table.whole("reruns", at_least=1)
    return _Common(
        name=read_name(table, "name"),
        kind=cast("StageKind | None", table.choice("kind", get_args(StageKind))),
        budgets=_rising(table, read_budgets(table, "budgets", ground.allowance)),
        seeds=_fixed_seed(table) if regime == "fixed" else _seeds(table),
        host=read_host(table, ground.hosts, ground.constants),
        regime=regime,
        reruns=1 if reruns is None else reruns,
        package=table.text("package") or "",
        branch=cast("Branch | None", table.choice("branch", get_args(Branch))),
    )


def _draft(name: str, common: _Common, stage: Stage | None) -> Draft:
    blank = Draft(
        name=name,
        kind=common.kind,
        budgets=common.budgets,
        seeds=common.seeds,
        host=common.host or "",
        regime=common.regime,
        reruns=common.reruns,
    )
    if stage is None:
        return blank
    if stage.design is not None and stage.kind == "surface":
        labels, roles = frozenset(faced_labels(stage.design)), frozenset(["surface"])
        return replace(blank, num_conditions=stage.design.runs, labels=labels, roles=roles, can_judge=False)
    if stage.design is not None:
        labels = frozenset(f"c{i:02d}" for i in range(1, stage.design.runs + 1))
        runs = len(stage.seeds) * stage.reruns
        return replace(
            blank,
            num_conditions=stage.design.runs,
            labels=labels,
            roles=frozenset(["screen"]),
            fixed=frozenset(stage.fix),
            can_judge=runs > 1 or (stage.regime == "fixed" and stage.design.runs - 1 >= LEAST_CONTRASTS),
        )
    if stage.picks:
        labelled = [pick.label or pick.condition for pick in stage.picks]
        roles = frozenset(pick.role for pick in stage.picks)
        labels_known = frozenset(labelled) if all(labelled) else None
        return replace(blank, num_conditions=num_picked(stage.picks), labels=labels_known, roles=roles)
    if stage.kind == "search":
        return replace(blank, roles=frozenset(["search"]), search=stage.search)
    roles = frozenset(["best", "worst"] if stage.kind == "confirm" else ["corner", "bridge"])
    return replace(blank, num_conditions=stage.best + stage.worst if stage.kind == "confirm" else None, roles=roles)


def _read_stage(table: Table, common: _Common, known: Known) -> Stage | None:
    if common.kind is None:
        table.refuse_others((*_COMMON, *(key for keys in _OWN_KEYS.values() for key in keys)))
        return None
    _refuse_other_kinds(table, common.kind)
    own = _READERS.get(common.kind, _read_picked)(table, common, known)
    if own is None or common.name is None or common.budgets is None or common.seeds is None or common.host is None:
        return None
    return replace(
        own,
        name=common.name,
        kind=common.kind,
        budgets=common.budgets,
        seeds=common.seeds,
        branch=common.branch,
        host=common.host,
        regime=common.regime,
        reruns=common.reruns,
        package=common.package,
    )


def _read_screen(table: Table, common: _Common, known: Known) -> Stage | None:
    after, fix = _read_fix(table, "screen", known)
    if fix is None or not known.factors or _is_fixed_and_varied(table, fix):
        return None
    request = read_request(table, [letter for letter in known.factors if letter not in fix])
    if request is None or ("after" in table and after is None):
        return None
    return _blank("screen", design=request, fix=fix, after=None if after is None else after.name)


def _read_surface(table: Table, common: _Common, known: Known) -> Stage | None:
    after, fix = _read_fix(table, "surface", known)
    if fix is None or not known.factors or ("after" in table and after is None):
        return None
    free = [letter for letter in known.factors if letter not in fix]
    if not 2 <= len(free) <= MOST_OPEN:
        text = f"a response surface has 2 to {MOST_OPEN} factors, but {len(free)} are open: {', '.join(free)}."
        table.problem("fix" if "fix" in table else None, f"{text} Hold the others in `fix`.")
        return None
    for letter in free:
        problem = _problem_of_center(letter, (), known.factors)
        if problem:
            table.problem("fix" if "fix" in table else None, problem)
            return None
    request = faced_request(len(free))
    return _blank("surface", design=request, fix=fix, after=None if after is None else after.name)


def _read_fix(table: Table, kind: str, known: Known) -> tuple[Draft | None, Values | None]:
    """The stage that verdicts come from, and what is held; None for the latter where it is wrong (noted)."""
    after = _after(table, kind, known) if "after" in table else None
    if "after" in table and "fix" not in table:
        table.problem(
            "after", f"a {kind} follows a stage only for what it fixes: name it in `fix`, or leave `after` out."
        )
        return after, None
    return after, read_fix(table, known.factors, after)


def _read_confirm(table: Table, common: _Common, known: Known) -> Stage | None:
    if "pick" in table:
        for key in ("after", "best", "worst"):
            if key in table:
                table.problem(key, f"`{key}` and `pick` say the same: give one of them.")
                return None
        return _read_picked(table, common, known)
    table.require("after")
    after = _after(table, "confirm", known)
    best, worst = (table.whole(key, at_least=0) for key in ("best", "worst"))
    stage = _blank(
        "confirm",
        best=1 if best is None else best,
        worst=1 if worst is None else worst,
        after=None if after is None else after.name,
    )
    is_good = _is_number_of_conditions(table, stage, after)
    is_good &= after is None or _are_new_seeds(table, common, after)
    return stage if is_good and after is not None else None


def _read_picked(table: Table, common: _Common, known: Known) -> Stage | None:
    table.require("pick")
    picks = read_picks(table, known)
    if picks is None:
        return None
    common_changes = EMPTY
    if "set" in table and known.levers is not None:
        changes = read_values(table.table("set", title=f"{table.title}: set"), known.levers, EMPTY, noun="lever")
        if changes is None:
            return None
        common_changes = changes
    picks = tuple(replace(pick, changes=common_changes.with_(pick.changes)) for pick in picks)
    if common.kind == "bridge" and not any(pick.changes for pick in picks):
        table.problem(None, "a bridge changes what it picks: say how in `set`, e.g. `set = { aspect = 64 }`.")
        return None
    sources = [known.earlier[pick.stage] for pick in picks]
    if common.kind == "confirm" and not all(_are_new_seeds(table, common, source) for source in sources):
        return None
    return _blank("confirm", picks=picks)


def _read_refine(table: Table, common: _Common, known: Known) -> Stage | None:
    table.require("after")
    after = _after(table, "refine", known)
    centers = _centers(table, known.factors)
    if after is None or centers is None:
        return None
    if not after.can_judge and not centers:
        table.problem("after", never_fires(after))
        return None
    return _blank("refine", after=after.name, centers=centers)


def _read_search(table: Table, common: _Common, known: Known) -> Stage | None:
    if common.reruns != 1:
        table.problem("reruns", "a search decides itself what it runs again.")
    search = read_search(table, known, budgets=common.budgets, seeds=common.seeds, host=common.host)
    if search is None or common.reruns != 1:
        return None
    return replace(_blank("search"), search=search, matched_to=table.text("matched_to"))


_READERS: Mapping[str, Callable[[Table, _Common, Known], Stage | None]] = {
    "screen": _read_screen,
    "confirm": _read_confirm,
    "refine": _read_refine,
    "surface": _read_surface,
    "search": _read_search,
}


def _is_accounted_alike(table: Table, stage: Stage, before: Sequence[Stage | None], usual_host: str) -> bool:
    """Whether the other stages of its package stand on the same host and have the same regime."""
    for other in before:
        if other is None or other.accounted_as != stage.accounted_as:
            continue
        host = other.host or usual_host
        if (host, other.regime) != (stage.host or usual_host, stage.regime):
            text = f"package {stage.accounted_as!r} would pool hosts or regimes: stage {other.name} has"
            table.problem("package", f"{text} host {host!r} and {other.regime} seeds. Give it its own.")
            return False
    return True


def _is_fixed_and_varied(table: Table, fix: Mapping[str, object]) -> bool:
    generators = table.content.get("generators")
    for index, item in enumerate(generators if isinstance(generators, list) else []):
        both = sorted(set(str(item)) & set(fix))
        if both:
            table.problem_in("generators", index, f"factor {both[0]} is fixed and varied: leave it out of {item!r}.")
            return True
    return False


def _blank(
    kind: StageKind,
    *,
    design: DesignRequest | None = None,
    after: str | None = None,
    best: int = 1,
    worst: int = 1,
    centers: tuple[str, ...] = (),
    picks: tuple[Pick, ...] = (),
    fix: Values = EMPTY,
) -> Stage:
    """A stage that lacks what all kinds have."""
    return Stage(
        name="",
        kind=kind,
        budgets=(),
        seeds=(),
        design=design,
        after=after,
        best=best,
        worst=worst,
        centers=centers,
        picks=picks,
        fix=fix,
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


def _rising(table: Table, budgets: tuple[Budget, ...] | None) -> tuple[Budget, ...] | None:
    """The budgets, where those of one kind rise."""
    for i, after in enumerate(budgets or ()):
        for before in (budgets or ())[:i]:
            if before.limit.kind == after.limit.kind and before.limit.amount > after.limit.amount:
                text = f"budgets are in the wrong order: {after.label()} comes after {before.label()}. Shortest first."
                table.problem_in("budgets", i, text)
                return None
    return budgets


def _fixed_seed(table: Table) -> tuple[int, ...] | None:
    if "seeds" in table:
        table.problem("seeds", "the regime is fixed: give one `seed`, and say by `reruns` how often it is run.")
        return None
    table.require("seed")
    seed = table.whole("seed", at_least=0)
    return None if seed is None else (seed,)


def _seeds(table: Table) -> tuple[int, ...] | None:
    table.require("seeds")
    if "seed" in table:
        table.problem("seed", '`seed` goes with `regime = "fixed"`. Explicit ones stand in `seeds`.')
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


def _are_new_seeds(table: Table, common: _Common, before: Draft) -> bool:
    seeds = common.seeds or ()
    used = [seed for seed in seeds if seed in (before.seeds or ())]
    key = "seed" if common.regime == "fixed" else "seeds"
    for seed in used:
        text = f"seed {seed} was used in stage {before.name}. A confirmation needs new seeds."
        if key == "seeds":
            table.problem_in(key, seeds.index(seed), text)
        else:
            table.problem(key, text)
    return not used


def _after(table: Table, kind: str, known: Known) -> Draft | None:
    before = find_stage(table, "after", table.text("after"), known)
    if before is not None and before.kind is not None and before.kind not in _MAY_FOLLOW[kind]:
        wanted = " or ".join(_MAY_FOLLOW[kind])
        table.problem("after", f"a {kind} follows a {wanted}, but stage {before.name} is a {before.kind}.")
        return None
    return before


def _is_number_of_conditions(table: Table, stage: Stage, before: Draft | None) -> bool:
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
