"""Hand-written leaves and loops in C: against float64 autograd, against the plain leaves, and done without."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

sys.path.insert(0, str(Path(__file__).parent))

from lever_cases import CPU, cases, config_of, ids_of, neutral, off_case, shake, traits

from foldover.core import Values
from foldover.lm.model import Gpt, build_model
from foldover.lm.model.leaves import PLAIN, Leaves
from foldover.lm.model.linear import linear
from foldover.lm.model.position import Rotary
from foldover.lm.ops import TorchPrimitives, build, cpu_leaves, native_primitives
from foldover.lm.ops.check import first_difference, results
from foldover.lm.ops.functions import ATTENTION_CONTEXT, HEAD_CHUNK_ELEMENTS
from foldover.lm.ops.primitives import Primitives

BOTH = ("torch", "native")
Function = Callable[..., torch.Tensor]


def primitives(kind: str) -> Primitives:
    if kind == "torch":
        return TorchPrimitives()
    found = native_primitives()
    if found.primitives is None:
        pytest.skip(found.note)
    return found.primitives


def leaves(kind: str, dtype: torch.dtype = torch.float32) -> Leaves:
    return cpu_leaves(dtype, primitives(kind))


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def assert_same(function: Function, reference: Function, *inputs: torch.Tensor) -> None:
    """Value and gradients of a function of fp32 tensors, beside those of a reference in float64."""
    ours = [x.clone().requires_grad_(x.is_floating_point()) for x in inputs]
    exact = [x.double() if x.is_floating_point() else x for x in inputs]
    exact = [x.requires_grad_(x.is_floating_point()) for x in exact]
    out, expected = function(*ours), reference(*exact)
    torch.testing.assert_close(out.double(), expected, rtol=1e-4, atol=1e-5)
    upstream = draw(*expected.shape, seed=9)
    out.backward(upstream)
    expected.backward(upstream.double())
    for mine, theirs in zip(ours, exact, strict=True):
        if theirs.grad is not None:
            assert mine.grad is not None
            torch.testing.assert_close(mine.grad.double(), theirs.grad, rtol=1e-4, atol=2e-5)


def exact_norm(x: torch.Tensor) -> torch.Tensor:
    return x / (x.square().mean(dim=-1, keepdim=True) + torch.finfo(torch.float32).eps).sqrt()


@pytest.mark.parametrize("kind", BOTH)
def test_norm_agrees_with_float64(kind: str) -> None:
    assert_same(leaves(kind).norm, exact_norm, draw(2, 3, 37))


@pytest.mark.parametrize("kind", BOTH)
def test_squared_relu_agrees_with_float64(kind: str) -> None:
    assert_same(leaves(kind).relu_squared, lambda z: z.clamp_min(0.0) ** 2, draw(3, 41))


@pytest.mark.parametrize("kind", BOTH)
def test_mix_agrees_with_float64(kind: str) -> None:
    assert_same(
        leaves(kind).mix, lambda x, x0, a, b: a * x + b * x0, draw(2, 700, 3), draw(2, 700, 3, seed=1), draw(1), draw(1)
    )


@pytest.mark.parametrize("kind", BOTH)
def test_gated_rows_agree_with_float64_and_repeated_tokens_add_up(kind: str) -> None:
    ids = torch.tensor([[3, 0, 3], [5, 3, 1]])

    def exact(v: torch.Tensor, table: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        return v + (2 / (1 + (-a).exp())).unsqueeze(-1) * table[ids].view(v.shape)

    function = leaves(kind).add_rows
    assert_same(
        lambda v, table, a: function(v, table, ids, a), exact, draw(2, 3, 2, 5), draw(6, 10, seed=1), draw(2, 3, 2)
    )


@pytest.mark.parametrize("kind", BOTH)
def test_rows_that_a_table_does_not_have_are_an_error(kind: str) -> None:
    with pytest.raises(IndexError):
        leaves(kind).add_rows(draw(1, 2, 1, 4), draw(6, 4), torch.tensor([[0, 6]]), draw(1, 2, 1))


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("rotated", [0, 6])
@pytest.mark.parametrize("length", [7, 12])
def test_heads_are_rotated_and_normed_as_in_float64(kind: str, rotated: int, length: int) -> None:
    rotary = Rotary(context=8, head_dim=10, base=100.0, rotated=rotated)
    r = rotated or 10

    def exact(x: torch.Tensor) -> torch.Tensor:
        x = x.transpose(1, 2)
        angles = torch.arange(length).double().outer(100.0 ** (-torch.arange(0, r, 2).double() / r))
        turned = torch.view_as_complex(torch.stack((x[..., : r // 2], x[..., r // 2 : r]), dim=-1).contiguous())
        turned = torch.view_as_real(turned * torch.polar(torch.ones_like(angles), -angles))
        return exact_norm(torch.cat((turned[..., 0], turned[..., 1], x[..., r:]), dim=-1))

    for form in (leaves(kind).rotate_then_norm, leaves(kind).norm_then_rotate):
        place = form(rotary)
        assert_same(lambda x, place=place: place(x.transpose(1, 2)), exact, draw(2, length, 3, 10))


def exact_attention(window: int) -> Function:
    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        T = q.shape[2]
        scores = q @ k.mT / math.sqrt(q.shape[-1])
        unseen = [[not 0 <= i - j <= window for j in range(T)] for i in range(T)]
        return scores.masked_fill(torch.tensor(unseen), -torch.inf).softmax(dim=-1) @ v

    return attend


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("window", [4, 100])
def test_attention_agrees_with_float64(kind: str, window: int) -> None:
    own = leaves(kind)
    kernel = own.full() if window == 100 else own.windowed(19, window)
    assert_same(kernel, exact_attention(window), *(draw(2, 3, 19, 8, seed=i) for i in range(3)))


@pytest.mark.parametrize("window", [4, None])
def test_rows_too_long_for_batched_attention_take_the_other_way(window: int | None) -> None:
    own, T = leaves("torch"), ATTENTION_CONTEXT + 1
    kernel = own.full() if window is None else own.windowed(8, window)
    q, k, v = (draw(1, 1, T, 8, seed=i) for i in range(3))
    expected = exact_attention(T if window is None else window)(q, k, v)
    torch.testing.assert_close(kernel(q, k, v), expected, rtol=1e-4, atol=1e-5)


def exact_loss(cap: float, targets: torch.Tensor) -> Function:
    def loss(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(cap * torch.tanh(x @ weight.T / cap), targets)

    return loss


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("cap", [3.0, 15.0, 1e6])
def test_head_loss_and_its_gradients_agree_with_float64_for_any_upstream_gradient(kind: str, cap: float) -> None:
    targets = torch.randint(0, 43, (11,), generator=torch.Generator().manual_seed(1))
    own = leaves(kind)
    exact = exact_loss(cap, targets)
    for function in (own.head_loss, lambda x, w, *rest: own.capped_loss(x @ w.T, *rest)):
        assert_same(
            lambda x, w, function=function: function(x, w, targets, cap) * 0.3,
            lambda x, w: exact(x, w) * 0.3,
            draw(11, 8),
            draw(43, 8, seed=2),
        )


@pytest.mark.parametrize("kind", BOTH)
def test_head_loss_in_chunks_is_that_of_all_rows(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    targets = torch.arange(11)
    assert HEAD_CHUNK_ELEMENTS > 11 * 43
    monkeypatch.setattr("foldover.lm.ops.functions.HEAD_CHUNK_ELEMENTS", 4 * 43)
    own = leaves(kind)
    assert_same(
        lambda x, w: own.head_loss(x, w, targets, 15.0), exact_loss(15.0, targets), draw(11, 8), draw(43, 8, seed=2)
    )


@pytest.mark.parametrize("kind", BOTH)
def test_a_loss_of_what_is_not_finite_is_not_finite(kind: str) -> None:
    own = leaves(kind)
    for dtype in (torch.float32, torch.bfloat16):
        x = draw(4, 8).to(dtype)
        x[2, 3] = math.nan
        assert not math.isfinite(float(own.norm(x).sum()))
        assert not math.isfinite(float(own.relu_squared(x).sum()))
        assert not math.isfinite(float(own.head_loss(x, draw(9, 8), torch.arange(4), 15.0)))


def model_of(values: Values, leaves: Leaves) -> Gpt:
    config = config_of(values)
    model = build_model(config, seed=0, device=CPU, traits=lambda: traits(config.tokenizer.vocab_size), leaves=leaves)
    shake(model)
    return model


def losses_and_gradients(model: Gpt, values: Values) -> tuple[float, torch.Tensor]:
    """Total loss, and all gradients as one vector."""
    ids = ids_of(values)
    total = torch.stack([x.float() for x in model.loss_terms(ids[:, :-1], ids[:, 1:]).values()]).sum()
    total.backward()
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in model.parameters()]
    return float(total.detach()), torch.cat([g.flatten() for g in found])


CASES = cases()


@pytest.mark.parametrize(("name", "value"), CASES, ids=[f"{name}={value}" for name, value in CASES])
def test_every_lever_computes_the_same_by_hand_written_leaves_and_in_bf16(name: str, value: object) -> None:
    _, values = off_case(name, value)
    loss, gradients = losses_and_gradients(model_of(values, PLAIN), values)
    for kind, dtype, of_loss, of_gradients in (
        ("torch", torch.float32, 1e-5, 1e-3),
        ("native", torch.float32, 1e-5, 1e-3),
        ("native", torch.bfloat16, 1e-2, 1e-1),
    ):
        model = model_of(values, leaves(kind, dtype))
        own_loss, own_gradients = losses_and_gradients(model, values)
        assert own_loss == pytest.approx(loss, rel=of_loss), (kind, dtype)
        assert float((own_gradients - gradients).norm() / gradients.norm()) < of_gradients, (kind, dtype)
        with torch.no_grad():
            ids = ids_of(values)[:, :-1]
            assert model.features(ids).dtype is dtype  # no part of it falls back to fp32
            assert model(ids).dtype is torch.float32


class Seen(TorchFunctionMode):
    """Remembers the second argument of every linear product."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[torch.Tensor] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is functional.linear:
            self.weights.append(args[1])
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_product_with_a_matrix_can_be_seen_in_evaluation(dtype: torch.dtype) -> None:
    model = model_of(neutral(), leaves("torch", dtype))
    with torch.no_grad(), Seen() as seen:
        model(ids_of(neutral())[:, :-1])
    ours = {id(weight) for weight in seen.weights}
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embedding" not in name]
    assert len(matrices) == 4 * 6 + 1
    assert all(id(p) in ours for p in matrices)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_product_with_a_frozen_matrix_can_be_seen_where_something_else_is_learned(dtype: torch.dtype) -> None:
    model = model_of(neutral(), leaves("torch", dtype))
    for parameter in model.parameters():
        parameter.requires_grad_(parameter is model.embedding)
    ids = ids_of(neutral())
    with Seen() as seen:
        model.loss(ids[:, :-1], ids[:, 1:]).backward()
    ours = {id(weight) for weight in seen.weights}
    assert all(id(p) in ours for name, p in model.named_parameters() if p.ndim == 2 and "embedding" not in name)
    assert model.embedding.grad is not None
    assert model.embedding.grad.any()


