"""What a run does with its trained state beside measuring it: the artifact that its recipe asks for, and its scores.

`val_bpb` is that of the trained weights. Where there is an artifact, `roundtrip_bpb` is that of the file, written and
read back, and everything after it is measured on what came back too.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from foldover.core import EMPTY, Artifact, BudgetError, Failure, RunSpec, Values, bind
from foldover.evaluation.score import Evaluation
from foldover.export.code_bytes import cap_check
from foldover.lm.bench import Bench, reloaded, scores_of
from foldover.lm.exporting import write_from
from foldover.lm.levers import ARTIFACT, TrainConfig
from foldover.lm.resolve import BYTES, ROUNDTRIP, VAL
from foldover.lm.stored import export_config
from foldover.rundir import RunFolder


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What came of it. responses: those after `val_bpb`, none where there is a failure: over the cap, or not finite."""

    responses: Values = EMPTY
    artifact: Artifact | None = None
    failure: Failure | None = None
    fired: tuple[str, ...] = ()
    seconds: Values = EMPTY


def finish(bench: Bench, val_bpb: float, folder: RunFolder) -> Finished:
    """Write the artifact into the run folder, if there is to be one, read it back, and take every score.

    Over the cap, or where no choice of widths and steps reaches the size that is asked for, there is a failure
    `over_cap` and no response. Raises EvaluationError for a score that breaks a law of evaluation.
    """
    config = bind(TrainConfig, bench.spec.recipe.values)
    began = time.perf_counter()
    if not config.export.artifact:
        found = scores_of(bench, config.evaluate)
        _record(found, folder, plain=VAL)
        seconds = Values(scoring_seconds=time.perf_counter() - began)
        return Finished(responses=_later(found), fired=found.fired, seconds=seconds)
    counted = bench.spec.constants
    code_bytes = counted.integer("code_bytes") if "code_bytes" in counted else 0
    wanted = config.export.allocate_to_bytes
    try:
        written = write_from(
            bench,
            val_bpb,
            export_config(config),
            folder.path / ARTIFACT,
            cap=wanted or None,
            code_bytes=code_bytes,
        )
    except BudgetError as error:
        folder.add_event("over_cap", cap=wanted or config.correction.prune_to_bytes)
        return Finished(failure=Failure(kind="over_cap", message=str(error)))
    exported = time.perf_counter()
    calibration_seconds = written.seconds.number("calibration")
    _note_calibration(bench.spec, config, calibration_seconds, folder)
    found = scores_of(reloaded(bench, folder.path / ARTIFACT), config.evaluate)
    _record(found, folder, plain=ROUNDTRIP)
    cap = bench.spec.budget.artifact_bytes or wanted or None
    artifact = Artifact(
        path=ARTIFACT,
        bytes=written.file.bytes,
        sha256=written.file.sha256,
        codec=written.file.codec,
        roundtrip=found.responses.get(VAL),  # type: ignore[arg-type]
        cap=cap,
    )
    failure = _failure(artifact, found, folder, code_bytes=code_bytes)
    given = {ROUNDTRIP: found.responses.get(VAL), **_later(found), BYTES: artifact.bytes}
    seconds = Values(export_seconds=exported - began, scoring_seconds=time.perf_counter() - exported)
    return Finished(
        responses=EMPTY if failure else Values(given),
        artifact=artifact,
        failure=failure,
        fired=found.fired,
        seconds=seconds.with_(calibration_seconds=calibration_seconds) if calibration_seconds else seconds,
    )


def _note_calibration(spec: RunSpec, config: TrainConfig, seconds: float, folder: RunFolder) -> None:
    """Say so where training text was used beyond a limit in seconds: for longer than was reserved."""
    reserved = config.schedule.reserve_seconds
    if spec.budget.limit.kind == "seconds" and config.calibration.text == "train" and seconds > reserved:
        folder.add_event("calibration_over_reserve", seconds=seconds, reserved_seconds=reserved)


def _failure(artifact: Artifact, found: Evaluation, folder: RunFolder, *, code_bytes: int) -> Failure | None:
    if artifact.cap is not None and not (check := cap_check(artifact.bytes + code_bytes, artifact.cap)).fits:
        folder.add_event("over_cap", bytes=artifact.bytes, code_bytes=code_bytes, cap=artifact.cap)
        code = f" and {code_bytes:,} bytes of code" if code_bytes else ""
        return Failure(
            kind="over_cap",
            message=f"an artifact of {artifact.bytes:,} bytes{code} is over the cap of {check.cap:,} by "
            f"{-check.headroom:,}",
        )
    if artifact.roundtrip is None:
        return Failure(kind="diverged", message="the score after the round trip is not finite")
    return None


def _later(found: Evaluation) -> Values:
    """The scores after the plain one."""
    return Values({name: value for name, value in found.responses.items() if name != VAL})


def _record(found: Evaluation, folder: RunFolder, *, plain: str) -> None:
    """Each score with its standard error and notes among the events, those that were not kept too.

    plain: what the plain score is called here.
    """
    for is_kept, scores in ((True, found.measured), (False, found.rejected)):
        for each in scores:
            folder.add_event(
                "scored",
                name=plain if each.name == VAL else each.name,
                is_kept=is_kept,
                bits_per_byte=each.score.bits_per_byte if each.score.is_finite else None,
                standard_error=each.score.standard_error,
                notes="; ".join(each.notes),
            )
