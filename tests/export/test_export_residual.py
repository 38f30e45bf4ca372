"""F9 and F10 of levers.md: what low rank adds to rounded weights."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldover.export.parts import Part, StoredTensor
from foldover.export.residual import choose_lqer, choose_residuals, lqer, residual
from foldover.export.restore import restore_tensor
from foldover.export.tensors import TensorInfo


def noise(rows: int, columns: int, seed: int = 0, size: float = 1e-3) -> np.ndarray:
    return (size * np.random.default_rng(seed).uniform(-1, 1, (rows, columns))).astype(np.float32)


def energy(error: np.ndarray) -> float:
    return float(np.square(error.astype(np.float64)).sum())


INFOS = [
    TensorInfo(name="blocks.0.mlp.output", role="mlp_out", layer=0),
    TensorInfo(name="blocks.0.mlp.input", role="mlp", layer=0),
    TensorInfo(name="blocks.3.attention.output", role="attention_out", layer=3),
    TensorInfo(name="blocks.4.mlp.output", role="mlp_out", layer=4),
]
ERRORS = {info.name: noise(32, 32, seed=i, size=1e-3 * (1 + i)) for i, info in enumerate(INFOS)}


def test_a_rank_one_error_is_taken_whole() -> None:
    rng = np.random.default_rng(0)
    error = np.outer(rng.normal(size=40), rng.normal(size=30)).astype(np.float32) * 1e-3
    found = residual(error, 1)
    assert energy(error - found.values) < 1e-6 * energy(error)
    assert found.num_bytes == 2 * (40 + 30)


def test_the_residual_is_nearly_the_best_of_its_rank() -> None:
    error = noise(40, 30)
    best = np.linalg.svd(error.astype(np.float64), compute_uv=False)
    for rank in (1, 3):
        reduced = energy(error) - energy(error - residual(error, rank).values)
        assert 0.8 * np.square(best[:rank]).sum() < reduced <= np.square(best[:rank]).sum() * (1 + 1e-6)


@settings(max_examples=30)
@given(
    rows=st.integers(1, 20),
    columns=st.integers(1, 20),
    rank=st.integers(0, 4),
    seed=st.integers(0, 99),
    size=st.sampled_from([0.0, 1e-30, 1e-7, 1e-3, 1e6]),
)
def test_a_correction_never_raises_the_error(rows: int, columns: int, rank: int, seed: int, size: float) -> None:
    error = noise(rows, columns, seed, size)
    for found in (residual(error, rank), lqer(error, rank, 8)):
        if found is not None:
            assert energy(error - found.values) < energy(error)
    if rank == 0 or size == 0.0:
        assert residual(error, rank) is None
        assert lqer(error, rank, 8) is None


def test_no_budget_means_no_correction() -> None:
    for rank, budget in ((0, 10**6), (1, 0)):
        assert choose_residuals(ERRORS, INFOS, rank=rank, budget_bytes=budget, target="none") == {}


@pytest.mark.parametrize("budget", [100, 128, 255, 256, 300, 10**6])
@pytest.mark.parametrize("target", ["none", "early_proj_combo"])
def test_corrections_never_exceed_their_budget(budget: int, target: str) -> None:
    found = choose_residuals(ERRORS, INFOS, rank=1, budget_bytes=budget, target=target)
    assert len(found) == min(4, budget // 128)
    assert sum(correction.num_bytes for correction in found.values()) <= budget


def test_by_benefit_the_largest_error_comes_first_and_targets_come_before_it() -> None:
    by_benefit = choose_residuals(ERRORS, INFOS, rank=1, budget_bytes=2 * 128, target="none")
    assert set(by_benefit) == {"blocks.3.attention.output", "blocks.4.mlp.output"}
    targeted = choose_residuals(ERRORS, INFOS, rank=1, budget_bytes=2 * 128, target="early_proj_combo")
    assert set(targeted) == {"blocks.0.mlp.output", "blocks.3.attention.output"}


def test_lqer_is_read_back_as_it_was_made() -> None:
    error = noise(20, 50) + np.outer(np.linspace(1, 2, 20), np.linspace(-1, 1, 50)).astype(np.float32) * 1e-3
    found = lqer(error, 4, 16)
    stored = StoredTensor(
        name="w",
        shape=(20, 50),
        scheme="grid",
        settings={"exponent": 0, **found.settings},
        parts=(
            Part(name="codes", array=np.zeros((20, 50), dtype=np.int8), kind="codes"),
            Part(name="scales", array=np.ones((1, 1), dtype=np.float16), kind="float"),
            *found.parts,
        ),
    )
    assert np.array_equal(restore_tensor(stored), found.values)
    by_name = {part.name: part.array for part in found.parts}
    left, right, scales = (by_name[name].astype(float) for name in ("lqer_left", "lqer_right", "lqer_scales"))
    assert (left.min(), left.max()) >= (-2, -2)
    assert left.max() <= 1
    assert right.min() >= -8
    assert right.max() <= 7
    slow = np.zeros((20, 50))
    for r in range(20):
        for c in range(50):
            slow[r, c] = sum(left[r, k] * scales[0] * right[k, c] * scales[1 + k * 4 + c // 16] for k in range(4))
    np.testing.assert_allclose(found.values, slow, atol=1e-9)


def test_lqer_corrects_the_tensors_of_the_largest_errors() -> None:
    structured = {name: error + np.float32(0.01 * (i + 1)) for i, (name, error) in enumerate(ERRORS.items())}
    assert set(choose_lqer(structured, rank=4, top_k=2, group=8)) == {
        "blocks.3.attention.output",
        "blocks.4.mlp.output",
    }
    assert choose_lqer(structured, rank=0, top_k=2, group=8) == {}
