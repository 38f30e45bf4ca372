"""The folder of a study: where everything lies, and what is written there as fact.

study.toml            the study as declared, locked by its digest
source.csv            the program that it began with, file by file
plans/NN-STAGE.json   what each stage set out to run
decisions/NN-STAGE.json   what was decided after it, and on which evidence
amendments.jsonl      changes of the study after it was declared, with time and reason; the text before each
exclusions.jsonl      runs that a person took out, with reasons
runs/                 run folders (see `rundir`)
ledger.sqlite         rows of all of it; can be rebuilt from the files above
report.html, report.json
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from foldover.core import LedgerError, Study, UserError, Verdict, from_json, to_json
from foldover.planning import Plan
from foldover.rundir import RunRoot, write_atomic


@dataclass(frozen=True, slots=True, kw_only=True)
class StageDecision:
    """Verdicts of one stage. evidence: digest of the records they rest on; version: of foldover."""

    stage: str
    verdicts: tuple[Verdict, ...]
    evidence: str
    version: str


class Workspace:
    """Paths of a study folder and the facts in it that are not runs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.study_path = root / "study.toml"
        self.ledger_path = root / "ledger.sqlite"
        self.amendments_path = root / "amendments.jsonl"
        self.exclusions_path = root / "exclusions.jsonl"
        self.report_html = root / "report.html"
        self.report_json = root / "report.json"
        self.runs = RunRoot(root)
        # What the ledger has been told by this process already: packages by name, with how many runs.
        self.entered: dict[str, int] = {}
        self._read: dict[tuple[Path, int, int], Plan] = {}

    def require(self) -> None:
        """UserError unless this is the folder of a study."""
        if not self.study_path.is_file():
            raise UserError(
                f"{self.root} is not the folder of a study", fix="Start one with `foldover run STUDY --dir DIR`."
            )

    def adopt(self, text: str, parse: Callable[[str], Study]) -> Study:
        """Make this the folder of the study in `text`; the second time, only the same study is accepted.

        The study is compared as parsed, so that comments and layout may change. Raises UserError.
        """
        study = parse(text)
        if self.study_path.exists():
            held = parse(self.study_path.read_text(encoding="utf-8"))
            if _without_source(held) != _without_source(study):
                raise UserError(
                    f"{self.root} holds the study as it was declared, and the file given now says something else",
                    fix="A declared study is not edited: use another --dir, give the file that lies there, or "
                    "say why it changes with `foldover amend STUDY --dir DIR --reason TEXT`.",
                )
            return held
        self.root.mkdir(parents=True, exist_ok=True)
        write_atomic(self.study_path, text)
        return study

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Be the only one who executes here. UserError if somebody else does."""
        lock = FileLock(self.root / ".lock", blocking=False)
        try:
            lock.acquire()
        except Timeout:
            raise UserError(
                f"another foldover is at work in {self.root}", fix="Wait for it, or look with `foldover status`."
            ) from None
        try:
            yield
        finally:
            lock.release()

    def save_plan(self, plan: Plan) -> None:
        """Write down what a stage sets out to run. A stage is planned once; a search's plan may grow until it ends."""
        held = next((path for path in self._files("plans") if self._stage_of(path) == plan.stage), None)
        if held is None:
            self._save("plans", plan.stage, to_json(plan, indent=1))
            return
        before = self._plan_in(held)
        is_search = all(condition.role == "search" for condition in before.conditions)
        if not is_search or plan.runs[: len(before.runs)] != before.runs or before.end or plan == before:
            raise LedgerError(f"stage {plan.stage} has a file in plans already", fix="Facts are not rewritten.")
        write_atomic(held, to_json(plan, indent=1) + "\n")

    def plans(self) -> tuple[Plan, ...]:
        """Plans so far, in order of the stages."""
        return tuple(self._plan_in(path) for path in self._files("plans"))

    def save_decision(self, decision: StageDecision) -> None:
        """Write down what was decided after a stage."""
        self._save("decisions", decision.stage, to_json(decision, indent=1))

    def decisions(self) -> tuple[StageDecision, ...]:
        """Decisions so far, in order of the stages."""
        return tuple(from_json(StageDecision, text) for text in self._load("decisions"))

    def _save(self, kind: str, stage: str, text: str) -> None:
        (self.root / kind).mkdir(exist_ok=True)
        paths = self._files(kind)
        if any(self._stage_of(path) == stage for path in paths):
            raise LedgerError(f"stage {stage} has a file in {kind} already", fix="Facts are not rewritten.")
        write_atomic(self.root / kind / f"{1 + len(paths):02d}-{stage}.json", text + "\n")

    def _load(self, kind: str) -> list[str]:
        return [path.read_text(encoding="utf-8") for path in self._files(kind)]

    def _files(self, kind: str) -> list[Path]:
        return sorted((self.root / kind).glob("*.json"))

    def _plan_in(self, path: Path) -> Plan:
        """A plan takes long to read, and is asked for all the time."""
        stat = path.stat()
        key = (path, stat.st_mtime_ns, stat.st_size)
        if key not in self._read:
            self._read[key] = from_json(Plan, path.read_text(encoding="utf-8"))
        return self._read[key]

    @staticmethod
    def _stage_of(path: Path) -> str:
        return path.stem.partition("-")[2]


def _without_source(study: Study) -> Study:
    return replace(study, source="")
