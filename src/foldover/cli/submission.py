"""`foldover submission`: a folder for openai/parameter-golf, every number in it recomputed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from foldover.cli.options import code_packing_option, json_option, own_device_option, own_threads_option, print_json
from foldover.core import Settings, to_plain

if TYPE_CHECKING:
    from foldover.export.code_bytes import Packing
    from foldover.lab.submission import Submission, Track


@click.command()
@click.argument(
    "places", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, file_okay=False)
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The folder to write; new or empty.")
@click.option(
    "--track",
    type=click.Choice(("record", "non-record")),
    default="non-record",
    show_default=True,
    help="A record needs three seeds and ten minutes of training.",
)
@click.option(
    "--claims",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=None,
    help="JSON: author, github_id, name, blurb; and numbers that must be those found.",
)
@click.option(
    "--code",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    help="A file that goes along and counts, train_gpt.py among them [default: a script that calls foldover].",
)
@code_packing_option
@own_threads_option
@own_device_option
@json_option
def submission(
    places: tuple[Path, ...],
    out: Path,
    track: str,
    claims: Path | None,
    code: tuple[Path, ...],
    code_packing: str,
    threads: int,
    device: str,
    as_json: bool,
) -> None:
    """Make the folder that openai/parameter-golf takes, from RUNs of one recipe that differ in seed.

    README.md, submission.json, a train log and an artifact a run, the code. Every artifact is measured again; code
    and artifact may have 16,000,000 bytes. Nothing is written where anything is wrong, and all of it is said at once.
    """
    from foldover.lab.submission import submit

    found = submit(
        places,
        out,
        Settings(threads=threads, device=device),
        track=cast("Track", track),
        claims=claims,
        code=code,
        packing=cast("Packing", code_packing),
    )
    if as_json:
        print_json(to_plain(found))
    else:
        click.echo("\n".join(_lines(found)))


def _lines(found: Submission) -> list[str]:
    from foldover.lab.submission import CAP, NOT_CHECKED

    spread = "" if found.val_bpb_std is None else f" (standard deviation {found.val_bpb_std:.6f})"
    lines = [
        f"{found.folder}: {', '.join(found.files)}",
        f"val_bpb  {found.val_bpb:.8f}{spread}",
        f"bytes    {found.total_bytes:,} of {CAP:,}, {found.code_bytes:,} of them code",
        "",
        f"{'seed':>6} {'val_bpb':>12} {'before':>12} {'steps':>8} {'seconds':>9} {'artifact':>12}",
    ]
    for each in found.results:
        lines.append(
            f"{each.seed:>6} {each.val_bpb:>12.8f} {each.before:>12.8f} {each.steps:>8,} {each.seconds:>9.1f} "
            f"{each.artifact_bytes:>12,}"
        )
    return [*lines, "", *(f"not checked: {each}" for each in NOT_CHECKED)]
