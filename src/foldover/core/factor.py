"""A lever held at two or more levels under a letter; coding and decoding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from foldover.core.errors import DesignError
from foldover.core.lever import Scale
from foldover.core.values import Scalar, Values

FactorKind = Literal["float", "int", "choice"]

# Natural levels between the ends are given to this many significant digits: 0.04 stays 0.04 on a log scale.
_DIGITS = 12
_CODED_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """A lever between a low (-1) and a high (+1) level.

    center: the level at coded 0 where the exact middle is not on the lattice or not wanted (None: the
    middle; for `log` and `pow2` scales the geometric one). kind `choice` has no centre.
    levels: every permitted level, from low to high, where there are more than two. Those of a choice are
    coded at equal distances from -1 to +1; those of a number are a lattice that coded levels are moved to.
    multiple_of: whole-number levels are rounded to it. may_round: False refuses coded levels that are
    between the points of a lattice instead of moving them.
    Raises DesignError for levels that coincide, are in the wrong order, off the scale or off the lattice.
    """

    letter: str
    lever: str
    low: Scalar
    high: Scalar
    center: Scalar = None
    kind: FactorKind = "float"
    scale: Scale = "linear"
    multiple_of: int = 1
    levels: tuple[Scalar, ...] = ()
    may_round: bool = True

    def __post_init__(self) -> None:
        if len(self.letter) != 1 or not self.letter.isalpha() or self.letter == "I":
            raise DesignError("a factor needs one letter, not I (the identity)", value=self.letter)
        if self.low == self.high:
            raise DesignError(f"{self._name}: low and high are the same", value=self.low)
        self._check_levels()
        if self.kind == "choice":
            if self.center is not None:
                raise DesignError(f"{self._name}: a choice has no centre", value=self.center)
            return
        for level in (self.low, self.high, *self.levels, *([] if self.center is None else [self.center])):
            self._check_number(level)
        positions = [self._position(level) for level in self.levels or (self.low, self.high)]
        if positions != sorted(positions):
            raise DesignError(f"{self._name}: low is above high", value=self.levels or (self.low, self.high))

    @property
    def num_levels(self) -> int:
        """How many levels a screen gives it: the listed ones, or low and high."""
        return len(self.levels) or 2

    def coded_levels(self) -> tuple[float, ...]:
        """The coded values of the listed levels (of low and high where none are listed), ascending."""
        return tuple(self.encode(level) for level in self.levels or (self.low, self.high))

    def decode(self, coded: float) -> Scalar:
        """The natural level at a coded one: -1 is low, +1 is high, 0 the centre.

        Between and beyond these the scale is followed and the value given to 12 digits; values of a lattice
        (whole numbers, powers of two, listed levels) are moved to its nearest point, so `realised` may
        differ from `coded`. Raises DesignError for a choice at a level that it does not have, and for a
        point off the lattice if the factor may not round.
        """
        if coded == -1:
            return self.low
        if coded == 1:
            return self.high
        if self.kind == "choice":
            return self._choice_at(coded)
        if coded == 0 and self.center is not None:
            return self.center
        low, high = self._position(self.low), self._position(self.high)
        position = (low + high) / 2 + coded * (high - low) / 2
        exact = position if self.scale == "linear" else math.exp(position)
        natural = self._on_lattice(exact, position)
        if not self.may_round and _tidy(natural) != _tidy(exact):
            raise DesignError(
                f"{self._name}: coded {coded:g} is {exact:g}, which is not on its lattice",
                value=exact,
                fix=f"The nearest possible level is {natural!r}: name it as `center`, or let the factor round.",
            )
        return natural

    def encode(self, value: Scalar) -> float:
        """The coded level of a natural one. Raises DesignError for a choice that is no level of it."""
        if value == self.low:
            return -1.0
        if value == self.high:
            return 1.0
        if self.kind == "choice" and value in self.levels:
            return -1.0 + 2.0 * self.levels.index(value) / (len(self.levels) - 1)
        if self.kind == "choice" or isinstance(value, str | bool | None):
            known = ", ".join(repr(level) for level in self.levels or (self.low, self.high))
            raise DesignError(f"{self._name}: not one of its levels", value=value, fix=f"There are {known}.")
        if self.scale != "linear" and value <= 0:
            raise DesignError(f"{self._name}: a level on a {self.scale} scale must be positive", value=value)
        low, high = self._position(self.low), self._position(self.high)
        return 2 * (self._position(value) - (low + high) / 2) / (high - low)

    def realised(self, coded: float) -> float:
        """The coded level of what `coded` decodes to: it differs where a lattice moved the value."""
        natural = self.encode(self.decode(coded))
        return float(coded) if abs(natural - coded) < _CODED_TOLERANCE else natural

    @property
    def _name(self) -> str:
        return f"factor {self.letter} (`{self.lever}`)"

    def _check_levels(self) -> None:
        if not self.levels:
            return
        if len(set(self.levels)) != len(self.levels):
            raise DesignError(f"{self._name}: a level is listed twice", value=self.levels)
        if self.levels[0] != self.low or self.levels[-1] != self.high:
            raise DesignError(
                f"{self._name}: the listed levels must begin with low and end with high",
                value=self.levels,
                fix=f"low is {self.low!r}, high is {self.high!r}.",
            )

    def _check_number(self, level: Scalar) -> None:
        if isinstance(level, bool) or not isinstance(level, int | float) or not math.isfinite(level):
            raise DesignError(f"{self._name}: a level is not a number", value=level)
        if self.scale != "linear" and level <= 0:
            raise DesignError(f"{self._name}: a level on a {self.scale} scale must be positive", value=level)
        if self.kind == "int" and level != int(level):
            raise DesignError(f"{self._name}: a level is not a whole number", value=level)
        if self.kind == "int" and int(level) % self.multiple_of:
            raise DesignError(f"{self._name}: a level is not a multiple of {self.multiple_of}", value=level)

    def _choice_at(self, coded: float) -> Scalar:
        for level in self.levels:
            if abs(self.encode(level) - coded) < _CODED_TOLERANCE:
                return level
        known = ", ".join(f"{x:g}" for x in self.coded_levels())
        raise DesignError(f"factor {self.letter}: a choice has only the coded levels {known}", value=coded)

    def _on_lattice(self, value: float, position: float) -> int | float:
        if self.levels:
            numbers = [cast(float, level) for level in self.levels]
            return min(numbers, key=lambda level: abs(self._position(level) - position))
        if self.scale == "pow2":
            exponent = round(math.log2(value))
            return 1 << max(0, exponent) if self.kind == "int" else 2.0**exponent
        if self.kind == "float":
            return _tidy(value)
        nearest = round(value / self.multiple_of) * self.multiple_of
        # On a log scale zero has no place: the lattice begins with its first step.
        return max(nearest, self.multiple_of) if self.scale == "log" else nearest

    def _position(self, value: Scalar) -> float:
        number = float(cast(float, value))
        return number if self.scale == "linear" else math.log(number)


def natural_levels(factors: Sequence[Factor], levels: Sequence[float]) -> Values:
    """Lever values at coded levels. Of several factors of one lever, the one that is not at their common low level."""
    found: dict[str, Scalar] = {}
    for factor, level in zip(factors, levels, strict=True):
        if level != -1 or factor.lever not in found:
            found[factor.lever] = factor.decode(level)
    return Values(found)


def _tidy(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
