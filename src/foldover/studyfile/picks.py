"""What a stage takes over from earlier ones: picked conditions under roles, and factors that are held."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from foldover.core import (
    EMPTY,
    Budget,
    BudgetError,
    Factor,
    LeverSet,
    Limit,
    Pick,
    Regime,
    Search,
    StageKind,
    Values,
)
from foldover.studyfile.sections import read_name, read_values
from foldover.studyfile.table import Table

_KEYS = ("role", "from", "best", "worst", "condition", "budget", "among", "set", "match", "over", "trim", "label")
MATCHES = ("num_params", "flops_per_token")
BETTER = "better"
BEST = "best"
LEVELS = ("low", "high", BETTER, BEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A stage as far as it could be read; None for what the file lacks or has wrong.

    labels, roles: of its conditions, as far as they are known before anything runs. fixed: letters that it does not
    vary. can_judge: whether its runs can carry a verdict on a factor at all.
    """

    name: str
    kind: StageKind | None
    budgets: tuple[Budget, ...] | None
    seeds: tuple[int, ...] | None
    host: str = ""
    regime: Regime = "explicit"
    reruns: int = 1
    num_conditions: int | None = None
    labels: frozenset[str] | None = None
    roles: frozenset[str] = frozenset()
    fixed: frozenset[str] = frozenset()
    can_judge: bool = True
    search: Search | None = None

    @property
    def most_conditions(self) -> int | None:
        """As many as it can have; None where that is not known before it is planned."""
        return self.search.runs if self.search is not None else self.num_conditions

    @property
    def num_runs(self) -> int | None:
        """At each budget; None where that is not the same, or not known before it is planned."""
        if self.search is not None:
            return self.search.runs
        if self.num_conditions is None or self.seeds is None:
            return None
        return self.num_conditions * len(self.seeds) * self.reruns

    @property
    def cost(self) -> Limit | None:
        """What the limits of its runs may add up to; None for limits of several kinds, or where that is not known."""
        if self.search is not None and self.search.cost is not None:
            return self.search.cost
        kinds = {budget.limit.kind for budget in self.budgets or ()}
        if self.num_runs is None or len(kinds) != 1:
            return None
        amount = self.num_runs * sum(budget.limit.amount for budget in self.budgets or ())
        return Limit(kind=kinds.pop(), amount=amount) if math.isfinite(amount) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a stage may refer to.

    earlier: the stages above it, by name; later: names from itself on; host: that of stages which name none.
    """

    factors: Mapping[str, Factor | None]
    levers: LeverSet | None
    earlier: Mapping[str, Draft]
    later: Sequence[str]
    host: str


def find_stage(table: Table, key: str, name: str | None, known: Known) -> Draft | None:
    """The earlier stage that `key` names; None where there is none of that name (noted)."""
    if name is None:
        return None
    if name in known.earlier:
        return known.earlier[name]
    if name in known.later:
        table.problem(key, f"stage {name!r} does not come before this one. Move it up.")
    else:
        there = ", ".join(known.earlier) or "none"
        table.problem(key, f"there is no stage {name!r} before this one (there are: {there}).")
    return None


def read_picks(table: Table, known: Known) -> tuple[Pick, ...] | None:
    """`pick`: which conditions of which stages, and as what; None if any of it is wrong."""
    items = table.array("pick")
    if items is None:
        return None
    picks: list[Pick | None] = []
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            text = '`pick` has tables such as { role = "control", from = "screen", condition = "c10" }'
            table.problem_in("pick", index, f"{text} (got {item!r}).")
            picks.append(None)
            continue
        own = Table(path=(*table.path, "pick", index), title=table.title, content=item, report=table.report)
        picks.append(_read_pick(own, known))
    labels = [pick.label for pick in picks if pick is not None and pick.label]
    for index, pick in enumerate(picks):
        if pick is not None and pick.label and labels.count(pick.label) > 1:
            table.problem_in("pick", index, f"two conditions are called {pick.label!r}.")
            return None
    if _take_too_many(table, [pick for pick in picks if pick], known):
        return None
    return None if None in picks else tuple(pick for pick in picks if pick)


def _take_too_many(table: Table, picks: Sequence[Pick], known: Known) -> bool:
    """Whether picks with the same changes take a condition twice, or more of a stage than it can have (noted)."""
    taken: dict[tuple[str, Values], list[Pick]] = {}
    for index, pick in enumerate(picks):
        source = known.earlier.get(pick.stage)
        if source is None or pick.match:
            continue
        same = taken.setdefault((pick.stage, pick.changes), [])
        problem = ""
        if pick.condition and any(pick.condition == each.condition for each in same):
            problem = f"condition {pick.condition} of stage {pick.stage} is picked already: change it, or leave it out."
        same.append(pick)
        most, number = source.most_conditions, num_picked(same)
        if not problem and most is not None and number > most:
            problem = f"with those above it takes {number} conditions, and stage {pick.stage} can have {most}."
        if problem:
            table.problem_in("pick", index, problem)
            return True
    return False


def num_picked(picks: Sequence[Pick]) -> int:
    """How many conditions they are."""
    return sum(1 if pick.condition else pick.best + pick.worst for pick in picks)


def read_fix(table: Table, factors: Mapping[str, Factor | None], after: Draft | None) -> Values | None:
    """`fix`: letters (at the better level by the verdicts of `after`), or letters with their level."""
    content = table.content.get("fix")
    if content is None:
        return EMPTY
    if isinstance(content, dict):
        pairs: list[tuple[object, object]] = list(content.items())
    elif isinstance(content, list) and content:
        pairs = [(letter, BETTER) for letter in content]
    else:
        table.problem("fix", f'`fix` must be letters (["D"]) or letters with levels (got {content!r}).')
        return None
    found: dict[str, str] = {}
    for letter, level in pairs:
        problem = _problem_of_fix(letter, level, factors, after)
        if problem:
            table.problem("fix", problem)
            return None
        found[str(letter)] = str(level)
    if len(found) >= len(factors):
        table.problem("fix", "every factor is fixed: nothing would be varied.")
        return None
    return Values(found)


def _problem_of_fix(letter: object, level: object, factors: Mapping[str, Factor | None], after: Draft | None) -> str:
    if not isinstance(letter, str) or letter not in factors:
        return f"`fix` names factors by letter (got {letter!r}; there are {', '.join(factors)})."
    if level not in LEVELS:
        return f"factor {letter} is fixed at `low`, `high`, `better` or `best` (got {level!r})."
    if level == BEST and after is None:
        return f'factor {letter} stands where the best condition of a stage has it: name it with `after = "..."`.'
    if level != BETTER:
        return ""
    if after is None:
        return (
            f'factor {letter} stands at its better level only by the verdict of a stage: name it with `after = "..."`.'
        )
    if letter in after.fixed:
        return f"factor {letter} is fixed in stage {after.name} already: no verdict on it can come from there."
    if not after.can_judge:
        return _never(after, f"factor {letter} cannot be fixed by it")
    return ""


def never_fires(after: Draft) -> str:
    """Why no verdict can come from a stage."""
    return _never(after, "nothing can follow from its verdicts")


def _never(after: Draft, what: str) -> str:
    return (
        f"the gate of stage {after.name} can never fire: its runs are one a condition and carry no error, so "
        f"{what}. Give it more seeds."
    )


def _read_pick(own: Table, known: Known) -> Pick | None:
    own.refuse_others(_KEYS)
    for key in ("role", "from"):
        own.require(key)
    role, name, condition, among = (own.text(key) for key in ("role", "from", "condition", "among"))
    source = find_stage(own, "from", name, known)
    best, worst = (own.whole(key, at_least=0) or 0 for key in ("best", "worst"))
    label = read_name(own, "label") if "label" in own else ""
    budget = own.text("budget")
    changes = _read_changes(own, known.levers)
    match, over = own.choice("match", MATCHES), _read_over(own, known.factors)
    trim = _read_trim(own, known.factors, over or ())
    if condition and best + worst:
        own.problem("condition", "`condition` names one condition: leave `best` and `worst` out.")
        return None
    if not condition and best + worst == 0:
        own.problem(None, "a pick needs `best`, `worst` or `condition`: nothing would be taken.")
        return None
    if label and best + worst > 1:
        own.problem("label", "`label` names one condition, but the pick takes several.")
        return None
    is_good = source is None or _fits(own, source, condition, among, budget, best + worst)
    if role is None or name is None or source is None or label is None or changes is None or not is_good:
        return None
    if over is None or trim is None or ("match" in own and match is None):
        return None
    return Pick(
        role=role,
        stage=name,
        condition=condition or "",
        best=best,
        worst=worst,
        budget="" if budget is None else Limit.parse(budget).label(),
        among=among or "",
        changes=changes,
        match=match or "",
        over=over,
        trim=trim,
        label=label,
    )


def _read_changes(own: Table, levers: LeverSet | None) -> Values | None:
    if "set" not in own or levers is None:
        return EMPTY
    return read_values(own.table("set", title=f"{own.title}: set"), levers, EMPTY, noun="lever")


def _read_over(own: Table, factors: Mapping[str, Factor | None]) -> tuple[str, ...] | None:
    """`over`: letters of the factors that may move for a match; None if wrong (noted)."""
    if ("match" in own) != ("over" in own):
        own.problem("match" if "match" in own else "over", '`match` and `over` go together: over = ["A", "B"].')
        return None
    letters = own.array("over") if "over" in own else []
    unknown = [letter for letter in letters or () if letter not in factors]
    if unknown:
        own.problem("over", f"`over` names factors by letter (got {unknown[0]!r}; there are {', '.join(factors)}).")
    return None if letters is None or unknown else tuple(str(letter) for letter in letters)


def _read_trim(own: Table, factors: Mapping[str, Factor | None], over: Sequence[str]) -> str | None:
    """`trim`: the letter of a factor with levels between; None if wrong (noted)."""
    if "trim" not in own:
        return ""
    letter = own.text("trim")
    if letter is None:
        return None
    factor = factors.get(letter)
    if "match" not in own:
        problem = "`trim` makes up what a `match` leaves: give both."
    elif letter not in factors:
        problem = f"`trim` names a factor by letter (got {letter!r}; there are {', '.join(factors)})."
    elif letter in over:
        problem = f"factor {letter} is in `over` already: it moves the shape, or it trims."
    elif factor is not None and factor.kind == "choice":
        problem = f"factor {letter} is a choice and has no level between to trim by."
    else:
        return letter
    own.problem("trim", problem)
    return None


def _fits(own: Table, source: Draft, condition: str | None, among: str | None, budget: str | None, number: int) -> bool:
    """Whether the source has such conditions, roles and budgets."""
    if condition and source.labels is not None and condition not in source.labels:
        own.problem("condition", f"stage {source.name} has no condition {condition!r} ({_some(source.labels)}).")
        return False
    if among and source.kind is not None and among not in source.roles:
        own.problem("among", f"stage {source.name} has no role {among!r} ({_some(source.roles)}).")
        return False
    if source.most_conditions is not None and number > source.most_conditions:
        text = f"{number} conditions are more than the {source.most_conditions} of stage {source.name}."
        own.problem("best" if "best" in own else "worst", text)
        return False
    if budget is None:
        return True
    try:
        label = Limit.parse(budget).label()
    except BudgetError as error:
        own.problem("budget", str(error))
        return False
    there = [each.label() for each in source.budgets or ()]
    if source.budgets is not None and label not in there:
        own.problem("budget", f"stage {source.name} has no budget {label} (there are: {', '.join(there)}).")
        return False
    return True


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    shown = ", ".join(ordered[:6]) + (", ..." if len(ordered) > 6 else "")
    return f"there are: {shown}" if ordered else "there are none"


def read_host(table: Table, hosts: Sequence[str], constants: LeverSet | None) -> str | None:
    """`host`: a label of `[hosts]`, or one that the trainer knows by its constant `host`; "" where none is given."""
    label = table.text("host")
    if label is None:
        if "host" in table and isinstance(table.content["host"], list):
            table.problem("host", "hosts are never pooled: write one stage a host.")
        return None if "host" in table else ""
    known = list(hosts)
    for lever in constants.values() if constants is not None else ():
        if lever.short_name == "host":
            known = [str(choice) for choice in cast("Sequence[str]", lever.choices)]
    if label not in known:
        there = ", ".join(known) or "none"
        table.problem("host", f"there is no host {label!r} (there are: {there}). Write its [hosts.{label}].")
        return None
    return label
