"""`more_seeds` and `fold_over` are refused where no gate of the file could ever ask for them."""

from __future__ import annotations

import pytest

from foldover.core import DesignRequest, Factor, Study, StudyError
from foldover.designs import fractional_factorial
from foldover.studyfile import parse
from foldover.studyfile.generators import has_aliased_pairs
from foldover.trainers import get_trainer

LEVERS = ("depth", "aspect", "matrix_lr", "total_batch", "warmdown_ratio")
LEVELS = ("low = 6\nhigh = 8", "low = 48\nhigh = 72", "low = 0.03\nhigh = 0.05", "low = 262144\nhigh = 524288",
          "low = 0.25\nhigh = 0.5")  # fmt: skip
TEXT = (
    '[study]\nname = "gates"\nquestion = "Which?"\ntrainer = "simulator"\n\n[baseline]\npreset = "autoresearch"\n\n'
    "[decision]\nsmallest_effect = 0.001\n{wish}\n\n"
    + "".join(f'[factors.{"ABCDE"[i]}]\nlever = "{LEVERS[i]}"\n{LEVELS[i]}\n\n' for i in range(5))
    + '[[stages]]\nname = "screen"\nkind = "screen"\n{design}\nbudgets = ["5min"]\n{seeds}\n'
)
LINE = TEXT[: TEXT.index("{wish}")].count("\n") + 1


def read(wish: str, *, design: str = 'design = "2^(5-2)"', seeds: str = "seeds = [1, 2]") -> Study:
    return parse(TEXT.replace("{wish}", wish).replace("{design}", design).replace("{seeds}", seeds), "s", get_trainer)


def problems(wish: str, **changes: str) -> list[str]:
    with pytest.raises(StudyError) as caught:
        read(wish, **changes)
    return [f"{problem.line}: {problem.message}" for problem in caught.value.problems]


@pytest.mark.parametrize("seeds", ["seeds = [1]", 'regime = "fixed"\nseed = 1\nreruns = 3'])
@pytest.mark.parametrize("wish", ["more_seeds = 2", "fold_over = true"])
def test_without_an_interval_no_gate_asks_for_more(wish: str, seeds: str):
    (problem,) = problems(wish, seeds=seeds)
    assert problem.startswith(f"{LINE}: [decision]: `{wish.split()[0]}` would never be asked for")


@pytest.mark.parametrize(
    "design", ['design = "2^5"', 'design = "2^(5-1)"', 'design = "2^(5-1)"\ngenerators = ["E=ABC"]']
)
def test_without_an_alias_of_two_factors_there_is_nothing_to_fold(design: str):
    (problem,) = problems("fold_over = true", design=design)
    assert f"{LINE}: [decision]: `fold_over` would never be asked for" in problem
    assert read("more_seeds = 2", design=design).gate.more_seeds == 2


@pytest.mark.parametrize("design", ['design = "2^(5-2)"', 'design = "2^(5-1)"\ngenerators = ["E=AB"]'])
def test_what_a_gate_can_ask_for_is_read(design: str):
    gate = read("fold_over = true\nmore_seeds = 3", design=design).gate
    assert (gate.fold_over, gate.more_seeds) == (True, 3)


@pytest.mark.parametrize(("num_factors", "runs"), [(3, 4), (4, 8), (5, 8), (6, 8), (7, 8), (5, 16), (8, 16), (9, 16)])
def test_the_catalogue_confounds_pairs_where_it_is_said_to(num_factors: int, runs: int):
    letters = "ABCDEFGHJ"[:num_factors]
    factors = tuple(Factor(letter=letter, lever=f"x.{letter}", low=0.0, high=1.0) for letter in letters)
    design = fractional_factorial(factors, runs=runs, name="d", seed=0)
    assert has_aliased_pairs(DesignRequest(runs=runs), num_factors) == (design.resolution == 3)


@pytest.mark.parametrize(("wish", "name"), [("more_seeds = 2", "screen-more"), ("fold_over = true", "screen-fold")])
def test_a_stage_may_not_have_the_name_of_what_a_gate_asks_for(wish: str, name: str):
    other = f'seeds = [1, 2]\n[[stages]]\nname = "{name}"\nkind = "confirm"\nafter = "screen"\nbudgets = ["5min"]\n'
    (problem,) = problems(wish, seeds=f"{other}seeds = [7]")
    assert f"{LINE}: [decision]: what it may ask for would be stage '{name}', which the file has" in problem
    assert len(read("", seeds=f"{other}seeds = [7]").stages) == 2


def test_budgets_of_one_kind_rise_also_past_another_kind():
    text = TEXT.replace('budgets = ["5min"]', 'budgets = ["5min", "100 steps", "2min"]')
    values = {"{wish}": "", "{design}": 'design = "2^5"', "{seeds}": "seeds = [1]"}
    for key, value in values.items():
        text = text.replace(key, value)
    with pytest.raises(StudyError, match="2 min comes after 5 min"):
        parse(text, "s", get_trainer)


def test_a_stage_that_names_the_study_s_own_host_is_accounted_with_those_that_name_none():
    study = 'trainer = "simulator"\nhost = "windows"\n'
    more = 'seeds = [1]\n[[stages]]\nname = "again"\nkind = "replicate"\npackage = "screen"\nbudgets = ["5min"]\n'
    more += 'pick = [{ role = "best", from = "screen", best = 1 }]\nseeds = [7]\n'
    text = TEXT.replace('trainer = "simulator"\n', study).replace("{design}", 'design = "2^5"').replace("{wish}", "")
    read_back = parse(text.replace("{seeds}", more + 'host = "windows"'), "s", get_trainer)
    assert [stage.accounted_as for stage in read_back.stages] == ["screen", "screen"]
    with pytest.raises(StudyError, match="stage screen has host 'windows' and explicit seeds"):
        parse(text.replace("{seeds}", more + 'host = "linux"'), "s", get_trainer)
