"""What diagnostics say of matrices, predictions and models of which the answer is known."""

import json
import math
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from lever_cases import config_of, ids_of, model_of, neutral, shake

from foldover.core import Budget, Limit, RunSpec, Settings, TrainerError, UserError, to_plain
from foldover.lm.device import Device, open_device
from foldover.lm.diagnostics.examine import diagnose, gate_courses, gates_of
from foldover.lm.diagnostics.observe import gradient_norms, hidden_of, observe, predictions_of, without_branch
from foldover.lm.diagnostics.predictions import (
    accuracy,
    boundary,
    calibration,
    confusions,
    loss_by_position,
    position_borders,
    shares,
)
from foldover.lm.diagnostics.weights import (
    condition_number,
    effective_rank,
    figures_of,
    kurtosis,
    outlier_rows,
    recurring_rows,
    stable_rank,
)
from foldover.lm.levers import CONSTANTS, LEVERS, PRESETS
from foldover.lm.resolve import baseline_recipe
from foldover.lm.state import find_state
from foldover.lm.tensor_file import read_tensors, write_tensors
from foldover.lm.trainer import LMTrainer
from foldover.report.diagnosis_page import render_diagnosis
from foldover.report.diagnosis_text import diagnosis_text
from foldover.rundir import RunRoot

CPU = Settings(device="cpu")


@pytest.fixture(scope="module")
def device() -> Device:
    return open_device(CPU)


def rms_norm(x: torch.Tensor) -> torch.Tensor:
    return x / (x.square().mean(dim=-1, keepdim=True) + torch.finfo(torch.float32).eps).sqrt()


# Matrices


def test_the_identity_has_full_effective_rank_and_condition_1() -> None:
    found = figures_of("eye", np.eye(7))
    assert (found.effective_rank, found.relative_rank, found.condition) == pytest.approx((7.0, 1.0, 1.0))
    assert found.stable_rank == pytest.approx(7.0)


def test_a_rank_1_matrix_has_effective_and_stable_rank_1_and_an_infinite_condition() -> None:
    found = figures_of("one", np.outer(np.arange(1.0, 6.0), np.arange(2.0, 10.0)))
    assert (found.effective_rank, found.stable_rank) == pytest.approx((1.0, 1.0), abs=1e-6)
    assert found.condition is None
    assert condition_number(np.array([2.0, 1e-13])) == math.inf


def test_ranks_of_known_singular_values() -> None:
    s = np.array([3.0, 1.0])
    assert effective_rank(s) == pytest.approx(0.75**-0.75 * 0.25**-0.25)
    assert stable_rank(s) == pytest.approx(10.0 / 9.0)
    assert condition_number(s) == 3.0
    assert (effective_rank(np.zeros(3)), stable_rank(np.zeros(3))) == (0.0, 0.0)


def test_gaussian_kurtosis_is_3() -> None:
    assert kurtosis(np.random.default_rng(0).normal(2.0, 5.0, 1_000_000)) == pytest.approx(3.0, abs=0.02)


def test_kurtosis_of_two_points_is_1_and_of_a_constant_0() -> None:
    assert (kurtosis(np.array([-1.0, 1.0, 1.0, -1.0])), kurtosis(np.ones(4))) == (1.0, 0.0)


def test_a_planted_outlier_row_is_found_and_recurs() -> None:
    draw = np.random.default_rng(1)
    matrices = []
    for name, row in (("a", 5), ("b", 5), ("c", 9)):
        w = draw.uniform(-1.0, 1.0, (40, 30))
        w[row, 3] = 20.0
        assert [one.row for one in outlier_rows(w)] == [row]
        assert outlier_rows(w)[0].ratio == pytest.approx(20.0, rel=0.1)
        matrices.append(figures_of(name, w))
    assert [(one.row, one.matrices) for one in recurring_rows(matrices)] == [(5, ("a", "b"))]


# Predictions


def test_position_bins_double_and_hold_every_position() -> None:
    assert position_borders(2048) == (0, 16, 64, 256, 512, 1024, 2048)
    assert position_borders(16) == (0, 16)
    nats = np.tile(np.arange(40.0), (3, 1))
    found = loss_by_position(nats)
    assert [(one.first, one.end, one.nats) for one in found] == [(0, 16, 7.5), (16, 40, 27.5)]


