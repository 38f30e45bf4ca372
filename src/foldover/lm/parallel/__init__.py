"""Several processes on one run, each with its share of the rows (data parallel training)."""

from foldover.lm.parallel.buckets import AtOnce, GradientSum, Overlapped
from foldover.lm.parallel.ranks import Alone, Nowhere, RankDiedError, Ranks, Recorder, share_of, tokens_of_ranks

__all__ = [
    "Alone",
    "AtOnce",
    "GradientSum",
    "Nowhere",
    "Overlapped",
    "RankDiedError",
    "Ranks",
    "Recorder",
    "share_of",
    "tokens_of_ranks",
]
