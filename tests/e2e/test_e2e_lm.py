"""The whole way with real training, in fixed steps: twice, with the same numbers to the last bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

STUDY = """
[study]
name = "tiny"
question = "Does the whole way work, and work the same way twice?"
trainer = "lm"
seed = 3

[baseline]
preset = "micro"

[constants]
eval_tokens = 2048

[factors.A]
lever = "depth"
low = 2
high = 3

[factors.B]
lever = "total_batch"
low = 1024
high = 2048

[[stages]]
name = "screen"
kind = "screen"
design = "2^2"
budgets = ["2 steps"]
seeds = [1, 2]

[[stages]]
name = "confirm"
kind = "confirm"
after = "screen"
budgets = ["2 steps"]
seeds = [11, 12]

[[stages]]
name = "refine"
kind = "refine"
after = "screen"
budgets = ["2 steps"]
seeds = [11, 12]
centers = ["B"]
"""

Call = Callable[..., tuple[int, str, str]]


def results(root: Path) -> dict[str, object]:
    document = json.loads((root / "report.json").read_text())
    return {run["run_id"]: (run["status"], run["value"]) for run in document["runs"]}


@pytest.mark.slow
def test_a_trained_study_repeated_in_another_folder_has_the_same_numbers_to_the_last_bit(
    prepared, foldover: Call, tmp_path
):
    study = tmp_path / "tiny.toml"
    study.write_text(STUDY)
    one, other = tmp_path / "one", tmp_path / "other"

    for root, jobs in ((one, "2"), (other, "1")):
        code, _, err = foldover("run", study, "--dir", root, "--jobs", jobs, "--quiet")
        assert code == 0, err
        code, out, _ = foldover("verify", root)
        assert code == 0, out

    assert results(one) == results(other)
    assert len(results(one)) >= 8 + 4 + 2
    assert {status for status, _ in results(one).values()} == {"finished"}
