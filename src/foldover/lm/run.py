"""One run of the built-in trainer, from spec to outcome."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

import foldover
from foldover.core import Failure, Outcome, Resolved, RunSpec, Settings, Status, Values, bind
from foldover.data import PreparedData, ScoredRows, validation_digest
from foldover.evaluation.score import Score
from foldover.export.sections import check_codec
from foldover.lm.after_training import evaluate
from foldover.lm.averaging import averaged
from foldover.lm.bench import bench_of_model, check_evaluable
from foldover.lm.checkpoint import Checkpoint, Identity, checkpoint_of, header_of, identity_of, write_checkpoint
from foldover.lm.choose import leaves_for
from foldover.lm.clock import BudgetClock, Elapsed, training_limit
from foldover.lm.compiling import CompiledModel, CompileTime, compiling
from foldover.lm.device import Device, open_device
from foldover.lm.failures import failure_kind
from foldover.lm.feed import Feed
from foldover.lm.finishing import Finished, finish
from foldover.lm.gates import GateLog
from foldover.lm.inputs import open_data, rows_to_score, training_rows
from foldover.lm.levers import LEVERS, TrainConfig
from foldover.lm.loop import Progress, rehearse, train
from foldover.lm.model import Gpt, build_model
from foldover.lm.parallel import Nowhere, Ranks, Recorder
from foldover.lm.parallel.agreement import agreed_formats, check_weights
from foldover.lm.parallel.gathering import gathered, joined
from foldover.lm.parallel.members import Task
from foldover.lm.parts import Parts, build_parts, restore
from foldover.lm.place import place_of
from foldover.lm.preflight import check_budget
from foldover.lm.resolve import VAL, resolve
from foldover.lm.resume import state_to_continue
from foldover.lm.saving import Saver
from foldover.lm.state import inherited_state, load_state, write_state
from foldover.lm.token_traits import token_traits
from foldover.rundir import RunFolder

# A setting, not a lever: it bounds memory and does not change what is computed beyond rounding.
TOKENS_AT_ONCE = {"cpu": 16384, "cuda": 262144}
# Of kinds of failure; any other is `failed`.
STATUSES: dict[str, Status] = {"diverged": "diverged", "over_cap": "over_cap"}


@dataclass(slots=True, kw_only=True)
class _Run:
    """What is known of a run so far: whatever ends it, this much is recorded.

    trained: the outcome of the run that did all the training, where this one did none; backend: what carries messages
    between its processes; rank_memory: peak memory of each process, bytes.
    """

    device: Device
    resolved: Resolved
    data: PreparedData | None = None
    clock: BudgetClock | None = None
    progress: Progress = field(default_factory=Progress)
    begins_at: Elapsed = field(default_factory=Elapsed)
    trained: Outcome | None = None
    score: Score | None = None
    scored: str = ""
    finished: Finished = field(default_factory=Finished)
    seconds: dict[str, float] = field(default_factory=dict)
    processes: int = 1
    backend: str = "none"
    compile_time: CompileTime = field(default_factory=CompileTime)
    rank_memory: list[float] = field(default_factory=list)


def run(spec: RunSpec, folder: RunFolder, settings: Settings) -> Outcome:
    """Prepare, train within the budget or begin with the state of a run that did, measure val_bpb.

    What is not finite ends as `diverged`; a machine that fails (no memory, a full disk, a lost device or process) as
    `failed`, with what was counted up to then. Where processes share the run, this is rank 0. Raises what the recipe,
    the data or a checkpoint cannot be.
    """
    started, began = datetime.now(UTC), time.perf_counter()
    config, resolved = bind(TrainConfig, spec.recipe.values), resolve(spec.recipe)
    if not spec.is_trunk:  # which need not have all levers act: it is there to begin others
        check_budget(config, spec.budget.limit, flops_per_token=resolved.derived.integer("flops_per_token"))
        if not spec.levels:  # in a design a lever may rest in some rows
            LEVERS.check_effects(spec.recipe.values)
        if config.export.artifact:  # now, not after training
            check_codec(config.export.codec, config.export.level)  # type: ignore[arg-type]
    state = _Run(device=open_device(settings, process=place_of(settings, os.environ).local_rank), resolved=resolved)
    failure = None
    try:
        device_type = state.device.device.type
        with (
            gathered(spec, settings, device_type=device_type) as ranks,
            compiling(settings.compile) as state.compile_time,
        ):
            agreed_formats(state.device, settings, ranks)
            _perform(spec, state, folder, settings, ranks, began)
    except (MemoryError, OSError, RuntimeError) as error:
        kind = failure_kind(error)
        if kind is None:
            raise
        failure = Failure(kind=kind, message=str(error) or type(error).__name__)
    if settings.compile:
        state.seconds["compile_seconds"] = state.compile_time.seconds
    state.seconds["total_seconds"] = time.perf_counter() - began
    return _outcome(spec, state, started, failure)


def follow(task: Task) -> None:
    """Help with a run, in a process that its rank 0 has started; what is recorded is recorded there."""
    device = open_device(task.settings, process=task.rank)
    size = task.settings.processes
    with joined(rank=task.rank, size=size, store=task.store, device_type=device.device.type) as ranks:
        _follow(task.spec, task.settings, device, ranks)


def follow_torchrun(spec: RunSpec, settings: Settings) -> None:
    """The same, in a process that torchrun has started."""
    device = open_device(settings, process=place_of(settings, os.environ).local_rank)
    with gathered(spec, settings, device_type=device.device.type) as ranks:
        _follow(spec, settings, device, ranks)


def _follow(spec: RunSpec, settings: Settings, device: Device, ranks: Ranks) -> None:
    state = _Run(device=agreed_formats(device, settings, ranks), resolved=resolve(spec.recipe))
    with compiling(settings.compile) as state.compile_time:
        _perform(spec, state, None, settings, ranks, time.perf_counter())


def _perform(
    spec: RunSpec, state: _Run, folder: RunFolder | None, settings: Settings, ranks: Ranks, began: float
) -> None:
    """folder: None for ranks but the first."""
    config, device, derived = bind(TrainConfig, spec.recipe.values), state.device, state.resolved.derived
    state.processes, state.backend = ranks.size, ranks.backend
    recorder: Recorder = folder or Nowhere()
    data = state.data = open_data(spec.recipe, spec.constants)
    rows = rows_to_score(spec, data)
    state.scored = validation_digest(rows.ids)
    model = build_model(
        config,
        seed=spec.seed,
        device=device.device,
        traits=lambda: token_traits(data),
        leaves=leaves_for(device, is_compiled=settings.compile),
    )
    check_evaluable(model, spec, data)
    identity = identity_of(spec, data, code=code_digest(), torch_version=torch.__version__)
    if spec.starts_from is not None and _begins_trained(spec, state, model, folder, identity, ranks):
        state.seconds["startup_seconds"] = time.perf_counter() - began
        _measure(spec, state, model, rows, folder, ranks)
        return
    parts = build_parts(
        model,
        config,
        data,
        device,
        width=derived.integer("width"),
        seed=spec.seed,
        ranks=ranks,
        loss_model=CompiledModel(model) if settings.compile else None,
        now=state.compile_time.now,
    )
    if config.schedule.restored_steps:
        rehearse(parts, _feed(spec, data, device, ranks), config, device)
        recorder.add_event("rehearsed", step=0)
        state.progress.fired.append("rehearsed")
    feed = _feed(spec, data, device, ranks)
    _continue(spec, state, parts, feed, folder, identity)
    clock = state.clock = _clock(spec, state, config, parts)

    def write() -> None:
        if folder is not None:
            write_checkpoint(folder.path, _checkpoint(state, parts, identity, clock, rows=feed.taken))

    saver = Saver(spec, settings, write, begins_at=state.begins_at, flops_per_token=derived.integer("flops_per_token"))
    begun = clock.progress if clock.steps else -1.0
    gates = GateLog(folder.path, model, progress=begun) if folder is not None else None

    def after_step() -> None:
        if gates is not None:
            gates.after_step(step=clock.steps - 1, progress=clock.progress)
        saver.after_step(clock.elapsed)

    ranks.gather(0.0)  # the first step waits for nobody
    state.seconds["startup_seconds"] = parts.now() - began
    train(parts, feed, clock, config, device, recorder, state.progress, save=after_step)
    if not state.progress.is_diverged:
        with averaged(model, parts.average), parts.forward_weights.in_evaluation():
            if folder is not None and (spec.keeps_state or settings.keep_state):
                write_state(folder.path, model, identity, data.digests)
            _measure(spec, state, model, rows, folder, ranks)
    if ranks.size > 1:
        check_weights(model, ranks)
        state.rank_memory = ranks.gather(device.peak_memory_bytes())


def _clock(spec: RunSpec, state: _Run, config: TrainConfig, parts: Parts) -> BudgetClock:
    return BudgetClock(
        training_limit(spec.budget.limit, reserve_seconds=config.schedule.reserve_seconds),
        free_steps=config.schedule.free_steps,
        tokens_per_step=config.batch.total_batch,
        flops_per_token=state.resolved.derived.integer("flops_per_token"),
        now=parts.now,
        agreed=lambda seconds: min(parts.ranks.gather(seconds)),  # the others have waited, for a compiler say
        elapsed=state.begins_at,
    )


def _checkpoint(state: _Run, parts: Parts, identity: Identity, clock: BudgetClock, *, rows: int) -> Checkpoint:
    return Checkpoint(
        tensors=parts.tensors(),
        identity=identity,
        elapsed=clock.elapsed,
        progress=state.progress,
        rows=rows,
        plateau=parts.plateau.state,
    )


def _begins_trained(
    spec: RunSpec, state: _Run, model: Gpt, folder: RunFolder | None, identity: Identity, ranks: Ranks
) -> bool:
    """Put in the weights of the run that did all the training, if `starts_from` is one, in all processes."""
    inherited = None if folder is None else inherited_state(spec, folder, identity)
    if folder is not None and inherited is not None:
        load_state(model, inherited.path)
        folder.add_event("began_trained", run=spec.starts_from)
        state.trained, state.progress.fired = inherited.outcome, list(inherited.outcome.fired)
    is_trained: bool = json.loads(ranks.tell(json.dumps(inherited is not None)))
    if is_trained:
        ranks.take_from_first([parameter.detach() for parameter in model.parameters()])
    return is_trained


def _measure(spec: RunSpec, state: _Run, model: Gpt, rows: ScoredRows, folder: RunFolder | None, ranks: Ranks) -> None:
    began = time.perf_counter()
    score = state.score = evaluate(model, rows, state.device, ranks)
    state.seconds["evaluation_seconds"] = time.perf_counter() - began
    if folder is not None and score.is_finite and len(state.resolved.responses) > 1:
        assert state.data is not None, "the model was trained on it"
        bench = bench_of_model(spec, state.device, state.data, rows, model)
        state.finished = finish(bench, score.bits_per_byte, folder)
        state.seconds |= {name: float(str(value)) for name, value in state.finished.seconds.items()}
        state.progress.fired.extend(state.finished.fired)


def _continue(
    spec: RunSpec, state: _Run, parts: Parts, feed: Feed, folder: RunFolder | None, identity: Identity
) -> None:
    """Go on where an earlier attempt or a trunk was, if there is one to go on from."""
    found = None
    if folder is not None:
        config, flops_per_token = (
            bind(TrainConfig, spec.recipe.values),
            state.resolved.derived.integer("flops_per_token"),
        )
        found = state_to_continue(spec, config, folder, identity, flops_per_token=flops_per_token)
    checkpoint = _agreed_state(found, parts)
    if checkpoint is not None:
        parts.plateau.restore(checkpoint.plateau)
        feed.skip(checkpoint.rows)
        rehearsed = [event for event in state.progress.fired if event not in checkpoint.progress.fired]
        state.progress, state.begins_at = checkpoint.progress, checkpoint.elapsed
        state.progress.fired.extend(rehearsed)


def _agreed_state(found: Checkpoint | None, parts: Parts) -> Checkpoint | None:
    """The state that rank 0 goes on from, written into everybody's parts; its tensors stay with rank 0."""
    header = json.loads(parts.ranks.tell(json.dumps(None if found is None else header_of(found))))
    if found is not None:
        restore(parts, found.tensors)
    parts.ranks.take_from_first(list(parts.tensors().values()))
    return checkpoint_of(header, {}) if header and found is None else found


