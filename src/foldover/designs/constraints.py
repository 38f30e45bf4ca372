"""Constraints between factors, written as text, so that a design can say what it was made under.

A letter stands for coded levels, the name of a lever for natural ones. Two forms:

    A=+1 & B=+1                         this combination is forbidden
    model.depth=8 & optimizer.name=sgd  the same, in natural levels
    A + 2*B - C <= 1                    a linear bound on coded levels (also >=)
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from foldover.core import Design, DesignError, Factor

_PART = re.compile(r"\s*([A-Za-z][\w.]*)\s*==?\s*(\S+)\s*")
_BOUND = re.compile(r"(.+?)(<=|>=)\s*([+-]?[0-9.]+(?:e[+-]?[0-9]+)?)\s*")
_TERM = re.compile(r"\s*([+-]?)\s*(?:([0-9.]+)\s*\*?\s*)?([A-Za-z])\s*")
_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """A forbidden combination (`combination`: name and level as written) or a linear bound.

    bound: (letter, coefficient) pairs whose sum over coded levels must not exceed `at_most`.
    """

    text: str
    combination: tuple[tuple[str, str], ...] = ()
    bound: tuple[tuple[str, float], ...] = ()
    at_most: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """Raises DesignError for what is neither form."""
        if (bound := _BOUND.fullmatch(text.strip())) is not None:
            sign = 1.0 if bound.group(2) == "<=" else -1.0
            terms = tuple((letter, sign * x) for letter, x in _linear(bound.group(1), text))
            return cls(text=text, bound=terms, at_most=sign * float(bound.group(3)))
        parts = [_PART.fullmatch(part) for part in re.split(r"&|\band\b", text)]
        pairs = tuple((m.group(1), m.group(2)) for m in parts if m is not None)
        if len(pairs) != len(parts):
            raise _unreadable(text)
        return cls(text=text, combination=pairs)

    def allows(self, levels: Sequence[float], factors: Sequence[Factor]) -> bool:
        """Whether a row of coded levels is permitted. Raises DesignError for unknown names and levels."""
        if self.bound:
            place = {factor.letter: i for i, factor in enumerate(factors)}
            for letter, _ in self.bound:
                if letter not in place:
                    raise self._unknown(letter, factors)
            return sum(c * levels[place[letter]] for letter, c in self.bound) <= self.at_most + _TOLERANCE
        return not all(self._holds(name, level, levels, factors) for name, level in self.combination)

    def _holds(self, name: str, level: str, levels: Sequence[float], factors: Sequence[Factor]) -> bool:
        for coded, factor in zip(levels, factors, strict=True):
            if name == factor.letter:
                return abs(coded - _coded_level(factor, level, self.text)) < _TOLERANCE
            if name == factor.lever:
                return abs(coded - _natural_level(factor, level, self.text)) < _TOLERANCE
        raise self._unknown(name, factors)

    def _unknown(self, name: str, factors: Sequence[Factor]) -> DesignError:
        known = ", ".join(f"{f.letter} (`{f.lever}`)" for f in factors)
        return DesignError(f"constraint {self.text!r}: there is no factor {name}", fix=f"There are {known}.")


def read_constraints(texts: Sequence[str]) -> tuple[Constraint, ...]:
    """Each text as a constraint. Raises DesignError."""
    return tuple(Constraint.parse(text) for text in texts)


def is_allowed(levels: Sequence[float], factors: Sequence[Factor], constraints: Sequence[Constraint]) -> bool:
    """Whether a row of coded levels meets every constraint."""
    return all(constraint.allows(levels, factors) for constraint in constraints)


def refuse_forbidden_rows(design: Design, constraints: Sequence[Constraint]) -> None:
    """Raise DesignError that names the rows of a design which a constraint forbids."""
    for constraint in constraints:
        bad = [row.label for row in design.rows if not constraint.allows(row.levels, design.factors)]
        if bad:
            raise DesignError(
                f"{constraint.text!r} is forbidden, but the design has it in {_rows(bad)}",
                value=tuple(bad),
                fix='Design around it (`on_forbidden="around"`), or ask for an optimal design under the constraint.',
            )


def allowed_signs(
    factors: Sequence[Factor],
    generators: tuple[str, ...],
    constraints: Sequence[Constraint],
    rows: Callable[[tuple[str, ...]], Sequence[Sequence[float]]],
) -> tuple[str, ...]:
    """The generators with signs under which no row is forbidden: all 2^p fractions have the same aliases.

    Tries the given signs first. Raises DesignError if each of the fractions has a forbidden row.
    """
    for flips in itertools.product((False, True), repeat=len(generators)):
        signed = tuple(_flip(g) if flip else g for g, flip in zip(generators, flips, strict=True))
        if all(is_allowed(levels, factors, constraints) for levels in rows(signed)):
            return signed
    forbidden = "; ".join(constraint.text for constraint in constraints)
    raise DesignError(
        f"each of the {2 ** len(generators)} fractions has a row that is forbidden by {forbidden!r}",
        value=generators,
        fix="Ask for an optimal design under the constraints.",
    )


def _flip(generator: str) -> str:
    left, _, right = generator.rpartition("=")
    right = right.strip()
    flipped = right[1:] if right.startswith("-") else "-" + right.lstrip("+")
    return f"{left}={flipped}" if left else flipped


def _linear(text: str, whole: str) -> list[tuple[str, float]]:
    terms, position = [], 0
    while position < len(text):
        match = _TERM.match(text, position)
        if match is None:
            raise _unreadable(whole)
        number = float(match.group(2) or 1.0)
        terms.append((match.group(3), -number if match.group(1) == "-" else number))
        position = match.end()
    return terms


def _coded_level(factor: Factor, level: str, text: str) -> float:
    signs = {"+": 1.0, "-": -1.0}
    try:
        return signs[level] if level in signs else float(level)
    except ValueError:
        return _natural_level(factor, level, text)


def _natural_level(factor: Factor, level: str, text: str) -> float:
    for known in factor.levels or (factor.low, factor.high):
        if str(known).lower() == level.strip("'\"").lower():
            return factor.encode(known)
    try:
        number = float(level)
    except ValueError:
        raise DesignError(f"constraint {text!r}: factor {factor.letter} has no such level", value=level) from None
    return factor.encode(number)


def _unreadable(text: str) -> DesignError:
    return DesignError(
        "a constraint is not readable", value=text, fix='Write e.g. "A=+1 & B=-1" (forbidden) or "A + B <= 1".'
    )


def _rows(labels: Sequence[str]) -> str:
    shown = ", ".join(labels[:6])
    return f"row {shown}" if len(labels) == 1 else f"rows {shown}{', ...' if len(labels) > 6 else ''}"
