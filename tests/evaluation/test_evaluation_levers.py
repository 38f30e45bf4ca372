import re
import subprocess
import sys

import pytest

from foldover.core import RecipeError
from foldover.evaluation.checks import check_evaluate
from foldover.evaluation.levers import EVALUATE_LEVERS
from foldover.lm.levers import LEVERS

from .conftest import levers

GOLF_NAMES = """
    EVAL_STRIDE EVAL_SEQ_LEN EVAL_TEMP TTT_CHUNK_TOKENS TTT_LR TTT_EPOCHS TTT_MOMENTUM TTT_FREEZE_BLOCKS TTT_GRAD_CLIP
    TTT_BATCH_SEQS TTT_LORA_RANK TTT_LORA_LR TTT_CHUNK_SIZE TTT_EVAL_SEQ_LEN EVAL_CACHE_MIX_WEIGHT
    EVAL_BIGRAM_MIX_WEIGHT EVAL_CACHE_SIZE TTT_LORA_ALPHA TTT_BETA1 TTT_BETA2 TTT_WEIGHT_DECAY TTT_BATCH_SIZE
    GLOBAL_TTT_LR GLOBAL_TTT_EPOCHS GLOBAL_TTT_CHUNK_TOKENS GLOBAL_TTT_BATCH_SEQS GLOBAL_TTT_MOMENTUM
    GLOBAL_TTT_GRAD_CLIP
"""


@pytest.mark.parametrize("name", GOLF_NAMES.split())
def test_the_names_of_the_public_scripts_are_accepted(name: str) -> None:
    assert EVALUATE_LEVERS.find(name).phase == "evaluate"


def test_every_lever_is_declared_fully() -> None:
    assert all(lever.phase == "evaluate" and lever.doc and lever.source for lever in EVALUATE_LEVERS.values())
    owners = {re.split("=", lever.needs)[0] for lever in EVALUATE_LEVERS.values() if lever.needs}
    assert owners <= set(EVALUATE_LEVERS)


def test_they_are_levers_of_the_trainer_under_unambiguous_names() -> None:
    assert {name: LEVERS[name] for name in EVALUATE_LEVERS} == dict(EVALUATE_LEVERS)
    assert all(LEVERS.find(lever.short_name) == lever for lever in EVALUATE_LEVERS.values())


def test_what_switches_something_on_is_off_by_default() -> None:
    assert all(lever.neutral in (None, lever.default) for lever in EVALUATE_LEVERS.values())


def test_the_levers_need_no_torch() -> None:
    code = "import sys, foldover.evaluation.levers, foldover.evaluation.score; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"mode": "sliding", "stride": 17}, "stride"),
        ({"tap_in_shortest": 8, "tap_in_longest": 7}, "tap_in_shortest"),
        ({"adapt": "lora"}, "isolation"),
        ({"adapt": "sgd", "adapt_reset": "document"}, "isolation"),
    ],
)
def test_values_that_do_not_fit_each_other_are_refused(values: dict[str, object], what: str) -> None:
    with pytest.raises(RecipeError, match=what):
        check_evaluate(levers(**values), context=16)
