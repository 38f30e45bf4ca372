"""From levers to the parts of an evaluation: the one place where their values are tested."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foldover.core import DataError, RecipeError
from foldover.data import ScoredRows
from foldover.evaluation.adaptation import Adaptation
from foldover.evaluation.checks import phases_of
from foldover.evaluation.levers import Evaluate
from foldover.evaluation.lora import Draws, LoraRules, lora_adaptation, targets_of
from foldover.evaluation.mixtures import Combine, Mixer, Source, SourceMixer, mix, tilt
from foldover.evaluation.ngrams import Ngrams
from foldover.evaluation.one_pass import Reading
from foldover.evaluation.phases import PhaseRules
from foldover.evaluation.scoring_model import AdaptableModel, BlockParameter
from foldover.evaluation.sgd import SgdRules, sgd_adaptation
from foldover.evaluation.sidecars import LogitStage, cache_stage, temperature_stage
from foldover.evaluation.stream import Stream, stream_of_rows
from foldover.evaluation.tap_in import TapIn
from foldover.evaluation.temperature import fit_temperature, refuse_validation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inputs:
    """What an evaluation reads.

    rows: the pinned rows of the plain score; stream: the validation stream by documents, for windows that are not
    rows; context: of training; tokens_at_once: bounds memory; draws: random streams by name, for additions;
    training_rows: (R, T + 1), for what is fitted; clock: seconds.
    """

    rows: ScoredRows
    context: int
    tokens_at_once: int
    draws: Draws
    stream: Stream | None = None
    training_rows: NDArray[np.uint16] | None = None
    clock: Callable[[], float] = time.perf_counter


def has_windows(levers: Evaluate, *, context: int) -> bool:
    """Whether the windows are other ones than the rows of the plain score."""
    return levers.mode != "plain" or levers.isolation != "none" or levers.eval_context not in (0, context)


def text_of(inputs: Inputs, levers: Evaluate) -> Stream:
    """What is read, in its units. Raises DataError if there is no stream where one is needed."""
    if not has_windows(levers, context=inputs.context):
        return stream_of_rows(inputs.rows)
    if inputs.stream is None:
        raise DataError("windows other than the plain rows need the validation stream", fix="Give `stream`.")
    return inputs.stream if levers.isolation == "document" else inputs.stream.joined()


def reading_of(inputs: Inputs, levers: Evaluate) -> Reading:
    """Windows and chunks."""
    context = levers.eval_context or inputs.context
    is_isolated = levers.isolation == "document"
    is_lora = levers.adapt == "lora"
    return Reading(
        context=context,
        stride=levers.stride if levers.mode == "sliding" else context,
        chunk=levers.lora_chunk if is_lora else levers.adapt_chunk,
        is_reset=is_lora or (levers.adapt == "sgd" and levers.adapt_reset == "document"),
        is_isolated=is_isolated,
        is_split=levers.adapt != "none",
        at_once=levers.lora_batch if is_lora else 1,
        # What lasts from document to document may come from earlier ones alone.
        is_sorted=is_lora and levers.lora_batch > 1 and levers.lora_reset == "document",
        phases=phases_of(levers) if is_lora else (),
    )


def check_phases(text: Stream, levers: Evaluate) -> None:
    """Raises RecipeError for a phase after which nothing is left to score."""
    num_documents, phases = len(text.starts) - 1, phases_of(levers)
    if levers.adapt == "lora" and phases and phases[-1] >= num_documents:
        raise RecipeError(
            f"`evaluate.phase_documents`: the text has {num_documents:,} documents, and none comes after this phase",
            value=phases[-1],
            fix=f"Give at most {num_documents - 1:,}, or score more tokens.",
        )


def check_learned(parameters: Sequence[BlockParameter], levers: Evaluate) -> None:
    """Raises RecipeError for an adaptation that would find nothing to learn in these parameters."""
    if levers.adapt == "lora":
        targets_of(parameters, levers.lora_targets.split(","))
    if levers.adapt == "sgd" and levers.adapt_scope == "blocks":
        num_blocks = 1 + max((max(p.blocks) for p in parameters if p.blocks), default=-1)
        if not any(p.blocks and min(p.blocks) >= levers.frozen_blocks for p in parameters):
            raise RecipeError(
                f"`evaluate.frozen_blocks` leaves none of {num_blocks} blocks to learn",
                value=levers.frozen_blocks,
                fix="Freeze fewer, or set `evaluate.adapt_scope=all`.",
            )


def stages_of(model: AdaptableModel, inputs: Inputs, levers: Evaluate, text: Stream) -> tuple[LogitStage, ...]:
    """What is done to logits: the temperature first, which is the model's own, then the bonuses."""
    stages = []
    temperature = levers.temperature
    if levers.fitted_temperature:
        if inputs.training_rows is None:
            raise DataError("a temperature is fitted to training tokens, and there are none", fix="Give some rows.")
        refuse_validation(inputs.training_rows, stream_of_rows(inputs.rows))
        temperature = fit_temperature(model, inputs.training_rows, validation=text)
    if temperature != 1.0:
        stages.append(temperature_stage(temperature))
    if levers.cache_weight or levers.bigram_weight:
        stages.append(
            cache_stage(
                recency=levers.cache_weight,
                bigram=levers.bigram_weight,
                size=levers.cache_size,
                is_corrected=levers.cache_form == "corrected",
            )
        )
    return tuple(stages)


