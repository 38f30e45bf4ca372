import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldover.evaluation.windows import (
    Windows,
    batches_of,
    chunks_of,
    sliding_windows,
    split_windows,
    windows_in,
)


def listed(windows: Windows) -> list[tuple[int, int, int]]:
    columns = (windows.starts, windows.stops, windows.firsts)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def units(*lengths: int) -> np.ndarray:
    return np.cumsum([0, *lengths])


def test_windows_of_a_small_stream_are_those_counted_by_hand() -> None:
    # 11 tokens, 10 positions; T = 4, s = 3: windows at 0, 3, 6 since 9 + 1 is no position any more
    assert listed(sliding_windows(units(11), context=4, stride=3)) == [(0, 4, 0), (3, 7, 4), (6, 10, 7)]


def test_the_last_window_is_partial() -> None:
    assert listed(sliding_windows(units(10), context=4, stride=3)) == [(0, 4, 0), (3, 7, 4), (6, 9, 7)]


def test_a_unit_shorter_than_a_window_is_one_window_and_one_of_a_token_none() -> None:
    assert listed(sliding_windows(units(1, 3, 6), context=4, stride=2)) == [(1, 3, 1), (4, 8, 4), (6, 9, 8)]


sizes = st.lists(st.integers(1, 40), min_size=1, max_size=4)


@given(sizes, st.integers(1, 12), st.integers(1, 12), st.integers(1, 30), st.booleans())
def test_each_position_is_scored_once_with_the_context_that_is_due(
    lengths: list[int], context: int, stride: int, chunk: int, is_reset: bool
) -> None:
    stride = min(stride, context)
    ends = units(*lengths)
    windows = sliding_windows(ends, context=context, stride=stride)
    scopes = ends if is_reset else ends[[0, -1]]
    chunks = chunks_of(scopes, size=chunk)
    split = split_windows(windows, np.array([c.lo for c in chunks], dtype=np.int64))
    for plan in (windows, split):
        counts = np.zeros(ends[-1], dtype=int)
        for start, stop, first in listed(plan):
            counts[first:stop] += 1
            unit = ends[np.searchsorted(ends, start, "right") - 1]
            assert stop - start <= context
            assert first - start >= min(context - stride, first - unit)  # context ahead of what is scored
        wanted = np.ones(ends[-1], dtype=int)
        wanted[ends[1:] - 1] = 0
        assert counts.tolist() == wanted.tolist()
    for c in chunks:
        assert all(c.lo <= split.firsts[i] and split.stops[i] <= c.hi for i in windows_in(split, c))
    assert sum(len(windows_in(split, c)) for c in chunks) == len(split)


@given(sizes, st.integers(1, 60))
def test_a_smaller_stride_never_scores_fewer_tokens(lengths: list[int], at_once: int) -> None:
    ends = units(*lengths)

    def scored(stride: int) -> int:
        windows = sliding_windows(ends, context=8, stride=stride)
        groups = np.zeros(len(windows), dtype=np.int64)
        batches = batches_of(windows, range(len(windows)), tokens_at_once=at_once, groups=groups)
        return sum(len(batch.starts) * (batch.length - batch.offset) for batch in batches)

    assert scored(1) == scored(3) == scored(8) == int(ends[-1]) - len(lengths)


def test_batches_hold_windows_of_one_shape_and_group_in_order() -> None:
    windows = sliding_windows(units(20), context=6, stride=2)
    groups = np.array([0, 0, 0, 1, 1, 1, 1, 1])[: len(windows)]
    found = list(batches_of(windows, range(len(windows)), tokens_at_once=24, groups=groups))
    assert [batch.starts for batch in found] == [(0,), (2, 4), (6, 8, 10, 12), (14,)]
    assert [(batch.length, batch.offset) for batch in found] == [(6, 0), (6, 4), (6, 4), (5, 4)]


def test_chunks_count_anew_where_the_model_begins_anew() -> None:
    found = chunks_of(units(6, 3), size=4)
    assert [(c.lo, c.hi, c.index, c.is_last) for c in found] == [(0, 4, 0, False), (4, 5, 1, True), (6, 8, 0, True)]


def test_a_split_window_keeps_its_context() -> None:
    windows = sliding_windows(units(9), context=8, stride=8)
    assert listed(split_windows(windows, np.array([0, 3, 6]))) == [(0, 3, 0), (0, 6, 3), (0, 8, 6)]


def test_no_units_give_no_windows() -> None:
    assert len(sliding_windows(units(1), context=4, stride=2)) == 0
    assert chunks_of(units(1), size=4) == ()
    with pytest.raises(IndexError):
        _ = sliding_windows(units(1), context=4, stride=2).starts[0]
