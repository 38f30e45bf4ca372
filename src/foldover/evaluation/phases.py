"""Lessons for the weights themselves between documents (openai/parameter-golf, records from 2026-04-13 on: phased).

After given numbers of documents are scored, SGD passes once more over all of them and changes the weights for good;
what comes later is scored with the changed weights. The rate falls by a half cosine over the chunks of a phase, the
momentum begins anew. Deviations: rows do not cross documents; the last chunk is learned too, at a rate above zero,
since all of it is scored (upstream leaves it out, its rate is zero).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from foldover.evaluation.adaptation import Scored
from foldover.evaluation.scoring_model import AdaptableModel
from foldover.evaluation.sgd import SgdLearner, SgdRules, learned_by
from foldover.evaluation.stream import Stream
from foldover.evaluation.windows import Chunk


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseRules:
    """sgd: as of SGD on a stream; chunk: positions at one rate."""

    sgd: SgdRules
    chunk: int


class PhaseLearner:
    """See the module. put_back: gives the parameters their trained values."""

    def __init__(self, model: AdaptableModel, stream: Stream, rules: PhaseRules, put_back: Callable[[], None]) -> None:
        self._model, self._stream, self._rules, self._put_back = model, stream, rules, put_back

    def learn(self, scored: Scored) -> None:
        """A phase, on all positions of the chunk."""
        parameters = [parameter.tensor for parameter in learned_by(self._model.parameters(), self._rules.sgd)]
        learner = SgdLearner(self._model, self._stream, self._rules.sgd, parameters, self._put_back)
        chunk, size = scored.chunk, self._rules.chunk
        begins = range(chunk.lo, chunk.hi, size)
        _need(parameters, is_needed=True)
        for index, lo in enumerate(begins):
            # One more than there are: the rate reaches zero behind the last.
            part = Chunk(lo=lo, hi=min(lo + size, chunk.hi), index=index, count=len(begins) + 1)
            learner.learn(Scored(chunk=part, context=lo))
        _need(parameters, is_needed=False)

    def forget(self) -> None:
        """The weights as they were trained."""
        self._put_back()


def _need(parameters: Sequence[nn.Parameter], *, is_needed: bool) -> None:
    for parameter in parameters:
        parameter.grad = None
        parameter.requires_grad_(is_needed)
