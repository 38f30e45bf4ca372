"""Do the statistics keep their promises? Thousands of simulated screens with known truth: `make calibrate`.

Prints tables and writes docs/calibration.md. Every number depends on named seeds alone. Ends with exit code 1
if a promise is broken. `--studies N` runs fewer studies a case for a quick look, judges and writes nothing.

Legend: S studies, R = 16 conditions (the half fraction of five factors, E = ABCD), n seeds, F factors.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from foldover.core import AnalysisError
from foldover.simulator import Surface, calibration, full_factorial, get_surface
from foldover.stats import (
    Estimates,
    Table,
    adjust,
    effects_of_many,
    power_of,
    record_test,
    table_from_columns,
    tost,
)
from foldover.stats.power import Analysis

Array = npt.NDArray[np.float64]

DOC = Path(__file__).parent.parent / "docs" / "calibration.md"
STUDIES = 4_000
POWER_STUDIES = 10_000
SEEDS_PER_BLOCK = 1_000_000
LETTERS = "ABCDE"
CORNERS = full_factorial()
FRACTION = CORNERS[np.prod(CORNERS, axis=1) == 1.0]
DEFAULT = "auto"
PAIRED_ANALYSES: tuple[tuple[str, Analysis], ...] = ((DEFAULT, "per_seed"), ("paper", "residual"))
METHODS = (DEFAULT, "paper", "ols+2fi", "hc3+2fi", "satterthwaite")
Q = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One set of studies: seeds are block * 1,000,000, + 1, ...; each study takes the next n of them."""

    block: int
    surface: Surface
    minutes: float
    seeds: int
    host: str = "windows"

    def label(self) -> str:
        return f"{self.host}, {self.minutes:g} min, {self.seeds} seeds"

    def seed_range(self, studies: int) -> range:
        first = self.block * SEEDS_PER_BLOCK
        return range(first, first + studies * self.seeds)

    def responses(self, studies: int) -> Array:
        """(S, R n): the rows of `screen_table`, seeds fastest."""
        values = self.surface.values(FRACTION, self.minutes, self.host, seeds=self.seed_range(studies))
        return values.reshape(len(FRACTION), studies, self.seeds).transpose(1, 0, 2).reshape(studies, -1)

    def truth(self, terms: Sequence[str]) -> Array:
        """What the fraction estimates: each effect with its aliases."""
        return np.array([self.surface.true_effect(t, self.minutes, self.host, points=FRACTION) for t in terms])


@dataclass(slots=True)
class Report:
    """The page as it grows, what each part found in one line, and the promises that were broken."""

    lines: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def add(self, *lines: str) -> None:
        self.lines += [*lines, ""]
        print(*lines, sep="\n", end="\n\n", flush=True)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.add(f"| {' | '.join(header)} |", f"|{'---|' * len(header)}", *(f"| {' | '.join(row)} |" for row in rows))

    def promise(self, kept: bool | np.bool_, what: str) -> None:
        if not kept:
            self.broken.append(what)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=None, help="studies a case; nothing is written")
    studies = parser.parse_args().studies
    report = Report()
    report.add(*INTRODUCTION.splitlines())
    coverage(report, studies or STUDIES)
    lost_runs(report, studies or STUDIES)
    false_discoveries(report, studies or STUDIES)
    power(report, studies or POWER_STUDIES)
    boundaries(report, studies or POWER_STUDIES)
    verdict = "Every promise is kept." if not report.broken else "BROKEN: " + "; ".join(report.broken) + "."
    if studies is not None:
        verdict = f"A look at {studies} studies a case: too few to judge promises by."
    report.add("## Result", "", *(f"- {line}" for line in report.found), "", verdict)
    if studies is not None:
        return 0
    DOC.write_text("\n".join(report.lines).rstrip() + "\n", encoding="utf-8")
    return 1 if report.broken else 0


