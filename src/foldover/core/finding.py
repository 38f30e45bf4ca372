"""What the analysis says and what was decided."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from foldover.core.recipe import Recipe
from foldover.core.values import Scalar
from foldover.core.wire import LATER

# The last four: a factor that was fixed before is open again; it needs more seeds, or the folded design; a condition is
# carried on to later stages.
Decision = Literal[
    "fix_low", "fix_high", "keep_open", "drop", "confirm", "undecided", "send_back", "more_seeds", "fold_over", "carry"
]


# Below this an interval is printed, but conditions are not ordered by it: Student's factor is 12.7 for two.
FEWEST_SEEDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """High minus low of one term, in units of the response.

    low and high bound the interval at `level`; p is two-sided; q is p adjusted within its family. They are
    None where the data carry no error (a single seed). retained: interval excludes 0 and q is at most the
    gate's; None where the effect is only described. notes: what a reader must know ("never fired in 3 of
    16 runs", "descriptive: one seed").
    """

    term: str
    package: str
    budget: str
    estimate: float
    se: float | None
    low: float | None
    high: float | None
    level: float
    p: float | None
    q: float | None
    retained: bool | None
    df: float | None
    n: int
    aliased_with: tuple[str, ...]
    method: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionSummary:
    """Mean of one condition over its seeds, with a Student interval (None for a single seed)."""

    package: str
    budget: str
    condition: str
    n: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None
    level: float
    seeds: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A decision about a factor or a condition, the rule that made it and the evidence it rests on.

    evidence: digest of the records used; because: one sentence with the numbers; more_seeds: how many are asked for.
    """

    stage: str
    subject: str
    decision: Decision
    because: str
    rule: str
    evidence: str
    more_seeds: int = field(default=0, metadata=LATER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """The recipe that the study ends with, and how far the evidence carries it.

    changes: (lever, baseline's value, recommended value); summary: of the response in `package`; supports
    and does_not_support: sentences; comparisons: sentences on the difference to other conditions under the
    same seeds.
    """

    condition: str
    package: str
    recipe: Recipe
    changes: tuple[tuple[str, Scalar, Scalar], ...]
    summary: ConditionSummary
    supports: tuple[str, ...]
    does_not_support: tuple[str, ...]
    comparisons: tuple[str, ...]
