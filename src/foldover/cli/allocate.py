"""`foldover allocate`: what every tensor of a kept state is to be stored as under a cap."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from foldover.cli.options import json_option, own_device_option, own_threads_option, pairs, print_json
from foldover.core import Settings, to_plain

if TYPE_CHECKING:
    from foldover.lm.allocating import Allocated


@click.command()
@click.argument("place", metavar="RUN", type=click.Path(path_type=Path, exists=True))
@click.option("--cap", type=click.IntRange(min=1), required=True, help="Decimal bytes that the artifact may have.")
@click.option("--preset", default="uniform", show_default=True, help="Levers of the export to start from.")
@click.option("--set", "changes", multiple=True, metavar="LEVER=VALUE", help="Change a lever; may be repeated.")
@click.option(
    "--tokens",
    type=click.IntRange(min=1),
    default=16384,
    show_default=True,
    help="Validation targets on which each tensor's rounding is measured.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Folder for allocation.json, which `foldover export --allocation` takes, and frontier.svg.",
)
@own_threads_option
@own_device_option
@json_option
def allocate(
    place: Path,
    cap: int,
    preset: str,
    changes: tuple[str, ...],
    tokens: int,
    out: Path | None,
    threads: int,
    device: str,
    as_json: bool,
) -> None:
    """Choose a width or step for every tensor of RUN's kept state, so that the artifact lands just under a cap.

    Each tensor is rounded alone and measured; the choice is that of least loss, by sizes predicted without
    compressing anything. Prints the frontier of loss by bytes and what every tensor was given.
    """
    from foldover.lab.allocation import allocate_run
    from foldover.lab.artifacts import export_levers

    config = export_levers(pairs(changes), preset=preset)
    found = allocate_run(place, config, Settings(threads=threads, device=device), cap=cap, tokens=tokens, out=out)
    if as_json:
        print_json(to_plain(found))
    else:
        click.echo("\n".join(_lines(found, out)))


def _lines(found: Allocated, out: Path | None) -> list[str]:
    from foldover.lab.allocation import FILE, PICTURE, thinned

    error = "" if found.error is None else f" (s.e. {found.error:.6f})"
    lines = [
        f"predicted      {found.num_bytes:,} bytes under a cap of {found.cap:,}, "
        f"{100 * (1 - found.num_bytes / found.cap):.2f} % below it",
        f"rise           {found.rise:+.6f} bits per byte{error} on {found.tokens:,} targets, from {found.val_bpb:.6f}",
        "",
        f"{'frontier: bytes':>16} {'predicted rise':>15}  last change",
    ]
    for point in thinned(found.frontier):
        change = f"{point.changed[0]} to {point.changed[1]}" if point.changed else "the coarsest of all"
        lines.append(f"{point.num_bytes:>16,.0f} {point.loss:>15.6f}  {change}")
    measured = {each.name: each for each in found.sensitivities}
    lines += ["", f"{'tensor':<40} {'stored as':<10} {'step':>9} {'bits':>6} {'rise alone, declared':>21}"]
    for each in found.tensors:
        scheme = found.schemes[each.name]
        step = f"{scheme.sigmas / (scheme.levels if scheme.format != 'step' else 1):.4f}" if scheme.is_scalable else ""
        alone = f"{measured[each.name].loss:.6f}" if each.name in measured else ""
        lines.append(f"{each.name:<40} {each.format:<10} {step:>9} {each.bits:>6.3f} {alone:>21}")
    return lines if out is None else [*lines, "", f"written: {out / FILE}, {out / PICTURE}"]