INTRODUCTION = f"""# Calibration of the statistics

This page is written by `make calibrate` (`python benchmarks/calibrate.py`, about two minutes; with `--studies 500`
a quick look that writes nothing): simulated studies whose truth is known, seen through the same functions that
analyse real ones. Numbers depend on the named seeds alone, not on the machine.

A study is a seeded screen: the 16 runs of the half fraction E = ABCD, each under the same n seeds. The calibrated
surface of `foldover.simulator` gives it what makes screens hard: noise that differs more than tenfold between
conditions, and seeds that move bad conditions more than good ones. Studies a case: {STUDIES:,}; for power and for
tests at their boundary {POWER_STUDIES:,}. The seeds of block b count from b million upwards; each study takes the
next n of them; where runs are lost, `numpy.random.default_rng(b)` draws which. The Monte Carlo standard error of a
coverage of 95% over {STUDIES:,} studies of one effect is {100 * (0.95 * 0.05 / STUDIES) ** 0.5:.2f} points, that of
a power of 50% over {POWER_STUDIES:,} studies {50 / POWER_STUDIES**0.5:.2f} points.

What is promised, and checked here: intervals of the default method cover 94 to 96%; the false discovery rate of
Benjamini-Hochberg at q = 5% is at most that, give or take two standard errors; `power_of` is right within 2 points;
record and equivalence tests reject at their boundary no more often than they say."""


def coverage(report: Report, studies: int) -> None:
    """Do intervals of main effects cover the truth as often as they say?"""
    calibrated = get_surface("calibrated")
    grid = [(host, minutes, n) for host in ("windows", "linux") for minutes in (5.0, 10.0) for n in (4, 5)]
    cases = [
        Case(block=i, surface=calibrated, host=host, minutes=minutes, seeds=n)
        for i, (host, minutes, n) in enumerate([*grid, ("windows", 2.0, 5)], start=1)
    ]
    rows, widths, interactions = [], [], []
    shares: dict[str, list[Array]] = {method: [] for method in METHODS}
    for case in cases:
        table, Y = screen_table(case.seeds), case.responses(studies)
        found = {method: effects_of_many(table, Y, method=method) for method in METHODS}
        for method, estimates in found.items():
            shares[method].append(covered(estimates, case.truth(LETTERS)))
        rows.append([f"{case.label()} ({case.block})", *(spread(shares[method][-1]) for method in METHODS)])
        half = {method: float((e.high - e.low).mean() / 2) for method, e in found.items()}
        widths.append([case.label(), *(f"{half[method]:.5f}" for method in METHODS)])
        average = float(shares[DEFAULT][-1].mean())
        report.promise(0.94 <= average <= 0.96, f"coverage of the default is {average:.3f} ({case.label()})")
        every = effects_of_many(table, Y, terms="main+2fi", method=DEFAULT)
        interactions.append([case.label(), spread(covered(every, case.truth(every.terms)))])
    names = [f"{effects_of_many(table, Y[:1], method=m).method}{' (default)' * (m == DEFAULT)}" for m in METHODS]
    report.add("## Coverage of 95% intervals of the main effects", "", COVERAGE_TEXT)
    report.table(["case (block of seeds)", *names], rows)
    report.add("The default with all ten two-factor interactions among its terms, over all 15:")
    report.table(["case", names[0]], interactions)
    pooled = {method: [float(values.mean()) for values in shares[method]] for method in (DEFAULT, "paper")}
    report.found.append(
        f"Coverage, average of the five main effects: default {between(pooled[DEFAULT])}, the published study's own"
        f" model (`paper`) {between(pooled['paper'])}, over {len(cases)} cases; promised for the default: 94 to 96."
    )
    report.add("What an honest interval costs: mean half-widths, in bits per byte.")
    report.table(["case", *names], widths)


COVERAGE_TEXT = """Percent of intervals that hold the true effect, over all five factors; in brackets the lowest and
the highest of the five. `paper` is least squares on main effects and seeds, the published study's own model: the
interactions that it leaves out swell its error, so that it covers too much. `ols+2fi` and `hc3+2fi` forget that a
seed moves conditions together, `satterthwaite` does not know of seeds at all, and for some factors (D on the first
host) all three cover far too little, however good their average. Effects taken within each seed, with t over the
seeds, need no assumption on any of this."""


