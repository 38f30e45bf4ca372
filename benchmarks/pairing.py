"""What common seeds save, on real training: the sd of an effect, paired by seed and not.

    python -m benchmarks.pairing            24 runs of `micro` a lever with a fixed number of steps, two at a time
    python -m benchmarks.pairing --steps 100 --seeds 8 --lever depth=2,3

Runs under one seed share the weights they can and every row of text. An effect is taken within each seed, then
between the low level under one set of seeds and the high level under another. Depth changes what is initialised; the
learning rate of matrices leaves it as it is.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.measure import describe_machine
from benchmarks.section import markdown
from foldover.core import Budget, Limit, RunSpec, Settings, Values
from foldover.execution import LocalExecutor, usable_cores
from foldover.lm.levers import CONSTANTS, LEVERS, MICRO
from foldover.lm.resolve import baseline_recipe
from foldover.lm.trainer import LMTrainer
from foldover.rundir import RunRoot, read_ended

LEVERS_SHOWN = ("depth=2,3", "matrix_lr=0.03,0.05")
OTHER_SEEDS = 1000
EVAL_TOKENS = 16384


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """Sds over seeds of one run's effect. formula: the root of the two levels' summed variances.

    correlation: of the levels over common seeds, with Fisher's interval; it decides what pairing saves.
    """

    paired: float
    unpaired: float
    formula: float
    correlation: float
    low: float
    high: float

    @property
    def times(self) -> float:
        """How many seeds of unpaired runs one paired seed is worth, by the formula."""
        return (self.formula / self.paired) ** 2


def saving(low: Sequence[float], high: Sequence[float], other: Sequence[float]) -> Saving:
    """low, high: the levels under common seeds, in their order; other: the high level under seeds of its own."""
    n, r = len(low), statistics.correlation(low, high)
    reach = statistics.NormalDist().inv_cdf(0.975) / math.sqrt(n - 3)
    return Saving(
        paired=statistics.stdev(b - a for a, b in zip(low, high, strict=True)),
        unpaired=statistics.stdev(b - a for a, b in zip(low, other, strict=True)),
        formula=math.sqrt(statistics.variance(low) + statistics.variance(high)),
        correlation=r,
        low=math.tanh(math.atanh(r) - reach),
        high=math.tanh(math.atanh(r) + reach),
    )


def row_of(lever: str, found: Saving, effect: float) -> list[str]:
    """Cells of the table."""
    sds = (found.paired, found.unpaired, found.formula)
    correlation = f"{found.correlation:.2f} ({found.low:.2f} to {found.high:.2f})"
    return [lever, f"{effect:+.4f}", *(f"{sd:.5f}" for sd in sds), f"{found.times:.1f}", correlation]


def measure(lever: str, steps: int, num_seeds: int) -> tuple[Saving, float]:
    """Train all runs of a lever, given as `name=low,high`; gives what pairing saves and the mean paired effect."""
    name, _, texts = lever.partition("=")
    levels = dict(zip(("low", "high"), texts.split(","), strict=True))
    common = range(1, num_seeds + 1)
    wanted = [(level, seed) for seed in common for level in levels]
    wanted += [("high", OTHER_SEEDS + seed) for seed in common]
    specs = {(level, seed): _spec(name, levels[level], seed, steps=steps) for level, seed in wanted}
    first = next(iter(specs.values()))
    LMTrainer().prepare(first.recipe, first.constants, lambda phase, share: None)
    slots = min(2, len(usable_cores()))
    with tempfile.TemporaryDirectory() as place, LocalExecutor(Settings(jobs=slots, device="cpu")) as executor:
        root = Path(place)
        executor.run_all(list(specs.values()), root, lambda path: None)
        found = {
            key: read_ended(RunRoot(root).folder(spec.run_id)).outcome.responses.number("val_bpb")
            for key, spec in specs.items()
        }
    low, high = ([found[level, seed] for seed in common] for level in ("low", "high"))
    other = [found["high", OTHER_SEEDS + seed] for seed in common]
    return saving(low, high, other), statistics.fmean(high) - statistics.fmean(low)


def _spec(name: str, level: str, seed: int, *, steps: int) -> RunSpec:
    lever = LEVERS.find(name)
    recipe = baseline_recipe(MICRO.with_({lever.name: lever.parse(level)}))
    return RunSpec(
        study="pairing",
        stage="pairing",
        package="pairing",
        condition=level,
        levels=(),
        recipe=recipe,
        budget=Budget(limit=Limit(kind="steps", amount=steps)),
        seed=seed,
        constants=CONSTANTS.complete(Values(eval_tokens=EVAL_TOKENS)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--lever", action="append", metavar="NAME=LOW,HIGH")
    given = parser.parse_args()
    levers = given.lever or LEVERS_SHOWN
    command = f"python -m benchmarks.pairing --steps {given.steps} --seeds {given.seeds}"
    print(f"`{command}`, {datetime.now(tz=UTC).date().isoformat()}", "", sep="\n")
    print(*(f"- {line}" for line in describe_machine()), "", sep="\n")
    head = [
        "lever of `micro`",
        "effect",
        "sd paired",
        "sd unpaired",
        "sd unpaired, from the levels' variances",
        "pairing is worth times the seeds",
        "correlation of the levels over seeds (95%)",
    ]
    rows = [row_of(lever, *measure(lever, given.steps, given.seeds)) for lever in levers]
    print(f"Bits per byte after {given.steps} steps, {given.seeds} seeds; sds are of one run's effect.", "", sep="\n")
    print(*markdown(head, rows), sep="\n")


if __name__ == "__main__":
    main()
