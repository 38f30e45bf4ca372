"""How large the effects of the demonstration study's factors are, for other levels than it takes.

    python benchmarks/demo_levels.py --depth 2,4 --aspect 16,24 --batch 2048,8192 --set head_dim=32

Runs the 16 conditions of the 2^(5-1) once each and prints high minus low in bits per byte. Seconds of the
budget are the thread's CPU seconds, so that other work on the machine matters less. docs/log.md tells what
came out.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import foldover.lm.clock
from foldover.core import Budget, Limit, Recipe, RunSpec, Settings, Values
from foldover.lm.levers import CONSTANTS, LEVERS, MICRO
from foldover.lm.trainer import LMTrainer
from foldover.rundir import RunRoot

NAMES = ("depth", "aspect", "matrix_lr", "total_batch", "warmdown_ratio")


def val_bpb(values: Values, limit: Limit, seed: int) -> float:
    spec = RunSpec(
        study="",
        stage="",
        package="",
        condition="",
        levels=(),
        recipe=Recipe(trainer="lm", values=values),
        budget=Budget(limit=limit),
        seed=seed,
        constants=CONSTANTS.complete({"eval_tokens": 16384}),
    )
    with tempfile.TemporaryDirectory() as folder:
        runs = RunRoot(Path(folder))
        with runs.claim(spec) as claimed:
            assert claimed is not None
            outcome = LMTrainer().train(spec, claimed, Settings())
            runs.finish(claimed, outcome)
    return outcome.responses.number("val_bpb")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = {
        "depth": "2,3",
        "aspect": "16,32",
        "matrix-lr": "0.03,0.05",
        "batch": "2048,16384",
        "warmdown": "0.25,0.5",
    }
    for name, levels in defaults.items():
        parser.add_argument(f"--{name}", default=levels)
    parser.add_argument("--budget", default="1.5s")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="LEVER=VALUE")
    given = parser.parse_args()
    foldover.lm.clock.BudgetClock.__init__.__kwdefaults__["now"] = time.thread_time

    base = MICRO
    for setting in given.set:
        name, _, text = setting.partition("=")
        lever = LEVERS.find(name)
        base = base.with_({lever.name: lever.parse(text)})
    levels = [text.split(",") for text in (given.depth, given.aspect, given.matrix_lr, given.batch, given.warmdown)]
    totals = dict.fromkeys("ABCDE", 0.0)
    for a, b, c, d in itertools.product((-1, 1), repeat=4):
        row = (a, b, c, d, a * b * c * d)
        texts = {n: pair[(x + 1) // 2] for n, pair, x in zip(NAMES, levels, row, strict=True)}
        values = LEVERS.complete({n: LEVERS.find(n).parse(t) for n, t in texts.items()}, base)
        result = val_bpb(values, Limit.parse(given.budget), given.seed)
        print(*(f"{n}={t}" for n, t in texts.items()), f"val_bpb={result:.4f}", flush=True)
        for letter, x in zip("ABCDE", row, strict=True):
            totals[letter] += x * result / 8
    print("effects:", ", ".join(f"{letter} {total:+.3f}" for letter, total in totals.items()))


if __name__ == "__main__":
    main()
