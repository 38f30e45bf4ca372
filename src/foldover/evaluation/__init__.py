"""Measuring a model: bits per byte on the pinned validation stream."""

from foldover.evaluation.bits_per_byte import Score, bits_per_byte

__all__ = ["Score", "bits_per_byte"]
