"""What a run may spend and weigh."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from foldover.core.errors import BudgetError

LimitKind = Literal["seconds", "steps", "tokens", "flops"]

_UNITS: dict[str, tuple[LimitKind, float]] = {
    "s": ("seconds", 1.0),
    "sec": ("seconds", 1.0),
    "seconds": ("seconds", 1.0),
    "m": ("seconds", 60.0),
    "min": ("seconds", 60.0),
    "minutes": ("seconds", 60.0),
    "h": ("seconds", 3600.0),
    "hours": ("seconds", 3600.0),
    "steps": ("steps", 1.0),
    "tokens": ("tokens", 1.0),
    "flops": ("flops", 1.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """When training stops. Start-up, compilation and evaluation are outside a limit in seconds."""

    kind: LimitKind
    amount: float

    def __post_init__(self) -> None:
        if self.kind not in get_args(LimitKind):
            raise BudgetError("unknown kind of limit", value=self.kind, fix="Use seconds, steps, tokens, flops.")
        # Read back from JSON it is a float: an int here would give a run another id there.
        object.__setattr__(self, "amount", float(self.amount))
        if not 0 < self.amount < float("inf"):
            raise BudgetError("a limit must be positive", value=self.amount)
        if self.kind != "seconds" and self.amount != int(self.amount):
            raise BudgetError(f"a limit in {self.kind} must be a whole number", value=self.amount)

    @classmethod
    def parse(cls, text: str) -> Limit:
        """`"300s"`, `"5min"`, `"12h"`, `"300 steps"`, `"1e9 tokens"`. Raises BudgetError."""
        match = re.fullmatch(r"\s*([0-9][0-9_.]*(?:e[0-9]+)?)\s*([a-z]+)\s*", text.lower())
        if match is None or match.group(2) not in _UNITS:
            raise BudgetError(
                "a budget is not readable", value=text, fix='Write e.g. "300s", "5min", "12h" or "300 steps".'
            )
        try:
            number = float(match.group(1))
        except ValueError:
            raise BudgetError("a budget is not readable", value=text, fix='Write e.g. "300s".') from None
        kind, factor = _UNITS[match.group(2)]
        return cls(kind=kind, amount=number * factor)

    def label(self) -> str:
        """Short and exact: `2 s`, `10 min`, `300 steps`, `1.5e11 flops`."""
        if self.kind != "seconds":
            mantissa, _, exponent = f"{self.amount:.4e}".partition("e")
            short = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
            is_short = self.amount >= 1e6 and float(short) == self.amount
            return f"{short if is_short else f'{self.amount:,.0f}'} {self.kind}"
        for unit, size in (("h", 3600.0), ("min", 60.0)):
            if self.amount >= size and self.amount % size == 0:
                return f"{self.amount / size:.12g} {unit}"
        return f"{self.amount:.12g} s"


def common_ratio(limits: Sequence[Limit]) -> float | None:
    """How many times as long as the one before each of two or more limits of one kind is; None where they differ.

    A ratio is whole where limits agree with one to half a percent, and to less than one step, token or FLOP: a ladder
    that is written with three digits, or scaled and rounded, stays one. With other ratios they agree to a thousandth.
    """
    top, largest = len(limits) - 1, limits[-1].amount
    if not math.isfinite(largest / limits[0].amount):
        return None
    mean = (largest / limits[0].amount) ** (1.0 / top)
    least_slack = 0.0 if limits[-1].kind == "seconds" else 0.999
    for ratio, slack in ((float(round(mean)), 5e-3), (mean, 1e-3)):
        steps = [largest / ratio ** (top - i) if ratio > 1.0 else 0.0 for i in range(top + 1)]
        gaps = [abs(limit.amount - step) for limit, step in zip(limits, steps, strict=True)]
        if all(gap <= max(least_slack, slack * step) for gap, step in zip(gaps, steps, strict=True)):
            return ratio
    return None


def ladder_to(limit: Limit, *, ratio: float, rungs: int) -> tuple[Limit, ...]:
    """Rising limits up to `limit`, each `ratio` times the one before, rounded so that they can be written down."""
    found = []
    for i in range(rungs - 1, -1, -1):
        amount = float(f"{limit.amount / ratio**i:.6g}")
        found.append(Limit(kind=limit.kind, amount=amount if limit.kind == "seconds" else max(1.0, round(amount))))
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A limit, the grace around it, and the cap on the artifact.

    grace_seconds: what start-up, compilation, evaluation and export may take on top of the limit; a run
    that exceeds limit and grace is ended with status `timeout`. artifact_bytes: None for no cap.
    """

    limit: Limit
    grace_seconds: float = 120.0
    artifact_bytes: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "grace_seconds", float(self.grace_seconds))
        if not self.grace_seconds > 0:
            raise BudgetError("grace must be positive", value=self.grace_seconds)
        if self.artifact_bytes is not None and self.artifact_bytes <= 0:
            raise BudgetError("an artifact cap must be positive", value=self.artifact_bytes)

    def label(self) -> str:
        """The limit's label."""
        return self.limit.label()
