"""Timing two sides in turns, describing the machine, and the table of results."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("torch", "litgpt", "numpy", "scipy", "statsmodels", "pandas", "patsy", "formulaic")
INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What one side takes and the other, in seconds (medians with the smallest and the largest).

    aim: the least ratio peer / foldover, or with `limit` the most seconds of foldover; None where none is set.
    """

    name: str
    peer: str
    own: tuple[float, float, float]
    other: tuple[float, float, float]
    aim: float | None = None
    limit: float | None = None

    @property
    def ratio(self) -> float:
        """Peer over foldover, of medians: above 1 foldover is faster."""
        return self.other[0] / self.own[0]

    @property
    def is_met(self) -> bool:
        """Whether the aim is reached, if there is one."""
        if self.limit is not None:
            return self.own[0] <= self.limit
        return self.aim is None or self.ratio >= self.aim


def interleave(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, tuple[float, float, float]]:
    """(median, smallest, largest) seconds of each side; all sides take their turn in every round, after a warm-up."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for side in sides.values():
        side()
    for i in range(rounds):
        order = list(sides) if i % 2 == 0 else list(reversed(sides))
        for name in order:
            taken[name].append(sides[name]())
    return {name: (statistics.median(values), min(values), max(values)) for name, values in taken.items()}


def timed(function: Callable[[], object], times: int = 1) -> Callable[[], float]:
    """A side that calls the function so many times and says how long one call takes."""

    def side() -> float:
        start = time.perf_counter()
        for _ in range(times):
            function()
        return (time.perf_counter() - start) / times

    return side


def table(found: Sequence[Comparison]) -> list[str]:
    """A Markdown table."""
    lines = ["| what | foldover | peer | peer takes | ratio | aim |", "|---|---|---|---|---|---|"]
    for c in found:
        lines.append(f"| {c.name} | {_spread(c.own)} | {c.peer} | {_spread(c.other)} | {_times(c.ratio)} | {_aim(c)} |")
    return lines


def describe_machine() -> list[str]:
    """Processor, cores, load and versions, one line each."""
    load = os.getloadavg() if hasattr(os, "getloadavg") else ()
    busy = f"; load {load[0]:.1f}, {load[1]:.1f}, {load[2]:.1f} in the last 1, 5 and 15 minutes" if load else ""
    isa = " ".join(name for name in INSTRUCTION_SETS if name in _cpu_info("flags", "Features").split())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    packages = ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name)))
    return [
        f"machine: {_processor()}, {cores} usable cores{f', {isa}' if isa else ''}{busy}",
        f"system: {platform.system()} {platform.machine()}, Python {platform.python_version()}; {packages}",
    ]


def seconds(value: float) -> str:
    """`31 µs`, `6.6 ms`, `0.44 s`."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= 0.5 * size * (1.0 if unit == "ms" else 0.4):
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-6:.3g} µs"


def _spread(values: tuple[float, float, float]) -> str:
    return f"{seconds(values[0])} ({seconds(values[1])} to {seconds(values[2])})"


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}x" if ratio >= 10 else f"{ratio:.2g}x"


def _aim(c: Comparison) -> str:
    text = f"under {seconds(c.limit)}" if c.limit is not None else f"{c.aim:,.0f}x" if c.aim is not None else "\u2013"
    return text if c.is_met else f"{text}: missed"


def _processor() -> str:
    return _cpu_info("model name") or platform.processor() or platform.machine()


def _cpu_info(*names: str) -> str:
    """What Linux says of the first processor under any of these names; "" if nothing."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith(names)), "")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
