"""Training beside its peers: the same recipe in plain eager PyTorch, and litgpt's GPT of the same shape.

Every side of every round is a fresh process with one thread (`arms`); the sides take turns. Times are those of the
processor, which waiting for a core does not lengthen; ratios are taken within a round.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.arms import missing_litgpt
from benchmarks.measure import describe_machine
from benchmarks.section import Check, Section, markdown
from benchmarks.shapes import SHAPES, Shape

WARM_UP_STEPS = 3
STEPS = {"S": 24, "M": 12}
MAX_FAULTS = 100
# A heap grows for some steps yet: now and then buffers of some MiB find no gap that is large enough, and what lies
# behind it is new. Most of that is over by then, not all: the mean over the steps after these is a check of its own.
SETTLED_STEPS = 20
MAX_MEMORY = 0.85
# Steps of the runs whose final losses are compared, and how many of the last ones are averaged.
QUALITY_STEPS = {"S": (120, 30), "M": (60, 15)}
SEEDS = (1, 2, 3)
OWN, OWN_FP32 = "foldover", "foldover fp32"
PLAIN = ("plain bf16", "plain fp32")
LITGPT = ("litgpt bf16", "litgpt fp32")
NAMES = {"foldover": "foldover", "plain": "same recipe, plain PyTorch", "litgpt": "litgpt, torch.optim.AdamW"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What one process took a step in steady state: medians; of page faults the mean as well.

    settled_faults: their mean over the steps after the first 20, None where there are none.
    """

    cpu_seconds: float
    wall_seconds: float
    faults: float
    mean_faults: float
    settled_faults: float | None
    peak_bytes: int
    gemm: float
    losses: tuple[float, ...]
    compute: str

    @staticmethod
    def of(found: Mapping[str, Any]) -> Taken:
        """From an arm's JSON; its first steps are left out. What is between two steps is one less than steps."""
        first = WARM_UP_STEPS - 1
        settled = found["faults"][SETTLED_STEPS - 1 :]
        return Taken(
            cpu_seconds=statistics.median(found["cpu"][first:]),
            wall_seconds=statistics.median(found["wall"][first:]),
            faults=statistics.median(found["faults"][first:]),
            mean_faults=statistics.fmean(found["faults"][first:]),
            settled_faults=statistics.fmean(settled) if settled else None,
            peak_bytes=found["peak_bytes"],
            gemm=found["gemm_flops_per_second"],
            losses=tuple(found["losses"]),
            compute=found["compute"],
        )


def run_arm(arm: str, shape: Shape, *, steps: int, seed: int, same_start: bool = False) -> Taken:
    """One side in a process of its own. CalledProcessError if it fails, with what it said."""
    command = [sys.executable, "-m", "benchmarks.arms", arm, shape.name, str(steps), str(seed)]
    done = subprocess.run(
        [*command, *(["--same-start"] if same_start else [])], check=False, capture_output=True, text=True
    )
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        done.check_returncode()
    return Taken.of(json.loads(done.stdout.splitlines()[-1]))


def section(shape_names: Sequence[str], rounds: int, *, has_quality: bool = True) -> Section:
    """Speed, memory and quality at each shape."""
    machine = describe_machine()
    missing = missing_litgpt()
    lines: list[str] = []
    checks: list[Check] = []
    figures: dict[str, Any] = {}
    for name in shape_names:
        shape = SHAPES[name]
        arms = [OWN, OWN_FP32, *PLAIN, *([] if missing else LITGPT)]
        taken = take_turns(shape, arms, rounds)
        lines += [_describe(shape), "", *markdown(_HEAD, [_row(arm, shape, taken) for arm in arms]), ""]
        checks += _checks(shape, taken)
        figures[name] = {arm: [_plain(t) for t in found] for arm, found in taken.items()}
        if has_quality:
            text, found, losses = quality(shape)
            lines += [text, ""]
            checks += found
            figures[name]["final losses"] = losses
    if missing:
        lines += [f"litgpt is absent: {missing}.", ""]
    lines += [_NOTE.format(rounds=rounds, steps=", ".join(f"{STEPS[n]} at {n}" for n in shape_names))]
    return Section(
        name="train",
        title="Training",
        command=f"python -m benchmarks train --shape {' --shape '.join(shape_names)} --rounds {rounds}",
        machine=machine,
        lines=lines,
        checks=checks,
        figures=figures,
    )


def take_turns(shape: Shape, arms: Sequence[str], rounds: int) -> dict[str, list[Taken]]:
    """What each arm took in each round; every other round goes backwards."""
    taken: dict[str, list[Taken]] = {arm: [] for arm in arms}
    for i in range(rounds):
        for arm in arms if i % 2 == 0 else reversed(arms):
            taken[arm].append(run_arm(arm, shape, steps=STEPS[shape.name], seed=i))
            print(f"  {shape.name} round {i + 1}: {arm} {taken[arm][-1].cpu_seconds * 1e3:.0f} ms", file=sys.stderr)
    return taken


