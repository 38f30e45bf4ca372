"""Temperature, sidecars, n-grams and Tap-In against plain loops."""

import math
from collections import Counter

import numpy as np
import pytest
import torch

from foldover.core import DataError, EvaluationError
from foldover.evaluation.evaluate import evaluate
from foldover.evaluation.mixtures import Proposal, SourceMixer, mix, tilt
from foldover.evaluation.ngrams import Ngrams
from foldover.evaluation.scoring_model import ModuleScorer
from foldover.evaluation.sidecars import cache_stage, temperature_stage
from foldover.evaluation.tap_in import TapIn
from foldover.evaluation.temperature import fit_temperature

from .conftest import Tiny, inputs_of, levers, scorer_of, stream_of

A, B, C = 0, 1, 2
VOCABULARY = 5


def random_log_probs(rows: int, seed: int = 0) -> torch.Tensor:
    drawn = torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn.log_softmax(dim=-1)


def loop_bonus(ids: list[int], p: int, *, recency: float, bigram: float, size: int, is_corrected: bool) -> list[float]:
    bonus = [0.0] * VOCABULARY
    shift = 0 if is_corrected else 1
    for lag in range(1, size + 1):
        place = p - lag + 1 - shift
        if place >= 0:
            bonus[ids[place]] += recency / lag
        if place >= 1 and p - shift >= 0 and ids[p - shift] == ids[place - 1]:
            bonus[ids[place]] += bigram
    return bonus


@pytest.mark.parametrize("is_corrected", [True, False])
@pytest.mark.parametrize("num_scored", [9, 4])
def test_the_bonuses_are_those_of_a_loop(is_corrected: bool, num_scored: int) -> None:
    rows = [[0, 1, 0, 2, 0, 1, 1, 3, 0], [4, 4, 4, 1, 2, 3, 1, 2, 3]]
    stage = cache_stage(recency=0.3, bigram=0.5, size=4, is_corrected=is_corrected)
    found = stage(torch.zeros(2, num_scored, VOCABULARY), torch.tensor(rows))
    for ids, bonuses in zip(rows, found, strict=True):
        for i, bonus in enumerate(bonuses):
            p = 9 - num_scored + i
            wanted = loop_bonus(ids, p, recency=0.3, bigram=0.5, size=4, is_corrected=is_corrected)
            assert bonus.tolist() == pytest.approx(wanted, abs=1e-6)


def test_on_ababab_the_corrected_bigram_raises_what_comes_next_and_the_public_one_what_came_last() -> None:
    ids, flat = torch.tensor([[A, B, A, B, A]]), torch.zeros(1, 5, VOCABULARY)
    corrected, public = (
        cache_stage(recency=0.0, bigram=1.0, size=4, is_corrected=is_corrected)(flat, ids)[0, -1].softmax(dim=-1)
        for is_corrected in (True, False)
    )
    assert corrected[B] > 0.2 > corrected[A]
    assert public[A] > 0.2 > public[B]


def test_weights_of_zero_and_a_temperature_of_one_change_no_bit(model: ModuleScorer) -> None:
    logits = torch.randn(2, 6, VOCABULARY)
    ids = torch.randint(0, VOCABULARY, (2, 6))
    assert torch.equal(temperature_stage(1.0)(logits, ids), logits)
    assert torch.equal(cache_stage(recency=0.0, bigram=0.0, size=3, is_corrected=True)(logits, ids), logits)
    stream = stream_of(60, 50)
    none = evaluate(model, inputs_of(stream), levers(mode="sliding"), is_proven=False).responses
    rest = {"cache_size": 3, "ngram_order": 5, "tap_in_cap": 0.1, "cache_form": "public"}
    zero = evaluate(model, inputs_of(stream), levers(mode="sliding", **rest), is_proven=False).responses
    assert zero == none


def test_temperature_divides_logits(module: Tiny, model: ModuleScorer) -> None:
    stream = stream_of(70)
    hot = evaluate(model, inputs_of(stream), levers(mode="sliding", temperature=1.7), is_proven=False)
    scaled = scorer_of(module)
    scaled.logits = lambda ids: module(ids) / 1.7  # type: ignore[method-assign]
    wanted = evaluate(scaled, inputs_of(stream), levers(mode="sliding"), is_proven=False)
    assert hot.responses.number("mixed_bpb") == pytest.approx(wanted.responses.number("sliding_bpb"), rel=1e-6)
    assert hot.responses.number("sliding_bpb") != hot.responses.number("mixed_bpb")


