"""Reading the published tables of a study, and what a check of them says.

The tables are data (name -> columns and rows, as printed); the checks are arithmetic on them. Nothing here
knows a number of the paper.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from foldover.core import AnalysisError

Verdict = Literal["consistent", "inconsistent", "incomplete"]
Facts = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperCheck:
    """One statement of the paper against what its own numbers give.

    inconsistent: the numbers contradict it, or each other; incomplete: something needed is not printed.
    """

    id: str
    where: str
    claim: str
    computed: str
    verdict: Verdict


def rows_of(facts: Facts, name: str) -> list[dict[str, Any]]:
    """The rows of a table as column -> cell. Raises AnalysisError for a table that is not there."""
    table = entry(facts, name)
    columns = table["columns"]
    return [dict(zip(columns, row, strict=True)) for row in table["rows"]]


def entry(facts: Facts, name: str) -> dict[str, Any]:
    """A table with its further printed values. Raises AnalysisError for a table that is not there."""
    tables = facts.get("tables")
    if not isinstance(tables, Mapping) or name not in tables:
        raise AnalysisError("the facts hold no such table", value=name, fix="Give the whole file of published tables.")
    return dict(tables[name])


def statement(facts: Facts, name: str) -> Any:
    """What the paper's prose says, by name. Raises AnalysisError if it is not there."""
    statements = facts.get("statements")
    if not isinstance(statements, Mapping) or name not in statements:
        raise AnalysisError("the facts hold no such statement", value=name)
    return statements[name]


def minutes(budgets: str) -> int:
    """Number of budgets in a text such as `2,5,10min`."""
    return len(budgets.split(","))


def decimals(value: float, printed: str | None = None) -> int:
    """Decimals of a printed number; of the text where trailing zeros matter."""
    text = printed if printed is not None else repr(value)
    return len(text.split(".")[1]) if "." in text and "e" not in text else 0


def last_digit(printed: str) -> float:
    """One unit in the last printed place: 1e-13 for `4.94e-11`."""
    mantissa, _, exponent = printed.partition("e")
    return 10.0 ** ((int(exponent) if exponent else 0) - decimals(0.0, mantissa))


def effects_table(facts: Facts, budget: int) -> list[dict[str, Any]]:
    """The seeded main effects at 5 or 10 minutes."""
    return rows_of(facts, {5: "t06_effects_5min", 10: "t07_effects_10min"}[budget])


def effect(facts: Facts, budget: int, factor: str) -> float:
    """One seeded main effect."""
    return float(next(row["effect"] for row in effects_table(facts, budget) if row["factor"] == factor))


def mean_of(facts: Facts, name: str, column: str, **where: object) -> float:
    """One number of a table by the values of other columns."""
    for row in rows_of(facts, name):
        if all(row[key] == value for key, value in where.items()):
            return float(row[column])
    raise AnalysisError("the table has no such row", value=(name, where))


def n_from_wins(label: str) -> int:
    """Runs a side of a balanced win count such as `16/16`."""
    pairs = int(label.split("/")[1])
    n = math.isqrt(pairs)
    if n * n != pairs:
        raise AnalysisError("a balanced win count has a square number of pairs", value=label)
    return n


def width(depth: int, aspect: int) -> int:
    """Width of the model: depth x aspect rounded up to whole heads of 128."""
    return math.ceil(depth * aspect / 128) * 128


def parameters(depth: int, model_width: int, vocabulary: int) -> int:
    """Parameters of the runner's model: embedding, head, a value embedding on every second layer, 12 d^2 a layer."""
    return (2 + depth // 2) * vocabulary * model_width + 12 * depth * model_width**2


def vocabulary(facts: Facts) -> int:
    """Tokens of the runner's tokenizer."""
    return int(next(row["value"] for row in rows_of(facts, "t23_runner_constants") if row["item"] == "vocabulary"))


def check(id_: str, where: str, claim: str, computed: str, *, agrees: bool) -> PaperCheck:
    """A check whose verdict is yes or no."""
    return PaperCheck(
        id=id_, where=where, claim=claim, computed=computed, verdict="consistent" if agrees else "inconsistent"
    )


def missing(id_: str, where: str, claim: str, computed: str) -> PaperCheck:
    """A check of something that the paper does not print enough of."""
    return PaperCheck(id=id_, where=where, claim=claim, computed=computed, verdict="incomplete")
