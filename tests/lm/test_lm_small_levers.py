"""Known answers of levers that are a few lines each: caps, lanes, long rows, starts of weights, rates, entropy."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from lever_cases import ids_of, model_of, neutral, shake, traits

from foldover.lm.compression import level_entropy
from foldover.lm.levers import PRESETS
from foldover.lm.levers_optimizer import Optimizer
from foldover.lm.model.cooccurrence import set_table
from foldover.lm.model.flow import Flow
from foldover.lm.model.hashing import ByteWindowHash, linear_of, xor_of
from foldover.lm.model.head import polynomial_squash
from foldover.lm.model.mlp import bounded
from foldover.lm.model.position import Rotary, yarn_frequencies
from foldover.lm.model.residual import LaneMix, open_lanes
from foldover.lm.optim import build_optimizer
from foldover.lm.optim.groups import adam_groups
from foldover.lm.optim.transforms import POLAR_EXPRESS_GOLF, orthogonalize
from foldover.lm.token_traits import byte_tail

# Caps


def test_the_polynomial_cap_begins_with_slope_1_and_ends_at_1_with_slope_0() -> None:
    u = torch.tensor([0.0, 15 / 8, -15 / 8, 5.0, 1.0], dtype=torch.float64, requires_grad=True)
    found = polynomial_squash(u)
    k = 15 / 8
    at_1 = 1.0 - 2.0 / (3.0 * k**2) + 1.0 / (5.0 * k**4)
    assert found.tolist() == pytest.approx([0.0, 1.0, -1.0, 1.0, at_1])
    (slope,) = torch.autograd.grad(found.sum(), u)
    assert slope.tolist() == pytest.approx([1.0, 0.0, 0.0, 0.0, (1.0 - 1.0 / k**2) ** 2], abs=1e-12)


def test_under_the_polynomial_cap_training_and_evaluation_score_the_same() -> None:
    values = neutral().with_({"model.softcap": 2.0, "model.softcap_form": "polynomial"})
    model = model_of(values)
    shake(model, 0.3)
    ids = ids_of(values)
    logits = model(ids[:, :-1])
    assert float(logits.detach().abs().max()) <= 2.0
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
    torch.testing.assert_close(model.loss(ids[:, :-1], ids[:, 1:]), loss)


def test_bounded_activations_stop_at_the_bound() -> None:
    bound = bounded(lambda z: z.relu().square(), 4.0)
    assert bound(torch.tensor([-1.0, 1.0, 2.0, 3.0])).tolist() == [0.0, 1.0, 4.0, 4.0]


# Lanes


@pytest.mark.parametrize("order", ["together", "in_turn"])
def test_lanes_are_those_of_plain_arithmetic(order: str) -> None:
    values = neutral().with_({"residual.lane_start": 2, "residual.lane_order": order, "residual.lane_init": 1.3})
    model = model_of(values)
    shake(model, 0.2)
    visit = model.plan.visits[2]
    x = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(0))
    flow = Flow(ids=torch.zeros(2, 5, dtype=torch.long), x=x, x0=x)
    open_lanes(flow)
    flow.lane = 2.0 * x + 1.0
    lane0, lane1 = flow.x, flow.lane
    with torch.no_grad():
        visit.rule(visit, flow)
        kept, given = visit.lanes.kept.tolist(), visit.lanes.given.tolist()
        fresh = Flow(ids=flow.ids, x=x, x0=x)
        a = visit.attention(visit.norm(lane0), fresh, visit.site)
        if order == "together":
            m = visit.mlp(visit.norm(lane1))
            expected = [kept[k] * (lane0, lane1)[k] + given[0][k] * a + given[1][k] * m for k in (0, 1)]
        else:
            half = [kept[k] * (lane0, lane1)[k] + given[0][k] * a for k in (0, 1)]
            m = visit.mlp(visit.norm(half[1]))
            expected = [kept[k] * half[k] + given[1][k] * m for k in (0, 1)]
    torch.testing.assert_close(flow.x, expected[0])
    torch.testing.assert_close(flow.lane, expected[1])


def test_asymmetric_lanes_begin_with_more_of_their_own_branch() -> None:
    mix = LaneMix(1.0, 0.3)
    drawn = mix.given.draw(mix.given.shape, torch.Generator())
    assert drawn.tolist() == [pytest.approx([1.3, 0.7]), pytest.approx([0.7, 1.3])]


# Long rows


def test_yarn_stretches_slow_frequencies_and_keeps_fast_ones() -> None:
    trained, length = 64, 256
    turns = [0.5, 1.0, 16.5, 32.0, 40.0]
    frequencies = torch.tensor([t * 2 * math.pi / trained for t in turns], dtype=torch.float64)
    found = yarn_frequencies(frequencies, length=length, ntk_context=trained) / frequencies
    assert found.tolist() == pytest.approx([0.25, 0.25, 0.625, 1.0, 1.0])


def test_rows_of_the_trained_length_are_the_same_under_yarn() -> None:
    plain = Rotary(context=64, head_dim=8, base=100.0)
    yarn = Rotary(context=128, head_dim=8, base=100.0, ntk_context=64, is_yarn=True)
    ntk = Rotary(context=128, head_dim=8, base=100.0, ntk_context=64)
    assert torch.equal(yarn._tables(64, torch.device("cpu"))[0], plain.cos)
    assert not torch.equal(yarn.cos, ntk.cos)
    assert not torch.equal(yarn.cos[:64], plain.cos)


# Where weights begin


def test_the_bias_of_the_logits_begins_at_the_log_of_the_frequencies() -> None:
    values = neutral().with_({"head.output_bias": True, "init.output_bias": "log_unigram"})
    bias = next(p for name, p in model_of(values).named_parameters() if name.endswith("bias"))
    counts = traits().counts + 1.0
    np.testing.assert_allclose(bias.detach().numpy(), np.log(counts / counts.sum()), rtol=1e-6)


def test_a_table_from_an_svd_has_the_leading_subspace_and_the_spread_of_the_drawn_one() -> None:
    vocab_size, width = 60, 6
    sample = torch.from_numpy(np.random.default_rng(0).zipf(1.6, 20_000) % vocab_size)
    counts = np.zeros((vocab_size, vocab_size))
    for before, token in zip(sample[:-1].tolist(), sample[1:].tolist(), strict=True):
        counts[token, before] += 1.0
    both = np.log1p(counts) + np.log1p(counts).T
    values, vectors = np.linalg.eigh(both)
    order = np.argsort(-np.abs(values))[:width]
    expected = vectors[:, order] * np.sqrt(np.abs(values[order]))
    table = torch.randn(vocab_size, width, generator=torch.Generator().manual_seed(1))
    norm = float(table.norm())
    set_table(table, sample, generator=torch.Generator().manual_seed(2))
    assert float(table.norm()) == pytest.approx(norm, rel=1e-5)
    gram = table.double().numpy() @ table.double().numpy().T
    wanted = expected @ expected.T * (norm / np.linalg.norm(expected)) ** 2
    np.testing.assert_allclose(gram, wanted, atol=2e-2 * np.abs(wanted).max())


# Rates


def test_a_tied_table_has_a_rate_of_its_own_only_where_it_is_tied() -> None:
    optimizer = Optimizer(embedding_lr=0.6, tied_embedding_lr=0.05, width_exponent=0.0)

    def rate(role: str, *, is_tied: bool) -> float:
        return next(group.lr for group in adam_groups(optimizer, width=64, is_tied=is_tied) if role in group.roles)

    assert (rate("embedding", is_tied=True), rate("value_embedding", is_tied=True)) == (0.05, 0.6)
    assert (rate("embedding", is_tied=False), rate("value_embedding", is_tied=False)) == (0.6, 0.6)


def test_golf_moves_its_table_at_the_public_rate() -> None:
    values = PRESETS["golf-micro"]
    assert (values["optimizer.tied_embedding_lr"], values["optimizer.embedding_lr"]) == (0.05, 0.6)
    model = model_of(values)
    optimizer = Optimizer(embedding_lr=0.6, tied_embedding_lr=0.05, width_exponent=0.0, adam_beta1=0.9, adam_eps=1e-8)
    built = build_optimizer(model, optimizer, width=64, muon_dtype=torch.float32, is_tied=True)
    before = model.embedding.detach().clone()
    ids = ids_of(values)
    model.loss(ids[:, :-1], ids[:, 1:]).backward()
    built.step(lr_multiplier=1.0, momentum=0.9, weight_decay=0.0)
    moved = (model.embedding.detach() - before).abs()
    assert float(moved.max()) == pytest.approx(0.05, rel=1e-3)  # Adam's first step is its rate


def test_the_golf_coefficients_end_where_the_reference_measured() -> None:
    # Singular values from 0.001 to 1 end within 0.869 to 1.131; the norm that divides them is taken out first.
    s = torch.logspace(-3, 0, 64, dtype=torch.float64)
    q = torch.linalg.qr(torch.randn(64, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
    found = orthogonalize(
        (q * (s / s.norm())).unsqueeze(0) @ q.T * 1.0,
        POLAR_EXPRESS_GOLF,
        margin=1.0 / float(s.norm()),
        floor=0.0,
        dtype=torch.float64,
    )
    out = torch.linalg.svdvals(found[0])
    assert (round(float(out.min()), 3), round(float(out.max()), 3)) == pytest.approx((0.869, 1.131), abs=2e-3)


# Entropy


def test_the_entropy_of_levels_is_that_of_their_histogram() -> None:
    units = torch.tensor([[-2.0, -1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]])
    p = np.array([1, 1, 4, 2]) / 8
    assert float(level_entropy(units, 3)) == pytest.approx(-(p * np.log2(p)).sum(), rel=1e-6)


def test_a_weight_between_levels_counts_for_both_and_is_drawn_to_the_fuller_one() -> None:
    units = torch.tensor([[0.0, 0.0, 0.0, 0.25]], requires_grad=True)
    found = level_entropy(units, 1)
    p = np.array([3.75, 0.25]) / 4
    assert float(found.detach()) == pytest.approx(-(p * np.log2(p)).sum(), rel=1e-6)
    (gradient,) = torch.autograd.grad(found, units)
    assert gradient[0, 3] > 0.0


# The last bytes of the text

PIECES = (b"a", b" the", b"re", b"hello", b"\xf0\x9f", b"", b"\x00", b"xyz")


def test_windows_of_bytes_are_the_last_four_of_the_text_of_the_row() -> None:
    tails = [byte_tail(piece) for piece in PIECES]
    codes, counts = (torch.tensor(column) for column in zip(*tails, strict=True))
    hashed = ByteWindowHash(buckets=101, combine=xor_of(0), codes=codes, counts=counts)
    ids = torch.randint(0, len(PIECES), (40, 12), generator=torch.Generator().manual_seed(0))
    found = hashed.windows(ids)
    rows = hashed(ids)
    for row, numbers, buckets in zip(ids.tolist(), found.tolist(), rows.tolist(), strict=True):
        text: list[int] = []
        for token, number, bucket in zip(row, numbers, buckets, strict=True):
            text += list(PIECES[token]) or [256]
            expected = sum(byte * 257**place for place, byte in enumerate(reversed(text[-4:])))
            assert number == (expected if len(text) >= 4 else -1)
            assert (bucket == 100) == (len(text) < 4)


def test_equal_bytes_have_equal_rows_however_they_are_cut() -> None:
    tails = [byte_tail(piece) for piece in (b"ab", b"cd", b"abcd", b"d", b"abc")]
    codes, counts = (torch.tensor(column) for column in zip(*tails, strict=True))
    hashed = ByteWindowHash(buckets=1009, combine=linear_of(31, 0), codes=codes, counts=counts)
    last = [int(hashed(torch.tensor([row]))[0, -1]) for row in ([0, 1], [2], [4, 3])]
    assert len(set(last)) == 1
