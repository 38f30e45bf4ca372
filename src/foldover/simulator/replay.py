"""A trainer that answers from recorded runs, so that published tables can be analysed like one's own."""

from __future__ import annotations

import csv
import io
import math
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast, get_args

import foldover
from foldover.core import (
    Budget,
    BudgetError,
    DataError,
    Failure,
    Lever,
    LeverSet,
    Limit,
    Outcome,
    Recipe,
    RecipeError,
    Resolved,
    RunSpec,
    Scalar,
    Settings,
    Status,
    TrainerError,
    Values,
)
from foldover.core.lever import Kind
from foldover.rundir import RunFolder

BUDGET, SEED, STATUS = "budget", "seed", "status"
ESTIMATED_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class _Key:
    """What names a recorded run."""

    levels: Values
    constants: Values
    limit: Limit
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recorded:
    """What became of it; line: of the CSV text, from 1."""

    line: int
    status: Status
    responses: Values


class ReplayTrainer:
    """Recorded runs, one a row of a CSV text with a header.

    Columns: `budget` (`300s`, `5min`, `300 steps`), `seed`, the responses, optionally `status` (`finished` where
    there is none), the given constants (such as a host or the number of a rerun), and all others are levers,
    by name, in coded or natural units. A lever's kind is what all its cells are: whole numbers, numbers, or text.
    Runs that did not finish may leave their responses empty.
    Raises DataError for a text that is not such a table, naming the line.
    """

    def __init__(
        self,
        text: str,
        *,
        name: str = "replay",
        responses: Sequence[str] = ("val_bpb",),
        constants: Sequence[str] = (),
    ) -> None:
        header, rows = _read(text, needed=(BUDGET, SEED, *responses, *constants))
        levers = [column for column in header if column not in {BUDGET, SEED, STATUS, *responses, *constants}]
        if not levers:
            raise DataError("a table of runs has no column that is a lever", value=header)
        self._name = name
        self._responses = tuple(responses)
        self._levers = LeverSet(tuple(_lever(column, [cells[column] for _, cells in rows]) for column in levers))
        self._constants = LeverSet(tuple(_lever(column, [cells[column] for _, cells in rows]) for column in constants))
        self._runs = dict(self._records(rows))
        if len(self._runs) < len(rows):
            raise DataError("a table of runs has a run twice", value=self._twice(rows), fix="Add a constant column.")
        self._known = tuple(dict.fromkeys(key.levels for key in self._runs))

    @property
    def name(self) -> str:
        """As written in study files."""
        return self._name

    @property
    def levers(self) -> LeverSet:
        """The columns that are neither budget, seed, status, constant nor response."""
        return self._levers

    @property
    def constants(self) -> LeverSet:
        """The columns given as constants."""
        return self._constants

    @property
    def presets(self) -> Mapping[str, Values]:
        """`first`: the recipe of the first row, the default."""
        return {"first": self._levers.defaults()}

    @property
    def responses(self) -> tuple[str, ...]:
        """The columns given as responses."""
        return self._responses

    def resolve(self, recipe: Recipe) -> Resolved:
        """The recipe itself. Raises RecipeError for one that no row has, naming the nearest."""
        if recipe.values not in self._known:
            nearest = min(self._known, key=lambda known: _distance(known, recipe.values))
            raise RecipeError(
                "no recorded run has this recipe",
                value=dict(recipe.values),
                fix=f"The nearest recorded one is {dict(nearest)}.",
            )
        return Resolved(recipe=recipe, derived=Values(), effective=recipe.values)

    def estimate_seconds(self, resolved: Resolved, budget: Budget, constants: Values) -> float:
        """Next to nothing."""
        return ESTIMATED_SECONDS

    def prepare(self, recipe: Recipe, constants: Values, progress: Callable[[str, float], None]) -> None:
        """There is nothing to prepare."""

    def train(self, spec: RunSpec, folder: RunFolder, settings: Settings) -> Outcome:
        """The recorded outcome. Raises RecipeError for an unknown recipe, TrainerError for another unknown run."""
        started = datetime.now(UTC)
        self.resolve(spec.recipe)
        constants = self._constants.complete(spec.constants)
        key = _Key(levels=spec.recipe.values, constants=constants, limit=spec.budget.limit, seed=spec.seed)
        recorded = self._runs.get(key)
        if recorded is None:
            raise TrainerError(f"no recorded run of {spec.condition} {self._nearest(key)}", value=_shown(key))
        return Outcome(
            run_id=spec.run_id,
            status=recorded.status,
            started=started.isoformat(),
            finished=datetime.now(UTC).isoformat(),
            responses=recorded.responses if recorded.status == "finished" else Values(),
            counters=Values({key.limit.kind: key.limit.amount}),
            machine=Values({**constants, "device": "replayed"}),
            versions=Values(foldover=foldover.__version__, python=platform.python_version()),
            measured_by="self_reported",
            failure=None
            if recorded.status == "finished"
            else Failure(kind=recorded.status, message=f"recorded as {recorded.status} in line {recorded.line}"),
        )

    def _records(self, rows: list[tuple[int, dict[str, str]]]) -> Iterator[tuple[_Key, _Recorded]]:
        for line, cells in rows:
            status = _status(line, cells.get(STATUS, "") or "finished")
            responses = {name: _number(line, name, cells[name]) for name in self._responses if cells[name]}
            if status == "finished" and len(responses) < len(self._responses):
                raise DataError(f"line {line}: a finished run has an empty response", value=cells)
            yield self._key(line, cells), _Recorded(line=line, status=status, responses=Values(responses))

    def _key(self, line: int, cells: Mapping[str, str]) -> _Key:
        return _Key(
            levels=Values({name: lever.parse(cells[name]) for name, lever in self._levers.items()}),
            constants=Values({name: lever.parse(cells[name]) for name, lever in self._constants.items()}),
            limit=_limit(line, cells[BUDGET]),
            seed=_whole(line, SEED, cells[SEED]),
        )

    def _twice(self, rows: list[tuple[int, dict[str, str]]]) -> str:
        first: dict[_Key, int] = {}
        for line, cells in rows:
            before = first.setdefault(self._key(line, cells), line)
            if before != line:
                return f"lines {before} and {line}"
        return ""

    def _nearest(self, key: _Key) -> str:
        """What is recorded of the same recipe, as the end of a sentence."""
        same = [known for known in self._runs if known.levels == key.levels]
        there = sorted({known.limit.label() for known in same if known.constants == key.constants})
        if key.limit.label() in there:
            seeds = sorted(known.seed for known in same if known.limit == key.limit)
            return f"has this seed; recorded are {', '.join(map(str, seeds))}"
        return f"has this budget and these constants; recorded are {', '.join(there) or 'other constants only'}"


