"""The loops of `loops.c` behind the interface of `Primitives`; what C does not do is left to torch.

A pointer is handed over for each tensor: every method first makes sure of number format, density and shape.
"""

from __future__ import annotations

import ctypes
from ctypes import c_double, c_float, c_int64, c_void_p

import torch
from torch import Tensor

from foldover.lm.model.norm import EPS
from foldover.lm.ops.primitives import CAP_LIMIT, TorchPrimitives

SUFFIXES = {torch.bfloat16: "bf16", torch.float32: "f32"}

# Arguments by name: p pointer, i integer, f float.
SIGNATURES = {
    "norm": "pppiif",
    "norm_back": "ppppii",
    "place": "pppppiiiiiiiif",
    "place_back": "ppppppiiiii",
    "relu_squared": "ppi",
    "relu_squared_back": "pppi",
    "mix": "ppffpi",
    "mix_back": "pppffpppi",
    "add_rows": "pppppiii",
    "add_rows_back": "ppppppiii",
    "softmax": "pfiii",
    "softmax_back": "ppfiii",
    "capped_loss": "ppffpii",
}
_TYPES = {"p": c_void_p, "i": c_int64, "f": c_float}


class NativePrimitives(TorchPrimitives):
    """See `Primitives`. library: `loops.c`, compiled."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._functions = {}
        for name, arguments in SIGNATURES.items():
            for dtype, suffix in SUFFIXES.items():
                function = getattr(library, f"{name}_{suffix}")
                function.argtypes = [_TYPES[letter] for letter in arguments]
                function.restype = c_double if name == "capped_loss" else None
                self._functions[name, dtype] = function

    def norm(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Primitives`."""
        x = x.contiguous()
        y, r = torch.empty_like(x), torch.empty(x.shape[:-1])
        self._functions["norm", x.dtype](x.data_ptr(), y.data_ptr(), r.data_ptr(), r.numel(), x.shape[-1], EPS)
        return y, r

    def norm_back(self, g: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """See `Primitives`."""
        g = _like(g, y)
        dx = torch.empty_like(y)
        self._functions["norm_back", y.dtype](
            g.data_ptr(), y.data_ptr(), r.data_ptr(), dx.data_ptr(), r.numel(), y.shape[-1]
        )
        return dx

    def place(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """See `Primitives`."""
        if x.stride(-1) != 1:
            x = x.contiguous()
        B, T, H, hd = x.shape
        y, r = x.new_empty(B, H, T, hd), torch.empty(B, H, T)
        self._functions["place", x.dtype](
            x.data_ptr(), cos.data_ptr(), sin.data_ptr(), y.data_ptr(), r.data_ptr(),
            B, H, T, hd, cos.shape[1], *x.stride()[:3], EPS,
        )  # fmt: skip
        return y, r

    def place_back(self, g: Tensor, y: Tensor, r: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """See `Primitives`."""
        g = _like(g, y)
        B, H, T, hd = y.shape
        dx = y.new_empty(B, T, H, hd)
        self._functions["place_back", y.dtype](
            g.data_ptr(), y.data_ptr(), r.data_ptr(), cos.data_ptr(), sin.data_ptr(), dx.data_ptr(),
            B, H, T, hd, cos.shape[1],
        )  # fmt: skip
        return dx

    def relu_squared(self, z: Tensor) -> Tensor:
        """See `Primitives`."""
        z = z.contiguous()
        h = torch.empty_like(z)
        self._functions["relu_squared", z.dtype](z.data_ptr(), h.data_ptr(), z.numel())
        return h

    def relu_squared_back(self, g: Tensor, z: Tensor) -> Tensor:
        """See `Primitives`."""
        z = z.contiguous()
        g, dz = _like(g, z), torch.empty_like(z)
        self._functions["relu_squared_back", z.dtype](g.data_ptr(), z.data_ptr(), dz.data_ptr(), z.numel())
        return dz

    def mix(self, x: Tensor, x0: Tensor, a: float, b: float) -> Tensor:
        """See `Primitives`."""
        x = x.contiguous()
        x0, out = _like(x0, x), torch.empty_like(x)
        self._functions["mix", x.dtype](x.data_ptr(), x0.data_ptr(), a, b, out.data_ptr(), x.numel())
        return out

    def mix_back(self, g: Tensor, x: Tensor, x0: Tensor, a: float, b: float) -> tuple[Tensor, Tensor, Tensor]:
        """See `Primitives`."""
        x = x.contiguous()
        g, x0 = _like(g, x), _like(x0, x)
        dx, dx0, sums = torch.empty_like(x), torch.empty_like(x), torch.empty(2)
        self._functions["mix_back", x.dtype](
            g.data_ptr(), x.data_ptr(), x0.data_ptr(), a, b, dx.data_ptr(), dx0.data_ptr(), sums.data_ptr(), x.numel()
        )
        return dx, dx0, sums

    def add_rows(self, v: Tensor, table: Tensor, ids: Tensor, a: Tensor) -> Tensor:
        """See `Primitives`."""
        v, ids, table = v.contiguous(), _checked(ids, table), table.contiguous()
        a, out = a.to(v.dtype).contiguous(), torch.empty_like(v)
        self._functions["add_rows", v.dtype](
            v.data_ptr(), table.data_ptr(), ids.data_ptr(), a.data_ptr(), out.data_ptr(), *v.shape
        )
        return out

    def add_rows_back(self, g: Tensor, table: Tensor, ids: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        """See `Primitives`."""
        g, ids, table = g.contiguous(), ids.contiguous(), table.contiguous()
        a = a.to(g.dtype).contiguous()
        da, dtable = torch.empty_like(a), torch.zeros_like(table)
        self._functions["add_rows_back", g.dtype](
            g.data_ptr(), table.data_ptr(), ids.data_ptr(), a.data_ptr(), da.data_ptr(), dtable.data_ptr(), *g.shape
        )
        return da, dtable

    def softmax_(self, scores: Tensor, scale: float, window: int) -> None:
        """See `Primitives`."""
        assert scores.is_contiguous(), "scores have gaps"
        self._functions["softmax", scores.dtype](scores.data_ptr(), scale, len(scores), scores.shape[-1], window)

    def softmax_back_(self, g: Tensor, P: Tensor, scale: float, window: int) -> None:
        """See `Primitives`."""
        assert g.is_contiguous(), "gradients have gaps"
        self._functions["softmax_back", P.dtype](g.data_ptr(), P.data_ptr(), scale, len(P), P.shape[-1], window)

    def capped_loss_(self, raw: Tensor, targets: Tensor, cap: float, scale: float) -> Tensor:
        """See `Primitives`; a cap above `CAP_LIMIT` by torch."""
        if cap > CAP_LIMIT:
            return super().capped_loss_(raw, targets, cap, scale)
        assert raw.is_contiguous(), "logits have gaps"
        targets = targets.contiguous()
        assert not targets.numel() or (int(targets.min()) >= 0 and int(targets.max()) < raw.shape[1]), "target ids"
        scratch = torch.empty(2 * raw.shape[1])
        loss = self._functions["capped_loss", raw.dtype](
            raw.data_ptr(), targets.data_ptr(), cap, scale, scratch.data_ptr(), *raw.shape
        )
        return torch.tensor(loss, dtype=torch.float32)


def _like(tensor: Tensor, other: Tensor) -> Tensor:
    """Dense and in the other's number format."""
    return tensor.to(other.dtype).contiguous()


def _checked(ids: Tensor, table: Tensor) -> Tensor:
    """Dense ids; IndexError where the table has no such row: C would read whatever lies there."""
    if ids.numel() and (int(ids.min()) < 0 or int(ids.max()) >= len(table)):
        raise IndexError(f"ids from {int(ids.min())} to {int(ids.max())} for a table of {len(table)} rows")
    return ids.contiguous()
