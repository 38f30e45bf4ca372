"""Studies of the built-in trainer whose factors act after training: one training a seed, and caps on artifacts."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from foldover.cli.main import app
from foldover.cli.plan_text import plan_text
from foldover.core import RunRecord, Settings, StudyError
from foldover.lab import Session, caps_exceeded, check, create, outline, report_document, run_study, status
from foldover.lab import verify as verify_study
from foldover.rundir import read_json_lines

STUDY = """\
[study]
name = "nested"
question = "What is lost after training?"
trainer = "lm"
response = "roundtrip_bpb"

[constants]
eval_tokens = 1024

[baseline]
preset = "golf-micro"

[baseline.set]
width = 32
depth = 2
context = 64
vocab_size = 512
total_batch = 512
momentum_warmup = 4
"export.artifact" = true
keep_float_below = 0
gptq = false
"export.codec" = "ans"

[factors.A]
lever = "matrix_format"
low = "int4"
high = "int6"

[factors.B]
lever = "embedding_format"
low = "int6"
high = "int8"

[[stages]]
name = "screen"
kind = "screen"
runs = 4
budgets = ["8 steps"]
seeds = [1, 2]
"""
CAP = "[budget]\nartifact_bytes = {}\n\n[constants]"


@pytest.fixture(scope="module")
def nested(tmp_path_factory: pytest.TempPathFactory) -> Session:
    folder = tmp_path_factory.mktemp("nested")
    (folder / "study.toml").write_text(STUDY)
    session = create(folder / "study.toml", folder / "run")
    run_study(session, Settings(jobs=2, device="cpu"))
    return session


@pytest.fixture(scope="module")
def document(nested: Session) -> dict[str, Any]:
    return report_document(nested)


def records_of(session: Session) -> tuple[RunRecord, ...]:
    with session.ledger(read_only=True) as ledger:
        return ledger.records()


def written(tmp_path: Path, text: str) -> Path:
    (tmp_path / "study.toml").write_text(text)
    return tmp_path / "study.toml"


def test_eight_runs_stand_on_one_training_a_seed(nested):
    records = records_of(nested)
    assert Counter((r.spec.is_trunk, r.outcome.status) for r in records) == {
        (True, "finished"): 2,
        (False, "finished"): 8,
    }
    trained = {r.spec.run_id: r.spec.seed for r in records if r.spec.is_trunk}
    assert all(trained[str(r.spec.starts_from)] == r.spec.seed for r in records if not r.spec.is_trunk)
    folders = nested.workspace.runs.ended()
    steps = Counter(len(read_json_lines(folder / "curve.jsonl")) > 0 for folder in folders)
    assert steps == {True: 2, False: 8}
    events = [event["event"] for folder in folders for event in read_json_lines(folder / "events.jsonl")]
    assert events.count("began_trained") == 8


def test_the_trained_score_is_the_trainings_and_the_round_trip_the_runs_own(nested):
    records = records_of(nested)
    trained = {r.spec.run_id: r.outcome.responses["val_bpb"] for r in records if r.spec.is_trunk}
    others = [r for r in records if not r.spec.is_trunk]
    assert all(r.outcome.responses["val_bpb"] == trained[str(r.spec.starts_from)] for r in others)
    assert len({r.outcome.responses["roundtrip_bpb"] for r in others}) == 8
    assert all(r.outcome.artifact is not None and r.outcome.artifact.bytes > 0 for r in others)


def test_effects_have_the_error_within_trainings(nested, document):
    y = {
        (r.spec.levels, r.spec.seed): r.outcome.responses.number("roundtrip_bpb")
        for r in records_of(nested)
        if r.spec.levels
    }
    effects = {effect["term"]: effect for effect in document["effects"]}
    # Within each training: four runs, their mean taken out, fitted by A and B.
    X, rest = [], []
    for seed in (1, 2):
        mean = np.mean([value for (_, s), value in y.items() if s == seed])
        for (levels, s), value in y.items():
            if s == seed:
                X.append(levels)
                rest.append(value - mean)
    coefficients, residual, *_ = np.linalg.lstsq(np.array(X), np.array(rest), rcond=None)
    df = 8 - 2 - 2
    error = 2 * np.sqrt(residual[0] / df / 8)
    for i, letter in enumerate("AB"):
        assert (effects[letter]["method"], effects[letter]["df"]) == ("split_plot", df)
        assert effects[letter]["estimate"] == pytest.approx(2 * coefficients[i], rel=1e-6)
        assert effects[letter]["se"] == pytest.approx(error, rel=1e-6)


def test_report_plan_and_status_say_how_many_trainings_there_were(nested, document):
    assert (document["totals"]["trained"], document["totals"]["continued"]) == (2, 8)
    found = outline(check(nested.workspace.study_path), jobs=2)
    assert "= 8 runs, 8 of them from a state, and 2 that train it" in plan_text(found)
    assert "note: 2 trainings for 8 runs" in plan_text(found)
    assert [(row.role, row.continued) for row in status(nested)] == [("compared", 8), ("trunk", 0)]
    assert verify_study(nested) == ()


def test_a_factor_of_a_later_phase_is_in_the_baseline_with_its_default(nested):
    values = nested.study.baseline.values
    assert (values["export.matrix_format"], values["export.embedding_format"]) == ("int6", "int8")
    assert "export.mlp_permute" not in values


def test_a_cap_where_the_baseline_makes_no_artifact_is_refused(tmp_path):
    text = STUDY.replace('"export.artifact" = true\nkeep_float_below = 0\ngptq = false\n"export.codec" = "ans"\n', "")
    text = text.replace("[constants]", CAP.format(10**6)).replace('"roundtrip_bpb"', '"val_bpb"')
    text = text.replace('"matrix_format"\nlow = "int4"\nhigh = "int6"', '"matrix_lr"\nlow = 0.01\nhigh = 0.02')
    text = text.replace('"embedding_format"\nlow = "int6"\nhigh = "int8"', '"scalar_lr"\nlow = 0.01\nhigh = 0.02')
    with pytest.raises(StudyError, match="the baseline makes no artifact of trainer `lm`"):
        check(written(tmp_path, text))


@pytest.mark.parametrize("response", ["roundtrip_bpb", "sliding_bpb"])
def test_a_response_that_no_run_would_have_is_refused_with_the_fix(tmp_path, response):
    text = STUDY.replace('"export.artifact" = true\nkeep_float_below = 0\ngptq = false\n"export.codec" = "ans"\n', "")
    text = text.replace('"matrix_format"\nlow = "int4"\nhigh = "int6"', '"matrix_lr"\nlow = 0.01\nhigh = 0.02')
    text = text.replace('"embedding_format"\nlow = "int6"\nhigh = "int8"', '"scalar_lr"\nlow = 0.01\nhigh = 0.02')
    with pytest.raises(StudyError, match=f"gives no `{response}`, only val_bpb. Switch on what gives it"):
        check(written(tmp_path, text.replace("roundtrip_bpb", response)))


def test_plan_and_check_end_with_1_where_a_condition_would_be_over_its_cap(tmp_path):
    path = written(tmp_path, STUDY.replace("[constants]", CAP.format(20_000)))
    lines = caps_exceeded(check(path))
    # Of the four, the one with both formats at their finer level.
    assert [line.partition(":")[0] for line in lines] == ["stage screen @ 8 steps, condition c04"]
    for verb in ("plan", "check"):
        found = CliRunner().invoke(app, [verb, str(path)])
        assert found.exit_code == 1
        assert "is over the cap of 20,000 by" in found.output
    found = CliRunner().invoke(app, ["check", str(path), "--json"])
    assert json.loads(found.stdout)["over_cap"] == list(lines)
    free = written(tmp_path, STUDY.replace("[constants]", CAP.format(10**6)))
    assert CliRunner().invoke(app, ["plan", str(free)]).exit_code == 0


def test_code_bytes_are_added_to_the_prediction(tmp_path):
    text = STUDY.replace("[constants]", CAP.format(100_000))
    assert caps_exceeded(check(written(tmp_path, text))) == ()
    counted = text.replace("eval_tokens = 1024", "eval_tokens = 1024\ncode_bytes = 99_000")
    assert len(caps_exceeded(check(written(tmp_path, counted)))) == 4


def test_runs_over_the_cap_are_counted_and_ranked_nowhere(tmp_path):
    text = STUDY.replace("[constants]", CAP.format(19_500)).replace("runs = 4", 'design = "one_at_a_time"')
    head, _, rest = text.partition("[factors.B]")
    session = create(written(tmp_path, head + rest[rest.index("[[stages]]") :]), tmp_path / "run")
    run_study(session, Settings(jobs=2, device="cpu"))
    found = Counter((r.spec.condition, r.outcome.status) for r in records_of(session) if not r.spec.is_trunk)
    assert found == {("c01", "finished"): 2, ("c02", "over_cap"): 2}
    document = report_document(session)
    assert [row["condition"] for row in document["conditions"]] == ["c01"]
    assert document["totals"]["over_cap"] == 2
    assert document["effects"] == []