def lost_runs(report: Report, studies: int) -> None:
    """Coverage of the default where a tenth of the runs is lost at random: 20 patterns a case."""
    patterns = 20
    rows = []
    for block, (minutes, n) in enumerate([(5.0, 4), (5.0, 5), (10.0, 4), (10.0, 5)], start=21):
        case = Case(block=block, surface=get_surface("calibrated"), minutes=minutes, seeds=n)
        Y, full, rng = case.responses(studies), screen_table(n), np.random.default_rng(block)
        shares, used = [], 0
        for part in np.array_split(np.arange(studies), patterns):
            keep = np.flatnonzero(rng.random(len(full)) >= 0.1)
            try:
                found = effects_of_many(full.rows(keep.tolist()), Y[np.ix_(part, keep)], method=DEFAULT)
            except AnalysisError:  # a whole condition is lost, and an effect with it: foldover refuses
                continue
            shares.append(covered(found, case.truth(LETTERS)))
            used += 1
        rows.append([f"{case.label()} ({block})", str(used), spread(np.mean(shares, axis=0))])
    report.add("## Coverage where a tenth of the runs is lost", "", LOST_TEXT)
    report.table(["case (block of seeds)", "patterns used", "default"], rows)


LOST_TEXT = """Runs are lost at random, 20 patterns a case. The default is then bias-reduced cluster-robust (CR2) with
Satterthwaite degrees of freedom. Reported, not promised: with four or five seeds this is an approximation."""


def false_discoveries(report: Report, studies: int) -> None:
    """Realised false discovery rate of Benjamini-Hochberg at q = 0.05, against truth with exact zeros."""
    one_sd, calibrated = get_surface("null"), get_surface("calibrated")
    surfaces = {
        "null, one sd": one_sd,
        "null, unequal sds": replace(one_sd, sd_of=calibrated.sd_of),
        "mixed (A, D true), one sd": planted(one_sd, {"A": 0.010, "D": 0.020}),
        "mixed (A, D true), unequal sds": planted(calibrated, {"A": 0.010, "D": 0.020}),
        "all but E true, one sd": planted(one_sd, {"A": 0.010, "B": 0.006, "C": -0.004, "D": 0.020}),
        "all but E true, unequal sds": planted(calibrated, {"A": 0.010, "B": 0.006, "C": -0.004, "D": 0.020}),
    }
    rows, block = [], 40
    rates: dict[str, list[float]] = {DEFAULT: [], "paper": []}
    for name, surface in surfaces.items():
        for n in (4, 5):
            block += 1
            case = Case(block=block, surface=surface, minutes=5.0, seeds=n)
            table, Y = screen_table(n), case.responses(studies)
            cells = []
            for method, terms in ((DEFAULT, "main"), (DEFAULT, "main+2fi"), ("paper", "main")):
                found = effects_of_many(table, Y, method=method, terms=terms)
                rate, error, sensitivity = discoveries(found.p, case.truth(found.terms))
                cells.append(f"{100 * rate:.1f} ± {100 * error:.1f}")
                rates[method].append(rate)
                if method == DEFAULT:
                    limit = Q + 2 * error
                    report.promise(rate <= limit, f"false discoveries are {rate:.3f} > {limit:.3f} ({name}, n = {n})")
                if (method, terms) == (DEFAULT, "main"):
                    shown = "" if np.isnan(sensitivity) else f"{100 * sensitivity:.0f}"
            rows.append([f"{name}, {n} seeds ({block})", *cells, shown])
    report.add("## False discoveries", "", DISCOVERY_TEXT)
    report.table(
        ["case (block of seeds)", "default, 5 main effects", "default, 15 terms", "paper, 5 main effects", "found"],
        rows,
    )
    report.found.append(
        f"Realised false discovery rate at q = 5%: default {between(rates[DEFAULT])}, `paper`"
        f" {between(rates['paper'])}; promised for the default: at most 5, give or take two standard errors."
    )


