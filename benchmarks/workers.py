"""Short runs in warm workers: what is lost between them, and what a process costs a run.

Training is the seconds of a run's own steps. Evaluation, start-up inside the trainer, claim and sealing of the folder
and the way from one run to the next are what a run costs beside it; each is shown.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.measure import describe_machine
from benchmarks.section import Check, Section, markdown
from foldover.core import Budget, Limit, Outcome, RunSpec, Settings
from foldover.core.settings import WORKERS, Workers
from foldover.execution import LocalExecutor, usable_cores
from foldover.lm.levers import CONSTANTS, PRESETS
from foldover.lm.resolve import baseline_recipe
from foldover.lm.trainer import LMTrainer
from foldover.rundir import CHECKSUMS, SPEC, RunRoot, read_ended

NUM_RUNS = 16
NUM_SLOTS = 2
STEPS = 60
FEW_STEPS = 5
EVAL_TOKENS = 4096
MAX_OVERHEAD = 1.08
AIMS: dict[Workers, float | None] = {"reset": 0.04, "fork": 0.10, "fresh": None}
NAMES: dict[Workers, str] = {
    "reset": "a process that has run before",
    "fork": "a fork of a warm process",
    "fresh": "a fresh process",
}


def section(rounds: int) -> Section:
    """Throughput of sixteen runs, and the fixed cost of one by the kind of its process."""
    machine = describe_machine()
    first = _spec(0, steps=STEPS)
    LMTrainer().prepare(first.recipe, first.constants, lambda phase, share: None)
    lines, checks, figures = _throughput(max(1, rounds // 2))
    more, fixed_checks, fixed = _fixed_cost(rounds)
    return Section(
        name="workers",
        title="Short runs in warm workers",
        command=f"python -m benchmarks workers --rounds {rounds}",
        machine=machine,
        lines=[*lines, "", *more],
        checks=[*checks, *fixed_checks],
        figures={"sixteen runs": figures, "fixed cost": fixed},
    )


def _throughput(times: int) -> tuple[list[str], list[Check], dict[str, Any]]:
    if len(usable_cores()) < NUM_SLOTS:
        return [f"Sixteen runs were left out: they need {NUM_SLOTS} cores."], [], {}
    found = []
    with LocalExecutor(Settings(jobs=NUM_SLOTS, device="cpu")) as executor, tempfile.TemporaryDirectory() as place:
        warm = [_spec(1000 + i, steps=FEW_STEPS) for i in range(2 * NUM_SLOTS)]
        executor.run_all(warm, Path(place) / "warm", lambda path: None)
        for i in range(times):
            specs = [_spec(i * NUM_RUNS + j, steps=STEPS) for j in range(NUM_RUNS)]
            root = Path(place) / str(i)
            began = time.time()
            executor.run_all(specs, root, lambda path: None)
            found.append(_parts(root, specs, began, time.time()))
    middle = sorted(found, key=lambda parts: parts["ratio"])[(len(found) - 1) // 2]
    rows = [[name, f"{seconds:.3f}"] for name, seconds in middle.items() if name != "ratio"]
    with_evaluation = middle["wall"] / (middle["training"] + middle["evaluation"])
    text = (
        f"{NUM_RUNS} runs of `micro`, {STEPS} steps each, {NUM_SLOTS} at a time in warm workers, {EVAL_TOKENS:,} "
        f"tokens evaluated a run; {times} passes, that with the middle ratio is shown. Seconds are sums over runs "
        f"divided by {NUM_SLOTS}, beside the wall time of the whole. The wall time is {middle['ratio']:.3f} times the "
        f"training, and {with_evaluation:.3f} times training and evaluation."
    )
    check = Check(
        name=f"{NUM_RUNS} runs: wall time, of pure training / {NUM_SLOTS}",
        value=middle["ratio"],
        must=MAX_OVERHEAD,
        is_at_most=True,
    )
    return [text, "", *markdown(["seconds", ""], rows)], [check], {"passes": found}


def _parts(root: Path, specs: Sequence[RunSpec], began: float, ended: float) -> dict[str, float]:
    """Where the time of a pass went: seconds over all runs, divided by the slots."""
    outcomes = [_outcome(root, spec) for spec in specs]
    claimed = {spec.run_id: (_folder(root, spec) / SPEC).stat().st_mtime for spec in specs}
    sealed = {spec.run_id: (_folder(root, spec) / CHECKSUMS).stat().st_mtime for spec in specs}
    counted = {
        name: sum(outcome.counters.number(f"{name}_seconds") for outcome in outcomes)
        for name in ("startup", "step", "evaluation", "total")
    }
    of_slot: dict[object, list[str]] = {}
    for outcome in outcomes:
        of_slot.setdefault(outcome.machine["slot"], []).append(outcome.run_id)
    from_run_to_run, waiting = 0.0, 0.0
    for runs in of_slot.values():
        order = sorted(runs, key=claimed.__getitem__)
        ends = [began, *(sealed[run] for run in order)]
        from_run_to_run += sum(claimed[run] - end for run, end in zip(order, ends, strict=False))
        waiting += ended - ends[-1]
    sealing = sum(sealed[o.run_id] - datetime.fromisoformat(o.finished).timestamp() for o in outcomes)
    held = sum(sealed[run] - claimed[run] for run in claimed)
    seconds = {
        "training": counted["step"],
        "evaluation": counted["evaluation"],
        "start-up in the trainer": counted["startup"],
        "rest in the trainer": counted["total"] - counted["step"] - counted["evaluation"] - counted["startup"],
        "claim, resolving": held - sealing - counted["total"],
        "sealing the folder": sealing,
        "from a sealed run to the next claim": from_run_to_run,
        "waiting for the last run": waiting,
    }
    shares = {name: value / NUM_SLOTS for name, value in seconds.items()}
    wall = ended - began
    return {"wall": wall, **shares, "ratio": wall / shares["training"]}


def _fixed_cost(rounds: int) -> tuple[list[str], list[Check], dict[str, Any]]:
    """Wall time of a call with one run, less what its steps and its evaluation take in a warm process."""
    wall: dict[Workers, list[float]] = {workers: [] for workers in WORKERS}
    pure: list[float] = []
    num_different = 0
    executors = {workers: LocalExecutor(Settings(workers=workers, device="cpu")) for workers in WORKERS}
    with tempfile.TemporaryDirectory() as place:
        try:
            for workers, executor in executors.items():
                with_warm = executor.__enter__()
                with_warm.run_all([_spec(2000, steps=FEW_STEPS)], Path(place) / f"warm-{workers}", lambda path: None)
            for i in range(rounds):
                spec = _spec(3000 + i, steps=FEW_STEPS)
                results = set()
                for workers in WORKERS if i % 2 == 0 else reversed(WORKERS):
                    root = Path(place) / f"{i}-{workers}"
                    began = time.perf_counter()
                    executors[workers].run_all([spec], root, lambda path: None)
                    wall[workers].append(time.perf_counter() - began)
                    results.add(_result(root, spec))
                    if workers == "reset":
                        pure.append(_pure_seconds(_outcome(root, spec)))
                num_different += len(results) - 1
        finally:
            for executor in executors.values():
                executor.close()
    floor = statistics.median(pure)
    fixed = {workers: [seconds - floor for seconds in found] for workers, found in wall.items()}
    rows = [
        [NAMES[w], f"{statistics.median(found):.3f} ({min(found):.3f} to {max(found):.3f})"]
        for w, found in fixed.items()
    ]
    text = (
        f"What one run costs beside its {FEW_STEPS} steps and its evaluation, {rounds} rounds in turn: wall seconds of "
        f"a call with one run, less {floor:.3f} s that its steps and evaluation take in a process that has run before. "
        "Slower first steps and colder memory count as cost."
    )
    checks = [
        Check(
            name=f"fixed cost, {NAMES[w]}",
            value=statistics.median(fixed[w]),
            aim=aim,
            is_at_most=True,
            unit=" s",
        )
        for w, aim in AIMS.items()
        if aim is not None
    ]
    identity = Check(
        name="runs whose losses differ in any bit between the three", value=num_different, must=0, is_at_most=True
    )
    return [text, "", *markdown(["a run in", "fixed cost, s"], rows)], [*checks, identity], {"wall": wall, "pure": pure}


def _spec(seed: int, *, steps: int) -> RunSpec:
    return RunSpec(
        study="benchmark",
        stage="workers",
        package="workers",
        condition="micro",
        levels=(),
        recipe=baseline_recipe(PRESETS["micro"]),
        budget=Budget(limit=Limit(kind="steps", amount=steps)),
        constants=CONSTANTS.complete({"eval_tokens": EVAL_TOKENS}),
        seed=seed,
    )


def _folder(root: Path, spec: RunSpec) -> Path:
    return RunRoot(root).folder(spec.run_id)


def _outcome(root: Path, spec: RunSpec) -> Outcome:
    outcome = read_ended(_folder(root, spec)).outcome
    assert outcome.status == "finished", outcome.failure
    return outcome


def _pure_seconds(outcome: Outcome) -> float:
    """Steps and evaluation; the first step, which is not counted, as long as the others."""
    counters = outcome.counters
    counted = counters.number("training_seconds") / (FEW_STEPS - 1)
    return counted * FEW_STEPS + counters.number("evaluation_seconds")


def _result(root: Path, spec: RunSpec) -> str:
    """Every loss and the response, to the last bit."""
    ended = read_ended(_folder(root, spec))
    return json.dumps([[point["train_loss"] for point in ended.curve], dict(ended.outcome.responses)])
