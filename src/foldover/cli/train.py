"""`foldover train`: one recipe, one seed, one budget."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from foldover.cli.options import (
    cap_option,
    code_packing_option,
    count_code_option,
    json_option,
    machine_options,
    pairs,
    print_json,
)
from foldover.core import Budget, Limit, RecipeError, Settings, UserError
from foldover.lm.levers import RESPONSES

if TYPE_CHECKING:
    from foldover.core import Outcome, RunSpec
    from foldover.export.code_bytes import Packing

H100_BF16_FLOPS = 989.5e12  # the denominator of mfu_percent in autoresearch's summary, on every device


@click.command()
@click.option("--preset", default="micro", show_default=True, help="Lever values to start from.")
@click.option("--set", "settings", multiple=True, metavar="LEVER=VALUE", help="Change a lever; may be repeated.")
@click.option("--constant", "constants", multiple=True, metavar="NAME=VALUE", help="Change a constant of the question.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of initial weights and data order.")
@click.option("--seconds", type=float, default=None, help="Budget in seconds of training [default: 10].")
@click.option("--steps", type=int, default=None, help="Budget in steps.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("foldover-train"),
    show_default=True,
    help="Where the run folder goes.",
)
@cap_option
@count_code_option
@code_packing_option
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
@machine_options
@json_option
def train(
    preset: str,
    settings: tuple[str, ...],
    constants: tuple[str, ...],
    seed: int,
    seconds: float | None,
    steps: int | None,
    folder: Path,
    cap: int | None,
    code: tuple[Path, ...],
    code_packing: str,
    quiet: bool,
    machine: Settings,
    as_json: bool,
) -> None:
    """Train one recipe with the built-in trainer and measure it; ends with autoresearch's summary block.

    With `--set export.artifact=true` it ends with an artifact in the run folder, and its score after the round trip.
    An artifact over --cap is no result; where the recipe says so beforehand, nothing is trained (exit code 1).
    """
    from foldover.cli.watch import ProgressView
    from foldover.export.code_bytes import count_code
    from foldover.lab import train_once

    given = pairs(constants)
    if code or code_packing != "none":
        given = {**given, "code_bytes": str(count_code(code, cast("Packing", code_packing)))}
    spec = _spec(
        preset,
        pairs(settings),
        given,
        seed,
        Budget(limit=_limit(seconds, steps), grace_seconds=3600.0, artifact_bytes=cap),
    )
    _check_cap(spec)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
    root = folder / f"{stamp}-{spec.run_id}"
    with ProgressView(quiet=quiet) as view:
        found = train_once(spec, root, machine, on_progress=view.show, on_prepare=view.prepare)
    if found is None:
        return
    place, outcome = found
    if as_json:
        print_json({"folder": str(place), "spec": spec, "outcome": outcome})
    elif outcome.status == "finished":
        click.echo(f"run folder: {place}", err=True)
        click.echo("---\n" + "\n".join(f"{key + ':':<18}{text}" for key, text in summary(spec, outcome).items()))
    if outcome.status != "finished":
        failure = outcome.failure
        reason = f"{failure.kind}: {failure.message}" if failure else outcome.status
        click.echo(f"FAIL\nthe run ended as {outcome.status}: {reason}\nlog: {place / 'log.txt'}", err=True)
        raise click.exceptions.Exit(1 if outcome.status in ("diverged", "over_cap") else 3)


def summary(spec: RunSpec, outcome: Outcome) -> dict[str, str]:
    """autoresearch's summary keys in their order, and the precision it gives them."""
    counters, derived = outcome.counters, outcome.derived
    seconds = counters.number("training_seconds")
    timed = max(counters.number("step_seconds"), 1e-9)
    flops = counters.number("tokens") * derived.number("flops_per_token") / timed
    return {
        "val_bpb": f"{outcome.responses.number('val_bpb'):.6f}",
        "training_seconds": f"{seconds:.1f}",
        "total_seconds": f"{counters.number('total_seconds'):.1f}",
        "peak_vram_mb": f"{counters.number('peak_memory_bytes') / 2**20:.1f}",
        "mfu_percent": f"{100 * flops / H100_BF16_FLOPS:.2f}",
        "total_tokens_M": f"{counters.number('tokens') / 1e6:.1f}",
        "num_steps": f"{counters.integer('steps')}",
        "num_params_M": f"{derived.number('num_params') / 1e6:.1f}",
        "depth": f"{spec.recipe.values['model.depth']}",
        **{name: f"{outcome.responses.number(name):.6f}" for name in RESPONSES[1:-1] if name in outcome.responses},
        **_artifact_lines(spec, outcome),
    }


