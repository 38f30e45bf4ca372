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
from foldover.lm.model.flex import FlexWindowed
from foldover.lm.model.kernels import FullCausal, Grouped, WindowedCausal

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
