"""Each lever of evaluation acts where it says that it does, and nowhere else."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from foldover.core import Values
from foldover.evaluation.evaluate import evaluate
from foldover.evaluation.levers import EVALUATE_LEVERS
from foldover.evaluation.scoring_model import ModuleScorer

from .conftest import inputs_of, levers, stream_of

SLIDING = {"mode": "sliding"}
CACHE = {"cache_weight": 0.2, "bigram_weight": 0.3}
NGRAM = {"ngram_weight": 0.3}
TAP = {"tap_in_weight": 0.1, "tap_in_cap": 0.9}
SGD = {"adapt": "sgd", "adapt_lr": 0.2, **SLIDING}
LORA = {"adapt": "lora", "isolation": "document", **SLIDING}
PHASES = {"phase_documents": "1,2", "phase_lr": 0.1, **LORA}

# What is on, and what the lever is set to then; some values are far off to be felt by a stream this short.
CASES: dict[str, tuple[dict[str, object], object]] = {
    "mode": ({}, "sliding"),
    "eval_context": ({}, 9),
    "stride": (SLIDING, 7),
    "isolation": (SLIDING, "document"),
    "temperature": ({}, 1.3),
    "fitted_temperature": ({}, True),
    "cache_weight": ({}, 0.3),
    "bigram_weight": ({}, 0.3),
    "cache_size": (CACHE, 2),
    "cache_form": (CACHE, "public"),
    "ngram_weight": ({}, 0.2),
    "ngram_tilt": ({}, 1.0),
    "ngram_order": (NGRAM, 5),
    "tap_in_weight": ({}, 0.1),
    "tap_in_far_weight": (TAP | SLIDING, 0.2),
    "tap_in_shortest": (TAP, 2),
    "tap_in_longest": (TAP, 4),
    "tap_in_cap": (TAP, 0.11),
    "tap_in_candidates": (TAP, 1),
    "adapt": (SLIDING, "sgd"),
    "adapt_seconds": (SGD, 0.0),
    "adapt_chunk": (SGD, 30),
    "adapt_lr": (SGD, 0.1),
    "adapt_epochs": (SGD, 1),
    "adapt_momentum": (SGD, 0.0),
    "frozen_blocks": (SGD, 1),
    "adapt_scope": (SGD, "all"),
    "adapt_grad_clip": (SGD, 0.01),
    "adapt_batch": (SGD, 1),
    "adapt_reset": (SGD | {"isolation": "document"}, "document"),
    "lora_rank": (LORA, 2),
    "lora_alpha": (LORA, 3.0),
    "lora_lr": (LORA, 0.002),
    "lora_chunk": (LORA, 5),
    "lora_beta1": (LORA, 0.0),
    "lora_beta2": (LORA, 0.5),
    "lora_weight_decay": (LORA, 0.5),
    "lora_targets": (LORA, "key,head"),
    "lora_reset": (LORA, "warm"),
    "lora_batch": (LORA | {"lora_reset": "warm"}, 2),
    "phase_documents": (LORA, "1"),
    "phase_lr": (PHASES, 0.05),
    "phase_epochs": (PHASES, 2),
    "phase_chunk": (PHASES, 30),
    "phase_batch": (PHASES, 1),
    "phase_momentum": (PHASES, 0.0),
    "phase_grad_clip": (PHASES, 0.01),
    "phase_scope": (PHASES, "blocks"),
}


def responses(model: ModuleScorer, values: dict[str, object]) -> Values:
    rows = np.random.default_rng(3).integers(0, 22, (4, 17)).astype(np.uint16)
    times = itertools.count()
    inputs = inputs_of(stream_of(90, 50, 60), training_rows=rows, clock=lambda: 0.001 * next(times))
    return evaluate(model, inputs, levers(**values), is_proven=False).responses


@pytest.mark.parametrize("name", [lever.short_name for lever in EVALUATE_LEVERS.values()])
def test_a_lever_changes_the_score_and_leaves_the_plain_one(model: ModuleScorer, name: str) -> None:
    base, value = CASES[name]
    without, with_it = responses(model, base), responses(model, base | {name: value})
    assert with_it.number("adapted_bpb") != without.number("adapted_bpb")
    assert with_it.number("val_bpb") == without.number("val_bpb")


@pytest.mark.parametrize("lever", [lever for lever in EVALUATE_LEVERS.values() if lever.needs], ids=lambda x: x.name)
def test_a_lever_whose_owner_is_off_changes_nothing(model: ModuleScorer, lever: object) -> None:
    assert responses(model, {lever.short_name: CASES[lever.short_name][1]}) == responses(model, {})
