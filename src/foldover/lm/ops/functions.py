"""The leaves of a CPU: differentiable functions of tensors around the loops of `primitives`, with backwards by hand.

What is gained over autograd: fewer passes over memory, fewer tensors kept for the way back, and the loss head makes
its gradients chunk by chunk while logits are in the cache, so that fp32 logits never exist and bf16 ones only
for a chunk. None of it can be differentiated twice.

Legend: B rows, T tokens, N = B T, d width, V vocabulary, H heads, G key/value heads, hd head width.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from foldover.lm.model.flow import Documents
from foldover.lm.model.kernels import FullCausal, MaskedDocuments, WindowedCausal
from foldover.lm.model.position import Rotary
from foldover.lm.ops.primitives import Primitives

ATTENTION_CONTEXT = 1024  # above it torch's own attention: all probabilities of a layer would be too much memory
ATTENTION_ELEMENTS = 1 << 25  # the same for many rows at once: 64 MB a layer in bf16
HEAD_CHUNK_ELEMENTS = 1 << 22  # logits at once: 8 MB in bf16 stay in the last cache


class Norm(torch.autograd.Function):
    """(x, primitives) to its root-mean-square norm."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, primitives: Primitives) -> Tensor:
        y, r = primitives.norm(x)
        ctx.save_for_backward(y, r)
        ctx.primitives = primitives
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        y, r = ctx.saved_tensors
        return ctx.primitives.norm_back(g, y, r), None


class ReluSquared(torch.autograd.Function):
    """(z, primitives) to relu(z)^2."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, primitives: Primitives) -> Tensor:
        ctx.save_for_backward(z)
        ctx.primitives = primitives
        return primitives.relu_squared(z)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        (z,) = ctx.saved_tensors
        return ctx.primitives.relu_squared_back(g, z), None


class Mix(torch.autograd.Function):
    """(x, x0, a (1,), b (1,), primitives) to a x + b x0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, x0: Tensor, a: Tensor, b: Tensor, primitives: Primitives) -> Tensor:
        ctx.save_for_backward(x, x0)
        ctx.factors, ctx.primitives = (float(a), float(b)), primitives
        return primitives.mix(x, x0, *ctx.factors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        x, x0 = ctx.saved_tensors
        dx, dx0, sums = ctx.primitives.mix_back(g, x, x0, *ctx.factors)
        return dx, dx0, sums[:1], sums[1:], None


class AddRows(torch.autograd.Function):
    """(v (B, T, G, hd), table (V, G hd), ids (B, T), a (B, T, G), primitives) to v + 2 sigmoid(a) table[ids]."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, table: Tensor, ids: Tensor, a: Tensor, primitives: Primitives) -> Tensor:
        ctx.save_for_backward(table, ids, a)
        ctx.primitives = primitives
        return primitives.add_rows(v.flatten(0, 1), table, ids.flatten(), a.flatten(0, 1)).view(v.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, None, Tensor, None]:
        table, ids, a = ctx.saved_tensors
        da, dtable = ctx.primitives.add_rows_back(g.flatten(0, 1), table, ids.flatten(), a.flatten(0, 1))
        return g, dtable, None, da.view(a.shape), None


class RotateAndNorm(torch.autograd.Function):
    """(x (B, H, T, hd), cos, sin, primitives) to rotated and normed heads."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor, primitives: Primitives) -> Tensor:
        y, r = primitives.place(x.transpose(1, 2), cos, sin)
        ctx.save_for_backward(y, r, cos, sin)
        ctx.primitives = primitives
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None]:
        return ctx.primitives.place_back(g, *ctx.saved_tensors).transpose(1, 2), None, None, None


class Place(nn.Module):
    """Positions and norm of heads (B, H, T, hd), in either order: a rotation leaves the norm alone."""

    def __init__(self, rotary: Rotary, primitives: Primitives) -> None:
        super().__init__()
        self.rotary = rotary
        self._primitives = primitives

    def forward(self, x: Tensor) -> Tensor:
        """The same heads, rotated and of unit root-mean-square."""
        cos, sin = self.rotary.tables(x.shape[-2], x.device)
        out: Tensor = RotateAndNorm.apply(x, cos, sin, self._primitives)  # type: ignore[no-untyped-call]
        return out


class Attend(torch.autograd.Function):
    """(q, k, v (N, T, hd), window, primitives) to softmax(q k' / sqrt(hd)) v over keys with 0 <= i - j <= window."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, window: int, primitives: Primitives) -> Tensor:
        P = torch.bmm(q, k.mT)
        primitives.softmax_(P, q.shape[-1] ** -0.5, window)
        ctx.save_for_backward(q, k, v, P)
        ctx.window, ctx.primitives = window, primitives
        return torch.bmm(P, v)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q, k, v, P = ctx.saved_tensors
        dS = torch.bmm(g, v.mT)
        ctx.primitives.softmax_back_(dS, P, q.shape[-1] ** -0.5, ctx.window)
        return torch.bmm(dS, k), torch.bmm(dS.mT, q), torch.bmm(P.mT, g), None, None


class BatchedAttention(nn.Module):
    """Causal attention by batched products, within a window or over all: q, k, v (B, H, T, hd).

    CPU kernels that never hold the probabilities are slower up to `ATTENTION_CONTEXT`; beyond, `long` does it.
    """

    def __init__(self, primitives: Primitives, long: nn.Module, window: int | None = None) -> None:
        super().__init__()
        self.long = long
        self.window = window
        self._primitives = primitives

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(B, H, T, hd)."""
        B, H, T, _ = q.shape
        if T > ATTENTION_CONTEXT or B * H * T * T > ATTENTION_ELEMENTS:
            out: Tensor = self.long(q, k, v)
            return out
        window = T if self.window is None else self.window
        q, k, v = (x.reshape(B * H, T, -1) for x in (q, k, v))
        y: Tensor = Attend.apply(q, k, v, window, self._primitives)  # type: ignore[no-untyped-call]
        return y.view(B, H, T, -1)


