"""The loops behind the leaves of a CPU, and their derivatives, without autograd: what each computes, in torch.

`native` has the same in C; these are its fallback and what it is checked against. Tensors are dense unless said
otherwise, bf16 or fp32; sums are made in fp32.

Legend: N rows, d width, B rows of tokens, T tokens, H heads, G key/value heads, hd head width, p rotated pairs,
V vocabulary.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from foldover.lm.model.norm import EPS

CAP_LIMIT = 80.0  # above it exp of a capped logit may overflow
LOSS_ELEMENTS = 1 << 18  # logits at once: 1 MB in fp32 stay in the second cache


class Primitives(Protocol):
    """Forward and backward of each loop. A name that ends in _ changes its first argument."""

    def norm(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, d) to y = x r and r (N,) = (mean x^2 + eps)^(-1/2), fp32."""

    def norm_back(self, g: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """dx = r (g - y mean(g y))."""

    def place(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, H, hd), dense over hd, rotated and normed: y (B, H, T, hd) and r (B, H, T). cos, sin: (T, p)."""

    def place_back(self, g: Tensor, y: Tensor, r: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """dx (B, T, H, hd)."""

    def relu_squared(self, z: Tensor) -> Tensor:
        """relu(z)^2."""

    def relu_squared_back(self, g: Tensor, z: Tensor) -> Tensor:
        """2 relu(z) g."""

    def mix(self, x: Tensor, x0: Tensor, a: float, b: float) -> Tensor:
        """a x + b x0."""

    def mix_back(self, g: Tensor, x: Tensor, x0: Tensor, a: float, b: float) -> tuple[Tensor, Tensor, Tensor]:
        """dx = a g, dx0 = b g, and (sum of g x, sum of g x0) fp32."""

    def add_rows(self, v: Tensor, table: Tensor, ids: Tensor, a: Tensor) -> Tensor:
        """v (N, G, hd) + 2 sigmoid(a (N, G)) table[ids], table (V, G hd) fp32."""

    def add_rows_back(self, g: Tensor, table: Tensor, ids: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        """da, and the gradient of the table, fp32."""

    def softmax_(self, scores: Tensor, scale: float, window: int) -> None:
        """(N, T, T): over keys j with 0 <= i - j <= window; others 0."""

    def softmax_back_(self, g: Tensor, P: Tensor, scale: float, window: int) -> None:
        """Gradient of the probabilities P to that of the scores, scale P (g - sum of g P)."""

    def capped_loss_(self, raw: Tensor, targets: Tensor, cap: float, scale: float) -> Tensor:
        """Sum over rows of the cross-entropy of cap tanh(raw / cap); raw (N, V) becomes scale times its gradient."""


class TorchPrimitives:
    """See `Primitives`."""

    def norm(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See `Primitives`."""
        r = torch.linalg.vector_norm(x.float(), dim=-1, keepdim=True)
        r = r.square_().div_(x.shape[-1]).add_(EPS).rsqrt_()
        return torch.mul(x, r, out=torch.empty_like(x)), r.squeeze(-1)

    def norm_back(self, g: Tensor, y: Tensor, r: Tensor) -> Tensor:
        """See `Primitives`."""
        dot = _row_sums(g, y).div_(y.shape[-1])
        dx = torch.addcmul(g.float(), y.float(), dot, value=-1.0)
        return dx.mul_(r.unsqueeze(-1)).to(y.dtype)

    def place(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        """See `Primitives`."""
        p = cos.shape[1]
        full = x.float().transpose(1, 2)  # (B, H, T, hd)
        turned = torch.empty(full.shape)
        one, two = full[..., :p], full[..., p : 2 * p]
        torch.addcmul(one * cos, two, sin, out=turned[..., :p])
        torch.addcmul(two * cos, one, sin, value=-1.0, out=turned[..., p : 2 * p])
        turned[..., 2 * p :] = full[..., 2 * p :]
        y, r = self.norm(turned)
        return y.to(x.dtype), r

    def place_back(self, g: Tensor, y: Tensor, r: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """See `Primitives`."""
        p = cos.shape[1]
        turned = self.norm_back(g.float(), y.float(), r)
        one, two = turned[..., :p], turned[..., p : 2 * p]
        B, H, T, hd = y.shape
        dx = y.new_empty(B, T, H, hd)
        out = dx.transpose(1, 2)
        out[..., :p] = torch.addcmul(one * cos, two, sin, value=-1.0)
        out[..., p : 2 * p] = torch.addcmul(two * cos, one, sin)
        out[..., 2 * p :] = turned[..., 2 * p :]
        return dx

    def relu_squared(self, z: Tensor) -> Tensor:
        """See `Primitives`."""
        return z.relu().square_()

    def relu_squared_back(self, g: Tensor, z: Tensor) -> Tensor:
        """See `Primitives`."""
        return z.relu().mul_(g).mul_(2.0)

    def mix(self, x: Tensor, x0: Tensor, a: float, b: float) -> Tensor:
        """See `Primitives`."""
        return torch.add(x * a, x0, alpha=b)

    def mix_back(self, g: Tensor, x: Tensor, x0: Tensor, a: float, b: float) -> tuple[Tensor, Tensor, Tensor]:
        """See `Primitives`."""
        flat = g.reshape(1, -1, g.shape[-1])
        sums = torch.stack([_row_sums(flat, other.reshape(flat.shape)).sum() for other in (x, x0)])
        return g * a, g * b, sums

    def add_rows(self, v: Tensor, table: Tensor, ids: Tensor, a: Tensor) -> Tensor:
        """See `Primitives`."""
        rows = table[ids].view(v.shape)
        return torch.addcmul(v.float(), rows, a.float().sigmoid().mul_(2.0).unsqueeze(-1)).to(v.dtype)

    def add_rows_back(self, g: Tensor, table: Tensor, ids: Tensor, a: Tensor) -> tuple[Tensor, Tensor]:
        """See `Primitives`."""
        share, gradient = a.float().sigmoid(), g.float()
        dot = (gradient * table[ids].view(g.shape)).sum(dim=-1)
        dtable = torch.zeros_like(table)
        dtable.index_add_(0, ids, (gradient * share.mul(2.0).unsqueeze(-1)).view(len(ids), -1))
        return (dot * 2.0 * share * (1.0 - share)).to(a.dtype), dtable

    def softmax_(self, scores: Tensor, scale: float, window: int) -> None:
        """See `Primitives`."""
        scores.mul_(scale).masked_fill_(_unseen(scores.shape[-1], window), -torch.inf)
        torch.softmax(scores, dim=-1, out=scores)

    def softmax_back_(self, g: Tensor, P: Tensor, scale: float, window: int) -> None:
        """See `Primitives`."""
        found = torch.ops.aten._softmax_backward_data(g, P, -1, P.dtype)
        torch.mul(found, scale, out=g)

    def capped_loss_(self, raw: Tensor, targets: Tensor, cap: float, scale: float) -> Tensor:
        """See `Primitives`."""
        loss = _capped_loss_ if cap <= CAP_LIMIT else _wide_loss_
        rows = max(1, LOSS_ELEMENTS // raw.shape[1])
        parts = zip(torch.split(raw, rows), torch.split(targets.unsqueeze(1), rows), strict=True)
        return torch.stack([loss(some, index, cap, scale) for some, index in parts]).sum()


def _capped_loss_(raw: Tensor, index: Tensor, cap: float, scale: float) -> Tensor:
    """With w = 1 / (exp(2 raw / cap) + 1), logits are cap - 2 cap w and their derivative is 4 w (1 - w)."""
    w = raw.float().mul_(2.0 / cap).exp_().add_(1.0).reciprocal_()
    picked = w.gather(1, index)
    gradient = torch.mul(w, -2.0 * cap).exp_()
    total = gradient.sum(dim=1, keepdim=True)
    gradient.mul_(4.0 * scale / total)
    gradient.scatter_add_(1, index, gradient.new_full((1, 1), -4.0 * scale).expand_as(index))
    torch.mul(gradient, torch.addcmul(w, w, w, value=-1.0, out=w), out=raw)
    return picked.mul_(2.0 * cap).add_(total.log_()).sum()


def _wide_loss_(raw: Tensor, index: Tensor, cap: float, scale: float) -> Tensor:
    """The same for a cap so wide that w has no digits left and exp may overflow."""
    t = raw.float().div_(cap).tanh_()
    capped = t * cap
    picked = capped.gather(1, index)
    shift = capped.amax(dim=1, keepdim=True)
    gradient = capped.sub_(shift).exp_()
    total = gradient.sum(dim=1, keepdim=True)
    loss = (total.log() + shift).sub_(picked).sum()
    gradient.mul_(scale / total)
    gradient.scatter_add_(1, index, gradient.new_full((1, 1), -scale).expand_as(index))
    torch.mul(gradient, t.square_().neg_().add_(1.0), out=raw)
    return loss


def _row_sums(a: Tensor, b: Tensor) -> Tensor:
    """Sums of a b over the last dimension, kept, in fp32."""
    return (a.float() * b).sum(dim=-1, keepdim=True)


def _unseen(length: int, window: int) -> Tensor:
    """(T, T): True where a query does not see a key."""
    position = torch.arange(length)
    distance = position.unsqueeze(1) - position.unsqueeze(0)
    return (distance < 0) | (distance > window)