def test_shares_add_up_to_1_and_are_those_of_a_loop() -> None:
    draw = np.random.default_rng(2)
    nats, classes = draw.exponential(size=(4, 50)), draw.integers(0, 3, (4, 50))
    found = shares(nats, classes, ("x", "y", "z", "never"))
    assert sum(one.count for one in found) == pytest.approx(1.0)
    assert sum(one.loss for one in found) == pytest.approx(1.0)
    of_y = [n for n, c in zip(nats.ravel().tolist(), classes.ravel().tolist(), strict=True) if c == 1]
    assert found[1].nats == pytest.approx(sum(of_y) / len(of_y))
    assert found[3].nats is None


def test_calibrated_predictions_have_no_calibration_error() -> None:
    draw = np.random.default_rng(3)
    confidence = draw.uniform(0.0, 1.0, 400_000)
    found = calibration(confidence, draw.uniform(size=400_000) < confidence)
    assert found.error < 0.01
    assert sum(one.count for one in found.bins) == 400_000


def test_a_model_that_is_always_sure_and_right_half_the_time_is_off_by_a_half() -> None:
    assert calibration(np.ones(10), np.arange(10) % 2 == 0).error == pytest.approx(0.5)


def test_accuracy_confusions_and_the_loss_after_sentence_ends() -> None:
    targets = np.array([[1, 2, 3, 3]])
    predicted = np.array([[1, 3, 2, 2]])
    hits = accuracy(targets == predicted, np.array([[True, True, False, True]]), targets == 1)
    assert (hits.top1, hits.top5, hits.word_starts, hits.others) == (0.25, 0.75, 1.0, 0.0)
    found = [(c.target, c.predicted, c.count) for c in confusions(targets, predicted, vocab_size=5)]
    assert found == [(3, 2, 2), (2, 3, 1)]
    ends = boundary(np.array([1.0, 2.0, 6.0]), np.array([True, False, False]))
    assert (ends.after_end, ends.elsewhere) == (1.0, 4.0)
    assert boundary(np.array([1.0]), np.array([False])).after_end is None


# Models

RULES = {
    "sequential": {},
    "parallel": {"residual.parallel_start": 1},
    "lanes": {"residual.lane_start": 2},
    "loops": {"recurrence.loops": 2},
    "skips": {"residual.skips": "add"},
    "swiglu": {"mlp.activation": "swiglu"},
}


@pytest.mark.parametrize("rule", RULES)
def test_a_model_that_is_listened_to_says_the_same(rule: str, device: Device) -> None:
    values = neutral().with_(RULES[rule])
    model = model_of(values)
    shake(model)
    rows = ids_of(values, rows=3).numpy()
    seen = observe(model, rows, device)
    found = predictions_of(model, rows, device, cap=values.number("model.softcap"))
    with torch.inference_mode():
        nll = torch.nn.functional.cross_entropy(
            model(torch.from_numpy(rows[:, :-1])).double().flatten(0, 1),
            torch.from_numpy(rows[:, 1:]).flatten(),
            reduction="none",
        )
    np.testing.assert_allclose(found.nats.ravel(), nll.numpy(), rtol=1e-12)
    assert len(seen) == len(model.plan.visits)
    tokens = rows[:, 1:].size
    assert {one.tokens for one in seen} == {tokens}
    assert {sums.tokens for one in seen for sums in one.branches.values()} == {tokens}
    assert all(one.activations and one.largest_activation > 0.0 for one in seen)


def test_contributions_and_stream_are_those_of_a_block_run_by_hand(device: Device) -> None:
    values = neutral().with_({"model.depth": 1})
    model = model_of(values)
    shake(model)
    rows = ids_of(values, rows=1).numpy()
    (seen,) = observe(model, rows, device)
    block = model.blocks[0]
    with torch.no_grad():
        ids = torch.from_numpy(rows[:, :-1])
        x = rms_norm(model.embedding[ids])
        mid = None

        def keep(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], out: torch.Tensor) -> None:
            nonlocal mid
            mid = out

        hook = block.attention.register_forward_hook(keep)
        model(ids)
        hook.remove()
        assert mid is not None
        after = x + mid
        mlp = block.mlp(rms_norm(after))
    heard = seen.branches["attention"]
    assert heard.ratio / heard.tokens == pytest.approx(float((mid.norm(dim=-1) / x.norm(dim=-1)).mean()), rel=1e-5)
    thought = seen.branches["mlp"]
    assert thought.ratio / thought.tokens == pytest.approx(
        float((mlp.norm(dim=-1) / after.norm(dim=-1)).mean()), rel=1e-5
    )
    assert seen.squares / seen.tokens == pytest.approx(float((after + mlp).square().mean()), rel=1e-5)


