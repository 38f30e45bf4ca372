"""One run of the built-in trainer, from spec to outcome."""

from __future__ import annotations

import hashlib
import math
import platform
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import foldover
from foldover.core import Failure, Outcome, Resolved, RunSpec, Settings, Values, bind
from foldover.data import PreparedData, ScoredRows, validation_digest
from foldover.evaluation import Score, bits_per_byte
from foldover.lm.averaging import averaged
from foldover.lm.checkpoint import Checkpoint, identity_of, write_checkpoint
from foldover.lm.clock import BudgetClock, Elapsed
from foldover.lm.device import Device, open_device
from foldover.lm.failures import failure_kind
from foldover.lm.feed import Feed
from foldover.lm.inputs import open_data, rows_to_score, training_rows
from foldover.lm.levers import TrainConfig
from foldover.lm.loop import Progress, rehearse, train
from foldover.lm.model import Gpt, build_model
from foldover.lm.parts import build_parts, restore
from foldover.lm.preflight import check_budget, check_effects
from foldover.lm.resolve import resolve
from foldover.lm.resume import state_to_continue
from foldover.lm.token_traits import token_traits
from foldover.rundir import RunFolder

# Settings, not levers: they bound memory and do not change what is computed beyond rounding.
TOKENS_AT_ONCE = {"cpu": 16384, "cuda": 262144}
EVALUATION_TOKENS_AT_ONCE = {"cpu": 4096, "cuda": 65536}


@dataclass(slots=True, kw_only=True)
class _Run:
    """What is known of a run so far: whatever ends it, this much is recorded."""

    device: Device
    resolved: Resolved
    data: PreparedData | None = None
    clock: BudgetClock | None = None
    progress: Progress = field(default_factory=Progress)
    begins_at: Elapsed = field(default_factory=Elapsed)
    score: Score | None = None
    scored: str = ""
    seconds: dict[str, float] = field(default_factory=dict)


def run(spec: RunSpec, folder: RunFolder, settings: Settings) -> Outcome:
    """Prepare, train within the budget, measure val_bpb.

    What is not finite ends as `diverged`; a machine that fails (no memory, a full disk, a lost device) as `failed`,
    with what was counted up to then. Raises what the recipe, the data or a checkpoint cannot be.
    """
    started, began = datetime.now(UTC), time.perf_counter()
    config, resolved = bind(TrainConfig, spec.recipe.values), resolve(spec.recipe)
    check_budget(config, spec.budget.limit, flops_per_token=resolved.derived.integer("flops_per_token"))
    if not spec.levels:  # in a design a lever may rest in some rows
        check_effects(spec.recipe.values)
    state = _Run(device=open_device(settings), resolved=resolved)
    failure = None
    try:
        _perform(spec, config, state, folder, settings, began)
    except (MemoryError, OSError, RuntimeError) as error:
        kind = failure_kind(error)
        if kind is None:
            raise
        failure = Failure(kind=kind, message=str(error) or type(error).__name__)
    state.seconds["total_seconds"] = time.perf_counter() - began
    return _outcome(spec, state, started, failure)


def _perform(
    spec: RunSpec, config: TrainConfig, state: _Run, folder: RunFolder, settings: Settings, began: float
) -> None:
    device, derived = state.device, state.resolved.derived
    data = state.data = open_data(spec.recipe, spec.constants)
    rows = rows_to_score(spec, data)
    state.scored = validation_digest(rows.ids)
    model = build_model(config, seed=spec.seed, device=device.device, traits=lambda: token_traits(data))
    parts = build_parts(model, config, data, device, width=derived.integer("width"), seed=spec.seed)
    if config.schedule.restored_steps:
        rehearse(parts, _feed(spec, data, device), config, device)
        folder.add_event("rehearsed", step=0)
        state.progress.fired.append("rehearsed")
    feed, identity = (
        _feed(spec, data, device),
        identity_of(spec, data, code=code_digest(), torch_version=torch.__version__),
    )
    checkpoint = state_to_continue(spec, config, folder, identity, flops_per_token=derived.integer("flops_per_token"))
    if checkpoint is not None:
        restore(parts, checkpoint.tensors)
        parts.plateau.restore(checkpoint.plateau)
        feed.skip(checkpoint.rows)
        rehearsed = [event for event in state.progress.fired if event not in checkpoint.progress.fired]
        state.progress, state.begins_at = checkpoint.progress, checkpoint.elapsed
        state.progress.fired.extend(rehearsed)
    clock = state.clock = BudgetClock(
        spec.budget.limit,
        free_steps=config.schedule.free_steps,
        tokens_per_step=config.batch.total_batch,
        flops_per_token=derived.integer("flops_per_token"),
        elapsed=state.begins_at,
    )

    def save() -> None:
        if settings.save_every and clock.steps % settings.save_every == 0:
            write_checkpoint(
                folder.path,
                Checkpoint(
                    tensors=parts.tensors(),
                    identity=identity,
                    elapsed=clock.elapsed,
                    progress=state.progress,
                    rows=feed.taken,
                    plateau=parts.plateau.state,
                ),
            )

    state.seconds["startup_seconds"] = time.perf_counter() - began
    train(parts, feed, clock, config, device, folder, state.progress, save=save)
    if not state.progress.is_diverged:
        evaluated = time.perf_counter()
        with averaged(model, parts.average), parts.forward_weights.in_evaluation():
            state.score = evaluate(model, rows, device)
        state.seconds["evaluation_seconds"] = time.perf_counter() - evaluated


