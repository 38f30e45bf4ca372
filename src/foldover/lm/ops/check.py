"""Whether two sets of loops compute the same: run once on a small random input before loops in C are trusted."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from foldover.lm.ops.primitives import Primitives, TorchPrimitives

TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 2e-2}  # of the largest element


def first_difference(primitives: Primitives) -> str:
    """The first result that is not torch's up to rounding, in words; empty where all agree."""
    reference = TorchPrimitives()
    for dtype, tolerance in TOLERANCES.items():
        both = zip(results(primitives, dtype), results(reference, dtype), strict=True)
        for (name, found), (_, expected) in both:
            error = (found.double() - expected.double()).abs().max()
            if not float(error) <= tolerance * max(1e-3, float(expected.double().abs().max())):
                return f"{name} in {dtype}: by {float(error):.3g}"
    return ""


def results(primitives: Primitives, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    """Everything that the loops compute of the same random input. Sizes are odd, so that no tail is forgotten."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int, size: float = 1.0) -> Tensor:
        return (torch.randn(*shape, generator=generator) * size).to(dtype)

    x, x0, g = draw(5, 37), draw(5, 37), draw(5, 37)
    y, r = primitives.norm(x)
    yield from (("norm", y), ("norm's factor", r))
    yield "norm's gradient", primitives.norm_back(g, y, r)
    yield "relu squared", primitives.relu_squared(x)
    yield "relu squared's gradient", primitives.relu_squared_back(g, x)
    yield "mix", primitives.mix(x, x0, 0.7, -0.3)
    yield from zip(("dx", "dx0", "sums"), primitives.mix_back(g, x, x0, 0.7, -0.3), strict=True)
    q, gq = draw(2, 5, 3, 14), draw(2, 3, 5, 14)
    cos, sin = torch.randn(5, 5, generator=generator).cos(), torch.randn(5, 5, generator=generator).sin()
    y, r = primitives.place(q, cos, sin)
    yield from (("heads", y), ("heads' factor", r))
    yield "heads' gradient", primitives.place_back(gq, y, r, cos, sin)
    table, ids = torch.randn(7, 2 * 9, generator=generator), torch.tensor([3, 0, 6, 3])
    v, a, gv = draw(4, 2, 9), draw(4, 2), draw(4, 2, 9)
    yield "rows", primitives.add_rows(v, table, ids, a)
    yield from zip(("gates' gradient", "table's gradient"), primitives.add_rows_back(gv, table, ids, a), strict=True)
    for window in (19, 4):
        P, gradient = draw(2, 19, 19, size=3.0), draw(2, 19, 19)
        primitives.softmax_(P, 0.5, window)
        yield "softmax", P
        primitives.softmax_back_(gradient, P, 0.5, window)
        yield "softmax's gradient", gradient
    raw, targets = draw(5, 37, size=9.0), torch.tensor([0, 36, 5, 5, 17])
    yield "loss", primitives.capped_loss_(raw, targets, 15.0, 0.2)
    yield "loss's gradient", raw
