"""Synthetic but plausible inputs of a report: a 2^(5-1) screen at two budgets, confirmation, bridges."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import pytest

from foldover.core import (
    Budget,
    ConditionSummary,
    Design,
    DesignRequest,
    Effect,
    Factor,
    Failure,
    Gate,
    Limit,
    Outcome,
    Package,
    Recipe,
    Recommendation,
    Row,
    RunRecord,
    RunSpec,
    Stage,
    Status,
    Study,
    Values,
    Verdict,
)
from foldover.report import Document, ReportInputs, build_report

T_975 = {1: 12.7062047, 2: 4.30265273, 3: 3.18244631, 4: 2.77644511}
TRUTH = {"A": 0.057, "B": 0.044, "C": -0.0165, "D": 0.082, "E": 0.0054}
BASELINE = {
    "model.depth": 4,
    "model.aspect": 24,
    "optimizer.matrix_lr": 0.03,
    "optimizer.total_batch": 4096,
    "schedule.warmdown_ratio": 0.5,
    "optimizer.adam_lr": 0.002,
    "model.context": 256,
}
FACTORS = (
    Factor(letter="A", lever="model.depth", low=2, high=4, kind="int"),
    Factor(letter="B", lever="model.aspect", low=24, high=40, kind="int"),
    Factor(letter="C", lever="optimizer.matrix_lr", low=0.02, high=0.04),
    Factor(letter="D", lever="optimizer.total_batch", low=2048, high=8192, kind="int", scale="pow2"),
    Factor(letter="E", lever="schedule.warmdown_ratio", low=0.25, high=0.5),
)
CORNERS = [(*corner, math.prod(corner)) for corner in itertools.product((-1.0, 1.0), repeat=4)]


def a_study(**changes: object) -> Study:
    budgets = tuple(Budget(limit=Limit(kind="seconds", amount=s)) for s in (1.0, 2.0))
    study = Study(
        name="micro-screen",
        question="Which of five training choices matter for a tiny model on two CPU cores, and which recipe follows?",
        response="val_bpb",
        direction="minimize",
        baseline=Recipe(trainer="lm", values=Values(BASELINE)),
        factors=FACTORS,
        stages=(
            Stage(
                name="screen",
                kind="screen",
                budgets=budgets,
                seeds=(1, 2, 3),
                design=DesignRequest(runs=16, generators=("E=ABCD",)),
            ),
            Stage(name="confirm", kind="confirm", budgets=budgets[1:], seeds=(11, 12, 13), after="screen", best=2),
            Stage(name="refine", kind="refine", budgets=budgets[1:], seeds=(21, 22, 23), after="screen"),
        ),
        gate=Gate(smallest_effect=0.005),
        constants=Values(corpus="sotu", eval_tokens=65536),
        seed=7,
    )
    return replace(study, **changes)  # type: ignore[arg-type]


def a_design() -> Design:
    order = random.Random(7).sample(range(16), 16)  # noqa: S311
    rows = tuple(Row(label=f"c{i + 1:02d}", levels=levels, order=order[i]) for i, levels in enumerate(CORNERS))
    letters = "ABCDE"
    words = ["".join(pair) for size in (1, 2) for pair in itertools.combinations(letters, size)]
    aliases = tuple((word, ("".join(x for x in letters if x not in word),)) for word in words)
    return Design(
        name="screen",
        kind="fraction",
        factors=FACTORS,
        rows=rows,
        generators=("E=ABCD",),
        words=("ABCDE",),
        resolution=5,
        aliases=aliases,
        seed=7,
    )


@dataclass
class Laboratory:
    """Makes runs of a study and what an analysis would say about them."""

    study: Study
    records: list[RunRecord] = field(default_factory=list)
    packages: list[Package] = field(default_factory=list)
    curves: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def run_package(
        self, stage: str, budget: Budget, conditions: Mapping[str, tuple[float, ...]], seeds: tuple[int, ...]
    ) -> str:
        name = f"{stage} @ {budget.label()}"
        specs = [
            RunSpec(
                study=self.study.name,
                stage=stage,
                package=name,
                condition=label,
                levels=levels,
                recipe=self._recipe(levels),
                budget=budget,
                seed=seed,
                constants=self.study.constants,
            )
            for seed in seeds
            for label, levels in conditions.items()
        ]
        self.packages.append(
            Package(name=name, stage=stage, budget=budget, seeds=seeds, runs=tuple(spec.run_id for spec in specs))
        )
        for spec in specs:
            self._run(spec)
        return name

    def fail(self, package: str, condition: str, status: Status, message: str) -> None:
        """Turn the first finished run of a condition into one without a result."""
        for i, record in enumerate(self.records):
            spec = record.spec
            if (spec.package, spec.condition) == (package, condition) and record.outcome.status == "finished":
                failure = Failure(kind=status, message=message, trace="Traceback (most recent call last):\n  ...")
                outcome = replace(record.outcome, status=status, responses=Values(), failure=failure)
                self.records[i] = replace(record, outcome=outcome)
                return

    def lose_first_attempt(self, index: int) -> None:
        """The worker of a run died once; the run that is there is its second attempt."""
        record = self.records[index]
        lost = replace(record, outcome=Outcome(run_id=record.spec.run_id, status="lost", started="", finished=""))
        self.records[index] = replace(record, attempt=2)
        self.records.append(lost)

    def summaries(self) -> tuple[ConditionSummary, ...]:
        rows = []
        for package in self.packages:
            own = [r for r in self.records if r.spec.package == package.name and r.counts]
            for label in dict.fromkeys(r.spec.condition for r in own):
                rows.append(_summary(package, label, [r for r in own if r.spec.condition == label]))
        return tuple(rows)

    def effects(self, package_name: str, terms: tuple[str, ...] = tuple("ABCDE")) -> tuple[Effect, ...]:
        package = next(p for p in self.packages if p.name == package_name)
        own = [r for r in self.records if r.spec.package == package_name and r.counts]
        return tuple(_effect(term, package, own) for term in terms)

    def _recipe(self, levels: tuple[float, ...]) -> Recipe:
        natural = {f.lever: f.decode(x) for f, x in zip(FACTORS, levels, strict=True)}
        return Recipe(trainer="lm", values=self.study.baseline.values.with_(natural))

    def _run(self, spec: RunSpec) -> None:
        rng = random.Random(spec.run_id)  # noqa: S311
        seconds = spec.budget.limit.amount
        shrink = (1.0 / seconds) ** 0.9
        value = 2.42 + 0.33 * shrink
        value += shrink * sum(TRUTH[f.letter] * x / 2 for f, x in zip(FACTORS, spec.levels, strict=True))
        value += 0.006 * spec.levels[0] * spec.levels[3] + rng.gauss(0, 0.004 + 0.004 * shrink)
        value += 0.003 * math.sin(spec.seed)
        steps = int(seconds * 40)
        self.curves[spec.run_id] = _curve(rng, steps, seconds, value)
        self.records.append(
            RunRecord(
                spec=spec,
                attempt=1,
                outcome=Outcome(
                    run_id=spec.run_id,
                    status="finished",
                    started="2026-01-05T10:00:00+00:00",
                    finished="2026-01-05T10:00:04+00:00",
                    responses=Values(val_bpb=value),
                    counters=Values(
                        steps=steps, tokens=steps * 4096, training_seconds=seconds + 0.01, total_seconds=seconds + 1.9
                    ),
                    derived=Values(width=64 + int(32 * (1 + spec.levels[1])), num_params=231_424),
                    digests=Values(corpus="c0ffee" * 6, tokenizer="facade" * 6, validation="decade" * 6),
                    machine=Values(host="laptop", device="cpu, 1 thread"),
                    versions=Values(torch="2.13.0", numpy="2.1.0"),
                ),
            )
        )


def _curve(rng: random.Random, steps: int, seconds: float, value: float) -> dict[str, list[float]]:
    shares = [(i + 1) / steps for i in range(steps)]
    start, end = 6.93, value * 1.62
    return {
        "step": [float(i) for i in range(steps)],
        "seconds": [share * seconds for share in shares],
        "progress": shares,
        "train_loss": [end + (start - end) * math.exp(-6 * share) + rng.gauss(0, 0.05) for share in shares],
    }


def _summary(package: Package, label: str, records: list[RunRecord]) -> ConditionSummary:
    values = [r.outcome.responses.number("val_bpb") for r in records]
    n, mean = len(values), sum(values) / len(values)
    sd = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1)) if n > 1 else None
    half = T_975[n - 1] * sd / math.sqrt(n) if sd is not None else None
    return ConditionSummary(
        package=package.name,
        budget=package.budget.label(),
        condition=label,
        n=n,
        mean=mean,
        sd=sd,
        low=None if half is None else mean - half,
        high=None if half is None else mean + half,
        level=0.95,
        seeds=tuple(r.spec.seed for r in records),
    )


def _effect(term: str, package: Package, records: list[RunRecord]) -> Effect:
    def effect_of(own: list[RunRecord]) -> float:
        signs = [math.prod(r.spec.levels["ABCDE".index(x)] for x in term) for r in own]
        values = [r.outcome.responses.number("val_bpb") for r in own]
        high = [v for v, sign in zip(values, signs, strict=True) if sign > 0]
        low = [v for v, sign in zip(values, signs, strict=True) if sign < 0]
        return sum(high) / len(high) - sum(low) / len(low)

    estimate = effect_of(records)
    parts = [effect_of([r for r in records if r.spec.seed == seed]) for seed in package.seeds]
    n = len(parts)
    se = math.sqrt(sum((x - sum(parts) / n) ** 2 for x in parts) / (n - 1) / n) if n > 1 else None
    half = None if se is None else T_975[n - 1] * se
    p = None if se is None else min(1.0, math.exp(-abs(estimate / se)))
    is_main = len(term) == 1
    return Effect(
        term=term,
        package=package.name,
        budget=package.budget.label(),
        estimate=estimate,
        se=se,
        low=None if half is None else estimate - half,
        high=None if half is None else estimate + half,
        level=0.95,
        p=p,
        q=p if is_main else None,
        retained=(p <= 0.05 and abs(estimate) > (half or 0.0)) if p is not None and is_main else None,
        df=None if se is None else float(n - 1),
        n=len(records),
        aliased_with=("".join(x for x in "ABCDE" if x not in term),),
        method="lenth" if se is None else "per_seed",
        notes=("descriptive: one run a condition, no error is estimated from replicates",) if se is None else (),
    )


def _verdicts(effects: tuple[Effect, ...]) -> tuple[Verdict, ...]:
    return tuple(
        Verdict(
            stage="screen",
            subject=effect.term,
            decision=("fix_low" if effect.estimate > 0 else "fix_high") if effect.retained else "undecided",
            because=f"{effect.estimate:+.4f} at {effect.budget}",
            rule="retained if the 95% interval excludes 0 and BH q <= 0.05",
            evidence="ab" * 32,
        )
        for effect in effects
    )


def _recommendation(study: Study, lab: Laboratory, package: str) -> Recommendation:
    best = min((s for s in lab.summaries() if s.package == package), key=lambda s: s.mean)
    recipe = next(r.spec.recipe for r in lab.records if r.spec.condition == best.condition)
    return Recommendation(
        condition=best.condition,
        package=package,
        recipe=recipe,
        changes=recipe.diff(study.baseline),
        summary=best,
        supports=("Under 3 new seeds its mean is the lowest of 4 conditions at 2 s.",),
        does_not_support=(
            "Nothing is known beyond 2 s of training: effects shrink as the budget grows.",
            "bridge-A is not told apart from it: the interval of their difference contains 0.",
        ),
        comparisons=("Against c14: -0.0940 bits per byte, 95% interval -0.1010 to -0.0870, n = 3 pairs.",),
    )


def whole_study(**changes: object) -> ReportInputs:
    """All three stages ran; some runs failed, one was lost once, one was excluded."""
    study = a_study()
    lab = Laboratory(study)
    design = a_design()
    screen, confirm, refine = study.stages
    corners = {row.label: row.levels for row in design.rows}
    names = [lab.run_package("screen", budget, corners, screen.seeds) for budget in screen.budgets]
    lab.fail(names[0], "c16", "diverged", "the loss is not finite or above its limit at step 12")
    lab.fail(names[1], "c09", "timeout", "ran past limit and grace")
    lab.lose_first_attempt(5)
    lab.records[20] = replace(lab.records[20], exclusion="another program held both cores")
    ordered = sorted((s for s in lab.summaries() if s.package == names[1]), key=lambda s: s.mean)
    anchors = {s.condition: corners[s.condition] for s in (*ordered[:2], ordered[-1])}
    lab.run_package("confirm", confirm.budgets[0], anchors, confirm.seeds)
    corner = (-1.0, -1.0, 1.0, -1.0, 1.0)
    bridges = {"corner": corner, "bridge-A": (0.0, *corner[1:]), "bridge-D": (*corner[:3], 0.0, corner[4])}
    bridges["bridge-all"] = (0.0, 0.0, 1.0, 0.0, 1.0)
    last = lab.run_package("refine", refine.budgets[0], bridges, refine.seeds)
    effects = tuple(itertools.chain.from_iterable(lab.effects(name) for name in names))
    inputs = ReportInputs(
        study=study,
        design=design,
        records=tuple(lab.records),
        effects=effects + lab.effects(names[1], ("AB", "AD", "BD", "CD")),
        conditions=lab.summaries(),
        verdicts=_verdicts(lab.effects(names[1])),
        packages=tuple(lab.packages),
        recommendation=_recommendation(study, lab, last),
        curves=lab.curves,
        references=Values(order_0=4.3652, order_2=2.6626, order_6=1.5043),
        ledger_digest="1edger" + "0" * 58,
        version="0.1.0",
    )
    return replace(inputs, **changes)  # type: ignore[arg-type]


def single_seed_screen(seeds: tuple[int, ...] = (1,)) -> ReportInputs:
    """Only a screen ran, at both budgets, by default under one seed: everything is descriptive."""
    study = a_study()
    lab = Laboratory(study)
    corners = {row.label: row.levels for row in a_design().rows}
    names = [lab.run_package("screen", budget, corners, seeds) for budget in study.stages[0].budgets]
    return ReportInputs(
        study=study,
        design=a_design(),
        records=tuple(lab.records),
        effects=tuple(itertools.chain.from_iterable(lab.effects(name) for name in names)),
        conditions=lab.summaries(),
        verdicts=(),
        packages=tuple(lab.packages),
        curves=lab.curves,
        version="0.1.0",
    )


def all_failed() -> ReportInputs:
    """A screen of which every run failed."""
    inputs = single_seed_screen()
    failure = Failure(kind="RuntimeError", message="no space left", trace="line 1\nline 2")
    records = tuple(
        replace(r, outcome=replace(r.outcome, status="failed", responses=Values(), failure=failure))
        for r in inputs.records
    )
    return replace(inputs, records=records, effects=(), conditions=(), curves={})


def nothing_yet() -> ReportInputs:
    """A study that was only written down."""
    return ReportInputs(study=a_study(), design=None, records=(), effects=(), conditions=(), verdicts=(), packages=())


@pytest.fixture(scope="session")
def inputs() -> ReportInputs:
    return whole_study()


@pytest.fixture(scope="session")
def document(inputs: ReportInputs) -> Document:
    return build_report(inputs)


@pytest.fixture(scope="session")
def make_inputs() -> Callable[..., ReportInputs]:
    """`whole_study` with fields replaced."""
    return whole_study


@pytest.fixture(scope="session")
def studies() -> dict[str, ReportInputs]:
    """Studies at every stage of their life, by name."""
    return {
        "whole": whole_study(),
        "single_seed": single_seed_screen(),
        "two_seeds": single_seed_screen((1, 2)),
        "all_failed": all_failed(),
        "nothing_yet": nothing_yet(),
    }
