"""Optimal designs for any number of runs, mixed levels, constrained regions and rows that are there already.

Exchange algorithms: each row in turn is replaced by the point that improves the criterion most; over all
candidates where they can be listed (Fedorov 1972), else coordinate by coordinate (Meyer and Nachtsheim 1995,
Technometrics 37). Restarts from random designs guard against poor local optima.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

from foldover.core import Design, DesignError, Factor, Row, Values
from foldover.designs.constraints import is_allowed, read_constraints
from foldover.designs.estimable import matrix_rank, null_space
from foldover.designs.exchange import Problem, Solution, search
from foldover.designs.factorial import rows_of
from foldover.designs.model import Column, expand_model, model_columns, model_matrix, moment_matrix
from foldover.designs.order import randomize
from foldover.designs.region import Region, make_region

if TYPE_CHECKING:
    from foldover.designs.model import Matrix

OptimalCriterion = Literal["D", "I", "A"]
Predicate = Callable[[tuple[float, ...]], bool]

DEFAULT_RESTARTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Rows that are there already: coded levels, and the design they come from."""

    levels: tuple[tuple[float, ...], ...]
    rows: tuple[Row, ...] = ()


def optimal_design(
    factors: Sequence[Factor],
    *,
    runs: int,
    model: str | Sequence[str] = "main+2fi",
    criterion: OptimalCriterion = "D",
    levels: int | None = None,
    candidates: Sequence[Sequence[float]] | None = None,
    constraints: Sequence[str] = (),
    allowed: Predicate | None = None,
    forced: Sequence[Sequence[float]] = (),
    potential: Sequence[str] = (),
    tau: float = 1.0,
    repeats: bool = True,
    restarts: int = DEFAULT_RESTARTS,
    name: str = "optimal",
    seed: int = 0,
) -> Design:
    """A design of `runs` rows that makes the model's coefficients (D, A) or predictions (I) most precise.

    model: see `expand_model`. levels: equally spaced candidate levels of a numeric factor (None: 3 where
    the model has squares or there are constraints, else 2); choices and listed levels enter with all.
    candidates: coded points to choose from instead. constraints: texts as in `Constraint`; allowed: any
    further rule on coded levels. forced: coded rows that must be in it, counted in `runs`. potential: terms
    that should be estimable if possible, with prior variance tau^2 (DuMouchel and Jones 1994); they may
    exceed the runs. repeats: False for every candidate at most once. The random starts and the run order
    come from `seed`. `request` keeps the criterion, its value (log |X'X| for D, the trace else) and how many
    restarts reached it.
    Raises DesignError for fewer runs than coefficients, candidates that cannot support a term (named), a
    forced row that is forbidden, and if every start is singular.
    """
    terms = expand_model(model, factors)
    region = make_region(
        factors,
        levels=levels or (3 if constraints or allowed or any("^" in term for term in terms) else 2),
        candidates=candidates,
        constraints=read_constraints(constraints),
        allowed=allowed,
    )
    there = _Rows(levels=tuple(tuple(float(x) for x in row) for row in forced))
    solution, columns = _solve(
        factors=factors,
        region=region,
        there=there,
        runs=runs,
        terms=terms,
        criterion=criterion,
        potential=potential,
        tau=tau,
        repeats=repeats,
        restarts=restarts,
        seed=seed,
    )
    rows = tuple(replace(row, kind="free") for row in rows_of(_sorted_rows(there, solution)))
    design = Design(
        name=name,
        kind="optimal",
        factors=tuple(factors),
        rows=rows,
        model=terms,
        constraints=tuple(constraints),
        seed=seed,
        request=_request(criterion, solution, restarts, len(there.levels), len(columns)),
    )
    return randomize(design, seed)


