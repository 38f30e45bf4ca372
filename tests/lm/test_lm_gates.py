"""What is written of gates while they are trained."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from lever_cases import model_of, neutral, shake

from foldover.lm.gates import FILE, GateLog, continue_log, gate_rows
from foldover.rundir import read_json_lines

GATED = neutral().with_({"residual.x0_mix": "channel", "attention.qk_gain_learned": True})


def test_a_point_holds_the_mean_of_each_gate_by_name(tmp_path: Path) -> None:
    model = model_of(GATED)
    shake(model)
    GateLog(tmp_path, model, progress=-1.0).after_step(step=0, progress=0.01)
    (point,) = read_json_lines(tmp_path / FILE)
    assert (point["step"], point["progress"]) == (0, 0.01)
    gain, mix = (dict(model.named_parameters())[f"blocks.1.parts.{name}"] for name in ("gain.factor", "mix.factors"))
    assert point["means"]["blocks.1.parts.gain.factor"] == pytest.approx(sum(gain.tolist()) / len(gain), rel=1e-5)
    for i, row in enumerate(mix.tolist()):
        assert point["means"][f"blocks.1.parts.mix.factors[{i}]"] == pytest.approx(sum(row) / len(row), rel=1e-4)
    assert list(point["means"]) == sorted(name for name, _ in gate_rows(model))


def test_points_are_the_first_step_and_each_twentieth_of_the_budget(tmp_path: Path) -> None:
    log = GateLog(tmp_path, model_of(GATED), progress=-1.0)
    for step, progress in enumerate([0.01, 0.04, 0.06, 0.07, 0.31, 0.34, 0.96, 1.0, 1.0]):
        log.after_step(step=step, progress=progress)
    assert [point["step"] for point in read_json_lines(tmp_path / FILE)] == [0, 2, 4, 6, 7]


def test_a_model_without_gates_writes_nothing(tmp_path: Path) -> None:
    GateLog(tmp_path, model_of(neutral()), progress=-1.0).after_step(step=0, progress=1.0)
    assert not (tmp_path / FILE).exists()


def test_writing_draws_nothing_and_leaves_weights_and_gradients(tmp_path: Path) -> None:
    model = model_of(GATED)
    before, random = [p.detach().clone() for p in model.parameters()], torch.get_rng_state()
    GateLog(tmp_path, model, progress=-1.0).after_step(step=0, progress=0.5)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(a, b) and b.grad is None for a, b in zip(before, model.parameters(), strict=True))


def test_a_gate_that_is_not_finite_has_no_mean(tmp_path: Path) -> None:
    model = model_of(GATED)
    with torch.no_grad():
        dict(gate_rows(model))["blocks.0.parts.gain.factor"].fill_(float("nan"))
    GateLog(tmp_path, model, progress=-1.0).after_step(step=0, progress=0.5)
    means = read_json_lines(tmp_path / FILE)[0]["means"]
    assert [name for name, mean in means.items() if mean is None] == ["blocks.0.parts.gain.factor"]


def test_what_an_attempt_wrote_after_its_last_checkpoint_is_not_taken_over(tmp_path: Path) -> None:
    model = model_of(GATED)
    for folder in ("lost", "new", "whole"):
        (tmp_path / folder).mkdir()
    died, whole = (GateLog(tmp_path / folder, model, progress=-1.0) for folder in ("lost", "whole"))
    for step in range(10):
        whole.after_step(step=step, progress=(step + 1) / 10)
        if step < 6:
            died.after_step(step=step, progress=(step + 1) / 10)
    continue_log(tmp_path / "lost", tmp_path / "new", steps=4)
    again = GateLog(tmp_path / "new", model, progress=0.4)
    for step in range(4, 10):
        again.after_step(step=step, progress=(step + 1) / 10)
    assert (tmp_path / "new" / FILE).read_bytes() == (tmp_path / "whole" / FILE).read_bytes()
