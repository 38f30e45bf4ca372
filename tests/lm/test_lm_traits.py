"""What the model knows of tokens, and runs of recipes that ask for it."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from lever_cases import config_of, neutral

from foldover.core import Budget, Limit, RunSpec, Settings
from foldover.data import PreparedData
from foldover.lm.levers import CONSTANTS, LEVERS, PRESETS
from foldover.lm.resolve import baseline_recipe
from foldover.lm.token_traits import (
    DIGIT,
    LETTERS,
    OTHER,
    PUNCTUATION,
    SPACE,
    SPECIAL,
    WORD_START,
    needs_traits,
    token_kind,
    token_traits,
)
from foldover.lm.trainer import LMTrainer
from foldover.rundir import RunRoot


@pytest.mark.parametrize(
    ("piece", "kind"),
    [
        (b" the", WORD_START),
        (" \u00fcber".encode(), WORD_START),
        (b"ing", LETTERS),
        (b" 7", DIGIT),
        (b"1984", DIGIT),
        (b", ", PUNCTUATION),
        (b"\n\n", SPACE),
        (b" ", SPACE),
        (b"\xc3", OTHER),
        (b"\x00", OTHER),
        (b"", SPECIAL),
    ],
)
def test_the_kind_of_a_token(piece: bytes, kind: int) -> None:
    assert token_kind(piece) == kind


def test_every_token_has_one_kind_and_specials_their_own(prepared: PreparedData) -> None:
    traits = token_traits(prepared)
    assert len(traits.kinds) == prepared.vocab_size
    assert set(np.unique(traits.kinds)) == set(range(7))
    assert traits.kinds[prepared.bos_id] == SPECIAL
    assert (np.flatnonzero(traits.kinds == SPECIAL) >= len(prepared.tokenizer.pieces)).all()


def test_counts_are_those_of_the_training_text(prepared: PreparedData) -> None:
    traits = token_traits(prepared)
    assert int(traits.counts.sum()) == len(prepared.train_tokens)
    assert traits.counts[prepared.bos_id] == len(prepared.train_offsets) - 1


def test_only_recipes_that_ask_need_traits() -> None:
    assert not needs_traits(config_of(PRESETS["autoresearch"]))
    assert not needs_traits(config_of(neutral().with_({"embedding.bigram_buckets": 64})))
    assert needs_traits(config_of(neutral().with_({"embedding.bigram_buckets": 64, "embedding.bigram_split": True})))


@pytest.mark.usefixtures("prepared")
def test_a_golf_run_with_loops_and_token_levers_finishes_and_says_that_the_loops_began(tmp_path: Path) -> None:
    levers = {
        "LOOP_START": 1,
        "LOOP_END": 1,
        "NUM_LOOPS": 1,
        "ENABLE_LOOPING_AT": 0.5,
        "BIGRAM_VOCAB_SIZE": 512,
        "bigram_split": True,
        "TOKEN_TYPE": True,
        "SMEAR": "gate",
        "COOC_QK": True,
        "MTP_NUM_HEADS": 1,
        "boundary_weight": 0.1,
    }
    spec = RunSpec(
        study="",
        stage="",
        package="",
        condition="",
        levels=(),
        recipe=baseline_recipe(LEVERS.complete(levers, PRESETS["golf-micro"])),
        budget=Budget(limit=Limit.parse("4 steps")),
        seed=3,
        constants=CONSTANTS.complete({"eval_tokens": 1024}),
    )
    runs = RunRoot(tmp_path)
    with runs.claim(spec) as folder:
        assert folder is not None
        outcome = LMTrainer().train(spec, folder, Settings())
        runs.finish(folder, outcome)
    assert outcome.status == "finished"
    assert "loops_started" in outcome.fired