def add_optimal(
    design: Design,
    num: int,
    *,
    model: str | Sequence[str] = "main+2fi",
    criterion: OptimalCriterion = "D",
    levels: int | None = None,
    constraints: Sequence[str] = (),
    block: str = "added",
    restarts: int = DEFAULT_RESTARTS,
    seed: int = 0,
) -> Design:
    """The design with `num` more rows that make the larger model most precise, given the rows it has.

    block: of the new rows, which are run after the others; "" waives the block. The old rows become the block
    `original` if they have none. New rows are o01, o02, ... Raises DesignError as `optimal_design`.
    """
    if num < 1:
        raise DesignError("an augmentation adds at least one run", value=num)
    terms = expand_model(model, design.factors)
    texts = (*design.constraints, *constraints)
    region = make_region(
        design.factors,
        levels=levels or (3 if texts or any("^" in term for term in terms) else 2),
        candidates=None,
        constraints=read_constraints(texts),
        allowed=None,
    )
    there = _Rows(levels=tuple(row.levels for row in design.rows), rows=design.rows)
    runs = len(design.rows) + num
    blocks = [row.block or "original" for row in design.rows] + [block] * num if block else []
    solution, columns = _solve(
        factors=design.factors,
        region=region,
        there=there,
        runs=runs,
        terms=terms,
        criterion=criterion,
        restarts=restarts,
        seed=seed,
        blocks=blocks,
    )
    old = tuple(replace(row, block=row.block or "original") if block else row for row in design.rows)
    new = tuple(
        replace(row, kind="free", block=block) for row in rows_of(sorted(solution.levels, reverse=True), prefix="o")
    )
    shuffled = randomize(replace(design, rows=new), seed).rows
    new = tuple(replace(row, order=len(old) + row.order) for row in shuffled)
    return replace(
        design,
        kind="augmented",
        rows=(*old, *new),
        generators=(),
        words=(),
        resolution=None,
        aliases=(),
        model=terms,
        constraints=texts,
        parent=design.name,
        request=_request(criterion, solution, restarts, len(old), len(columns)),
    )


def _solve(
    *,
    factors: Sequence[Factor],
    region: Region,
    there: _Rows,
    runs: int,
    terms: Sequence[str],
    criterion: OptimalCriterion,
    potential: Sequence[str] = (),
    tau: float = 1.0,
    repeats: bool = True,
    restarts: int,
    seed: int,
    blocks: Sequence[str] = (),
) -> tuple[Solution, tuple[Column, ...]]:
    extra = [term for term in expand_model(potential, factors) if term not in terms] if potential else []
    columns = model_columns(factors, [*terms, *extra])
    num_primary = len(model_columns(factors, terms))
    _refuse_unfit(criterion, runs=runs, num_columns=num_primary, num_forced=len(there.levels))
    if restarts < 1 or not tau > 0:
        raise DesignError("restarts begin at 1 and tau is positive", value=(restarts, tau))
    _refuse_forced(factors, region, there)
    fixed = _block_columns(blocks)
    p = len(columns) + (fixed.shape[1] if fixed is not None else 0)
    if runs < num_primary + (p - len(columns)):
        raise DesignError(f"{runs} runs cannot estimate {p} coefficients with the blocks", value=runs, fix="Add runs.")
    problem = Problem(
        model=lambda rows: model_matrix(factors, rows, columns),
        region=region,
        listed=model_matrix(factors, region.points, columns) if region.points else None,
        num_free=runs - len(there.levels),
        forced=model_matrix(factors, there.levels, columns) if there.levels else None,
        prior=_prior(p, num_primary, len(columns), tau),
        weight=_weight(criterion, factors, columns, p),
        slot_columns=fixed,
        repeats=repeats,
    )
    _refuse_unsupported(problem, columns, num_primary, region)
    _refuse_too_few(problem, num_primary + p - len(columns))
    solution = search(problem, restarts=restarts, seed=seed)
    if solution is None:
        raise DesignError("every start was singular", value=restarts, fix="Raise `restarts` or `runs`.")
    return solution, columns


