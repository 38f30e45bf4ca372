"""The compiler changes nothing, least of all by taking what changes during training for a constant.

What could go wrong is in the tracing of the model, so these tests stop before code is generated for a processor, which
takes a minute: backend aot_eager.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from shared_runs import perform, spec_of, train_recipe

import foldover.lm.run as run_module
from foldover.core import BudgetError, Settings
from foldover.lm.compiling import CompiledModel, compiling
from foldover.lm.parallel import Alone

# The compiler's own way with custom gradients.
pytestmark = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")

# In eight steps: twice as many rows of half the length at first, a loop from the middle on, quantised weights late.
CHANGING = {
    "model.depth": 1,
    "loops": 1,
    "loop_start": 0,
    "loop_end": 0,
    "active_from": 0.5,
    "length_start": "1/2",
    "length_ramp_ratio": 0.25,
    "forward_weights": "int6",
    "qat_start": 0.6,
    "warmdown_ratio": 0.5,
}


@pytest.mark.usefixtures("prepared")
def test_what_changes_during_training_changes_under_the_compiler_too() -> None:
    eager, weights, _ = train_recipe(CHANGING, Alone())
    with compiling(True) as spent:
        compiled, compiled_weights, _ = train_recipe(CHANGING, Alone(), backend="aot_eager")
    assert spent.seconds > 0
    expected = {"length_full", "loops_started", "warmdown_started", "quantized_forward_started"}
    assert set(compiled.events) == set(eager.events) == expected
    assert compiled.losses == pytest.approx(eager.losses, rel=1e-5)
    assert compiled_weights == pytest.approx(weights, rel=1e-5)
    # It would show: without the loop and the grid the second half of the curve is another.
    constant = CHANGING | {"loops": 0, "forward_weights": "none"}
    for owned in ("loop_start", "loop_end", "active_from", "qat_start"):
        del constant[owned]
    other, _, _ = train_recipe(constant, Alone())
    assert other.losses[:4] == eager.losses[:4]
    assert all(abs(a - b) > 1e-4 * b for a, b in zip(other.losses[4:], eager.losses[4:], strict=True))


@pytest.mark.usefixtures("prepared")
def test_the_time_of_the_compiler_is_told_and_not_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "CompiledModel", partial(CompiledModel, backend="aot_eager"))
    spec = spec_of("3 steps", depth=1, adam_eps=1e-5)
    outcome, compiled = perform(tmp_path / "compiled", spec, Settings(compile=True, compute="fp32"))
    plain, eager = perform(tmp_path / "eager", spec, Settings(compute="fp32"))
    assert outcome.machine["compiled"] is True
    assert outcome.counters.number("compile_seconds") > outcome.counters.number("step_seconds")
    assert outcome.counters.number("forward_seconds") < outcome.counters.number("step_seconds")
    assert plain.machine["compiled"] is False
    assert "compile_seconds" not in plain.counters
    for point, other in zip(compiled.curve, eager.curve, strict=True):
        assert point["train_loss"] == pytest.approx(other["train_loss"], rel=1e-5)


def test_native_kernels_are_not_for_the_compiler() -> None:
    with pytest.raises(BudgetError, match="a compiler sees torch's kernels only"):
        Settings(compile=True, kernels="native")
