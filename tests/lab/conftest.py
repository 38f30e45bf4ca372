"""The quick study, run once in this process's workers; tests that change it copy it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from foldover.core import Budget, Limit, Recipe, RunSpec, Settings
from foldover.execution import Progress
from foldover.lab import Session, create, open_session, run_study
from foldover.rundir import RunRoot
from foldover.trainers import get_trainer


class Silent:
    """A view that remembers what it was told."""

    label = ""

    def __init__(self) -> None:
        self.said: list[str] = []

    def show(self, progress: Progress) -> None:
        """Nobody looks."""

    def prepare(self, phase: str, share: float) -> None:
        """Nobody waits."""

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def view() -> Silent:
    return Silent()


@pytest.fixture(scope="session")
def settings() -> Settings:
    return Settings(jobs=2)


@pytest.fixture(scope="session")
def finished(quick_path: Path, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the quick study after `run`. Not to be written to."""
    root = tmp_path_factory.mktemp("lab") / "quick"
    run_study(create(quick_path, root), settings, Silent())
    return root


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Session:
    """A copy of it that a test may spoil."""
    shutil.copytree(finished, tmp_path / "study")
    return open_session(tmp_path / "study")


@pytest.fixture
def small_study(tmp_path: Path, quick_path: Path) -> Callable[..., Path]:
    """A study file of two factors in four conditions, with changes: (old text, new text)."""
    text = quick_path.read_text(encoding="utf-8")
    for letter in "CDE":
        head, _, rest = text.partition(f"[factors.{letter}]")
        text = head + rest[rest.index("[") :]
    text = text.replace('design = "2^(5-1)"\ngenerators = ["E=ABCD"]', "runs = 4")

    def make(*changes: tuple[str, str], name: str = "small.toml") -> Path:
        changed = text
        for old, new in changes:
            assert old in changed, old
            changed = changed.replace(old, new)
        path = tmp_path / name
        path.write_text(changed, encoding="utf-8")
        return path

    return make


@pytest.fixture(scope="session")
def train_small(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """From a seed, and scored tokens, to the folder of a run of 12 steps that kept its state. Not to be written to."""
    from foldover.lm.levers import CONSTANTS, LEVERS, PRESETS
    from foldover.lm.trainer import LMTrainer

    small = {"depth": 2, "aspect": 32, "context": 64, "total_batch": 512, "vocab_size": 512, "momentum_warmup": 4}
    recipe = Recipe(trainer="lm", values=LEVERS.complete(small, PRESETS["micro"]))
    root = RunRoot(tmp_path_factory.mktemp("small"))

    def train(seed: int, eval_tokens: int = 4096) -> Path:
        spec = RunSpec(
            study="",
            stage="",
            package="",
            condition="small",
            levels=(),
            recipe=recipe,
            budget=Budget(limit=Limit(kind="steps", amount=12.0)),
            seed=seed,
            constants=CONSTANTS.complete({"eval_tokens": eval_tokens}),
        )
        trainer = get_trainer("lm")
        assert isinstance(trainer, LMTrainer)
        trainer.prepare(recipe, spec.constants, lambda phase, share: None)
        with root.claim(spec) as folder:
            if folder is not None:
                root.finish(folder, trainer.train(spec, folder, Settings(device="cpu", keep_state=True)))
        return root.folder(spec.run_id)

    return train
