"""One planned run and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from foldover.core.budget import Budget, Limit
from foldover.core.recipe import Recipe
from foldover.core.values import EMPTY, Values
from foldover.core.wire import digest, to_plain

Status = Literal["finished", "failed", "diverged", "timeout", "over_cap", "lost", "cancelled"]
MeasuredBy = Literal["harness", "self_reported"]

RUN_ID_LENGTH = 16
# Fields that came after run folders had been named: they are part of the id only where they say something.
_LATER_FIELDS = ("branch_points", "keeps_state", "host", "rerun")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """A run as planned; `run_id` is a digest of it, so planning twice plans once.

    condition: the label of the row; levels: its coded levels, one a factor (empty outside a design);
    constants: what defines the question (corpus, evaluation tokens); starts_from: the run whose trained
    state it begins with, if any. branch_points: what has been trained each time that it saves a checkpoint for others
    to go on from; keeps_state: whether it keeps the state that it ends with, for others to begin with. host: the label
    of the kind of machine that it is planned for ("" where the study names none); rerun: 0, or the number of the
    repetition under the same seed.
    """

    study: str
    stage: str
    package: str
    condition: str
    levels: tuple[float, ...]
    recipe: Recipe
    budget: Budget
    seed: int
    constants: Values = EMPTY
    starts_from: str | None = None
    branch_points: tuple[Limit, ...] = ()
    keeps_state: bool = False
    host: str = ""
    rerun: int = 0
    # Worked out when it is first asked for, which a plan of hundreds of runs is thousands of times.
    _id: str = field(init=False, repr=False, compare=False, default="")

    def __post_init__(self) -> None:
        # Read back from JSON a level is a float: an int here would give the run another id there; so would -0.0.
        object.__setattr__(self, "levels", tuple(float(level) + 0.0 for level in self.levels))

    @property
    def run_id(self) -> str:
        """16 hex digits of the digest of all the rest."""
        if not self._id:
            plain = to_plain(self)
            named = {name: value for name, value in plain.items() if value or name not in _LATER_FIELDS}
            object.__setattr__(self, "_id", digest(named)[:RUN_ID_LENGTH])
        return self._id

    @property
    def is_trunk(self) -> bool:
        """Whether others begin with its states; what it scores itself is compared with nothing."""
        return self.keeps_state or bool(self.branch_points)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a run has no result: the class of the error, its message and the last lines of its log."""

    kind: str
    message: str
    trace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A packed model: where (relative to the run folder), how large, and what it scores after unpacking."""

    path: str
    bytes: int
    sha256: str
    codec: str
    roundtrip: float | None = None
    cap: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a worker leaves in a run folder.

    responses: by name (`val_bpb`, ...), empty unless the run finished; counters: steps, tokens, seconds
    and their split; derived: what the recipe resolved to; digests: corpus, tokenizer, validation stream,
    code; references: yardsticks of the same stream, in units of the response; machine: host, device,
    threads, kernels; versions: of the libraries that matter; fired: events that levers name. started and
    finished: UTC, ISO 8601.
    """

    run_id: str
    status: Status
    started: str
    finished: str
    responses: Values = EMPTY
    counters: Values = EMPTY
    derived: Values = EMPTY
    digests: Values = EMPTY
    references: Values = EMPTY
    machine: Values = EMPTY
    versions: Values = EMPTY
    fired: tuple[str, ...] = ()
    measured_by: MeasuredBy = "harness"
    artifact: Artifact | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run in the ledger: what was planned, what became of it, and whether it counts.

    attempt: 1 for the first; exclusion: the reason why a person took it out of the analysis ("" if not).
    """

    spec: RunSpec
    attempt: int
    outcome: Outcome
    exclusion: str = ""

    @property
    def counts(self) -> bool:
        """Whether the run has a result that the analysis may use."""
        return self.outcome.status == "finished" and not self.exclusion