def _outcome(spec: RunSpec, state: _Run, started: datetime, failure: Failure | None) -> Outcome:
    score, data = state.score, state.data
    is_finished = failure is None and score is not None and score.is_finite
    if failure is None and not is_finished:
        steps = 0 if state.clock is None else state.clock.steps
        failure = Failure(kind="diverged", message=f"the loss is not finite or above its limit at step {steps - 1}")
    digests = Values() if data is None else data.digests
    return Outcome(
        run_id=spec.run_id,
        status="finished" if is_finished else "diverged" if failure and failure.kind == "diverged" else "failed",
        started=started.isoformat(),
        finished=datetime.now(UTC).isoformat(),
        responses=Values(val_bpb=score.bits_per_byte) if score is not None and is_finished else Values(),
        counters=_counters(state),
        derived=state.resolved.derived,
        digests=digests.with_(scored=state.scored, code=code_digest()),
        references=Values() if data is None else data.references,
        machine=state.device.record(),
        versions=Values(
            foldover=foldover.__version__,
            python=platform.python_version(),
            torch=torch.__version__,
            numpy=np.__version__,
            tiktoken=version("tiktoken"),
        ),
        fired=tuple(state.progress.fired),
        failure=failure,
    )


def evaluate(model: Gpt, rows: ScoredRows, device: Device) -> Score:
    """val_bpb of a model on rows of the pinned stream, through the forward of training."""

    def logits_of(ids: Tensor) -> Tensor:
        with device.compute():
            logits: Tensor = model(ids)
            return logits

    batch_rows = max(1, EVALUATION_TOKENS_AT_ONCE[device.device.type] // (rows.ids.shape[1] - 1))
    return bits_per_byte(logits_of, rows.ids, rows.bytes, rows.is_scored, device=device.device, batch_rows=batch_rows)


@cache
def code_digest() -> str:
    """sha256 over the names and bytes of foldover's own source files."""
    root = Path(foldover.__file__).parent
    total = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        total.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()


def _feed(spec: RunSpec, data: PreparedData, device: Device) -> Feed:
    return Feed(training_rows(spec, data), tokens_at_once=TOKENS_AT_ONCE[device.device.type], device=device.device)


def _counters(state: _Run) -> Values:
    """Steps, tokens, seconds and their split, rates, memory.

    tokens_per_second and mfu are those of the steps of this process; mfu counts `flops_per_token` against the
    measured rate of matrix products. page_faults_per_step is from the fourth step on.
    """
    progress, clock = state.progress, state.clock
    counted = Values(
        {**state.seconds, **{f"{name}_seconds": seconds for name, seconds in progress.seconds.items()}},
        peak_memory_bytes=state.device.peak_memory_bytes(),
    )
    if clock is not None:
        counted = counted.with_(
            steps=clock.steps,
            tokens=clock.tokens,
            training_seconds=clock.counted_seconds,
            step_seconds=clock.total_seconds,
        )
        seconds = clock.total_seconds - state.begins_at.total_seconds
        if seconds > 0:
            rate = (clock.tokens - state.begins_at.tokens) / seconds
            flops = rate * state.resolved.derived.integer("flops_per_token")
            counted = counted.with_(tokens_per_second=rate, mfu=flops / state.device.gemm_flops_per_second())
    if state.begins_at.steps:
        counted = counted.with_(continued_from_step=state.begins_at.steps)
    if progress.steady_steps:
        counted = counted.with_(page_faults_per_step=progress.steady_faults / progress.steady_steps)
    if math.isfinite(progress.last_loss):
        counted = counted.with_(last_train_loss=progress.last_loss)
    if state.score is not None:
        counted = counted.with_(scored_tokens=state.score.tokens, scored_bytes=state.score.bytes)
    return counted
