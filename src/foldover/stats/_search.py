"""The search for a smallest number that plans of seeds share."""

from __future__ import annotations

from collections.abc import Callable

from foldover.core import AnalysisError

MOST = 100_000


def smallest_count(reaches: Callable[[int], bool], least: int, what: str) -> int:
    """The smallest integer from `least` for which `reaches` (monotone) holds, by doubling and halving.

    what: of what it is a number, for the error. Raises AnalysisError where 100,000 are not enough.
    """
    high = least
    while not reaches(high):
        if high >= MOST:
            raise AnalysisError(
                f"more than {MOST} {what} would be needed",
                fix="Ask for a larger effect, or lower the noise first.",
            )
        high = min(MOST, 2 * high)
    low = max(least - 1, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        if reaches(middle):
            high = middle
        else:
            low = middle
    return high
