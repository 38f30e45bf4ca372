"""`foldover train` keeps states where it is asked to."""

from __future__ import annotations

from pathlib import Path

import pytest

RECIPE = ["train", "--preset", "micro", "--steps", 4, "--constant", "eval_tokens=512", "--quiet", "--json"]
SMALL = ["--set", "aspect=16", "--set", "context=32", "--set", "total_batch=128"]


@pytest.mark.usefixtures("prepared")
def test_train_saves_checkpoints_and_the_state_where_it_is_asked_to(call, tmp_path):
    asked = call(*RECIPE, *SMALL, "--save-every", 2, "--keep-state", "--dir", tmp_path / "a")
    plain = call(*RECIPE, *SMALL, "--dir", tmp_path / "b")
    assert (asked.code, plain.code) == (0, 0), asked.err + plain.err
    names = {
        side: sorted(
            path.relative_to(found.json["folder"]).as_posix()
            for path in Path(found.json["folder"]).rglob("*.safetensors")
        )
        for side, found in (("asked", asked), ("plain", plain))
    }
    assert names["plain"] == []
    assert names["asked"] == [
        "checkpoints/step-000000002.safetensors",
        "checkpoints/step-000000004.safetensors",
        "state.safetensors",
    ]
    assert asked.json["spec"] == plain.json["spec"]
    assert asked.json["outcome"]["responses"] == plain.json["outcome"]["responses"]
