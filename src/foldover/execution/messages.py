"""What the coordinator and a worker process say to each other: one JSON object a line, named by `kind`.

coordinator -> worker (its stdin)      preload, job
worker -> coordinator (its stdout)     ready, claimed, estimated, ended, busy, died
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from foldover.core import EMPTY, RunSpec, Settings, TrainerError, Values, from_plain, to_json, to_plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Preload:
    """Import what the named trainer needs, before the first job and outside every budget."""

    trainer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Run this spec under this root."""

    spec: RunSpec
    root: str
    settings: Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The worker has started and waits for jobs. machine: what `profile` did to the process."""

    pid: int
    machine: Values = EMPTY


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """The run's lock is held and its folder begun: its time runs."""

    run_id: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimated:
    """The trainer's estimate of the whole run."""

    run_id: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The run's folder is complete. by_another: it was complete already when the lock was held."""

    run_id: str
    by_another: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """Another process holds the run's lock."""

    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Died:
    """The fork that had the run has died; the worker itself lives. how: in words."""

    run_id: str
    how: str


Request = Preload | Job
Answer = Ready | Claimed | Estimated | Ended | Busy | Died

_KINDS: dict[str, type] = {
    kind.__name__.lower(): kind for kind in (Preload, Job, Ready, Claimed, Estimated, Ended, Busy, Died)
}


def encode(message: Request | Answer) -> bytes:
    """The message as one line."""
    return (to_json({"kind": type(message).__name__.lower(), **to_plain(message)}) + "\n").encode()


def decode_request(line: bytes) -> Request:
    """The request in a line. Raises LedgerError or TrainerError if it is none."""
    message = _decode(line)
    if isinstance(message, Request):
        return message
    raise TrainerError("a worker was sent something else than a request", value=line)


def decode_answer(line: bytes) -> Answer:
    """The answer in a line. Raises LedgerError or TrainerError if it is none."""
    message = _decode(line)
    if isinstance(message, Answer):
        return message
    raise TrainerError("a worker sent something else than an answer", value=line)


def _decode(line: bytes) -> object:
    try:
        fields = json.loads(line)
        kind = _KINDS[fields.pop("kind")]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise TrainerError("a message between coordinator and worker is not readable", value=line) from None
    return from_plain(kind, fields)
