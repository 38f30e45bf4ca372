"""Training on a GPU: `python -m benchmarks.gpu`. The `autoresearch` preset (depth 8, aspect 64) on one device.

For a minute each without and with torch.compile: tokens a second, the share of the measured GEMM rate, memory. Then
as many steps as the slower of the two took, again both ways: compiling must not move the result beyond rounding.
Without a GPU it says so and ends, with exit code 0, or 2 with --strict.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import describe_machine
from benchmarks.section import Section, markdown, write_into
from foldover.core import Budget, Limit, Outcome, RunSpec, Settings
from foldover.execution import LocalExecutor
from foldover.lm.levers import CONSTANTS, PRESETS
from foldover.lm.resolve import baseline_recipe
from foldover.lm.trainer import LMTrainer
from foldover.rundir import read_ended

PRESET = "autoresearch"
SECONDS = 60.0
# A minute of training on a slow card, compilation and evaluation stay within it.
GRACE_SECONDS = 1200.0
WAYS = {False: "eager", True: "torch.compile"}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of training, each way [default: %(default)s]")
    parser.add_argument("--device", default="cuda", help="cuda or cuda:N [default: %(default)s]")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables between their marks in this page")
    parser.add_argument("--strict", action="store_true", help="exit with 2 where there is no GPU")
    options = parser.parse_args(arguments)
    import torch

    if not torch.cuda.is_available():
        print("no CUDA device here: nothing was measured")
        return 2 if options.strict else 0
    found = measure(options.device, options.seconds)
    print(f"# {datetime.datetime.now(tz=datetime.UTC).date().isoformat()}\n" + "\n".join(found.text()))
    if options.write:
        write_into(options.write, [found])
    return 0


def measure(device: str, seconds: float) -> Section:
    """Timed runs both ways, then runs of equal steps."""
    timed = {is_compiled: train(device, Limit(kind="seconds", amount=seconds), is_compiled) for is_compiled in WAYS}
    steps = min(outcome.counters.integer("steps") for outcome in timed.values())
    equal = {is_compiled: train(device, Limit(kind="steps", amount=steps), is_compiled) for is_compiled in WAYS}
    rows = []
    for is_compiled, name in WAYS.items():
        counters = timed[is_compiled].counters
        rows.append(
            [
                name,
                f"{counters.integer('steps'):,}",
                f"{counters.number('tokens_per_second'):,.0f}",
                f"{counters.number('mfu'):.1%}",
                f"{counters.number('peak_memory_bytes') / 2**30:.1f}",
                f"{counters.number('total_seconds') - counters.number('training_seconds'):.0f}",
                f"{equal[is_compiled].responses.number('val_bpb'):.6f}",
            ]
        )
    machine = timed[False].machine
    gap = abs(equal[True].responses.number("val_bpb") - equal[False].responses.number("val_bpb"))
    return Section(
        name="gpu",
        title="Training on a GPU",
        command=f"python -m benchmarks.gpu --seconds {seconds:g}",
        machine=[*describe_machine(), f"GPU: {machine['device']}, {machine['compute']}"],
        lines=[
            f"`{PRESET}`, seed 0, {seconds:g} s of training each way on the embedded corpus; MFU is the share of the "
            f"GEMM rate measured on the device ({machine.number('gemm_flops_per_second') / 1e12:.0f} TFLOP/s). "
            f"val_bpb is that of two more runs of {steps:,} steps each: they differ by {gap:.1e}.",
            "",
            *markdown(
                [
                    "way",
                    "steps",
                    "tokens a second",
                    "MFU",
                    "peak GiB",
                    "s beside counted training",
                    f"val_bpb after {steps:,} steps",
                ],
                rows,
            ),
        ],
    )


def train(device: str, limit: Limit, is_compiled: bool) -> Outcome:
    """One run in a process of its own."""
    spec = RunSpec(
        study="benchmark",
        stage="gpu",
        package="gpu",
        condition=PRESET,
        levels=(),
        recipe=baseline_recipe(PRESETS[PRESET]),
        budget=Budget(limit=limit, grace_seconds=GRACE_SECONDS),
        constants=CONSTANTS.complete({}),
        seed=0,
    )
    LMTrainer().prepare(spec.recipe, spec.constants, lambda phase, share: None)
    settings = Settings(device=device, compile=is_compiled, workers="fresh")
    print(f"{limit.label() if hasattr(limit, 'label') else limit.amount}, {WAYS[is_compiled]} ...", file=sys.stderr)
    ended: list[Path] = []
    with tempfile.TemporaryDirectory() as place:
        LocalExecutor(settings).run_all([spec], Path(place), ended.append)
        outcome = read_ended(ended[0]).outcome
    if outcome.status != "finished":
        raise SystemExit(f"the run ended as {outcome.status}: {outcome.failure}")
    return outcome


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
