"""Levers: domains, names, declaration and binding."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldover.core import Lever, LeverSet, RecipeError, Values, bind, lever, levers_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    depth: int = lever(8, "Blocks.", low=1, high=16)
    norm: str = lever("rms", "Norm.", choices=("rms", "layer"), neutral="rms")
    scale: float = lever(1.0, "Scale of the model.", low=0.0, high=2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimizer:
    matrix_lr: float = lever(0.04, "Rate.", low=1e-6, high=1.0, scale="log", unit="per step")
    nesterov: bool = lever(True, "Look ahead.")
    scale: float = lever(1.0, "Scale of the update.", low=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    model: Model
    optimizer: Optimizer
    total_batch: int = lever(2048, "Tokens.", low=1024, high=65536, scale="pow2", fires="batch_full")
    rows: int = lever(32, "Rows.", low=16, high=64, multiple_of=16)


LEVERS = levers_of(Config)


def test_levers_are_named_by_their_path_in_order_of_declaration():
    assert list(LEVERS) == [
        "model.depth",
        "model.norm",
        "model.scale",
        "optimizer.matrix_lr",
        "optimizer.nesterov",
        "optimizer.scale",
        "total_batch",
        "rows",
    ]


def test_a_lever_has_what_was_declared():
    assert LEVERS["total_batch"] == Lever(
        name="total_batch",
        kind="int",
        default=2048,
        doc="Tokens.",
        low=1024,
        high=65536,
        scale="pow2",
        fires="batch_full",
    )


@pytest.mark.parametrize(("name", "group", "short"), [("model.depth", "model", "depth"), ("rows", "", "rows")])
def test_a_name_has_a_group_and_a_short_form(name, group, short):
    assert (LEVERS[name].group, LEVERS[name].short_name) == (group, short)


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("model.depth", "a whole number from 1 to 16"),
        ("model.norm", "one of rms, layer"),
        ("optimizer.matrix_lr", "a number from 1e-06 to 1 (per step)"),
        ("optimizer.nesterov", "true or false"),
        ("optimizer.scale", "a number from 0 to inf"),
        ("total_batch", "a whole number from 1024 to 65536, a power of two"),
        ("rows", "a whole number from 16 to 64, a multiple of 16"),
    ],
)
def test_domains_are_said_in_words(name, domain):
    assert LEVERS[name].domain() == domain


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("model.depth", 16, 16),
        ("model.depth", 4.0, 4),
        ("model.norm", "layer", "layer"),
        ("optimizer.matrix_lr", 1, 1.0),
        ("optimizer.nesterov", False, False),
        ("total_batch", 65536, 65536),
        ("rows", 48, 48),
    ],
)
def test_a_value_is_given_back_in_the_levers_own_type(name, given, expected):
    checked = LEVERS[name].check(given)
    assert (checked, type(checked)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("model.depth", 0),
        ("model.depth", 17),
        ("model.depth", 2.5),
        ("model.depth", True),
        ("model.depth", "2"),
        ("model.depth", None),
        ("model.norm", "batch"),
        ("model.norm", 1),
        ("optimizer.matrix_lr", 0.0),
        ("optimizer.matrix_lr", float("nan")),
        ("optimizer.scale", float("inf")),
        ("optimizer.scale", -0.1),
        ("optimizer.nesterov", 1),
        ("optimizer.nesterov", "true"),
        ("total_batch", 3000),
        ("total_batch", 512),
        ("rows", 40),
    ],
)
def test_a_value_outside_the_domain_is_refused_with_lever_value_and_domain(name, value):
    with pytest.raises(RecipeError) as caught:
        LEVERS[name].check(value)
    assert str(caught.value) == f"`{name}` cannot be {value!r}. Give {LEVERS[name].domain()}."


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("model.depth", " 4 ", 4),
        ("model.depth", "1_6", 16),
        ("model.depth", "4.0", 4),
        ("model.norm", "layer", "layer"),
        ("optimizer.matrix_lr", "4e-2", 0.04),
        ("optimizer.nesterov", "False", False),
        ("total_batch", "4096", 4096),
    ],
)
def test_a_value_is_read_from_a_command_line(name, text, expected):
    assert LEVERS[name].parse(text) == expected


@pytest.mark.parametrize(
    ("name", "text"), [("model.depth", "four"), ("optimizer.nesterov", "yes"), ("model.norm", ""), ("rows", "nan")]
)
def test_a_text_that_is_no_value_is_refused(name, text):
    with pytest.raises(RecipeError, match=f"`{name}` cannot be"):
        LEVERS[name].parse(text)


@given(st.integers(1, 16))
def test_a_whole_number_survives_being_written_and_parsed(number):
    assert LEVERS["model.depth"].parse(str(number)) == number


@given(st.floats(min_value=1e-6, max_value=1.0))
def test_a_float_survives_being_written_and_parsed(number):
    assert LEVERS["optimizer.matrix_lr"].parse(repr(number)) == number


@pytest.mark.parametrize(("name", "full"), [("model.depth", "model.depth"), ("depth", "model.depth"), ("rows", "rows")])
def test_a_lever_is_found_by_its_full_name_or_by_a_short_one_that_is_unique(name, full):
    assert LEVERS.find(name).name == full


def test_a_short_name_that_two_levers_have_is_refused_with_both():
    with pytest.raises(
        RecipeError, match=r"`scale` could be `model\.scale`, `optimizer\.scale`\. Write the full name\."
    ):
        LEVERS.find("scale")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("matrix_rl", "matrix_lr"),
        ("model.dept", "model.depth"),
        ("total-batch", "total_batch"),
        ("nesterow", "nesterov"),
    ],
)
def test_an_unknown_lever_is_answered_with_the_nearest(name, nearest):
    with pytest.raises(RecipeError) as caught:
        LEVERS.find(name)
    assert str(caught.value) == f"`{name}` is not a lever. Did you mean `{nearest}`?"


def test_a_name_near_to_none_is_answered_with_where_they_are_listed():
    with pytest.raises(RecipeError, match="`foldover levers` lists them"):
        LEVERS.find("zzzzzz")


def test_completing_fills_the_rest_with_defaults():
    assert LEVERS.complete({"depth": 2}) == LEVERS.defaults().with_({"model.depth": 2})


def test_completing_on_a_base_keeps_it():
    base = LEVERS.defaults().with_({"rows": 64})
    assert LEVERS.complete({"depth": 2}, base)["rows"] == 64


def test_completing_checks_every_value():
    with pytest.raises(RecipeError, match=r"`rows` cannot be 17"):
        LEVERS.complete({"rows": 17})


def test_a_set_of_levers_is_a_mapping():
    assert (len(LEVERS), "rows" in LEVERS, "depth" in LEVERS) == (8, True, False)


def test_two_levers_of_one_name_are_a_mistake():
    with pytest.raises(ValueError, match="two levers have one name"):
        LeverSet((LEVERS["rows"], LEVERS["rows"]))


def test_a_default_outside_its_own_domain_is_noticed_at_declaration():
    @dataclass(frozen=True, kw_only=True)
    class Wrong:
        depth: int = lever(0, "Blocks.", low=1)

    with pytest.raises(RecipeError, match="`depth` cannot be 0"):
        levers_of(Wrong)


def test_bound_values_come_out_where_they_were_declared():
    config = bind(Config, LEVERS.complete({"depth": 2, "nesterov": False, "rows": 64}))
    assert (config.model.depth, config.optimizer.nesterov, config.rows) == (2, False, 64)


def test_binding_needs_every_lever_that_has_no_neutral_setting():
    with pytest.raises(RecipeError, match="no value for lever `rows`"):
        bind(Config, Values({name: value for name, value in LEVERS.defaults().items() if name != "rows"}))


def test_a_recipe_from_before_a_lever_existed_has_it_neutral():
    older = {name: value for name, value in LEVERS.complete({"norm": "layer"}).items() if name != "model.norm"}
    assert bind(Config, Values(older)).model.norm == "rms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    corpus: str = lever("sotu", "The text.", choices=("sotu", "path:"))


def test_a_text_lever_takes_its_choices_and_what_begins_with_an_open_one():
    corpus = levers_of(Open)["corpus"]
    assert (corpus.kind, corpus.check("sotu"), corpus.parse("path:/a b")) == ("text", "sotu", "path:/a b")


@pytest.mark.parametrize("value", ["", "sotu2", "path:", "hub:x", "path:a\nb", 3])
def test_a_text_of_no_form_is_refused(value):
    with pytest.raises(RecipeError, match=r"one of sotu, path:\.\.\."):
        levers_of(Open)["corpus"].check(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    gate: str = lever("none", "Gate.", choices=("none", "dense", "sparse"), neutral="none", aliases=("GATE",))
    gate_scale: float = lever(0.5, "Its scale.", low=0.0, needs="gate=sparse")
    gate_shift: float = lever(0.0, "Its shift.", low=0.0, needs="gate")
    order: str = lever("", "Order of blocks.", pattern=r"|\d+(,\d+)*", neutral="")


PARTS = levers_of(Parts)


def test_a_lever_is_found_by_an_alias():
    assert PARTS.find("GATE").name == "gate"
    assert PARTS.complete({"GATE": "dense"})["gate"] == "dense"


def test_an_alias_that_is_nearly_right_is_named():
    with pytest.raises(RecipeError, match="GATE"):
        PARTS.find("GATES")


def test_an_alias_of_two_levers_is_a_mistake():
    first, second = (Lever(name=name, kind="bool", default=True, doc=".", aliases=("X",)) for name in "ab")
    with pytest.raises(ValueError, match="alias"):
        LeverSet((first, second))


@pytest.mark.parametrize(
    ("name", "gate", "acts"),
    [
        ("gate_scale", "none", False),
        ("gate_scale", "dense", False),
        ("gate_scale", "sparse", True),
        ("gate_shift", "none", False),
        ("gate_shift", "dense", True),
        ("gate", "none", True),
    ],
)
def test_a_lever_acts_only_while_what_it_needs_is_on(name, gate, acts):
    assert PARTS.acts(name, PARTS.complete({"gate": gate})) is acts


@pytest.mark.parametrize("text", ["", "0", "0,1,10"])
def test_a_text_that_matches_the_pattern_is_taken(text):
    assert PARTS["order"].check(text) == text


@pytest.mark.parametrize("text", ["a", "0,", " 0"])
def test_a_text_that_does_not_match_is_refused(text):
    with pytest.raises(RecipeError, match="a text like"):
        PARTS["order"].check(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phased:
    rate: float = lever(0.1, "Of training.", low=0.0, high=1.0)
    pack: bool = lever(False, "Whether it is packed.", neutral=False, phase="export")
    bits: int = lever(6, "Of a weight.", low=2, high=8, neutral=32, phase="export", needs="pack")


SPARSE = levers_of(Phased, is_sparse=True)


def test_sparse_values_leave_out_later_phases_that_nobody_set():
    assert SPARSE.defaults() == Values(rate=0.1)
    assert SPARSE.complete({"bits": 4}) == Values(rate=0.1, bits=4)
    assert levers_of(Phased).defaults() == Values(rate=0.1, pack=False, bits=6)


def test_what_sparse_values_leave_out_is_at_its_default():
    assert SPARSE.value("bits", Values(rate=0.1)) == 6
    assert not SPARSE.acts("bits", Values(rate=0.1))
    assert SPARSE.acts("bits", Values(rate=0.1, pack=True))
    assert bind(Phased, Values(rate=0.2)) == Phased(rate=0.2, pack=False, bits=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grown:
    rate: float = lever(0.1, "Of training.", low=0.0, high=1.0)
    pause: float = lever(0.0, "Came later.", low=0.0, high=9.0, neutral=0.0, is_later=True)


def test_sparse_values_leave_out_later_levers_that_nobody_set():
    grown = levers_of(Grown, is_sparse=True)
    assert grown.defaults() == Values(rate=0.1)
    assert grown.complete({"pause": 2.0}) == Values(rate=0.1, pause=2.0)
    assert grown.value("pause", Values(rate=0.1)) == 0.0
    assert bind(Grown, Values(rate=0.1)) == Grown(rate=0.1, pause=0.0)
    assert grown.at_rest_after_training(Values(rate=0.1, pause=2.0)) == Values(rate=0.1, pause=2.0)
    assert levers_of(Grown).defaults() == Values(rate=0.1, pause=0.0)


def test_a_later_lever_is_neutral_by_default():
    with pytest.raises(ValueError, match="its default must be its neutral value"):
        Lever(name="pause", kind="float", default=1.0, neutral=0.0, doc=".", is_later=True)


def test_a_lever_of_training_without_a_value_is_still_a_mistake():
    with pytest.raises(RecipeError, match="no value for lever `rate`"):
        bind(Phased, Values(bits=4))


def test_at_rest_after_training_sparse_values_are_those_of_training():
    assert SPARSE.at_rest_after_training(Values(rate=0.2, pack=True, bits=4)) == Values(rate=0.2)
    full = levers_of(Phased)
    assert full.at_rest_after_training(full.complete({"pack": True})) == Values(rate=0.1, pack=False, bits=32)
