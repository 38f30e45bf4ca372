"""The points that an optimal design may use: listed where there are few, else described by axes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from foldover.core import DesignError, Factor
from foldover.designs.constraints import Constraint, is_allowed

# Exchange over all candidates takes their number times p^2 operations a row; beyond, coordinates are exchanged.
MAX_CANDIDATES = 5_000
_MAX_SAMPLE = 2_000
_MAX_TRIES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Permitted coded points. points: all of them (empty: too many, then axes are walked).

    axes: candidate levels of each factor at realised coded levels.
    """

    factors: tuple[Factor, ...]
    axes: tuple[tuple[float, ...], ...]
    points: tuple[tuple[float, ...], ...]
    constraints: tuple[Constraint, ...]
    allowed: Callable[[tuple[float, ...]], bool] | None

    def permits(self, point: tuple[float, ...]) -> bool:
        """Whether the constraints and the predicate allow the point."""
        return is_allowed(point, self.factors, self.constraints) and (self.allowed is None or self.allowed(point))

    def draw(self, uniform: Callable[[int], int]) -> tuple[float, ...]:
        """A permitted point; uniform(n) draws from 0..n-1. Raises DesignError if none is found."""
        if self.points:
            return self.points[uniform(len(self.points))]
        for _ in range(_MAX_TRIES * len(self.axes)):
            point = tuple(axis[uniform(len(axis))] for axis in self.axes)
            if self.permits(point):
                return point
        raise DesignError("the constraints leave too few points to find", value=tuple(c.text for c in self.constraints))

    def neighbours(self, point: tuple[float, ...]) -> list[tuple[float, ...]]:
        """The point and the permitted ones that differ from it in one coordinate."""
        moved = [
            (*point[:i], level, *point[i + 1 :])
            for i, axis in enumerate(self.axes)
            for level in axis
            if level != point[i]
        ]
        return [point, *(other for other in moved if self.permits(other))]

    def sample(self) -> Sequence[tuple[float, ...]]:
        """All points, or a spread of them that supports whatever the whole region supports."""
        if self.points:
            return self.points
        ends = [axis if len(axis) <= 3 else (axis[0], axis[len(axis) // 2], axis[-1]) for axis in self.axes]
        near = [
            tuple(ends[j][-1] if j in moved else ends[j][0] for j in range(len(ends)))
            for size in range(4)
            for moved in itertools.combinations(range(len(ends)), size)
        ]
        middles = [
            tuple(ends[j][1] if j == i and len(ends[j]) > 2 else ends[j][0] for j in range(len(ends)))
            for i in range(len(ends))
        ]
        spread = [tuple(axis[(i * (2 * j + 1)) % len(axis)] for j, axis in enumerate(self.axes)) for i in range(200)]
        found = [point for point in dict.fromkeys([*near, *middles, *spread]) if self.permits(point)]
        return found[:_MAX_SAMPLE] if found else [self.draw(lambda n: 0)]


def make_region(
    factors: Sequence[Factor],
    *,
    levels: int,
    candidates: Sequence[Sequence[float]] | None,
    constraints: Sequence[Constraint],
    allowed: Callable[[tuple[float, ...]], bool] | None,
) -> Region:
    """The permitted points of a grid of `levels` equally spaced levels, or of the candidates given.

    Levels that a lattice cannot realise are moved to it. Raises DesignError if nothing is permitted.
    """
    if not factors:
        raise DesignError("a design needs at least one factor")
    if levels < 2:
        raise DesignError("a grid needs two or more levels", value=levels)
    axes = tuple(_axis(factor, levels) for factor in factors)
    size = math.prod(len(axis) for axis in axes)
    grid: Sequence[tuple[float, ...]] = ()
    if candidates is not None:
        grid = [tuple(float(x) for x in point) for point in candidates]
        if any(len(point) != len(factors) for point in grid):
            raise DesignError(f"a candidate needs one level for each of {len(factors)} factors")
    elif size <= MAX_CANDIDATES:
        grid = list(itertools.product(*axes))
    region = Region(factors=tuple(factors), axes=axes, points=(), constraints=tuple(constraints), allowed=allowed)
    if candidates is None and size > MAX_CANDIDATES:
        return region
    points = tuple(point for point in dict.fromkeys(grid) if region.permits(point))
    if not points:
        raise DesignError("the constraints leave no point", value=tuple(c.text for c in constraints), fix="Relax them.")
    return Region(
        factors=region.factors, axes=axes, points=points, constraints=region.constraints, allowed=region.allowed
    )


def _axis(factor: Factor, levels: int) -> tuple[float, ...]:
    if factor.kind == "choice" or factor.levels:
        return factor.coded_levels()
    planned = (-1 + 2 * i / (levels - 1) for i in range(levels))
    return tuple(dict.fromkeys(factor.realised(x) for x in planned))
