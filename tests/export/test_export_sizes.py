from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from foldover.core import UserError
from foldover.export.code_bytes import cap_check, count_code, pack_code
from foldover.export.container import pack_artifact
from foldover.export.parts import Part, StoredTensor
from foldover.export.sizes import (
    TensorPlan,
    absmax_step,
    entropy_bytes,
    gaussian_bits,
    predicted_artifact_bytes,
    predicted_bytes,
)


def model(step: float, *, seed: int = 0) -> list[StoredTensor]:
    rng = np.random.default_rng(seed)
    found = []
    for i, (rows, columns) in enumerate([(512, 256), (256, 512), (1024, 256), (256, 256)]):
        spread = np.exp(0.3 * rng.normal(size=(rows, 1))) * np.exp(0.2 * rng.normal(size=(1, columns)))
        codes = np.rint(spread * rng.normal(size=(rows, columns)) / step).clip(-127, 127).astype(np.int8)
        scales = rng.uniform(0.01, 0.013, size=(rows, 1)).astype(np.float16)
        parts = (Part(name="codes", array=codes, kind="codes"), Part(name="scales", array=scales, kind="float"))
        found.append(StoredTensor(name=f"layer.{i}", shape=(rows, columns), scheme="grid", parts=parts))
    gain = Part(name="values", array=rng.normal(size=300).astype(np.float32), kind="float")
    return [*found, StoredTensor(name="gain", shape=(300,), scheme="float", parts=(gain,))]


@pytest.mark.parametrize("step", [0.05, 0.2, 0.5, 1.5])
def test_prediction_without_coding_is_within_five_hundredths_of_a_percent(step: float) -> None:
    tensors, header, blobs = model(step), {"levers": {"a": 1}}, {"tok": b"abc" * 500}
    written = len(pack_artifact(header, tensors, blobs, codec="ans")[0])
    assert predicted_bytes(tensors, header, blobs) == pytest.approx(written, rel=0.0005)


def test_prediction_of_nothing_is_exact() -> None:
    assert predicted_bytes([]) == len(pack_artifact({}, [], codec="ans")[0])


def test_entropy_is_that_of_the_numbers() -> None:
    assert entropy_bytes(np.array([0, 0, 1, 1, -1, -1, 2, 2], dtype=np.int8)) == 2.0
    assert entropy_bytes(np.zeros(99, dtype=np.int16)) == 0.0
    assert entropy_bytes(np.array([], dtype=np.float16)) == 0.0
    assert entropy_bytes(np.array([0.0, -0.0], dtype=np.float32)) == 0.25


@pytest.mark.parametrize(
    ("sigmas", "levels", "bits"),
    # levers.md F3: theory for clips of so many sigma.
    [(12.85, 31, 3.318), (12.0, 31, 3.416), (11.5, 31, 3.478), (15, 63, 4.117), (14, 63, 4.217), (20, 127, 4.714)],
)
def test_rate_of_gaussian_codes_is_that_of_theory(sigmas: float, levels: int, bits: float) -> None:
    assert gaussian_bits(sigmas / levels) == pytest.approx(bits, abs=0.012)
    assert gaussian_bits(sigmas / levels) == pytest.approx(2.0471 - math.log2(sigmas / levels), abs=0.012)


def test_rate_of_coarse_and_clipped_codes_is_that_of_sampling() -> None:
    z = np.random.default_rng(0).normal(size=400_000)
    for step, levels in ((1.2, 0), (3.0, 0), (0.3, 4), (0.5, 1), (0.2, 3)):
        codes = np.rint(z / step)
        codes = codes.clip(-levels, levels) if levels else codes
        counts = np.unique(codes, return_counts=True)[1] / len(z)
        assert gaussian_bits(step, levels) == pytest.approx(-(counts * np.log2(counts)).sum(), abs=0.01)


def test_step_of_absmax_rows_is_that_of_sampling() -> None:
    z = np.random.default_rng(0).normal(size=(3000, 256))
    assert absmax_step(256, 31) == pytest.approx(np.median(np.abs(z).max(axis=1)) / 31, rel=0.01)
    assert absmax_step(4096, 127) > absmax_step(256, 127)


@pytest.mark.parametrize("bits", [8, 6, 4])
def test_plan_of_gaussian_weights_is_within_five_percent_before_they_exist(bits: int) -> None:
    rng, levels = np.random.default_rng(0), 2 ** (bits - 1) - 1
    tensors, plans = [], []
    for i, (rows, columns) in enumerate([(512, 256), (256, 512), (1024, 256)]):
        weights = rng.normal(size=(rows, columns))
        scales = np.abs(weights).max(axis=1, keepdims=True) / levels
        codes = Part(name="codes", array=np.rint(weights / scales).astype(np.int8), kind="codes")
        tensors.append(
            StoredTensor(
                name=f"t{i}",
                shape=(rows, columns),
                scheme="grid",
                parts=(codes, Part(name="scales", array=scales.astype(np.float16), kind="float")),
            )
        )
        step = absmax_step(columns, levels)
        plans.append(TensorPlan(shape=(rows, columns), step=step, levels=levels, rule="absmax", scales=rows))
    exact = len(pack_artifact({}, tensors, codec="ans")[0])
    assert predicted_artifact_bytes(plans) == pytest.approx(exact, rel=0.05)


