"""Workers of several studies on one machine keep out of each other's way."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from foldover.core import Settings
from foldover.execution import claims
from foldover.execution.claims import Claims
from foldover.execution.process import WorkerProcess

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names of sockets without files are Linux's")

CORES = (0, 1, 2, 3)


@pytest.fixture(autouse=True)
def prefix(monkeypatch: pytest.MonkeyPatch) -> str:
    """Names of this test alone."""
    found = f"foldover-test-{os.getpid()}-"
    monkeypatch.setattr(claims, "PREFIX", found)
    return found


def test_what_somebody_has_is_left_to_him_and_another_taken() -> None:
    first, second, third, fourth = (Claims() for _ in range(4))
    assert first.take("core", (0, 1), CORES) == (0, 1)
    assert second.take("core", (0,), CORES) == (2,)
    assert third.take("core", (2, 3), CORES) == ()  # one is free, and one is not enough
    assert third.take("gpu", ("0",), ("0",)) == ("0",)
    assert fourth.take("core", (3,), CORES) == (3,)  # what the third could not use it has not kept
    first.release()
    assert third.take("core", (3,), CORES) == (0,)
    for each in (second, third, fourth):
        each.release()


def test_a_claim_ends_with_the_process_that_holds_it(prefix: str) -> None:
    code = f"""
import sys
from foldover.execution import claims
claims.PREFIX = {prefix!r}
held = claims.Claims()
print(held.take("core", (0,), (0,)), flush=True)
sys.stdin.read()
"""
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "(0,)\n"
    mine = Claims()
    assert mine.take("core", (0,), (0,)) == ()
    holder.kill()
    holder.communicate()
    assert mine.take("core", (0,), (0,)) == (0,)
    mine.release()


def test_two_workers_for_one_slot_are_on_two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one core")
    workers = [WorkerProcess(0, Settings(jobs=1)) for _ in range(2)]
    try:
        deadline = time.monotonic() + 60.0
        homes: list[set[int]] = []
        while time.monotonic() < deadline:
            homes = [set(os.sched_getaffinity(worker.pid)) for worker in workers]
            if all(len(home) == 1 for home in homes):
                break
        assert homes[0].isdisjoint(homes[1])
    finally:
        for worker in workers:
            worker.kill()
