"""Run benchmarks beside their peers and print the tables; with `--write`, put them into docs/benchmarks.md.

Sections: statistics, train, workers; all of them if none is named. Training on a GPU: `python -m benchmarks.gpu`.
"""

from __future__ import annotations

import os

# One thread on both sides: with more, the times are those of the scheduler. Before numpy is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import screens, training, workers
from benchmarks.section import Section, write_into
from benchmarks.shapes import SHAPES

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
ROUNDS = {"statistics": 9, "train": 5, "workers": 5}
MIN_ROUNDS = 3


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(ROUNDS)} [default: all]")
    parser.add_argument("--rounds", type=int, help=f"turns of each side [default: {ROUNDS}]")
    parser.add_argument("--shape", action="append", choices=sorted(SHAPES), help="of training; may be repeated")
    parser.add_argument("--no-quality", action="store_true", help="leave out the comparison of final losses")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to this file")
    parser.add_argument(
        "--write", type=Path, nargs="?", const=PAGE, metavar="PAGE", help="rewrite the tables of a page"
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a must is missed")
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.sections) - set(ROUNDS))
    if unknown:
        parser.error(f"unknown section {unknown[0]}; there are {', '.join(ROUNDS)}")
    if options.rounds is not None and options.rounds < MIN_ROUNDS:
        parser.error(f"a median needs at least {MIN_ROUNDS} rounds")
    shapes = options.shape or sorted(SHAPES, reverse=True)
    runs: dict[str, Callable[[int], Section]] = {
        "statistics": screens.section,
        "train": lambda rounds: training.section(shapes, rounds, has_quality=not options.no_quality),
        "workers": workers.section,
    }
    made = []
    for name, run in runs.items():
        if options.sections and name not in options.sections:
            continue
        made.append(run(options.rounds or ROUNDS[name]))
        print("\n".join(["", *made[-1].text()]), flush=True)
        if options.write:
            write_into(options.write, [made[-1]])
    checks = [check for section in made for check in section.checks]
    missed = [check.name for check in checks if not check.is_kept]
    print(f"\nmissed: {'; '.join(missed)}" if missed else f"\nevery must is kept ({len(checks)} checks)")
    if options.json:
        figures = {
            section.name: {
                "machine": list(section.machine),
                "checks": {check.name: [check.value, check.verdict] for check in section.checks},
                **section.figures,
            }
            for section in made
        }
        options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return 1 if missed and options.strict else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
