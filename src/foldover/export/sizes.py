"""Sizes: of stored tensors before anything is compressed, and of a recipe before anything is trained. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from statistics import NormalDist
from types import MappingProxyType
from typing import Literal

import numpy as np

from foldover.export.ans import overhead_of
from foldover.export.codecs import available_codecs, compress
from foldover.export.envelope import seal
from foldover.export.models import Modelled
from foldover.export.parts import StoredTensor
from foldover.export.sections import lay_out
from foldover.export.shuffle import shuffle

# Of an artifact: preamble and the ends of the header; of each tensor and part, as compressed JSON; of an fp16 row
# scale, in bits; of float32 vectors, the compressed share. Measured on trained models.
_FIXED_BYTES = 250.0
_TENSOR_BYTES = 6.0
_PART_BYTES = 6.0
_SCALE_BITS = 10.5
_SCALE_BITS_ELSEWHERE = 12.8  # by a general codec
_VECTOR_SHARE = 0.80
# Of floats of a matrix: the mantissa and the sign as they are, and what exponents of Gaussian weights take, in bits.
_MANTISSA_BITS = {2.0: 11.0, 4.0: 24.0}
_EXPONENT_BITS = 2.8
# Of a level for each row and column of a matrix, in bits.
_LEVEL_BITS = 1.5
# Codes that a general codec is asked about.
_SAMPLE = 1 << 16
_INT16_MOST = 2**15 - 1

# What a step is a multiple of: the standard deviation of each row or of the whole tensor, or each row's largest weight.
StepRule = Literal["row", "tensor", "absmax"]
# Bits a code by which trained weights, whose rows and columns spread differently, take less than Gaussian ones of one
# spread, levels included: half-way between models trained for a minute and for ten.
_SPREAD_BITS: dict[StepRule, float] = {"row": 0.05, "tensor": 0.18, "absmax": 0.06}


def predicted_bytes(
    tensors: Sequence[StoredTensor],
    header: Mapping[str, object] = MappingProxyType({}),
    blobs: Mapping[str, bytes] = MappingProxyType({}),
) -> int:
    """What `write_artifact` gives under codec `ans`, without coding a symbol.

    Within 0.05 % where codes are most of it: models and header are made as for writing, and the models say what
    their stream takes. Raises ArtifactError for types that cannot be stored.
    """
    laid = lay_out(tensors, blobs, codec="ans", to_stream=lambda modelled: bytes(predicted_stream_bytes(modelled)))
    return len(seal({"header": dict(header), "layout": laid.layout}, laid.payload))


def predicted_stream_bytes(modelled: Modelled) -> int:
    """Bytes of the coded stream of these models."""
    return round(sum(modelled.bits) / 8 + overhead_of(modelled.count))


def entropy_bytes(array: np.ndarray) -> float:
    """Zeroth-order entropy of an array's numbers (of float32: of its bits): what no code without models goes below."""
    if not array.size:
        return 0.0
    kind = {1: np.uint8, 2: np.uint16, 4: np.uint32}[array.dtype.itemsize]
    flat = np.ascontiguousarray(array).reshape(-1).view(kind)
    counts = np.bincount(flat) if array.dtype.itemsize < 4 else np.unique(flat, return_counts=True)[1]
    counts = counts[counts > 0]
    return float(-(counts * np.log2(counts / flat.size)).sum() / 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorPlan:
    """A tensor that is to be stored, before its values are known.

    step: width of a code in standard deviations of the weights that `rule` names, 0 where numbers are kept as they
    are, of `bytes_each`; levels: largest code, 0 for no limit; zeroed: share of the weights, the smallest, that are
    zero before rounding; scales: fp16 numbers stored beside the codes.
    """

    shape: tuple[int, ...]
    step: float = 0.0
    rule: StepRule = "row"
    levels: int = 0
    zeroed: float = 0.0
    scales: int = 0
    bytes_each: float = 4.0


def predicted_artifact_bytes(
    plans: Sequence[TensorPlan], *, other_bytes: int = 0, codec: str = "ans", level: int | None = None
) -> int:
    """What an artifact will take, from shapes and export settings alone: codes of Gaussian weights, compressed.

    other_bytes: of blobs and of the header's own content, compressed; codec, level: as of `write_artifact`, where
    `auto` is taken for our own coder. A general codec is asked what it makes of a sample of such codes.
    """
    total = _FIXED_BYTES + other_bytes
    is_own = codec in ("ans", "auto")
    scale_bits = _SCALE_BITS if is_own else _SCALE_BITS_ELSEWHERE
    for plan in plans:
        count, columns = math.prod(plan.shape), plan.shape[-1] if plan.shape else 1
        total += _TENSOR_BYTES + _PART_BYTES * (1 + bool(plan.scales)) + plan.scales * scale_bits / 8
        if plan.step and is_own:
            bits = max(gaussian_bits(plan.step, plan.levels, plan.zeroed) - _SPREAD_BITS[plan.rule], 0.0)
            total += (count * bits + _LEVEL_BITS * (columns + count // max(columns, 1))) / 8
        elif plan.step:
            total += count * _sampled_bits(plan.step, plan.levels, plan.zeroed, codec, level) / 8
        else:
            total += count * _float_bytes(plan)
    return round(total)


def _float_bytes(plan: TensorPlan) -> float:
    """Of a number that is kept, as compressed: vectors are often nearly constant, matrices are not."""
    if len(plan.shape) < 2:
        return plan.bytes_each * (_VECTOR_SHARE if plan.bytes_each == 4.0 else 1.0)
    mantissa = _MANTISSA_BITS.get(plan.bytes_each)
    return plan.bytes_each if mantissa is None else (mantissa + _EXPONENT_BITS) / 8


@cache
def gaussian_bits(step: float, levels: int = 0, zeroed: float = 0.0) -> float:
    """Entropy in bits of round(z / step) for Gaussian z, codes beyond `levels` (0: none) drawn in.

    zeroed: share of the smallest |z| that are zero first. For steps below 1 and none of them this is
    2.047 - log2(step); from there on it falls faster, to 0.
    """
    edge = levels if levels else int(8 / step) + 1
    least = gaussian_size(zeroed)
    tails = [_tail(max((k - 0.5) * step, least)) for k in range(1, edge + 1)]
    inner = [nearer - farther for nearer, farther in pairwise(tails)]
    shares = [1 - 2 * tails[0], *(share for share in inner for _ in (0, 1)), *[tails[-1]] * 2]
    return -sum(share * math.log2(share) for share in shares if share > 0)


def gaussian_size(share: float) -> float:
    """The size |z| that so large a share of Gaussian z stays below."""
    return NormalDist().inv_cdf((1.0 + share) / 2.0) if share > 0 else 0.0


@cache
def _sampled_bits(step: float, levels: int, zeroed: float, codec: str, level: int | None) -> float:
    """Bits a code that a general codec takes for a sample; those of the entropy where its package is missing."""
    if codec not in available_codecs():
        return gaussian_bits(step, levels, zeroed)
    z = np.random.default_rng(0).normal(size=_SAMPLE)
    codes = np.rint(np.where(np.abs(z) < gaussian_size(zeroed), 0.0, z) / step)
    largest = min(levels or _INT16_MOST, _INT16_MOST)
    codes = codes.clip(-largest, largest).astype(np.int8 if np.abs(codes).max() < 128 or largest < 128 else np.int16)
    data = shuffle(codes.tobytes(), codes.itemsize)
    return 8 * len(compress(data, codec, level)) / _SAMPLE


@cache
def absmax_step(columns: int, levels: int) -> float:
    """Step in standard deviations that absmax scaling of `columns` Gaussian weights a scale gives, on average.

    The largest of n: the median of its distribution, P(|z| < m) ** n = 1/2.
    """
    low, high = 0.0, 12.0
    for _ in range(60):
        middle = (low + high) / 2
        inside = columns * math.log1p(-min(2 * _tail(middle), 1 - 1e-16))
        low, high = (middle, high) if inside < -math.log(2) else (low, middle)
    return high / levels


def _tail(z: float) -> float:
    return 0.5 * math.erfc(z / math.sqrt(2.0))
