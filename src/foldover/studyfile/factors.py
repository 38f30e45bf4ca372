"""`[factors.A]`, `[factors.B]`, ...: levers between two levels, each under a letter."""

from __future__ import annotations

from typing import cast, get_args

from foldover.core import DesignError, Factor, FactorKind, Lever, LeverSet, RecipeError, Scalar, Scale
from foldover.studyfile.table import Table, sentence

_KEYS = ("lever", "low", "high", "center", "scale")


def read_factors(table: Table, levers: LeverSet | None, *, may_share: bool = False) -> dict[str, Factor | None]:
    """The factors by letter, sorted; None for one that the file has wrong.

    levers: None where the trainer is not known; then only what needs no lever is checked. may_share: whether several
    factors may be of one lever, with one low level: where no row has two of them high.
    """
    factors: dict[str, Factor | None] = {}
    taken: dict[str, str] = {}
    for letter in sorted(table.content):
        own = table.table(letter, title=f"factor {letter}")
        if own is None:
            continue
        own.refuse_others(_KEYS)
        for key in ("lever", "low", "high"):
            own.require(key)
        is_letter = len(letter) == 1 and letter.isascii() and letter.isupper() and letter != "I"
        if not is_letter:
            own.problem(None, "a factor is named by one capital letter, not I (the identity).")
        lever = _lever(own, levers)
        factor = None if lever is None else _factor(own, letter, lever, is_letter=is_letter)
        earlier = taken.get(lever.name) if lever is not None else None
        if lever is not None and earlier is not None and not may_share:
            own.problem("lever", f"`{lever.name}` is varied by factor {earlier} already.")
            factor = None
        elif earlier is not None and factor is not None:
            first = factors[earlier]
            if first is not None and first.low != factor.low:
                text = f"factor {earlier} of the same lever has another low level ({first.low!r}): it is the reference."
                own.problem("low", text)
                factor = None
        elif lever is not None:
            taken[lever.name] = letter
        factors[letter] = factor if is_letter else None
    return factors


def _lever(table: Table, levers: LeverSet | None) -> Lever | None:
    name = table.text("lever")
    if name is None or levers is None:
        return None
    try:
        return levers.find(name)
    except RecipeError as error:
        table.problem("lever", str(error))
        return None


def _factor(table: Table, letter: str, lever: Lever, *, is_letter: bool) -> Factor | None:
    scale = table.choice("scale", get_args(Scale)) or lever.scale
    levels = {key: _level(table, key, lever) for key in ("low", "high", "center")}
    kind: FactorKind = "choice" if lever.kind in ("bool", "choice", "text") else cast(FactorKind, lever.kind)
    if levels["low"] is None or levels["high"] is None or not is_letter:
        return None
    if kind != "choice" and not _is_in_order(table, levels["low"], levels["high"], levels["center"]):
        return None
    try:
        return Factor(
            letter=letter,
            lever=lever.name,
            low=levels["low"],
            high=levels["high"],
            center=levels["center"],
            kind=kind,
            scale=cast(Scale, scale) if kind != "choice" else "linear",
            multiple_of=lever.multiple_of,
        )
    except DesignError as error:
        table.problem("high" if levels["low"] == levels["high"] else None, sentence(error))
        return None


def _level(table: Table, key: str, lever: Lever) -> Scalar:
    if key not in table:
        return None
    try:
        return lever.check(table.content[key])
    except RecipeError as error:
        table.problem(key, f"`{key}`: {error}")
        return None


def _is_in_order(table: Table, low: Scalar, high: Scalar, center: Scalar) -> bool:
    if cast(float, low) > cast(float, high):
        table.problem("low", f"`low` is above `high` (got {low!r} and {high!r}). Swap them.")
        return False
    if center is not None and low != high and not cast(float, low) < cast(float, center) < cast(float, high):
        table.problem("center", f"`center` must lie between the levels {low!r} and {high!r} (got {center!r}).")
        return False
    return True
