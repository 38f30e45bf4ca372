"""The predeclared plan of a study."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from foldover.core.budget import Budget
from foldover.core.factor import Factor
from foldover.core.recipe import Recipe
from foldover.core.values import Values

StageKind = Literal["screen", "confirm", "refine"]
Direction = Literal["minimize", "maximize"]
Correction = Literal["bh", "by", "holm", "bonferroni"]
PackageRole = Literal["compared", "trunk"]
Regime = Literal["explicit", "fixed"]
Branch = Literal["warmdown"]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignRequest:
    """What design a screen asks for, e.g. runs 16 of factors A..E by generators `E=ABCD`."""

    runs: int
    generators: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of a study: a set of conditions run at given budgets under given seeds.

    screen: the rows of `design`. confirm: the `best` best and `worst` worst conditions of the stage
    `after`, under seeds not used there. refine: bridges, in the space that the verdicts of `after` leave:
    each factor of `centers` (empty: every retained one) moved to its centre while the others hold their
    better level, and all of them at once.
    branch: `warmdown` trains what is at constant rates once, for all budgets, and branches the warm-downs from it
    (None: each run trains from its first step).
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
    seed: of the run order.
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

    def stage(self, name: str) -> Stage:
        """The stage of that name. KeyError if there is none."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)
