"""A trainer that misbehaves on request; registered as `fake` through FOLDOVER_TRAINERS."""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from foldover.core import (
    Budget,
    LeverSet,
    Outcome,
    Recipe,
    RecipeError,
    Resolved,
    RunSpec,
    Settings,
    Values,
    lever,
    levers_of,
)
from foldover.rundir import RunFolder


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def train_ok(spec: RunSpec, folder: RunFolder) -> None:
    """Takes `pause` seconds in small steps, with a curve."""
    pause = spec.recipe.values.number("pause")
    for step in range(10):
        time.sleep(pause / 10)
        folder.add_to_curve(step=step + 1, progress=(step + 1) / 10)


def train_raise(spec: RunSpec, folder: RunFolder) -> None:
    raise ZeroDivisionError("the loss went where no loss should go")


def train_out_of_memory(spec: RunSpec, folder: RunFolder) -> None:
    raise MemoryError


def train_vanish(spec: RunSpec, folder: RunFolder) -> None:
    """Ends its process, and says nothing."""
    os._exit(0)


def train_exit(spec: RunSpec, folder: RunFolder) -> None:
    sys.exit(3)


def train_hang(spec: RunSpec, folder: RunFolder) -> None:
    """Ignores SIGTERM, with a child that does so too."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", code])
    (folder.path / "child.pid").write_text(str(child.pid))
    folder.add_to_curve(step=1, progress=0.25)
    while True:
        time.sleep(0.05)


def train_segfault(spec: RunSpec, folder: RunFolder) -> None:
    print("about to crash")
    ctypes.string_at(0)


def train_segfault_once(spec: RunSpec, folder: RunFolder) -> None:
    if folder.attempt == 1:
        ctypes.string_at(0)


def train_third_time(spec: RunSpec, folder: RunFolder) -> None:
    """Waits to be killed twice; the third attempt ends."""
    folder.add_to_curve(step=1, progress=0.5)
    if folder.attempt < 3:
        time.sleep(600)


def train_talk(spec: RunSpec, folder: RunFolder) -> None:
    print("from python")
    print("to stderr", file=sys.stderr)
    os.write(1, b"from the descriptor\n")
    ctypes.CDLL(None).puts(b"from C")
    subprocess.run(["echo", "from a child"], check=True)
    assert sys.stdin.read() == ""


def train_leave_behind(spec: RunSpec, folder: RunFolder) -> None:
    """Changes what the next run of the process could see, and says what it sees itself."""
    seen = {
        "folder": str(Path.cwd()),
        "variable": os.environ.get("LEFT_BEHIND"),
        "arguments": len(sys.argv),
        "sigterm": str(signal.getsignal(signal.SIGTERM)),
    }
    (folder.path / "seen.json").write_text(json.dumps(seen))
    os.chdir(folder.path)
    os.environ["LEFT_BEHIND"] = "yes"
    sys.argv.append("more")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdout = sys.stderr


def train_after_three(spec: RunSpec, folder: RunFolder) -> None:
    """Waits until three other runs of its root have ended."""
    while sum(not path.name.startswith(".") for path in folder.path.parents[1].iterdir()) < 3:
        time.sleep(0.01)


def train_leave_writer(spec: RunSpec, folder: RunFolder) -> None:
    """Leaves a descriptor of the log open, as a forgotten child process would."""
    (folder.path / "writer.fd").write_text(str(os.dup(1)))


MODES: dict[str, Callable[[RunSpec, RunFolder], None]] = {
    "ok": train_ok,
    "raise": train_raise,
    "out_of_memory": train_out_of_memory,
    "exit": train_exit,
    "vanish": train_vanish,
    "hang": train_hang,
    "segfault": train_segfault,
    "segfault_once": train_segfault_once,
    "third_time": train_third_time,
    "talk": train_talk,
    "leave_behind": train_leave_behind,
    "leave_writer": train_leave_writer,
    "after_three": train_after_three,
}
OTHERS = ("unresolvable", "nothing", "another_run", "no_response", "diverge")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    mode: str = lever("ok", "What it does.", choices=(*MODES, *OTHERS))
    pause: float = lever(0.0, "Seconds it takes.", low=0.0, high=1000.0)
    estimate: float = lever(0.0, "What it says it will take.", low=0.0, high=1000.0)
    number: int = lever(0, "Tells runs apart.", low=0, high=10_000)


class FakeTrainer:
    name = "fake"
    levers = levers_of(Config)
    constants = LeverSet(())
    presets: Mapping[str, Values] = {}
    responses = ("loss",)

    def resolve(self, recipe: Recipe) -> Resolved:
        if recipe.values["mode"] == "unresolvable":
            raise RecipeError("no such model can be built")
        return Resolved(recipe=recipe, derived=Values(width=64), effective=recipe.values)

    def estimate_seconds(self, resolved: Resolved, budget: Budget, constants: Values) -> float:
        return resolved.recipe.values.number("estimate")

    def prepare(self, recipe: Recipe, constants: Values, progress: Callable[[str, float], None]) -> None:
        """Nothing to prepare."""

    def train(self, spec: RunSpec, folder: RunFolder, settings: Settings) -> Outcome:
        started, mode = now(), spec.recipe.values.text("mode")
        loss = random.Random(spec.seed).random()  # noqa: S311
        responses = Values(loss=loss)
        run_id = spec.run_id
        status = "finished"
        if mode in MODES:
            MODES[mode](spec, folder)
        elif mode == "nothing":
            return None  # type: ignore[return-value]
        elif mode == "another_run":
            run_id = "0" * 16
        else:
            responses = Values()
            status = "diverged" if mode == "diverge" else "finished"
        return Outcome(
            run_id=run_id,
            status=status,
            started=started,
            finished=now(),
            responses=responses,
            machine=Values(
                pid=os.getpid(),
                parent=os.getppid(),
                siblings=_siblings(),
                omp=os.environ.get("OMP_NUM_THREADS"),
                cores=_cores(),
            ),
        )


def _siblings() -> int:
    """Children of the parent beside this process, dead ones included; 0 where there is no /proc."""
    tasks = Path(f"/proc/{os.getppid()}/task")
    if not tasks.exists():
        return 0
    return sum(len((task / "children").read_text().split()) for task in tasks.iterdir()) - 1


def _cores() -> str:
    return ",".join(map(str, sorted(os.sched_getaffinity(0)))) if hasattr(os, "sched_getaffinity") else ""


class PreloadingTrainer(FakeTrainer):
    """Says in its outcome whether it was preloaded."""

    is_loaded = False

    def preload(self) -> None:
        PreloadingTrainer.is_loaded = True

    def train(self, spec: RunSpec, folder: RunFolder, settings: Settings) -> Outcome:
        outcome = super().train(spec, folder, settings)
        return replace(outcome, machine=outcome.machine.with_(is_loaded=self.is_loaded))


class UnloadableTrainer(FakeTrainer):
    """Cannot be preloaded; its runs do not mind."""

    def preload(self) -> None:
        raise ImportError("not now")


class DeadlyTrainer(FakeTrainer):
    """Kills the process that loads it, with a last word."""

    def __init__(self) -> None:
        os.write(2, b"no GPU driver here\n")
        os._exit(7)
