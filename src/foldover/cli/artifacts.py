"""`foldover export`, `evaluate`, `sensitivity`, `inspect`: from a kept state to an artifact and its score."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
from click.core import ParameterSource

from foldover.cli.options import (
    cap_option,
    code_packing_option,
    count_code_option,
    json_option,
    own_device_option,
    own_threads_option,
    pairs,
    print_json,
)
from foldover.core import Settings, UserError, to_plain

if TYPE_CHECKING:
    from foldover.evaluation.score import Evaluation
    from foldover.export.code_bytes import Packing
    from foldover.export.inspection import Inspection
    from foldover.export.sensitivity import Mode
    from foldover.lm.exporting import Exported

_run = click.argument("place", metavar="RUN", type=click.Path(path_type=Path, exists=True))
_set = click.option("--set", "changes", multiple=True, metavar="LEVER=VALUE", help="Change a lever; may be repeated.")
_preset = click.option(
    "--preset",
    default="uniform",
    show_default=True,
    help="Levers to start from: none, baseline (int8 and zlib), public (SDClip, GPTQ, brotli), uniform.",
)


@click.command()
@_run
@_preset
@_set
@cap_option
@click.option(
    "--allocation",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=None,
    help="The levers that `foldover allocate` chose, instead of a preset.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="The file [default: artifact.fold beside the state].",
)
@count_code_option
@code_packing_option
@own_threads_option
@own_device_option
@json_option
def export(
    place: Path,
    preset: str,
    changes: tuple[str, ...],
    cap: int | None,
    allocation: Path | None,
    out: Path | None,
    code: tuple[Path, ...],
    code_packing: str,
    threads: int,
    device: str,
    as_json: bool,
) -> None:
    """Quantise and pack the state that RUN kept, read the file back, and measure again.

    With --cap widths and steps are chosen so that the file lands just under it. The score after the round trip is
    the score; a file over its cap ends with exit code 1.
    """
    from foldover.lab.allocation import read_allocation
    from foldover.lab.artifacts import export_levers, export_run

    is_preset_given = click.get_current_context().get_parameter_source("preset") is not ParameterSource.DEFAULT
    if allocation is not None and (changes or is_preset_given):
        given = "--set" if changes else "--preset"
        raise UserError(f"--allocation and {given} cannot be combined", fix="Choose levers when allocating.")
    exported = export_run(
        place,
        export_levers(pairs(changes), preset=preset) if allocation is None else read_allocation(allocation),
        Settings(threads=threads, device=device),
        out=out,
        cap=cap,
        code=code,
        packing=cast("Packing", code_packing),
    )
    if as_json:
        print_json({**_plain(exported), "penalty_bpb": exported.roundtrip_bpb - exported.val_bpb})
    else:
        click.echo("\n".join(_export_lines(exported)))
    if exported.cap is not None and not exported.cap.fits:
        click.echo(f"over the cap by {-exported.cap.headroom:,} bytes: not a result", err=True)
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("place", metavar="ARTIFACT|RUN", type=click.Path(path_type=Path, exists=True))
@_set
@click.option("--sliding", is_flag=True, help="Score each token with a long context: evaluate.mode=sliding.")
@click.option("--stride", type=click.IntRange(min=1), default=None, help="Tokens between windows; implies --sliding.")
@click.option(
    "--adapt", type=click.Choice(("sgd", "lora")), default=None, help="Learn from what has been scored, score first."
)
@own_threads_option
@own_device_option
@json_option
def evaluate(
    place: Path,
    changes: tuple[str, ...],
    sliding: bool,
    stride: int | None,
    adapt: str | None,
    threads: int,
    device: str,
    as_json: bool,
) -> None:
    """Measure an artifact, or the state that RUN kept, on the pinned validation stream; each score proves itself.

    An artifact is measured from its file and the prepared data alone.
    """
    from foldover.lab.artifacts import evaluate_levers, evaluate_place

    short = {"evaluate.mode": "sliding"} if sliding or stride else {}
    short |= {"evaluate.stride": str(stride)} if stride else {}
    short |= {"evaluate.adapt": adapt} if adapt else {}
    given = pairs(changes)
    for name in short.keys() & given.keys():
        if short[name] != given[name]:
            raise UserError(
                f"an option sets `{name}={short[name]}` and --set another", value=given[name], fix="Leave one out."
            )
    found = evaluate_place(place, evaluate_levers(short | given), Settings(threads=threads, device=device))
    if as_json:
        print_json({**_plain(found), "responses": dict(found.responses)})
    else:
        click.echo("\n".join(_score_lines(found)))


@click.command()
@_run
@_preset
@_set
@click.option(
    "--tokens", type=click.IntRange(min=1), default=16384, show_default=True, help="Validation targets to look at."
)
@click.option(
    "--mode",
    type=click.Choice(("only", "all_but")),
    default="only",
    show_default=True,
    help="Round the tensor alone, or all others too and leave it as it is.",
)
@own_threads_option
@own_device_option
@json_option
def sensitivity(
    place: Path, preset: str, changes: tuple[str, ...], tokens: int, mode: str, threads: int, device: str, as_json: bool
) -> None:
    """Which tensor of RUN's kept state costs how much round-trip loss, with its standard error, and for which bytes."""
    from foldover.lab.artifacts import export_levers, scan_run

    config = export_levers(pairs(changes), preset=preset)
    found = scan_run(place, config, Settings(threads=threads, device=device), tokens=tokens, mode=cast("Mode", mode))
    if as_json:
        print_json({"sensitivities": [to_plain(each) for each in found]})
        return
    click.echo(f"{'tensor':<40} {'rise in bpb':>12} {'s.e.':>10} {'bytes saved':>12} {'bpb a kB':>10}")
    for each in sorted(found, key=lambda each: -each.loss):
        error = "" if each.standard_error is None else f"{each.standard_error:.6f}"
        rate = "" if each.loss_per_kilobyte is None else f"{each.loss_per_kilobyte:.2e}"
        click.echo(f"{each.name:<40} {each.loss:>12.6f} {error:>10} {each.bytes_saved:>12,} {rate:>10}")


