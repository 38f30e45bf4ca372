"""A folder to submit to openai/parameter-golf, from runs that kept their artifacts: every number in it recomputed.

What its rules ask for: code and artifact of at most 16,000,000 bytes together; README.md, submission.json, a train log
a run, the code; ten minutes of training in the track of records, whose claims need several seeds. Nothing is claimed
that was not read from the run folders or measured again from the artifacts.
"""

from __future__ import annotations

import json
import re
import shutil
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from foldover.core import FoldoverError, Settings, UserError, bind
from foldover.evaluation.levers import EVALUATE_LEVERS, EvaluateConfig
from foldover.export.code_bytes import Packing, cap_check, pack_code
from foldover.export.container import read_artifact
from foldover.lab.artifacts import evaluate_place
from foldover.lab.submission_texts import log_text, number, numbers_in_log, readme_text, script_text
from foldover.rundir import CHECKSUMS
from foldover.rundir.files import sha256_of_file, sync_folder, write_atomic
from foldover.rundir.folder import EndedRun, damage, read_ended

CAP = 16_000_000
TRACKS = ("record", "non-record")
Track = Literal["record", "non-record"]
RECORD_SEEDS, RECORD_SECONDS = 3, 600.0
ARTIFACT = "artifact.fold"
SCRIPT, README, CARD = "train_gpt.py", "README.md", "submission.json"
TEXTS = ("author", "github_id", "name", "blurb")
LONGEST_TEXT, LARGEST_CLAIMS = 4000, 1 << 20
TOLERANCE = 5e-7  # of claimed and recorded scores against measured ones: claims are printed with six to eight decimals
NOT_CHECKED = (
    "whether the score beats the best record by 0.005 nats at p < 0.01",
    "whether training and evaluation each take ten minutes on eight H100s",
    "whether the text is the challenge's own: its corpus is named in submission.json",
)
_RESERVED = re.compile(r"README\.md|submission\.json|train_seed.*\.log|artifact_seed.*\.fold")


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedResult:
    """One run. val_bpb: of the artifact by all of its recipe's evaluation; before: of the trained weights.

    seconds: of training; calibration_seconds: of calibrating the run's own export on training text, which counts too.
    """

    seed: int
    run_id: str
    val_bpb: float
    before: float
    steps: int
    seconds: float
    calibration_seconds: float
    artifact_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What was written. code_bytes: of all code files as they lie there; total_bytes: with the largest artifact."""

    folder: str
    track: Track
    val_bpb: float
    val_bpb_std: float | None
    code_bytes: int
    total_bytes: int
    results: tuple[SeedResult, ...]
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    folder: Path
    ended: EndedRun
    artifact: Path


def submit(
    places: Sequence[Path],
    out: Path,
    settings: Settings,
    *,
    track: Track = "non-record",
    claims: Path | None = None,
    code: Sequence[Path] = (),
    packing: Packing = "none",
) -> Submission:
    """Check the runs, measure their artifacts again, and write the folder; it appears whole or not at all.

    places: folders of runs of one recipe that differ in seed; claims: a JSON object of texts (author, github_id, name,
    blurb) and of numbers that must be those found; code: files that go along and count, a script that calls foldover
    if there are none. Raises UserError with every problem that was found, before anything is written.
    """
    problems: list[str] = []
    _check_out(out, problems)
    claimed = _read_claims(claims, problems)
    runs = [run for place in places if (run := _read_run(place, problems)) is not None]
    _check_together(runs, problems)
    files = _code_files(code, packing, runs, problems)
    results = [found for run in runs if (found := _measured(run, settings, problems)) is not None]
    code_bytes = sum(len(data) for data in files.values())
    for result in results:
        if not (check := cap_check(code_bytes + result.artifact_bytes, CAP)).fits:
            problems.append(
                f"seed {result.seed}: {code_bytes:,} bytes of code and an artifact of {result.artifact_bytes:,} are "
                f"{-check.headroom:,} over {CAP:,}"
            )
    if track == "record":
        problems += _record_problems(results)
    card = _card(runs, results, claimed, track, code_bytes) if results else {}
    problems += _claim_problems(claimed, card)
    if problems:
        raise _refusal(problems)
    if not code:
        packing = "none"
    written = _write(out, card, runs, results, files, packing, is_generated=not code)
    return Submission(
        folder=str(out),
        track=track,
        val_bpb=card["val_bpb"],
        val_bpb_std=card.get("val_bpb_std"),
        code_bytes=code_bytes,
        total_bytes=card["bytes_total"],
        results=tuple(results),
        files=written,
    )


def check_submission(folder: Path) -> list[str]:
    """What is wrong with a folder that `submit` wrote: files, sizes and numbers against its own logs and artifacts."""
    try:
        return _folder_problems(folder, json.loads((folder / CARD).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"{CARD} cannot be read: {type(error).__name__}: {error}"]


def _folder_problems(folder: Path, card: Mapping[str, Any]) -> list[str]:
    """The same by a card that was read. Raises ValueError, KeyError or TypeError for one that is none."""
    seeds = [str(int(seed)) for seed in card["seeds"]]
    if not seeds or any(Path(name).name != name for name in card["code"]):
        raise ValueError("no seeds, or code outside the folder")
    results = {seed: card["seed_results"][seed] for seed in seeds}
    problems = [f"{name} is missing" for name in (README, *card["code"]) if not (folder / name).is_file()]
    for seed, result in results.items():
        problems += _log_problems(folder / f"train_seed{seed}.log", seed, result)
        artifact = folder / f"artifact_seed{seed}.fold"
        if not artifact.is_file() or artifact.stat().st_size != result["artifact_bytes"]:
            problems.append(f"{artifact.name} is not of {result['artifact_bytes']:,} bytes")
        elif sha256_of_file(artifact) != result["artifact_sha256"]:
            problems.append(f"{artifact.name} was changed")
    code_bytes = sum((folder / name).stat().st_size for name in card["code"] if (folder / name).is_file())
    largest = max(result["artifact_bytes"] for result in results.values())
    if code_bytes != card["bytes_code"] or card["bytes_total"] != code_bytes + largest:
        problems.append(
            f"code and the largest artifact are {code_bytes + largest:,} bytes, not {card['bytes_total']:,}"
        )
    if card["bytes_total"] > CAP:
        problems.append(f"{card['bytes_total']:,} bytes are over {CAP:,}")
    mean = statistics.fmean(result["val_bpb"] for result in results.values())
    if abs(mean - card["val_bpb"]) > TOLERANCE:
        problems.append(f"val_bpb is {card['val_bpb']}, the mean of the seeds {mean}")
    return problems


def _check_out(out: Path, problems: list[str]) -> None:
    if out.name in ("", ".."):
        problems.append(f"{out} is a place where others lie: name a new folder")
    elif out.is_symlink() or (out.exists() and not out.is_dir()):
        problems.append(f"{out} is there and is no folder")
    elif out.is_dir() and any(out.iterdir()):
        problems.append(f"{out} is not empty: name a new folder")
    elif not out.absolute().parent.is_dir():
        problems.append(f"the folder of {out} does not exist")


def _read_claims(path: Path | None, problems: list[str]) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        if path.stat().st_size > LARGEST_CLAIMS:
            raise ValueError("it is too large")
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        problems.append(f"claims {path} cannot be read: {error}")
        return {}
    if not isinstance(found, dict):
        problems.append(f"claims {path} are no JSON object")
        return {}
    for name in TEXTS:
        text = found.get(name, "")
        if not isinstance(text, str) or len(text) > LONGEST_TEXT or not text.replace("\n", " ").isprintable():
            problems.append(f"claims: `{name}` is no text of at most {LONGEST_TEXT:,} characters")
            found[name] = ""
    return found


def _read_run(place: Path, problems: list[str]) -> _Run | None:
    inner = sorted((place / "runs").glob(f"*/{CHECKSUMS}"))
    if len(inner) == 1:  # as `foldover train` makes it
        place = inner[0].parent
    try:
        if not (place / CHECKSUMS).is_file():
            problems.append(f"{place} is no folder of a run that ended")
            return None
        ended = read_ended(place)
    except FoldoverError as error:
        problems.append(str(error))
        return None
    # `foldover export` writes beside the state of a run that is sealed already.
    found = [each for each in damage(place) if each != f"{ARTIFACT} was added"]
    problems += [f"run {place.name}: {each}" for each in found]
    if ended.outcome.status != "finished":
        problems.append(f"run {place.name} is {ended.outcome.status}, not finished")
    if ended.spec.recipe.trainer != "lm":
        problems.append(f"run {place.name} is of trainer {ended.spec.recipe.trainer!r}, which makes no artifact")
        return None
    if not (place / ARTIFACT).is_file():
        problems.append(f"run {place.name} has no {ARTIFACT}: foldover export {place} --cap BYTES")
        return None
    return _Run(folder=place, ended=ended, artifact=place / ARTIFACT)


def _check_together(runs: Sequence[_Run], problems: list[str]) -> None:
    if not runs:
        return
    first = runs[0].ended.spec
    for run in runs[1:]:
        spec = run.ended.spec
        for what in ("recipe", "budget", "constants"):
            if getattr(spec, what) != getattr(first, what):
                problems.append(f"run {run.folder.name} has another {what} than {runs[0].folder.name}")
    seeds = [run.ended.spec.seed for run in runs]
    for seed in sorted({seed for seed in seeds if seeds.count(seed) > 1}):
        problems.append(f"seed {seed} is given {seeds.count(seed)} times")


def _code_files(code: Sequence[Path], packing: Packing, runs: Sequence[_Run], problems: list[str]) -> dict[str, bytes]:
    """By name in the folder, as they are shipped."""
    if not code:
        if not runs:
            return {}
        ended = runs[0].ended
        return {SCRIPT: script_text(ended.spec, steps=round(number(ended.outcome.counters, "steps"))).encode()}
    found: dict[str, bytes] = {}
    for path in code:
        if path.is_symlink() or not path.is_file():
            problems.append(f"code {path} is no file")
            continue
        if path.name in found or _RESERVED.fullmatch(path.name):
            problems.append(f"code {path}: the name {path.name} is taken")
            continue
        try:
            data = path.read_bytes()
            data.decode("utf-8")
            found[path.name] = pack_code(data, packing) if path.suffix == ".py" else data
        except (OSError, UnicodeDecodeError, UserError) as error:
            problems.append(f"code {path} cannot be taken: {error}")
    if SCRIPT not in found:
        problems.append(f"there is no {SCRIPT} among the code")
    return found


def _measured(run: _Run, settings: Settings, problems: list[str]) -> SeedResult | None:
    """The artifact measured from its file, held to what the run recorded."""
    spec, outcome = run.ended.spec, run.ended.outcome
    levers = {name: value for name, value in spec.recipe.values.items() if name.startswith("evaluate.")}
    try:
        identity = read_artifact(run.artifact).header["identity"]
        if identity["run_id"] != spec.run_id or identity["seed"] != spec.seed:
            problems.append(f"run {run.folder.name}: its {ARTIFACT} is of run {identity['run_id']}")
            return None
        # As the run had them: in a design a lever may rest.
        found = evaluate_place(run.artifact, bind(EvaluateConfig, EVALUATE_LEVERS.complete(levers)), settings)
    except (FoldoverError, KeyError, TypeError) as error:
        problems.append(f"run {run.folder.name}: its {ARTIFACT} cannot be measured: {error}")
        return None
    val_bpb = found.responses.get("adapted_bpb")
    recorded = {"roundtrip_bpb": found.responses.get("val_bpb"), "adapted_bpb": val_bpb}
    for name, value in recorded.items():
        if outcome.artifact is None or name not in outcome.responses:
            continue
        if not isinstance(value, float) or abs(value - number(outcome.responses, name)) > TOLERANCE:
            problems.append(f"run {run.folder.name}: {name} is {value} and was recorded as {outcome.responses[name]}")
    if not isinstance(val_bpb, float) or "val_bpb" not in outcome.responses:
        problems.append(f"run {run.folder.name} has no score")
        return None
    is_self_written = spec.recipe.values.get("calibration.text") == "self"
    return SeedResult(
        seed=spec.seed,
        run_id=spec.run_id,
        val_bpb=val_bpb,
        before=number(outcome.responses, "val_bpb"),
        steps=round(number(outcome.counters, "steps")),
        seconds=number(outcome.counters, "training_seconds"),
        calibration_seconds=0.0 if is_self_written else number(outcome.counters, "calibration_seconds"),
        artifact_bytes=run.artifact.stat().st_size,
        sha256=sha256_of_file(run.artifact),
    )


def _record_problems(results: Sequence[SeedResult]) -> list[str]:
    problems = []
    if len(results) < RECORD_SEEDS:
        problems.append(f"a record needs at least {RECORD_SEEDS} seeds, here are {len(results)}")
    slow = [str(each.seed) for each in results if each.seconds + each.calibration_seconds > RECORD_SECONDS]
    if slow:
        problems.append(
            f"a record trains, calibration on training text included, for at most {RECORD_SECONDS:.0f} s; "
            f"seeds {', '.join(slow)} took longer"
        )
    return problems


def _card(
    runs: Sequence[_Run], results: Sequence[SeedResult], claimed: Mapping[str, Any], track: Track, code_bytes: int
) -> dict[str, Any]:
    """The content of submission.json, but for the names of the code."""
    outcome = runs[0].ended.outcome
    scores = [result.val_bpb for result in results]
    card: dict[str, Any] = {name: claimed.get(name, "") for name in TEXTS}
    card |= {
        "track": "track_10min_16mb" if track == "record" else "track_non_record_16mb",
        "date": max(run.ended.outcome.finished for run in runs),
        "val_bpb": statistics.fmean(scores),
        "pre_quant_val_bpb": statistics.fmean(result.before for result in results),
        "bytes_total": code_bytes + max(result.artifact_bytes for result in results),
        "bytes_code": code_bytes,
        "bytes_model": max(result.artifact_bytes for result in results),
        "step_stop": max(result.steps for result in results),
        "wallclock_seconds": max(result.seconds for result in results),
        "seeds": [result.seed for result in results],
        "seed_results": {
            str(result.seed): {
                "val_bpb": result.val_bpb,
                "pre_quant_val_bpb": result.before,
                "artifact_bytes": result.artifact_bytes,
                "artifact_sha256": result.sha256,
                "steps": result.steps,
                "training_seconds": result.seconds,
                "run_id": result.run_id,
            }
            for result in results
        },
        "corpus": str(runs[0].ended.spec.constants.get("corpus", "")),
        "hardware": str(outcome.machine.get("device", "")),
        "pytorch_version": str(outcome.versions.get("torch", "")),
        "foldover_version": str(outcome.versions.get("foldover", "")),
    }
    if len(scores) > 1:
        card["val_bpb_std"] = statistics.stdev(scores)
    return card


def _claim_problems(claimed: Mapping[str, Any], card: Mapping[str, Any]) -> list[str]:
    """Claims that are not what was found."""
    problems = []
    for name, value in claimed.items():
        if name in TEXTS:
            continue
        if name not in card:
            problems += [f"claims: `{name}` is nothing that can be checked here"] if card else []
        elif not _agrees(value, card[name]):
            problems.append(f"claims: `{name}` is {value!r}, and {card[name]!r} was found")
    return problems


def _agrees(claim: object, found: object) -> bool:
    if isinstance(claim, bool) or isinstance(found, str | list | dict):
        return claim == found
    if not isinstance(claim, int | float) or not isinstance(found, int | float):
        return False
    # Compared, not subtracted: a claim may be too large for a float.
    return claim == found if isinstance(found, int) else found - TOLERANCE <= claim <= found + TOLERANCE


def _log_problems(path: Path, seed: str, result: Mapping[str, Any]) -> list[str]:
    try:
        found = numbers_in_log(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return [f"{path.name} cannot be read: {error}"]
    wanted = {
        "seed": float(seed),
        "val_bpb": result["val_bpb"],
        "artifact_bytes": result["artifact_bytes"],
        "steps": result["steps"],
        "training_seconds": result["training_seconds"],
    }
    return [
        f"{path.name}: {name} is {found.get(name)}, {CARD} has {value}"
        for name, value in wanted.items()
        if found.get(name) != value
    ]


def _write(
    out: Path,
    card: dict[str, Any],
    runs: Sequence[_Run],
    results: Sequence[SeedResult],
    files: Mapping[str, bytes],
    packing: Packing,
    *,
    is_generated: bool,
) -> tuple[str, ...]:
    """The folder beside its place, checked there, then moved by one rename."""
    partial = out.absolute().with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        for name, data in files.items():
            write_atomic(partial / name, data)
        by_seed: dict[int, _Run] = {run.ended.spec.seed: run for run in runs}
        for result in results:
            run = by_seed[result.seed]
            text = log_text(run.ended, val_bpb=result.val_bpb, artifact_bytes=result.artifact_bytes)
            write_atomic(partial / f"train_seed{result.seed}.log", text)
            shutil.copyfile(run.artifact, partial / f"artifact_seed{result.seed}.fold")
        card["code"] = sorted(files)
        write_atomic(partial / CARD, json.dumps(card, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
        text = readme_text(card, runs[0].ended.spec, packing=packing, is_generated=is_generated)
        write_atomic(partial / README, text)
        if is_generated:
            write_atomic(partial / "requirements.txt", f"foldover=={card['foldover_version']}\n")
        if problems := check_submission(partial):
            raise _refusal(problems)
        if out.exists():
            out.rmdir()  # empty, or this fails
        partial.replace(out)
        sync_folder(out.absolute().parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return tuple(sorted(path.name for path in out.iterdir()))


def _refusal(problems: Sequence[str]) -> UserError:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return UserError(f"the submission cannot be made, {count}:\n" + "\n".join(f"  {each}" for each in problems))
