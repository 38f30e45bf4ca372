"""The same architecture and optimiser in plain eager PyTorch: what the trainer's speed and quality are held against.

Written from the published description of karpathy/autoresearch (228791f): a GPT without biases, RMS norms without
weights, rotary positions, norms of queries and keys, value embeddings on every other block, residual and x0 scalars,
squared ReLU, a soft cap on fp32 logits; Muon with Polar Express, NorMuon and cautious decay for the matrices of the
blocks, AdamW for the rest. Nothing is fused, stacked ahead of time or kept from step to step that need not be: this
is what one writes who knows PyTorch and goes by the description. `tests/benchmarks` hold it to foldover's model,
parameter by parameter.

Legend: B rows, T tokens, d width, H heads, hd head width, V vocabulary; K matrices r x c of one shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

SOFTCAP = 15.0
GATE_CHANNELS = 32
POLAR_EXPRESS = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainShape:
    """windows: keys to the left that a block's queries see beside their own, one number a block."""

    width: int
    num_heads: int
    vocab_size: int
    context: int
    windows: tuple[int, ...]

    @property
    def depth(self) -> int:
        """Blocks."""
        return len(self.windows)


def rms(x: Tensor) -> Tensor:
    """RMS norm without a weight."""
    return functional.rms_norm(x, (x.shape[-1],))


