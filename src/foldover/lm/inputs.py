"""What a run reads: the prepared corpus of its recipe, training rows and the rows that are scored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

from foldover.core import Recipe, RunSpec, Values
from foldover.data import (
    Accounting,
    BlockRows,
    Loader,
    PreparedData,
    ScoredRows,
    StreamOrder,
    StreamRows,
    TrainRows,
    open_rows,
    prepare,
    scored_rows,
)


def open_data(
    recipe: Recipe, constants: Values, *, progress: Callable[[str, float], None] | None = None
) -> PreparedData:
    """The prepared corpus; built in the cache the first time."""
    return prepare(
        constants.text("corpus"),
        recipe.values.integer("tokenizer.vocab_size"),
        tokenizer=str(recipe.values.get("tokenizer.name", "bpe")),
        fold_case=bool(recipe.values.get("tokenizer.fold_case", False)),
        accounting=cast(Accounting, constants.get("accounting", "raw")),
        progress=progress,
    )


def training_rows(spec: RunSpec, data: PreparedData) -> TrainRows | StreamRows | BlockRows:
    """The loader of a run: endless rows, with `state()` and `restore()` for checkpoints."""
    return open_rows(
        data,
        context=spec.recipe.values.integer("model.context"),
        seed=spec.seed,
        loader=loader(spec.recipe),
        long_documents=long_documents(spec.recipe),
        order=stream_order(spec.recipe),
    )


def rows_to_score(spec: RunSpec, data: PreparedData) -> ScoredRows:
    """The pinned rows of a run with the bytes of their targets, by the accounting of the study."""
    return scored_rows(
        data,
        context=spec.recipe.values.integer("model.context"),
        num_tokens=spec.constants.integer("eval_tokens"),
        long_documents=long_documents(spec.recipe),
        order=eval_order(spec.constants),
        loader=loader(spec.recipe),
    )


def loader(recipe: Recipe) -> Loader:
    """How the stream of tokens is cut into rows."""
    return cast(Loader, recipe.values.get("data.loader", "pack"))


def stream_order(recipe: Recipe) -> StreamOrder:
    """In which order blocks of the stream are trained on."""
    return cast(StreamOrder, recipe.values.get("data.order", "sequential"))


def long_documents(recipe: Recipe) -> Literal["split", "crop"]:
    """How documents longer than a row are treated."""
    return cast(Literal["split", "crop"], recipe.values.text("data.long_documents"))


def eval_order(constants: Values) -> Literal["stream", "spread"]:
    """Which rows of the validation stream are scored first."""
    return cast(Literal["stream", "spread"], constants.text("eval_order"))