def _outcome(spec: RunSpec, state: _Run, started: datetime, failure: Failure | None) -> Outcome:
    score, data = state.score, state.data
    is_finished = failure is None and score is not None and score.is_finite
    if failure is None and not is_finished:
        steps = 0 if state.clock is None else state.clock.steps
        failure = Failure(kind="diverged", message=f"the loss is not finite or above its limit at step {steps - 1}")
    failure = failure or state.finished.failure
    digests = Values() if data is None else data.digests
    return Outcome(
        run_id=spec.run_id,
        status="finished" if failure is None else STATUSES.get(failure.kind, "failed"),
        started=started.isoformat(),
        finished=datetime.now(UTC).isoformat(),
        responses=Values() if score is None or failure else state.finished.responses.with_({VAL: score.bits_per_byte}),
        counters=_counters(state),
        derived=state.resolved.derived,
        digests=digests.with_(scored=state.scored, code=code_digest()),
        references=Values() if data is None else data.references,
        machine=state.device.record().with_(
            processes=state.processes, backend=state.backend, compiled="compile_seconds" in state.seconds
        ),
        versions=Values(
            foldover=foldover.__version__,
            python=platform.python_version(),
            torch=torch.__version__,
            numpy=np.__version__,
            tiktoken=version("tiktoken"),
        ),
        fired=tuple(state.progress.fired),
        artifact=state.finished.artifact,
        failure=failure,
    )


