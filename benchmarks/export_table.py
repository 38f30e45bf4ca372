"""The artifact's bytes and round-trip loss on one trained model, beside the public ways of storing it; and the goals.

    python -m benchmarks.export_table                    trains `golf-mini` once and keeps it in the cache
    python -m benchmarks.export_table --run FOLDER       a run that kept its state, instead
    python -m benchmarks.export_table --write            and rewrites the section of docs/benchmarks.md

Ends with 1 if a goal is missed. Bytes are those of written files, tables and scales and headers included; penalties
are rises in bits per byte over the unquantised model after reading the file back, in fp32.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks import export_codec
from benchmarks.export_gptq import export_gptq
from benchmarks.export_model import MEASURED, STEPS, spec_of, trained
from benchmarks.export_points import Point, Trained, bytes_at, open_trained
from benchmarks.measure import describe_machine
from benchmarks.measure import table as comparisons
from benchmarks.section import Check, Section, markdown, write_into
from foldover.lab.artifacts import export_levers

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
TARGET = 0.0005
EVAL_TOKENS = 262144
CAP_SHARES = (0.33, 0.4, 0.5, 0.65, 0.8, 1.0, 1.25)  # of the bytes of int6 rows by our coder
INT6 = {"grid.clip": "absmax", "calibration.gptq": "false"}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export_table", description=__doc__)
    parser.add_argument("--run", type=Path, help="folder of a run that kept its state [default: train one, once]")
    parser.add_argument("--steps", type=int, default=STEPS, help="of the training")
    parser.add_argument("--tokens", type=int, default=EVAL_TOKENS, help="validation targets that are scored")
    parser.add_argument("--rounds", type=int, default=5, help="of timings of our coder")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to this file")
    parser.add_argument(
        "--write", type=Path, nargs="?", const=PAGE, metavar="PAGE", help="rewrite the section of a page"
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    run = options.run or trained(spec_of(steps=options.steps))
    with tempfile.TemporaryDirectory() as folder:
        model = open_trained(run, Path(folder), MEASURED, eval_tokens=options.tokens)
        made = section(model, options.rounds, options.tokens)
    print("\n".join(made.text()))
    if options.write:
        write_into(options.write, [made])
    if options.json:
        options.json.write_text(json.dumps(made.figures, indent=1), encoding="utf-8")
    missed = [check.name for check in made.checks if not check.is_kept]
    print(f"\nmissed: {'; '.join(missed)}" if missed else f"\nevery goal is met ({len(made.checks)})")
    return 1 if missed else 0


def section(model: Trained, rounds: int, tokens: int) -> Section:
    """All tables, and the goals as checks."""
    machine = describe_machine()
    count = sum(array.size for array in model.weights.values())
    families = public_families(model)
    own, cap_checks, cap_lines = frontier(model)
    families["ours, under a cap"] = own
    uniform_lines, uniform_checks = uniform_against_allocation(model)
    codec_lines, codec_checks = coder(model, rounds)
    gptq_rows, gptq_notes = export_gptq(3)
    lines = [
        f"`{model.bench.spec.condition}`, {count:,} parameters, "
        f"{model.bench.spec.budget.limit.amount:,.0f} steps of "
        f"{model.bench.spec.recipe.values['batch.total_batch']:,} tokens; {model.losses.mean():.6f} bits per byte on "
        f"{model.num_tokens:,} validation tokens as trained.",
        "",
        *markdown(
            ["way of storing", "bytes", "bit a parameter", "penalty, bits per byte", "s.e."],
            [_row(point, count) for points in families.values() for point in points],
        ),
        "",
        *equal_loss_lines(families),
        "",
        *cap_lines,
        "",
        *uniform_lines,
        "",
        *codec_lines,
        *comparisons(gptq_rows),
        "",
        *(f"- {note}" for note in gptq_notes),
    ]
    checks = (*codec_checks, *equal_loss(families), *cap_checks, *uniform_checks)
    figures = {
        "machine": list(machine),
        "points": {name: [asdict(point) for point in points] for name, points in families.items()},
        "checks": {check.name: [check.value, check.verdict] for check in checks},
    }
    return Section(
        name="export",
        title="The artifact",
        command=f"python -m benchmarks.export_table --rounds {rounds} --tokens {tokens}",
        machine=machine,
        lines=lines,
        checks=checks,
        figures=figures,
    )


def public_families(model: Trained) -> dict[str, list[Point]]:
    """The public ways, each at several widths or steps, from the most bytes to the fewest."""
    families: dict[str, list[Point]] = {
        "int8 rows, zlib-9": [],
        "int6 rows, brotli-11": [],
        "SDClip, GPTQ, brotli-11": [],
    }
    for bits in (8, 7):
        # The public baseline keeps matrices of up to 65,536 weights as floats, which here are half of all.
        changes = {**_width(bits), "export.keep_float_below": "2048"}
        families["int8 rows, zlib-9"].append(model.uniform(f"int{bits} rows, zlib-9", changes, preset="baseline"))
    for bits in (8, 7, 6):
        changes = {**_width(bits), **INT6, "export.codec": "brotli"}
        families["int6 rows, brotli-11"].append(
            model.uniform(f"int{bits} rows, byte shuffle, brotli-11", changes, preset="public")
        )
    for bits in (8, 7, 6):
        finer = 2.0 ** (bits - 6)
        changes = {"export.matrix_format": f"int{bits}", "grid.embedding_clip_sigmas": f"{20.0 / finer:.6f}"}
        families["SDClip, GPTQ, brotli-11"].append(
            model.uniform(f"int{bits}, SDClip, GPTQ, brotli-11; token table int8", changes, preset="public")
        )
    return families


def frontier(model: Trained) -> tuple[list[Point], list[Check], list[str]]:
    """Ours at several caps: the points, and how each cap was met."""
    config = export_levers({})
    prepared = model.prepared(config)
    size = model.uniform("int6", {**INT6, "export.codec": "ans"}, preset="public").num_bytes
    points, rows, below, most = [], [], [], 0
    for share in CAP_SHARES:
        cap = int(round(share * size, -4))
        point, fitted, counts = model.fitted(f"ours under {cap:,}", prepared, cap)
        points.append(point)
        below.append(100 * (1 - point.num_bytes / cap))
        most = max(most, counts.codings)
        off = 100 * (fitted.num_bytes / point.num_bytes - 1)
        below_it, sizes, compressed = f"{below[-1]:.3f} %", f"{counts.predictions:,}", str(counts.codings)
        rows.append([f"{cap:,}", f"{point.num_bytes:,}", below_it, f"{off:+.3f} %", sizes, compressed])
    checks = [
        Check(name="caps: furthest below one, %", value=max(below), must=0.5, is_at_most=True),
        Check(name="caps: nearest below one, % (negative: over it)", value=min(below), must=0.0),
        Check(name="caps: compressions for each", value=float(most), must=2.0, is_at_most=True),
    ]
    head = ["cap", "bytes", "below it", "prediction off by", "sizes predicted", "compressions"]
    return points[::-1], checks, markdown(head, rows)


def equal_loss(families: dict[str, list[Point]]) -> list[Check]:
    """Fewer bytes than the public ways at equal penalties, in percent."""
    checks = []
    own = families["ours, under a cap"]
    for name, must in (("int8 rows, zlib-9", 30.0), ("int6 rows, brotli-11", 3.0)):
        for penalty in (TARGET, _named(families, name).penalty):
            largest = max(families[name], key=lambda point: point.num_bytes)
            # Where the finest setting is worse than the penalty asked for, its bytes are the fewest that could do.
            peer = largest.num_bytes if penalty < largest.penalty else bytes_at(families[name], penalty)
            mine = bytes_at(own, penalty)
            fewer = 100 * (1 - mine / peer) if peer and mine else float("nan")
            checks.append(Check(name=f"fewer bytes than {name} at +{penalty:.4f}, %", value=fewer, must=must))
    return checks


def equal_loss_lines(families: dict[str, list[Point]]) -> list[str]:
    """Bytes of every way at equal penalties, between its settings."""
    penalties = [TARGET, *(_named(families, name).penalty for name in families if name != "ours, under a cap")]
    rows = []
    for penalty in penalties:
        found = [bytes_at(points, penalty) for points in families.values()]
        rows.append([f"+{penalty:.5f}", *("\u2013" if each is None else f"{each:,.0f}" for each in found)])
    return markdown(["bytes at a penalty of", *families], rows)


def uniform_against_allocation(model: Trained) -> tuple[list[str], list[Check]]:
    """Uniform int6 and an allocation of the same bytes, by the same coder."""
    rows, checks = [], []
    ways = {
        "rows by their largest weight": {**INT6, "export.codec": "ans"},
        "SDClip and GPTQ": {"export.embedding_format": "int6", "export.codec": "ans"},
    }
    for name, changes in ways.items():
        uniform = model.uniform(f"int6, {name}", {**changes, "export.embedding_format": "int6"}, preset="public")
        prepared = model.prepared(export_levers({}))
        allocated, _, _ = model.fitted(f"allocated to the bytes of int6, {name}", prepared, uniform.num_bytes)
        for point in (uniform, allocated):
            rows.append([point.label, f"{point.num_bytes:,}", f"{point.penalty:+.6f}", f"{point.error:.6f}"])
        checks.append(
            Check(
                name=f"penalty of the allocation over that of int6 ({name}) at its bytes",
                value=allocated.penalty / uniform.penalty,
                must=1.0,
                is_at_most=True,
            )
        )
    return markdown(["at equal bytes", "bytes", "penalty", "s.e."], rows), checks


def coder(model: Trained, rounds: int) -> tuple[list[str], list[Check]]:
    """Our coder beside general compressors on the same codes, by bits."""
    matrices = {name: array for name, array in sorted(model.weights.items()) if array.ndim >= 2 and array.size > 2000}
    lines: list[str] = []
    checks: list[Check] = []
    limits = {8: 1.001, 6: 1.001, 5: 1.0, 4: 1.0}
    for bits in export_codec.BITS:
        tensors = export_codec.absmax(matrices, bits)
        found = export_codec.measure(tensors, rounds)
        lines += export_codec.table(tensors, found, f"int{bits}")
        by_label = {item.label: item for item in found}
        ours, brotli, zstd = (by_label[label] for label in ("ours", "brotli-11", "zstd-22"))
        to_brotli, to_zstd = ours.bytes / brotli.bytes, ours.bytes / zstd.bytes
        faster = brotli.seconds[0] / ours.seconds[0]
        checks += [
            Check(name=f"int{bits}: bytes to brotli-11's", value=to_brotli, must=limits[bits], is_at_most=True),
            Check(name=f"int{bits}: bytes to zstd-22's", value=to_zstd, must=0.99999, is_at_most=True),
            Check(name=f"int{bits}: times brotli-11's coding speed", value=faster, must=100.0),
        ]
    return lines, checks


def _named(families: dict[str, list[Point]], name: str) -> Point:
    """The point that a family is named for."""
    bits = "int6" if name.startswith(("int6", "SDClip")) else "int8"
    return next(point for point in families[name] if point.label.startswith(bits))


def _width(bits: int) -> dict[str, str]:
    return {"export.matrix_format": f"int{bits}", "export.embedding_format": f"int{bits}"}


def _row(point: Point, count: int) -> list[str]:
    return [
        point.label,
        f"{point.num_bytes:,}",
        f"{8 * point.num_bytes / count:.3f}",
        f"{point.penalty:+.6f}",
        f"{point.error:.6f}",
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
