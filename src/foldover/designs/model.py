"""Terms of a linear model on coded factors and the columns they make.

Terms are written `A`, `AB` (or `A:B`), `A^2`. A factor with q > 2 unordered levels makes q - 1 columns with
sum-to-zero contrasts, named `C[level]`. The mean is always in the model, as column `1`.
Legend: X (N, p) model matrix; N runs, p columns.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foldover.core import DesignError, Factor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

MEAN = "1"
MODELS = ("main", "main+2fi", "quadratic")

_PIECE = re.compile(r"([A-Za-z])(?:\^([0-9]+))?(?:[:*](?=[A-Za-z]))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a model matrix: a product over factors.

    parts: (factor index, power, contrast); contrast is None for x ** power, or the number of a
    sum-to-zero contrast.
    """

    name: str
    term: str
    parts: tuple[tuple[int, int, int | None], ...] = ()


def expand_model(model: str | Sequence[str], factors: Sequence[Factor]) -> tuple[str, ...]:
    """The terms of a model without the mean, each once, in the form `A`, `AB`, `A^2`.

    model: `main`, `main+2fi`, `quadratic` (squares of choices are left out) or terms, of which a text may
    hold several: `A + B + A:B`. Raises DesignError for unknown letters and squares of a choice.
    """
    letters = [factor.letter for factor in factors]
    if isinstance(model, str) and model in MODELS:
        terms = list(letters)
        if model != "main":
            terms += ["".join(pair) for pair in itertools.combinations(letters, 2)]
        if model == "quadratic":
            terms += [f"{f.letter}^2" for f in factors if f.kind != "choice"]
        return tuple(terms)
    texts = re.split(r"[+,]", model) if isinstance(model, str) else model
    return tuple(dict.fromkeys(canonical_term(text, factors) for text in texts if text.strip() != MEAN))


def canonical_term(text: str, factors: Sequence[Factor]) -> str:
    """`B:A` as `AB`, `AA` as `A^2`. Raises DesignError."""
    powers = _powers(text, factors)
    return "".join(f.letter + (f"^{powers[i]}" if powers[i] > 1 else "") for i, f in enumerate(factors) if i in powers)


def model_columns(factors: Sequence[Factor], terms: Sequence[str]) -> tuple[Column, ...]:
    """The mean and the columns of each term."""
    columns = [Column(name=MEAN, term=MEAN)]
    for term in terms:
        powers = _powers(term, factors)
        choices: list[list[tuple[int, int, int | None]]] = []
        for i, power in powers.items():
            factor = factors[i]
            if factor.kind == "choice" and factor.num_levels > 2:
                choices.append([(i, 1, j) for j in range(factor.num_levels - 1)])
            else:
                choices.append([(i, power, None)])
        for parts in itertools.product(*choices):
            columns.append(Column(name=_name(parts, factors), term=term, parts=tuple(parts)))
    return tuple(columns)


def model_matrix(factors: Sequence[Factor], levels: Sequence[Sequence[float]], columns: Sequence[Column]) -> Matrix:
    """X (N, p) of coded rows (N, k)."""
    import numpy as np  # late: making a design does not need it

    coded = np.asarray(levels, dtype=float).reshape(len(levels), len(factors))
    X = np.ones((len(coded), len(columns)))
    for j, column in enumerate(columns):
        for i, power, contrast in column.parts:
            X[:, j] *= coded[:, i] ** power if contrast is None else _contrast(factors[i], coded[:, i], contrast)
    return X


def moment_matrix(factors: Sequence[Factor], columns: Sequence[Column]) -> Matrix:
    """M (p, p), the mean of f(x) f(x)' over the region: the cube [-1, 1]^k, each level of a choice equally often."""
    import numpy as np  # late, as above

    p = len(columns)
    M = np.ones((p, p))
    for a in range(p):
        for b in range(a, p):
            parts: dict[int, list[tuple[int, int | None]]] = {}
            for i, power, contrast in (*columns[a].parts, *columns[b].parts):
                parts.setdefault(i, []).append((power, contrast))
            for i, pieces in parts.items():
                M[a, b] *= _mean_over_region(factors[i], pieces)
            M[b, a] = M[a, b]
    return M


def _mean_over_region(factor: Factor, pieces: Sequence[tuple[int, int | None]]) -> float:
    if factor.kind != "choice":
        power = sum(power for power, _ in pieces)
        return 0.0 if power % 2 else 1.0 / (power + 1)
    import numpy as np  # late, as above

    levels = np.asarray(factor.coded_levels())
    product = np.ones(len(levels))
    for power, contrast in pieces:
        product *= levels**power if contrast is None else _contrast(factor, levels, contrast)
    return float(product.mean())


def _contrast(factor: Factor, coded: Matrix, number: int) -> Matrix:
    """Sum-to-zero: +1 at level `number`, -1 at the last, 0 elsewhere."""
    import numpy as np  # late, as above

    levels = factor.coded_levels()
    here = np.isclose(coded, levels[number]).astype(float)
    last = np.isclose(coded, levels[-1]).astype(float)
    return np.asarray(here - last, dtype=float)


def _powers(text: str, factors: Sequence[Factor]) -> dict[int, int]:
    place = {factor.letter: i for i, factor in enumerate(factors)}
    powers: dict[int, int] = {}
    body, position = text.replace(" ", ""), 0
    while position < len(body):
        match = _PIECE.match(body, position)
        if match is None or match.group(1) not in place:
            known = ", ".join(place)
            raise DesignError(f"a term is not readable with the factors {known}", value=text, fix="Write A, AB or A^2.")
        i = place[match.group(1)]
        powers[i] = powers.get(i, 0) + int(match.group(2) or 1)
        if powers[i] > 1 and factors[i].kind == "choice":
            raise DesignError(f"term {text}: factor {match.group(1)} is a choice and has no square", value=text)
        position = match.end()
    if not powers:
        raise DesignError("a term is empty", value=text, fix="Write A, AB or A^2.")
    return dict(sorted(powers.items()))


def _name(parts: Sequence[tuple[int, int, int | None]], factors: Sequence[Factor]) -> str:
    text = ""
    for i, power, contrast in parts:
        factor = factors[i]
        text += factor.letter
        if contrast is not None:
            text += f"[{factor.levels[contrast]}]"
        elif power > 1:
            text += f"^{power}"
    return text
