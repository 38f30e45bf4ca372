"""The verbs of a study."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from foldover.cli.options import (
    dir_argument,
    host_option,
    jobs_option,
    json_option,
    machine_options,
    print_json,
    scale_option,
    study_argument,
    text_width,
    with_jobs,
    workers_option,
)
from foldover.core import Settings
from foldover.core.settings import Workers

if TYPE_CHECKING:
    from foldover.lab import Session


@click.command()
@study_argument
@click.option("--dir", "folder", required=True, type=click.Path(path_type=Path, file_okay=False), help="Its folder.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
@jobs_option
@workers_option
@host_option
@scale_option
@machine_options
@json_option
def run(
    study: Path,
    folder: Path,
    quiet: bool,
    jobs: int | None,
    workers: Workers,
    hosts: tuple[str, ...],
    scale: float,
    machine: Settings,
    as_json: bool,
) -> None:
    """Do all of a study: plan, execute, collect, analyse and decide each stage, then report.

    The same command again continues where it was interrupted; runs that ended are not repeated.
    """
    from foldover.cli.watch import ProgressView
    from foldover.lab import create, run_study

    settings = replace(with_jobs(machine, jobs), workers=workers)
    session = create(study, folder, hosts=hosts, scale=scale)
    with ProgressView(quiet=quiet) as view:
        document = run_study(session, settings, view)
    _print_report(session, document, as_json)


@click.command()
@study_argument
@json_option
def check(study: Path, as_json: bool) -> None:
    """Read a study file and report all its mistakes at once, with file and line.

    Exit 1 if the artifact of a condition is predicted to be over its cap.
    """
    from foldover.core import StudyError
    from foldover.lab import caps_exceeded
    from foldover.lab import check as check_study

    try:
        found = check_study(study)
    except StudyError as error:
        if as_json:
            problems = [{"line": p.line, "message": p.message} for p in error.problems]
            print_json({"ok": False, "file": str(study), "problems": problems})
        else:
            click.echo("\n".join(error.lines()), err=True)
            count = len(error.problems)
            click.echo(f"{count} problem{'s' if count != 1 else ''}", err=True)
        raise click.exceptions.Exit(2) from None
    exceeded = caps_exceeded(found)
    if as_json:
        print_json({"ok": not exceeded, "file": str(study), "problems": [], "over_cap": list(exceeded)})
    elif not exceeded:
        click.echo(
            f"{study}: study `{found.name}`, {len(found.factors)} factors, {len(found.stages)} stages: no problem"
        )
    _refuse(exceeded)


@click.command()
@study_argument
@jobs_option
@scale_option
@json_option
def plan(study: Path, jobs: int | None, scale: float, as_json: bool) -> None:
    """Show design, aliases, resolved recipes, number of runs and estimated time, before anything is paid for.

    Exit 1 if the artifact of a condition is predicted to be over its cap.
    """
    from foldover.cli.plan_text import plan_text
    from foldover.lab import caps_exceeded, outline
    from foldover.lab import check as check_study

    settings = with_jobs(Settings(), jobs)
    checked = check_study(study, scale=scale)
    found = outline(checked, jobs=settings.jobs)
    if as_json:
        print_json(found)
    else:
        click.echo(plan_text(found))
    _refuse(caps_exceeded(checked))


def _refuse(exceeded: tuple[str, ...]) -> None:
    """Say what is over its cap and end with exit code 1, if anything is."""
    if exceeded:
        click.echo("\n".join(exceeded), err=True)
        raise click.exceptions.Exit(1)


@click.command()
@dir_argument
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
@jobs_option
@workers_option
@host_option
@machine_options
@json_option
def execute(
    folder: Path,
    quiet: bool,
    jobs: int | None,
    workers: Workers,
    hosts: tuple[str, ...],
    machine: Settings,
    as_json: bool,
) -> None:
    """Run what is planned and has not ended; plans the next stage if all that was planned is decided."""
    from foldover.cli.watch import ProgressView
    from foldover.lab import execute_next

    settings = replace(with_jobs(machine, jobs), workers=workers)
    session = _open(folder, hosts)
    with ProgressView(quiet=quiet) as view, session.workspace.hold():
        stage, ended = execute_next(session, settings, view)
    if as_json:
        print_json({"stage": stage, "ended": ended})
    else:
        click.echo(f"stage {stage}: {ended} runs ended" if stage else "every stage has been executed")


@click.command()
@dir_argument
@click.option("--rebuild", is_flag=True, help="Make the ledger anew from the run folders.")
@json_option
def collect(folder: Path, rebuild: bool, as_json: bool) -> None:
    """Bring every complete run folder into the ledger."""
    from foldover.lab import collect as collect_runs

    new = collect_runs(_open(folder), rebuild_ledger=rebuild)
    if as_json:
        print_json({"new": new, "rebuilt": rebuild})
    else:
        click.echo(f"{new} run folders {'in the new ledger' if rebuild else 'were new'}")


@click.command()
@dir_argument
@json_option
def decide(folder: Path, as_json: bool) -> None:
    """Judge every stage that has ended, by the rule the study declared, and store the decisions."""
    from foldover.lab import decide as decide_stages

    session = _open(folder)
    made = decide_stages(session)
    decisions = session.workspace.decisions()
    if as_json:
        print_json({"new": len(made), "decisions": decisions})
        return
    for decision in decisions:
        click.echo(f"stage {decision.stage}:")
        for verdict in decision.verdicts:
            click.echo(f"  {verdict.subject}: {verdict.decision} ({verdict.because})")


@click.command()
@dir_argument
@click.option(
    "--format",
    "kind",
    type=click.Choice(["html", "md", "csv", "latex", "png"]),
    default=None,
    help="Write tables with pictures in SVG, or pictures in PNG, as files for other documents; needs --out.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=None, help="Folder for these files.")
@json_option
def report(folder: Path, kind: str | None, out: Path | None, as_json: bool) -> None:
    """Write report.html and report.json from the ledger, or its tables and pictures in another format."""
    from foldover.lab import report as write_report

    if (kind is None) != (out is None):
        raise click.UsageError("--format and --out go together: what to write, and where")
    session = _open(folder)
    if kind is None or out is None:
        _print_report(session, write_report(session), as_json)
        return
    from foldover.lab.report_files import write_report_files

    files = write_report_files(session, kind, out)
    if as_json:
        print_json({"files": [str(path) for path in files]})
    else:
        click.echo(f"{len(files)} files in {out}")


@click.command()
@dir_argument
@json_option
def verify(folder: Path, as_json: bool) -> None:
    """Compare run folders, ledger, decisions and report with each other; exit 1 if anything disagrees."""
    from foldover.lab import verify as verify_study

    problems = verify_study(_open(folder))
    if as_json:
        print_json({"ok": not problems, "problems": problems})
    else:
        click.echo("\n".join(problems) if problems else "run folders, ledger, decisions and report agree")
    if problems:
        raise click.exceptions.Exit(1)


@click.command()
@dir_argument
@json_option
def status(folder: Path, as_json: bool) -> None:
    """How far the study is: runs by package and status."""
    from foldover.lab import status as study_status

    rows = study_status(_open(folder))
    if as_json:
        print_json(rows)
        return
    for row in rows:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(row.by_status.items()))
        notes = ["others start from these"] if row.role == "trunk" else []
        notes += [f"{row.continued} begin with the state of another"] if row.continued else []
        click.echo(f"{row.package}: {row.planned} planned: {counts}{''.join(f'; {note}' for note in notes)}")
    if not rows:
        click.echo("nothing is planned yet: `foldover execute DIR` or `foldover run STUDY --dir DIR`")


def _open(folder: Path, hosts: tuple[str, ...] = ()) -> Session:
    from foldover.lab import open_session

    return open_session(folder, hosts=hosts)


def _print_report(session: Session, document: dict[str, Any], as_json: bool) -> None:
    from foldover.report import render_text

    if as_json:
        print_json(document)
    else:
        click.echo(render_text(document, width=text_width()))
        click.echo(f"report: {session.workspace.report_html}")
