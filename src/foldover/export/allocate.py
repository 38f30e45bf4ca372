"""Which tensor gets how many bytes: the choice of one option a tensor that loses least under a cap. Pure.

Along the lower convex hull of a tensor's options, each step to more bytes buys less loss a byte than the one before.
Taking the steps of all tensors in order of what they buy gives, at every stop, the least loss of any choice with that
many bytes (Shoham & Gersho 1988): the stops are the frontier, exact where losses add up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from foldover.core import BudgetError

MAX_TRIALS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One way to store a tensor. num_bytes: predicted; loss: what it adds, in any one unit for all tensors."""

    label: str
    num_bytes: float
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontierPoint:
    """The least loss for so many bytes; changed: the tensor and the option that the point takes up."""

    num_bytes: float
    loss: float
    changed: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """The option of each tensor by index, their sums, and the frontier from the smallest artifact to the largest."""

    choice: tuple[tuple[str, int], ...]
    num_bytes: float
    loss: float
    frontier: tuple[FrontierPoint, ...]


def allocate(options: Mapping[str, Sequence[Option]], *, cap_bytes: float, fixed_bytes: float = 0.0) -> Allocation:
    """The choice of least loss whose bytes, with `fixed_bytes` for all else, are at most the cap.

    The last stop of the frontier under the cap; what is left then pays for single better options that still fit,
    the largest gain first. Raises BudgetError where the smallest choice is over the cap.
    """
    hulls = {name: hull(found) for name, found in sorted(options.items())}
    chosen = {name: indices[0] for name, indices in hulls.items()}
    total = fixed_bytes + math.fsum(options[name][i].num_bytes for name, i in chosen.items())
    if total > cap_bytes:
        raise BudgetError(
            f"the smallest choice of options takes {math.ceil(total):,} bytes",
            value=cap_bytes,
            fix=f"Raise the cap to {_enough(total):,}, train a smaller model, or allow coarser options.",
        )
    steps = sorted(
        (
            (-_slope(options[name][i], options[name][j]), name, k)
            for name, indices in hulls.items()
            for k, (i, j) in enumerate(pairwise(indices))
        ),
        key=lambda step: (step[0], step[1], step[2]),
    )
    loss = math.fsum(options[name][i].loss for name, i in chosen.items())
    frontier = [FrontierPoint(num_bytes=total, loss=loss)]
    is_open, spent = True, total
    for _, name, k in steps:
        before, after = options[name][hulls[name][k]], options[name][hulls[name][k + 1]]
        total += after.num_bytes - before.num_bytes
        loss += after.loss - before.loss
        frontier.append(FrontierPoint(num_bytes=total, loss=loss, changed=(name, after.label)))
        is_open = is_open and total <= cap_bytes
        if is_open:
            chosen[name], spent = hulls[name][k + 1], total
    spent = _fill(options, chosen, spent, cap_bytes)
    return Allocation(
        choice=tuple(chosen.items()),
        num_bytes=spent,
        loss=math.fsum(options[name][i].loss for name, i in chosen.items()),
        frontier=tuple(frontier),
    )


def hull(options: Sequence[Option]) -> list[int]:
    """Indices of the options on the lower convex hull of loss over bytes, from the fewest bytes to the least loss.

    ValueError for no options.
    """
    if not options:
        raise ValueError("a tensor without options")
    order = sorted(range(len(options)), key=lambda i: (options[i].num_bytes, options[i].loss, i))
    found: list[int] = []
    for i in order:
        if found and options[i].loss >= options[found[-1]].loss:
            continue
        while len(found) > 1 and _slope(options[found[-2]], options[found[-1]]) <= _slope(
            options[found[-1]], options[i]
        ):
            found.pop()
        found.append(i)
    return found


def fit_factor(
    bytes_at: Callable[[float], int],
    *,
    cap_bytes: int,
    tolerance: float = 0.005,
    narrowest: float = 0.125,
    widest: float = 8.0,
) -> tuple[float, int]:
    """(factor, bytes): the factor on all steps that lands under the cap, by at most `tolerance` of it.

    bytes_at: falls, nearly, as the factor grows, about linearly in its logarithm, along which the search goes; it
    begins at 1. Where even `narrowest` is under the cap that is the answer, and where bytes jump over the
    tolerance the largest below the cap. Raises BudgetError where even `widest` is over the cap.
    """
    bounds = math.log(narrowest), math.log(widest)
    under: tuple[float, int] | None = None
    over: tuple[float, int] | None = None
    x, stride, found = 0.0, 0.25, 0
    for _ in range(MAX_TRIALS):
        found = bytes_at(math.exp(x))
        if found <= cap_bytes:
            under = (x, found)
            if found >= (1.0 - tolerance) * cap_bytes or x <= bounds[0]:
                break
        elif x >= bounds[1]:
            break
        else:
            over = (x, found)
        if under is not None and over is not None:
            if under[0] - over[0] < 1e-6:
                break
            share = (over[1] - (1.0 - 0.5 * tolerance) * cap_bytes) / (over[1] - under[1])
            x = over[0] + min(max(share, 0.1), 0.9) * (under[0] - over[0])
        else:
            x = min(max(x + (stride if under is None else -stride), bounds[0]), bounds[1])
            stride *= 2.0
    if under is None:
        raise BudgetError(
            f"the artifact takes {found:,} bytes with the widest steps, more than the cap",
            value=cap_bytes,
            fix=f"Raise the cap to {_enough(found):,}, train a smaller model, or allow coarser options.",
        )
    return math.exp(under[0]), under[1]


def _enough(num_bytes: float) -> int:
    """A cap that certainly holds so many bytes: some of it is kept free for what predictions miss."""
    return math.ceil(max(1.01 * num_bytes, num_bytes + 1000))


def _slope(before: Option, after: Option) -> float:
    """Loss bought for a byte."""
    return (before.loss - after.loss) / max(after.num_bytes - before.num_bytes, 1e-9)


def _fill(options: Mapping[str, Sequence[Option]], chosen: dict[str, int], spent: float, cap_bytes: float) -> float:
    """Spend what is left on single changes, the largest gain first; gives the bytes then."""
    while True:
        gains = [
            (options[name][i].loss - option.loss, name, j)
            for name, i in chosen.items()
            for j, option in enumerate(options[name])
            if option.loss < options[name][i].loss
            and spent + option.num_bytes - options[name][i].num_bytes <= cap_bytes
        ]
        if not gains:
            return spent
        _, name, j = max(gains, key=lambda gain: (gain[0], gain[1], -gain[2]))
        spent += options[name][j].num_bytes - options[name][chosen[name]].num_bytes
        chosen[name] = j
