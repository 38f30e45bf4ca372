"""What happens to a matrix's gradient on its way to an update: small transforms, chained.

Each takes and gives a stack (K, r, c) of matrices of one shape; what one remembers between steps is in its
`state`. Muon: Jordan et al. 2024; Polar Express: arXiv 2505.16932; NorMuon: arXiv 2510.05491; order of the
steps: karpathy/autoresearch 228791f; row normalisation: MuonEq-R (openai/parameter-golf, record of 2026-04-03).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from foldover.lm.levers_optimizer import Optimizer

Coefficients = tuple[tuple[float, float, float], ...]

POLAR_EXPRESS: Coefficients = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)
POLAR_EXPRESS_GOLF: Coefficients = (
    (8.237312490495558, -23.157747414558205, 16.680568411445918),
    (4.082441999064834, -2.893047735332586, 0.525284925697565),
    (3.926347992254655, -2.854746803476530, 0.531802242289499),
    (3.298218713308514, -2.424541981026706, 0.486320083588441),
    (2.320007312889811, -1.686216972996763, 0.420680273402352),
)
QUINTIC_GOLF = (3.4445, -4.7750, 2.0315)  # of the first Muon; its singular values end between 0.68 and 1.13
NORM_MARGIN, NORM_FLOOR = 1.02, 1e-6  # Polar Express
GOLF_NORM_FLOOR = 1e-7
ROW_FLOOR = 1e-7
SECOND_MOMENT_FLOOR = 1e-10


class Transform(Protocol):
    """One link of the chain."""

    def __call__(self, X: Tensor, *, momentum: float) -> Tensor:
        """(K, r, c) -> (K, r, c); may keep state, must not change X."""

    @property
    def state(self) -> Mapping[str, Tensor]:
        """What is remembered between steps, first dimension K; written to in place when it is restored."""


class EmaMomentum:
    """m = mu m + (1 - mu) g; gives (1 - mu) g + mu m with Nesterov's look ahead, else m."""

    def __init__(self, like: Tensor, *, nesterov: bool) -> None:
        self._m = torch.zeros_like(like)
        self._nesterov = nesterov

    def __call__(self, X: Tensor, *, momentum: float) -> Tensor:
        """The gradient blended with its history."""
        self._m.lerp_(X, 1.0 - momentum)
        return X.lerp(self._m, momentum) if self._nesterov else self._m

    @property
    def state(self) -> Mapping[str, Tensor]:
        """The moving average."""
        return {"momentum": self._m}


class ClassicMomentum:
    """m = mu m + g; gives g + mu m with Nesterov's look ahead, else m.

    For a constant mu it is `EmaMomentum` times 1 / (1 - mu), which the norm that follows removes; the two
    part ways while mu changes.
    """

    def __init__(self, like: Tensor, *, nesterov: bool) -> None:
        self._m = torch.zeros_like(like)
        self._nesterov = nesterov

    def __call__(self, X: Tensor, *, momentum: float) -> Tensor:
        """The gradient plus its decaying history."""
        self._m.mul_(momentum).add_(X)
        return X.add(self._m, alpha=momentum) if self._nesterov else self._m

    @property
    def state(self) -> Mapping[str, Tensor]:
        """The decaying sum."""
        return {"momentum": self._m}


class RowNormalize:
    """Every row to length 1."""

    def __call__(self, X: Tensor, *, momentum: float) -> Tensor:
        """X with unit rows; a row of zeros stays."""
        unit: Tensor = X / X.norm(dim=-1, keepdim=True).clamp_min(ROW_FLOOR)
        return unit

    @property
    def state(self) -> Mapping[str, Tensor]:
        """Nothing."""
        return {}


class Orthogonalize:
    """Towards the polar factor."""

    def __init__(self, coefficients: Coefficients, *, margin: float, floor: float, dtype: torch.dtype) -> None:
        self._coefficients = coefficients
        self._margin, self._floor, self._dtype = margin, floor, dtype

    def __call__(self, X: Tensor, *, momentum: float) -> Tensor:
        """See `orthogonalize`."""
        return orthogonalize(X, self._coefficients, margin=self._margin, floor=self._floor, dtype=self._dtype)

    @property
    def state(self) -> Mapping[str, Tensor]:
        """Nothing."""
        return {}


