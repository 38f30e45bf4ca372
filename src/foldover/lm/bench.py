"""A trained model at hand with all that measuring it needs, wherever its weights come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from foldover.core import RunSpec, Settings, bind
from foldover.data import PreparedData, ScoredRows
from foldover.evaluation.evaluate import evaluate
from foldover.evaluation.levers import Evaluate
from foldover.evaluation.parts import Inputs, check_learned, check_phases, has_windows
from foldover.evaluation.score import Evaluation
from foldover.evaluation.scoring_model import ModuleScorer
from foldover.evaluation.stream import Stream, validation_stream
from foldover.lm.after_training import EVALUATION_TOKENS_AT_ONCE
from foldover.lm.artifact import Identity, check_data, load_weights, model_of, reload
from foldover.lm.device import Device, open_device
from foldover.lm.inputs import eval_order, open_data, rows_to_score, training_rows
from foldover.lm.levers import TrainConfig
from foldover.lm.model import Gpt
from foldover.lm.model.position import reading_rows_of
from foldover.lm.state import Kept, load_state
from foldover.lm.streams import stream

FITTED_ROWS = 8  # of training text, for what an evaluation fits


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bench:
    """A model, its data and rows. plain: the same model of leaves whose products calibration and LoRA can see."""

    spec: RunSpec
    device: Device
    data: PreparedData
    rows: ScoredRows
    model: Gpt
    plain: Gpt


def bench_of_state(kept: Kept, settings: Settings) -> Bench:
    """Of a kept state. Raises what the data cannot be, and TrainerError for a file that is damaged or another's."""
    spec, device = kept.spec, open_device(settings)
    data = open_data(spec.recipe, spec.constants)
    models = [model_of(spec, data, device, is_plain=is_plain) for is_plain in (False, True)]
    for model in models:
        load_state(model, kept.path)
    return Bench(spec=spec, device=device, data=data, rows=rows_to_score(spec, data), model=models[0], plain=models[1])


@torch.no_grad()
def bench_of_model(spec: RunSpec, device: Device, data: PreparedData, rows: ScoredRows, model: Gpt) -> Bench:
    """Of a model that has just been trained, with its weights as they are now."""
    plain = model_of(spec, data, device, is_plain=True)
    own = dict(model.named_parameters())
    for name, parameter in plain.named_parameters():
        parameter.copy_(own[name])
    return Bench(spec=spec, device=device, data=data, rows=rows, model=model, plain=plain)


def bench_of_artifact(path: Path, like: RunSpec, settings: Settings) -> tuple[Identity, Bench]:
    """Of an artifact, from its file and the prepared data alone. Raises ArtifactError for other data."""
    found = reload(path, like=like)
    data = open_data(found.spec.recipe, found.spec.constants)
    check_data(found.identity, data)
    device = open_device(settings)
    return found.identity, _restored(found.spec, device, data, rows_to_score(found.spec, data), found.weights)


def reloaded(bench: Bench, path: Path) -> Bench:
    """New models that hold what an artifact's file restores to, on the data of this bench."""
    return _restored(bench.spec, bench.device, bench.data, bench.rows, reload(path, like=bench.spec).weights)


def check_evaluable(model: Gpt, spec: RunSpec, data: PreparedData) -> None:
    """Raises RecipeError, before anything is trained, for levers of evaluation that do not fit model or text."""
    levers = bind(TrainConfig, spec.recipe.values).evaluate
    check_learned(ModuleScorer(model, device=model.embedding.device, blocks=list(model.blocks)).parameters(), levers)
    if levers.phase_documents != "none":
        check_phases(_stream_of(spec, data), levers)


def _stream_of(spec: RunSpec, data: PreparedData) -> Stream:
    return validation_stream(data, num_tokens=spec.constants.integer("eval_tokens"), order=eval_order(spec.constants))


def scores_of(bench: Bench, levers: Evaluate) -> Evaluation:
    """Every score that the levers of evaluation ask for."""
    context = bench.spec.recipe.values.integer("model.context")
    # Additions of low rank are made where products can be seen; the plain score is that of the run all the same.
    model = bench.plain if levers.adapt == "lora" else bench.model
    fitted = levers.fitted_temperature
    inputs = Inputs(
        rows=bench.rows,
        context=context,
        tokens_at_once=EVALUATION_TOKENS_AT_ONCE[bench.device.device.type],
        draws=lambda name: stream(bench.spec.seed, "evaluate", name),
        stream=_stream_of(bench.spec, bench.data) if has_windows(levers, context=context) else None,
        training_rows=training_rows(bench.spec, bench.data).take(FITTED_ROWS) if fitted else None,
    )
    plain = _scorer(bench, bench.model, longest=0)
    return evaluate(_scorer(bench, model, longest=levers.eval_context), inputs, levers, plain=plain)


def _scorer(bench: Bench, model: Gpt, *, longest: int) -> ModuleScorer:
    """longest: of the rows of a pass, 0 where all are of the context."""

    @contextmanager
    def compute() -> Iterator[None]:
        with bench.device.compute(), reading_rows_of(model, longest):
            yield

    return ModuleScorer(model, device=bench.device.device, blocks=list(model.blocks), compute=compute)


def _restored(
    spec: RunSpec, device: Device, data: PreparedData, rows: ScoredRows, weights: Mapping[str, np.ndarray]
) -> Bench:
    models = [model_of(spec, data, device, is_plain=is_plain) for is_plain in (False, True)]
    for model in models:
        load_weights(model, weights)
    return Bench(spec=spec, device=device, data=data, rows=rows, model=models[0], plain=models[1])
