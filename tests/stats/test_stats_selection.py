"""Records, units and the bias of the best of k."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldover.core import AnalysisError
from foldover.stats import (
    bpb_to_nats,
    confirm_winner,
    convert,
    expected_minimum,
    nats_to_bpb,
    record_test,
    selection_bias,
)

NEW = [3.2700, 3.2710, 3.2705]


def test_three_seeds_need_t_of_minus_6_96() -> None:
    # The 1% point of t on 2 df is -6.9646: a t just beyond passes, one just short does not.
    sd = 0.001
    new = np.array([-1.0, 0.0, 1.0]) * sd
    for t, passes in ((-6.97, True), (-6.96, False)):
        shifted = new + 3.275 + t * sd / math.sqrt(3)
        found = record_test(list(shifted), 3.28, margin=0.005, unit="nats_per_token")
        assert found.t == pytest.approx(t, rel=1e-6)
        assert found.passes is passes


def test_record_where_higher_is_better_mirrors_the_test() -> None:
    low = record_test(NEW, 3.28, margin=0.005, unit="nats_per_token")
    high = record_test([-x for x in NEW], -3.28, margin=0.005, unit="nats_per_token", better="higher")
    assert high.p == pytest.approx(low.p)
    assert (high.t, high.threshold) == pytest.approx((-low.t, -low.threshold))


def test_margin_in_nats_is_converted_for_a_response_in_bits_per_byte() -> None:
    ratio = 0.25  # tokens per byte
    nats = record_test(NEW, 3.28, margin=0.005, unit="nats_per_token")
    bpb = record_test(
        [nats_to_bpb(x, tokens=1, num_bytes=4) for x in NEW],
        nats_to_bpb(3.28, tokens=1, num_bytes=4),
        margin=0.005,
        unit="bits_per_byte",
        margin_unit="nats_per_token",
        tokens_per_byte=ratio,
    )
    assert bpb.p == pytest.approx(nats.p, rel=1e-9)


def test_mixed_units_without_tokens_per_byte_are_refused() -> None:
    with pytest.raises(AnalysisError, match="number of tokens per byte"):
        record_test(NEW, 1.2, margin=0.005, unit="bits_per_byte", margin_unit="nats_per_token")


def test_published_incumbent_is_said_to_be_taken_as_exact() -> None:
    assert "taken as exact" in record_test(NEW, 3.28, margin=0.005, unit="nats_per_token").notes[0]


def test_incumbent_that_was_the_best_of_several_carries_its_bias() -> None:
    found = record_test(NEW, 3.28, margin=0.005, unit="nats_per_token", incumbent_best_of=16)
    assert "best of 16" in found.notes[1]


def test_equal_new_runs_are_refused() -> None:
    with pytest.raises(AnalysisError, match="gave the same number"):
        record_test([3.27, 3.27], 3.28, margin=0.005, unit="nats_per_token")


def test_one_new_run_is_refused() -> None:
    with pytest.raises(AnalysisError, match="at least 2"):
        record_test([3.27], 3.28, margin=0.005, unit="nats_per_token")


@pytest.mark.parametrize("margin", [-0.005, math.nan])
def test_margin_below_zero_is_refused(margin: float) -> None:
    with pytest.raises(AnalysisError, match="margin of a record"):
        record_test(NEW, 3.28, margin=margin, unit="nats_per_token")


def test_type_one_error_of_the_record_test_at_its_boundary() -> None:
    rng = np.random.default_rng(5)
    passes = [
        record_test(list(3.275 + 0.001 * rng.standard_normal(4)), 3.28, margin=0.005, unit="nats_per_token").passes
        for _ in range(4000)
    ]
    assert abs(np.mean(passes) - 0.01) < 3 * math.sqrt(0.01 * 0.99 / 4000)


@given(st.floats(0.1, 20.0), st.floats(0.05, 2.0))
def test_units_round_trip(value: float, ratio: float) -> None:
    there = convert(value, "nats_per_token", "bits_per_byte", tokens_per_byte=ratio)
    assert convert(there, "bits_per_byte", "nats_per_token", tokens_per_byte=ratio) == pytest.approx(value)
    assert there == pytest.approx(nats_to_bpb(value, tokens=ratio, num_bytes=1.0))
    assert bpb_to_nats(there, tokens=ratio, num_bytes=1.0) == pytest.approx(value)


def test_nats_and_bits_per_token_need_no_bytes() -> None:
    assert convert(math.log(2.0), "nats_per_token", "bits_per_token") == pytest.approx(1.0)


def test_unknown_unit_is_refused() -> None:
    with pytest.raises(AnalysisError, match="unknown unit"):
        convert(1.0, "perplexity", "bits_per_byte")  # type: ignore[arg-type]


def test_expected_minimum_of_one_draw_is_its_mean() -> None:
    assert expected_minimum(1) == pytest.approx(0.0, abs=1e-12)


def test_expected_minimum_falls_with_n() -> None:
    values = [expected_minimum(n) for n in (1, 2, 3, 10, 100)]
    assert values == sorted(values, reverse=True)


def test_best_of_16_with_the_seed_sd_of_the_paper() -> None:
    # doe practice: seed sd 0.0027 at best-of-16 is about 0.0048 too good.
    assert selection_bias(0.0027, 16) == pytest.approx(0.0048, abs=5e-5)


def test_confirmation_reports_the_loss_under_fresh_seeds() -> None:
    found = confirm_winner(1.0, [1.1, 1.2, 1.3])
    assert found.shrinkage == pytest.approx(0.2)
    assert found.low < 0.2 < found.high


def test_confirmation_by_one_seed_is_refused() -> None:
    with pytest.raises(AnalysisError, match="at least 2"):
        confirm_winner(1.0, [1.1])