def quality(shape: Shape) -> tuple[str, list[Check], dict[str, list[float]]]:
    """Final losses from the same weights on the same rows, over seeds: is the speed paid for? And page faults, since
    these runs are the longest.

    Final: the mean of the last steps. Within noise: foldover's mean is not above that of the better plain side by more
    than two standard errors of the difference of two means over these seeds.
    """
    steps, tail = QUALITY_STEPS[shape.name]
    final: dict[str, list[float]] = {arm: [] for arm in (OWN, *PLAIN)}
    start: dict[str, list[float]] = {arm: [] for arm in final}
    faults: list[float] = []
    for seed in SEEDS:
        for arm in final:
            taken = run_arm(arm, shape, steps=steps, seed=seed, same_start=True)
            losses = taken.losses
            if arm == OWN and taken.settled_faults is not None:
                faults.append(taken.settled_faults)
            final[arm].append(statistics.fmean(losses[-tail:]))
            start[arm].append(losses[0])
    worst = max(abs(a - b) for arm in PLAIN for a, b in zip(start[OWN], start[arm], strict=True))
    own = final[OWN]
    peer = min(PLAIN, key=lambda arm: statistics.fmean(final[arm]))
    difference = statistics.fmean(own) - statistics.fmean(final[peer])
    noise = 2.0 * ((statistics.variance(own) + statistics.variance(final[peer])) / len(SEEDS)) ** 0.5
    means = "; ".join(
        f"{arm} {statistics.fmean(found):.3f} ({', '.join(f'{x:.3f}' for x in found)})" for arm, found in final.items()
    )
    text = (
        f"Mean loss of the last {tail} of {steps} steps at {shape.name}, same weights at the start, seeds "
        f"{', '.join(map(str, SEEDS))}: {means}. First losses differ by at most {worst:.1e}. Seed noise (two standard "
        f"errors of the difference of two means): {noise:.3f}. Page faults a step of foldover after the first "
        f"{SETTLED_STEPS}, means: {', '.join(f'{x:.0f}' for x in faults)}."
    )
    checks = [
        Check(name=f"{shape.name}: mean final loss above {peer}, nats", value=difference, must=noise, is_at_most=True),
        Check(
            name=f"{shape.name}: mean page faults a step after the first {SETTLED_STEPS}, worst seed",
            value=max(faults),
            must=MAX_FAULTS,
            is_at_most=True,
        ),
    ]
    return text, checks, final


def _checks(shape: Shape, taken: Mapping[str, Sequence[Taken]]) -> list[Check]:
    own = taken[OWN]
    ratios = {arm: _paired(taken[arm], own) for arm in PLAIN}
    checks = [
        Check(name=f"{shape.name}: times faster than {arm}", value=statistics.median(ratios[arm]), must=must, aim=aim)
        for arm, must, aim in zip(PLAIN, shape.must, shape.aim, strict=True)
    ]
    checks.append(
        Check(
            name=f"{shape.name}: page faults a step",
            value=statistics.median(t.faults for t in own),
            must=MAX_FAULTS,
            is_at_most=True,
        )
    )
    memory = [a.peak_bytes / b.peak_bytes for a, b in zip(own, taken[PLAIN[0]], strict=True)]
    checks.append(
        Check(
            name=f"{shape.name}: peak memory, of that of {PLAIN[0]}",
            value=statistics.median(memory),
            must=MAX_MEMORY,
            is_at_most=True,
        )
    )
    return checks


_HEAD = (
    "side",
    "CPU ms a step",
    "tokens a CPU second",
    "times slower than foldover",
    "peak MiB",
    "page faults a step (mean)",
    "share of the GEMM rate",
)
_NOTE = (
    "Medians of {rounds} rounds, smallest and largest in brackets; a round is a fresh process of each side in turn, "
    "one thread, {steps} steps of which the first " + str(WARM_UP_STEPS) + " are left out. The ratio is the median of "
    "those within rounds, behind it their range and the ratio of the medians. Plain bf16: autocast, input and value "
    "tables in bf16; Muon's products are in bf16 in both plain sides. Useful FLOPs are those of the model's products. "
    "Page faults are those of the median step; the mean has in it when a heap grows once more. The GEMM rate is the "
    "best of 2048 x 256 x 1024 in the side's number format, in its own process. litgpt trains "
    "with AdamW, which is less work than Muon."
)


def _describe(shape: Shape) -> str:
    return (
        f"**{shape.name}**: {shape.depth} blocks, width {shape.width}, {shape.width // shape.head_dim} heads, rows of "
        f"{shape.context} tokens, vocabulary {shape.vocab_size:,}, {shape.tokens:,} tokens and "
        f"{shape.flops / 1e9:.1f} GFLOP a step."
    )


def _row(arm: str, shape: Shape, taken: Mapping[str, Sequence[Taken]]) -> list[str]:
    found = taken[arm]
    milliseconds = [t.cpu_seconds * 1e3 for t in found]
    ratios = _paired(found, taken[OWN])
    of_medians = statistics.median(milliseconds) / statistics.median(t.cpu_seconds * 1e3 for t in taken[OWN])
    share = statistics.median(shape.flops / t.cpu_seconds / t.gemm for t in found)
    kind, _, number_format = arm.partition(" ")
    name = f"{NAMES[kind]}, {number_format}" if number_format else f"foldover, {found[0].compute}"
    return [
        name,
        f"{statistics.median(milliseconds):.0f} ({min(milliseconds):.0f} to {max(milliseconds):.0f})",
        f"{shape.tokens / statistics.median(t.cpu_seconds for t in found):,.0f}",
        "1"
        if arm == OWN
        else f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); {of_medians:.2f}",
        f"{statistics.median(t.peak_bytes for t in found) / 2**20:,.0f}",
        f"{statistics.median(t.faults for t in found):,.0f} ({statistics.median(t.mean_faults for t in found):,.0f})",
        f"{share:.0%}",
    ]


def _paired(found: Sequence[Taken], own: Sequence[Taken]) -> list[float]:
    return [a.cpu_seconds / b.cpu_seconds for a, b in zip(found, own, strict=True)]


def _plain(taken: Taken) -> dict[str, Any]:
    return {
        "cpu_seconds": taken.cpu_seconds,
        "wall_seconds": taken.wall_seconds,
        "page_faults": taken.faults,
        "mean_page_faults": taken.mean_faults,
        "settled_page_faults": taken.settled_faults,
        "peak_bytes": taken.peak_bytes,
        "gemm_flops_per_second": taken.gemm,
        "compute": taken.compute,
    }
