"""Designs for a second-order surface: central composite and Box-Behnken.

Box and Wilson 1951 (J. R. Stat. Soc. B 13); Box and Behnken 1960 (Technometrics 2); axial distances as in
Myers, Montgomery and Anderson-Cook, Response Surface Methodology, ch. 8.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal, get_args

from foldover.core import Design, DesignError, Factor, Row, Values
from foldover.designs.factorial import fractional_factorial, full_factorial, rows_of
from foldover.designs.order import randomize

Alpha = Literal["rotatable", "spherical", "orthogonal", "orthogonal_blocks"]
Shape = Literal["circumscribed", "faced", "inscribed"]

# From here on the factorial part is the smallest fraction of resolution V.
_FRACTION_FROM = 5

# Sets of factors that are varied together while the others stay at the centre.
_BOX_BEHNKEN: dict[int, tuple[tuple[int, ...], ...]] = {
    3: ((0, 1), (0, 2), (1, 2)),
    4: ((0, 1), (2, 3), (0, 3), (1, 2), (0, 2), (1, 3)),
    5: tuple(itertools.combinations(range(5), 2)),
    6: ((0, 1, 3), (1, 2, 4), (2, 3, 5), (0, 3, 4), (1, 4, 5), (0, 2, 5)),
    7: ((3, 4, 5), (0, 5, 6), (1, 4, 6), (0, 1, 3), (2, 3, 6), (0, 2, 4), (1, 2, 5)),
}


def central_composite(
    factors: Sequence[Factor],
    *,
    shape: Shape = "circumscribed",
    alpha: Alpha | float = "rotatable",
    centers: tuple[int, int] = (4, 2),
    factorial_runs: int | None = None,
    blocks: bool = False,
    name: str = "central_composite",
    seed: int | None = None,
) -> Design:
    """2^k or a fraction of resolution V, 2k axial runs at +-alpha, and centre runs.

    shape: `faced` has alpha 1; `inscribed` shrinks all so that the axial runs are at -1 and +1. alpha: see
    `axial_distance`, or a number. centers: of the factorial and of the axial part. factorial_runs: None
    for the full factorial below 5 factors and the smallest fraction of resolution V from there. blocks:
    the two parts are blocks. Labels: c01.. factorial, a01.. axial, z01.. centre.
    Raises DesignError for choices, fewer than 2 factors, a factorial part below resolution V, and levels
    that a factor cannot realise apart.
    """
    k = len(factors)
    if k < 2:
        raise DesignError("a central composite design needs two or more factors", value=k)
    if shape not in get_args(Shape):
        raise DesignError("unknown shape", value=shape, fix="Use circumscribed, faced or inscribed.")
    if min(centers) < 0 or sum(centers) < 1:
        raise DesignError("a central composite design needs centre runs", value=centers)
    refuse_choices(factors, "a central composite design")
    factorial = _factorial_part(factors, factorial_runs)
    corners = [row.levels for row in factorial.rows]
    distance = 1.0 if shape == "faced" else _distance(alpha, k, len(corners), centers)
    shrink = 1 / distance if shape == "inscribed" else 1.0
    corner = shrink if shape == "inscribed" else 1.0
    reach = 1.0 if shape == "inscribed" else distance
    refuse_collapsed_levels(factors, sorted({-reach, -corner, 0.0, corner, reach}))
    names = ("factorial", "axial") if blocks else ("", "")
    zero = (0.0,) * k
    parts = (
        ("c", "factorial", names[0], [tuple(corner * x for x in row) for row in corners]),
        ("z", "center", names[0], [zero] * centers[0]),
        ("a", "axial", names[1], axial_levels(k, reach)),
        ("z", "center", names[1], [zero] * centers[1]),
    )
    design = Design(
        name=name,
        kind="central_composite",
        factors=tuple(factors),
        rows=_labelled(parts),
        generators=factorial.generators,
        words=factorial.words,
        request=Values(shape=shape, alpha=distance, factorial_runs=len(corners)),
        notes=pseudo_center_notes(factors),
    )
    return randomize(design, seed)


def box_behnken(
    factors: Sequence[Factor], *, centers: int = 3, name: str = "box_behnken", seed: int | None = None
) -> Design:
    """Three levels without corners: the published plans for 3 to 7 factors (12, 24, 40, 48, 56 runs) and centres.

    Raises DesignError for other numbers of factors, choices, no centre runs, and a factor whose centre is
    not apart from its ends.
    """
    k = len(factors)
    if k not in _BOX_BEHNKEN:
        raise DesignError(
            "Box-Behnken designs are stored for 3 to 7 factors", value=k, fix="Ask for a central composite design."
        )
    if centers < 1:
        raise DesignError("a Box-Behnken design needs centre runs to be estimable", value=centers)
    refuse_choices(factors, "a Box-Behnken design")
    refuse_collapsed_levels(factors, (-1.0, 0.0, 1.0))
    edges = []
    for group in _BOX_BEHNKEN[k]:
        for signs in itertools.product((-1.0, 1.0), repeat=len(group)):
            given = dict(zip(group, signs, strict=True))
            edges.append(tuple(given.get(i, 0.0) for i in range(k)))
    parts = (("c", "edge", "", edges), ("z", "center", "", [(0.0,) * k] * centers))
    design = Design(
        name=name,
        kind="box_behnken",
        factors=tuple(factors),
        rows=_labelled(parts),
        request=Values(centers=centers),
        notes=pseudo_center_notes(factors),
    )
    return randomize(design, seed)


def axial_distance(kind: Alpha, num_factors: int, factorial_runs: int, centers: tuple[int, int] = (0, 0)) -> float:
    """alpha for F factorial runs, k factors and centre runs of the factorial and the axial part.

    rotatable: F^(1/4), equal precision at equal distance; spherical: sqrt(k); orthogonal:
    sqrt((sqrt(F N) - F) / 2), squares uncorrelated; orthogonal_blocks: sqrt(F (2k + n_a) / (2 (F + n_f))), the
    two parts orthogonal to the second-order model (Box and Hunter 1957, Ann. Math. Stat. 28).

    >>> round(axial_distance("orthogonal_blocks", 3, 8, (4, 2)), 3)
    1.633
    """
    F, k, (n_f, n_a) = factorial_runs, num_factors, centers
    if kind == "rotatable":
        return float(F**0.25)
    if kind == "spherical":
        return math.sqrt(k)
    if kind == "orthogonal":
        N = F + 2 * k + n_f + n_a
        return math.sqrt((math.sqrt(F * N) - F) / 2)
    if kind == "orthogonal_blocks":
        return math.sqrt(F * (2 * k + n_a) / (2 * (F + n_f)))
    raise DesignError("unknown kind of axial distance", value=kind, fix=f"Use {', '.join(get_args(Alpha))}.")


def axial_levels(num_factors: int, alpha: float) -> list[tuple[float, ...]]:
    """The 2k points with one factor at -alpha or +alpha and the others at the centre."""
    return [
        tuple(sign * alpha if j == i else 0.0 for j in range(num_factors))
        for i in range(num_factors)
        for sign in (-1.0, 1.0)
    ]


def refuse_unfit_axial(factors: Sequence[Factor], alpha: float) -> None:
    """Raise DesignError for choices, alpha <= 0, and levels that a factor cannot realise apart."""
    if not alpha > 0:
        raise DesignError("an axial distance must be positive", value=alpha)
    refuse_choices(factors, "an axial point")
    refuse_collapsed_levels(factors, sorted({-alpha, -1.0, 0.0, 1.0, alpha}))


def refuse_choices(factors: Sequence[Factor], what: str) -> None:
    """Raise DesignError if a factor is a choice, which has no level between its levels."""
    for factor in factors:
        if factor.kind == "choice":
            raise DesignError(
                f"{what} needs levels between low and high, and factor {factor.letter} (`{factor.lever}`) is a choice",
                fix="Fix it at one level, or ask for an optimal design.",
            )


def refuse_collapsed_levels(factors: Sequence[Factor], planned: Sequence[float]) -> None:
    """Raise DesignError if two planned coded levels are one natural level, or one falls to zero or below.

    planned: ascending. A quantity whose low level is positive is taken to have no meaning from zero down.
    """
    for factor in factors:
        natural = [factor.decode(x) for x in planned]
        for (x, a), (y, b) in itertools.pairwise(zip(planned, natural, strict=True)):
            if a == b:
                name = f"factor {factor.letter} (`{factor.lever}`)"
                raise DesignError(
                    f"{name}: coded {x:+.3g} and {y:+.3g} are both realised as {a!r}",
                    value=(factor.low, factor.high),
                    fix="Widen its levels, choose another axial distance, or leave it at two levels.",
                )
        low, first = factor.low, natural[0]
        if isinstance(low, int | float) and isinstance(first, int | float) and low > 0 >= first:
            raise DesignError(
                f"factor {factor.letter} (`{factor.lever}`): coded {planned[0]:+.3g} is {first:g}, not positive",
                value=first,
                fix="Use `shape='faced'` or `'inscribed'`, a log scale, or a higher low level.",
            )


def pseudo_center_notes(factors: Sequence[Factor]) -> tuple[str, ...]:
    """One sentence for each numeric factor whose centre is not realised at coded 0."""
    notes = []
    for factor in factors:
        if factor.kind == "choice":
            continue
        realised = factor.realised(0.0)
        if realised != 0:
            where = f"{factor.decode(0.0)!r} there, coded {realised:+.3g}"
            notes.append(f"pseudo-centre: `{factor.lever}` ({factor.letter}) is {where}")
    return tuple(notes)


def _factorial_part(factors: Sequence[Factor], runs: int | None) -> Design:
    two_level = [f if not f.levels else _ends(f) for f in factors]
    if runs is None and len(factors) < _FRACTION_FROM:
        return full_factorial(two_level)
    if runs == 2 ** len(factors):
        return full_factorial(two_level)
    # A resolution III star (2^(3-1)) would alias interactions with main effects, so V is the least.
    return fractional_factorial(two_level, runs=runs, resolution=5)


def _ends(factor: Factor) -> Factor:
    return Factor(letter=factor.letter, lever=factor.lever, low=factor.low, high=factor.high, scale=factor.scale)


def _distance(alpha: Alpha | float, k: int, factorial_runs: int, centers: tuple[int, int]) -> float:
    if isinstance(alpha, str):
        return axial_distance(alpha, k, factorial_runs, centers)
    if not alpha > 0:
        raise DesignError("an axial distance must be positive", value=alpha)
    return float(alpha)


def _labelled(parts: Sequence[tuple[str, str, str, Sequence[tuple[float, ...]]]]) -> tuple[Row, ...]:
    """Rows of (prefix, kind, block, levels), numbered on within a prefix."""
    rows: list[Row] = []
    used: dict[str, int] = {}
    for prefix, kind, block, levels in parts:
        start = used.get(prefix, 0)
        numbered = rows_of([*[()] * start, *levels], prefix=prefix)[start:]
        used[prefix] = start + len(levels)
        for row in numbered:
            rows.append(Row(label=row.label, levels=row.levels, order=len(rows), kind=_KINDS[kind], block=block))
    return tuple(rows)


_KINDS: dict[str, Literal["factorial", "center", "axial", "edge"]] = {
    "factorial": "factorial",
    "center": "center",
    "axial": "axial",
    "edge": "edge",
}
