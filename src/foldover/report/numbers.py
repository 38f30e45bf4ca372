"""Numbers as people read them: signs shown, digits that the error justifies, units named."""

from __future__ import annotations

import math
from collections.abc import Iterable

from foldover.core import Scalar

MINUS = "\u2212"
NOTHING = "\u2013"
FEWEST_DECIMALS, USUAL_DECIMALS, MOST_DECIMALS = 3, 4, 8

_SUPERSCRIPT = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
_UNITS = {"bpb": "bits per byte", "loss": "nats per token", "seconds": "seconds", "bytes": "bytes"}


def unit_of(response: str) -> str:
    """The unit that a response's name ends with ("" where it does not say)."""
    return _UNITS.get(response.rpartition("_")[2].rpartition(".")[2], "")


def decimals_for(errors: Iterable[float | None]) -> int:
    """How many decimals a column of estimates gets: two digits of its smallest error, at least 3.

    errors: standard errors or half-widths; where none is known, 4 decimals.
    """
    known = [abs(error) for error in errors if error]
    if not known:
        return USUAL_DECIMALS
    needed = 1 - math.floor(math.log10(min(known)))
    return max(FEWEST_DECIMALS, min(needed, MOST_DECIMALS))


def plain(value: float | None, decimals: int = USUAL_DECIMALS) -> str:
    """`2.4123`, with a true minus sign."""
    if value is None:
        return NOTHING
    return f"{value:,.{decimals}f}".replace("-", MINUS)


def signed(value: float | None, decimals: int = USUAL_DECIMALS) -> str:
    """`+0.0818`, and no sign for what rounds to nothing."""
    if value is None:
        return NOTHING
    text = f"{value:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text.replace("-", MINUS)


def probability(value: float | None) -> str:
    """`0.029`; below 0.001 with its power of ten."""
    if value is None:
        return NOTHING
    if value >= 0.001:
        return f"{value:.3f}"
    if value == 0:
        return "< 10" + "-300".translate(_SUPERSCRIPT)
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa}\u00d710" + str(int(exponent)).translate(_SUPERSCRIPT)


def percent(share: float) -> str:
    """`95%`, `97.5%`."""
    return f"{100 * share:g}%"


def setting(value: Scalar) -> str:
    """A lever's value: whole numbers in groups of three, other numbers as short as they are exact."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:,}".replace("-", MINUS)
    if isinstance(value, float):
        return f"{value:.6g}".replace("-", MINUS)
    return value


def coded(value: float) -> str:
    """A coded level: a plus or a minus sign at the corners, a zero at the centre, else the number."""
    corner = {-1.0: MINUS, 1.0: "+", 0.0: "0"}
    return corner.get(value, f"{value:+.2g}".replace("-", MINUS))


def duration(seconds: float | None) -> str:
    """`8.2 s`, `3 min 20 s`, `2 h 05 min`."""
    if seconds is None:
        return NOTHING
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def counted(number: int, noun: str) -> str:
    """`1 seed`, `5 seeds`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(words: Iterable[object]) -> str:
    """`A`, `A and B`, `A, B and C`."""
    items = [str(word) for word in words]
    if len(items) < 2:
        return "".join(items)
    return ", ".join(items[:-1]) + " and " + items[-1]
