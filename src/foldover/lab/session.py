"""An opened study: its folder, the parsed study and its trainer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from foldover.core import Problem, RunSpec, Study, StudyError, UserError
from foldover.lab.source import freeze
from foldover.lab.workspace import Workspace
from foldover.ledger import Ledger
from foldover.planning import Plan, with_follow_ups
from foldover.ports import Trainer
from foldover.studyfile import parse, scale_study
from foldover.trainers import get_trainer


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What every verb after `check` works on. also: labels of hosts that this machine stands for, where given."""

    workspace: Workspace
    declared: Study
    trainer: Trainer
    also: tuple[str, ...] = ()

    @property
    def study(self) -> Study:
        """The study as declared, with the follow-ups that its gates have asked for."""
        if not (self.declared.gate.more_seeds or self.declared.gate.fold_over):
            return self.declared
        decided = {decision.stage: decision.verdicts for decision in self.workspace.decisions()}
        return with_follow_ups(self.declared, decided)

    @property
    def hosts(self) -> frozenset[str]:
        """The labels that stand for this machine: those that were given, or what the study says is here."""
        if self.also:
            return frozenset(self.also)
        return frozenset([self.study.host, *(host.label for host in self.study.hosts if host.here)])

    @contextmanager
    def ledger(self, *, read_only: bool = False) -> Iterator[Ledger]:
        """The study's ledger, made if need be, knowing the study and all that was planned and decided."""
        path = self.workspace.ledger_path
        if read_only and path.exists():
            with Ledger.open(path, read_only=True) as ledger:
                yield ledger
            return
        with Ledger.open(path) as ledger:
            entered = self.workspace.entered
            if ledger.add_study(self.declared):
                entered.clear()  # the ledger was not there, or not any more
            for plan in self.workspace.plans():
                for package in plan.packages:
                    if entered.get(package.name) != len(package.runs):
                        ledger.add_package(package, specs_of(plan, package.name))
                        entered[package.name] = len(package.runs)
            held = {decision.stage for decision in ledger.decisions()}
            for decision in self.workspace.decisions():
                # Missing where a process died between the file and the row; one that differs is `verify`'s to tell.
                if decision.stage not in held:
                    ledger.add_decision(decision.stage, decision.verdicts, decision.evidence)
            yield ledger


def specs_of(plan: Plan, package: str) -> list[RunSpec]:
    """The runs of one package of a plan."""
    return [run for run in plan.runs if run.package == package]


def check(path: Path, *, scale: float = 1.0) -> Study:
    """The study in a file, its budgets times `scale`.

    Raises StudyError with every problem at once, UserError if it cannot be read.
    """
    study = parse_study(read_study(path), str(path))
    return study if scale == 1.0 else scale_study(study, scale)


def parse_study(text: str, path: str) -> Study:
    """The study in a text. Raises StudyError; also for a cap on artifacts where the baseline makes none."""
    study = parse(text, path, get_trainer)
    has_cap = any(budget.artifact_bytes is not None for stage in study.stages for budget in stage.budgets)
    if has_cap and "artifact_bytes" not in get_trainer(study.baseline.trainer).resolve(study.baseline).derived:
        line = next(i for i, content in enumerate(text.splitlines(), start=1) if "artifact_bytes" in content)
        message = (
            f"the baseline makes no artifact of trainer `{study.baseline.trainer}`: `artifact_bytes` would do nothing. "
            'Set `"export.artifact" = true` under [baseline.set], or leave it out.'
        )
        raise StudyError(path, [Problem(line=line, message=message)])
    return study


def read_study(path: Path) -> str:
    """The text of a study file. Raises UserError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the study file {path} cannot be read: {error}") from None


def create(path: Path, root: Path, *, hosts: Sequence[str] = (), scale: float = 1.0) -> Session:
    """Make `root` the folder of the study in a file, or go on with it there.

    hosts: what this machine stands for; scale: what every budget is multiplied by, for good.
    """
    workspace = Workspace(root)
    text = read_study(path) if scale == 1.0 else check(path, scale=scale).source
    begins = not workspace.study_path.exists()
    study = workspace.adopt(text, lambda text: parse_study(text, str(path)))
    if begins:
        freeze(root)
    return _session(workspace, study, hosts)


def open_session(root: Path, *, hosts: Sequence[str] = ()) -> Session:
    """The study that lies in a folder. hosts: what this machine stands for. Raises UserError if there is none."""
    workspace = Workspace(root)
    workspace.require()
    study = check(workspace.study_path)
    return _session(workspace, study, hosts)


def _session(workspace: Workspace, study: Study, hosts: Sequence[str]) -> Session:
    known = {study.host, *(study.host_of(stage) for stage in study.stages)}
    for label in hosts:
        if label not in known:
            raise UserError(
                f"no stage of study `{study.name}` runs on host {label!r}",
                fix=f"There are {', '.join(sorted(known - {''})) or 'none'}.",
            )
    trainer = get_trainer(study.baseline.trainer)
    return Session(workspace=workspace, declared=study, trainer=trainer, also=tuple(hosts))
