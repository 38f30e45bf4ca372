"""Training with the packed model in mind (levers `compression.*`): penalties on weights, quantised forward weights.

The penalties are those of JusticeShultz/parameter-golf, train_gpt.py, with two deviations: the turn of the
tensors is counted in penalised steps, so that every one gets its turn whatever the interval, and no gradient
flows through the steps of a grid.

Quantised forward weights are weights, not code: before the gradients of a step the matrices are replaced by what
the quantiser makes of them, afterwards they are put back to the bit. The gradient at the quantised weight is
the straight-through gradient, everywhere, outside a clipping range too. No flag is read inside the model,
where a compiler could take it for a constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn

from foldover.lm.levers_compression import Compression
from foldover.lm.model import role_parameters
from foldover.lm.schedule import Rates
from foldover.lm.streams import stream

SCALE_FLOOR = 1e-12
NOISE_LEVELS = 127
POWER_ITERATIONS = 4
COLUMN_STRIDE, TENSOR_STRIDE = 131, 17
MATRIX_ROLES = ("matrix", "output_matrix")

Weights = Sequence[tuple[str, nn.Parameter]]


class Penalty(Protocol):
    """Adds its gradients to those of the loss, after the backward pass; gives its value, None where it did not act."""

    def add_gradients(self, *, step: int) -> float | None:
        """For this step."""


class NoPenalty:
    """Nothing."""

    def add_gradients(self, *, step: int) -> float | None:
        """None."""
        return None


class CompressionPenalty:
    """The sum of the penalties over slices of a few tensors, which take turns."""

    def __init__(self, compression: Compression, tensors: Sequence[nn.Parameter]) -> None:
        self._compression = compression
        self._tensors = sorted(tensors, key=lambda tensor: -tensor.numel())

    def add_gradients(self, *, step: int) -> float | None:
        """Gradient of weight * mean over the slices, into `grad`."""
        compression = self._compression
        since = step - compression.penalty_from
        if since < 0 or since % compression.interval:
            return None
        turn = since // compression.interval
        count = min(compression.tensors, len(self._tensors))
        total = 0.0
        for j in range(count):
            tensor = self._tensors[(count * turn + j) % len(self._tensors)]
            columns = slice_columns(tensor.shape[1], compression.max_columns, step=step, index=j)
            part = tensor.detach()[:, columns].clone().requires_grad_()
            rows = tensor.detach() if compression.full_row_scale else part.detach()
            value = penalty(part, compression, step_size=row_step(rows, 2 ** (compression.bits - 1) - 1))
            (gradient,) = torch.autograd.grad(value, part)
            assert tensor.grad is not None, "a tensor without a gradient is penalised"
            tensor.grad[:, columns].add_(gradient, alpha=compression.weight / count)
            total += float(value.detach()) * compression.weight / count
        return total


def slice_columns(columns: int, widest: int, *, step: int, index: int) -> slice:
    """The slice of a tensor that is penalised, the `index`-th of a step: a deterministic walk over its columns."""
    width = min(columns, widest)
    start = (COLUMN_STRIDE * step + TENSOR_STRIDE * index) % (columns - width + 1)
    return slice(start, start + width)


def row_step(weights: Tensor, levels: int) -> Tensor:
    """Step of each row's grid, (r, 1): its largest size over the number of levels on either side."""
    return weights.abs().amax(dim=-1, keepdim=True).div(levels).clamp_min(SCALE_FLOOR)


