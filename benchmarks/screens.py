"""The statistics of a seeded screen beside statsmodels: the fit, the bootstrap, and a cold command.

The screen: 32 conditions (2^5) under 5 seeds, 160 rows, from the simulator's calibrated surface at 10 minutes. The
model: five main effects and the seed as block, 10 coefficients.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.measure import Comparison, describe_machine, interleave, table, timed
from benchmarks.section import Section
from foldover.simulator import full_factorial, get_surface
from foldover.stats import LeastSquares, bootstrap_effects

Array = npt.NDArray[np.float64]

SEEDS = (1, 2, 3, 4, 5)
LETTERS = "ABCDE"
# A factor named C hides the C() of formulas, so statsmodels gets other names.
RENAMED = [f"factor_{letter}" for letter in LETTERS]
FORMULA = f"val_bpb ~ {' + '.join(RENAMED)} + C(seed)"
REPLICATES = 10_000
PEER_REPLICATES = 40
AGREEMENT = 1e-10
COLD_LIMIT = 0.5


def section(rounds: int) -> Section:
    """Every comparison of this file."""
    machine = describe_machine()
    lines: list[str] = []
    figures = {}
    for title, run in BENCHMARKS:
        print(f"  {title}", file=sys.stderr)
        found, notes = run(rounds)
        lines += [f"### {title}", "", *table(found), "", *(f"- {note}" for note in notes), ""]
        figures[title] = [{"what": c.name, "peer": c.peer, "own": c.own, "other": c.other} for c in found]
    return Section(
        name="statistics",
        title="Statistics of a screen",
        command=f"python -m benchmarks statistics --rounds {rounds}",
        machine=machine,
        lines=lines[:-1],
        figures=figures,
    )


def screen() -> tuple[Array, Array, npt.NDArray[np.int64]]:
    """Levels (160, 5), responses (160,) and seeds (160,)."""
    corners = full_factorial()
    values = get_surface("calibrated").values(corners, 10, "windows", seeds=SEEDS)
    return np.repeat(corners, len(SEEDS), axis=0), values.reshape(-1), np.tile(np.array(SEEDS), len(corners))


def model_matrix() -> tuple[Array, list[str], Array]:
    """X (160, 10), its names, and y."""
    levels, y, seeds = screen()
    dummies = np.stack([(seeds == seed).astype(np.float64) for seed in SEEDS[1:]], axis=1)
    X = np.column_stack([np.ones(len(y)), levels, dummies])
    return X, ["1", *LETTERS, *(f"seed {seed}" for seed in SEEDS[1:])], y


def fit(rounds: int) -> tuple[list[Comparison], list[str]]:
    """Effects, errors, t and p, warm."""
    import pandas as pd
    import statsmodels.api as sm
    import statsmodels.formula.api as smf

    X, names, y = model_matrix()
    levels, _, seeds = screen()
    frame = pd.DataFrame(dict(zip(RENAMED, levels.T, strict=True)) | {"seed": seeds, "val_bpb": y})

    def formula() -> object:
        found = smf.ols(FORMULA, frame).fit()
        return found.params, found.bse, found.tvalues, found.pvalues

    def array() -> object:
        found = sm.OLS(y, X).fit()
        return found.params, found.bse, found.tvalues, found.pvalues

    prepared = LeastSquares(X, names)
    taken = interleave(
        {
            "warm": timed(lambda: prepared.fit(y), 200),
            "fresh": timed(lambda: LeastSquares(X, names).fit(y), 50),
            "formula": timed(formula, 3),
            "array": timed(array, 50),
        },
        rounds,
    )
    found = [
        Comparison(
            name="fit of 160 rows, design prepared",
            peer="statsmodels formula",
            own=taken["warm"],
            other=taken["formula"],
            aim=130,
        ),
        Comparison(
            name="fit of 160 rows, design prepared", peer="statsmodels arrays", own=taken["warm"], other=taken["array"]
        ),
        Comparison(
            name="fit of 160 rows, checks of the design included",
            peer="statsmodels formula",
            own=taken["fresh"],
            other=taken["formula"],
        ),
    ]
    return found, [agreement(frame)]


def agreement(frame: object) -> str:
    """How far the two fits are apart, on the effects, errors, t and p of the five factors."""
    import statsmodels.formula.api as smf

    X, names, y = model_matrix()
    own, peer = LeastSquares(X, names).fit(y), smf.ols(FORMULA, frame).fit()
    pairs = ((own.coef, peer.params), (own.se, peer.bse), (own.t, peer.tvalues), (own.p, peer.pvalues))
    # statsmodels puts the seeds' dummies before the factors.
    ours = [values[1 : 1 + len(LETTERS)] for values, _ in pairs]
    theirs = [np.array([values[name] for name in RENAMED]) for _, values in pairs]
    largest = max(float(np.max(np.abs(a - b) / np.maximum(1.0, np.abs(b)))) for a, b in zip(ours, theirs, strict=True))
    verdict = "agree" if largest <= AGREEMENT else "DISAGREE"
    return (
        f"The two fits {verdict}: coefficients, errors, t and p differ by at most {largest:.1e} (aim: {AGREEMENT:g})."
    )


def bootstrap(rounds: int) -> tuple[list[Comparison], list[str]]:
    """10,000 replicates here; few refits there, scaled."""
    import pandas as pd
    import statsmodels.api as sm
    import statsmodels.formula.api as smf

    levels, y, seeds = screen()
    terms = dict(zip(LETTERS, levels.T, strict=True))
    frame = pd.DataFrame(dict(zip(RENAMED, levels.T, strict=True)) | {"seed": seeds, "val_bpb": y})
    cells = np.arange(len(y)).reshape(-1, len(SEEDS))
    rng = np.random.default_rng(0)

    def refit(draw: Callable[[], npt.NDArray[np.int64]]) -> Callable[[], float]:
        def side() -> float:
            start = time.perf_counter()
            for _ in range(PEER_REPLICATES):
                smf.ols(FORMULA, frame.iloc[draw()]).fit()
            return (time.perf_counter() - start) * REPLICATES / PEER_REPLICATES

        return side

    def of_cells() -> npt.NDArray[np.int64]:
        chosen = rng.integers(0, len(SEEDS), size=cells.shape)
        return np.take_along_axis(cells, chosen, axis=1).reshape(-1)

    def own(scheme: str) -> Callable[[], float]:
        return timed(
            lambda: bootstrap_effects(terms, y, seeds=seeds.tolist(), scheme=scheme, replicates=REPLICATES)  # type: ignore[arg-type]
        )

    X, _, _ = model_matrix()

    def arrays() -> float:
        start = time.perf_counter()
        for _ in range(PEER_REPLICATES):
            drawn = rng.integers(0, len(y), size=len(y))
            sm.OLS(y[drawn], X[drawn]).fit()
        return (time.perf_counter() - start) * REPLICATES / PEER_REPLICATES

    # Two refits of 40 replicates a round cost half a second: fewer rounds are enough for a factor of hundreds.
    taken = interleave(
        {
            "case": own("case"),
            "cell": own("cell"),
            "refit cases": refit(lambda: rng.integers(0, len(y), size=len(y))),
            "refit cells": refit(of_cells),
            "refit arrays": arrays,
        },
        min(rounds, 5),
    )
    found = [
        Comparison(
            name="10,000 bootstrap replicates, whole rows",
            peer="refits by statsmodels formula",
            own=taken["case"],
            other=taken["refit cases"],
            aim=500,
        ),
        Comparison(
            name="10,000 bootstrap replicates, whole rows",
            peer="refits by statsmodels arrays",
            own=taken["case"],
            other=taken["refit arrays"],
        ),
        Comparison(
            name="10,000 bootstrap replicates, within cells",
            peer="refits by statsmodels formula",
            own=taken["cell"],
            other=taken["refit cells"],
            aim=3000,
        ),
    ]
    note = f"The peer was measured on {PEER_REPLICATES} replicates a round and scaled to {REPLICATES:,}."
    return found, [note]


def cold(rounds: int) -> tuple[list[Comparison], list[str]]:
    """A whole command in a new process, beside an empty one and beside the import that a script would begin with."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "screen.csv"
        write_csv(path)
        asked = ["--response", "val_bpb", "--factors", ",".join(LETTERS), "--block", "seed", "--json"]
        commands = {
            "analyse": [sys.executable, "-m", "foldover", "analyse", str(path), *asked],
            "pass": [sys.executable, "-c", "pass"],
            "statsmodels": [sys.executable, "-c", "import statsmodels.formula.api"],
        }
        taken = interleave({name: timed(_process(command)) for name, command in commands.items()}, rounds)
    found = [
        Comparison(
            name="cold `foldover analyse` of 160 rows, JSON included",
            peer="`import statsmodels.formula.api` alone",
            own=taken["analyse"],
            other=taken["statsmodels"],
            limit=COLD_LIMIT,
        ),
        Comparison(
            name="cold `foldover analyse` of 160 rows, JSON included",
            peer="`python -c pass`",
            own=taken["analyse"],
            other=taken["pass"],
        ),
    ]
    return found, ["Wall time of whole processes, with files in the page cache; neighbours on the machine lengthen it."]


def write_csv(path: Path) -> None:
    """The screen as a plain CSV file."""
    levels, y, seeds = screen()
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*LETTERS, "seed", "val_bpb"])
        for row, seed, value in zip(levels, seeds, y, strict=True):
            writer.writerow([*(int(x) for x in row), seed, f"{value:.6f}"])


def _process(command: list[str]) -> Callable[[], object]:
    return lambda: subprocess.run(command, check=True, capture_output=True)


BENCHMARKS = (
    ("Fit of a seeded screen", fit),
    ("Bootstrap of its effects", bootstrap),
    ("A cold command", cold),
)