def _read(text: str, needed: Sequence[str]) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    reader = csv.DictReader(io.StringIO(text.lstrip("\ufeff")), skipinitialspace=True)
    header = [name.strip() for name in reader.fieldnames or ()]
    missing = [name for name in needed if name not in header]
    if missing or len(set(header)) < len(header):
        raise DataError(
            "the header of a table of runs lacks columns or repeats one",
            value=header,
            fix=f"It needs {', '.join(needed)} and the levers, each once.",
        )
    reader.fieldnames = header
    rows = []
    for cells in reader:
        if None in cells or None in cells.values():
            raise DataError(f"line {reader.line_num}: not one cell a column", value=list(cells.values()))
        rows.append((reader.line_num, {name: str(cell).strip() for name, cell in cells.items()}))
    if not rows:
        raise DataError("a table of runs has no row")
    return header, rows


def _lever(name: str, cells: list[str]) -> Lever:
    """The column's lever: its range is what was recorded, its default the first cell."""
    if "" in cells:
        raise DataError(f"column `{name}` has an empty cell", fix="Every run needs a level of every lever.")
    try:
        numbers = [float(cell) for cell in cells]
    except ValueError:
        choices = tuple(sorted(set(cells)))
        return Lever(name=name, kind="choice", default=cells[0], doc="Recorded.", choices=choices)
    if not all(map(math.isfinite, numbers)):
        raise DataError(f"column `{name}` has a level that is not finite", value=cells)
    is_whole = all(number == int(number) for number in numbers) and not any("." in cell for cell in cells)
    kind: Kind = "int" if is_whole else "float"
    default: Scalar = int(numbers[0]) if is_whole else numbers[0]
    return Lever(name=name, kind=kind, default=default, doc="Recorded.", low=min(numbers), high=max(numbers))


def _number(line: int, name: str, cell: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"line {line}: `{name}` is not a finite number", value=cell)
    return number


def _whole(line: int, name: str, cell: str) -> int:
    number = _number(line, name, cell)
    if number != int(number):
        raise DataError(f"line {line}: `{name}` is not a whole number", value=cell)
    return int(number)


def _limit(line: int, cell: str) -> Limit:
    try:
        return Limit.parse(cell)
    except BudgetError as error:
        raise DataError(f"line {line}: {error}") from None


def _status(line: int, cell: str) -> Status:
    if cell not in get_args(Status):
        raise DataError(f"line {line}: unknown status", value=cell, fix=f"Use one of {', '.join(get_args(Status))}.")
    return cast(Status, cell)


def _distance(known: Values, wanted: Values) -> int:
    return sum(known[name] != wanted.get(name) for name in known)


def _shown(key: _Key) -> str:
    constants = "".join(f", {name} {value}" for name, value in key.constants.items())
    return f"{dict(key.levels)}, {key.limit.label()}, seed {key.seed}{constants}"
