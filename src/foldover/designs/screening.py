"""Plackett-Burman designs, and measures for two-level designs without a defining relation.

Orders 12, 20 and 24 by the published cyclic rows (Plackett and Burman 1946, Biometrika 33); others by Paley's
constructions over a prime q: N = q + 1 for q = 3 mod 4 and N = 2(q + 1) for q = 1 mod 4, or by doubling.
"""

from __future__ import annotations

from collections.abc import Sequence

from foldover.core import Design, DesignError, Factor
from foldover.designs.factorial import rows_of
from foldover.designs.gf2 import krawtchouk
from foldover.designs.order import randomize

_FIRST_ROWS = {
    12: "++-+++---+-",
    20: "++--++++-+-+----++-",
    24: "+++++-+-++--++--+-+----",
}
_PALEY_I = {44: 43, 48: 47, 60: 59, 68: 67, 72: 71, 80: 79, 84: 83}
_PALEY_II = {28: 13, 36: 17, 76: 37}
_DOUBLED = (40, 56, 88, 96)

PLACKETT_BURMAN_RUNS = tuple(sorted([*_FIRST_ROWS, *_PALEY_I, *_PALEY_II, *_DOUBLED]))


def plackett_burman(
    factors: Sequence[Factor], *, runs: int | None = None, name: str = "plackett_burman", seed: int | None = None
) -> Design:
    """An orthogonal two-level design for up to runs - 1 factors, every main effect partly aliased with many 2fi.

    runs: a multiple of 4 that is no power of two (None: the fewest that carry the factors). The last row has
    every factor low. There is no alias table: `alias_matrix` gives the coefficients (1/3 for 12 runs).
    Raises DesignError for orders without a construction here, which it lists, and never rounds up.
    """
    k = len(factors)
    if not factors:
        raise DesignError("a design needs at least one factor")
    for factor in factors:
        if factor.num_levels > 2:
            raise DesignError(
                f"factor {factor.letter} has {factor.num_levels} levels and a Plackett-Burman design takes two",
                value=factor.levels,
                fix="Choose two of them, or ask for an optimal design.",
            )
    num_runs = _fewest_runs(k) if runs is None else runs
    _refuse_order(k, num_runs)
    matrix = _matrix(num_runs)
    design = Design(
        name=name,
        kind="plackett_burman",
        factors=tuple(factors),
        rows=rows_of([row[:k] for row in matrix]),
        notes=("main effects are partly aliased with every two-factor interaction of two other factors",),
    )
    return randomize(design, seed)


def generalized_wordlength_pattern(levels: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """(B0, B1, ..., Bk) of a two-level design: B_s is the sum over s factors of (J_s / N)^2.

    J_s is the sum over runs of the product of s columns. By pairwise distances of the rows, so k may be
    large (Xu and Wu 2001, Ann. Statist. 29). Raises DesignError for levels other than -1 and +1.
    """
    num_runs, k = len(levels), len(levels[0])
    if any(abs(x) != 1 for row in levels for x in row):
        raise DesignError("a word-length pattern is for levels -1 and +1")
    distances = [0] * (k + 1)
    for one in levels:
        for other in levels:
            distances[sum(a != b for a, b in zip(one, other, strict=True))] += 1
    return tuple(
        sum(count * krawtchouk(s, d, k) for d, count in enumerate(distances)) / num_runs**2 for s in range(k + 1)
    )


def e_s2(levels: Sequence[Sequence[float]]) -> float:
    """E(s^2), the mean squared product of two different columns, by which supersaturated designs are judged.

    0 for an orthogonal design (Booth and Cox 1962, Technometrics 4).
    """
    k = len(levels[0])
    if k < 2:
        raise DesignError("E(s^2) needs two or more factors", value=k)
    products = [sum(row[i] * row[j] for row in levels) ** 2 for i in range(k) for j in range(i)]
    return sum(products) / len(products)


def _fewest_runs(k: int) -> int:
    for runs in PLACKETT_BURMAN_RUNS:
        if runs > k:
            return runs
    raise DesignError("no Plackett-Burman design is that large", value=k, fix=f"{_available()} are available.")


def _refuse_order(k: int, runs: int) -> None:
    if runs < 8 or runs % 4:
        raise DesignError(
            "a Plackett-Burman design has a multiple of 4 of runs", value=runs, fix=f"{_available()} are available."
        )
    if runs & (runs - 1) == 0:
        raise DesignError(
            f"with {runs} runs a Plackett-Burman design is a regular fraction",
            value=runs,
            fix=f"Ask for a fraction in {runs} runs, which has a defining relation.",
        )
    if runs < k + 1:
        raise DesignError(f"{runs} runs carry at most {runs - 1} factors", value=k)
    if runs not in PLACKETT_BURMAN_RUNS:
        raise DesignError(
            f"no construction of a Plackett-Burman design in {runs} runs is stored",
            value=runs,
            fix=f"{_available()} are available.",
        )


def _available() -> str:
    return ", ".join(str(runs) for runs in PLACKETT_BURMAN_RUNS)


def _matrix(runs: int) -> list[list[float]]:
    """runs x (runs - 1) with orthogonal columns and a last row of -1."""
    if runs in _FIRST_ROWS:
        first = [1.0 if c == "+" else -1.0 for c in _FIRST_ROWS[runs]]
        n = len(first)
        return [*([first[(j - i) % n] for j in range(n)] for i in range(n)), [-1.0] * n]
    return _normalised(_hadamard(runs))


def _hadamard(order: int) -> list[list[int]]:
    if order in _DOUBLED:
        half = _hadamard(order // 2)
        return [[*row, *row] for row in half] + [[*row, *(-x for x in row)] for row in half]
    if order in _PALEY_II:
        core = conference_core(_PALEY_II[order])
        # Each 0 becomes [[1, -1], [-1, -1]], each +-1 becomes +-[[1, 1], [1, -1]].
        zero, one = ((1, -1), (-1, -1)), ((1, 1), (1, -1))
        return [[(one[a][b] * x if x else zero[a][b]) for x in row for b in range(2)] for row in core for a in range(2)]
    q = _PALEY_I.get(order, order - 1)
    core = conference_core(q)
    return [[x + (i == j) for j, x in enumerate(row)] for i, row in enumerate(core)]


def conference_core(q: int) -> list[list[int]]:
    """Paley's conference matrix of order q + 1 for an odd prime q: symmetric for q = 1 mod 4, else skew."""
    squares = {x * x % q for x in range(1, q)}
    sign = 1 if q % 4 == 1 else -1

    def chi(x: int) -> int:
        return 0 if x % q == 0 else 1 if x % q in squares else -1

    rows = [[0] + [1] * q]
    rows += [[sign] + [chi(i - j) for j in range(q)] for i in range(q)]
    return rows


def _normalised(hadamard: Sequence[Sequence[int]]) -> list[list[float]]:
    """Without the constant column; signs such that the first row is -1 throughout, and then put last."""
    rows = [[x * row[0] for x in row] for row in hadamard]
    rows = [[-x * first for x, first in zip(row[1:], rows[0][1:], strict=True)] for row in rows]
    return [[float(x) for x in row] for row in [*rows[1:], rows[0]]]
