"""A source that counts n-grams (levers `evaluate.ngram_*`)."""

from __future__ import annotations

from collections import Counter, deque

from foldover.evaluation.mixtures import Proposal


class Ngrams:
    """Shares of what followed the latest n - 1 tokens before, by counts; n from `order` down to the first known."""

    def __init__(self, *, order: int, weight: float) -> None:
        self._weight = weight
        self._sizes = range(order - 1, 0, -1)
        self._latest: deque[int] = deque(maxlen=order - 1)
        self._followers: dict[tuple[int, ...], Counter[int]] = {}

    def begin(self) -> None:
        """What came before is no context."""
        self._latest.clear()

    def observe(self, token: int) -> None:
        """Count it after each of its contexts."""
        for context in self._contexts():
            self._followers.setdefault(context, Counter())[token] += 1
        self._latest.append(token)

    def propose(self, seen: int) -> Proposal | None:
        """By the longest context that is known; the first to come of those with equal counts is the likeliest."""
        for context in self._contexts():
            counts = self._followers.get(context)
            if counts:
                ranked = counts.most_common()
                total = counts.total()
                return Proposal(
                    tokens=tuple(token for token, _ in ranked),
                    shares=tuple(count / total for _, count in ranked),
                    weight=self._weight,
                )
        return None

    def _contexts(self) -> list[tuple[int, ...]]:
        latest = tuple(self._latest)
        return [latest[len(latest) - size :] for size in self._sizes if size <= len(latest)]
