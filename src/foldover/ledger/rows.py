"""What single rows of the ledger say, and the small conversions on the way in and out."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from foldover.core import Outcome, Scalar, Values, Verdict
from foldover.ledger.curves import PackedCurve


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredDecision:
    """What was decided after a stage; evidence: digest of the records that it rests on."""

    stage: str
    verdicts: tuple[Verdict, ...]
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A run's place by the response that the study judges."""

    run_id: str
    condition: str
    seed: int
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldAttempt:
    """The rows of one attempt, as stored; spec, outcome and events in JSON."""

    spec: str
    status: str
    responses: Values
    outcome: str
    events: str
    curve: PackedCurve


def numbers_of(outcome: Outcome) -> Values:
    """The responses that are numbers, as floats."""
    pairs = outcome.responses.items()
    return Values({name: float(x) for name, x in pairs if isinstance(x, int | float) and not isinstance(x, bool)})


def plain_value(value: Any) -> Scalar:
    """A column's value; a blob by its sha256."""
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else value


def difference(one: str, other: str) -> str:
    """The fields in which two records differ, named."""
    left, right = json.loads(one), json.loads(other)
    names = [name for name in sorted({*left, *right}) if left.get(name) != right.get(name)]
    return ", ".join(f"`{name}`" for name in names)
