"""What the sections of a report are made from, and the few ways in which all of them look at it.

A stage is the unit: its runs share one host and one regime, so nothing within it is pooled silently. Where sections
cross stages they say so, and never join runs of different regimes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from foldover.core import AnalysisError, ConditionSummary, Effect, Package, RunRecord, Study, Verdict
from foldover.core.finding import FEWEST_SEEDS
from foldover.lab.analysis import Analysis
from foldover.planning import Condition, Plan
from foldover.report.numbers import setting
from foldover.stats import Moments, Table, moments, tabulate


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A study, its plans, and what their records say. table: of every run that counts, None where none does."""

    study: Study
    plans: tuple[Plan, ...]
    records: tuple[RunRecord, ...]
    effects: tuple[Effect, ...]
    conditions: tuple[ConditionSummary, ...]
    verdicts: tuple[Verdict, ...]
    table: Table | None

    @property
    def letters(self) -> tuple[str, ...]:
        """The factors."""
        return tuple(factor.letter for factor in self.study.factors)

    @property
    def sign(self) -> float:
        """1 where less is better, -1 where more is."""
        return 1.0 if self.study.direction == "minimize" else -1.0

    def named(self, term: str) -> str:
        """What pictures call a factor: its letter and lever, with the levels where other factors share the lever."""
        factor = next((each for each in self.study.factors if each.letter == term), None)
        if factor is None:
            return term
        short = f"{term} {factor.lever.rpartition('.')[2]}"
        is_shared = sum(each.lever == factor.lever for each in self.study.factors) > 1
        return f"{short} {setting(factor.low)} \u2192 {setting(factor.high)}" if is_shared else short

    def stages(self, *kinds: str) -> list[StageView]:
        """The planned stages of these kinds (all where none is named), in order, each with its plans together."""
        names = list(dict.fromkeys(plan.stage for plan in self.plans))
        views = [StageView(evidence=self, name=name) for name in names]
        return [view for view in views if not kinds or view.kind in kinds]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageView:
    """One stage: its packages, conditions and runs."""

    evidence: Evidence
    name: str

    @property
    def kind(self) -> str:
        """As the study file has it."""
        return self.evidence.study.stage(self.name).kind

    @property
    def plans(self) -> list[Plan]:
        """A search has one plan a batch, other stages one."""
        return [plan for plan in self.evidence.plans if plan.stage == self.name]

    @property
    def packages(self) -> list[Package]:
        """Those whose runs are compared, the shortest budget first, each once."""
        found = {package.name: package for plan in self.plans for package in plan.compared}
        return sorted(found.values(), key=lambda p: (p.budget.limit.kind, p.budget.limit.amount))

    @property
    def conditions(self) -> dict[str, Condition]:
        """Label to condition."""
        return {condition.label: condition for plan in self.plans for condition in plan.conditions}

    @property
    def host(self) -> str:
        """The label of its machines, "" where the study names none."""
        return next((package.host for package in self.packages), "")

    @property
    def is_fixed(self) -> bool:
        """Whether all runs have one seed that was fixed: their spread is that of the machine."""
        return any(package.regime == "fixed" for package in self.packages)

    @property
    def where(self) -> str:
        """`stage screen on Windows A100, one fixed seed`."""
        host = self.evidence.study.title_of(self.host)
        return f"stage {self.name}{f' on {host}' if host else ''}{', one fixed seed' if self.is_fixed else ''}"

    @property
    def slug(self) -> str:
        """Its name for files."""
        return slug(self.name)

    def rows(self, package: Package | None = None) -> Table | None:
        """The runs that count, of one package or all; None where there are none."""
        table = self.evidence.table
        if table is None:
            return None
        names = {package.name} if package is not None else {each.name for each in self.packages}
        keep = [i for i, name in enumerate(table.packages) if name in names]
        return table.rows(keep) if keep else None

    def over_budgets(self) -> Table | None:
        """The runs of all its packages as one, where it has two or more budgets; None otherwise.

        The packages of a stage are its budgets and nothing else.
        """
        table = self.rows()
        if table is None or len(table.budget_labels()) < 2:
            return None
        return replace(table, packages=("stage",) * len(table))

    @property
    def caveat(self) -> str:
        """What a sentence on its orderings ends with."""
        return " (descriptive only: one fixed seed)" if self.is_fixed else ""

    def values(self, package: Package) -> dict[str, dict[int, float]]:
        """Condition to seed to response; the mean of reruns where a seed ran more than once."""
        found: dict[str, dict[int, list[float]]] = {}
        table = self.rows(package)
        for i in range(0 if table is None else len(table)):
            assert table is not None, "it has rows"
            found.setdefault(table.conditions[i], {}).setdefault(table.seeds[i], []).append(float(table.y[i]))
        return {
            label: {seed: sum(runs) / len(runs) for seed, runs in sorted(seeds.items())}
            for label, seeds in found.items()
        }

    def runs(self, package: Package) -> dict[str, list[float]]:
        """Condition to the responses of its runs, in the order of seeds and reruns."""
        found: dict[str, list[float]] = {}
        table = self.rows(package)
        for i in range(0 if table is None else len(table)):
            assert table is not None, "it has rows"
            found.setdefault(table.conditions[i], []).append(float(table.y[i]))
        return found

    def role(self, label: str) -> str:
        """What a condition is there for."""
        found = self.conditions.get(label)
        return found.role if found is not None else ""

    def varying(self, table: Table) -> list[str]:
        """The factors at two levels in these runs."""
        return [letter for j, letter in enumerate(table.letters) if len(set(table.levels[:, j].tolist())) > 1]

    def is_descriptive(self, package: Package) -> bool:
        """Whether orderings in it are description: one fixed seed, or fewer than three seeds."""
        return package.regime == "fixed" or len(package.seeds) < FEWEST_SEEDS


def evidence_from(
    study: Study, plans: Sequence[Plan], analysis: Analysis, verdicts: Sequence[Verdict] = ()
) -> Evidence:
    """The evidence of a study's records so far."""
    compared = [record for record in analysis.records if not record.spec.is_trunk]
    try:
        table = tabulate(compared, response=study.response, letters=[f.letter for f in study.factors])
    except AnalysisError:
        table = None
    return Evidence(
        study=study,
        plans=tuple(plans),
        records=tuple(compared),
        effects=analysis.effects,
        conditions=analysis.conditions,
        verdicts=tuple(verdicts),
        table=table,
    )


def cells(values: dict[str, dict[int, float]]) -> dict[str, Moments]:
    """Condition to n, mean and sd, of those with two or more seeds that differ."""
    found = {label: list(seeds.values()) for label, seeds in values.items()}
    return {label: moments(each) for label, each in found.items() if len(each) > 1 and len(set(each)) > 1}


def slug(text: str) -> str:
    """Letters, digits and hyphens of a name."""
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in text.lower()).split())
