"""How a machine computes: chosen by what it can do, recorded, and without effect on the response beyond rounding."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from foldover.core import Budget, BudgetError, Limit, Outcome, Recipe, RunSpec, Settings
from foldover.lm import device as devices
from foldover.lm.choose import leaves_for
from foldover.lm.device import open_device
from foldover.lm.levers import CONSTANTS, LEVERS, MICRO
from foldover.lm.model.leaves import PLAIN
from foldover.lm.ops import native_primitives
from foldover.lm.trainer import LMTrainer
from foldover.native import Processor, processor
from foldover.rundir import RunRoot

CPU = Settings(device="cpu")


def run_once(root: Path, settings: Settings, limit: str = "6 steps") -> Outcome:
    # Without x0: its gradient is zero at first, and AdamW makes a whole step of the sign of what rounding leaves of it.
    values = LEVERS.complete({"x0_mix": "none", "total_batch": 1024}, MICRO)
    spec = RunSpec(
        study="",
        stage="",
        package="",
        condition="",
        levels=(),
        recipe=Recipe(trainer="lm", values=values),
        budget=Budget(limit=Limit.parse(limit)),
        seed=7,
        constants=CONSTANTS.complete({"eval_tokens": 1024}),
    )
    runs = RunRoot(root)
    with runs.claim(spec) as folder:
        assert folder is not None
        outcome = LMTrainer().train(spec, folder, settings)
        runs.finish(folder, outcome)
    return outcome


@pytest.mark.usefixtures("prepared")
def test_number_format_and_kernels_do_not_change_the_response_beyond_rounding(tmp_path: Path) -> None:
    found = {}
    for settings in (
        Settings(device="cpu", compute="fp32", kernels="torch"),
        Settings(device="cpu", compute="fp32"),
        Settings(device="cpu", compute="bf16", kernels="torch"),
        Settings(device="cpu", compute="bf16"),
    ):
        outcome = run_once(tmp_path / f"{settings.compute}-{settings.kernels}", settings)
        assert outcome.status == "finished"
        assert outcome.machine["compute"] == {"fp32": "float32", "bf16": "bfloat16"}[settings.compute]
        found[settings.compute, settings.kernels] = outcome.responses.number("val_bpb")
    reference = found["fp32", "torch"]
    assert found["fp32", "auto"] == pytest.approx(reference, abs=1e-4)
    assert found["bf16", "torch"] == pytest.approx(reference, abs=5e-3)
    assert found["bf16", "auto"] == pytest.approx(found["bf16", "torch"], abs=1e-3)
    assert found["bf16", "auto"] != reference


@pytest.mark.usefixtures("prepared")
def test_a_run_in_bf16_repeats_to_the_last_bit(tmp_path: Path) -> None:
    settings = Settings(device="cpu", compute="bf16")
    first, second = (run_once(tmp_path / name, settings) for name in ("a", "b"))
    assert first.responses == second.responses
    assert first.counters["last_train_loss"] == second.counters["last_train_loss"]


@pytest.mark.usefixtures("prepared")
def test_a_run_without_loops_in_c_says_so_once_in_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", str(tmp_path / "none"))
    native_primitives.cache_clear()
    try:
        outcome = run_once(tmp_path / "run", CPU, "2 steps")
    finally:
        native_primitives.cache_clear()
    assert outcome.status == "finished"
    assert outcome.machine["kernels"] == "torch"
    assert "no C compiler" in outcome.machine.text("kernels_note")


STEADY = """
import json, sys
from pathlib import Path
from foldover.execution.profile import set_up_process
set_up_process(())
sys.path.insert(0, {tests!r})
from test_lm_device import CPU, run_once
outcome = run_once(Path({root!r}), CPU, "16 steps")
print(json.dumps(outcome.counters["page_faults_per_step"]))
"""


@pytest.mark.usefixtures("prepared")
def test_a_worker_has_no_page_faults_once_it_is_running(tmp_path: Path) -> None:
    script = STEADY.format(tests=str(Path(__file__).parent), root=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) <= 100


def test_the_record_says_how_the_machine_computes() -> None:
    record = open_device(CPU).record()
    assert {"isa", "compute", "muon_dtype", "float32_products", "kernels", "threads"} <= set(record)


def test_bf16_is_taken_only_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    decide = devices.is_bf16_native.__wrapped__
    monkeypatch.setattr(devices, "processor", lambda: Processor(name="old", flags=("avx2",)))
    assert not decide()
    monkeypatch.setattr(devices, "processor", lambda: Processor(name="new", flags=("avx512_bf16",)))
    assert decide()


def test_a_precision_that_is_bf16_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    decide = devices.float32_precision.__wrapped__
    assert decide() == "medium"
    real = torch.Tensor.__matmul__

    def coarse(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return real(a.bfloat16().to(a.dtype), b) if a.dtype is torch.float32 else real(a, b)

    monkeypatch.setattr(torch.Tensor, "__matmul__", coarse)
    assert decide() == "highest"


def test_products_in_fp32_are_as_accurate_as_fp32_whatever_was_chosen() -> None:
    open_device(CPU)
    x = torch.randn(300, 300, generator=torch.Generator().manual_seed(0))
    exact = x.double() @ x.double()
    assert float(((x @ x).double() - exact).norm() / exact.norm()) < 1e-5


def test_settings_override_what_the_machine_would_choose() -> None:
    assert open_device(Settings(device="cpu", compute="fp32")).dtype is torch.float32
    half = open_device(Settings(device="cpu", compute="bf16", kernels="torch"))
    assert (half.dtype, half.muon_dtype, half.kernels) == (torch.bfloat16, torch.bfloat16, "torch")


def test_a_compiled_model_gets_the_plain_leaves() -> None:
    device = open_device(CPU)
    assert leaves_for(device, is_compiled=True) is PLAIN
    assert leaves_for(device).dtype is device.dtype


@pytest.mark.parametrize("setting", ["compute", "kernels"])
def test_an_unknown_setting_is_an_error_with_what_there_is(setting: str) -> None:
    with pytest.raises(BudgetError, match="torch" if setting == "kernels" else "fp32"):
        Settings(**{setting: "fast"})


def test_this_processor_has_a_name() -> None:
    assert processor().name
