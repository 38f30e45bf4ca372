"""What is done with a kept state by command: exported under a cap and measured again, evaluated, scanned.

The score after the round trip is that of the file: written, opened, restored into a new model and measured by the
same function on the same rows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foldover.core import RunSpec, Settings, Values
from foldover.data import PreparedData, ScoredRows
from foldover.evaluation.evaluate import evaluate
from foldover.evaluation.levers import Evaluate
from foldover.evaluation.parts import Inputs, has_windows
from foldover.evaluation.score import Evaluation
from foldover.evaluation.scoring_model import ModuleScorer
from foldover.evaluation.stream import validation_stream
from foldover.export.allocate import FrontierPoint
from foldover.export.code_bytes import CapCheck, cap_check
from foldover.export.container import write_artifact
from foldover.export.fit_cap import fit_cap
from foldover.export.levers import ExportConfig
from foldover.export.pack import Packed, Prepared, pack_prepared, prepare
from foldover.export.quantize import TensorReport
from foldover.export.scheme import schemes_of
from foldover.export.sensitivity import Sensitivity, scan
from foldover.export.sizes import predicted_bytes
from foldover.lm.after_training import EVALUATION_TOKENS_AT_ONCE
from foldover.lm.after_training import evaluate as measure
from foldover.lm.artifact import (
    Identity,
    calibrated,
    check_data,
    header_of,
    infos_of,
    load_weights,
    model_of,
    reload,
    weights_of,
)
from foldover.lm.device import Device, open_device
from foldover.lm.inputs import eval_order, open_data, rows_to_score, training_rows
from foldover.lm.model import Gpt
from foldover.lm.state import Kept, load_state
from foldover.lm.streams import stream

FITTED_ROWS = 8  # of training text, for what an evaluation fits
SCAN_PARTS = 8  # parts of the text over which the standard error of a scan is taken


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
class _Bench:
    """A kept state at hand: its model, data and rows. plain: the same model of leaves that calibration can see."""

    spec: RunSpec
    device: Device
    data: PreparedData
    rows: ScoredRows
    model: Gpt
    plain: Gpt


def export_state(
    kept: Kept, config: ExportConfig, out: Path, settings: Settings, *, cap: int | None = None, code_bytes: int = 0
) -> Exported:
    """Write the artifact of a kept state and measure what comes back from the file.

    cap: of artifact and counted code together, decimal bytes; with one, steps and widths are chosen so that the file
    lands under it. Raises BudgetError for a cap that nothing reaches, OutsideError for weights that are not finite.
    """
    began = time.perf_counter()
    bench = _bench(kept, settings)
    before = measure(bench.model, bench.rows, bench.device).bits_per_byte
    identity = _identity(kept, bench, before)
    header = header_of(identity, config)
    prepared = _prepared(bench, config, has_gradients=cap is not None or config.grid.row_steps == "gradient")
    calibrated_at = time.perf_counter()

    def bytes_of(stored: Sequence[object]) -> int:
        return predicted_bytes(stored, header)  # type: ignore[arg-type]

    frontier: tuple[FrontierPoint, ...] = ()
    if cap is None:
        packed: Packed = pack_prepared(prepared, prepared.schemes, bytes_of=bytes_of)
    else:
        fitted = fit_cap(prepared, bytes_of, cap_bytes=cap - code_bytes)
        packed, frontier = fitted.packed, fitted.frontier
    packed_at = time.perf_counter()
    written = write_artifact(
        out,
        header,
        packed.stored,
        codec=config.export.codec,  # type: ignore[arg-type]
        level=config.export.codec_level or None,
    )
    written_at = time.perf_counter()
    after = _roundtrip(out, bench)
    return Exported(
        path=str(out),
        bytes=written.bytes,
        predicted=bytes_of(packed.stored),
        sha256=written.sha256,
        codec=written.codec,
        cap=None if cap is None else cap_check(written.bytes + code_bytes, cap),
        val_bpb=before,
        roundtrip_bpb=after,
        tensors=packed.reports,
        frontier=frontier,
        seconds=Values(
            calibration=calibrated_at - began,
            packing=packed_at - calibrated_at,
            writing=written_at - packed_at,
            roundtrip=time.perf_counter() - written_at,
        ),
    )


def scan_state(kept: Kept, config: ExportConfig, settings: Settings, *, tokens: int) -> tuple[Sensitivity, ...]:
    """What rounding each tensor alone does to the bits per byte of the first so many validation targets."""
    bench = _bench(kept, settings)
    prepared = _prepared(bench, config, has_gradients=False)
    row_tokens = bench.rows.ids.shape[1] - 1
    rows = _first_rows(bench.rows, max(SCAN_PARTS, tokens // row_tokens))
    borders = np.array_split(np.arange(len(rows.ids)), SCAN_PARTS)

    def loss_of(weights: Mapping[str, np.ndarray]) -> np.ndarray:
        load_weights(bench.model, weights)
        parts = [ScoredRows(ids=rows.ids[i], bytes=rows.bytes[i], is_scored=rows.is_scored[i]) for i in borders]
        return np.array([measure(bench.model, part, bench.device).bits_per_byte for part in parts])

    return scan(prepared, loss_of, lambda stored: predicted_bytes(stored))


def evaluate_state(kept: Kept, levers: Evaluate, settings: Settings) -> Evaluation:
    """Every score of a kept state that the levers of evaluation ask for."""
    bench = _bench(kept, settings)
    return _evaluated(bench, levers)


def evaluate_artifact(path: Path, like: RunSpec, levers: Evaluate, settings: Settings) -> tuple[Identity, Evaluation]:
    """The same of an artifact: from its file and the prepared data alone. Raises ArtifactError for other data."""
    device = open_device(settings)
    found = reload(path, like=like)
    data = open_data(found.spec.recipe, found.spec.constants)
    check_data(found.identity, data)
    models = [model_of(found.spec, data, device, is_plain=is_plain) for is_plain in (False, True)]
    for model in models:
        load_weights(model, found.weights)
    bench = _Bench(
        spec=found.spec,
        device=device,
        data=data,
        rows=rows_to_score(found.spec, data),
        model=models[0],
        plain=models[1],
    )
    return found.identity, _evaluated(bench, levers)


def _bench(kept: Kept, settings: Settings) -> _Bench:
    spec, device = kept.spec, open_device(settings)
    data = open_data(spec.recipe, spec.constants)
    models = [model_of(spec, data, device, is_plain=is_plain) for is_plain in (False, True)]
    for model in models:
        load_state(model, kept.path)
    return _Bench(spec=spec, device=device, data=data, rows=rows_to_score(spec, data), model=models[0], plain=models[1])


def _identity(kept: Kept, bench: _Bench, val_bpb: float) -> Identity:
    spec = bench.spec
    return Identity(
        run_id=spec.run_id,
        recipe=spec.recipe.values,
        constants=spec.constants,
        seed=spec.seed,
        digests=bench.data.digests,
        val_bpb=val_bpb,
    )


def _prepared(bench: _Bench, config: ExportConfig, *, has_gradients: bool) -> Prepared:
    weights, infos = weights_of(bench.plain), infos_of(bench.plain)
    schemes = schemes_of(config, [(info, weights[info.name].shape) for info in infos])
    needs_text = has_gradients or any(scheme.has_gptq or scheme.awq_alpha for scheme in schemes.values())
    calibration = (
        calibrated(bench.plain, bench.spec, bench.data, config.calibration, has_gradients=has_gradients)
        if needs_text
        else None
    )
    return prepare(weights, infos, config, calibration)


def _roundtrip(path: Path, bench: _Bench) -> float:
    """Bits per byte of a new model that holds what the file restores to."""
    model = model_of(bench.spec, bench.data, bench.device)
    load_weights(model, reload(path, like=bench.spec).weights)
    return measure(model, bench.rows, bench.device).bits_per_byte


def _evaluated(bench: _Bench, levers: Evaluate) -> Evaluation:
    context = bench.spec.recipe.values.integer("model.context")
    # Additions of low rank are made where products can be seen.
    model = bench.plain if levers.adapt == "lora" else bench.model
    scorer = ModuleScorer(model, device=bench.device.device, blocks=list(model.blocks), compute=bench.device.compute)
    fitted = levers.fitted_temperature
    inputs = Inputs(
        rows=bench.rows,
        context=context,
        tokens_at_once=EVALUATION_TOKENS_AT_ONCE[bench.device.device.type],
        draws=lambda name: stream(bench.spec.seed, "evaluate", name),
        stream=validation_stream(
            bench.data,
            num_tokens=bench.spec.constants.integer("eval_tokens"),
            order=eval_order(bench.spec.constants),
        )
        if has_windows(levers, context=context)
        else None,
        training_rows=training_rows(bench.spec, bench.data).take(FITTED_ROWS) if fitted else None,
    )
    return evaluate(scorer, inputs, levers)


def _first_rows(rows: ScoredRows, count: int) -> ScoredRows:
    return ScoredRows(ids=rows.ids[:count], bytes=rows.bytes[:count], is_scored=rows.is_scored[:count])
