"""The predeclared plan of a study."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from foldover.core.budget import Budget, Limit
from foldover.core.errors import DesignError
from foldover.core.factor import Factor
from foldover.core.recipe import Recipe
from foldover.core.values import EMPTY, Values
from foldover.core.wire import LATER

StageKind = Literal["screen", "confirm", "refine", "replicate", "search", "bridge", "anchors", "surface"]
Strategy = Literal["greedy", "random", "tpe", "halving", "hyperband", "asha", "bohb", "population"]
Direction = Literal["minimize", "maximize"]
Correction = Literal["bh", "by", "holm", "bonferroni"]
PackageRole = Literal["compared", "trunk"]
Regime = Literal["explicit", "fixed"]
Branch = Literal["warmdown"]
DesignKind = Literal["regular", "one_at_a_time", "faced"]
EffectMethod = Literal["auto", "paper", "ols+2fi", "hc3", "hc3+2fi", "per_seed", "satterthwaite", "mixed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The rule by which effects become decisions.

    correction: within the family of main effects of one budget; q: its error rate; smallest_effect: in
    units of the response, below which an effect does not matter; level: of the intervals; method: of
    estimation, by the names of `stats.estimate_effects` (`paper`: least squares with seed as a block).
    """

    correction: Correction = "bh"
    q: float = 0.05
    smallest_effect: float = 0.0
    level: float = 0.95
    method: EffectMethod = "paper"
    more_seeds: int = 0
    fold_over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignRequest:
    """What design a screen asks for, e.g. runs 16 of factors A..E by generators `E=ABCD`.

    kind: `regular` for a two-level factorial or fraction; `one_at_a_time` for a reference and each factor alone;
    `faced` for the corners, faces and centre of a region (a face-centred composite).
    """

    runs: int
    generators: tuple[str, ...] = ()
    kind: DesignKind = "regular"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """Conditions of an earlier stage that a stage runs under a role (`control`, `bridge`, ...).

    stage: where they come from; condition: one by its label, or else the `best` best and the `worst` worst at `budget`
    (label of a budget of that stage; "": its longest), of those that had the role `among` there ("": of all). changes:
    levers set on top, such as the centred width of a bridge; match: in place of that condition, the one nearest in a
    derived number (`num_params`, `flops_per_token`) by other levels of the factors `over`, beyond low and high too;
    trim: a factor that makes up for what these leave; label: what the condition is called then.
    """

    role: str
    stage: str
    condition: str = ""
    best: int = 0
    worst: int = 0
    budget: str = ""
    among: str = ""
    changes: Values = EMPTY
    match: str = ""
    over: tuple[str, ...] = ()
    label: str = ""
    trim: str = field(default="", metadata=LATER)


