import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from foldover.core import Recipe, bind
from foldover.lm.levers import LEVERS, MICRO, TrainConfig
from foldover.lm.model import build_model
from foldover.lm.model.head import SoftcapHead, Whole
from foldover.lm.model.kernels import FullCausal, WindowedCausal
from foldover.lm.model.norm import rms_norm
from foldover.lm.model.parameter import new_parameter
from foldover.lm.model.position import Rotary
from foldover.lm.resolve import resolve

CPU = torch.device("cpu")


def config_of(**levers: object) -> TrainConfig:
    return bind(TrainConfig, LEVERS.complete(levers, MICRO))


def some_ids(config: TrainConfig, rows: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, config.tokenizer.vocab_size, (rows, config.model.context + 1), generator=generator)


def trained_weights(model: torch.nn.Module) -> None:
    """Off the initial zeros, so that every path carries something."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.empty(parameter.shape).normal_(0.0, 0.05, generator=generator))


@pytest.mark.parametrize("levers", [{}, {"depth": 3, "aspect": 24}, {"depth": 4, "mlp_multiplier": 2}])
def test_number_of_parameters_is_what_was_resolved(levers: dict) -> None:
    values = LEVERS.complete(levers, MICRO)
    model = build_model(bind(TrainConfig, values), seed=0, device=CPU)
    derived = resolve(Recipe(trainer="lm", values=values)).derived
    assert sum(p.numel() for p in model.parameters()) == derived["num_params"]


def test_initial_loss_is_the_log_of_the_vocabulary() -> None:
    config = config_of()
    ids = some_ids(config)
    loss = build_model(config, seed=0, device=CPU).loss(ids[:, :-1], ids[:, 1:]).detach()
    assert float(loss) == pytest.approx(math.log(1024), abs=0.01)


def test_no_output_depends_on_a_later_token() -> None:
    config = config_of(depth=3)
    model = build_model(config, seed=0, device=CPU)
    trained_weights(model)
    ids = some_ids(config, rows=1)[:, :-1]
    changed = ids.clone()
    changed[0, 60] = (changed[0, 60] + 1) % 1024
    before, after = model(ids), model(changed)
    assert torch.equal(before[0, :60], after[0, :60])
    assert not torch.equal(before[0, 60:], after[0, 60:])


def test_loss_equals_cross_entropy_of_the_logits_and_so_do_its_gradients() -> None:
    config = config_of()
    model = build_model(config, seed=0, device=CPU)
    trained_weights(model)
    ids = some_ids(config)
    model.loss(ids[:, :-1], ids[:, 1:]).backward()
    fused = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    logits = model(ids[:, :-1])
    plain = functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
    plain.backward()
    fused_loss = model.loss(ids[:, :-1], ids[:, 1:]).detach()
    assert float(fused_loss) == pytest.approx(float(plain.detach()), rel=1e-6)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(fused[name], parameter.grad, rtol=1e-4, atol=1e-7, msg=name)


@pytest.mark.parametrize("cap", [15.0, 1e9])
def test_head_loss_agrees_with_float64(cap: float) -> None:
    generator = torch.Generator().manual_seed(3)
    head = SoftcapHead(new_parameter("head", 32, 8), cap=cap, down=Whole())
    torch.nn.init.normal_(head.weight, std=3.0, generator=generator)
    x = torch.empty(2, 5, 8).normal_(generator=generator)
    targets = torch.randint(0, 32, (2, 5), generator=generator)
    raw = (x.double() @ head.weight.double().T).flatten(0, 1)
    expected = functional.cross_entropy(cap * torch.tanh(raw / cap), targets.flatten())
    assert float(head.loss(x, targets, targets).detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_rotary_scores_depend_on_the_difference_of_positions_only() -> None:
    rotary = Rotary(context=64, head_dim=16, base=10000.0)
    q, k = torch.randn(16), torch.randn(16)
    rotated_q = rotary(q.expand(1, 1, 64, 16))[0, 0]
    rotated_k = rotary(k.expand(1, 1, 64, 16))[0, 0]
    scores = rotated_q @ rotated_k.T
    assert torch.allclose(scores[10, 3], scores[17, 10], atol=1e-4)
    assert torch.allclose(scores[20, 20], q @ k, atol=1e-4)


def test_a_window_shows_exactly_its_keys_and_the_query_itself() -> None:
    window, context = 3, 8
    kernel = WindowedCausal(context=context, window=window)
    q = k = torch.zeros(1, 1, context, 4)  # equal scores: the output is the mean of the seen values
    v = torch.eye(context).view(1, 1, context, context)
    seen = kernel(q, k, v)[0, 0] > 0
    for i in range(context):
        assert seen[i].nonzero().flatten().tolist() == list(range(max(0, i - window), i + 1))


def test_a_window_as_long_as_the_row_is_full_attention() -> None:
    q, k, v = torch.randn(3, 1, 2, 8, 4).unbind(0)
    torch.testing.assert_close(WindowedCausal(context=8, window=8)(q, k, v), FullCausal()(q, k, v))


def test_short_windows_change_the_outputs() -> None:
    ids = some_ids(config_of())[:, :-1]
    outputs = []
    for pattern in ("L", "SSSL"):
        model = build_model(config_of(window_pattern=pattern), seed=0, device=CPU)
        trained_weights(model)
        outputs.append(model(ids))
    assert torch.equal(outputs[0][:, :64], outputs[1][:, :64])
    assert not torch.equal(outputs[0][:, 66:], outputs[1][:, 66:])


def test_rms_norm_of_a_tiny_embedding_has_unit_size_in_bf16() -> None:
    tiny = torch.full((4, 64), 0.005, dtype=torch.bfloat16)
    assert float(rms_norm(tiny).float().square().mean().sqrt()) == pytest.approx(1.0, abs=0.01)


def test_one_seed_gives_one_model_and_another_seed_another() -> None:
    a, b, c = (build_model(config_of(), seed=s, device=CPU) for s in (3, 3, 4))
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(a.embedding, c.embedding)


def test_recipes_of_one_seed_share_every_weight_that_both_have() -> None:
    shallow = dict(build_model(config_of(depth=2, aspect=32), seed=5, device=CPU).named_parameters())
    deep = dict(build_model(config_of(depth=4, aspect=16), seed=5, device=CPU).named_parameters())
    shared = [n for n in shallow if n in deep and shallow[n].shape == deep[n].shape]
    assert {"embedding", "head.weight", "blocks.0.attention.query", "blocks.1.mlp.input"} <= set(shared)
    assert all(torch.equal(shallow[n], deep[n]) for n in shared)


def test_drawing_weights_leaves_the_global_stream_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    build_model(config_of(), seed=1, device=CPU)
    assert torch.equal(before, torch.get_rng_state())


def test_initial_spread_of_the_weights() -> None:
    model = build_model(config_of(depth=4, aspect=32), seed=0, device=CPU)
    assert float(model.embedding.detach().std()) == pytest.approx(1.0, abs=0.02)
    assert float(model.head.weight.detach().std()) == pytest.approx(0.001, rel=0.02)
    assert float(model.blocks[0].attention.query.detach().std()) == pytest.approx(1 / np.sqrt(128), rel=0.05)
    assert not model.blocks[0].attention.output.any()
    assert float(model.blocks[0].parts.mix.x0_scale.detach()) == pytest.approx(0.1)
