from __future__ import annotations

import subprocess
import sys

import pytest

from foldover.core import RecipeError
from foldover.trainers import TRAINERS_VARIABLE, get_trainer, trainer_names


def test_built_in_trainers_are_listed() -> None:
    assert trainer_names() == ("lm", "simulator")


def test_unknown_name_gives_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"Did you mean `simulator`\?.*Known: lm, simulator"):
        get_trainer("simulater")


def test_unknown_name_far_from_all_lists_them() -> None:
    with pytest.raises(RecipeError, match=r"not a trainer. Known: lm, simulator"):
        get_trainer("zzz")


def test_variable_adds_a_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRAINERS_VARIABLE, "mine=collections:OrderedDict , other=fractions:Fraction")
    assert trainer_names() == ("lm", "mine", "other", "simulator")
    assert type(get_trainer("mine")).__name__ == "OrderedDict"


@pytest.mark.parametrize("text", ["mine", "mine=", "mine=module", "=module:Trainer", "mine=module:", "mine=m:a b"])
def test_unreadable_entry_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRAINERS_VARIABLE, text)
    with pytest.raises(RecipeError, match="not readable"):
        trainer_names()


def test_built_in_trainer_cannot_be_redefined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRAINERS_VARIABLE, "lm=collections:OrderedDict")
    with pytest.raises(RecipeError, match="redefines the built-in trainer `lm`"):
        get_trainer("lm")


@pytest.mark.parametrize("target", ["no_such_module:Trainer", "collections:NoSuchTrainer"])
def test_trainer_that_cannot_be_imported_says_why(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRAINERS_VARIABLE, f"mine={target}")
    with pytest.raises(RecipeError, match=r"trainer `mine` .* cannot be imported: .*(No module|no attribute)"):
        get_trainer("mine")


def test_importing_the_registry_imports_no_trainer() -> None:
    code = (
        "import sys, foldover.trainers;"
        "print([m for m in sys.modules if m in ('torch', 'numpy', 'foldover.lm', 'foldover.simulator')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
