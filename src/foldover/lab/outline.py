"""What a study would run, before it runs: for `foldover plan`. Needs neither torch nor a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from foldover.core import Design, RunSpec, Stage, Study, Values, natural_levels
from foldover.lab.budget_checks import check_budgets
from foldover.lab.staging import cost_of, plan_stage
from foldover.planning import Condition, Cost, Plan, expand, expected_runs, most_runs, space_of
from foldover.ports import Trainer
from foldover.trainers import get_trainer


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlineCondition:
    """A row of a design, decoded and resolved. same_as: another row that resolves to the same run."""

    label: str
    levels: tuple[float, ...]
    natural: Values
    derived: Values
    same_as: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlineTrunk:
    """A run of each seed that others begin with. conditions: theirs, `c01 @ 2 s`; keeps: where it leaves states."""

    label: str
    package: str
    recipe: str
    keeps: tuple[str, ...]
    conditions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlineStage:
    """A stage: what is known of it before the first run.

    is_upper: runs and cost are an upper bound; is_expected: they are what a search over rungs has if none of its runs
    fails.
    """

    name: str
    kind: str
    budgets: tuple[str, ...]
    seeds: tuple[int, ...]
    reruns: int
    host: str
    design: Design | None
    conditions: tuple[OutlineCondition, ...]
    trunks: tuple[OutlineTrunk, ...]
    num_conditions: int
    cost: Cost
    is_upper: bool
    notes: tuple[str, ...]
    is_expected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlineHost:
    """What a kind of machine is asked for. training_hours: the sum of limits in time; cost: of these (0: not said)."""

    label: str
    title: str
    runs: int
    training_hours: float
    cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """All stages of a study."""

    study: str
    question: str
    stages: tuple[OutlineStage, ...]
    hosts: tuple[OutlineHost, ...]
    total_runs: int
    total_wall_seconds: float
    jobs: int


def outline(study: Study, *, jobs: int) -> Outline:
    """Design, resolved conditions and estimated cost of every stage.

    What a stage after a screen runs depends on results: it is outlined by as many conditions as it can have
    at most, each as dear as the dearest of the screen and trained from its first step. Raises BudgetError with every
    condition of a design that cannot be run within a budget.
    """
    trainer = get_trainer(study.baseline.trainer)
    plans = {
        stage.name: plan_stage(study, trainer, _before_verdicts(stage), (), None)
        for stage in study.stages
        if stage.design is not None
    }
    check_budgets(study, trainer, plans)
    stages: list[OutlineStage] = []
    dearest: Condition | None = None
    for stage in study.stages:
        if stage.design is not None:
            plan = plans[stage.name]
            if stage.kind == "screen" or dearest is None:
                dearest = max(plan.conditions, key=lambda c: _seconds(study, trainer, stage, c))
            stages.append(_screen_outline(study, trainer, stage, plan, jobs))
            continue
        dearest = dearest or _baseline(study, trainer)
        is_over_rungs = stage.search is not None and stage.search.cost is not None
        outlined = _rungs_outline if is_over_rungs else _later_outline
        stages.append(outlined(study, trainer, stage, dearest, jobs))
    return Outline(
        study=study.name,
        question=study.question,
        stages=tuple(stages),
        hosts=_hosts(study, stages),
        total_runs=sum(stage.cost.runs for stage in stages),
        total_wall_seconds=sum(stage.cost.wall_seconds for stage in stages),
        jobs=jobs,
    )


def _screen_outline(study: Study, trainer: Trainer, stage: Stage, plan: Plan, jobs: int) -> OutlineStage:
    first: dict[Values, str] = {}
    rows = []
    for condition in plan.conditions:
        effective = trainer.resolve(condition.recipe).effective
        rows.append(
            OutlineCondition(
                label=condition.label,
                levels=condition.levels,
                natural=natural_levels(study.factors, condition.levels),
                derived=condition.derived,
                same_as=first.get(effective),
            )
        )
        first.setdefault(effective, condition.label)
    return OutlineStage(
        name=stage.name,
        kind=stage.kind,
        budgets=tuple(budget.label() for budget in stage.budgets),
        seeds=stage.seeds,
        reruns=stage.reruns,
        host=study.host_of(stage),
        design=plan.design,
        conditions=tuple(rows),
        trunks=_trunks(plan),
        num_conditions=len(rows),
        cost=cost_of(study, trainer, plan.runs, jobs=jobs),
        is_upper=False,
        notes=(*plan.notes, *_fixed_by_verdict(stage)),
    )


def _fixed_by_verdict(stage: Stage) -> tuple[str, ...]:
    by = {"better": f"the verdicts of {stage.after}", "best": f"the best condition of {stage.after}"}
    letters = {level: [letter for letter, held in stage.fix.items() if held == level] for level in by}
    return tuple(
        f"where {', '.join(own)} really stands is decided by {by[level]}" for level, own in letters.items() if own
    )


def _hosts(study: Study, stages: Sequence[OutlineStage]) -> tuple[OutlineHost, ...]:
    found = []
    for label in dict.fromkeys(stage.host for stage in stages):
        own = [(study.stage(stage.name), stage) for stage in stages if stage.host == label]
        seconds = sum(_training_seconds(stage, outlined) for stage, outlined in own)
        price = next((host.hourly_cost for host in study.hosts if host.label == label), 0.0)
        found.append(
            OutlineHost(
                label=label,
                title=study.title_of(label),
                runs=sum(outlined.cost.runs for _, outlined in own),
                training_hours=seconds / 3600.0,
                cost=price * seconds / 3600.0,
            )
        )
    return tuple(found)


def _training_seconds(stage: Stage, outlined: OutlineStage) -> float:
    """The sum of limits in time; of a search over rungs all that it may spend."""
    if stage.search is not None and stage.search.cost is not None:
        return stage.search.cost.amount if stage.search.cost.kind == "seconds" else 0.0
    times = outlined.num_conditions * (1 if stage.search else len(stage.seeds)) * stage.reruns
    return sum(budget.limit.amount * times for budget in stage.budgets if budget.limit.kind == "seconds")


def _before_verdicts(stage: Stage) -> Stage:
    """The stage with factors that stand where verdicts put them at their low level: it costs about the same."""
    fix = {letter: "low" if level in ("better", "best") else level for letter, level in stage.fix.items()}
    return replace(stage, fix=Values(fix), after=None)


def _trunks(plan: Plan) -> tuple[OutlineTrunk, ...]:
    """Those of the first seed: the others are like them."""
    seed = plan.runs[0].seed if plan.runs else 0
    own = [run for run in plan.runs if run.seed == seed]
    ordered = sorted(own, key=lambda run: (run.condition, run.budget.limit.amount))
    return tuple(
        OutlineTrunk(
            label=trunk.condition,
            package=trunk.package,
            recipe=trunk.recipe.digest,
            keeps=tuple(point.label() for point in trunk.branch_points) or (trunk.budget.label(),),
            conditions=tuple(
                f"{run.condition} @ {run.budget.label()}" for run in ordered if run.starts_from == trunk.run_id
            ),
        )
        for trunk in ordered
        if trunk.is_trunk
    )


def _later_outline(study: Study, trainer: Trainer, stage: Stage, dearest: Condition, jobs: int) -> OutlineStage:
    letters = stage.centers or tuple(f.letter for f in study.factors if f.kind != "choice")
    bridges = 1 + len(letters) + (len(letters) > 1)
    number = stage.best + stage.worst if stage.kind == "confirm" else bridges
    if stage.picks:
        number = sum(1 if pick.condition else pick.best + pick.worst for pick in stage.picks)
    if stage.search is not None and stage.search.runs is not None:
        number = stage.search.runs
    copies = [replace(dearest, label=f"{stage.kind}-{i}") for i in range(number)]
    undesigned = _undesigned(study, trainer, stage, expand(study, stage, copies).runs, jobs)
    is_upper = stage.kind in ("confirm", "refine") and not stage.picks
    return replace(undesigned, num_conditions=number, is_upper=is_upper)


def _undesigned(study: Study, trainer: Trainer, stage: Stage, runs: Sequence[RunSpec], jobs: int) -> OutlineStage:
    """A stage whose conditions the results of others decide, each run one of them. runs: as dear as they can be."""
    return OutlineStage(
        name=stage.name,
        kind=stage.kind,
        budgets=tuple(budget.label() for budget in stage.budgets),
        seeds=stage.seeds,
        reruns=stage.reruns,
        host=study.host_of(stage),
        design=None,
        conditions=(),
        trunks=(),
        num_conditions=len(runs),
        cost=cost_of(study, trainer, runs, jobs=jobs),
        is_upper=False,
        notes=(),
    )


def _rungs_outline(study: Study, trainer: Trainer, stage: Stage, dearest: Condition, jobs: int) -> OutlineStage:
    search = stage.search
    assert search is not None, "it has a strategy over rungs"
    assert search.cost is not None, "a search over rungs has a cost"
    counts = expected_runs(search, stage.budgets, space_of(study, search))
    runs = [
        run
        for budget, count in zip(stage.budgets, counts, strict=True)
        for run in expand(
            study,
            replace(stage, budgets=(budget,)),
            [replace(dearest, label=f"search-{i}") for i in range(count)],
        ).runs
    ]
    rungs = ", ".join(f"{count} of {budget.label()}" for budget, count in zip(stage.budgets, counts, strict=True))
    how = "about " if search.strategy == "asha" else ""
    notes = [
        f"{search.strategy}: never more than {search.cost.label()} in all; {how}{rungs} if none fails, and at most "
        f"{most_runs(search, stage.budgets)} runs"
    ]
    if not counts[-1]:
        notes.append(f"the cost does not pay for a run of {stage.budgets[-1].label()}, which is the one that counts")
    return replace(_undesigned(study, trainer, stage, runs, jobs), notes=tuple(notes), is_expected=True)


def _baseline(study: Study, trainer: Trainer) -> Condition:
    """What a search costs that no screen comes before: about as much as the baseline."""
    derived = trainer.resolve(study.baseline).derived
    return Condition(label="baseline", role="search", levels=(), recipe=study.baseline, derived=derived)


def _seconds(study: Study, trainer: Trainer, stage: Stage, condition: Condition) -> float:
    resolved = trainer.resolve(condition.recipe)
    return sum(trainer.estimate_seconds(resolved, budget, study.constants) for budget in stage.budgets)