def test_a_product_in_bf16_has_the_gradients_of_fp32_up_to_rounding() -> None:
    x, weight = draw(2, 5, 16), draw(7, 16, seed=1)
    half = x.bfloat16().requires_grad_()
    full, own = x.clone().requires_grad_(), weight.clone().requires_grad_()
    exact = weight.clone().requires_grad_()
    functional.linear(full, exact).sum().backward()
    out = linear(half, own)
    out.sum().backward()
    assert (out.dtype, half.grad.dtype, own.grad.dtype) == (torch.bfloat16, torch.bfloat16, torch.float32)
    torch.testing.assert_close(half.grad.float(), full.grad, rtol=0.02, atol=0.02)
    torch.testing.assert_close(own.grad, exact.grad, rtol=0.02, atol=0.05)


def test_loops_in_c_agree_with_torch_where_they_can_be_built() -> None:
    assert first_difference(primitives("native")) == ""


def test_a_loop_that_is_wrong_is_found_out() -> None:
    class Wrong(TorchPrimitives):
        def relu_squared_back(self, g: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
            return super().relu_squared_back(g, z) * 1.1

    assert "relu squared's gradient" in first_difference(Wrong())


def test_the_check_looks_at_every_loop() -> None:
    class Counting(TorchPrimitives):
        def __getattribute__(self, name: str) -> object:
            called.add(name)
            return super().__getattribute__(name)

    called: set[str] = set()
    list(results(Counting(), torch.float32))
    assert called >= {name for name in vars(Primitives) if not name.startswith("_")}


def test_without_a_compiler_torch_serves_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", str(tmp_path / "none"))
    found = native_primitives.__wrapped__()
    assert found.primitives is None
    assert "no C compiler" in found.note


def test_a_source_that_does_not_compile_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    primitives("native")
    source = tmp_path / "broken.c"
    source.write_text("int main( {")
    monkeypatch.setattr(build, "SOURCE", source)
    found = native_primitives.__wrapped__()
    assert found.primitives is None
    assert "do not compile" in found.note
