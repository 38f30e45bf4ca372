"""Model terms in words: `A`, `AB`, `A^2`; their columns, and the models that `main` and `main+2fi` stand for.

A term is a tuple of factor names, sorted by the factors' order; a repeated name is a power. Factors named by
one letter are written together (`AB`), longer names with colons (`depth:lr`). There is no formula engine
here on purpose: names such as C, Q and I mean something to those.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from foldover.core import AnalysisError

Array = npt.NDArray[np.float64]
Term = tuple[str, ...]


def parse_term(text: str, letters: Sequence[str]) -> Term:
    """The term written as `AB`, `A:B`, `A*B`, `B:A` or `A^2`. Raises AnalysisError for unknown factors."""
    order = {letter: i for i, letter in enumerate(letters)}
    factors: list[str] = []
    for part in re.split(r"[:*]", text.replace(" ", "")):
        name, _, power = part.partition("^")
        if name in order:
            members = [name]
        elif name and all(character in order for character in name):
            members = list(name)
        else:
            raise AnalysisError(
                f"term `{text}` names no factor of this table", value=part, fix=f"Factors are {', '.join(letters)}."
            )
        if power and not power.isdigit():
            raise AnalysisError(f"term `{text}` has a power that is not a whole number", value=power)
        factors += members * (int(power) if power else 1)
    return tuple(sorted(factors, key=order.__getitem__))


def term_text(term: Term) -> str:
    """The canonical spelling of a term: `AB`, `A^2`, `depth:lr`."""
    parts = []
    for name in dict.fromkeys(term):
        count = term.count(name)
        parts.append(name if count == 1 else f"{name}^{count}")
    return ("" if all(len(name) == 1 for name in term) else ":").join(parts)


def resolve_terms(terms: Sequence[str] | str, letters: Sequence[str]) -> tuple[Term, ...]:
    """The terms of `main`, `main+2fi`, `quadratic` or of an explicit list.

    Raises AnalysisError for an unknown name, an empty model, or a term that is listed twice.
    """
    if isinstance(terms, str):
        if terms not in ("main", "main+2fi", "quadratic"):
            raise AnalysisError(
                "unknown model", value=terms, fix="Use main, main+2fi, quadratic or a list of terms such as A, B, AB."
            )
        return _named_model(terms, letters)
    if not terms:
        raise AnalysisError("the model has no terms", fix="Name at least one factor.")
    parsed = [parse_term(text, letters) for text in terms]
    twice = sorted({term_text(term) for term in parsed if parsed.count(term) > 1})
    if twice:
        raise AnalysisError("the model lists a term twice", value=twice, fix="A family is tested once: name it once.")
    return tuple(parsed)


def _named_model(name: str, letters: Sequence[str]) -> tuple[Term, ...]:
    main: tuple[Term, ...] = tuple((letter,) for letter in letters)
    if name == "main":
        return main
    two = main + tuple(combinations(letters, 2))
    return two if name == "main+2fi" else two + tuple((letter, letter) for letter in letters)


def term_columns(terms: Sequence[Term], levels: Array, letters: Sequence[str]) -> Array:
    """The model columns (rows x terms): products of coded levels (rows x factors)."""
    index: Mapping[str, int] = {letter: i for i, letter in enumerate(letters)}
    columns = [np.prod(levels[:, [index[name] for name in term]], axis=1) for term in terms]
    return np.stack(columns, axis=1) if columns else np.empty((levels.shape[0], 0))