DISCOVERY_TEXT = """Mean share of null effects among those found by Benjamini-Hochberg at q = 5%, in percent, with the
Monte Carlo standard error of the rate; where nothing is true this is the probability of finding anything. Unequal sds
are those of the calibrated surface at 5 minutes: least squares with one error variance (`paper`) then finds far too
much where nothing is true. `found`: percent of the true main effects that the default finds."""


def power(report: Report, studies: int) -> None:
    """Does `power_of` predict how often an effect is found?"""
    report.add("## Power", "", POWER_TEXT)
    calibrated, one_sd = calibrated_power(report, studies)
    rows = [
        *one_sd_power(report, studies),
        *unpaired_power(report, studies),
        *calibrated,
        *single_run_power(report, studies),
    ]
    report.table(["case (block of seeds)", "effect", "analysis", "predicted", "simulated", "gap"], rows)
    gaps = [float(row[-1]) for row in rows]
    report.found.append(
        f"Simulated minus predicted power: {min(gaps):+.1f} to {max(gaps):+.1f} points over {len(gaps)} cases;"
        " promised: within 2."
    )
    report.add(ONE_SD_TEXT)
    report.table(["case (block of seeds)", "predicted", "simulated", "gap"], one_sd)


POWER_TEXT = """Percent of studies whose 95% interval excludes zero, as `foldover.stats.power_of` predicts it and as it
comes out. The sd that planning needs is what remains after the seed block: the spread of a condition's runs about the
condition and the seed. On the calibrated surface it differs from factor to factor, because seeds move bad conditions
more; there each factor's own sd is used (per-seed effects have sd 2 sd / sqrt(16))."""


ONE_SD_TEXT = """What planning with one sd for all factors would say on the calibrated surface (the root mean square
of the conditions' own, after the seed block): right on average, and off for single factors. Not promised."""


def one_sd_power(report: Report, studies: int) -> list[list[str]]:
    """Seeds as blocks, one sd: the default analysis and least squares, at effects of 1 to 6 standard errors."""
    rows = []
    base = get_surface("linear")
    sd = paired_sd(base)
    for block, n in ((61, 4), (62, 5), (63, 8)):
        se = 2 * sd / np.sqrt(16 * n)
        effects = dict(zip(LETTERS, (1.5 * se, -2.5 * se, 3.5 * se, 5 * se, 0.75 * se), strict=True))
        case = Case(block=block, surface=planted(base, effects), minutes=5.0, seeds=n)
        Y = case.responses(studies)
        for method, analysis in PAIRED_ANALYSES:
            found = effects_of_many(screen_table(n), Y, method=method)
            for j, letter in enumerate(LETTERS):
                predicted = power_of(effects[letter], sd, runs=16, seeds=n, terms=5, analysis=analysis).power
                label = f"one sd, {n} seeds ({block})"
                rows.append(compared(report, label, effects[letter], analysis, predicted, found.p[:, j] <= 0.05))
    return rows


def unpaired_power(report: Report, studies: int) -> list[list[str]]:
    """Every condition under seeds of its own: the whole sd counts, and conditions have their own variances."""
    rows = []
    base = get_surface("linear")
    sd = float(np.hypot(base.sd(FRACTION[0], 5.0), base.rerun))
    for block, n in ((66, 2), (67, 3), (68, 5)):
        se = 2 * sd / np.sqrt(16 * n)
        effects = dict(zip(LETTERS, (1.5 * se, -2.5 * se, 3.5 * se, 5 * se, 0.75 * se), strict=True))
        surface, first = planted(base, effects), block * SEEDS_PER_BLOCK
        size = studies * n
        values = [
            surface.values(x[None], 5.0, seeds=range(first + r * size, first + (r + 1) * size))[0].reshape(studies, n)
            for r, x in enumerate(FRACTION)
        ]
        found = effects_of_many(screen_table(n), np.concatenate(values, axis=1), block=None)
        for j, letter in enumerate(LETTERS):
            predicted = power_of(effects[letter], sd, runs=16, seeds=n, terms=5, block=False).power
            label = f"one sd, {n} runs a condition, no common seeds ({block})"
            rows.append(compared(report, label, effects[letter], found.method, predicted, found.p[:, j] <= 0.05))
    return rows


