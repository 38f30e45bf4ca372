"""Full factorial and regular fractional two-level designs."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from typing import Literal

from foldover.core import Design, DesignError, Factor, Row, Values
from foldover.designs.alias import alias_sets, is_listable
from foldover.designs.catalogue import (
    Criterion,
    generators_for,
    most_factors,
    num_basic_of,
    refuse_impossible_fraction,
    roman,
)
from foldover.designs.constraints import Constraint, allowed_signs, read_constraints, refuse_forbidden_rows
from foldover.designs.gf2 import (
    basic_letters,
    columns_of,
    defining_relation,
    wordlength_pattern_of_columns,
)
from foldover.designs.gf2 import (
    resolution as resolution_of,
)
from foldover.designs.order import randomize
from foldover.designs.requirements import Requirement, find_generators

MAX_RUNS = 4096
_REQUEST = re.compile(r"\s*2\s*(?:\^|\*\*)\s*[({]?\s*([0-9]+)\s*(?:-\s*([0-9]+)\s*)?[)}]?\s*")


def parse_request(text: str) -> tuple[int, int]:
    """(k, p) of `"2^(7-3)"`, `"2^5"`, `"2**(5-1)"`. Raises DesignError for what cannot be a design.

    >>> parse_request("2^(5-1)")
    (5, 1)
    """
    match = _REQUEST.fullmatch(text)
    if match is None:
        raise DesignError("a design is not readable", value=text, fix='Write e.g. "2^(5-1)" or "2^4".')
    k, p = int(match.group(1)), int(match.group(2) or 0)
    if k < 1:
        raise DesignError("a design needs at least one factor", value=text)
    if p >= k or (p and k - p < 2):
        raise DesignError(
            f"2^({k}-{p}) is no design: a fraction of {k} factors leaves at least 4 runs",
            value=text,
            fix=f"Take at most {max(k - 2, 0)} generators.",
        )
    if p:
        refuse_impossible_fraction(k, 2 ** (k - p))
    return k, p


def full_factorial(
    factors: Sequence[Factor],
    *,
    name: str = "full",
    seed: int | None = None,
    constraints: Sequence[str] = (),
    max_runs: int = MAX_RUNS,
) -> Design:
    """All combinations of the factors' levels, the first factor slowest, low first.

    Factors with listed levels enter with all of them, the others with low and high.
    Raises DesignError for no factors, more than `max_runs` runs, or a forbidden combination.
    """
    if not factors:
        raise DesignError("a design needs at least one factor")
    num_runs = math.prod(factor.num_levels for factor in factors)
    if num_runs > max_runs:
        raise DesignError(
            f"the full factorial has {num_runs} runs, more than {max_runs}",
            value=num_runs,
            fix="Take a fraction, or raise `max_runs`.",
        )
    combinations = itertools.product(*(factor.coded_levels() for factor in factors))
    design = Design(
        name=name,
        kind="full",
        factors=tuple(factors),
        rows=rows_of(list(combinations)),
        constraints=tuple(constraints),
    )
    refuse_forbidden_rows(design, read_constraints(constraints))
    return randomize(design, seed)


def fractional_factorial(
    factors: Sequence[Factor],
    *,
    runs: int | None = None,
    generators: Sequence[str] = (),
    resolution: int | None = None,
    clear: Sequence[str] = (),
    requirement: Requirement = "clear",
    criterion: Criterion = "aberration",
    constraints: Sequence[str] = (),
    on_forbidden: Literal["error", "around"] = "error",
    name: str = "fraction",
    seed: int | None = None,
) -> Design:
    """A regular two-level fraction, from generators, a number of runs, or a resolution.

    runs: a power of two; without generators the stored fraction of least aberration is taken, or of most
    clear interactions with `criterion="clear"`. resolution: the least one; without runs, the fewest runs
    that give it. clear: two-factor interactions that must not be aliased with a main effect or another
    two-factor interaction (`requirement="distinct"`: only not with a main effect or with each other).
    generators: `E=ABCD`, with a sign `E=-ABCD` for the other half.
    constraints: forbidden combinations; they are refused, or with `on_forbidden="around"` avoided by
    another choice of signs. Rows are c01, c02, ... in product order over the basic factors (first
    slowest, low first); the run order comes from `seed` (None: standard order).
    Raises DesignError for a design that does not exist, and says which would.
    """
    letters = tuple(factor.letter for factor in factors)
    _refuse_unfit_factors(factors)
    if generators:
        chosen = tuple(generators)
        num_runs = _runs_of(letters, chosen, runs)
    else:
        num_runs, chosen = _choose(
            letters, runs, resolution=resolution, clear=clear, requirement=requirement, criterion=criterion
        )
    limits = read_constraints(constraints)
    if on_forbidden == "around":
        chosen = _signs_around(factors, chosen, limits)
    design = _regular(factors, chosen, num_runs, name=name, constraints=tuple(constraints), clear=tuple(clear))
    if resolution is not None and design.resolution is not None and design.resolution < resolution:
        raise DesignError(
            f"generators {', '.join(chosen)} give resolution {roman(design.resolution)}, not {roman(resolution)}",
            fix=f"{num_runs} runs carry resolution {roman(resolution)} for at most "
            f"{most_factors(num_runs, resolution)} factors.",
        )
    refuse_forbidden_rows(design, limits)
    return randomize(design, seed)


def regular_levels(letters: Sequence[str], generators: Sequence[str]) -> list[tuple[float, ...]]:
    """Coded rows in product order over the basic factors, in the column order of `letters`."""
    basic = basic_letters(letters, generators)
    columns = columns_of(letters, generators)
    rows = []
    for levels in itertools.product((-1.0, 1.0), repeat=len(basic)):
        value = dict(zip(basic, levels, strict=True))
        rows.append(
            tuple(
                columns[letter].sign * math.prod(value[b] for i, b in enumerate(basic) if columns[letter].mask >> i & 1)
                for letter in letters
            )
        )
    return rows


def rows_of(levels: Sequence[Sequence[float]], *, prefix: str = "c") -> tuple[Row, ...]:
    """Rows labelled c01, c02, ... in the given order."""
    width = max(2, len(str(len(levels))))
    return tuple(
        Row(label=f"{prefix}{i + 1:0{width}d}", levels=tuple(float(x) for x in row), order=i)
        for i, row in enumerate(levels)
    )


def _regular(
    factors: Sequence[Factor],
    generators: tuple[str, ...],
    num_runs: int,
    *,
    name: str,
    constraints: tuple[str, ...],
    clear: tuple[str, ...],
) -> Design:
    letters = tuple(factor.letter for factor in factors)
    words = defining_relation(generators) if is_listable(len(generators)) else ()
    notes: tuple[str, ...] = ()
    if generators and not words:
        notes = (f"the {2 ** len(generators) - 1} defining words are not listed",)
        masks = [word.mask for word in columns_of(letters, generators).values()]
        pattern = wordlength_pattern_of_columns(masks, num_runs.bit_length() - 1)
        shortest = next((i + 3 for i, count in enumerate(pattern) if count), None)
    else:
        shortest = resolution_of(words)
    return Design(
        name=name,
        kind="fraction" if generators else "full",
        factors=tuple(factors),
        rows=rows_of(regular_levels(letters, generators)),
        generators=generators,
        words=words,
        resolution=shortest,
        aliases=alias_sets(letters, generators),
        constraints=constraints,
        notes=notes,
        request=Values({"clear": ",".join(clear)} if clear else {}),
    )


def _choose(
    letters: tuple[str, ...],
    runs: int | None,
    *,
    resolution: int | None,
    clear: Sequence[str],
    requirement: Requirement,
    criterion: Criterion,
) -> tuple[int, tuple[str, ...]]:
    k = len(letters)
    if runs is None and resolution is None and not clear:
        raise DesignError("a fraction needs runs, generators, a resolution or interactions to keep clear")
    if runs is None:
        runs = _fewest_runs(k, resolution or 3)
        if clear:
            found = find_generators(letters, clear, runs=None, least=runs, requirement=requirement)
            return 2 ** (k - len(found)), found
    num_basic = num_basic_of(runs)
    refuse_impossible_fraction(k, runs, resolution)
    if clear and k > num_basic:
        return runs, find_generators(letters, clear, runs=runs, requirement=requirement)
    return runs, generators_for(k, runs, criterion=criterion, letters=letters)


def _fewest_runs(k: int, resolution: int) -> int:
    if resolution < 3:
        raise DesignError("resolution begins at III", value=resolution)
    if resolution > k:
        return int(2**k)
    runs = 4
    while k > most_factors(runs, resolution):
        runs *= 2
    return min(runs, int(2**k))


def _runs_of(letters: Sequence[str], generators: tuple[str, ...], runs: int | None) -> int:
    num_runs = int(2 ** (len(letters) - len(generators)))
    if len(letters) - len(generators) < 2:
        raise DesignError(
            f"{len(generators)} generators leave {num_runs} runs of {len(letters)} factors",
            fix="A fraction has at least 4 runs.",
        )
    if runs is not None and runs != num_runs:
        raise DesignError(
            f"{len(letters)} factors with {len(generators)} generators make {num_runs} runs, not {runs}",
            value=generators,
            fix="Leave `runs` out, or change the generators.",
        )
    return num_runs


def _refuse_unfit_factors(factors: Sequence[Factor]) -> None:
    if not factors:
        raise DesignError("a design needs at least one factor")
    for factor in factors:
        if factor.num_levels > 2:
            raise DesignError(
                f"factor {factor.letter} has {factor.num_levels} levels and a fraction takes two",
                value=factor.levels,
                fix="Choose two of them, or ask for a full factorial or an optimal design.",
            )


def _signs_around(
    factors: Sequence[Factor], generators: tuple[str, ...], limits: Sequence[Constraint]
) -> tuple[str, ...]:
    letters = tuple(factor.letter for factor in factors)
    return allowed_signs(factors, generators, limits, lambda signed: regular_levels(letters, signed))