def test_skipping_a_branch_that_adds_nothing_changes_nothing(device: Device) -> None:
    model = model_of(neutral())
    shake(model)
    with torch.no_grad():
        model.blocks[1].mlp.output.zero_()
    rows = ids_of(neutral()).numpy()
    whole = predictions_of(model, rows, device, cap=1e9)
    skipped = predictions_of(model, rows, device, cap=1e9, plan=without_branch(model.plan, 1, "mlp"))
    other = predictions_of(model, rows, device, cap=1e9, plan=without_branch(model.plan, 1, "attention"))
    assert np.array_equal(whole.nats, skipped.nats)
    assert not np.array_equal(whole.nats, other.nats)


def test_hidden_activations_are_those_ahead_of_the_output_matrix() -> None:
    for activation in ("relu2", "leaky_relu2", "relu", "swiglu"):
        model = model_of(neutral().with_({"mlp.activation": activation}))
        shake(model)
        mlp = model.blocks[0].mlp
        x = torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(hidden_of(mlp, x) @ mlp.output.T, mlp(x))


def test_gradient_norms_are_those_of_autograd_and_the_gradients_are_gone(device: Device) -> None:
    model = model_of(neutral())
    shake(model)
    rows = ids_of(neutral()).numpy()
    ids = torch.from_numpy(rows)
    grads = torch.autograd.grad(model.loss(ids[:, :-1], ids[:, 1:]), list(model.parameters()))
    whole = math.sqrt(sum(float(g.double().square().sum()) for g in grads))
    found = {one.group: one.norm for one in gradient_norms(model, rows, device)}
    assert found["all"] == pytest.approx(whole, rel=1e-6)
    assert found["all"] == pytest.approx(math.hypot(*(norm for group, norm in found.items() if group != "all")))
    assert all(p.grad is None for p in model.parameters())


def test_gates_are_the_learned_scalars_and_vectors() -> None:
    model = model_of(neutral().with_({"residual.x0_mix": "channel", "attention.qk_gain_learned": True}))
    with torch.no_grad():
        model.blocks[2].parts["mix"].factors[1] = 0.25
    found = {gate.name: gate for gate in gates_of(model)}
    assert (found["blocks.2.parts.mix.factors[1]"].low, found["blocks.2.parts.mix.factors[1]"].high) == (0.25, 0.25)
    assert found["blocks.0.parts.gain.factor"].size == config_of(neutral()).model.head_dim // 4


# A run


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, prepared: object) -> Path:
    """A run folder that kept its state and checkpoints."""
    root = tmp_path_factory.mktemp("kept")
    spec = RunSpec(
        study="",
        stage="",
        package="",
        condition="",
        levels=(),
        recipe=baseline_recipe(LEVERS.complete({"total_batch": 256}, PRESETS["micro"])),
        budget=Budget(limit=Limit.parse("4 steps")),
        seed=3,
        constants=CONSTANTS.complete({"eval_tokens": 1024}),
    )
    runs = RunRoot(root)
    with runs.claim(spec) as folder:
        assert folder is not None
        outcome = LMTrainer().train(spec, folder, replace(CPU, keep_state=True, save_every=2))
        runs.finish(folder, outcome)
    assert outcome.status == "finished"
    return runs.folder(spec.run_id)


def test_the_state_of_a_run_is_found_from_its_folder_its_parent_and_its_file(kept: Path) -> None:
    assert find_state(kept).path.name == "state.safetensors"
    assert find_state(kept.parent.parent).folder == kept
    last = sorted((kept / "checkpoints").iterdir())[-1]
    assert (find_state(last).path, find_state(last).folder) == (last, kept)


