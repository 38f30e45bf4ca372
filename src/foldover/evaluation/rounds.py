"""In which order documents are scored and learned from. No torch.

Documents that are independent of each other may be read in any order: those of like length side by side, each with its
own additions, which costs less time and gives the scores of one by one. Where something lasts from document to
document the order is that of the stream, and what lasts comes from documents whose every token is scored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from foldover.evaluation.windows import Chunk, Places, chunks_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Chunks that are scored side by side, then learned from. slots: whose additions serve each of the chunks."""

    chunks: tuple[Chunk, ...]
    slots: tuple[int, ...]

    @property
    def is_first(self) -> bool:
        """Whether its documents begin here."""
        return self.chunks[0].index == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A lesson for the weights themselves, from all units before position `end`; every one of them is scored."""

    end: int


def rounds_of(
    scopes: Places, *, size: int, at_once: int = 1, is_sorted: bool = False, phases: tuple[int, ...] = ()
) -> Iterator[Round | Phase]:
    """Rounds of chunks of `size` positions, and the phases between them.

    scopes: (U + 1,), where the units begin in each of which chunks are counted anew, and the end; at_once: how many
    units side by side; is_sorted: whether units of like length come together, within a segment between phases; phases:
    numbers of units after which there is one, rising. A unit without positions has no round.
    """
    units = [chunks_of(scopes[index : index + 2], size=size) for index in range(len(scopes) - 1)]
    ends = [*phases, len(units)]
    for first, last in zip([0, *phases], ends, strict=True):
        members = [chunks for chunks in units[first:last] if chunks]
        if is_sorted:
            members.sort(key=lambda chunks: chunks[-1].hi - chunks[0].lo)
        for begin in range(0, len(members), at_once):
            yield from _side_by_side(members[begin : begin + at_once])
        if last in phases:
            yield Phase(end=int(scopes[last]))


def _side_by_side(members: list[tuple[Chunk, ...]]) -> Iterator[Round]:
    for index in range(max(map(len, members))):
        present = [(slot, chunks[index]) for slot, chunks in enumerate(members) if index < len(chunks)]
        yield Round(chunks=tuple(chunk for _, chunk in present), slots=tuple(slot for slot, _ in present))
