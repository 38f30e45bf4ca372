"""Bits per byte and nats per token. A threshold in one is never compared with a number in the other unconverted."""

from __future__ import annotations

import math
from typing import Literal

from foldover.core import AnalysisError

Unit = Literal["bits_per_byte", "nats_per_token", "bits_per_token"]
UNITS: tuple[Unit, ...] = ("bits_per_byte", "nats_per_token", "bits_per_token")


def nats_to_bpb(nats_per_token: float, *, tokens: float, num_bytes: float) -> float:
    """Bits per byte of a text of `num_bytes` bytes that is `tokens` tokens long: nats * tokens / bytes / ln 2."""
    return nats_per_token * _tokens_per_byte(tokens, num_bytes) / math.log(2.0)


def bpb_to_nats(bits_per_byte: float, *, tokens: float, num_bytes: float) -> float:
    """Nats per token: the inverse of `nats_to_bpb`."""
    return bits_per_byte * math.log(2.0) / _tokens_per_byte(tokens, num_bytes)


def convert(value: float, source: Unit, target: Unit, *, tokens_per_byte: float | None = None) -> float:
    """A loss or a difference of losses in another unit.

    Raises AnalysisError where bytes meet tokens and `tokens_per_byte` (of the validation text) is not given.
    """
    for unit in (source, target):
        if unit not in UNITS:
            raise AnalysisError("unknown unit of loss", value=unit, fix=f"Use one of {', '.join(UNITS)}.")
    if source == target:
        return value
    bits_per_token = value
    if source == "nats_per_token":
        bits_per_token = value / math.log(2.0)
    elif source == "bits_per_byte":
        bits_per_token = value / _ratio(tokens_per_byte, source, target)
    if target == "nats_per_token":
        return bits_per_token * math.log(2.0)
    if target == "bits_per_byte":
        return bits_per_token * _ratio(tokens_per_byte, source, target)
    return bits_per_token


def _ratio(tokens_per_byte: float | None, source: Unit, target: Unit) -> float:
    if tokens_per_byte is None or not tokens_per_byte > 0.0:
        raise AnalysisError(
            f"{source} cannot be turned into {target} without the number of tokens per byte",
            value=tokens_per_byte,
            fix="Give `tokens_per_byte` of the validation text: tokens / bytes.",
        )
    return tokens_per_byte


def _tokens_per_byte(tokens: float, num_bytes: float) -> float:
    if not (tokens > 0 and num_bytes > 0):
        raise AnalysisError("tokens and bytes must be positive", value=(tokens, num_bytes))
    return tokens / num_bytes
