"""A kept state at hand for exporting it many ways: what each way takes in bytes and costs in bits per byte."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from foldover.core import Recipe, Settings, Values
from foldover.data import ScoredRows
from foldover.export import coded, sizes
from foldover.export.container import read_artifact, write_artifact
from foldover.export.fit_cap import Fitted, fit_cap
from foldover.export.levers import ExportConfig
from foldover.export.pack import Packed, Prepared, pack_prepared, prepare
from foldover.export.restore import restore
from foldover.export.sizes import predicted_bytes
from foldover.export.tensors import Calibration, TensorInfo
from foldover.lab.artifacts import export_levers
from foldover.lm.after_training import evaluate
from foldover.lm.artifact import calibrated, infos_of, load_weights, weights_of
from foldover.lm.bench import Bench, bench_of_state
from foldover.lm.levers import LEVERS
from foldover.lm.state import find_state

PARTS = 8  # of the text, over which standard errors are taken
SMALLEST_PENALTY = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One way to store the model. num_bytes: of the written file; penalty: rise in bits per byte, with its s.e."""

    label: str
    num_bytes: int
    penalty: float
    error: float


@dataclass(slots=True, kw_only=True)
class Counts:
    """How often a whole artifact's size was predicted, and how often its symbols were coded."""

    predictions: int = 0
    codings: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """A trained model, its calibration, and its bits per byte as it is. folder: for files that are thrown away."""

    bench: Bench
    weights: Mapping[str, np.ndarray]
    infos: tuple[TensorInfo, ...]
    calibration: Calibration
    folder: Path
    losses: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def num_tokens(self) -> int:
        """Validation targets that are scored."""
        return int(self.bench.rows.is_scored.sum())

    def prepared(self, config: ExportConfig) -> Prepared:
        """The weights with what the levers declare, calibration at hand."""
        return prepare(self.weights, self.infos, config, self.calibration)

    def uniform(self, label: str, changes: Mapping[str, str], *, preset: str = "uniform") -> Point:
        """The model exported by levers as they are."""
        config = export_levers(changes, preset=preset)
        prepared = self.prepared(config)
        return self.written(label, pack_prepared(prepared, prepared.schemes), config)

    def fitted(self, label: str, prepared: Prepared, cap: int) -> tuple[Point, Fitted, Counts]:
        """The model under a cap."""
        with counted() as counts:
            found = fit_cap(prepared, predicted_bytes, cap_bytes=cap)
            point = self.written(label, found.packed, prepared.config)
        return point, found, counts

    def written(self, label: str, packed: Packed, config: ExportConfig) -> Point:
        """The file of these tensors, and what comes back from it."""
        path = self.folder / "artifact"
        codec: Any = config.export.codec
        written = write_artifact(path, {}, packed.stored, codec=codec, level=config.export.codec_level or None)
        change = self.measured(restore(read_artifact(path).tensors)) - self.losses
        path.unlink()
        print(f"{label}: {written.bytes:,} bytes, {change.mean():+.6f}", file=sys.stderr, flush=True)
        return Point(
            label=label,
            num_bytes=written.bytes,
            penalty=float(change.mean()),
            error=float(change.std(ddof=1)) / math.sqrt(len(change)),
        )

    def measured(self, weights: Mapping[str, np.ndarray]) -> np.ndarray:
        """Bits per byte of each part of the text, (parts,)."""
        bench, rows = self.bench, self.bench.rows
        load_weights(bench.model, weights)
        borders = np.array_split(np.arange(len(rows.ids)), PARTS)
        parts = [ScoredRows(ids=rows.ids[i], bytes=rows.bytes[i], is_scored=rows.is_scored[i]) for i in borders]
        return np.array([evaluate(bench.model, part, bench.device).bits_per_byte for part in parts])


def open_trained(run: Path, folder: Path, settings: Settings, *, eval_tokens: int) -> Trained:
    """The state that a run kept. eval_tokens: of its validation stream, to be scored."""
    kept = find_state(run)
    spec = replace(
        kept.spec,
        recipe=Recipe(trainer="lm", values=LEVERS.complete(kept.spec.recipe.values)),  # levers newer than the run
        constants=Values(dict(kept.spec.constants) | {"eval_tokens": eval_tokens}),
    )
    bench = bench_of_state(replace(kept, spec=spec), settings)
    found = Trained(
        bench=bench,
        weights=weights_of(bench.plain),
        infos=infos_of(bench.plain),
        calibration=calibrated(bench.plain, bench.spec, bench.data, export_levers({}).calibration, has_gradients=True),
        folder=folder,
    )
    return replace(found, losses=found.measured(found.weights))


def bytes_at(points: Sequence[Point], penalty: float) -> float | None:
    """Bytes at which a way of storing has this penalty, None outside of its points.

    Between two settings bytes go as the logarithm of the penalty: a bit fewer is four times the squared error.
    """
    ordered = sorted(points, key=lambda point: point.num_bytes)
    logs = [math.log(max(point.penalty, SMALLEST_PENALTY)) for point in ordered]
    for (small, high), (large, low) in zip(
        zip(ordered, logs, strict=True), list(zip(ordered, logs, strict=True))[1:], strict=False
    ):
        if low <= math.log(penalty) <= high:
            share = (high - math.log(penalty)) / max(high - low, 1e-12)
            return small.num_bytes + share * (large.num_bytes - small.num_bytes)
    return None


@contextmanager
def counted() -> Iterator[Counts]:
    """Counts predictions and codings of whole artifacts while it is open."""
    counts = Counts()
    predict, code = sizes.predicted_stream_bytes, coded.encode

    def predicting(*arguments: Any) -> int:
        counts.predictions += 1
        return predict(*arguments)

    def coding(*arguments: Any) -> bytes:
        counts.codings += 1
        return code(*arguments)

    sizes.predicted_stream_bytes, coded.encode = predicting, coding
    try:
        yield counts
    finally:
        sizes.predicted_stream_bytes, coded.encode = predict, code
