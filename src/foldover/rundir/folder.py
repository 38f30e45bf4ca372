"""One run folder: what a worker writes while it runs, and what anybody reads afterwards."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from foldover.core import LedgerError, Outcome, RunSpec, Scalar, UserError, from_plain, to_json, to_plain
from foldover.rundir.files import read_json_lines, sha256_of_file, write_atomic

SPEC, OUTCOME, CURVE, EVENTS, LOG, CHECKSUMS = (
    "spec.json",
    "outcome.json",
    "curve.jsonl",
    "events.jsonl",
    "log.txt",
    "checksums.json",
)
FOLDER_VERSION = 1
LOST = ".lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedRun:
    """What a complete run folder says."""

    spec: RunSpec
    attempt: int
    outcome: Outcome
    curve: tuple[dict[str, Scalar], ...]
    events: tuple[dict[str, Scalar], ...]


class RunFolder:
    """A run at work. Only its worker writes here; every line is flushed as it is written."""

    def __init__(self, path: Path, spec: RunSpec, attempt: int) -> None:
        self.path = path
        self.spec = spec
        self.attempt = attempt
        self._curve: IO[str] | None = None
        self._events: IO[str] | None = None

    @property
    def log_path(self) -> Path:
        """Where the run's own output goes."""
        return self.path / LOG

    def ended_run(self, run_id: str) -> Path:
        """Where another run of the same root lies, if it has ended."""
        return self.path.parents[1] / run_id

    def lost_attempts(self) -> tuple[Path, ...]:
        """Folders of earlier attempts at this run whose workers died, the latest first."""
        lost = self.path.parents[1] / LOST
        found = [p for p in lost.glob(f"{self.path.name}-*") if p.name.rpartition("-")[2].isdecimal()]
        return tuple(sorted(found, key=lambda p: -int(p.name.rpartition("-")[2])))

    def begin(self) -> None:
        """Create the folder and say what is planned."""
        self.path.mkdir(parents=True)
        plain = {"version": FOLDER_VERSION, "attempt": self.attempt, "spec": to_plain(self.spec)}
        write_atomic(self.path / SPEC, to_json(plain, indent=1) + "\n")

    def add_to_curve(self, **values: Scalar) -> None:
        """One point of the training curve."""
        if self._curve is None:
            self._curve = (self.path / CURVE).open("a", encoding="utf-8")
        self._curve.write(to_json(values) + "\n")
        self._curve.flush()

    def add_event(self, event: str, **values: Scalar) -> None:
        """Something a study cares about: a warm-down started, a cap exceeded."""
        if self._events is None:
            self._events = (self.path / EVENTS).open("a", encoding="utf-8")
        self._events.write(to_json({"event": event, **values}) + "\n")
        self._events.flush()

    def seal(self, outcome: Outcome) -> None:
        """Write the outcome and the checksums: nothing is written after this."""
        for file in (self._curve, self._events):
            if file is not None:
                file.close()
        write_atomic(self.path / OUTCOME, to_json(outcome, indent=1) + "\n")
        write_atomic(self.path / CHECKSUMS, to_json(_checksums(self.path), indent=1) + "\n")


def read_ended(path: Path) -> EndedRun:
    """The content of a complete run folder. Raises LedgerError if it is damaged."""
    spec, attempt = read_spec(path)
    try:
        outcome = from_plain(Outcome, json.loads((path / OUTCOME).read_text(encoding="utf-8")))
        curve = tuple(read_json_lines(path / CURVE))
        events = tuple(read_json_lines(path / EVENTS))
    except (OSError, ValueError, LedgerError) as error:
        raise LedgerError(f"run folder {path.name} is damaged: {error}") from error
    return EndedRun(spec=spec, attempt=attempt, outcome=outcome, curve=curve, events=events)


def read_spec(path: Path) -> tuple[RunSpec, int]:
    """What was planned and the number of the attempt. Raises LedgerError if it cannot be read."""
    try:
        plain = json.loads((path / SPEC).read_text(encoding="utf-8"))
        version, attempt, spec = plain["version"], plain["attempt"], plain["spec"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LedgerError(f"run folder {path.name} has no readable {SPEC}: {error}") from error
    if version != FOLDER_VERSION:
        raise LedgerError(f"run folder {path.name} has version {version}", fix=f"This foldover reads {FOLDER_VERSION}.")
    if isinstance(attempt, bool) or not isinstance(attempt, int):
        raise LedgerError(f"run folder {path.name} has no attempt number", value=attempt)
    try:
        return from_plain(RunSpec, spec), attempt
    except (LedgerError, UserError, ValueError) as error:
        raise LedgerError(f"run folder {path.name} has a {SPEC} that is no plan of a run: {error}") from error


def damage(path: Path) -> tuple[str, ...]:
    """What is wrong with a complete run folder, a sentence each; empty if its checksums agree."""
    try:
        recorded = json.loads((path / CHECKSUMS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return (f"{CHECKSUMS} cannot be read: {error}",)
    if not isinstance(recorded, dict):
        return (f"{CHECKSUMS} is not an object",)
    found = _checksums(path)
    problems = [f"{name} is missing" for name in sorted(set(recorded) - set(found))]
    problems += [f"{name} was added" for name in sorted(set(found) - set(recorded))]
    problems += [f"{name} was changed" for name in sorted(found) if name in recorded and recorded[name] != found[name]]
    return tuple(problems)


def verified(path: Path, name: str) -> Path:
    """A file of a complete run folder, by its name there, if it is what was sealed. Raises LedgerError if it is not."""
    try:
        recorded = json.loads((path / CHECKSUMS).read_text(encoding="utf-8"))
        is_sealed = recorded[name] == sha256_of_file(path / name)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise LedgerError(f"run folder {path.name} is damaged: {name} cannot be read: {error}") from error
    if not is_sealed:
        raise LedgerError(f"run folder {path.name} is damaged: {name} was changed")
    return path / name


def _checksums(path: Path) -> dict[str, str]:
    files = (file for file in path.rglob("*") if file.is_file())
    return {file.relative_to(path).as_posix(): sha256_of_file(file) for file in files if file != path / CHECKSUMS}