@click.command()
@click.argument("artifact", metavar="ARTIFACT", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@json_option
def inspect(artifact: Path, as_json: bool) -> None:
    """Where the bytes of ARTIFACT go: sizes by part, entropy, and the ratio to it. Opens the file; loads no torch."""
    from foldover.export.inspection import inspect_artifact

    found = inspect_artifact(artifact)
    if as_json:
        print_json(found)
    else:
        click.echo("\n".join(_inspection_lines(found)))


def _plain(content: object) -> dict[str, object]:
    return cast("dict[str, object]", to_plain(content))


def _export_lines(exported: Exported) -> list[str]:
    lines = [
        f"artifact       {exported.path}",
        f"bytes          {exported.bytes:,} (predicted {exported.predicted:,}), codec {exported.codec}",
        f"val_bpb        {exported.val_bpb:.8f}",
        f"roundtrip_bpb  {exported.roundtrip_bpb:.8f}  (+{exported.roundtrip_bpb - exported.val_bpb:.8f})",
    ]
    if exported.cap is not None:
        lines.append(
            f"cap            {exported.cap.cap:,}, used {exported.cap.total:,}, left {exported.cap.headroom:,}"
        )
    head = f"{'tensor':<40} {'stored as':<10} {'bits':>6} {'rel. MSE':>10} {'output error':>13} {'worst row':>14}"
    lines += ["", f"{head} {'floored':>8}"]
    for each in exported.tensors:
        output = "" if each.output_error is None else f"{each.output_error:.3e}"
        worst = "" if each.worst_row is None else f"{each.worst_row} x{each.worst_row_ratio:.1f}"
        lines.append(
            f"{each.name:<40} {each.format:<10} {each.bits:>6.3f} {each.relative_mse:>10.3e} {output:>13} {worst:>14} "
            f"{each.floored:>8}"
        )
    plain = [each.name for each in exported.tensors if each.gptq in ("fallback", "no Hessian")]
    return [*lines, f"rounded without GPTQ: {', '.join(plain)}"] if plain else lines


def _score_lines(found: Evaluation) -> list[str]:
    lines = []
    for each in found.measured:
        error = "" if each.score.standard_error is None else f" (s.e. {each.score.standard_error:.6f})"
        notes = f"  {'; '.join(each.notes)}" if each.notes else ""
        lines.append(f"{each.name:<14} {each.score.bits_per_byte:.8f}{error}{notes}")
    lines += [f"not kept: {each.name} {each.score.bits_per_byte:.8f}" for each in found.rejected]
    return [*lines, *found.notes]


def _inspection_lines(found: Inspection) -> list[str]:
    lines = [f"{found.bytes:,} bytes; header {found.header:,}, tables {found.tables:,.0f}, ratio {found.ratio:.4f}", ""]
    lines.append(f"{'part':<48} {'kind':<6} {'codec':<7} {'numbers':>10} {'bytes':>10} {'bits':>6} {'to entropy':>10}")
    for part in found.parts:
        name = f"{part.tensor}/{part.part}"
        lines.append(
            f"{name:<48} {part.kind:<6} {part.codec:<7} {part.count:>10,} {part.stored:>10,.0f} {part.bits:>6.3f} "
            f"{part.ratio:>10.4f}"
        )
    return lines
