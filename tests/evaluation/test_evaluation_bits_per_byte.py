import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from foldover.core import DataError
from foldover.evaluation.bits_per_byte import bits_per_byte
from foldover.evaluation.score import Score

CPU = torch.device("cpu")
VOCABULARY, CONTEXT = 50, 16


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(0).integers(0, VOCABULARY, (12, CONTEXT + 1)).astype(np.uint16)


@pytest.fixture
def token_bytes() -> np.ndarray:
    sizes = np.random.default_rng(1).integers(1, 9, VOCABULARY).astype(np.int32)
    sizes[-4:] = 0  # specials
    return sizes


def score_of(logits_of: Callable, rows: np.ndarray, token_bytes: np.ndarray, batch_rows: int = 4) -> Score:
    sizes = token_bytes[rows[:, 1:].astype(int)].astype(np.int64)
    return bits_per_byte(logits_of, rows, sizes, sizes > 0, device=CPU, batch_rows=batch_rows)


def logits_table() -> torch.Tensor:
    return 15 * torch.tanh(torch.randn(VOCABULARY, VOCABULARY, generator=torch.Generator().manual_seed(0)))


def test_agrees_with_plain_numpy_to_nine_digits(rows: np.ndarray, token_bytes: np.ndarray) -> None:
    table = logits_table()
    score = score_of(lambda ids: table[ids], rows, token_bytes, 5)
    nats, scored_bytes = 0.0, 0
    for row in rows:
        for context, target in itertools.pairwise(row):
            logits = table[int(context)].numpy().astype(np.float64)
            if token_bytes[target]:
                nats += math.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[target]
                scored_bytes += int(token_bytes[target])
    assert score.bytes == scored_bytes
    assert score.bits_per_byte == pytest.approx(nats / (math.log(2) * scored_bytes), abs=1e-9)


def test_a_uniform_model_scores_log2_of_the_vocabulary_a_token(rows: np.ndarray, token_bytes: np.ndarray) -> None:
    score = score_of(lambda ids: torch.zeros(*ids.shape, VOCABULARY), rows, token_bytes, 4)
    assert score.bits_per_byte == pytest.approx(score.tokens * math.log2(VOCABULARY) / score.bytes, rel=1e-12)


def test_does_not_depend_on_the_batch(rows: np.ndarray, token_bytes: np.ndarray) -> None:
    table = logits_table()
    scores = [score_of(lambda ids: table[ids], rows, token_bytes, n).bits_per_byte for n in (1, 5, 12)]
    assert scores == pytest.approx([scores[0]] * 3, rel=1e-13)


def test_special_tokens_are_context_but_not_scored(rows: np.ndarray, token_bytes: np.ndarray) -> None:
    rows[:, 8] = VOCABULARY - 1
    score = score_of(lambda ids: torch.zeros(*ids.shape, VOCABULARY), rows, token_bytes, 4)
    assert score.tokens == int((token_bytes[rows[:, 1:].astype(int)] > 0).sum())
    assert score.tokens <= rows.shape[0] * (CONTEXT - 1)


def test_nothing_to_score_is_an_error(token_bytes: np.ndarray) -> None:
    specials = np.full((2, CONTEXT + 1), VOCABULARY - 1, dtype=np.uint16)
    with pytest.raises(DataError, match="no byte"):
        score_of(lambda ids: torch.zeros(*ids.shape, VOCABULARY), specials, token_bytes, 4)


def test_a_model_that_is_not_finite_has_no_number(rows: np.ndarray, token_bytes: np.ndarray) -> None:
    score = score_of(lambda ids: torch.full((*ids.shape, VOCABULARY), math.nan), rows, token_bytes, 4)
    assert not score.is_finite
