from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldover.core import DataError
from foldover.data import LongDocuments, cut_units, pack_rows

BOS = 9_999

Documents = list[list[int]]


def stream_of(documents: Documents) -> tuple[np.ndarray, np.ndarray]:
    tokens = np.array([i for document in documents for i in (BOS, *document)], dtype=np.uint16)
    offsets = np.cumsum([0, *(len(document) + 1 for document in documents)])
    return tokens, offsets


def pack(documents: Documents, row_length: int, **options: object) -> list[list[int]]:
    tokens, offsets = stream_of(documents)
    rows = pack_rows(tokens, offsets, row_length=row_length, bos_id=BOS, **options)  # type: ignore[arg-type]
    return [row.tolist() for row in rows]


def brute_force(units: Documents, row_length: int, buffer_size: int, refill: int) -> list[list[int]]:
    """Best-fit packing as its description says, by looking at every waiting unit each time."""
    arriving, waiting, rows = list(units), [], []
    while True:
        row: list[int] = []
        while len(row) < row_length:
            while len(waiting) < buffer_size and arriving:
                waiting += arriving[:refill]
                del arriving[:refill]
            if not waiting:
                return rows
            fitting = [unit for unit in waiting if len(unit) <= row_length - len(row)]
            best = max(fitting, key=len) if fitting else min(waiting, key=len)
            waiting.remove(best)
            row += best[: row_length - len(row)]
        rows.append(row)


def pieces(documents: Documents, size: int) -> Documents:
    return [[BOS, *d[i : i + size]] for d in documents for i in range(0, max(len(d), 1), size)]


def numbered(lengths: list[int]) -> Documents:
    """Documents of these lengths in which no id comes twice."""
    ids = iter(range(sum(lengths)))
    return [[next(ids) for _ in range(length)] for length in lengths]


documents = st.lists(st.integers(0, 14), min_size=1, max_size=30).map(numbered)
row_lengths = st.integers(2, 9)
relaxed = settings(max_examples=150)
rules = st.sampled_from(["split", "crop"])


@relaxed
@given(
    documents=documents,
    row_length=row_lengths,
    rule=rules,
    buffer_size=st.integers(1, 8),
    refill=st.integers(1, 5),
    data=st.data(),
)
def test_rows_are_those_of_a_brute_force_search(
    documents: Documents,
    row_length: int,
    rule: LongDocuments,
    buffer_size: int,
    refill: int,
    data: st.DataObject,
) -> None:
    units = pieces(documents, row_length - 1) if rule == "split" else [[BOS, *d] for d in documents]
    order = data.draw(st.permutations(range(len(units))))
    found = pack(documents, row_length, order=order, long_documents=rule, buffer_size=buffer_size, refill=refill)
    assert found == brute_force([units[i] for i in order], row_length, buffer_size, refill)


@relaxed
@given(documents=documents, row_length=row_lengths, rule=rules)
def test_every_row_is_full_and_starts_with_bos(documents: Documents, row_length: int, rule: LongDocuments) -> None:
    rows = pack(documents, row_length, long_documents=rule)
    assert all(row[0] == BOS and len(row) == row_length for row in rows)


@relaxed
@given(documents=documents, row_length=row_lengths, rule=rules)
def test_no_token_comes_twice_in_one_pass(documents: Documents, row_length: int, rule: LongDocuments) -> None:
    ids = [i for row in pack(documents, row_length, long_documents=rule) for i in row if i != BOS]
    assert len(ids) == len(set(ids))


@relaxed
@given(documents=documents, row_length=row_lengths)
def test_within_a_unit_tokens_stay_in_order(documents: Documents, row_length: int) -> None:
    follows = {pair for document in documents for pair in pairwise(document)}
    rows = pack(documents, row_length)
    assert all(b == BOS or a == BOS or (a, b) in follows for row in rows for a, b in pairwise(row))


def test_two_iterators_give_the_same_rows() -> None:
    texts = numbered([5, 3, 8, 1, 0, 7, 2])
    assert pack(texts, 5) == pack(texts, 5)


def test_rows_do_not_share_memory() -> None:
    tokens, offsets = stream_of(numbered([4, 4]))
    first, second = pack_rows(tokens, offsets, row_length=5, bos_id=BOS)
    assert not np.shares_memory(first, second)


def test_the_longest_unit_that_fits_is_taken() -> None:
    assert pack([[1], [2, 3, 4], [5, 6]], 7)[0] == [BOS, 2, 3, 4, BOS, 5, 6]


def test_the_first_to_arrive_is_taken_among_equals() -> None:
    assert pack([[1], [2]], 2) == [[BOS, 1], [BOS, 2]]


def test_the_shortest_is_cropped_where_none_fits() -> None:
    assert pack([[1, 2, 3], [4, 5, 6, 7], [8, 9, 10]], 6)[0] == [BOS, 4, 5, 6, 7, BOS]


def test_split_loses_nothing_of_documents_of_whole_rows() -> None:
    rows = pack(numbered([8]), 5)
    assert rows == [[BOS, 0, 1, 2, 3], [BOS, 4, 5, 6, 7]]


def test_crop_takes_the_head_of_a_long_document_and_drops_the_rest() -> None:
    assert pack(numbered([8]), 5, long_documents="crop") == [[BOS, 0, 1, 2, 3]]


def test_pieces_of_a_document_are_consecutive_and_the_last_is_shorter() -> None:
    tokens, offsets = stream_of(numbered([2, 7]))
    units = cut_units(tokens, offsets, row_length=4, bos_id=BOS)
    assert (units.starts.tolist(), units.lengths.tolist()) == ([1, 4, 7, 10], [3, 4, 4, 2])


@pytest.mark.parametrize("options", [{"buffer_size": 0}, {"refill": 0}, {"row_length": 1}])
def test_impossible_sizes_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(DataError, match="at least"):
        pack([[1]], **{"row_length": 2, **options})


def test_a_document_without_bos_is_refused() -> None:
    tokens, offsets = stream_of([[1, 2], [3]])
    with pytest.raises(DataError, match="does not begin with BOS"):
        list(pack_rows(tokens, offsets, row_length=3, bos_id=5))


@pytest.mark.parametrize("offsets", [[0], [0, 3], [1, 5], [0, 0, 5], [0, 6, 5]])
def test_offsets_of_another_stream_are_refused(offsets: list[int]) -> None:
    tokens, _ = stream_of([[1, 2], [3]])
    with pytest.raises(DataError, match="offsets do not match"):
        list(pack_rows(tokens, np.array(offsets), row_length=3, bos_id=BOS))