# Over several budgets, its rungs; and those of them that promote by a rate, which the rungs must have in common.
OVER_RUNGS: frozenset[str] = frozenset({"halving", "hyperband", "asha", "bohb", "population"})
BY_RATE: frozenset[str] = OVER_RUNGS - {"population"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A strategy that asks for runs one batch after the other: at one budget `runs` of them, over rungs for a `cost`.

    runs: None over rungs; cost: what their limits may add up to, None at one budget. batch: how many are asked for at
    once (`random`, `asha`), begin a bracket (`halving`) or make a generation (`population`); 1 for the others. levels:
    coded levels of a factor, one tuple a letter of `letters` (the others have low and high).
    """

    strategy: Strategy
    runs: int | None
    batch: int = 1
    letters: tuple[str, ...] = ()
    levels: tuple[tuple[float, ...], ...] = ()
    cost: Limit | None = field(default=None, metadata=LATER)

    def __post_init__(self) -> None:
        is_over_rungs = self.strategy in OVER_RUNGS
        if (self.runs is None) != is_over_rungs or (self.cost is not None) != is_over_rungs:
            raise DesignError(
                f"a search by {self.strategy} is given its {'cost' if is_over_rungs else 'runs'}",
                value=(self.runs, self.cost),
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of a study: conditions x budgets x seeds x reruns on a host.

    screen: the rows of `design`, with the factors of `fix` held (letter to `low`, `high` or `better`: as the verdicts
    of `after` have it). confirm: the `best` best and `worst` worst conditions of the stage `after`, or what it picks,
    under seeds not used there. refine: bridges, in the space that the verdicts of `after` leave: each factor of
    `centers` (empty: every retained one) moved to its centre while the others hold their better level, and all of them
    at once. replicate, bridge, anchors: the conditions that `picks` name, run again, changed, or carried to other
    budgets and hosts. search: what a strategy asks for. surface: the face-centred composite of the factors that `fix`
    does not hold, for a second-order model of the region that is left.
    branch: `warmdown` trains what is at constant rates once, for all budgets, and branches the warm-downs from it
    (None: each run trains from its first step). host: the label of the kind of machine ("": the study's). regime:
    `explicit` seeds, or one `fixed` seed of which `reruns` show what the machine does. package: the row of the run
    accounting that it belongs to ("": its own name). matched_to: the stage whose cost a search has to have. follows:
    the screen whose gate asked for this one, and whose runs are judged with its own ("": the file declares it).
    """

    name: str
    kind: StageKind
    budgets: tuple[Budget, ...]
    seeds: tuple[int, ...]
    design: DesignRequest | None = None
    after: str | None = None
    best: int = 1
    worst: int = 1
    centers: tuple[str, ...] = ()
    branch: Branch | None = None
    fix: Values = EMPTY
    picks: tuple[Pick, ...] = ()
    search: Search | None = None
    host: str = ""
    regime: Regime = "explicit"
    reruns: int = 1
    package: str = ""
    matched_to: str | None = None
    follows: str = ""

    @property
    def sources(self) -> tuple[str, ...]:
        """The stages whose results it needs."""
        named = [name for name in (self.after, self.follows) if name]
        return tuple(dict.fromkeys([*named, *(pick.stage for pick in self.picks)]))

    @property
    def accounted_as(self) -> str:
        """The row of the run accounting that its runs belong to."""
        return self.package or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A kind of machine that runs are planned for. here: whether this machine is one.

    title: as tables call it ("": its label); settings: of the machine, as far as given (`threads`, ...); hourly_cost:
    of one slot, in whatever currency (0: not said).
    """

    label: str
    title: str = ""
    here: bool = False
    hourly_cost: float = 0.0
    settings: Values = EMPTY


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """Rows that may be compared with each other: one stage at one budget on one host. seeds: how they were given.

    role: `trunk` for runs that are there for others to begin with, and are compared with nothing. host: the label of
    the kind of machine. regime: `explicit` seeds are a sample; reruns of one `fixed` seed show what the machine does.
    """

    name: str
    stage: str
    budget: Budget
    seeds: tuple[int, ...]
    runs: tuple[str, ...]
    role: PackageRole = "compared"
    host: str = ""
    regime: Regime = "explicit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A question, a baseline recipe, factors and stages, declared before anything runs.

    constants: what defines the question and is locked for the whole study. source: the text of the file.
    seed: of the run order. host: the label of the machines that stages run on where they name none.
    """

    name: str
    question: str
    response: str
    direction: Direction
    baseline: Recipe
    factors: tuple[Factor, ...]
    stages: tuple[Stage, ...]
    gate: Gate
    constants: Values
    seed: int = 0
    source: str = ""
    host: str = ""
    hosts: tuple[Host, ...] = ()

    def stage(self, name: str) -> Stage:
        """The stage of that name. KeyError if there is none."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)

    def host_of(self, stage: Stage) -> str:
        """The label of the machines that a stage runs on."""
        return stage.host or self.host

    def title_of(self, host: str) -> str:
        """What tables call the host of a label."""
        return next((each.title for each in self.hosts if each.label == host and each.title), host)
