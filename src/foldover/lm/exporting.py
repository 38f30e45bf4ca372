"""A trained model to an artifact and back: exported, perhaps under a cap, measured again; states scanned, evaluated.

The score after the round trip is that of the file: written, opened, restored into a new model and measured by the
same function on the same rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from foldover.core import BudgetError, OutsideError, RunSpec, Settings, Values
from foldover.data import ScoredRows
from foldover.evaluation.levers import Evaluate
from foldover.evaluation.score import Evaluation
from foldover.export.allocate import FrontierPoint
from foldover.export.code_bytes import CapCheck, cap_check
from foldover.export.container import Written, pack_artifact, write_packed
from foldover.export.fit_cap import Fitted, fit_cap
from foldover.export.levers import OWN_CODECS, ExportConfig
from foldover.export.pack import Packed, Prepared, pack_prepared, prepare
from foldover.export.parts import StoredTensor
from foldover.export.quantize import TensorReport
from foldover.export.scheme import Scheme, schemes_of
from foldover.export.selective import BytesOf
from foldover.export.sensitivity import Mode, Sensitivity, scan
from foldover.export.sizes import predicted_bytes
from foldover.export.tensors import Calibration, checked_weights
from foldover.lm.after_training import evaluate as measure
from foldover.lm.artifact import Identity, calibrated, header_of, infos_of, load_weights, weights_of
from foldover.lm.bench import Bench, bench_of_artifact, bench_of_state, reloaded, scores_of
from foldover.lm.state import Kept

SCAN_PARTS = 8  # parts of the text over which the standard error of a scan is taken
FITTING_ROUNDS = 4  # files of other codecs that may be made until one is just under a cap
FITTING_TOLERANCE = 0.995  # share of the cap that such a file has at least, where rounds suffice
PRUNING_ROUNDS = 8  # files that selective pruning may make until one has its size
PRUNING_TOLERANCE = 0.995  # share of its size that a pruned file has at least, where rounds suffice

FileOf = Callable[[Sequence[StoredTensor]], tuple[bytes, str]]  # of tensors: a file and its codec


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exported:
    """An artifact that was written and measured. predicted: bytes before it was written; cap: None if there is none."""

    path: str
    bytes: int
    predicted: int
    sha256: str
    codec: str
    cap: CapCheck | None
    val_bpb: float
    roundtrip_bpb: float
    tensors: tuple[TensorReport, ...]
    frontier: tuple[FrontierPoint, ...]
    seconds: Values


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WrittenArtifact:
    """A file that was written. predicted: its bytes before; frontier: empty where no cap was fitted.

    seconds: calibration (0 where nothing was calibrated), packing and writing.
    """

    file: Written
    predicted: int
    packed: Packed
    frontier: tuple[FrontierPoint, ...]
    seconds: Values


def export_state(
    kept: Kept, config: ExportConfig, out: Path, settings: Settings, *, cap: int | None = None, code_bytes: int = 0
) -> Exported:
    """Write the artifact of a kept state and measure what comes back from the file.

    cap: of artifact and counted code together, decimal bytes; with one, steps and widths are chosen so that the file
    lands under it. Raises BudgetError for a cap that nothing reaches, OutsideError for weights or scores that are not
    finite.
    """
    bench = bench_of_state(kept, settings)
    checked_weights(weights_of(bench.plain), infos_of(bench.plain))  # by name, before their score
    before = finite(measure(bench.model, bench.rows, bench.device).bits_per_byte)
    found = write_from(bench, before, config, out, cap=cap, code_bytes=code_bytes)
    began = time.perf_counter()
    after = finite(measure(reloaded(bench, out).model, bench.rows, bench.device).bits_per_byte, "after the round trip")
    return Exported(
        path=str(out),
        bytes=found.file.bytes,
        predicted=found.predicted,
        sha256=found.file.sha256,
        codec=found.file.codec,
        cap=None if cap is None else cap_check(found.file.bytes + code_bytes, cap),
        val_bpb=before,
        roundtrip_bpb=after,
        tensors=found.packed.reports,
        frontier=found.frontier,
        seconds=found.seconds.with_(roundtrip=time.perf_counter() - began),
    )


def write_from(
    bench: Bench, val_bpb: float, config: ExportConfig, out: Path, *, cap: int | None = None, code_bytes: int = 0
) -> WrittenArtifact:
    """Write the artifact of a model. cap: what file and counted code are to land under; None for as the levers say.

    Raises BudgetError for a cap that nothing reaches.
    """
    header = header_for(bench, val_bpb, config)
    began = time.perf_counter()
    calibration = _calibration(bench, config, has_gradients=cap is not None or config.grid.row_steps == "gradient")
    calibrated_at = time.perf_counter()
    prepared = prepare(weights_of(bench.plain), infos_of(bench.plain), config, calibration)

    def bytes_of(stored: Sequence[StoredTensor]) -> int:
        return predicted_bytes(stored, header)

    def file_of(stored: Sequence[StoredTensor]) -> tuple[bytes, str]:
        return pack_artifact(header, stored, codec=config.export.codec, level=config.export.level)  # type: ignore[arg-type]

    frontier: tuple[FrontierPoint, ...] = ()
    schemes = prepared.schemes
    if cap is None:
        packed = pack_prepared(prepared, schemes, bytes_of=bytes_of)
    else:
        fitted = _fitted(prepared, bytes_of, file_of, cap=cap, code_bytes=code_bytes)
        packed, frontier, schemes = fitted.packed, fitted.frontier, fitted.schemes
    packed_at = time.perf_counter()
    packed, written = _written(out, file_of, prepared, packed, schemes, bytes_of)
    return WrittenArtifact(
        file=written,
        predicted=bytes_of(packed.stored),
        packed=packed,
        frontier=frontier,
        seconds=Values(
            calibration=0.0 if calibration is None else calibrated_at - began,
            packing=packed_at - calibrated_at,
            writing=time.perf_counter() - packed_at,
        ),
    )


def _fitted(prepared: Prepared, bytes_of: BytesOf, file_of: FileOf, *, cap: int, code_bytes: int) -> Fitted:
    """`fit_cap` for a file and counted code, of which its errors speak too.

    Another codec than ours may miss predicted bytes on either side: the aim is moved by what its file misses.
    """
    own = aim = cap - code_bytes
    is_exact = prepared.config.export.codec in OWN_CODECS
    best: tuple[int, Fitted] | None = None
    found = 0
    for _ in range(FITTING_ROUNDS):
        try:
            fitted = fit_cap(prepared, bytes_of, cap_bytes=aim)
        except BudgetError as error:
            if aim != own:
                break
            raise _of_cap(error, own, cap=cap, code_bytes=code_bytes) from None
        if is_exact:
            return fitted
        found = len(file_of(fitted.packed.stored)[0])
        if found <= own and (best is None or found > best[0]):
            best = found, fitted
        if FITTING_TOLERANCE * own <= found <= own or (found <= own and fitted.num_bytes < FITTING_TOLERANCE * aim):
            break
        aim = int((1.0 + FITTING_TOLERANCE) / 2.0 * own / found * aim)
    if best is None:
        raise BudgetError(
            f"no choice of widths and steps was found whose file fits: the last has {found:,} bytes",
            value=own,
            fix="Raise the cap, or use `export.codec=ans`.",
        )
    return best[1]


def _of_cap(error: BudgetError, own: int, *, cap: int, code_bytes: int) -> BudgetError:
    """The error in terms of the cap as it was given, if it is of the cap. own: what code leaves of it."""
    if not code_bytes or error.value != own:
        return error
    return BudgetError(
        f"{error.what}, and {code_bytes:,} bytes of code count with it",
        value=cap,
        fix="Raise the cap, ship less code, train a smaller model, or allow coarser options.",
    )


def _written(
    out: Path,
    file_of: FileOf,
    prepared: Prepared,
    packed: Packed,
    schemes: Mapping[str, Scheme],
    bytes_of: BytesOf,
) -> tuple[Packed, Written]:
    """The file, and what is in it: where codes of one are zeroed for a size, so many of them as the file needs.

    Pruning aims by predicted bytes, which another codec than ours may miss on either side; the aim is moved by what the
    file misses. Raises BudgetError, and leaves no file, where none fits.
    """
    config = prepared.config
    target = config.correction.prune_to_bytes
    aim, best = target, None
    for _ in range(PRUNING_ROUNDS):
        data, codec = file_of(packed.stored)
        if not target or (len(data) <= target and (best is None or len(data) > len(best[1]))):
            best = (packed, data, codec)
        is_near = PRUNING_TOLERANCE * target <= len(data) <= target
        if not target or is_near or (len(data) <= target and not packed.ones_zeroed):
            break
        aim += target - len(data)
        changed = replace(config, correction=replace(config.correction, prune_to_bytes=max(aim, 1)))
        try:
            packed = pack_prepared(replace(prepared, config=changed), schemes, bytes_of=bytes_of)
        except BudgetError as error:
            raise BudgetError(error.what, value=target, fix=error.fix) from None
    if best is None:
        raise BudgetError(
            f"after {PRUNING_ROUNDS} rounds of pruning the artifact has {len(data):,} bytes",
            value=target,
            fix="Raise `correction.prune_to_bytes`, or use `export.codec=ans`.",
        )
    return best[0], write_packed(out, best[1], best[2])


def scan_state(
    kept: Kept, config: ExportConfig, settings: Settings, *, tokens: int, mode: Mode = "only"
) -> tuple[Sensitivity, ...]:
    """What rounding each tensor does to the bits per byte of the first so many validation targets; `mode` of `scan`."""
    bench = bench_of_state(kept, settings)
    prepared = prepared_of(bench, config, has_gradients=False)
    return scan(prepared, losses_on(bench, tokens), predicted_bytes, mode=mode)


def losses_on(bench: Bench, tokens: int) -> Callable[[Mapping[str, np.ndarray]], np.ndarray]:
    """From weights to the bits per byte of each part of the rows of a scan, (parts,)."""
    rows = scanned_rows(bench, tokens)
    borders = np.array_split(np.arange(len(rows.ids)), min(SCAN_PARTS, len(rows.ids)))
    parts = [ScoredRows(ids=rows.ids[i], bytes=rows.bytes[i], is_scored=rows.is_scored[i]) for i in borders]

    def losses_of(weights: Mapping[str, np.ndarray]) -> np.ndarray:
        load_weights(bench.model, weights)
        return np.array([finite(measure(bench.model, part, bench.device).bits_per_byte) for part in parts])

    return losses_of


def finite(bits_per_byte: float, when: str = "of these weights") -> float:
    """The score. Raises OutsideError for one that is not finite."""
    if not math.isfinite(bits_per_byte):
        raise OutsideError(f"the score {when} is not finite", fix="The model diverged: export an earlier state.")
    return bits_per_byte


def evaluate_state(kept: Kept, levers: Evaluate, settings: Settings) -> Evaluation:
    """Every score of a kept state that the levers of evaluation ask for."""
    return scores_of(bench_of_state(kept, settings), levers)


def evaluate_artifact(path: Path, like: RunSpec, levers: Evaluate, settings: Settings) -> tuple[Identity, Evaluation]:
    """The same of an artifact: from its file and the prepared data alone. Raises ArtifactError for other data."""
    identity, bench = bench_of_artifact(path, like, settings)
    return identity, scores_of(bench, levers)


def header_for(bench: Bench, val_bpb: float, config: ExportConfig) -> Mapping[str, object]:
    """The header of a model's artifact. val_bpb: before export."""
    spec = bench.spec
    identity = Identity(
        run_id=spec.run_id,
        recipe=spec.recipe.values,
        constants=spec.constants,
        seed=spec.seed,
        digests=bench.data.digests,
        val_bpb=val_bpb,
    )
    return header_of(identity, config)


def prepared_of(bench: Bench, config: ExportConfig, *, has_gradients: bool) -> Prepared:
    """Weights ready for packing, calibrated where the levers or `has_gradients` ask for it."""
    calibration = _calibration(bench, config, has_gradients=has_gradients)
    return prepare(weights_of(bench.plain), infos_of(bench.plain), config, calibration)


def _calibration(bench: Bench, config: ExportConfig, *, has_gradients: bool) -> Calibration | None:
    weights, infos = weights_of(bench.plain), infos_of(bench.plain)
    schemes = schemes_of(config, [(info, weights[info.name].shape) for info in infos])
    if not has_gradients and not any(scheme.has_gptq or scheme.awq_alpha for scheme in schemes.values()):
        return None
    return calibrated(bench.plain, bench.spec, bench.data, config.calibration, has_gradients=has_gradients)


def scanned_rows(bench: Bench, tokens: int) -> ScoredRows:
    """The first rows, of about so many validation targets, but enough for all parts of a scan if there are so many."""
    rows = bench.rows
    count = max(SCAN_PARTS, tokens // (rows.ids.shape[1] - 1))
    return ScoredRows(ids=rows.ids[:count], bytes=rows.bytes[:count], is_scored=rows.is_scored[:count])
