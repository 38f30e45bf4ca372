"""A good file becomes the study it declares; a bad one says everything that is wrong, with lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import foldover.studyfile
from foldover.core import Budget, DesignRequest, Gate, Limit, StudyError


def test_a_study_has_what_the_file_says(text, study_of):
    study = study_of(text)
    assert (study.name, study.seed, study.direction, study.response) == ("toy", 11, "minimize", "val_bpb")
    assert study.gate == Gate(q=0.1, smallest_effect=0.01)
    assert study.constants["eval_tokens"] == 4096
    assert study.source == text


def test_the_baseline_is_the_preset_with_what_is_set(text, study_of):
    values = study_of(text).baseline.values
    assert (values["model.depth"], values["model.heads"], values["model.aspect"]) == (2, 2, 32)
    assert len(values) == 9


def test_without_a_baseline_table_the_defaults_are_it(text, study_of):
    start, end = text.index("[baseline]"), text.index("[constants]")
    assert study_of(text[:start] + text[end:]).baseline.values["model.depth"] == 8


def test_factors_take_kind_scale_and_lattice_from_their_lever(text, study_of):
    by_letter = {factor.letter: factor for factor in study_of(text).factors}
    assert (by_letter["C"].lever, by_letter["C"].kind, by_letter["C"].scale) == ("optimizer.matrix_lr", "float", "log")
    assert (by_letter["D"].kind, by_letter["D"].scale) == ("int", "pow2")
    assert by_letter["E"].decode(0) == 0.45


def test_a_factor_may_choose_its_scale(text, study_of):
    study = study_of(text.replace("high = 0.08", 'high = 0.08\nscale = "linear"'))
    assert study.factors[2].decode(0) == pytest.approx(0.05)


def test_switches_and_choices_are_factors_too(text, study_of):
    changed = text.replace("low = 2\nhigh = 4", 'low = "rms"\nhigh = "layer"').replace('"depth"', '"norm"')
    changed = changed.replace("low = 0.02\nhigh = 0.08", "low = false\nhigh = true").replace("matrix_lr", "nesterov")
    factors = study_of(changed.replace('["C", "E"]', '["E"]')).factors
    assert [factor.kind for factor in factors[:3]] == ["choice", "int", "choice"]
    assert (factors[2].low, factors[2].high) == (False, True)


def test_a_stage_has_budgets_with_the_common_grace(text, study_of):
    budgets = study_of(text).stage("screen").budgets
    assert budgets[1] == Budget(limit=Limit(kind="seconds", amount=6.0), grace_seconds=30.0)


def test_a_budget_may_have_its_own_grace_and_cap(text, study_of):
    changed = text.replace('["2s", "6s"]', '["2s", { limit = "300 steps", grace_seconds = 5, artifact_bytes = 1000 }]')
    budget = study_of(changed).stage("screen").budgets[1]
    assert (budget.limit.kind, budget.grace_seconds, budget.artifact_bytes) == ("steps", 5.0, 1000)


@pytest.mark.parametrize(
    "written",
    ["runs = 16", 'design = "2^(5-1)"', 'design = "2^(5-1)"\nruns = 16', 'design = " 2 ^ ( 5 - 1 ) "'],
)
def test_a_fraction_is_asked_for_by_runs_or_by_name(text, study_of, written):
    request = study_of(text.replace("runs = 16", written)).stage("screen").design
    assert request == DesignRequest(runs=16, generators=("E=ABCD",))


def test_generators_may_be_left_to_the_catalogue(text, study_of):
    request = study_of(text.replace('generators = ["E=ABCD"]\n', "")).stage("screen").design
    assert request == DesignRequest(runs=16)


def test_a_full_factorial_needs_no_generators(text, study_of):
    changed = text.replace('runs = 16\ngenerators = ["E=ABCD"]', 'design = "2^5"')
    assert study_of(changed).stage("screen").design == DesignRequest(runs=32)


def test_generators_are_written_in_one_way(text, study_of):
    changed = text.replace('"E=ABCD"', '" E = -DCBA "')
    assert study_of(changed).stage("screen").design == DesignRequest(runs=16, generators=("E=-ABCD",))


def test_the_response_may_be_another_of_the_trainers(text, study_of):
    changed = text.replace("seed = 11", 'seed = 11\nresponse = "val_loss"\ndirection = "maximize"')
    assert (study_of(changed).response, study_of(changed).direction) == ("val_loss", "maximize")


def test_five_mistakes_are_all_named_with_their_lines(spoil):
    lines = spoil(
        'question = "What', 'qestion = "What',
        'lever = "depth"', 'lever = "deph"',
        "q = 0.1", "q = 1.5",
        '"E=ABCD"', '"E=ABCF"',
        "[11, 12, 13]", "[\n  11,\n  2,\n  13,\n]",
    )  # fmt: skip
    assert lines == [
        "study.toml:1: [study]: `question` is missing.",
        "study.toml:3: [study]: unknown key `qestion`. Did you mean `question`?",
        "study.toml:20: factor A: `deph` is not a lever. Did you mean `depth`?",
        "study.toml:46: [decision]: `q` must lie between 0 and 1 (got 1.5).",
        "study.toml:55: stage screen: generator E=ABCF: there is no factor F. There are A, B, C, D, E.",
        "study.toml:64: stage confirm: seed 2 was used in stage screen. A confirmation needs new seeds.",
    ]


# (what of the good file is replaced, by what, what the message has in it)
MISTAKES = json.loads(Path(__file__).with_name("mistakes.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES, ids=[new.split("\n")[0] for _, new, _ in MISTAKES])
def test_a_mistake_is_named(spoil, old, new, message):
    lines = spoil(old, new)
    assert any(message in line for line in lines), lines


def test_a_refinement_cannot_centre_a_choice(spoil):
    lines = spoil(
        'lever = "depth"\nlow = 2\nhigh = 4', 'lever = "norm"\nlow = "rms"\nhigh = "layer"', '"C", "E"', '"A"'
    )
    assert lines == ["study.toml:72: stage refine: factor A (`model.norm`) is a choice and has no centre."]


def test_a_centre_that_rounds_to_a_level_must_be_given(spoil):
    lines = spoil('lever = "depth"\nlow = 2\nhigh = 4', 'lever = "rows"\nlow = 16\nhigh = 32', '"C", "E"', '"A"')
    assert lines == [
        "study.toml:72: stage refine: the middle of factor A (16 and 32) rounds to 32, one of its levels. "
        "Give its `center`."
    ]


def test_a_refinement_follows_a_screen(spoil):
    lines = spoil('kind = "refine"\nafter = "screen"', 'kind = "refine"\nafter = "confirm"')
    assert lines == ["study.toml:69: stage refine: a refine follows a screen, but stage confirm is a confirm."]


def test_a_level_that_fails_only_beside_the_baseline_is_fine(text, study_of):
    # Depth 8 and aspect 128 are too wide, but no corner of the design has them together.
    changed = text.replace("model.heads = 2", "depth = 8\naspect = 64").replace("high = 64", "high = 128")
    assert study_of(changed).factors[1].high == 128


def test_a_combination_that_cannot_be_built_is_the_stages_problem(spoil):
    (line,) = spoil("high = 64", "high = 256")
    assert line.startswith("study.toml:54: stage screen: the corner model.depth = 4, model.aspect = 256, ")
    assert line.endswith(
        "cannot be built: the width is above 512 (got 1024). Lower depth or aspect. 3 more corners fail."
    )


def test_without_generators_single_levels_are_held_against_the_baseline(spoil):
    (line,) = spoil("high = 64", "high = 512", 'generators = ["E=ABCD"]\n', "")
    assert line == "study.toml:27: factor B: the width is above 512 (got 1024). Lower depth or aspect."


def test_a_file_without_factors_says_so(text, spoil):
    start, end = text.index("[factors.A]"), text.index("[decision]")
    lines = spoil(text[start:end], "[factors]\n")
    assert lines == ["study.toml:19: study file: the study has no factors. Write each one as `[factors.A]`."]


def test_a_file_without_stages_says_so(text, spoil):
    assert spoil(text[text.index("[[stages]]") :], "") == [
        "study.toml: the study has no stages. Write each one under its own `[[stages]]`."
    ]


def test_stages_as_named_tables_are_refused(text, spoil):
    assert spoil(text[text.index("[[stages]]") :], '[stages.screen]\nkind = "screen"\n') == [
        "study.toml:49: the study has no stages. Write each one under its own `[[stages]]`."
    ]


def test_an_empty_file_lacks_everything(study_of):
    with pytest.raises(StudyError) as caught:
        study_of("")
    assert caught.value.lines() == [
        "study.toml: study file: `factors` is missing.",
        "study.toml: study file: `study` is missing.",
        "study.toml: the study has no stages. Write each one under its own `[[stages]]`.",
    ]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("[study]", "[study", "study.toml:1: not TOML: Expected ']' at the end of a table declaration."),
        ("seed = 11", "seed = ", "study.toml:5: not TOML: Invalid value."),
        ('name = "toy"', 'name = "toy', "study.toml:2: not TOML: Illegal character '\\n'."),
        ("seed = 11", 'seed = 11\nname = "again"', "study.toml:6: not TOML: Cannot overwrite a value."),
        ('["C", "E"]', '["C", "E"', "study.toml:72: not TOML: Unclosed array."),
    ],
)
def test_what_is_not_toml_is_one_problem_with_its_line(spoil, old, new, line):
    (problem,) = spoil(old, new)
    assert problem.partition(":")[0] == "study.toml"
    assert problem.rsplit(": ", 1)[0] == line.rsplit(": ", 1)[0]


def test_a_number_of_thousands_of_digits_is_a_problem_and_no_crash(spoil):
    (problem,) = spoil("seed = 11", f"seed = {'1' * 5000}")
    assert problem.startswith("study.toml: not TOML: ")


def test_an_unknown_trainer_does_not_hide_other_mistakes(spoil):
    lines = spoil('trainer = "toy"', 'trainer = "yot"', "q = 0.1", "q = 2", '"E=ABCD"', '"E=ABCD", "E=ABC"')
    assert [line.split(": ")[1] for line in lines] == ["[study]", "[decision]", "stage screen"]


def test_a_study_error_is_the_users(spoil, text, study_of):
    with pytest.raises(StudyError) as caught:
        study_of(text.replace("q = 0.1", "q = 2"))
    assert caught.value.exit_code == 2


def test_the_package_exports_what_it_says():
    assert sorted(foldover.studyfile.__all__) == foldover.studyfile.__all__
    assert all(hasattr(foldover.studyfile, name) for name in foldover.studyfile.__all__)