def penalty(weights: Tensor, compression: Compression, *, step_size: Tensor) -> Tensor:
    """The penalty on a slice (r, c), before `compression.weight`. step_size: of its rows' grids, (r, 1)."""
    levels = 2 ** (compression.bits - 1) - 1
    units = (weights / step_size).clamp(-levels, levels)
    nearest = units.detach().round()
    error = weights - nearest * step_size
    size = weights.detach().square().mean().clamp_min(SCALE_FLOOR) if compression.normalized else 1.0
    total = error.square().mean() / size
    if compression.grid:
        total = total + compression.grid * (units - nearest).square().mean()
    if compression.scale:
        log_rms = 0.5 * weights.square().mean(dim=1).clamp_min(SCALE_FLOOR).log()
        total = total + compression.scale * log_rms.diff().square().mean()
    if compression.rank1:
        total = total + compression.rank1 * (error - rank1_of(error.detach())).square().mean() / size
    if compression.ternary:
        alpha = weights.abs().mean()
        trits = (weights / alpha.clamp_min(SCALE_FLOOR)).detach().round().clamp(-1, 1)
        total = total + compression.ternary * (weights - alpha * trits).square().mean() / size
    if compression.outlier:
        sizes = weights.abs()
        total = total + compression.outlier * sizes.amax(dim=1).mean() / sizes.mean().clamp_min(SCALE_FLOOR)
    if compression.entropy:
        total = total + compression.entropy * level_entropy(units, levels)
    return total


def level_entropy(units: Tensor, levels: int) -> Tensor:
    """Bits a weight of the histogram over levels -levels .. levels, where a weight between two counts for both.

    units: weights in steps of their grid, within the levels. [lab]: shares linear in the distance, so that there
    is a gradient.
    """
    below = units.detach().floor().clamp_max(levels - 1)
    share = units - below
    place = (below + levels).long()
    counts = units.new_zeros(2 * levels + 1)
    counts = counts.index_add(0, place.flatten(), (1.0 - share).flatten())
    counts = counts.index_add(0, (place + 1).flatten(), share.flatten())
    p = counts / units.numel()
    return -torch.xlogy(p, p.clamp_min(SCALE_FLOOR)).sum() / math.log(2.0)


def rank1_of(matrix: Tensor) -> Tensor:
    """The best rank-1 approximation, nearly: power iterations from the row of the largest norm."""
    v = matrix[matrix.square().sum(dim=1).argmax()]
    for _ in range(POWER_ITERATIONS):
        u = matrix @ v
        u = u / u.norm().clamp_min(SCALE_FLOOR)
        v = matrix.mT @ u
    return torch.outer(u, v)


class ForwardWeights(Protocol):
    """What the forward pass sees instead of the weights."""

    def acting(self, rates: Rates) -> tuple[str, ...]:
        """Names of the events that a step with these rates is; empty where it sees the weights."""

    def in_training(self, *, step: int, rates: Rates) -> AbstractContextManager[None]:
        """The context in which a step's gradients are made."""

    def in_evaluation(self) -> AbstractContextManager[None]:
        """The context in which a model is evaluated."""


class TrueWeights:
    """The weights themselves."""

    def acting(self, rates: Rates) -> tuple[str, ...]:
        """None."""
        return ()

    def in_training(self, *, step: int, rates: Rates) -> AbstractContextManager[None]:
        """Nothing."""
        return nullcontext()

    def in_evaluation(self) -> AbstractContextManager[None]:
        """Nothing."""
        return nullcontext()