def full_attention(primitives: Primitives) -> BatchedAttention:
    """Every earlier key is seen."""
    return BatchedAttention(primitives, FullCausal())


def windowed_attention(primitives: Primitives, context: int, window: int) -> BatchedAttention:
    """Keys with 0 <= i - j <= window are seen."""
    return BatchedAttention(primitives, WindowedCausal(context=context, window=window), window)


Span = tuple[int, int, int]
"""A row, and where in it a document begins and ends."""


def spans_of(documents: Documents) -> tuple[Span, ...]:
    """The documents, in order."""
    B, T = documents.places.shape
    return tuple((a // T, a % T, a % T + b - a) for a, b in pairwise([*documents.firsts().tolist(), B * T]))


class AttendWithin(torch.autograd.Function):
    """(q, k, v (B, H, T, hd), spans, window, primitives) to what `Attend` makes of each span on its own."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, spans: tuple[Span, ...], window: int, primitives: Primitives
    ) -> Tensor:
        y = torch.empty_like(q, memory_format=torch.contiguous_format)
        weights = []
        for row, start, stop in spans:
            one = (row, slice(None), slice(start, stop))
            P = torch.bmm(q[one], k[one].mT)
            primitives.softmax_(P, q.shape[-1] ** -0.5, window)
            y[one] = torch.bmm(P, v[one])
            weights.append(P)
        ctx.save_for_backward(q, k, v, *weights)
        ctx.spans, ctx.window, ctx.primitives = spans, window, primitives
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        q, k, v, *weights = ctx.saved_tensors
        dq, dk, dv = (torch.empty_like(x, memory_format=torch.contiguous_format) for x in (q, k, v))
        for (row, start, stop), P in zip(ctx.spans, weights, strict=True):
            one = (row, slice(None), slice(start, stop))
            dS = torch.bmm(g[one], v[one].mT)
            ctx.primitives.softmax_back_(dS, P, q.shape[-1] ** -0.5, ctx.window)
            dq[one], dk[one], dv[one] = torch.bmm(dS, k[one]), torch.bmm(dS.mT, q[one]), torch.bmm(P.mT, g[one])
        return dq, dk, dv, None, None, None


class DocumentAttention(nn.Module):
    """Causal attention of each document on its own, by products of its length: q, k, v (B, H, T, hd).

    Documents that would be too much memory send the rows to `long`, as in `BatchedAttention`.
    """

    def __init__(self, primitives: Primitives, long: nn.Module, window: int) -> None:
        super().__init__()
        self.long = long
        self.window = window
        self._primitives = primitives

    def forward(self, q: Tensor, k: Tensor, v: Tensor, documents: Documents) -> Tensor:
        """(B, H, T, hd)."""
        spans = spans_of(documents)
        lengths = [stop - start for _, start, stop in spans]
        elements = q.shape[1] * sum(length * length for length in lengths)
        if max(lengths) > ATTENTION_CONTEXT or elements > ATTENTION_ELEMENTS:
            out: Tensor = self.long(q, k, v, documents)
            return out
        y: Tensor = AttendWithin.apply(q, k, v, spans, self.window, self._primitives)  # type: ignore[no-untyped-call]
        return y


def document_attention(primitives: Primitives, context: int, window: int) -> DocumentAttention:
    """Keys of the query's own document with 0 <= i - j <= window are seen."""
    return DocumentAttention(primitives, MaskedDocuments(window=window), window)


class CappedLoss(torch.autograd.Function):
    """(raw (N, V), targets (N,), cap, primitives) to the mean cross-entropy of cap tanh(raw / cap)."""

    @staticmethod
    def forward(ctx: Any, raw: Tensor, targets: Tensor, cap: float, primitives: Primitives) -> Tensor:
        gradient = raw.clone(memory_format=torch.contiguous_format)
        loss = primitives.capped_loss_(gradient, targets, cap, 1.0 / len(raw))
        ctx.save_for_backward(gradient)
        return loss.div_(len(raw))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * g, None, None, None


class HeadLoss(torch.autograd.Function):
    """(x (N, d), W (V, d), targets (N,), cap, primitives) to the mean cross-entropy of cap tanh(x W' / cap).

    The gradients are made in the forward pass, for an upstream gradient of 1, and scaled on the way back.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, targets: Tensor, cap: float, primitives: Primitives) -> Tensor:
        N, V = len(x), len(weight)
        cast = weight.to(x.dtype)
        is_differentiated = any(ctx.needs_input_grad[:2])
        dx = torch.empty_like(x) if is_differentiated else None
        dW = torch.zeros_like(weight) if is_differentiated else None
        total = torch.zeros(())
        rows = max(1, HEAD_CHUNK_ELEMENTS // V)
        for first in range(0, N, rows):
            part = x[first : first + rows]
            raw = functional.linear(part, cast)
            total += primitives.capped_loss_(raw, targets[first : first + rows], cap, 1.0 / N)
            if dx is not None and dW is not None:
                torch.mm(raw, cast, out=dx[first : first + rows])
                dW += raw.T @ part
        ctx.save_for_backward(dx, dW)
        return total.div_(N)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        dx, dW = ctx.saved_tensors
        if float(g) != 1.0:  # a micro-batch counts by its share
            dx, dW = dx * g, dW * g
        return dx, dW, None, None, None
