"""A kept state to a `Diagnosis`: the model rebuilt, run over rows of its own validation stream, its weights read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from foldover.core import Settings, TrainerError, bind
from foldover.data import ScoredRows
from foldover.lm.checkpoint import read_checkpoint
from foldover.lm.device import Device, open_device
from foldover.lm.diagnostics.diagnosis import (
    BranchFigures,
    ConfusedTokens,
    Diagnosis,
    Gate,
    GateCourse,
    Logits,
    PositionFigures,
)
from foldover.lm.diagnostics.observe import (
    BRANCHES,
    Predictions,
    Seen,
    gradient_norms,
    observe,
    predictions_of,
    without_branch,
)
from foldover.lm.diagnostics.predictions import (
    accuracy,
    boundary,
    calibration,
    confusions,
    loss_by_position,
    shares,
)
from foldover.lm.diagnostics.weights import figures_of, recurring_rows
from foldover.lm.gates import FILE as GATE_LOG
from foldover.lm.gates import ROLES as GATES
from foldover.lm.gates import gate_rows
from foldover.lm.inputs import open_data, rows_to_score, training_rows
from foldover.lm.levers import TrainConfig
from foldover.lm.model import Gpt, build_model
from foldover.lm.model.parameter import role_parameters
from foldover.lm.state import STATE, Kept, load_state
from foldover.lm.tensor_file import unreadable
from foldover.lm.token_classes import token_classes
from foldover.lm.token_traits import token_kind, token_traits
from foldover.rundir import read_json_lines

KINDS = ("word start", "other letters", "digit", "punctuation", "white space", "other bytes", "special")
"""In the order of `foldover.lm.token_traits`."""
ABLATION_TOKENS = 4096
GRADIENT_ROWS = 4
DEAD_RATIO = 0.02
DEAD_BPB = 0.001
"""A branch is dead if it adds less than this share of the stream and its absence costs less than this (G29)."""


def diagnose(kept: Kept, settings: Settings, *, tokens: int) -> Diagnosis:
    """Examine a state on at most that many targets of its run's own validation rows, in fp32 on a CPU.

    Raises what the data cannot be, and TrainerError for a file that is damaged or another model's.
    """
    spec, device = kept.spec, open_device(settings)
    config = bind(TrainConfig, spec.recipe.values)
    data = open_data(spec.recipe, spec.constants)
    rows = _first(rows_to_score(spec, data), tokens)
    model = build_model(config, seed=spec.seed, device=device.device, traits=lambda: token_traits(data))
    _load(model, kept.path)
    _check_finite(model)
    cap = config.model.softcap
    said = predictions_of(model, rows.ids, device, cap=cap)
    if not np.isfinite(said.nats).all():
        raise TrainerError("the score of the state's weights is not finite: they diverged", value=kept.path.name)
    figures = [
        figures_of(name, parameter.detach().double().cpu().numpy())
        for name, parameter in role_parameters(model)
        if parameter.ndim == 2 and min(parameter.shape) > 1 and parameter.role not in ("auxiliary", *GATES)
    ]
    few = _first(rows, ABLATION_TOKENS)
    seen = observe(model, rows.ids, device)
    training = training_rows(spec, data).take(GRADIENT_ROWS)
    pieces = data.tokenizer.id_bytes
    targets = rows.ids[:, 1:]
    classes = token_classes(pieces)
    kinds = np.array([token_kind(piece) for piece in pieces])
    is_start = np.array([piece[:1] == b" " for piece in pieces])
    return Diagnosis(
        state=kept.path.name,
        run_id=spec.run_id,
        tokens=int(targets.size),
        ablated_tokens=int(few.bytes.size),
        val_bpb=_bpb(said, rows),
        loss=float(said.nats.mean()),
        positions=loss_by_position(said.nats),
        kinds=shares(said.nats, kinds[targets], KINDS),
        calibration=calibration(said.confidence, said.predicted == targets),
        accuracy=accuracy(said.predicted == targets, said.is_top5, is_start[targets]),
        boundary=boundary(said.nats, classes.sentence_end[rows.ids[:, :-1]]),
        confusions=tuple(
            ConfusedTokens(target=_text(pieces, one.target), predicted=_text(pieces, one.predicted), count=one.count)
            for one in confusions(targets, said.predicted, vocab_size=data.vocab_size)
        ),
        logits=Logits(largest=said.largest_logit, cap=cap, near_cap=said.near_cap),
        layers=tuple(
            PositionFigures(
                position=i,
                stream_rms=math.sqrt(one.squares / one.tokens),
                largest_activation=one.largest_activation,
                large_activations=one.large_activations / one.activations,
            )
            for i, one in enumerate(seen)
        ),
        branches=_branches(model, few, device, cap, seen),
        matrices=tuple(figures),
        recurring_rows=recurring_rows(figures),
        gates=gates_of(model),
        gate_courses=gate_courses(kept.folder),
        gradients=gradient_norms(model, training, device),
    )


def gates_of(model: Gpt) -> tuple[Gate, ...]:
    """Every scalar and vector that scales, mixes or gates, by name; of a matrix of them each row."""
    rows = ((name, row.double()) for name, row in gate_rows(model))
    return tuple(
        Gate(name=name, size=row.numel(), mean=float(row.mean()), low=float(row.min()), high=float(row.max()))
        for name, row in rows
    )


def gate_courses(folder: Path) -> tuple[GateCourse, ...]:
    """How the gates of a run moved, from its folder; none where it trained none. TrainerError for a damaged file."""
    path = folder / GATE_LOG
    try:
        points = read_json_lines(path)
        progress = tuple(point["progress"] for point in points)
        names = points[0]["means"] if points else ()
        return tuple(
            GateCourse(name=name, progress=progress, means=tuple(point["means"][name] for point in points))
            for name in names
        )
    except (ValueError, KeyError, TypeError) as error:
        raise unreadable(path, "record of gates", error) from error


def _branches(
    model: Gpt, rows: ScoredRows, device: Device, cap: float, seen: Sequence[Seen]
) -> tuple[BranchFigures, ...]:
    whole = _bpb(predictions_of(model, rows.ids, device, cap=cap), rows)
    found = []
    for position, one in enumerate(seen):
        for branch in BRANCHES:
            plan = without_branch(model.plan, position, branch)
            lost = _bpb(predictions_of(model, rows.ids, device, cap=cap, plan=plan), rows) - whole
            sums = one.branches[branch]
            contribution = sums.ratio / sums.tokens
            found.append(
                BranchFigures(
                    position=position,
                    branch=branch,
                    contribution=contribution,
                    ablation_bpb=lost,
                    is_dead=contribution < DEAD_RATIO and lost < DEAD_BPB,
                )
            )
    return tuple(found)


def _bpb(said: Predictions, rows: ScoredRows) -> float:
    return float((said.nats * rows.is_scored).sum() / (math.log(2.0) * rows.bytes.sum()))


def _first(rows: ScoredRows, tokens: int) -> ScoredRows:
    """The first rows, at least one, of at most that many targets."""
    count = max(1, tokens // rows.bytes.shape[1])
    return ScoredRows(ids=rows.ids[:count], bytes=rows.bytes[:count], is_scored=rows.is_scored[:count])


@torch.no_grad()
def _load(model: Gpt, path: Path) -> None:
    if path.name == STATE:
        load_state(model, path)
        return
    tensors = read_checkpoint(path).tensors
    for name, parameter in model.named_parameters():
        parameter.copy_(tensors[f"model/{name}"])


def _check_finite(model: Gpt) -> None:
    broken = [name for name, parameter in model.named_parameters() if not bool(parameter.isfinite().all())]
    if broken:
        raise TrainerError(
            "the state has weights that are not finite numbers: there is nothing to measure",
            value=broken,
            fix="Diagnose a checkpoint from before the divergence (--save-every).",
        )


def _text(pieces: Sequence[bytes], token: int) -> str:
    """A token as a reader sees it: its text with escapes, or its number if it is a special."""
    return repr(pieces[token].decode("utf-8", errors="backslashreplace"))[1:-1] if pieces[token] else f"<{token}>"