def mixers_of(levers: Evaluate) -> tuple[Callable[[Stream], Mixer], ...]:
    """What is mixed into distributions, in order. Documents on their own are on their own here too."""
    forgets = levers.isolation == "document"

    def led(make: Callable[[], Source], combine: Combine) -> Callable[[Stream], Mixer]:
        return lambda stream: SourceMixer(make, combine, stream, forgets=forgets)

    def ngrams() -> Source:
        return Ngrams(order=levers.ngram_order, weight=levers.ngram_weight)

    def tap_in() -> Source:
        return TapIn(
            near=levers.tap_in_weight,
            far=levers.tap_in_far_weight,
            shortest=levers.tap_in_shortest,
            longest=levers.tap_in_longest,
            cap=levers.tap_in_cap,
            candidates=levers.tap_in_candidates,
        )

    found = []
    if levers.ngram_weight:
        found.append(led(ngrams, mix))
    if levers.ngram_tilt:
        found.append(led(ngrams, tilt(levers.ngram_tilt)))
    if levers.tap_in_weight:
        found.append(led(tap_in, mix))
    return tuple(found)


def adaptation_of(model: AdaptableModel, inputs: Inputs, levers: Evaluate) -> Callable[[Stream], Adaptation] | None:
    """How the model learns; None if it does not."""
    context = levers.eval_context or inputs.context
    rows_at_once = max(1, inputs.tokens_at_once // context)
    if levers.adapt == "sgd":
        sgd = SgdRules(
            lr=levers.adapt_lr,
            epochs=levers.adapt_epochs,
            momentum=levers.adapt_momentum,
            grad_clip=levers.adapt_grad_clip,
            batch_rows=levers.adapt_batch,
            rows_at_once=rows_at_once,
            context=context,
            frozen_blocks=levers.frozen_blocks,
            is_everything=levers.adapt_scope == "all",
        )
        return lambda stream: sgd_adaptation(model, stream, sgd)
    if levers.adapt == "lora":
        phases = SgdRules(
            lr=levers.phase_lr,
            epochs=levers.phase_epochs,
            momentum=levers.phase_momentum,
            grad_clip=levers.phase_grad_clip,
            batch_rows=levers.phase_batch,
            rows_at_once=rows_at_once,
            context=context,
            frozen_blocks=0,
            is_everything=levers.phase_scope == "all",
        )
        lora = LoraRules(
            rank=levers.lora_rank,
            alpha=levers.lora_alpha,
            lr=levers.lora_lr,
            beta1=levers.lora_beta1,
            beta2=levers.lora_beta2,
            weight_decay=levers.lora_weight_decay,
            targets=tuple(levers.lora_targets.split(",")),
            is_warm=levers.lora_reset == "warm",
            tokens_at_once=inputs.tokens_at_once,
            phases=PhaseRules(sgd=phases, chunk=levers.phase_chunk) if phases_of(levers) else None,
        )
        return lambda stream: lora_adaptation(model, stream, lora, inputs.draws)
    return None
