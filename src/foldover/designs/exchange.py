"""The exchange search behind optimal designs.

Legend: M = X'X (+ prior), V = M^-1, f a candidate's row of the model, o the row it would replace.
D: |M| changes by (1 + f'Vf)(1 - o'Vo) + (f'Vo)^2. Linear criteria tr(V W): by two rank-one updates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foldover.designs.region import Region

if TYPE_CHECKING:
    import numpy as np

    from foldover.designs.model import Matrix

# Keeps a singular start invertible without moving the optimum: terms have information of order 1.
_RIDGE = 1e-7
_SMALLEST_GAIN = 1e-8
_MAX_SWEEPS = 100

_Point = tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What to choose rows for.

    model: coded rows to (n, p'); listed: that of the region's points (None: they are not listed);
    forced: model rows that are there already; prior: added to X'X; weight:
    W of tr(V W), None for D; slot_columns: fixed columns (blocks) of all runs, forced ones first.
    """

    model: Callable[[Sequence[_Point]], Matrix]
    region: Region
    listed: Matrix | None
    num_free: int
    forced: Matrix | None
    prior: Matrix
    weight: Matrix | None
    slot_columns: Matrix | None
    repeats: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """The best free rows found. value: log |M| for D, else tr(V W); hits: restarts that reached it."""

    levels: tuple[_Point, ...]
    value: float
    hits: int


def search(problem: Problem, *, restarts: int, seed: int) -> Solution | None:
    """The best of `restarts` exchange searches from random starts; None if all are singular."""
    import numpy as np  # late: making a factorial does not need it

    rng = np.random.default_rng(seed)
    found = []
    for _ in range(restarts):
        points = _improve(problem, _start(problem, rng))
        score = _score(problem, points)
        if score is not None:
            found.append((score, points))
    if not found:
        return None
    best, points = max(found, key=lambda item: item[0])
    scale = max(1.0, abs(best))
    hits = sum(best - score <= 1e-6 * scale for score, _ in found)
    return Solution(levels=tuple(points), value=best if problem.weight is None else -best, hits=hits)


def _start(problem: Problem, rng: np.random.Generator) -> list[_Point]:
    points: list[_Point] = []
    for _ in range(200 * problem.num_free):
        point = problem.region.draw(lambda n: int(rng.integers(n)))
        if problem.repeats or point not in points:
            points.append(point)
        if len(points) == problem.num_free:
            break
    return points


def _improve(problem: Problem, points: list[_Point]) -> list[_Point]:
    """Sweeps over the rows until a whole sweep gains nothing."""
    import numpy as np  # late, as above

    rows = _rows(problem, points)
    M = _information(problem, rows)
    V = np.asarray(np.linalg.inv(M), dtype=float)
    for _ in range(_MAX_SWEEPS):
        gained = False
        for slot in range(len(points)):
            # Listed candidates are all tried at once; else each coordinate may move once a visit.
            for _ in range(1 if problem.region.points else len(points[slot])):
                options, F = _options(problem, points, slot)
                gains = _gains(problem, V, F, rows[slot])
                best = int(np.argmax(gains))
                if gains[best] <= _SMALLEST_GAIN:
                    break
                M = M + np.outer(F[best], F[best]) - np.outer(rows[slot], rows[slot])
                V = np.asarray(np.linalg.inv(M), dtype=float)
                points[slot], rows[slot] = options[best], F[best]
                gained = True
        if not gained:
            break
    return points


def _options(problem: Problem, points: Sequence[_Point], slot: int) -> tuple[Sequence[_Point], Matrix]:
    """Points that may stand in the slot, with their rows of the model: all, or those one coordinate away."""
    region = problem.region
    if region.points:
        options: Sequence[_Point] = region.points
        F = problem.listed
    else:
        options, F = region.neighbours(points[slot]), None
    if not problem.repeats:
        taken = {point for i, point in enumerate(points) if i != slot}
        free = [i for i, option in enumerate(options) if option not in taken]
        options = [options[i] for i in free]
        F = None if F is None else F[free]
    return options, _with_slot(problem, problem.model(options) if F is None else F, slot)


def _gains(problem: Problem, V: Matrix, F: Matrix, old: Matrix) -> Matrix:
    """Relative gain of the criterion for each candidate row of F in place of `old`."""
    import numpy as np  # late, as above

    VF = F @ V
    vf = np.einsum("ij,ij->i", VF, F)
    vo = float(old @ V @ old)
    vfo = VF @ old
    if problem.weight is None:
        return np.asarray((1 + vf) * (1 - vo) + vfo**2 - 1, dtype=float)
    B = V @ problem.weight @ V
    FB = F @ B
    bf, bfo, bo = np.einsum("ij,ij->i", FB, F), FB @ old, float(old @ B @ old)
    c = vfo / (1 + vf)
    left = 1 - (vo - vfo * c)
    with np.errstate(divide="ignore", invalid="ignore"):
        change = -bf / (1 + vf) + (bo - 2 * c * bfo + c**2 * bf) / left
    change = np.where(left > 1e-12, change, np.inf)
    return np.asarray(-change / float(np.sum(V * problem.weight)), dtype=float)


def _score(problem: Problem, points: Sequence[_Point]) -> float | None:
    """log|M| or -tr(V W), without the ridge; None if singular."""
    import numpy as np  # late, as above

    if len(points) < problem.num_free:
        return None
    M = _information(problem, _rows(problem, points)) - _RIDGE * np.eye(len(problem.prior))
    if np.linalg.matrix_rank(M, hermitian=True) < len(M):
        return None
    if problem.weight is None:
        return float(np.linalg.slogdet(M)[1])
    return -float(np.sum(np.linalg.inv(M) * problem.weight))


def _rows(problem: Problem, points: Sequence[_Point]) -> Matrix:
    import numpy as np  # late, as above

    F = problem.model(points)
    if problem.slot_columns is None:
        return F
    return np.hstack([F, problem.slot_columns[len(problem.slot_columns) - len(points) :]])


def _with_slot(problem: Problem, F: Matrix, slot: int) -> Matrix:
    import numpy as np  # late, as above

    if problem.slot_columns is None:
        return F
    own = problem.slot_columns[len(problem.slot_columns) - problem.num_free + slot]
    return np.hstack([F, np.tile(own, (len(F), 1))])


def _information(problem: Problem, rows: Matrix) -> Matrix:
    import numpy as np  # late, as above

    M = rows.T @ rows + problem.prior + _RIDGE * np.eye(len(problem.prior))
    if problem.forced is not None:
        fixed = problem.forced
        if problem.slot_columns is not None:
            fixed = np.hstack([fixed, problem.slot_columns[: len(fixed)]])
        M = M + fixed.T @ fixed
    return np.asarray(M, dtype=float)