class ScaleLines:
    """NorMuon; see `scale_lines`."""

    def __init__(self, like: Tensor, *, beta2: float) -> None:
        K, r, c = like.shape
        self._second_moment = like.new_zeros((K, r, 1) if r >= c else (K, 1, c))
        self._beta2 = beta2

    def __call__(self, X: Tensor, *, momentum: float) -> Tensor:
        """X with its lines evened out."""
        return scale_lines(X, self._second_moment, beta2=self._beta2)

    @property
    def state(self) -> Mapping[str, Tensor]:
        """The second moment of each line."""
        return {"second_moment": self._second_moment}


def build_chain(optimizer: Optimizer, like: Tensor, *, dtype: torch.dtype) -> tuple[Transform, ...]:
    """The transforms of a recipe for stacks shaped as `like` (K, r, c), in order. dtype: of Muon's products."""
    momentum = EmaMomentum if optimizer.momentum_form == "ema" else ClassicMomentum
    chain: list[Transform] = [momentum(like, nesterov=optimizer.nesterov)]
    if optimizer.row_normalize:
        chain.append(RowNormalize())
    steps = optimizer.orthogonal_steps
    polar = {"polar_express": POLAR_EXPRESS, "polar_express_golf": POLAR_EXPRESS_GOLF}.get(optimizer.orthogonalization)
    if polar is not None:
        chain.append(Orthogonalize(polar[:steps], margin=NORM_MARGIN, floor=NORM_FLOOR, dtype=dtype))
    else:
        chain.append(Orthogonalize((QUINTIC_GOLF,) * steps, margin=1.0, floor=GOLF_NORM_FLOOR, dtype=dtype))
    if optimizer.normuon:
        chain.append(ScaleLines(like, beta2=optimizer.muon_beta2))
    return tuple(chain)


def orthogonalize(
    matrices: Tensor,
    coefficients: Coefficients = POLAR_EXPRESS,
    *,
    margin: float = NORM_MARGIN,
    floor: float = NORM_FLOOR,
    dtype: torch.dtype,
) -> Tensor:
    """The polar factor of each matrix (K, r, c), approximately: singular values near 1, in the input's type.

    X / (margin |X| + floor), then X = a X + (b A + c A A) X for each (a, b, c), with A = X X' on the shorter side.
    dtype: of the products; bf16 upstream, fp32 where bf16 is emulated.
    """
    X = matrices.to(dtype)
    X = X / (X.norm(dim=(-2, -1), keepdim=True) * margin + floor)
    is_tall = X.shape[-2] > X.shape[-1]
    for a, b, c in coefficients:
        A = X.mT @ X if is_tall else X @ X.mT
        B = torch.baddbmm(A, A, A, beta=b, alpha=c)  # b A + c A A
        X = torch.baddbmm(X, X, B, beta=a) if is_tall else torch.baddbmm(X, B, X, beta=a)
    return X.to(matrices.dtype)


def scale_lines(X: Tensor, second_moment: Tensor, *, beta2: float) -> Tensor:
    """NorMuon: even out the rows (r >= c) or columns of each update, keeping its Frobenius norm.

    second_moment: (K, r, 1) or (K, 1, c), starts at zero, updated in place.
    """
    dim = -1 if X.shape[-2] >= X.shape[-1] else -2
    size = X.shape[dim]
    v = X.square().mean(dim=dim, keepdim=True)
    second_moment.lerp_(v, 1.0 - beta2)
    factor = second_moment.clamp_min(SECOND_MOMENT_FLOOR).rsqrt()
    norm = v.sum(dim=(-2, -1), keepdim=True).mul_(size).sqrt_()
    scaled = (v * factor.square()).sum(dim=(-2, -1), keepdim=True).mul_(size).sqrt_()
    return X * (factor * (norm / scaled.clamp_min(SECOND_MOMENT_FLOOR)))
