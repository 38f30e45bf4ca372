"""Levers of evaluation that do not fit are refused before anything is trained, and how a model is then read."""

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from shared_runs import perform, spec_of

from foldover.core import RecipeError, Settings, bind
from foldover.evaluation.stream import Stream
from foldover.lm.artifact import model_of
from foldover.lm.bench import Bench, scores_of
from foldover.lm.device import open_device
from foldover.lm.inputs import open_data, rows_to_score
from foldover.lm.levers import TrainConfig

LORA = {"evaluate.adapt": "lora", "evaluate.isolation": "document"}


@pytest.mark.parametrize(
    ("levers", "said"),
    [
        (LORA | {"evaluate.lora_targets": "query,querry"}, r"no matrix is called 'querry'.*query"),
        (LORA | {"evaluate.phase_documents": "1,5000"}, "none comes after this phase"),
        ({"evaluate.adapt": "sgd", "evaluate.frozen_blocks": 4, "depth": 4}, r"leaves none of 4 blocks .*got 4"),
    ],
)
def test_nothing_is_trained_for_an_evaluation_that_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, levers: dict[str, object], said: str
) -> None:
    monkeypatch.setattr("foldover.lm.run.train", lambda *parts, **rest: pytest.fail("it was trained"))
    with pytest.raises(RecipeError, match=said) as caught:
        perform(tmp_path, spec_of("2 steps", **levers), Settings(device="cpu"))
    assert "scale" not in str(caught.value)  # words of vectors are none


def test_what_a_document_is_given_does_not_depend_on_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of(
        "2 steps",
        **{"model.context": 16, "attention.ntk_context": 16, "evaluate.eval_context": 64, "evaluate.mode": "sliding"},
        **{"evaluate.stride": 64, "evaluate.isolation": "document"},
    )
    device, data = open_device(Settings(device="cpu", compute="fp32")), open_data(spec.recipe, spec.constants)
    model = model_of(spec, data, device, is_plain=True)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    ids = np.random.default_rng(2).integers(0, data.vocab_size, 110).astype(np.uint16)
    borders = [0, 20, 50, 110]
    is_scored = ~np.isin(np.arange(110), borders)
    text = Stream(ids=ids, bytes=is_scored.astype(np.int64), is_scored=is_scored, starts=np.array(borders))
    monkeypatch.setattr("foldover.lm.bench._stream_of", lambda spec, data: text)
    bench = Bench(spec=spec, device=device, data=data, rows=rows_to_score(spec, data), model=model, plain=model)
    found = scores_of(bench, bind(TrainConfig, spec.recipe.values).evaluate)

    expected = 0.0
    for start, stop in pairwise(borders):
        row = torch.zeros(1, 64, dtype=torch.int64)  # what follows a document is nothing to it
        row[0, : stop - start] = torch.from_numpy(ids[start:stop].astype(np.int64))
        with torch.no_grad():
            said = model(row)[0].double().log_softmax(-1)
        expected -= float(said[torch.arange(stop - start - 1), row[0, 1 : stop - start]].sum())
    assert found.measured[1].score.nats == pytest.approx(expected, rel=1e-6)
