"""Every attention kernel against loops over queries and keys: a window must never become full attention."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from foldover.core import Settings
from foldover.lm.choose import leaves_for
from foldover.lm.device import Device, open_device
from foldover.lm.model.flex import FlexDocuments, FlexWindowed
from foldover.lm.model.flow import Documents
from foldover.lm.model.kernels import FullCausal, Grouped, MaskedDocuments, VarlenDocuments, WindowedCausal
from foldover.lm.model.leaves import PLAIN
from foldover.lm.ops import functions

CONTEXT = 20
WINDOWS = (1, 7, CONTEXT - 1, CONTEXT)


def by_loops(q: Tensor, k: Tensor, v: Tensor, window: int) -> np.ndarray:
    """Attention in float64, one query at a time. k and v may have fewer heads than q."""
    Q, K, V = (t.detach().double().cpu().numpy() for t in (q, k, v))
    B, H, T, hd = Q.shape
    out = np.zeros((B, H, T, V.shape[-1]))
    for b, h, i in np.ndindex(B, H, T):
        g = h * K.shape[1] // H
        first = max(0, i - window)
        scores = np.array([Q[b, h, i] @ K[b, g, j] / math.sqrt(hd) for j in range(first, i + 1)])
        weights = np.exp(scores - scores.max())
        out[b, h, i] = weights / weights.sum() @ V[b, g, first : i + 1]
    return out


def drawn(length: int, *, kv_heads: int = 2, device: str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(length)
    shapes = ((2, 2, length, 16), (2, kv_heads, length, 16), (2, kv_heads, length, 16))
    q, k, v = (torch.randn(shape, generator=generator).to(device) for shape in shapes)
    return q, k, v


def close(found: Tensor, expected: np.ndarray, *, atol: float = 1e-5) -> None:
    np.testing.assert_allclose(found.detach().double().cpu().numpy(), expected, atol=atol)


@pytest.mark.parametrize("length", [CONTEXT, CONTEXT // 2, 2 * CONTEXT])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("kernels", ["torch", "native"])
@pytest.mark.parametrize("kv_heads", [1, 2])
def test_windows_are_those_of_loops(kernels: str, window: int, length: int, kv_heads: int) -> None:
    device = open_device(Settings(device="cpu", compute="fp32", kernels=kernels))
    q, k, v = drawn(length, kv_heads=kv_heads)
    kernel = leaves_for(device).windowed(CONTEXT, window)
    close((Grouped(kernel, 2) if kv_heads == 1 else kernel)(q, k, v), by_loops(q, k, v, window))


@pytest.mark.parametrize("kernels", ["torch", "native"])
@pytest.mark.parametrize("length", [CONTEXT, CONTEXT // 2, 2 * CONTEXT])
def test_full_attention_is_that_of_loops(kernels: str, length: int) -> None:
    device = open_device(Settings(device="cpu", compute="fp32", kernels=kernels))
    q, k, v = drawn(length)
    close(leaves_for(device).full()(q, k, v), by_loops(q, k, v, length))


# Uncompiled, FlexAttention says so and computes all scores: enough to hold its mask to the loops.
@pytest.mark.filterwarnings("ignore:.*flex_attention:UserWarning")
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("kv_heads", [1, 2])
def test_the_blocks_of_flex_attention_are_those_of_loops(window: int, kv_heads: int) -> None:
    kernel = FlexWindowed(context=CONTEXT, window=window)
    q, k, v = drawn(CONTEXT, kv_heads=kv_heads)
    repeated = (q, *(t.repeat_interleave(2 // kv_heads, dim=1) for t in (k, v)))
    close(kernel.by_blocks(*repeated), by_loops(q, k, v, window))
    if window < CONTEXT - 1:
        full = by_loops(q, k, v, CONTEXT)
        assert np.abs(kernel.by_blocks(*repeated).numpy() - full).max() > 0.1


def test_flex_attention_falls_back_to_the_band_where_it_is_not_compiled() -> None:
    q, k, v = drawn(CONTEXT // 2)
    kernel, band = FlexWindowed(context=CONTEXT, window=3), WindowedCausal(context=CONTEXT, window=3)
    assert torch.equal(kernel(q, k, v), band(q, k, v))


def test_flex_attention_is_for_compiled_models_on_a_gpu() -> None:
    gpu = Device(device=torch.device("cuda"), muon_dtype=torch.bfloat16, autocast=True)
    cpu = Device(device=torch.device("cpu"), muon_dtype=torch.float32, autocast=False)
    assert isinstance(leaves_for(gpu, is_compiled=True).windowed(8, 3), FlexWindowed)
    for leaves in (leaves_for(gpu), leaves_for(cpu, is_compiled=True)):
        assert type(leaves.windowed(8, 3)) is WindowedCausal


# Documents


FIRSTS = ((0, 3, 4, 12), (0, 15))


def documents_of(length: int, device: str = "cpu") -> Documents:
    """Of two rows."""
    starts = [[max(first for first in row if first <= t) for t in range(length)] for row in FIRSTS]
    return Documents(places=torch.arange(length, device=device) - torch.tensor(starts, device=device))


def by_loops_alone(q: Tensor, k: Tensor, v: Tensor, window: int) -> np.ndarray:
    """`by_loops` of each document in rows of its own."""
    length = q.shape[2]
    out = np.zeros((*q.shape[:3], v.shape[-1]))
    for b, row in enumerate(FIRSTS):
        inside = [first for first in row if first < length]
        for start, stop in zip(inside, [*inside[1:], length], strict=True):
            own = (slice(b, b + 1), slice(None), slice(start, stop))
            out[own] = by_loops(q[own], k[own], v[own], window)
    return out


@pytest.mark.parametrize("length", [CONTEXT, CONTEXT // 2, 2 * CONTEXT])
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("kernels", ["plain", "torch", "native"])
@pytest.mark.parametrize("kv_heads", [1, 2])
def test_documents_are_those_of_loops(kernels: str, window: int, length: int, kv_heads: int) -> None:
    leaves = PLAIN
    if kernels != "plain":
        leaves = leaves_for(open_device(Settings(device="cpu", compute="fp32", kernels=kernels)))
    q, k, v = drawn(length, kv_heads=kv_heads)
    kernel, expected = leaves.documents(CONTEXT, window), by_loops_alone(q, k, v, window)
    close((Grouped(kernel, 2) if kv_heads == 1 else kernel)(q, k, v, documents_of(length)), expected)
    if window >= CONTEXT - 1 and length > FIRSTS[0][1]:
        assert np.abs(expected - by_loops(q, k, v, window)).max() > 0.1


@pytest.mark.parametrize("window", [4, CONTEXT])
def test_documents_that_are_too_long_for_products_give_the_same_by_the_mask(
    window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaves = leaves_for(open_device(Settings(device="cpu", compute="fp32")))
    found = []
    for limit in (1024, 7):
        monkeypatch.setattr(functions, "ATTENTION_CONTEXT", limit)
        inputs = [t.requires_grad_() for t in drawn(CONTEXT)]
        y = leaves.documents(CONTEXT, window)(*inputs, documents_of(CONTEXT))
        (y * torch.linspace(-1.0, 1.0, y.numel()).view(y.shape)).sum().backward()
        assert ("AttendWithin" in str(y.grad_fn)) == (limit == 1024)
        found.append([y.detach(), *(t.grad for t in inputs)])
    for short, long in zip(*found, strict=True):
        torch.testing.assert_close(short, long)


@pytest.mark.filterwarnings("ignore:.*flex_attention:UserWarning")
@pytest.mark.parametrize("window", WINDOWS)
def test_the_blocks_of_documents_in_flex_attention_are_those_of_loops(window: int) -> None:
    q, k, v = drawn(CONTEXT)
    kernel = FlexDocuments(context=CONTEXT, window=window)
    close(kernel.by_blocks(q, k, v, documents_of(CONTEXT)), by_loops_alone(q, k, v, window))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # the compiler's own
def test_the_compiler_follows_where_documents_are() -> None:
    """In one graph, with other documents than those that it saw first. Traced only: backward needs a GPU."""
    q, k, v = drawn(CONTEXT)
    kernel = FlexDocuments(context=CONTEXT, window=7)
    compiled = torch.compile(kernel, backend="eager", fullgraph=True)
    whole = Documents(places=torch.arange(CONTEXT).expand(2, -1).contiguous())
    close(compiled(q, k, v, whole), by_loops(q, k, v, 7))
    close(compiled(q, k, v, documents_of(CONTEXT)), by_loops_alone(q, k, v, 7))


def varlen_by_loops(
    q: Tensor, k: Tensor, v: Tensor, cu_q: Tensor, cu_k: Tensor, max_q: int, max_k: int, *, window_size: tuple[int, int]
) -> Tensor:
    """What torch documents of `varlen_attn`, whose kernels are for a GPU: q, k, v (tokens, H, hd), int32 borders."""
    assert cu_q.dtype == cu_k.dtype == torch.int32
    assert (int(cu_q[0]), int(cu_q[-1]), window_size[1]) == (0, len(q), 0)
    assert max_q >= int(cu_q.diff().max())
    parts = []
    for start, stop in zip(cu_q[:-1].tolist(), cu_q[1:].tolist(), strict=True):
        one = [x[start:stop].transpose(0, 1).unsqueeze(0) for x in (q, k, v)]
        parts.append(
            torch.from_numpy(by_loops(*one, stop if window_size[0] < 0 else window_size[0]))[0].transpose(0, 1)
        )
    return torch.cat(parts).to(q.dtype)


@pytest.mark.parametrize("window", WINDOWS)
def test_documents_of_any_lengths_are_handed_over_as_torch_wants_them(window: int) -> None:
    kernel = VarlenDocuments(window=window, varlen=varlen_by_loops)
    q, k, v = (x.to(torch.float16) for x in drawn(CONTEXT))
    documents = documents_of(CONTEXT)
    close(kernel(q, k, v, documents), by_loops_alone(q, k, v, window), atol=1e-2)
    close(kernel(q.float(), k.float(), v.float(), documents), by_loops_alone(q, k, v, window))  # by the mask


def test_each_device_has_its_kernel_of_documents() -> None:
    gpu = Device(device=torch.device("cuda"), muon_dtype=torch.bfloat16, autocast=True)
    cpu = Device(device=torch.device("cpu"), muon_dtype=torch.float32, autocast=False)
    kinds = {
        FlexDocuments: leaves_for(gpu, is_compiled=True),
        MaskedDocuments: leaves_for(cpu, is_compiled=True),
        functions.DocumentAttention: leaves_for(cpu),
    }
    for kind, leaves in kinds.items():
        assert type(leaves.documents(8, 3)) is kind
    assert isinstance(leaves_for(gpu).documents(8, 3), MaskedDocuments)  # or its child, where torch is new enough


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("is_compiled", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_documents_on_a_gpu_are_those_of_loops(dtype: torch.dtype, window: int, is_compiled: bool) -> None:
    leaves = leaves_for(open_device(Settings(device="cuda")), is_compiled=is_compiled)
    kernel, documents = leaves.documents(CONTEXT, window), documents_of(CONTEXT, "cuda")
    inputs = [t.to(dtype).requires_grad_() for t in drawn(CONTEXT, device="cuda")]
    plain = [t.detach().float().requires_grad_() for t in inputs]
    computed = (torch.compile(kernel) if is_compiled else kernel)(*inputs, documents)
    atol = 1e-3 if dtype == torch.float32 else 3e-2
    close(computed, by_loops_alone(*plain, window), atol=atol)
    upstream = torch.randn_like(computed)
    computed.backward(upstream)
    MaskedDocuments(window=window)(*plain, documents).backward(upstream.float())
    for found, expected in zip(inputs, plain, strict=True):
        torch.testing.assert_close(found.grad.float(), expected.grad, atol=3 * atol, rtol=3 * atol)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("window", [*WINDOWS, None])
@pytest.mark.parametrize("is_compiled", [False, True])
def test_kernels_of_a_gpu_are_those_of_loops(window: int | None, is_compiled: bool) -> None:
    leaves = leaves_for(open_device(Settings(device="cuda")), is_compiled=is_compiled)
    with torch.device("cuda"):
        kernel = leaves.full() if window is None else leaves.windowed(CONTEXT, window)
    inputs = [t.requires_grad_() for t in drawn(CONTEXT, device="cuda")]
    plain = [t.detach().clone().requires_grad_() for t in inputs]
    computed = (torch.compile(kernel) if is_compiled else kernel)(*inputs)
    close(computed, by_loops(*inputs, CONTEXT if window is None else window), atol=1e-3)
    upstream = torch.randn_like(computed)
    computed.backward(upstream)
    reference = FullCausal() if window is None else WindowedCausal(context=CONTEXT, window=window).cuda()
    reference(*plain).backward(upstream)
    for found, expected in zip(inputs, plain, strict=True):
        torch.testing.assert_close(found.grad, expected.grad, atol=1e-3, rtol=1e-3)