class ChangedWeights:
    """Matrices as a quantiser makes them, with noise on top.

    quantize: a matrix (r, c) to what the forward pass sees, None for none; start: factor on learning rates from
    which on it acts; noise: width in int8 steps of a row; is_evaluated: whether evaluation sees it as well.
    """

    def __init__(
        self,
        matrices: Weights,
        quantize: Callable[[Tensor], Tensor] | None,
        *,
        start: float,
        noise: float,
        is_evaluated: bool,
        seed: int,
    ) -> None:
        self._matrices = tuple(matrices)
        self._quantize = quantize
        self._start, self._noise, self._is_evaluated, self._seed = start, noise, is_evaluated, seed

    def acting(self, rates: Rates) -> tuple[str, ...]:
        """Noise always; the quantiser from its start on."""
        happening = {"weight_noise": self._noise > 0, "quantized_forward_started": self._is_quantized(rates)}
        return tuple(event for event, is_so in happening.items() if is_so)

    def in_training(self, *, step: int, rates: Rates) -> AbstractContextManager[None]:
        """The changed matrices."""
        quantize = self._quantize if self._is_quantized(rates) else None

        def change(name: str, weight: Tensor) -> Tensor:
            changed = weight if quantize is None else quantize(weight)
            if not self._noise:
                return changed
            generator = stream(self._seed, "weight_noise", step, name)
            uniform = torch.rand(weight.shape, generator=generator).to(weight.device) - 0.5
            return changed + uniform * self._noise * row_step(weight, NOISE_LEVELS)

        return _replaced(self._matrices, change)

    def in_evaluation(self) -> AbstractContextManager[None]:
        """The quantised matrices where they are the model."""
        quantize = self._quantize
        if quantize is None or not self._is_evaluated:
            return nullcontext()
        return _replaced(self._matrices, lambda name, weight: quantize(weight))

    def _is_quantized(self, rates: Rates) -> bool:
        if self._quantize is None:
            return False
        return self._start >= 1.0 or (rates.is_warming_down and rates.lr_multiplier <= self._start)


def quantize_rows(weights: Tensor, levels: int) -> Tensor:
    """Each row rounded to `levels` steps on either side of zero; the largest weight of a row is kept."""
    step = row_step(weights, levels)
    return (weights / step).round().clamp(-levels, levels) * step


def ternarize(weights: Tensor, group_size: int) -> Tensor:
    """g clip(round(w / g), -1, 1), g the mean size of each group of a row (BitNet b1.58, arXiv 2402.17764)."""
    return _by_group(weights, group_size, lambda w, g: (w / g.clamp_min(SCALE_FLOOR)).round().clamp(-1, 1) * g)


def binarize(weights: Tensor, group_size: int) -> Tensor:
    """g sign(w), with sign(0) = 1, g the mean size of each group of a row."""
    return _by_group(weights, group_size, lambda w, g: torch.where(w >= 0, g, -g))


def build_penalty(compression: Compression, model: nn.Module) -> Penalty:
    """The penalties of a recipe, on everything with rows and columns but gates."""
    if not compression.weight:
        return NoPenalty()
    return CompressionPenalty(compression, [p for _, p in role_parameters(model) if p.ndim == 2 and p.role != "gate"])


def build_forward_weights(compression: Compression, model: nn.Module, *, seed: int) -> ForwardWeights:
    """What the forward pass of a recipe sees of the blocks' matrices."""
    kind, group = compression.forward_weights, compression.group_size
    if kind == "none" and not compression.weight_noise:
        return TrueWeights()
    quantizers: dict[str, Callable[[Tensor], Tensor] | None] = {
        "none": None,
        "ternary": lambda w: ternarize(w, group),
        "binary": lambda w: binarize(w, group),
    }
    is_low = kind in ("ternary", "binary")
    return ChangedWeights(
        [(name, p) for name, p in role_parameters(model) if p.role in MATRIX_ROLES],
        quantizers[kind] if kind in quantizers else (lambda w: quantize_rows(w, 2 ** (int(kind[3:]) - 1) - 1)),
        start=1.0 if is_low else compression.qat_start,
        noise=compression.weight_noise,
        is_evaluated=is_low,
        seed=seed,
    )


def _by_group(weights: Tensor, group_size: int, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    parts = torch.split(weights, group_size, dim=-1)  # the last group of a row may be shorter
    return torch.cat([change(part, part.abs().mean(dim=-1, keepdim=True)) for part in parts], dim=-1)


@contextmanager
def _replaced(matrices: Weights, change: Callable[[str, Tensor], Tensor]) -> Iterator[None]:
    with torch.no_grad():
        kept = [matrix.detach().clone() for _, matrix in matrices]
        for (name, matrix), weight in zip(matrices, kept, strict=True):
            matrix.copy_(change(name, weight))
    try:
        yield
    finally:
        with torch.no_grad():
            for (_, matrix), weight in zip(matrices, kept, strict=True):
                matrix.copy_(weight)
