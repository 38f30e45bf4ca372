"""Artifacts by command: exported from a kept state, measured, scanned. Torch only where a model is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foldover.core import (
    Budget,
    LeverSet,
    Limit,
    OutsideError,
    Recipe,
    RecipeError,
    RunSpec,
    Scalar,
    Settings,
    UserError,
    Values,
    bind,
)
from foldover.evaluation.levers import EVALUATE_LEVERS, EvaluateConfig
from foldover.export.code_bytes import Packing, count_code
from foldover.export.levers import EXPORT_LEVERS, EXPORT_PRESETS, ExportConfig
from foldover.lm.levers import ARTIFACT

if TYPE_CHECKING:
    from foldover.evaluation.score import Evaluation
    from foldover.export.sensitivity import Mode, Sensitivity
    from foldover.lm.exporting import Exported


def export_levers(settings: Mapping[str, str], *, preset: str = "uniform") -> ExportConfig:
    """The levers of a preset with these changes, by name or alias. Raises RecipeError as study files do."""
    if preset not in EXPORT_PRESETS:
        raise RecipeError(f"`{preset}` is not a preset of the export", fix=f"Known: {', '.join(EXPORT_PRESETS)}.")
    values = _chosen(EXPORT_LEVERS, settings, EXPORT_PRESETS[preset])
    if not values["export.artifact"]:
        raise RecipeError("an export without an artifact is none", value=False, fix="Leave out `export.artifact`.")
    return bind(ExportConfig, values)


def evaluate_levers(settings: Mapping[str, str]) -> EvaluateConfig:
    """The same of evaluation."""
    return bind(EvaluateConfig, _chosen(EVALUATE_LEVERS, settings))


def export_run(
    place: Path,
    config: ExportConfig,
    settings: Settings,
    *,
    out: Path | None = None,
    cap: int | None = None,
    code: Sequence[Path] = (),
    packing: Packing = "none",
) -> Exported:
    """Export the state that was kept at a place. out: the file, beside the state if None; code: counts with it.

    cap: that of the lever `export.allocate_to_bytes` if None.
    """
    declared = config.export.allocate_to_bytes or None
    if None not in (cap, declared) and cap != declared:
        raise UserError("`export.allocate_to_bytes` and --cap name two caps", value=(declared, cap), fix="Give one.")
    cap = cap or declared
    code_bytes = count_code(code, packing) if code or packing != "none" else 0
    if code and cap is None:
        raise UserError("code is counted and there is no cap", fix="Give --cap, or leave out --count-code.")
    if out is not None and not out.parent.is_dir():
        raise UserError(
            "there is no folder for the artifact", value=str(out.parent), fix="Make it, or give another --out."
        )
    from foldover.lm.exporting import export_state
    from foldover.lm.state import find_state  # torch only from here on

    kept = find_state(place)
    if out is None and kept.spec.recipe.values.get("export.artifact"):
        raise UserError(
            f"run {kept.folder} ended with an artifact of its own, which is sealed",
            fix="Say where this one goes, with --out.",
        )
    return export_state(kept, config, out or kept.folder / ARTIFACT, settings, cap=cap, code_bytes=code_bytes)


def scan_run(
    place: Path, config: ExportConfig, settings: Settings, *, tokens: int, mode: Mode = "only"
) -> tuple[Sensitivity, ...]:
    """Which tensor costs how much, on the first so many validation targets: each rounded alone, or all but it."""
    from foldover.lm.exporting import scan_state
    from foldover.lm.state import find_state

    return scan_state(find_state(place), config, settings, tokens=tokens, mode=mode)


def evaluate_place(place: Path, levers: EvaluateConfig, settings: Settings) -> Evaluation:
    """The scores of an artifact's file, or of the state that a run kept. Raises OutsideError where there is none."""
    from foldover.lm.exporting import evaluate_artifact, evaluate_state
    from foldover.lm.state import find_state

    if place.is_file() and place.suffix != ".safetensors":
        found = evaluate_artifact(place, _anywhere(), levers.evaluate, settings)[1]
    else:
        found = evaluate_state(find_state(place), levers.evaluate, settings)
    for each in found.measured:
        if not each.score.is_finite:
            raise OutsideError(
                f"the score is not finite: {each.name}", fix="The model diverged: evaluate an earlier state."
            )
    return found


def _chosen(levers: LeverSet, settings: Mapping[str, str], base: Values | None = None) -> Values:
    """All values, with these changes to the base. Raises RecipeError for changes that cannot be, or that do nothing.

    What a preset sets is no change: with what it needs switched off, it rests.
    """
    changes: dict[str, Scalar] = {}
    problems = []
    for name, text in settings.items():
        try:
            lever = levers.find(name)
            value = lever.parse(text)
        except RecipeError as error:
            problems.append(str(error))
            continue
        if changes.setdefault(lever.name, value) != value:
            problems.append(f"`{lever.name}` is set to {changes[lever.name]!r} and to {value!r}.")
    if problems:
        raise RecipeError("\n".join(problems))
    values = levers.complete(changes, base)
    resting = set(levers.without_effect(values)) - changes.keys()
    levers.check_effects({name: value for name, value in values.items() if name not in resting})
    return values


def _anywhere() -> RunSpec:
    """A spec of no study: what an artifact is measured on is in its header."""
    return RunSpec(
        study="",
        stage="",
        package="",
        condition="artifact",
        levels=(),
        recipe=Recipe(trainer="lm", values=Values()),
        budget=Budget(limit=Limit(kind="steps", amount=1.0)),
        seed=0,
        constants=Values(),
    )