def test_the_fitted_temperature_is_the_best_of_a_fine_grid_on_training_rows(model: ModuleScorer) -> None:
    rows = np.random.default_rng(3).integers(0, 22, (6, 17)).astype(np.uint16)
    found = fit_temperature(model, rows, validation=stream_of(60))
    ids = torch.from_numpy(rows.astype(np.int64))
    with torch.no_grad():
        logits = model.logits(ids[:, :-1]).double()
    grid = np.arange(0.3, 4.0, 0.005)
    losses = [float(torch.nn.functional.cross_entropy((logits / t).flatten(0, 1), ids[:, 1:].flatten())) for t in grid]
    assert found == pytest.approx(grid[int(np.argmin(losses))], abs=0.006)


def test_a_temperature_is_not_fitted_to_validation_text(model: ModuleScorer) -> None:
    stream = stream_of(60, 40)
    with pytest.raises(DataError, match="at token 21"):
        fit_temperature(model, stream.ids[None, 21:38], validation=stream)
    with pytest.raises(DataError, match="training"):
        evaluate(model, inputs_of(stream), levers(fitted_temperature=True))


def test_a_temperature_is_not_fitted_to_the_rows_of_the_plain_score_either(model: ModuleScorer) -> None:
    stream = stream_of(60, 40)
    inputs = inputs_of(stream, stream=stream_of(70, 30, seed=1), training_rows=inputs_of(stream).rows.ids[2:4])
    with pytest.raises(DataError, match="stands in the validation stream"):
        evaluate(model, inputs, levers(mode="sliding", fitted_temperature=True))


def test_a_fitted_temperature_acts(model: ModuleScorer) -> None:
    rows = np.random.default_rng(3).integers(0, 22, (6, 17)).astype(np.uint16)
    stream = stream_of(60, 40)
    fitted = levers(fitted_temperature=True)
    found = evaluate(model, inputs_of(stream, training_rows=rows), fitted, is_proven=False).responses
    by_hand = levers(temperature=fit_temperature(model, rows, validation=stream))
    assert found == evaluate(model, inputs_of(stream), by_hand, is_proven=False).responses
    assert found.number("mixed_bpb") != found.number("val_bpb")


def test_mixing_keeps_distributions_and_leaves_rows_without_a_proposal() -> None:
    log_probs = random_log_probs(3)
    proposals = [None, Proposal(tokens=(B, A), shares=(0.75, 0.25), weight=0.4), None]
    mixed = mix(log_probs, proposals)
    assert torch.equal(mixed[[0, 2]], log_probs[[0, 2]])
    wanted = 0.6 * log_probs[1].exp() + 0.4 * torch.tensor([0.25, 0.75, 0, 0, 0], dtype=torch.float64)
    assert mixed[1].exp().tolist() == pytest.approx(wanted.tolist(), abs=1e-14)
    assert mixed.exp().sum(dim=-1).tolist() == pytest.approx([1.0] * 3, abs=1e-14)


def test_a_tilt_multiplies_by_its_factor_and_divides_by_the_sum() -> None:
    log_probs = random_log_probs(2)
    tilted = tilt(2.0)(log_probs, [None, Proposal(tokens=(C, A), shares=(0.5, 0.5), weight=0.1)])
    raised = log_probs[1].exp() * torch.tensor([1, 1, math.exp(2.0), 1, 1], dtype=torch.float64)
    assert tilted[1].exp().tolist() == pytest.approx((raised / raised.sum()).tolist(), abs=1e-14)
    assert torch.equal(tilted[0], log_probs[0])


@pytest.mark.parametrize("shares", [(0.5, 0.4), (277.0, 1.0), (1.0, 0.0), (float("nan"), 1.0)])
def test_shares_that_are_no_distribution_are_refused_by_name(shares: tuple[float, ...]) -> None:
    with pytest.raises(EvaluationError) as caught:
        Proposal(tokens=(0, 1), shares=shares, weight=0.1)
    assert caught.value.rule == "normalisation"


def test_ngrams_count_what_followed_and_fall_back_to_shorter_contexts() -> None:
    ids = [A, B, C, A, B, A, C, A, B]
    source = Ngrams(order=3, weight=0.2)
    for known, token in enumerate(ids):
        proposal = source.propose(known)
        wanted: Counter[int] = Counter()
        for size in (2, 1):
            if known >= size and not wanted:
                context = ids[known - size : known]
                wanted = Counter(ids[i] for i in range(size, known) if ids[i - size : i] == context)
        if not wanted:
            assert proposal is None
        else:
            assert dict(zip(proposal.tokens, proposal.shares, strict=True)) == {
                token: count / wanted.total() for token, count in wanted.items()
            }
        source.observe(token)


