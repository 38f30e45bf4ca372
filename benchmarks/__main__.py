"""Run every benchmark beside its peer, print the table, and write docs/benchmarks.md with `--write`."""

from __future__ import annotations

import os

# One thread on both sides: with more, the times are those of the scheduler. Before numpy is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import datetime
import sys
from pathlib import Path

from benchmarks import screens
from benchmarks.measure import Comparison, describe_machine, table

DOC = Path(__file__).parent.parent / "docs" / "benchmarks.md"
WRITE_ROUNDS = 9
INTRODUCTION = """Each row compares foldover with what one would use otherwise, on the same machine in the same minutes:
the sides take turns, round by round, one thread each, and the ratio is that of the medians. `make bench` measures
anew; `python -m benchmarks --write` writes this page. Aims are what the project holds itself to; a row that misses
its aim says so."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=WRITE_ROUNDS, help="turns of each side [default: %(default)s]")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    options = parser.parse_args(arguments)
    if options.rounds < 3:
        parser.error("a median needs at least 3 rounds")
    before = describe_machine()
    print("\n".join(before))
    sections: list[tuple[str, list[Comparison], list[str]]] = []
    for title, run in screens.BENCHMARKS:
        print(f"\n{title}", flush=True)
        found, notes = run(options.rounds)
        sections.append((title, found, notes))
        print("\n".join([*table(found), *notes]), flush=True)
    missed = [c.name for _, found, _ in sections for c in found if not c.is_met]
    print(f"\nbelow their aim: {'; '.join(missed)}" if missed else "\nevery aim is met")
    if options.write:
        DOC.write_text(page(before, sections, options.rounds), encoding="utf-8")
        print(f"wrote {DOC}")
    return 0


def page(machine: list[str], sections: list[tuple[str, list[Comparison], list[str]]], rounds: int) -> str:
    """docs/benchmarks.md."""
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    lines = ["# Benchmarks", "", INTRODUCTION, "", f"Measured {today} in {rounds} rounds.", ""]
    lines += [f"- {line}" for line in machine]
    for title, found, notes in sections:
        lines += ["", f"## {title}", "", *table(found), ""]
        lines += [f"- {note}" for note in notes]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
