"""What concerns a whole study beside its verbs: its amendment, and the accounting of its runs."""

from __future__ import annotations

from pathlib import Path

import click

from foldover.cli.options import dir_argument, json_option, print_json, study_argument


@click.command()
@study_argument
@click.option("--dir", "folder", required=True, type=click.Path(path_type=Path, file_okay=False), help="Its folder.")
@click.option("--reason", required=True, help="Why the study changes; recorded with the time.")
@json_option
def amend(study: Path, folder: Path, reason: str, as_json: bool) -> None:
    """Change a study after its first run, on the record.

    Only what nothing rests on yet may change: stages that are not planned, and the gate before the first decision.
    """
    from foldover.lab import amend as amend_study

    made = amend_study(study, folder, reason=reason)
    if as_json:
        print_json(made)
    else:
        click.echo(f"amended at {made.time}: {', '.join(made.changed)}")


@click.command()
@dir_argument
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Where to write [default: DIR/manifest].")
@json_option
def manifest(folder: Path, out: Path | None, as_json: bool) -> None:
    """Account for all runs: packages and totals by host, matrices, base conditions, and the program's source."""
    from foldover.lab import manifest as count_runs
    from foldover.lab import open_session, write_manifest

    session = open_session(folder)
    where = out or folder / "manifest"
    paths = write_manifest(session, where)
    found = count_runs(session)
    if as_json:
        print_json({"manifest": found, "files": [str(path) for path in paths]})
        return
    for row in found.packages:
        click.echo(f"{row.rows:5d}  {row.package} ({row.host or 'here'}, {row.regime}, {', '.join(row.budgets)})")
    by_host = ", ".join(f"{count} on {host or 'this host'}" for host, count in found.by_host.items())
    click.echo(f"{found.total:5d}  runs in {len(found.packages)} packages: {by_host}")
    click.echo(f"written to {where}")
