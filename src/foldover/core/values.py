"""An immutable, hashable, ordered mapping of names to plain values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

Scalar = bool | int | float | str | None


class Values(Mapping[str, Scalar]):
    """Names to plain values, sorted by name; compares, hashes and round-trips through JSON.

    Raises ValueError for a number that is not finite: a failure is a status, never a number.
    """

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, Scalar] | None = None, /, **more: Scalar) -> None:
        merged = {**(items or {}), **more}
        for name, value in merged.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"{name} is not a finite number ({value!r})")
        self._items: dict[str, Scalar] = dict(sorted(merged.items()))

    def __getitem__(self, name: str) -> Scalar:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(tuple(self._items.items()))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Values):
            return self._items == other._items
        return NotImplemented

    def __repr__(self) -> str:
        return f"Values({self._items!r})"

    def __reduce__(self) -> tuple[type[Values], tuple[dict[str, Scalar]]]:
        return (Values, (dict(self._items),))

    def with_(self, items: Mapping[str, Scalar] | None = None, /, **more: Scalar) -> Values:
        """A copy with some values replaced or added."""
        return Values({**self._items, **(items or {}), **more})

    def number(self, name: str) -> float:
        """The value as a float; KeyError if absent, TypeError if it is not a number."""
        value = self._items[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name} is not a number ({value!r})")
        return float(value)

    def integer(self, name: str) -> int:
        """The value as an int; KeyError if absent, TypeError if it is not a whole number."""
        value = self._items[name]
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} is not a whole number ({value!r})")
        return value

    def text(self, name: str) -> str:
        """The value as a string; KeyError if absent, TypeError if it is not one."""
        value = self._items[name]
        if not isinstance(value, str):
            raise TypeError(f"{name} is not a text ({value!r})")
        return value


EMPTY = Values()
