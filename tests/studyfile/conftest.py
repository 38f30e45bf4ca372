"""A small trainer with awkward shapes, and a study file to spoil."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from foldover.core import (
    LeverSet,
    Problem,
    Recipe,
    RecipeError,
    Resolved,
    Study,
    StudyError,
    UserError,
    Values,
    lever,
    levers_of,
)
from foldover.studyfile import parse

TEXT = """\
[study]
name = "toy"
question = "What does a small budget want?"
trainer = "toy"
seed = 11

[baseline]
preset = "micro"

[baseline.set]
model.heads = 2

[constants]
eval_tokens = 4096

[budget]
grace_seconds = 30

[factors.A]
lever = "depth"
low = 2
high = 4

[factors.B]
lever = "model.aspect"
low = 32
high = 64

[factors.C]
lever = "matrix_lr"
low = 0.02
high = 0.08

[factors.D]
lever = "total_batch"
low = 4096
high = 16384

[factors.E]
lever = "warmdown_ratio"
low = 0.3
high = 0.7
center = 0.45

[decision]
q = 0.1
smallest_effect = 0.01

[[stages]]
name = "screen"
kind = "screen"
budgets = ["2s", "6s"]
seeds = [1, 2]
runs = 16
generators = ["E=ABCD"]

[[stages]]
name = "confirm"
kind = "confirm"
after = "screen"
budgets = ["6s"]
seeds = [11, 12, 13]
best = 2
worst = 1

[[stages]]
name = "refine"
kind = "refine"
after = "screen"
budgets = ["6s"]
seeds = [21, 22]
centers = ["C", "E"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    depth: int = lever(8, "Blocks.", low=1, high=16)
    aspect: int = lever(64, "Width a block.", low=1, high=512)
    heads: int = lever(4, "Heads.", low=1, high=8)
    norm: str = lever("rms", "Norm.", choices=("rms", "layer"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimizer:
    matrix_lr: float = lever(0.04, "Learning rate.", low=1e-6, high=1.0, scale="log")
    nesterov: bool = lever(True, "Look ahead.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    total_batch: int = lever(2**15, "Tokens.", low=1024, high=2**20, scale="pow2")
    rows: int = lever(32, "Rows, a multiple of 16.", low=16, high=64, multiple_of=16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    warmdown_ratio: float = lever(0.5, "Share of the budget.", low=0.0, high=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    model: Model
    optimizer: Optimizer
    batch: Batch
    schedule: Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    corpus: str = lever("toy", "The text.", choices=("toy", "tiny"))
    eval_tokens: int = lever(1024, "Scored tokens.", low=1, high=2**30)


class ToyTrainer:
    """Width is depth times aspect rounded up to 64; more than 512 and `aspect` 500 cannot be built."""

    levers: LeverSet = levers_of(Config)
    constants: LeverSet = levers_of(Constants)
    presets: Mapping[str, Values] = {"micro": levers.complete({"depth": 2, "aspect": 32}), "large": levers.defaults()}
    responses = ("val_bpb", "val_loss")

    def resolve(self, recipe: Recipe) -> Resolved:
        values = recipe.values
        if values["model.aspect"] == 500:
            raise RecipeError("`model.aspect` 500 is odd", fix="Give another.")
        width = -(-values.integer("model.depth") * values.integer("model.aspect") // 64) * 64
        if width > 512:
            raise RecipeError("the width is above 512", value=width, fix="Lower depth or aspect.")
        effective = Values({name: value for name, value in values.items() if name != "model.aspect"}, width=width)
        return Resolved(recipe=recipe, derived=Values(width=width), effective=effective)


def trainer_of(name: str) -> ToyTrainer:
    if name != "toy":
        raise UserError(f"there is no trainer `{name}`", fix="There is `toy`.")
    return ToyTrainer()


def read(text: str) -> Study:
    return parse(text, "study.toml", trainer_of)


@pytest.fixture
def text() -> str:
    return TEXT


@pytest.fixture
def study_of() -> Callable[[str], Study]:
    return read


Problems = Callable[..., list[str]]


@pytest.fixture
def spoil() -> Problems:
    """The lines of the StudyError for the file with `old` replaced by `new` (pairs)."""

    def _spoil(*changes: str) -> list[str]:
        spoiled = TEXT
        for old, new in zip(changes[::2], changes[1::2], strict=True):
            assert old in spoiled
            spoiled = spoiled.replace(old, new, 1)
        with pytest.raises(StudyError) as caught:
            read(spoiled)
        assert all(isinstance(problem, Problem) for problem in caught.value.problems)
        return caught.value.lines()

    return _spoil
