"""Which values of the levers of evaluation fit each other. No torch."""

from __future__ import annotations

from itertools import pairwise

from foldover.core import RecipeError
from foldover.evaluation.levers import Evaluate


def phases_of(evaluate: Evaluate) -> tuple[int, ...]:
    """Numbers of documents after which there is a phase."""
    return () if evaluate.phase_documents == "none" else tuple(map(int, evaluate.phase_documents.split(",")))


def check_evaluate(evaluate: Evaluate, *, context: int) -> None:
    """Raises RecipeError for values that do not fit each other. context: that of training."""
    longest = evaluate.eval_context or context
    if evaluate.mode == "sliding" and evaluate.stride > longest:
        raise RecipeError(
            "`evaluate.stride` would leave tokens out",
            value=evaluate.stride,
            fix=f"Give at most the context, {longest}.",
        )
    if evaluate.tap_in_shortest > evaluate.tap_in_longest:
        raise RecipeError(
            "`evaluate.tap_in_shortest` is above `evaluate.tap_in_longest`",
            value=(evaluate.tap_in_shortest, evaluate.tap_in_longest),
        )
    needs_documents = evaluate.adapt == "lora" or (evaluate.adapt == "sgd" and evaluate.adapt_reset == "document")
    if needs_documents and evaluate.isolation != "document":
        raise RecipeError(
            f"`evaluate.adapt={evaluate.adapt}` that begins anew at each document needs documents on their own",
            value=evaluate.isolation,
            fix="Set `evaluate.isolation=document`.",
        )
    phases = phases_of(evaluate)
    if any(second <= first for first, second in pairwise(phases)):
        raise RecipeError(
            "`evaluate.phase_documents` does not rise", value=evaluate.phase_documents, fix="Give each number once."
        )