class Attention(nn.Module):
    """Causal attention with a window; values of some blocks get a gated embedding of the token."""

    def __init__(self, shape: PlainShape, *, window: int, has_values: bool) -> None:
        super().__init__()
        d = shape.width
        self.num_heads, self.head_dim = shape.num_heads, d // shape.num_heads
        self.query, self.key = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.value, self.output = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.table = nn.Embedding(shape.vocab_size, d) if has_values else None
        self.gate = nn.Linear(min(GATE_CHANNELS, d), shape.num_heads, bias=False) if has_values else None
        self.window = window

    def forward(self, x: Tensor, ids: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(B, T, d) -> (B, T, d)."""
        B, T, d = x.shape
        q = self.query(x).view(B, T, self.num_heads, self.head_dim)
        k = self.key(x).view(B, T, self.num_heads, self.head_dim)
        v = self.value(x).view(B, T, self.num_heads, self.head_dim)
        if self.table is not None and self.gate is not None:
            gate = 2 * torch.sigmoid(self.gate(x[..., : self.gate.in_features]))  # (B, T, H)
            v = v + gate.unsqueeze(-1) * self.table(ids).view_as(v)
        q, k = rms(rotate(q, cos, sin)), rms(rotate(k, cos, sin))
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # (B, H, T, hd)
        if self.window >= T - 1:
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            position = torch.arange(T, device=x.device)
            distance = position[:, None] - position[None, :]
            band = (distance >= 0) & (distance <= self.window)
            y = functional.scaled_dot_product_attention(q, k, v, attn_mask=band)
        out: Tensor = self.output(y.transpose(1, 2).reshape(B, T, d))
        return out


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions on (B, T, H, hd), halves paired."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos + b * sin, b * cos - a * sin], dim=-1)


class Block(nn.Module):
    """Attention and MLP, each behind a norm."""

    def __init__(self, shape: PlainShape, index: int) -> None:
        super().__init__()
        has_values = index % 2 == (shape.depth - 1) % 2
        self.attention = Attention(shape, window=shape.windows[index], has_values=has_values)
        self.up = nn.Linear(shape.width, 4 * shape.width, bias=False)
        self.down = nn.Linear(4 * shape.width, shape.width, bias=False)

    def forward(self, x: Tensor, ids: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(B, T, d) -> (B, T, d)."""
        x = x + self.attention(rms(x), ids, cos, sin)
        out: Tensor = x + self.down(functional.relu(self.up(rms(x))).square())
        return out


class PlainGpt(nn.Module):
    """Token ids to the mean cross-entropy. tables: number format of input and value tables."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: PlainShape, *, tables: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(shape.vocab_size, shape.width)
        self.blocks = nn.ModuleList(Block(shape, i) for i in range(shape.depth))
        self.head = nn.Linear(shape.width, shape.vocab_size, bias=False)
        self.residual_scales = nn.Parameter(torch.ones(shape.depth))
        self.x0_scales = nn.Parameter(torch.full((shape.depth,), 0.1))
        half = shape.width // shape.num_heads // 2
        angles = torch.outer(torch.arange(shape.context).double(), 10000.0 ** (-torch.arange(half).double() / half))
        self.register_buffer("cos", angles.cos().to(tables)[None, :, None, :], persistent=False)
        self.register_buffer("sin", angles.sin().to(tables)[None, :, None, :], persistent=False)
        self._initialize(shape.width)
        for table in self.tables():
            table.to(tables)

    def tables(self) -> list[nn.Embedding]:
        """Value tables, then the input table."""
        found = [block.attention.table for block in self.blocks if block.attention.table is not None]  # type: ignore[union-attr]
        return [*found, self.embedding]  # type: ignore[list-item]

    @torch.no_grad()
    def _initialize(self, width: int) -> None:
        bound = math.sqrt(3.0 / width)
        self.embedding.weight.normal_(0.0, 1.0)
        self.head.weight.normal_(0.0, 0.001)
        for block in self.blocks:
            attention: Attention = block.attention  # type: ignore[assignment]
            for linear in (attention.query, attention.key, attention.value, block.up):
                linear.weight.uniform_(-bound, bound)  # type: ignore[union-attr, operator]
            for linear in (attention.output, block.down):
                linear.weight.zero_()  # type: ignore[union-attr, operator]
            if attention.table is not None and attention.gate is not None:
                attention.table.weight.uniform_(-bound, bound)
                attention.gate.weight.zero_()

    def forward(self, ids: Tensor, targets: Tensor) -> Tensor:
        """(B, T), (B, T) -> mean cross-entropy in nats."""
        T = ids.shape[1]
        cos, sin = self.cos[:, :T], self.sin[:, :T]
        x = x0 = rms(self.embedding(ids))
        for i, block in enumerate(self.blocks):
            x = self.residual_scales[i] * x + self.x0_scales[i] * x0
            x = block(x, ids, cos, sin)
        logits = self.head(rms(x)).float()
        logits = SOFTCAP * torch.tanh(logits / SOFTCAP)
        return functional.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1), ignore_index=-1)

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Take the weights of foldover's model, by its names. KeyError for one that is missing or left over."""
        left = dict(weights)
        for i, block in enumerate(self.blocks):
            attention: Attention = block.attention  # type: ignore[assignment]
            name = f"blocks.{i}"
            self.residual_scales[i] = left.pop(f"{name}.parts.mix.residual_scale").item()
            self.x0_scales[i] = left.pop(f"{name}.parts.mix.x0_scale").item()
            for part in ("query", "key", "value", "output"):
                getattr(attention, part).weight.copy_(left.pop(f"{name}.attention.{part}"))
            block.up.weight.copy_(left.pop(f"{name}.mlp.input"))  # type: ignore[union-attr, operator]
            block.down.weight.copy_(left.pop(f"{name}.mlp.output"))  # type: ignore[union-attr, operator]
            if attention.table is not None and attention.gate is not None:
                attention.table.weight.copy_(left.pop(f"{name}.attention.values.table"))
                attention.gate.weight.copy_(left.pop(f"{name}.attention.values.gate"))
        self.embedding.weight.copy_(left.pop("embedding"))
        self.head.weight.copy_(left.pop("head.weight"))
        if left:
            raise KeyError(f"left over: {sorted(left)}")


class Muon:
    """The matrices of one shape. dtype: of the products of Polar Express."""

    def __init__(self, parameters: Iterable[nn.Parameter], *, lr: float, dtype: torch.dtype) -> None:
        self.parameters = list(parameters)
        self.dtype = dtype
        r, c = self.parameters[0].shape
        self.lr = lr * max(1.0, r / c) ** 0.5
        K = len(self.parameters)
        self.momentum = torch.zeros(K, r, c)
        self.second = torch.zeros((K, r, 1) if r >= c else (K, 1, c))

    @torch.no_grad()
    def step(self, *, lr_multiplier: float, momentum: float, weight_decay: float) -> None:
        """One update from the gradients."""
        g = torch.stack([parameter.grad for parameter in self.parameters])  # type: ignore[misc]
        weights = torch.stack([parameter.detach() for parameter in self.parameters])
        self.momentum.lerp_(g, 1.0 - momentum)
        X = polar_express(g.lerp(self.momentum, momentum), self.dtype)
        dim = -1 if X.shape[-2] >= X.shape[-1] else -2
        v = X.square().mean(dim=dim, keepdim=True)
        self.second.lerp_(v, 1.0 - 0.95)
        factor = self.second.clamp_min(1e-10).rsqrt()
        scaled = X * factor
        X = scaled * (X.norm(dim=(-2, -1), keepdim=True) / scaled.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-10))
        lr = self.lr * lr_multiplier
        agree = (X * weights >= 0).to(X.dtype)
        weights = weights - lr * X - lr * weight_decay * weights * agree
        for parameter, new in zip(self.parameters, weights.unbind(0), strict=True):
            parameter.copy_(new)