def calibrated_power(report: Report, studies: int) -> tuple[list[list[str]], list[list[str]]]:
    """The calibrated surface: each factor planned with its own sd, and for comparison all with one."""
    rows, with_one_sd = [], []
    surface = get_surface("calibrated")
    for block, (minutes, n) in enumerate([(5.0, 4), (5.0, 5), (10.0, 4), (10.0, 5)], start=71):
        case = Case(block=block, surface=surface, minutes=minutes, seeds=n)
        found = effects_of_many(screen_table(n), case.responses(studies), method=DEFAULT)
        one = float(np.sqrt((1.0 - surface.rho) * np.mean(surface.sd(FRACTION, minutes) ** 2) + surface.rerun**2))
        for j, (letter, effect) in enumerate(zip(LETTERS, case.truth(LETTERS), strict=True)):
            own = 2 * surface.effect_sd(letter, minutes, points=FRACTION)
            label, hits = f"{letter}, {case.label()} ({block})", found.p[:, j] <= 0.05
            predicted = power_of(float(effect), own, runs=16, seeds=n, terms=5).power
            rows.append(compared(report, label, effect, found.method, predicted, hits))
            rough, simulated = power_of(float(effect), one, runs=16, seeds=n, terms=5).power, hits.mean()
            shown = [f"{100 * x:.1f}" for x in (rough, simulated)]
            with_one_sd.append([label, *shown, f"{100 * (simulated - rough):+.1f}"])
    return rows, with_one_sd


def single_run_power(report: Report, studies: int) -> list[list[str]]:
    """One run a condition: Lenth's margin, one active effect."""
    rows = []
    base = get_surface("linear")
    sd = paired_sd(base)
    terms = (*LETTERS, *(a + b for i, a in enumerate(LETTERS) for b in LETTERS[i + 1 :]))
    for block, size in ((81, 2.0), (82, 3.0), (83, 4.0)):
        effect = size * 2 * sd / 4
        case = Case(block=block, surface=planted(base, {"A": effect}), minutes=5.0, seeds=1)
        found = effects_of_many(screen_table(1), case.responses(studies), terms=terms)
        outside = (found.low[:, 0] > 0.0) | (found.high[:, 0] < 0.0)
        predicted = power_of(effect, sd, runs=16, seeds=1, terms=15).power
        rows.append(compared(report, f"one run a condition ({block})", effect, found.method, predicted, outside))
    return rows


def boundaries(report: Report, studies: int) -> None:
    """Record and equivalence tests where the null is just true: they must reject at most alpha."""
    base, recipes = get_surface("calibrated"), calibration().recipes
    rows = []
    rates: dict[str, list[float]] = {"record": [], "equivalence": []}
    for block, (minutes, n) in enumerate([(10.0, 5), (60.0, 3), (60.0, 5)], start=91):
        first, size = block * SEEDS_PER_BLOCK, studies * n
        a, b = (
            base.values([recipes[name]], minutes, seeds=range(start, start + size)).reshape(studies, n)
            for name, start in (("c07", first), ("bridge_d8", first + size))
        )
        gain = float(base.mean(recipes["bridge_d8"], minutes) - base.mean(recipes["c07"], minutes))
        margin = 0.005
        # Shift the new runs so that their true improvement is exactly the margin.
        new = a + gain - margin
        pairs = list(zip(new.tolist(), b.tolist(), strict=True))
        record = np.mean([record_test(x, y, margin=margin, unit="bits_per_byte").passes for x, y in pairs])
        same = np.mean([tost(x, y, bounds=(-margin, margin)).equivalent for x, y in pairs])
        for name, rate, alpha in (("record", float(record), 0.01), ("equivalence", float(same), 0.05)):
            rates[name].append(rate)
            error = float(np.sqrt(alpha * (1 - alpha) / studies))
            report.promise(rate <= alpha + 2 * error, f"the {name} test rejects {rate:.4f} at its boundary")
            rows.append(
                [
                    f"{name}, {minutes:g} min, {n} against {n} seeds ({block})",
                    f"{100 * alpha:.0f}",
                    f"{100 * rate:.2f} ± {100 * error:.2f}",
                ]
            )
    report.add("## Tests at their boundary", "", BOUNDARY_TEXT)
    report.table(["test (block of seeds)", "alpha, percent", "rejected, percent"], rows)
    report.found.append(
        f"At their boundary the record test rejects in {between(rates['record'])} (alpha 1), the equivalence test in"
        f" {between(rates['equivalence'])} (alpha 5)."
    )


