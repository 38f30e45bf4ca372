"""Levers of evaluation that do not fit the model or the text are refused before anything is trained."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from shared_runs import perform, spec_of

from foldover.core import RecipeError, Settings

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
