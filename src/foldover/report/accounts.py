"""Every run, and the sums over them: recomputed from the records, never typed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from foldover.core import Package, RunRecord, Values, digest
from foldover.report.inputs import ReportInputs
from foldover.report.reading import STATUSES

# Sums that the totals repeat over all packages.
_SUMMED = (
    "planned",
    *STATUSES,
    "pending",
    "lost_attempts",
    "excluded",
    "trained",
    "continued",
    "training_seconds",
    "total_seconds",
)


def describe_packages(inputs: ReportInputs) -> list[dict[str, object]]:
    """One row a package: what was planned, what became of it and what it cost.

    trained: runs that ended and had begun with their first step; continued: those that began with the state of another,
    whose training is not counted again.
    """
    stages = {stage.name: stage.kind for stage in inputs.study.stages}
    return [_package(package, stages.get(package.stage, ""), inputs.records) for package in inputs.packages]


def describe_totals(inputs: ReportInputs) -> dict[str, object]:
    """The sums of the packages' rows, kept apart from them."""
    rows = [_counts(package, inputs.records) for package in inputs.packages]
    sums = {name: sum(row[name] for row in rows) for name in _SUMMED}
    planned = {run for package in inputs.packages for run in package.runs}
    strays = sum(record.spec.run_id not in planned for record in inputs.records)
    return {"packages": len(rows), **sums, "attempts_outside_packages": strays}


def describe_runs(inputs: ReportInputs) -> list[dict[str, object]]:
    """One row an attempt, in order of package, condition, seed and attempt; no value unless it finished."""
    place = {package.name: i for i, package in enumerate(inputs.packages)}

    def key(record: RunRecord) -> tuple[int, str, str, int, str, int]:
        spec = record.spec
        position = place.get(spec.package, len(place))
        return (position, spec.package, spec.condition, spec.seed, spec.run_id, record.attempt)

    return [_run(record, inputs.study.response) for record in sorted(inputs.records, key=key)]


def describe_provenance(inputs: ReportInputs, schema: str) -> dict[str, object]:
    """Where the numbers come from: digests, versions, machines."""
    outcomes = [record.outcome for record in inputs.records if record.outcome.status != "lost"]
    machines = Counter((_text(o.machine.get("host")), _text(o.machine.get("device"))) for o in outcomes if o.machine)
    return {
        "schema": schema,
        "foldover": inputs.version,
        "ledger": inputs.ledger_digest,
        "study": digest(inputs.study),
        "digests": _distinct(outcome.digests for outcome in outcomes),
        "versions": _distinct(outcome.versions for outcome in outcomes),
        "machines": [
            {"host": host, "device": device, "runs": count} for (host, device), count in sorted(machines.items())
        ],
        "measured_by": dict(sorted(Counter(o.measured_by for o in outcomes if o.status == "finished").items())),
    }


def _package(package: Package, stage_kind: str, records: Sequence[RunRecord]) -> dict[str, object]:
    return {
        "name": package.name,
        "stage": package.stage,
        "stage_kind": stage_kind,
        "role": package.role,
        "budget": package.budget.label(),
        "limit": package.budget.limit,
        "seeds": package.seeds,
        **_counts(package, records),
    }


def _counts(package: Package, records: Sequence[RunRecord]) -> dict[str, float]:
    planned = set(package.runs)
    own = [record for record in records if record.spec.run_id in planned]
    last = _last_attempts(own)
    by_status = Counter(record.outcome.status for record in last)
    counts: dict[str, float] = {status: by_status[status] for status in STATUSES}  # type: ignore[index]
    return {
        "planned": len(planned),
        **counts,
        "pending": len(planned) - len(last),
        "lost_attempts": sum(record.outcome.status == "lost" for record in own),
        "excluded": sum(bool(record.exclusion) for record in last),
        "counted": sum(record.counts for record in last),
        "trained": sum(record.spec.starts_from is None for record in last),
        "continued": sum(record.spec.starts_from is not None for record in last),
        "training_seconds": sum(
            _seconds(record, "training_seconds") - _seconds(record, "inherited_seconds") for record in own
        ),
        "total_seconds": sum(_seconds(record, "total_seconds") for record in own),
    }


def _last_attempts(records: Iterable[RunRecord]) -> list[RunRecord]:
    """The attempt of each run that says what became of it; a lost one says nothing."""
    last: dict[str, RunRecord] = {}
    for record in sorted(records, key=lambda record: record.attempt):
        if record.outcome.status != "lost":
            last[record.spec.run_id] = record
    return list(last.values())


def _run(record: RunRecord, response: str) -> dict[str, object]:
    spec, outcome = record.spec, record.outcome
    responses = outcome.responses if outcome.status == "finished" else Values()
    return {
        "run_id": spec.run_id,
        "stage": spec.stage,
        "package": spec.package,
        "condition": spec.condition,
        "levels": spec.levels,
        "seed": spec.seed,
        "starts_from": spec.starts_from,
        "budget": spec.budget.label(),
        "attempt": record.attempt,
        "status": outcome.status,
        "counts": record.counts,
        "exclusion": record.exclusion,
        "value": responses.get(response),
        "responses": responses,
        "counters": outcome.counters,
        "derived": outcome.derived,
        "fired": outcome.fired,
        "measured_by": outcome.measured_by,
        "host": _text(outcome.machine.get("host")),
        "device": _text(outcome.machine.get("device")),
        "started": outcome.started,
        "finished": outcome.finished,
        "failure": outcome.failure,
    }


def _seconds(record: RunRecord, name: str) -> float:
    value = record.outcome.counters.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _distinct(many: Iterable[Values]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for values in many:
        for name, value in values.items():
            found.setdefault(name, set()).add(str(value))
    return {name: sorted(values) for name, values in sorted(found.items())}


def _text(value: object) -> str:
    return "" if value is None else str(value)