BOUNDARY_TEXT = """c07 against bridge_d8, seeds apart, c07 moved so that it is better by exactly the margin of 0.005
bits per byte. To claim the record (alpha = 1%), or equivalence within the margin (alpha = 5%), is then just wrong."""


def screen_table(n: int) -> Table:
    """The design: 16 conditions x n seeds, seeds fastest; responses are placeholders."""
    columns: dict[str, list[object]] = {
        letter: [f"{x:g}" for x in np.repeat(FRACTION[:, j], n)] for j, letter in enumerate(LETTERS)
    }
    columns["seed"] = [seed for _ in FRACTION for seed in range(n)]
    columns["val_bpb"] = [f"{1 + 0.001 * i}" for i in range(len(FRACTION) * n)]
    return table_from_columns(columns, response="val_bpb", factors=tuple(LETTERS))


def planted(surface: Surface, effects: Mapping[str, float]) -> Surface:
    """The surface's noise under a mean that is flat but for these main effects."""
    flat = get_surface("null").mean_of
    slopes = np.array([effects.get(letter, 0.0) / 2.0 for letter in LETTERS])

    def mean(x: Array, minutes: Array, host: str) -> Array:
        return np.asarray(flat(x, minutes, host) + x @ slopes)

    return replace(surface, name="planted", mean_of=mean)


def paired_sd(surface: Surface) -> float:
    """Of one run about its condition and its seed, where one sd holds everywhere."""
    return float(np.sqrt((1.0 - surface.rho) * surface.sd(FRACTION[0], 5.0) ** 2 + surface.rerun**2))


def covered(found: Estimates, truth: Array) -> Array:
    """(F,): share of studies whose interval holds the truth."""
    return np.asarray(((found.low <= truth) & (truth <= found.high)).mean(axis=0))


def between(shares: Sequence[float]) -> str:
    return f"{100 * min(shares):.1f} to {100 * max(shares):.1f}%"


def spread(shares: Array) -> str:
    return f"{100 * shares.mean():.1f} ({100 * shares.min():.1f} to {100 * shares.max():.1f})"


def discoveries(p: Array, truth: Array) -> tuple[float, float, float]:
    """Realised false discovery rate, its standard error, and the share of true effects found."""
    found = np.array([adjust(row.tolist(), "bh") for row in p], dtype=np.float64) <= Q
    null = np.abs(truth) < 1e-12
    share = found[:, null].sum(axis=1) / np.maximum(1, found.sum(axis=1))
    sensitivity = float(found[:, ~null].mean()) if (~null).any() else float("nan")
    return float(share.mean()), float(share.std(ddof=1) / np.sqrt(len(share))), sensitivity


def compared(
    report: Report, label: str, effect: float, analysis: str, predicted: float, found: npt.NDArray[np.bool_]
) -> list[str]:
    """A row; found: whether each study found the effect."""
    simulated = float(found.mean())
    gap = simulated - predicted
    report.promise(abs(gap) <= 0.02, f"power is off by {100 * gap:.1f} points ({label}, {effect:.5f}, {analysis})")
    return [label, f"{effect:+.5f}", analysis, f"{100 * predicted:.1f}", f"{100 * simulated:.1f}", f"{100 * gap:+.1f}"]


if __name__ == "__main__":
    sys.exit(main())