@cache
def code_digest() -> str:
    """sha256 over the names and bytes of foldover's own source files."""
    root = Path(foldover.__file__).parent
    total = hashlib.sha256()
    for path in sorted([*root.rglob("*.py"), *root.rglob("*.c")]):
        total.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()


def _feed(spec: RunSpec, data: PreparedData, device: Device, ranks: Ranks) -> Feed:
    tokens_at_once = TOKENS_AT_ONCE[device.device.type] * ranks.size
    return Feed(training_rows(spec, data), tokens_at_once=tokens_at_once, device=device.device)


def _counters(state: _Run) -> Values:
    """Steps, tokens, seconds and their split, rates, memory; inherited_seconds: of training that another run did.

    tokens_per_second and mfu are those of the steps of this attempt, all ranks together; mfu counts `flops_per_token`
    against the measured rate of matrix products. page_faults_per_step is from the fourth step on.
    """
    progress, clock = state.progress, state.clock
    counted = Values(
        {**state.seconds, **{f"{name}_seconds": seconds for name, seconds in progress.seconds.items()}},
        peak_memory_bytes=int(max(state.rank_memory or [state.device.peak_memory_bytes()])),
    )
    if state.processes > 1:
        counted = counted.with_(rank_tokens=_listed(progress.rank_tokens), rank_memory_bytes=_listed(state.rank_memory))
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
            available = state.device.gemm_flops_per_second() * state.processes
            counted = counted.with_(tokens_per_second=rate, mfu=flops / available)
    if state.begins_at.steps:
        counted = counted.with_(continued_from_step=state.begins_at.steps)
    if state.begins_at.inherited_seconds:
        counted = counted.with_(inherited_seconds=state.begins_at.inherited_seconds)
    if state.trained is not None:
        done = state.trained.counters
        counted = counted.with_({name: done[name] for name in ("steps", "tokens", "training_seconds") if name in done})
        counted = counted.with_(inherited_seconds=done.get("training_seconds", 0.0))
    if progress.steady_steps:
        counted = counted.with_(page_faults_per_step=progress.steady_faults / progress.steady_steps)
    if math.isfinite(progress.last_loss):
        counted = counted.with_(last_train_loss=progress.last_loss)
    if state.score is not None:
        counted = counted.with_(scored_tokens=state.score.tokens, scored_bytes=state.score.bytes)
    return counted


def _listed(numbers: Iterable[float]) -> str:
    """By rank, separated by commas."""
    return ",".join(str(int(number)) for number in numbers)
