"""`foldover diagnose`: what a trained model is like inside."""

from __future__ import annotations

from pathlib import Path

import click

from foldover.cli.options import json_option, own_device_option, own_threads_option, print_json
from foldover.core import Settings


@click.command()
@click.argument("place", metavar="RUN", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Folder for diagnostics.json and diagnostics.html; nothing is written without it.",
)
@click.option(
    "--tokens", type=click.IntRange(min=1), default=16384, show_default=True, help="Most validation targets to look at."
)
@own_threads_option
@own_device_option
@json_option
def diagnose(place: Path, out: Path | None, tokens: int, threads: int, device: str, as_json: bool) -> None:
    """Examine the trained state of RUN: predictions, branches, matrices, gates, gradients.

    RUN is a run folder that kept its final state or a checkpoint, or the file of one.
    """
    from foldover.lab.diagnose import describe_diagnosis, diagnose_run, write_diagnosis

    document = diagnose_run(place, Settings(threads=threads, device=device), tokens=tokens)
    if as_json:
        print_json(document)
    else:
        click.echo(describe_diagnosis(document))
    if out is not None:
        for path in write_diagnosis(document, out):
            click.echo(f"wrote {path}", err=True)
