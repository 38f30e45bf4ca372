"""What a report is made of: the study, its runs and what the analysis found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from foldover.core import (
    EMPTY,
    ConditionSummary,
    Design,
    Effect,
    Package,
    Recommendation,
    RunRecord,
    Study,
    Values,
    Verdict,
)
from foldover.report.section import Section

Curve = Mapping[str, Sequence[float | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportInputs:
    """Everything that a report says, before it is worded.

    design: of the first screen (None where there is none); records: every attempt, those that failed or were
    lost too; recommendation: None while the study has not come to one; curves: by run id, columns of equal
    length such as `progress` and `train_loss`; references: yardsticks in units of the response (`order_0`:
    bits per byte of a byte model of that order); ledger_digest: of the records; version: of foldover. sections: what
    else was found, as sentences, tables and pictures; roles: what a condition is there for, by (package, condition).
    """

    study: Study
    design: Design | None
    records: tuple[RunRecord, ...]
    effects: tuple[Effect, ...]
    conditions: tuple[ConditionSummary, ...]
    verdicts: tuple[Verdict, ...]
    packages: tuple[Package, ...]
    recommendation: Recommendation | None = None
    curves: Mapping[str, Curve] = field(default_factory=dict)
    references: Values = EMPTY
    ledger_digest: str = ""
    version: str = ""
    sections: tuple[Section, ...] = ()
    roles: Mapping[tuple[str, str], str] = field(default_factory=dict)