def test_numbers_that_are_kept_take_what_their_exponents_leave_to_save() -> None:
    rng, nothing = np.random.default_rng(0), predicted_artifact_bytes([])
    for kind, size in ((np.float16, 2.0), (np.float32, 4.0)):
        values = Part(name="values", array=rng.normal(size=(300, 100)).astype(kind), kind="float")
        tensor = StoredTensor(name="t", shape=(300, 100), scheme="float", parts=(values,))
        exact = len(pack_artifact({}, [tensor], codec="ans")[0])
        plan = TensorPlan(shape=(300, 100), bytes_each=size)
        assert predicted_artifact_bytes([plan]) == pytest.approx(exact, rel=0.05)
        assert predicted_artifact_bytes([plan]) - nothing < 30000 * size
    assert predicted_artifact_bytes([], other_bytes=77) - nothing == 77


@pytest.mark.parametrize("codec", ["zlib", "lzma", "brotli", "zstd"])
def test_a_general_codec_is_asked_what_it_makes_of_such_codes(codec: str) -> None:
    tensors = [tensor for tensor in model(0.4) if tensor.scheme == "grid"]
    plans = [TensorPlan(shape=tensor.shape, step=0.4, levels=127, scales=tensor.shape[0]) for tensor in tensors]
    exact = len(pack_artifact({}, tensors, codec=codec)[0])  # type: ignore[arg-type]
    assert predicted_artifact_bytes(plans, codec=codec) == pytest.approx(exact, rel=0.05)
    assert predicted_artifact_bytes(plans, codec=codec) > predicted_artifact_bytes(plans)


def test_rate_of_codes_after_pruning_is_that_of_sampling() -> None:
    z = np.random.default_rng(0).normal(size=400_000)
    for step, levels, zeroed in ((0.4, 31, 0.3), (0.2, 0, 0.05), (0.5, 3, 0.6)):
        kept = np.where(np.abs(z) < np.quantile(np.abs(z), zeroed), 0.0, z)
        codes = np.rint(kept / step)
        codes = codes.clip(-levels, levels) if levels else codes
        counts = np.unique(codes, return_counts=True)[1] / len(z)
        assert gaussian_bits(step, levels, zeroed) == pytest.approx(-(counts * np.log2(counts)).sum(), abs=0.01)


def test_sixteen_million_bytes_fit_and_one_more_does_not() -> None:
    assert cap_check(16_000_000, 16_000_000).fits
    assert cap_check(16_000_000, 16_000_000).headroom == 0
    assert not cap_check(16_000_001, 16_000_000).fits
    assert cap_check(16_000_001, 16_000_000).headroom == -1


def test_code_counts_as_utf8_bytes_with_every_comment(tmp_path: Path) -> None:
    source = tmp_path / "train.py"
    source.write_text('print("größer")\n', encoding="utf-8")
    assert count_code([source]) == 18
    source.write_text('print("größer")\n# more\n', encoding="utf-8")
    assert count_code([source]) == 25
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "a.py").write_text("x = 1\n")
    (tmp_path / "lib" / "notes.txt").write_text("not code")
    assert count_code([source, tmp_path / "lib", source]) == 31


@pytest.mark.parametrize("packing", ["lzma", "brotli"])
def test_packed_code_counts_as_shipped_and_still_runs(tmp_path: Path, packing: str) -> None:
    source = (
        b"from __future__ import annotations\nimport sys\n"
        + b"# words, words\n" * 200
        + b"print(len(sys.argv), __name__)\n"
    )
    (tmp_path / "train.py").write_bytes(source)
    packed = pack_code(source, packing)  # type: ignore[arg-type]
    assert count_code([tmp_path / "train.py"], packing) == len(packed) < len(source) / 5  # type: ignore[arg-type]
    (tmp_path / "packed.py").write_bytes(packed)
    done = subprocess.run([sys.executable, tmp_path / "packed.py", "x"], capture_output=True, text=True, check=True)
    assert done.stdout == "2 __main__\n"


def test_code_that_is_absent_binary_or_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not there"):
        count_code([tmp_path / "absent.py"])
    with pytest.raises(UserError, match="no code to count"):
        count_code([])
    with pytest.raises(UserError, match="no code to count"):
        count_code([tmp_path])
    (tmp_path / "x.py").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not UTF-8"):
        count_code([tmp_path / "x.py"])
    with pytest.raises(UserError, match="unknown packing"):
        pack_code(b"x", "zip")  # type: ignore[arg-type]