def polar_express(g: Tensor, dtype: torch.dtype) -> Tensor:
    """(K, r, c) -> (K, r, c), singular values near 1."""
    X = g.to(dtype)
    X = X / (X.norm(dim=(-2, -1), keepdim=True) * 1.02 + 1e-6)
    for a, b, c in POLAR_EXPRESS:
        if X.shape[-2] > X.shape[-1]:
            A = X.mT @ X
            X = a * X + X @ (b * A + c * (A @ A))
        else:
            A = X @ X.mT
            X = a * X + (b * A + c * (A @ A)) @ X
    return X.to(g.dtype)


class PlainOptimizer:
    """Muon by shape, torch's AdamW as it is by default. dtype: of Muon's products, bf16 as upstream has it."""

    def __init__(self, model: PlainGpt, *, width: int, dtype: torch.dtype = torch.bfloat16) -> None:
        k = (width / 768) ** -0.5
        table = [t.weight for t in model.tables()]
        own = {id(p) for p in (*table, model.head.weight, model.residual_scales, model.x0_scales)}
        by_shape: dict[torch.Size, list[nn.Parameter]] = {}
        for parameter in model.parameters():
            if id(parameter) not in own:
                by_shape.setdefault(parameter.shape, []).append(parameter)
        self.muon = [Muon(parameters, lr=0.04, dtype=dtype) for parameters in by_shape.values()]
        self.model = model
        self.adam = torch.optim.AdamW(
            [
                {"params": [model.head.weight], "lr": 0.004 * k},
                {"params": table, "lr": 0.6 * k},
                {"params": [model.residual_scales], "lr": 0.005},
                {"params": [model.x0_scales], "lr": 0.5, "betas": (0.96, 0.95)},
            ],
            betas=(0.8, 0.95),
            eps=1e-10,
            weight_decay=0.0,
        )
        self.rates = [group["lr"] for group in self.adam.param_groups]

    def step(self, *, lr_multiplier: float, momentum: float, weight_decay: float) -> None:
        """One update of everything, then no gradients."""
        for group, lr in zip(self.adam.param_groups, self.rates, strict=True):
            group["lr"] = lr * lr_multiplier
        self.adam.step()
        for muon in self.muon:
            muon.step(lr_multiplier=lr_multiplier, momentum=momentum, weight_decay=weight_decay)
        self.model.zero_grad(set_to_none=True)


def schedule(step: int, num_steps: int, *, momentum_warmup: int, warmdown_ratio: float = 0.5) -> dict[str, float]:
    """Rates of a step: constant, then linearly to 0 over the last half; momentum rises, weight decay falls."""
    progress = step / num_steps
    share = min(step / momentum_warmup, 1.0)
    return {
        "lr_multiplier": 1.0 if progress < 1.0 - warmdown_ratio else (1.0 - progress) / warmdown_ratio,
        "momentum": (1.0 - share) * 0.85 + share * 0.95,
        "weight_decay": 0.2 * (1.0 - progress),
    }
