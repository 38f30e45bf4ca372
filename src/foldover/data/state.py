"""Where a loader is, as plain values that a checkpoint can hold."""

from __future__ import annotations

from dataclasses import dataclass

from foldover.core import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class RowsState:
    """The position of a loader of rows.

    source: what the rows depend on (digest of the stream, row length, seed, rules): a state belongs to no other.
    rows: given so far; arrived: units that have entered the buffer of a packer; waiting: numbers of arrival of
    those still in it. Exact: the rows after `restore` are those that would have come.
    """

    source: str
    rows: int
    arrived: int = 0
    waiting: tuple[int, ...] = ()


def check_state(state: RowsState, source: str) -> None:
    """Raises DataError unless the state belongs to this source."""
    if state.source != source:
        raise DataError(
            f"the position in the checkpoint belongs to other rows: {state.source}, not {source}",
            fix="Resume with the corpus, tokenizer, context, seed and loader of the run that was interrupted.",
        )
