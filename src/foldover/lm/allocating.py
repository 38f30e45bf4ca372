"""A kept state and a byte cap to widths and steps of every tensor: scanned, chosen, measured. Nothing is written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from foldover.core import BudgetError, Settings
from foldover.export.allocate import FrontierPoint
from foldover.export.fit_cap import fit_cap
from foldover.export.levers import ExportConfig
from foldover.export.parts import StoredTensor
from foldover.export.quantize import TensorReport
from foldover.export.restore import restore
from foldover.export.scheme import Scheme
from foldover.export.sensitivity import Sensitivity, scan
from foldover.export.sizes import predicted_bytes
from foldover.lm.bench import bench_of_state
from foldover.lm.exporting import header_for, losses_on, prepared_of, scanned_rows
from foldover.lm.state import Kept

# By which a header that lists the chosen steps may be longer than the one that lists those to begin with.
HEADER_MARGIN = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocated:
    """What every tensor is to be stored as, so that the artifact lands just under the cap.

    num_bytes: predicted; rise, error: in bits per byte of the first `tokens` validation targets with its standard
    error, None of a single part, measured with all tensors rounded; frontier: predicted rises by bytes; factor: on all
    steps at the end; levers: those that export exactly this.
    """

    run_id: str
    cap: int
    num_bytes: int
    tokens: int
    val_bpb: float
    rise: float
    error: float | None
    factor: float
    levers: ExportConfig
    schemes: dict[str, Scheme]
    tensors: tuple[TensorReport, ...]
    sensitivities: tuple[Sensitivity, ...]
    frontier: tuple[FrontierPoint, ...]


def allocate_state(kept: Kept, config: ExportConfig, settings: Settings, *, cap: int, tokens: int) -> Allocated:
    """The choice of least loss under a cap of so many decimal bytes, from what each tensor's rounding costs.

    Raises BudgetError, with the smallest size that is reached, for a cap below it.
    """
    bench = bench_of_state(kept, settings)
    prepared = prepared_of(bench, config, has_gradients=True)
    losses_of = losses_on(bench, tokens)
    before = losses_of(prepared.weights())
    sensitivities = scan(prepared, losses_of, predicted_bytes)
    header = header_for(bench, float(before.mean()), with_schemes(config, prepared.schemes))

    def bytes_of(stored: Sequence[StoredTensor]) -> int:
        return predicted_bytes(stored, header)

    try:
        fitted = fit_cap(prepared, bytes_of, cap_bytes=cap - HEADER_MARGIN, sensitivities=sensitivities)
    except BudgetError as error:
        raise BudgetError(error.what, value=cap, fix=error.fix) from None
    change = losses_of(restore(fitted.packed.stored)) - before
    return Allocated(
        run_id=bench.spec.run_id,
        cap=cap,
        num_bytes=fitted.num_bytes,
        tokens=int(scanned_rows(bench, tokens).is_scored.sum()),
        val_bpb=float(before.mean()),
        rise=float(change.mean()),
        error=float(change.std(ddof=1)) / math.sqrt(change.size) if change.size > 1 else None,
        factor=fitted.factor,
        levers=with_schemes(config, fitted.schemes),
        schemes=dict(fitted.schemes),
        tensors=fitted.packed.reports,
        sensitivities=sensitivities,
        frontier=fitted.frontier,
    )


def with_schemes(config: ExportConfig, schemes: Mapping[str, Scheme]) -> ExportConfig:
    """The levers that store each rounded tensor by its scheme, as `export.overrides` by name.

    Steps are rounded up to a millionth, so that none takes more bytes than what was fitted.
    """
    entries = []
    for name, scheme in sorted(schemes.items()):
        if scheme.is_float:
            continue
        sigmas = f":{math.ceil(scheme.sigmas * 1e6) / 1e6:.6f}" if scheme.is_scalable else ""
        entries.append(f"{name}={scheme.format}{sigmas}")
    return replace(config, export=replace(config.export, overrides=",".join(entries) or "none"))
