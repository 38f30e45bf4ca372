"""TOML text -> Study, with every problem found reported at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

from foldover.core import Problem, Study, StudyError
from foldover.studyfile.corners import Ground, check_all
from foldover.studyfile.factors import read_factors
from foldover.studyfile.generators import ONE_AT_A_TIME
from foldover.studyfile.picks import read_host
from foldover.studyfile.sections import (
    read_allowance,
    read_baseline,
    read_gate,
    read_head,
    read_hosts,
    read_response,
    read_trainer,
    read_values,
    with_factors,
)
from foldover.studyfile.stages import Ground as StageGround
from foldover.studyfile.stages import read_stages
from foldover.studyfile.table import Report, Table
from foldover.studyfile.trainer import TrainerOf
from foldover.studyfile.wishes import check_wishes

SECTIONS = ("study", "baseline", "constants", "budget", "factors", "decision", "hosts", "stages")


def parse(text: str, path: str, trainer_of: TrainerOf) -> Study:
    """The study that a TOML text declares.

    path: how messages name the file; trainer_of: the trainer of a name, raising UserError for an unknown one.
    Raises StudyError that lists every problem with its line.
    """
    try:
        content = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or a number of thousands of digits
        raise StudyError(path, [_syntax_problem(str(error), text)]) from None
    report = Report(text)
    study = _read(content, report, trainer_of, text)
    if report.problems or study is None:
        raise StudyError(path, report.problems)
    return study


def _read(content: Mapping[str, object], report: Report, trainer_of: TrainerOf, text: str) -> Study | None:
    root = Table(path=(), title="study file", content=content, report=report)
    root.refuse_others(SECTIONS)
    head_table = _section(root, "study")
    head = read_head(head_table, is_there="study" in root)
    trainer = read_trainer(head_table, trainer_of)
    response = read_response(head_table, trainer)
    decision = root.table("decision", title="[decision]")
    gate = read_gate(decision)
    allowance = read_allowance(root.table("budget", title="[budget]"))
    factors = read_factors(
        _section(root, "factors"), None if trainer is None else trainer.levers, may_share=_is_one_at_a_time(content)
    )
    if not factors and "factors" in root:
        root.problem("factors", "the study has no factors. Write each one as `[factors.A]`.")
    hosts = read_hosts(root.table("hosts", title="[hosts]"))
    ground = StageGround(
        factors=factors,
        allowance=allowance,
        levers=None if trainer is None else trainer.levers,
        constants=None if trainer is None else trainer.constants,
        hosts=tuple(host.label for host in hosts),
        host=head.host,
    )
    if "host" in head_table:
        read_host(head_table, ground.hosts, ground.constants)
    stages = read_stages(content, report, ground)
    if None not in stages:
        check_wishes(decision, gate, [stage for stage in stages if stage is not None], len(factors))
    if trainer is None:
        return None
    baseline = read_baseline(root.table("baseline", title="[baseline]"), str(head_table.text("trainer")), trainer)
    table = root.table("constants", title="[constants]")
    constants = read_values(table, trainer.constants, trainer.constants.defaults(), noun="constant")
    if baseline is not None:
        baseline = with_factors(baseline, trainer.levers, factors)
        check_all(Ground(trainer=trainer, baseline=baseline, report=report, response=str(response)), factors, stages)
    if report.problems or baseline is None or constants is None:
        return None
    return Study(
        name=str(head.name),
        question=str(head.question),
        response=str(response),
        direction=head.direction,
        baseline=baseline,
        factors=tuple(factor for factor in factors.values() if factor is not None),
        stages=tuple(stage for stage in stages if stage is not None),
        gate=gate,
        constants=constants,
        seed=head.seed,
        source=text,
        host=head.host,
        hosts=hosts,
    )


def _is_one_at_a_time(content: Mapping[str, object]) -> bool:
    """Whether no stage has two factors high at a time."""
    stages = content.get("stages")
    items = stages if isinstance(stages, list) else []
    return bool(items) and all(isinstance(item, dict) and item.get("design") == ONE_AT_A_TIME for item in items)


def _section(root: Table, key: str) -> Table:
    """A required table; an empty one stands in for it where it is missing."""
    root.require(key)
    table = root.table(key, title=f"[{key}]")
    return table or Table(path=(key,), title=f"[{key}]", content={}, report=root.report)


def _syntax_problem(message: str, text: str) -> Problem:
    """tomllib's message with its place at the end: `Expected '=' ... (at line 3, column 7)`."""
    match = re.search(r"\s*\(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    if match is None:
        return Problem(line=0, message=f"not TOML: {message}.")
    line = int(match.group(1)) if match.group(1) else max(1, len(text.splitlines()))
    return Problem(line=line, message=f"not TOML: {message[: match.start()]}.")
