"""The whole path from weights to stored tensors and back, its report, and F7 of levers.md."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from foldover.core import ArtifactError, BudgetError, DataError, OutsideError, RecipeError, bind
from foldover.export.levers import EXPORT_LEVERS, ExportConfig
from foldover.export.pack import Packed, pack
from foldover.export.parts import Part, StoredTensor
from foldover.export.quantize import worst_row
from foldover.export.restore import restore, restore_tensor
from foldover.export.selective import zero_ones
from foldover.export.tensors import Calibration, TensorInfo

INFOS = [
    TensorInfo(name="embedding", role="embedding"),
    TensorInfo(name="blocks.0.mlp.input", role="mlp", layer=0),
    TensorInfo(name="blocks.0.mlp.output", role="mlp_out", layer=0),
    TensorInfo(name="bank", role="attention"),
    TensorInfo(name="scale", role="vector"),
]
SHAPES = {
    "embedding": (128, 32),
    "blocks.0.mlp.input": (96, 32),
    "blocks.0.mlp.output": (32, 96),
    "bank": (3, 32, 32),
    "scale": (32,),
}


def weights_of(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 0.05, shape).astype(np.float32) for name, shape in SHAPES.items()}


def calibration_of() -> Calibration:
    rng = np.random.default_rng(7)
    hessians, sizes, gradients = {}, {}, {}
    for name, shape in SHAPES.items():
        if name == "scale":
            continue
        bank = shape[:-2] or (1,)
        x = rng.normal(size=(*bank, 300, shape[-1])) @ (np.eye(shape[-1]) + 0.3 * rng.normal(size=(shape[-1],) * 2))
        hessians[name] = np.squeeze(np.swapaxes(x, 1, 2) @ x / 300)
        sizes[name] = np.squeeze(np.abs(x).mean(axis=1))
        gradients[name] = np.squeeze(rng.uniform(0.1, 1, size=(*bank, shape[-2])))
    return Calibration(hessians=hessians, input_sizes=sizes, gradients=gradients, tokens=dict.fromkeys(hessians, 300))


def packed(calibration: Calibration | None = None, **levers: object) -> Packed:
    config = bind(ExportConfig, EXPORT_LEVERS.complete({"keep_float_below": 0, **levers}))
    return pack(weights_of(), INFOS, config, calibration=calibration, bytes_of=raw_entropy)


def raw_entropy(stored: Sequence[StoredTensor]) -> int:
    total = 0.0
    for tensor in stored:
        for part in tensor.parts:
            _, counts = np.unique(part.array, return_counts=True)
            total += -(counts * np.log2(counts / part.array.size)).sum() / 8 + counts.size
    return round(total)


def same(first: Packed, second: Packed) -> bool:
    return all(
        a.name == b.name and a.settings == b.settings and [p.name for p in a.parts] == [p.name for p in b.parts]
        and all(p.array.tobytes() == q.array.tobytes() for p, q in zip(a.parts, b.parts, strict=True))
        for a, b in zip(first.stored, second.stored, strict=True)
    )  # fmt: skip


def test_neutral_gives_every_weight_back_to_the_bit() -> None:
    weights = weights_of()
    weights["embedding"][0, :4] = [np.float32(1e-42), -0.0, 3e38, np.pi]
    found = pack(weights, INFOS, bind(ExportConfig, EXPORT_LEVERS.complete({"scheme": "none"})))
    back = restore(found.stored)
    assert back.keys() == weights.keys()
    assert all(back[name].tobytes() == weights[name].tobytes() for name in weights)
    assert all(back[name].shape == weights[name].shape for name in weights)


LEVERS: list[dict[str, object]] = [
    {},
    {"gptq": False, "clip": "search"},
    {"axis": "auto", "clip": "absmax"},
    {"axis": "group", "quant_group": 20, "clip": "quantile"},
    {"axis": "tensor"},
    {"matrix_format": "ternary", "embedding_format": "binary"},
    {"asymmetric": True, "hessian_clip_lambda": 0.2},
    {"scheme": "step", "column_steps": "feedback", "row_steps": "gradient"},
    {"scheme": "step", "row_steps": "sigma", "boundary_bits": 1},
    {"awq_alpha": 0.6, "gptq_order": "natural", "gptq_block": 5},
    {"residual_rank": 1, "residual_budget_bytes": 2000, "lqer_rank": 3},
    {"prune_fraction": 0.2, "mlp_permute": True},
]


@pytest.mark.parametrize("levers", LEVERS, ids=str)
def test_stored_tensors_alone_give_the_same_weights_each_time(levers: dict[str, object]) -> None:
    found = packed(calibration_of(), **levers)
    first, again = restore(found.stored), restore(found.stored)
    assert [tensor.name for tensor in found.stored] == sorted(SHAPES)
    for name, shape in SHAPES.items():
        assert first[name].shape == shape
        assert first[name].dtype == np.float32
        assert first[name].tobytes() == again[name].tobytes()
    assert same(found, packed(calibration_of(), **levers))
    kinds = {(part.kind, part.array.dtype.name) for tensor in found.stored for part in tensor.parts}
    assert kinds <= {("codes", "int8"), ("codes", "int16"), ("float", "float16"), ("float", "float32")}


@pytest.mark.parametrize("levers", LEVERS, ids=str)
def test_reports_say_what_was_lost(levers: dict[str, object]) -> None:
    calibration, weights = calibration_of(), weights_of()
    found = packed(calibration, **levers)
    back = restore(found.stored)
    for report in found.reports:
        if levers.get("mlp_permute") and "mlp" in report.name:
            continue  # in another order
        before, after = weights[report.name].astype(np.float64), back[report.name]
        error = before - after
        assert report.relative_mse == pytest.approx((error**2).sum() / (before**2).sum(), rel=1e-6, abs=1e-12)
        by_row = [float((row**2).sum()) for row in error.reshape(-1, error.shape[-1])]
        if max(by_row) > 1e-9:
            assert by_row[report.worst_row or 0] == pytest.approx(max(by_row), rel=1e-5)
            assert report.worst_row_ratio == pytest.approx(max(by_row) * len(by_row) / sum(by_row), rel=1e-4)
        if report.name == "scale":
            assert report.output_error is None
            continue
        hessian = calibration.hessians[report.name]
        lost = np.einsum("...ri,...ij,...rj->...", error, hessian, error).sum()
        whole = np.einsum("...ri,...ij,...rj->...", before, hessian, before).sum()
        assert report.output_error == pytest.approx(lost / whole, rel=1e-3)


def test_the_row_of_an_outlier_is_reported_as_the_one_that_errs_most() -> None:
    weights = np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32)
    values = weights + np.float32(0.01)
    values[17] += 1.0
    row, ratio = worst_row(weights, values)
    assert row == 17
    assert ratio == pytest.approx(1.01**2 * 40 / (1.01**2 + 39 * 0.01**2), rel=1e-3)
    assert worst_row(weights, weights) == (None, 0.0)


def test_gptq_lowers_the_output_error_of_every_tensor_the_bank_included() -> None:
    rounded = packed(calibration_of(), gptq=False)
    fed_back = packed(calibration_of())
    for before, after in zip(rounded.reports, fed_back.reports, strict=True):
        if before.name != "scale":
            assert (before.gptq, after.gptq) == ("off", "used")
            assert after.output_error < 0.9 * before.output_error


def test_a_tensor_without_a_hessian_is_rounded_and_named() -> None:
    calibration = calibration_of()
    partial = replace(calibration, hessians={n: h for n, h in calibration.hessians.items() if n != "embedding"})
    reports = {report.name: report for report in packed(partial).reports}
    assert reports["embedding"].gptq == "no Hessian"
    assert reports["bank"].gptq == "used"


def test_levers_that_need_a_calibration_say_so() -> None:
    for levers in ({}, {"gptq": False, "awq_alpha": 0.5}):
        with pytest.raises(RecipeError, match="need a calibration"):
            packed(None, **levers)
    assert packed(None, gptq=False).reports[0].output_error is None


def test_neutral_values_of_corrections_leave_every_byte() -> None:
    plain = packed(calibration_of())
    neutral: list[dict[str, object]] = [
        {"residual_rank": 1, "residual_budget_bytes": 0},
        {"residual_rank": 0, "lqer_rank": 0},
        {"awq_alpha": 0.0},
        {"prune_fraction": 0.0},
        {"hessian_clip_lambda": 0.0},
        {"prune_to_bytes": 10**9},
    ]
    for levers in neutral:
        assert same(plain, packed(calibration_of(), **levers))


def test_corrections_lower_errors_and_are_counted() -> None:
    plain = {report.name: report for report in packed(calibration_of()).reports}
    found = packed(calibration_of(), residual_rank=1, residual_budget_bytes=600, lqer_rank=4, lqer_top_k=1)
    corrected = [report for report in found.reports if report.correction_bytes]
    assert corrected
    assert all(report.relative_mse < plain[report.name].relative_mse for report in corrected)
    stored = {tensor.name: tensor for tensor in found.stored}
    parts = [part for tensor in stored.values() for part in tensor.parts]
    assert sum(part.array.nbytes for part in parts if part.name in ("left", "right")) <= 600
    assert sum(any(part.name == "lqer_left" for part in tensor.parts) for tensor in stored.values()) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["embedding", "scale"])
def test_weights_that_are_not_finite_are_refused_by_name(value: float, name: str) -> None:
    weights = weights_of()
    weights[name].ravel()[5] = value
    for scheme in ("none", "integer", "step"):
        with pytest.raises(OutsideError, match=rf"`{name}` holds weights that are not finite \(got 1\)"):
            pack(weights, INFOS, bind(ExportConfig, EXPORT_LEVERS.complete({"scheme": scheme})))


def test_a_calibration_of_another_model_or_with_holes_is_refused_by_name() -> None:
    calibration = calibration_of()
    foreign = replace(calibration, hessians={**calibration.hessians, "bank": np.eye(32)})
    with pytest.raises(OutsideError, match="Hessian of tensor `bank` belongs to another model"):
        packed(foreign)
    broken = replace(calibration, hessians={**calibration.hessians, "embedding": np.full((32, 32), np.nan)})
    with pytest.raises(OutsideError, match="Hessian of tensor `embedding` is not finite"):
        packed(broken)


def test_descriptions_that_do_not_fit_are_refused() -> None:
    config = bind(ExportConfig, EXPORT_LEVERS.complete({"gptq": False}))
    with pytest.raises(DataError, match="do not belong together"):
        pack(weights_of(), INFOS[:-1], config)
    with pytest.raises(DataError, match="do not belong together"):
        pack(weights_of(), [*INFOS, INFOS[0]], config)
    with pytest.raises(DataError, match="`scale` is no matrix"):
        pack({**weights_of(), "scale": np.float32(1.0)}, [*INFOS[:-1], replace(INFOS[-1], role="matrix")], config)


def test_a_float16_that_would_overflow_is_kept_in_float32() -> None:
    weights = weights_of()
    weights["scale"][0] = 1e6
    found = pack(
        weights, INFOS, bind(ExportConfig, EXPORT_LEVERS.complete({"vector_format": "float16", "gptq": False}))
    )
    assert restore(found.stored)["scale"].tobytes() == weights["scale"].tobytes()


# Restoring what is broken


def grid(**changes: object) -> StoredTensor:
    codes = Part(name="codes", array=np.ones((4, 6), dtype=np.int8), kind="codes")
    scales = Part(name="scales", array=np.ones((4, 1), dtype=np.float16), kind="float")
    tensor = StoredTensor(name="w", shape=(4, 6), scheme="grid", settings={"exponent": 0}, parts=(codes, scales))
    return replace(tensor, **changes)


def part(name: str, *shape: int, dtype: type = np.float16, value: float = 1.0) -> Part:
    return Part(name=name, array=np.full(shape, value, dtype=dtype), kind="float")


CODES = Part(name="codes", array=np.ones((4, 6), dtype=np.int8), kind="codes")
LQER = (CODES, part("scales", 4, 1), part("lqer_left", 4, 2), part("lqer_right", 2, 6))
GROUPS = {"exponent": 0, "lqer_group": 2}


@pytest.mark.parametrize(
    "broken",
    [
        grid(scheme="pickle"),
        grid(shape=(4, 7)),
        grid(parts=(CODES,)),
        grid(parts=(CODES, CODES)),
        grid(parts=(CODES, part("scales", 3, 1))),
        grid(parts=(CODES, part("scales", 4))),
        grid(parts=(CODES, part("scales", 4, 1, value=np.nan))),
        grid(parts=(CODES, part("scales", 4, 1), part("columns", 5))),
        grid(parts=(CODES, part("scales", 4, 1), part("left", 4, 2))),
        grid(parts=(CODES, part("scales", 4, 1), part("left", 4, 2), part("right", 3, 6))),
        grid(parts=(CODES, part("scales", 4, 1), part("other", 4, 2))),
        grid(parts=(CODES, part("scales", 4, 1), part("lqer_left", 4, 2), part("lqer_right", 2, 6))),
        grid(parts=(*LQER, part("lqer_scales", 14)), settings=GROUPS),
        grid(parts=(*LQER, part("lqer_scales", 7, 1)), settings=GROUPS),
        grid(parts=(*LQER, part("lqer_scales", 7)), settings={"exponent": 0, "lqer_group": 0}),
        grid(
            parts=(*LQER[:2], part("lqer_left", 4, 0), part("lqer_right", 0, 6), part("lqer_scales")), settings=GROUPS
        ),
        grid(settings={"exponent": 10**6}),
        grid(settings={"exponent": 1.5}),
        grid(settings={"exponent": 200}),
        grid(settings={"group": 4}),
        grid(settings={"group": -1}),
        grid(settings={"group": 10**9}),
        replace(grid(), scheme="float", parts=(part("values", 4, 5),)),
        replace(grid(), scheme="float", parts=(part("codes", 4, 6),)),
        replace(grid(), scheme="float", parts=(part("values", 4, 6, value=np.inf),)),
    ],
)
def test_stored_tensors_that_cannot_be_are_refused_by_name(broken: StoredTensor) -> None:
    assert restore_tensor(grid()).tolist() == [[1.0] * 6] * 4
    with pytest.raises(ArtifactError, match="stored tensor `w` cannot be restored"):
        restore_tensor(broken)


@pytest.mark.parametrize("group", [6, 64, 2**40, 2**80])
def test_a_group_that_is_longer_than_a_row_takes_no_memory_for_what_is_not_there(group: int) -> None:
    scales = Part(name="lqer_scales", array=np.array([1, 2, 3], dtype=np.float16), kind="float")
    found = restore_tensor(grid(parts=(*LQER, scales), settings={"exponent": 0, "lqer_group": group}))
    assert found.tolist() == [[1.0 + 2.0 + 3.0] * 6] * 4


@pytest.mark.parametrize("group", [0, 4])
def test_weights_are_those_that_the_page_of_the_format_describes(group: int) -> None:
    rng, f = np.random.default_rng(5), np.float32
    codes, left_codes, right_codes = (rng.integers(-8, 8, shape).astype("i1") for shape in ((5, 7), (5, 2), (2, 7)))
    scales, columns, left, right, fine = (
        rng.normal(size=shape).astype("f2") for shape in ((5, 2 if group else 1), 7, (5, 3), (3, 7), 1 + 2 * 3)
    )
    named = {"codes": codes, "scales": scales, "columns": columns, "left": left, "right": right}
    named |= {"lqer_left": left_codes, "lqer_right": right_codes, "lqer_scales": fine}
    parts = tuple(Part(name=name, array=array, kind="float") for name, array in named.items())
    settings = {"exponent": -3, "group": group, "lqer_group": 3}
    found = restore_tensor(StoredTensor(name="w", shape=(5, 7), scheme="grid", settings=settings, parts=parts))
    for r in range(5):
        for c in range(7):
            step = f(scales[r, c // group if group else 0]) * f(2.0**-3)
            first = second = f(0)
            for i in range(3):
                first += f(left[r, i]) * f(right[i, c])
            for i in range(2):
                second += f(left_codes[r, i]) * f(fine[0]) * (f(right_codes[i, c]) * f(fine[1 + 3 * i + c // 3]))
            assert found[r, c] == f(codes[r, c]) * step * f(columns[c]) + first + second


def test_a_correction_of_rank_zero_adds_nothing() -> None:
    parts = (*LQER[:2], part("lqer_left", 4, 0), part("lqer_right", 0, 6), part("lqer_scales", 1))
    assert restore_tensor(grid(parts=parts, settings=GROUPS)).tolist() == [[1.0] * 6] * 4


# Selective pruning


def test_codes_of_one_go_smallest_steps_first_and_no_more_than_needed() -> None:
    found = packed(None, gptq=False, matrix_format="int4", embedding_format="int4")
    full = raw_entropy(found.stored)
    target = full - 200
    stored, count = zero_ones(found.stored, target_bytes=target, bytes_of=raw_entropy)
    assert raw_entropy(stored) <= target
    gone, kept = [], []
    for before, after in zip(found.stored, stored, strict=True):
        a, b = before.parts[0].array, after.parts[0].array
        if before.scheme != "grid":
            assert a is b
            continue
        assert np.array_equal(a[np.abs(a) != 1], b[np.abs(a) != 1])
        steps = np.broadcast_to(before.parts[1].array.astype(np.float64), a.shape)
        gone += steps[(a != b)].tolist()
        kept += steps[(np.abs(a) == 1) & (a == b)].tolist()
    assert len(gone) == count > 0
    assert max(gone) <= min(kept)
    fewer, _ = zero_ones(found.stored, target_bytes=full - 100, bytes_of=raw_entropy)
    assert raw_entropy(fewer) > raw_entropy(stored)


def test_nothing_goes_where_all_fits_and_binary_codes_never_go() -> None:
    found = packed(None, gptq=False)
    assert zero_ones(found.stored, target_bytes=raw_entropy(found.stored), bytes_of=raw_entropy)[1] == 0
    binary = packed(None, gptq=False, matrix_format="binary", embedding_format="binary")
    with pytest.raises(BudgetError, match="with every code of 1 at zero"):
        zero_ones(binary.stored, target_bytes=100, bytes_of=raw_entropy)


def test_the_lever_reaches_its_target_or_says_that_it_cannot() -> None:
    full = raw_entropy(packed(None, gptq=False).stored)
    found = packed(None, gptq=False, prune_to_bytes=full - 300)
    assert raw_entropy(found.stored) <= full - 300
    assert found.ones_zeroed == sum(report.zeroed for report in found.reports) > 0
    with pytest.raises(BudgetError, match=r"correction\.prune_to_bytes"):
        packed(None, gptq=False, prune_to_bytes=1000)