def brute_match(ids: list[int], begun: int, *, shortest: int, longest: int) -> tuple[int, Counter[int]]:
    """Length of the longest earlier match of the latest tokens, and how often each token followed such a match."""
    best, votes = 0, Counter[int]()
    for end in range(len(ids) - 1):
        length = 0
        while (
            length < longest
            and end - length >= 0
            and len(ids) - 1 - length >= begun
            and ids[end - length] == ids[len(ids) - 1 - length]
        ):
            length += 1
        if length >= max(shortest, best):
            votes = votes if length == best else Counter()
            best = length
            votes[ids[end + 1]] += 1
    return best, votes


def test_tap_in_finds_the_longest_matches_and_weighs_them_as_written() -> None:
    ids = np.random.default_rng(0).integers(0, 3, 300).tolist()
    source = TapIn(near=0.02, far=0.06, shortest=3, longest=6, cap=0.5, candidates=1000)
    source.begin()
    proposed = 0
    for known, token in enumerate(ids):
        length, votes = brute_match(ids[:known], 0, shortest=3, longest=6)
        proposal = source.propose(known)
        if not length:
            assert proposal is None
        else:
            proposed += 1
            assert votes[proposal.tokens[0]] == max(votes.values())
            weight = 0.02 * (1 + 0.15 * (length - 3)) * (1 + 0.2 * math.log(max(votes.values())))
            assert proposal.weight == pytest.approx(min(0.5, weight), rel=1e-12)
        source.observe(token)
    assert proposed > 200


def tapped(ids: list[int], seen: int, **changes: float) -> Proposal | None:
    rules = {"near": 0.02, "far": 0.06, "shortest": 3, "longest": 100, "cap": 0.5, "candidates": 1000}
    source = TapIn(**(rules | changes))  # type: ignore[arg-type]
    source.begin()
    for token in ids:
        source.observe(token)
    return source.propose(seen)


def test_tap_in_weighs_matches_before_the_window_by_the_other_base_and_knows_its_cap() -> None:
    ids = [A, B, C, A, A, B, C]
    near, far = tapped(ids, 7), tapped(ids, 6)
    assert (near.tokens, near.weight, far.weight) == ((A,), pytest.approx(0.02), pytest.approx(0.06))
    assert tapped(ids, 7, near=0.9).weight == 0.5
    assert tapped([A, B, C, A, A, B, B], 7) is None


def test_tap_in_matches_do_not_reach_back_into_another_unit() -> None:
    source = TapIn(near=0.02, far=0.06, shortest=3, longest=9, cap=0.5, candidates=10)
    for ids in ([A, B, C, A], [A, B]):
        source.begin()
        for token in ids:
            source.observe(token)
    assert source.propose(2) is None
    source.observe(C)
    assert source.propose(3).tokens == (A,)
    source.begin()
    assert source.propose(0) is None


def test_a_mixer_led_along_documents_forgets_only_if_it_should() -> None:
    stream = stream_of(12, 12)
    same = stream.with_ids(np.concatenate((stream.ids[:12], stream.ids[:12])))
    log_probs = torch.full((1, 23), -math.log(23.0), dtype=torch.float64)
    for forgets in (False, True):
        mixer = SourceMixer(lambda: Ngrams(order=2, weight=0.5), mix, same, forgets=forgets)
        found = mixer(log_probs, np.array([12]), np.array([12]))
        assert torch.equal(found, log_probs) == forgets


@pytest.mark.parametrize(
    "values",
    [
        {"cache_weight": 0.3, "bigram_weight": 0.4},
        {"ngram_weight": 0.3},
        {"ngram_tilt": 2.0},
        {"tap_in_weight": 0.1},
        {"temperature": 0.8, "cache_weight": 0.1, "ngram_weight": 0.2, "ngram_tilt": 1.0, "tap_in_weight": 0.1},
    ],
)
@pytest.mark.parametrize("mode", ["plain", "sliding"])
def test_each_mixture_acts_and_proves_itself(model: ModuleScorer, values: dict[str, float], mode: str) -> None:
    found = evaluate(model, inputs_of(stream_of(70, 60)), levers(mode=mode, **values))
    assert found.responses.number("mixed_bpb") != found.responses.number("sliding_bpb")
    assert found.responses.number("adapted_bpb") == found.responses.number("mixed_bpb")
    assert "2 excerpts" in found.notes[0]


def test_counts_help_on_a_text_that_repeats_itself(model: ModuleScorer) -> None:
    stream = stream_of(200)
    for values in ({"ngram_weight": 0.5}, {"ngram_tilt": 2.0}, {"tap_in_weight": 0.3}):
        found = evaluate(model, inputs_of(stream), levers(mode="sliding", **values), is_proven=False).responses
        assert found.number("mixed_bpb") < found.number("sliding_bpb")