def test_a_run_without_a_state_says_which_command_keeps_it(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_bytes((kept / "spec.json").read_bytes())
    with pytest.raises(UserError, match=r"kept no state.*foldover train --keep-state"):
        find_state(tmp_path)
    (tmp_path / "artifact.fold").touch()
    with pytest.raises(UserError, match=r"take its artifact: .*artifact\.fold"):
        find_state(tmp_path)
    with pytest.raises(UserError, match=r"no run folder"):
        find_state(tmp_path / "nothing")


def test_a_diagnosis_is_of_the_run_and_the_same_from_its_last_checkpoint(kept: Path) -> None:
    found = diagnose(find_state(kept), CPU, tokens=1024)
    recorded = json.loads((kept / "outcome.json").read_text())["responses"]["val_bpb"]
    assert found.val_bpb == pytest.approx(recorded, rel=5e-3)  # the run may compute in bf16
    other = diagnose(find_state(sorted((kept / "checkpoints").iterdir())[-1]), CPU, tokens=1024)
    assert other.val_bpb == found.val_bpb
    assert sum(one.count for one in found.kinds) == pytest.approx(1.0)
    assert len(found.branches) == 2 * len(found.layers) == 4
    assert found.tokens == 1024


@pytest.mark.parametrize(("weight", "said"), [(math.nan, "not finite numbers"), (3e38, "they diverged")])
def test_weights_that_measure_nothing_are_refused(kept: Path, tmp_path: Path, weight: float, said: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(kept, copy)
    tensors, meta = read_tensors(copy / "state.safetensors", form=1, what="state")
    next(tensor for tensor in tensors.values() if tensor.ndim == 2)[0, 0] = weight
    write_tensors(copy / "state.safetensors", tensors, meta)
    with pytest.raises(TrainerError, match=said):
        diagnose(find_state(copy), CPU, tokens=512)


def test_the_courses_of_gates_end_where_the_gates_are(kept: Path) -> None:
    found = diagnose(find_state(kept), CPU, tokens=512)
    assert [course.name for course in found.gate_courses] == sorted(gate.name for gate in found.gates)
    ends = {course.name: course.means[-1] for course in found.gate_courses}
    assert ends == {gate.name: pytest.approx(gate.mean, rel=1e-5, abs=1e-9) for gate in found.gates}
    assert {course.progress for course in found.gate_courses} == {(0.25, 0.5, 0.75, 1.0)}
    assert any(len(set(course.means)) == 4 for course in found.gate_courses)


@pytest.mark.parametrize("line", ['{"progress":', '{"progress":0.5}', '{"progress":0.5,"means":{}}'])
def test_a_damaged_record_of_gates_is_told(line: str, tmp_path: Path) -> None:
    (tmp_path / "gates.jsonl").write_text('{"means":{"a":0.1},"progress":0.1,"step":0}\n' + line + "\n{}\n")
    with pytest.raises(TrainerError, match=r"record of gates .*gates\.jsonl cannot be read"):
        gate_courses(tmp_path)


def test_a_diagnosis_without_courses_of_gates_is_shown_without_them(kept: Path) -> None:
    document = to_plain(diagnose(find_state(kept), CPU, tokens=512))
    text = diagnosis_text(document)
    assert f"{document['gate_courses'][0]['means'][0]:+.4f}" in text
    assert "at 25.0 %" in text
    del document["gate_courses"]
    assert "at 25.0 %" not in diagnosis_text(document)
    assert render_diagnosis(document).count("<svg") == 7


def test_page_and_text_show_the_document_and_escape_it(kept: Path) -> None:
    document = to_plain(diagnose(find_state(kept), CPU, tokens=512))
    document["confusions"] = [{"target": "<script>&", "predicted": "x", "count": 2}]
    page, text = render_diagnosis(document), diagnosis_text(document)
    assert "<script>" not in page
    assert "&lt;script&gt;&amp;" in page
    assert page.count("<svg") == 8
    assert not any(word in page for word in ("http:", "src=", "href="))
    for words in (document["matrices"][0]["name"], f"{document['val_bpb']:.6f}", "calibration error"):
        assert words in page
        assert words in text
    assert page == render_diagnosis(json.loads(json.dumps(document, allow_nan=False)))
