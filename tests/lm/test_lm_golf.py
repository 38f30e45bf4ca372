"""The networks against implementations written down independently here, one token at a time, in float64."""

import math
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from lever_cases import CPU, config_of, ids_of, model_of, neutral, recipe_of, shake

from foldover.core import Scalar, Values
from foldover.lm.levers import LEVERS, PRESETS
from foldover.lm.model import build_model
from foldover.lm.resolve import resolve

Vector = torch.Tensor
TINY_GOLF: dict[str, Scalar] = {
    "model.depth": 5,
    "model.width": 32,
    "model.head_dim": 8,
    "attention.kv_heads": 2,
    "model.context": 12,
    "tokenizer.vocab_size": 260,
    "batch.total_batch": 24,
}


def rms(x: Vector) -> Vector:
    return x / torch.sqrt((x * x).mean() + torch.finfo(torch.float32).eps)


def rotate(x: Vector, position: int, *, base: float, dims: int) -> Vector:
    out = x.clone()
    for j in range(dims // 2):
        angle = position * base ** (-2 * j / dims)
        a, b = x[j], x[j + dims // 2]
        out[j] = a * math.cos(angle) + b * math.sin(angle)
        out[j + dims // 2] = b * math.cos(angle) - a * math.sin(angle)
    return out


def attend(
    weights: Mapping[str, Vector],
    prefix: str,
    rows: list[Vector],
    *,
    heads: int,
    kv_heads: int,
    gain: Vector,
    base: float = 10000.0,
    dims: int = 0,
    keys: int = 0,
    is_rotated_first: bool = False,
    is_exclusive: bool = False,
) -> list[Vector]:
    """Attention by loops over positions, heads and keys. keys: how many a query sees at most, 0 for all."""
    hd = weights[prefix + "query"].shape[0] // heads
    q, k, v = ([weights[prefix + name] @ row for row in rows] for name in ("query", "key", "value"))

    def place(x: Vector, position: int) -> Vector:
        if is_rotated_first:
            return rms(rotate(x, position, base=base, dims=dims or hd))
        return rotate(rms(x), position, base=base, dims=dims or hd)

    out = []
    for t in range(len(rows)):
        parts = []
        for h in range(heads):
            g = h // (heads // kv_heads)
            query = place(q[t][h * hd : (h + 1) * hd], t) * gain[h]
            seen = range(max(0, t - keys + 1) if keys else 0, t + 1)
            scores = torch.stack([query @ place(k[s][g * hd : (g + 1) * hd], s) / math.sqrt(hd) for s in seen])
            shares = scores.exp() / scores.exp().sum()
            y = sum(share * v[s][g * hd : (g + 1) * hd] for share, s in zip(shares, seen, strict=True))
            if is_exclusive:
                unit = v[t][g * hd : (g + 1) * hd] / v[t][g * hd : (g + 1) * hd].norm()
                y = y - (y @ unit) * unit
            parts.append(y)
        out.append(weights[prefix + "output"] @ torch.cat(parts))
    return out


def relu_squared_mlp(weights: Mapping[str, Vector], prefix: str, row: Vector) -> Vector:
    return weights[prefix + "output"] @ (weights[prefix + "input"] @ row).clamp_min(0.0) ** 2


def doubles(model: torch.nn.Module) -> dict[str, Vector]:
    return {name: parameter.detach().double() for name, parameter in model.named_parameters()}


def golf_logits(weights: Mapping[str, Vector], ids: list[int], *, depth: int, heads: int, kv_heads: int) -> Vector:
    """levers.md B1, word for word."""
    x = [rms(weights["embedding"][token]) for token in ids]
    x0 = list(x)
    stack: list[list[Vector]] = []
    for i in range(depth):
        p = f"blocks.{i}."
        if i >= depth // 2 and stack:
            w, skip = weights[f"held.skip_{i - depth // 2}.weight"], stack.pop()
            x = [a + w * s for a, s in zip(x, skip, strict=True)]
        mix = weights[p + "parts.mix.factors"]
        x = [mix[0] * a + mix[1] * b for a, b in zip(x, x0, strict=True)]
        gain = weights[p + "parts.gain.factor"]
        heard = attend(weights, p + "attention.", [rms(a) for a in x], heads=heads, kv_heads=kv_heads, gain=gain)
        x = [a + weights[p + "parts.attention_scale.factor"] * y for a, y in zip(x, heard, strict=True)]
        scale = weights[p + "parts.mlp_scale.factor"]
        x = [a + scale * relu_squared_mlp(weights, p + "mlp.", rms(a)) for a in x]
        if i < depth // 2:
            stack.append(list(x))
    return torch.stack([30.0 * torch.tanh(weights["embedding"] @ rms(a) / 30.0) for a in x])


def plain_logits(weights: Mapping[str, Vector], ids: list[int], *, depth: int, **attention: object) -> Vector:
    """Pre-norm GPT with an untied head and nothing else."""
    x = [rms(weights["embedding"][token]) for token in ids]
    for i in range(depth):
        p = f"blocks.{i}."
        heard = attend(weights, p + "attention.", [rms(a) for a in x], **attention)  # type: ignore[arg-type]
        x = [a + y for a, y in zip(x, heard, strict=True)]
        x = [a + relu_squared_mlp(weights, p + "mlp.", rms(a)) for a in x]
    return torch.stack([weights["head.weight"] @ rms(a) for a in x])


def tiny_golf() -> Values:
    return PRESETS["golf"].with_(TINY_GOLF)


def test_golf_has_as_many_parameters_as_the_public_log_says() -> None:
    derived = resolve(recipe_of(PRESETS["golf"])).derived
    assert derived["num_params"] == 17_059_912
    model = build_model(config_of(PRESETS["golf"]), seed=0, device=CPU)
    assert sum(p.numel() for p in model.parameters()) == 17_059_912


def test_golf_agrees_with_an_independent_implementation() -> None:
    values = tiny_golf()
    model = model_of(values)
    shake(model, 0.2)
    ids = ids_of(values, rows=1)[:, :-1]
    expected = golf_logits(doubles(model), ids[0].tolist(), depth=5, heads=4, kv_heads=2)
    torch.testing.assert_close(model(ids)[0].detach().double(), expected, atol=2e-4, rtol=1e-4)


def test_golf_with_one_block_has_no_skip_and_one_with_nine_has_four() -> None:
    nine = dict(model_of(PRESETS["golf-micro"].with_({"model.depth": 9})).named_parameters())
    assert [name for name in nine if "skip" in name] == [f"held.skip_{i}.weight" for i in range(4)]
    three = dict(model_of(PRESETS["golf-micro"]).named_parameters())
    assert [name for name in three if "skip" in name] == ["held.skip_0.weight"]


def test_golf_before_training_sees_the_current_token_only() -> None:
    values = tiny_golf()
    model = model_of(values)
    ids = ids_of(values, rows=1)[:, :-1]
    other = ids.clone()
    other[0, 0] = 99
    assert torch.equal(model(ids)[0, 1:], model(other)[0, 1:])


def test_golf_begins_near_the_log_of_the_vocabulary() -> None:
    values = tiny_golf()
    ids = ids_of(values)
    assert float(model_of(values).loss(ids[:, :-1], ids[:, 1:]).detach()) == pytest.approx(math.log(260), abs=0.05)


def test_with_every_lever_neutral_the_network_is_a_plain_gpt() -> None:
    values = neutral()
    model = model_of(values)
    shake(model, 0.2)
    ids = ids_of(values, rows=1)[:, :-1]
    expected = plain_logits(
        doubles(model),
        ids[0].tolist(),
        depth=4,
        heads=2,
        kv_heads=2,
        gain=torch.ones(2, dtype=torch.float64),
        is_rotated_first=True,
    )
    assert len(list(model.parameters())) == 2 + 4 * 6
    torch.testing.assert_close(model(ids)[0].detach().double(), expected, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("levers", "attention"),
    [
        ({"attention.window_size": 5}, {"keys": 5}),
        ({"attention.window_size": 1}, {"keys": 1}),
        ({"attention.rope_dims": 4}, {"dims": 4}),
        ({"attention.kv_heads": 1}, {"kv_heads": 1}),
        ({"attention.xsa_last_n": 4}, {"is_exclusive": True}),
        ({"attention.xsa_last_n": 4, "attention.kv_heads": 1}, {"is_exclusive": True, "kv_heads": 1}),
        ({"attention.qk_gain": 2.5}, {"gain": torch.full((2,), 2.5)}),
        ({"attention.qk_gain": 2.0, "attention.qk_gain_spread": 1.0}, {"gain": torch.tensor([1.0, 3.0])}),
        ({"attention.qk_norm": "before_rotary"}, {"is_rotated_first": False}),
        ({"model.rope_base": 500.0}, {"base": 500.0}),
        ({"attention.ntk_context": 8}, {"base": 10000.0 * 2 ** (8 / 6)}),
        ({"attention.ntk_context": 4, "attention.rope_dims": 4}, {"base": 10000.0 * 4**2, "dims": 4}),
    ],
    ids=lambda part: ",".join(part),
)
def test_attention_agrees_with_plain_loops(levers: dict, attention: dict) -> None:
    values = neutral().with_(levers)
    model = model_of(values)
    shake(model, 0.2)
    ids = ids_of(values, rows=1)[:, :-1]
    settings = {"heads": 2, "kv_heads": 2, "gain": torch.ones(2), "is_rotated_first": True} | attention
    expected = plain_logits(doubles(model), ids[0].tolist(), depth=values.integer("model.depth"), **settings)
    torch.testing.assert_close(model(ids)[0].detach().double(), expected, atol=2e-4, rtol=1e-4)


def test_the_seeds_names_are_accepted() -> None:
    for name, lever in (
        ("NUM_UNIQUE_BLOCKS", "model.unique_blocks"),
        ("QK_GAIN_INIT", "attention.qk_gain"),
        ("XSA_LAST_N", "attention.xsa_last_n"),
        ("BIGRAM_VOCAB_SIZE", "embedding.bigram_buckets"),
        ("ROPE_DIMS", "attention.rope_dims"),
        ("ENABLE_LOOPING_AT", "recurrence.active_from"),
    ):
        assert LEVERS.find(name).name == lever
