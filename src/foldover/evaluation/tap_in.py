"""A source that looks for earlier matches of the latest tokens (levers `evaluate.tap_in_*`).

From the text of openai/parameter-golf's pull request 1518. The longest matches vote for the token that followed; it
gets the share

    w = min(cap, base (1 + .15 (length - shortest)) (1 + .2 ln votes))

with one base for matches that end within the model's window and one for those before it. The text counts the length
from 3, which is `shortest` there.
"""

from __future__ import annotations

import math
from collections import Counter

from foldover.evaluation.mixtures import Proposal


class TapIn:
    """Matches of `shortest` tokens and more, the latest `candidates` of them; longer than `longest` counts as that."""

    def __init__(self, *, near: float, far: float, shortest: int, longest: int, cap: float, candidates: int) -> None:
        self._near, self._far, self._cap = near, far, cap
        self._shortest, self._longest, self._candidates = shortest, longest, candidates
        self._tokens: list[int] = []
        self._begun = 0  # where the unit begins
        self._ends: dict[tuple[int, ...], list[int]] = {}  # of each run of `shortest` tokens: where it ended
        self._matches: dict[int, int] = {}  # end of an earlier match of the latest tokens: its length

    def begin(self) -> None:
        """No match reaches back over this."""
        self._begun = len(self._tokens)
        self._matches = {}

    def observe(self, token: int) -> None:
        """Matches that go on grow by one, others end, new ones begin."""
        grown = {
            end + 1: min(length + 1, self._longest)
            for end, length in self._matches.items()
            if self._tokens[end + 1] == token
        }
        self._tokens.append(token)
        if len(self._tokens) - self._begun >= self._shortest:
            ends = self._ends.setdefault(tuple(self._tokens[-self._shortest :]), [])
            for end in ends[-self._candidates :]:
                grown.setdefault(end, self._shortest)
            ends.append(len(self._tokens) - 1)
        if len(grown) > self._candidates:
            grown = {end: grown[end] for end in sorted(grown)[-self._candidates :]}
        self._matches = grown

    def propose(self, seen: int) -> Proposal | None:
        """What followed most of the longest matches; the latest decides between equals."""
        if not self._matches:
            return None
        length = max(self._matches.values())
        ends = sorted(end for end, found in self._matches.items() if found == length)
        votes = Counter(self._tokens[end + 1] for end in reversed(ends))
        token, count = votes.most_common(1)[0]
        window = len(self._tokens) - seen
        is_near = any(end - length + 1 >= window for end in ends if self._tokens[end + 1] == token)
        base = self._near if is_near else self._far
        weight = base * (1.0 + 0.15 * (length - self._shortest)) * (1.0 + 0.2 * math.log(count))
        return Proposal(tokens=(token,), shares=(1.0,), weight=min(self._cap, weight))