def _artifact_lines(spec: RunSpec, outcome: Outcome) -> dict[str, str]:
    """What was written, if anything was: its file, its bytes exactly, the codec, and how long calibration took."""
    artifact = outcome.artifact
    if artifact is None:
        return {}
    from foldover.lab.caps import predicted_bytes

    predicted = predicted_bytes(spec.recipe, spec.budget, spec.constants)
    lines = {
        "artifact": artifact.path,
        "artifact_bytes": f"{artifact.bytes:,} (predicted before training: {predicted:,})",
        "codec": artifact.codec,
    }
    if "calibration_seconds" in outcome.counters:
        lines["calibration"] = _calibration(spec, outcome.counters.number("calibration_seconds"))
    code_bytes = spec.constants.get("code_bytes", 0)
    return lines | ({"code_bytes": f"{code_bytes:,}"} if code_bytes else {})


def _calibration(spec: RunSpec, seconds: float) -> str:
    """What it took, and of a limit in seconds what was reserved for it, where its text was that of training."""
    values = spec.recipe.values
    if values.get("calibration.text", "train") != "train":
        return f"{seconds:.2f} s on text of its own"
    if spec.budget.limit.kind != "seconds":
        return f"{seconds:.2f} s on training text"
    reserved = values.number("schedule.reserve_seconds") if "schedule.reserve_seconds" in values else 0.0
    over = f": {seconds - reserved:.2f} s beyond the limit" if seconds > reserved else ""
    return f"{seconds:.2f} s on training text, {reserved:g} s reserved{over}"


def _spec(preset: str, settings: Mapping[str, str], constants: Mapping[str, str], seed: int, budget: Budget) -> RunSpec:
    from foldover.core import Recipe, RunSpec
    from foldover.lab.data import usual_accounting
    from foldover.trainers import get_trainer

    trainer = get_trainer("lm")
    if preset not in trainer.presets:
        raise RecipeError(f"`{preset}` is not a preset", fix=f"Known: {', '.join(trainer.presets)}.")
    levers = trainer.levers
    values = {levers.find(name).name: levers.find(name).parse(text) for name, text in settings.items()}
    recipe = Recipe(trainer="lm", values=levers.complete(values, trainer.presets[preset]))
    levers.check_effects(recipe.values)
    resolved = trainer.resolve(recipe)
    known = trainer.constants
    given = {known.find(name).name: known.find(name).parse(text) for name, text in constants.items()}
    locked = known.complete(given)
    if "accounting" not in given:
        locked = locked.with_(accounting=usual_accounting(locked.text("corpus")))
    trainer.estimate_seconds(resolved, budget, locked)  # raises for what the budget leaves no room for
    return RunSpec(
        study="",
        stage="",
        package="",
        condition=preset,
        levels=(),
        recipe=recipe,
        budget=budget,
        seed=seed,
        constants=locked,
    )


def _check_cap(spec: RunSpec) -> None:
    """End with exit code 1 if the artifact would be over its cap. Raises UserError for a cap without an artifact."""
    from foldover.lab import over_cap

    message = over_cap(spec.recipe, spec.budget, spec.constants)
    if message:
        click.echo(f"nothing was trained: {message}", err=True)
        raise click.exceptions.Exit(1)


def _limit(seconds: float | None, steps: int | None) -> Limit:
    if seconds is not None and steps is not None:
        raise UserError("a run has one budget", value=(seconds, steps), fix="Give --seconds or --steps.")
    if steps is not None:
        return Limit(kind="steps", amount=float(steps))
    return Limit(kind="seconds", amount=10.0 if seconds is None else seconds)