def _weight(criterion: OptimalCriterion, factors: Sequence[Factor], columns: Sequence[Column], p: int) -> Matrix | None:
    """W of the criterion tr(M^-1 W); None for D."""
    import numpy as np  # late: making a factorial does not need it

    if criterion == "D":
        return None
    if criterion == "A":
        return np.eye(p)
    W = np.zeros((p, p))
    W[: len(columns), : len(columns)] = moment_matrix(factors, columns)
    return W


def _prior(p: int, num_primary: int, num_columns: int, tau: float) -> Matrix:
    import numpy as np  # late, as above

    prior = np.zeros((p, p))
    for j in range(num_primary, num_columns):
        prior[j, j] = 1 / tau**2
    return prior


def _block_columns(blocks: Sequence[str]) -> Matrix | None:
    """Contrasts of each block against the first, one row a run."""
    import numpy as np  # late, as above

    names = list(dict.fromkeys(blocks))
    if len(names) < 2:
        return None
    return np.array([[float(b == n) - float(b == names[0]) for n in names[1:]] for b in blocks])


def _refuse_unfit(criterion: OptimalCriterion, *, runs: int, num_columns: int, num_forced: int) -> None:
    if criterion not in get_args(OptimalCriterion):
        raise DesignError("unknown criterion", value=criterion, fix=f"Use {', '.join(get_args(OptimalCriterion))}.")
    if runs < num_columns:
        raise DesignError(
            f"{runs} runs cannot estimate {num_columns} coefficients (with the mean)",
            value=runs,
            fix=f"Ask for at least {num_columns} runs or a smaller model.",
        )
    if num_forced >= runs:
        raise DesignError(f"{num_forced} forced rows leave nothing to choose of {runs} runs", value=runs)


def _refuse_forced(factors: Sequence[Factor], region: Region, there: _Rows) -> None:
    if there.rows:
        return  # rows that were run cannot be forbidden any more
    for row in there.levels:
        if len(row) != len(factors):
            raise DesignError(f"a forced row needs one level for each of {len(factors)} factors", value=row)
        if not is_allowed(row, factors, region.constraints) or (region.allowed and not region.allowed(row)):
            raise DesignError("a forced row is forbidden by the constraints", value=row)


def _refuse_unsupported(problem: Problem, columns: Sequence[Column], num_primary: int, region: Region) -> None:
    """Name a term that no choice of candidates could estimate."""
    import numpy as np  # late, as above

    F = problem.model(region.sample())
    both = F if problem.forced is None else np.vstack([F, problem.forced])
    primary = both[:, :num_primary]
    if matrix_rank(primary) == num_primary:
        return
    vector = null_space(primary)[0]
    names = [columns[j].name for j, x in enumerate(vector) if abs(x) > 1e-8]
    raise DesignError(
        f"the permitted points cannot tell apart {', '.join(names)}",
        value=len(F),
        fix=f"Leave out {names[-1]}, give its factors more levels, or relax the constraints.",
    )


def _refuse_too_few(problem: Problem, num_needed: int) -> None:
    """Forced rows bring their rank only, so that free rows must bring the rest."""
    import numpy as np  # late, as above

    if problem.forced is None:
        return
    fixed = problem.forced
    if problem.slot_columns is not None:
        fixed = np.hstack([fixed, problem.slot_columns[: len(fixed)]])
    rank = matrix_rank(fixed)
    if rank + problem.num_free < num_needed:
        raise DesignError(
            f"the rows that are there tell {rank} coefficients apart and the model has {num_needed}, too many "
            f"for {problem.num_free} more rows",
            fix=f"Add at least {num_needed - rank} rows, or take a smaller model.",
        )


def _sorted_rows(there: _Rows, solution: Solution) -> list[tuple[float, ...]]:
    """Forced rows first, then the others in product order."""
    return [*there.levels, *sorted(solution.levels)]


def _request(criterion: str, solution: Solution, restarts: int, num_forced: int, num_columns: int) -> Values:
    return Values(
        criterion=criterion,
        value=solution.value,
        restarts=restarts,
        best_reached=solution.hits,
        forced=num_forced,
        num_columns=num_columns,
    )
