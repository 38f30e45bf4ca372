"""The imperative shell: check, plan, execute, collect, analyse, decide, report, verify; tables and designs in files.

The only package that joins the trainers, the ledger, the statistics and the report. Each name is loaded when it is
first used: a command that reads one table need not load the executors and the ledger.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foldover.lab.amending import amend as amend
    from foldover.lab.analysis import Analysis as Analysis
    from foldover.lab.analysis import analyse_records as analyse_records
    from foldover.lab.caps import caps_exceeded as caps_exceeded
    from foldover.lab.caps import over_cap as over_cap
    from foldover.lab.changes import Amendment as Amendment
    from foldover.lab.changes import amendments as amendments
    from foldover.lab.coding import AnalysisRequest as AnalysisRequest
    from foldover.lab.conduct import View as View
    from foldover.lab.conduct import execute_next as execute_next
    from foldover.lab.conduct import run_study as run_study
    from foldover.lab.conduct import train_once as train_once
    from foldover.lab.design_judging import judge_design as judge_design
    from foldover.lab.design_making import DesignOptions as DesignOptions
    from foldover.lab.design_making import constraint_texts as constraint_texts
    from foldover.lab.design_making import count_factors as count_factors
    from foldover.lab.design_making import make_design as make_design
    from foldover.lab.factor_files import read_factors as read_factors
    from foldover.lab.manifest import Manifest as Manifest
    from foldover.lab.manifest import PackageRow as PackageRow
    from foldover.lab.manifest import manifest as manifest
    from foldover.lab.manifest import write_manifest as write_manifest
    from foldover.lab.outline import Outline as Outline
    from foldover.lab.outline import OutlineCondition as OutlineCondition
    from foldover.lab.outline import OutlineStage as OutlineStage
    from foldover.lab.outline import OutlineTrunk as OutlineTrunk
    from foldover.lab.outline import outline as outline
    from foldover.lab.racing import RaceReport as RaceReport
    from foldover.lab.racing import RaceRequest as RaceRequest
    from foldover.lab.racing import race as race
    from foldover.lab.session import Session as Session
    from foldover.lab.session import check as check
    from foldover.lab.session import create as create
    from foldover.lab.session import open_session as open_session
    from foldover.lab.staging import cost_of as cost_of
    from foldover.lab.staging import plan_stage as plan_stage
    from foldover.lab.table_analysis import analyse_table as analyse_table
    from foldover.lab.tables import TextTable as TextTable
    from foldover.lab.tables import read_design as read_design
    from foldover.lab.tables import read_table as read_table
    from foldover.lab.tables import write_json as write_json
    from foldover.lab.tables import write_text as write_text
    from foldover.lab.verbs import StatusRow as StatusRow
    from foldover.lab.verbs import analyse as analyse
    from foldover.lab.verbs import collect as collect
    from foldover.lab.verbs import decide as decide
    from foldover.lab.verbs import execute as execute
    from foldover.lab.verbs import pending as pending
    from foldover.lab.verbs import plan_next as plan_next
    from foldover.lab.verbs import report as report
    from foldover.lab.verbs import report_document as report_document
    from foldover.lab.verbs import status as status
    from foldover.lab.verbs import verify as verify
    from foldover.lab.workspace import StageDecision as StageDecision
    from foldover.lab.workspace import Workspace as Workspace
    from foldover.lab.write_findings import write_findings as write_findings

_HOMES: Mapping[str, str] = {
    "amending": "amend",
    "analysis": "Analysis analyse_records",
    "caps": "caps_exceeded over_cap",
    "changes": "Amendment amendments",
    "coding": "AnalysisRequest",
    "conduct": "View execute_next run_study train_once",
    "design_judging": "judge_design",
    "design_making": "DesignOptions constraint_texts count_factors make_design",
    "factor_files": "read_factors",
    "manifest": "Manifest PackageRow manifest write_manifest",
    "outline": "Outline OutlineCondition OutlineStage OutlineTrunk outline",
    "racing": "RaceReport RaceRequest race",
    "session": "Session check create open_session",
    "staging": "cost_of plan_stage",
    "table_analysis": "analyse_table",
    "tables": "TextTable read_design read_table write_json write_text",
    "verbs": "StatusRow analyse collect decide execute pending plan_next report report_document status verify",
    "write_findings": "write_findings",
    "workspace": "StageDecision Workspace",
}
_HOME_OF: Mapping[str, str] = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = sorted(_HOME_OF)


def _load(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module `foldover.lab` has no attribute `{name}`")
    home = _HOME_OF[name]
    module = importlib.import_module(f"foldover.lab.{home}")
    # All names of the module at once: importing the module `outline` binds its own name here before its function.
    globals().update({each: getattr(module, each) for each in _HOMES[home].split()})
    return globals()[name]


if not TYPE_CHECKING:
    __getattr__ = _load  # a type checker that saw this would let every misspelt name pass


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
