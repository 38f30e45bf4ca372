"""A coordinator in a process of its own: `coordinate.py ROOT JOBS COUNT PAUSE [MODE]`.

It prints `ended RUN_ID` for each run that ends and `interrupted` if it was told to stop.
"""

from __future__ import annotations

import sys
from pathlib import Path

from foldover.core import Budget, Limit, Recipe, RunSpec, Settings, Values
from foldover.execution import LocalExecutor


def planned(count: int, pause: float, mode: str = "ok") -> list[RunSpec]:
    values = [Values(mode=mode, pause=pause, estimate=0.0, number=number) for number in range(count)]
    return [
        RunSpec(
            study="test",
            stage="screen",
            package="screen",
            condition=f"c{number:02d}",
            levels=(),
            recipe=Recipe(trainer="fake", values=value),
            budget=Budget(limit=Limit.parse("60 s")),
            seed=number,
        )
        for number, value in enumerate(values)
    ]


def main() -> None:
    root, jobs, count, pause = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    try:
        LocalExecutor(Settings(jobs=jobs)).run_all(
            planned(count, pause, *sys.argv[5:]), root, lambda path: print("ended", path.name, flush=True)
        )
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
