"""What a worker does ahead of its first run."""

from __future__ import annotations

import pytest
import torch

from foldover.lm import device as devices
from foldover.lm.trainer import LMTrainer


def test_preload_finds_out_what_runs_would_and_sets_nothing() -> None:
    devices.gemm_flops_per_second.cache_clear()
    before = torch.get_float32_matmul_precision(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        LMTrainer().preload()
        assert torch.get_float32_matmul_precision() == before[0]
    finally:
        torch.set_num_threads(before[1])
    assert devices.gemm_flops_per_second.cache_info().currsize == 1
    devices.gemm_flops_per_second(
        torch.device("cpu"),
        torch.bfloat16 if devices.is_bf16_native() else torch.float32,
        devices.float32_precision(),
    )
    assert devices.gemm_flops_per_second.cache_info().hits == 1


def test_preload_computes_nothing_with_more_than_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise AssertionError("a pool of threads would not outlive a fork")

    monkeypatch.setattr(devices, "probe_cpu", refuse)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        LMTrainer().preload()
    finally:
        torch.set_num_threads(before)
