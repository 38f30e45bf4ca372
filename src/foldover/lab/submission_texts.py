"""The texts of a submission: the train log of a run, the script that repeats it, the README."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from foldover.core import RunSpec, Scalar, Values, to_json
from foldover.evaluation.levers import EVALUATE_LEVERS
from foldover.lm.levers import LEVERS
from foldover.rundir.folder import EndedRun

_FINAL = re.compile(r"^final_([a-z_]+):(\S+)$", re.MULTILINE)


def log_text(ended: EndedRun, *, val_bpb: float, artifact_bytes: int) -> str:
    """A run's log in parameter-golf's words, one `key:value` after another; made of what its folder holds."""
    spec, outcome = ended.spec, ended.outcome
    steps = round(number(outcome.counters, "steps"))
    lines = [
        f"run_id:{spec.run_id}",
        f"seed:{spec.seed}",
        f"model_params:{outcome.derived.get('num_params', 0)}",
        f"budget:{spec.budget.limit.amount:g} {spec.budget.limit.kind}",
        f"device:{outcome.machine.get('device', '')}",
    ]
    lines += [f"{name}:{value}" for name, value in spec.recipe.values.items()]
    for point in ended.curve:
        if "train_loss" in point:
            seconds = number(point, "seconds")
            lines.append(
                f"step:{round(number(point, 'step')) + 1}/{steps} train_loss:{number(point, 'train_loss'):.4f} "
                f"train_time:{1000 * seconds:.0f}ms"
            )
    final = {
        "seed": spec.seed,
        "steps": steps,
        "training_seconds": number(outcome.counters, "training_seconds"),
        "pre_quant_val_bpb": number(outcome.responses, "val_bpb"),
        "artifact_bytes": artifact_bytes,
        "val_bpb": val_bpb,
    }
    lines += [f"final_{name}:{value!r}" for name, value in final.items()]
    return "\n".join(lines) + "\n"


def number(values: Mapping[str, Scalar], name: str) -> float:
    """The value of that name, 0 where there is no number."""
    found = values.get(name)
    return float(found) if isinstance(found, int | float) else 0.0


def numbers_in_log(text: str) -> dict[str, float]:
    """The final numbers of a log. ValueError for one that is no number or is there twice."""
    found: dict[str, float] = {}
    for name, value in _FINAL.findall(text):
        if name in found:
            raise ValueError(f"final_{name} is there twice")
        found[name] = float(value)
    return found


def evaluate_command(spec: RunSpec) -> str:
    """The command that gives an artifact's score: with the recipe's levers of evaluation that are off their default."""
    own = {name: value for name, value in spec.recipe.values.items() if name.startswith("evaluate.")}
    values = EVALUATE_LEVERS.complete(own)
    levers = [
        f" --set {name}={_text(value)}"
        for name, value in values.items()
        if EVALUATE_LEVERS.acts(name, values) and value != EVALUATE_LEVERS[name].default
    ]
    return f"foldover evaluate artifact_seedN.fold{''.join(levers)}"


def _text(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def script_text(spec: RunSpec, *, steps: int) -> str:
    """A script that trains the recipe with an installed foldover, its seed and folder given.

    steps: that the runs took, where their budget is of a kind that the command has no option for.
    """
    limit = spec.budget.limit
    kind, amount = (limit.kind, limit.amount) if limit.kind in ("steps", "seconds") else ("steps", steps)
    values = spec.recipe.values
    resting = LEVERS.without_effect(values)  # which the command refuses
    recipe = Values({name: value for name, value in values.items() if name not in resting})
    return f'''"""Train this submission: python train_gpt.py SEED FOLDER. Needs foldover (requirements.txt)."""
import json
import subprocess
import sys

RECIPE = json.loads({to_json(recipe)!r})
CONSTANTS = json.loads({to_json(spec.constants)!r})
command = [sys.executable, "-m", "foldover", "train", "--seed", sys.argv[1], "--dir", sys.argv[2], "--keep-state"]
command += ["--{kind}", "{int(amount) if kind == "steps" else repr(amount)}"]
for option, values in (("--set", RECIPE), ("--constant", CONSTANTS)):
    for name, value in values.items():
        command += [option, f"{{name}}={{str(value).lower() if isinstance(value, bool) else value}}"]
sys.exit(subprocess.run(command).returncode)
'''


def readme_text(card: Mapping[str, Any], spec: RunSpec, *, packing: str, is_generated: bool) -> str:
    """What was done and found, for a reader of the challenge. is_generated: whether the code is `script_text`."""
    rows = [
        f"| {seed} | {result['val_bpb']:.8f} | {result['pre_quant_val_bpb']:.8f} | {result['steps']:,} "
        f"| {result['training_seconds']:.1f} | {result['artifact_bytes']:,} |"
        for seed, result in card["seed_results"].items()
    ]
    spread = f" (standard deviation {card['val_bpb_std']:.6f})" if "val_bpb_std" in card else ""
    version = card["foldover_version"]
    library = (
        [
            f"The code imports foldover {version} as a library, which requirements.txt installs and which is not "
            "counted. Where an artifact was exported after its run, its header holds the levers.",
            "",
        ]
        if is_generated
        else []
    )
    recipe = [f"- `{name}` = {value}" for name, value in spec.recipe.values.items()]
    lines = [
        f"# {card['name'] or 'A foldover recipe'}",
        "",
        card["blurb"],
        "",
        f"Bits per byte of the reloaded artifact: {card['val_bpb']:.8f}{spread}.",
        "",
        "| seed | val_bpb | before quantisation | steps | training seconds | artifact bytes |",
        "|---:|---:|---:|---:|---:|---:|",
        *rows,
        "",
        f"Bytes: {card['bytes_code']:,} of code ({', '.join(card['code'])}; packed: {packing}) and at most "
        f"{card['bytes_model']:,} of artifact, {card['bytes_total']:,} of 16,000,000 together.",
        f"Trained on {card['hardware']} with PyTorch {card['pytorch_version']}; corpus `{card['corpus']}`.",
        "",
        *library,
        "Each score was measured again from its artifact's file when this folder was made; "
        f"`{evaluate_command(spec)}` repeats it, as `adapted_bpb`.",
        "",
        "## Recipe",
        "",
        *recipe,
    ]
    return "\n".join(lines) + "\n"
