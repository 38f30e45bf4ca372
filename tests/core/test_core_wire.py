"""Records as JSON and back: nothing is lost, damage is named, digests stay what they were."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldover.core import (
    Artifact,
    Budget,
    Design,
    Effect,
    Factor,
    Failure,
    LedgerError,
    Limit,
    Outcome,
    Recipe,
    Row,
    RunSpec,
    Search,
    Study,
    Values,
    digest,
    from_json,
    from_plain,
    to_json,
    to_plain,
)
from foldover.studyfile import parse
from foldover.trainers import get_trainer

QUICK = Path(__file__).parents[2] / "studies" / "quick.toml"

finite = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers() | finite | st.text(max_size=20)
values = st.dictionaries(st.text(max_size=12), scalars, max_size=6).map(Values)
recipes = st.builds(Recipe, trainer=st.text(max_size=8), values=values)
limits = st.builds(Limit, kind=st.just("seconds"), amount=st.floats(min_value=1e-6, max_value=1e9)) | st.builds(
    Limit, kind=st.sampled_from(["steps", "tokens", "flops"]), amount=st.integers(1, 2**53)
)
budgets = st.builds(
    Budget,
    limit=limits,
    grace_seconds=st.floats(min_value=1e-3, max_value=1e6),
    artifact_bytes=st.none() | st.integers(1, 2**40),
)
specs = st.builds(
    RunSpec,
    study=st.text(max_size=8),
    stage=st.text(max_size=8),
    package=st.text(max_size=8),
    condition=st.text(max_size=8),
    levels=st.lists(st.sampled_from([-1, 0, 1]) | finite, max_size=5).map(tuple),
    recipe=recipes,
    budget=budgets,
    seed=st.integers(0, 2**63 - 1),
    constants=values,
    starts_from=st.none() | st.text(max_size=16),
)
outcomes = st.builds(
    Outcome,
    run_id=st.text(max_size=16),
    status=st.sampled_from(["finished", "failed", "diverged", "timeout", "over_cap", "lost", "cancelled"]),
    started=st.text(max_size=30),
    finished=st.text(max_size=30),
    responses=values,
    counters=values,
    derived=values,
    fired=st.lists(st.text(max_size=8), max_size=3).map(tuple),
    artifact=st.none()
    | st.builds(
        Artifact,
        path=st.text(max_size=8),
        bytes=st.integers(0, 2**40),
        sha256=st.text(max_size=8),
        codec=st.text(max_size=8),
        roundtrip=st.none() | finite,
        cap=st.none() | st.integers(1, 2**30),
    ),
    failure=st.none() | st.builds(Failure, kind=st.text(max_size=8), message=st.text(max_size=8)),
)


def quick() -> Study:
    return parse(QUICK.read_text(), "quick.toml", get_trainer)


def a_spec() -> RunSpec:
    return RunSpec(
        study="s",
        stage="screen",
        package="screen @ 2 s",
        condition="c01",
        levels=(-1, 1),
        recipe=Recipe(trainer="lm", values=Values({"model.depth": 2, "optimizer.matrix_lr": 0.04})),
        budget=Budget(limit=Limit(kind="seconds", amount=2)),
        seed=7,
        constants=Values(corpus="sotu"),
    )


@given(specs)
def test_a_run_spec_comes_back_from_json_with_the_same_id(spec):
    again = from_json(RunSpec, to_json(spec))
    assert (again, again.run_id) == (spec, spec.run_id)


@given(outcomes)
def test_an_outcome_comes_back_from_json_as_it_was(outcome):
    assert from_json(Outcome, to_json(outcome)) == outcome


@given(values)
def test_values_keep_their_types_on_the_way(found):
    again = from_json(Values, to_json(found))
    assert [type(x) for x in again.values()] == [type(x) for x in found.values()]


@given(specs, st.integers(0, 4))
def test_indented_and_compact_json_are_the_same_record(spec, indent):
    assert from_json(RunSpec, to_json(spec, indent=indent)) == spec


def test_a_whole_study_comes_back_from_json_as_it_was():
    study = quick()
    assert from_json(Study, to_json(study)) == study


def test_a_design_comes_back_from_json_as_it_was():
    design = Design(
        name="d",
        kind="full",
        factors=(Factor(letter="A", lever="depth", low=2, high=4, kind="int"),),
        rows=(Row(label="c01", levels=(-1.0,), order=1), Row(label="c02", levels=(1.0,), order=0, kind="center")),
        aliases=(("A", ("BC", "DE")),),
        resolution=None,
    )
    assert from_json(Design, to_json(design)) == design


def test_an_effect_without_an_error_keeps_its_absences():
    effect = Effect(
        term="A",
        package="p",
        budget="2 s",
        estimate=0.1,
        se=None,
        low=None,
        high=None,
        level=0.95,
        p=None,
        q=None,
        retained=None,
        df=None,
        n=8,
        aliased_with=(),
        method="lenth",
    )
    assert from_plain(Effect, to_plain(effect)) == effect


def test_the_digest_is_the_sha256_of_sorted_compact_json():
    text = '{"a":1,"b":0.5,"c":"é","d":null,"e":true}'
    assert digest(Values(e=True, d=None, c="é", b=0.5, a=1)) == hashlib.sha256(text.encode()).hexdigest()


def test_the_id_of_a_run_is_what_earlier_versions_gave_it():
    # Golden: run folders are named by it, so a change makes every study on disk begin anew.
    assert a_spec().run_id == "4a4eb66389b16b1b"


def test_whole_levels_and_float_levels_are_one_run():
    plain = to_plain(a_spec())
    plain["levels"] = [-1, 1]
    assert from_plain(RunSpec, plain).run_id == a_spec().run_id


def test_minus_zero_is_the_centre_like_zero():
    ids = {from_plain(RunSpec, {**to_plain(a_spec()), "levels": [zero]}).run_id for zero in (0.0, -0.0)}
    assert len(ids) == 1


@pytest.mark.parametrize(
    "field", ["study", "stage", "package", "condition", "seed", "levels", "constants", "starts_from"]
)
def test_every_field_of_a_spec_is_part_of_its_id(field):
    other = {"seed": 8, "levels": [1.0, 1.0], "constants": {"corpus": "other"}}.get(field, "other")
    assert from_plain(RunSpec, {**to_plain(a_spec()), field: other}).run_id != a_spec().run_id


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_not_written(number):
    with pytest.raises(ValueError, match="JSON compliant"):
        to_json((number,))


def test_what_has_no_json_form_is_named():
    with pytest.raises(TypeError, match="set has no JSON form"):
        to_json({1, 2})


def damaged(**changes: object) -> str:
    return json.dumps({**to_plain(a_spec()), **changes})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "RunSpec has a value of the wrong kind"),
        (damaged(extra=1), r"RunSpec has unknown fields \['extra'\]"),
        (damaged(seed="7"), "RunSpec.seed has a value of the wrong kind"),
        (damaged(seed=True), "RunSpec.seed has a value of the wrong kind"),
        (damaged(levels=5), "RunSpec.levels has a value of the wrong kind"),
        (damaged(levels=["x"]), r"RunSpec.levels\[0\] has a value of the wrong kind"),
        (damaged(constants=[1]), "RunSpec.constants has a value of the wrong kind"),
        (damaged(constants={"a": [1]}), "RunSpec.constants.a has a value of the wrong kind"),
        (damaged(constants={"a": float("nan")}), "RunSpec.constants: a is not a finite number"),
        (damaged(levels=[float("inf")]), r"RunSpec.levels\[0\] has a value of the wrong kind"),
        (damaged(budget={"limit": {"kind": "days", "amount": 1}}), "RunSpec.budget.limit.kind"),
        (damaged(budget={"limit": {"kind": "steps", "amount": -1}}), "RunSpec.budget.limit cannot be"),
        (damaged(budget={"limit": {"kind": "steps", "amount": 10**400}}), "RunSpec.budget.limit.amount has a value"),
        (json.dumps({}), "RunSpec lacks the fields"),
    ],
)
def test_a_damaged_record_is_a_ledger_error_that_names_the_place(text, message):
    with pytest.raises(LedgerError, match=message):
        from_json(RunSpec, text)


def test_a_field_with_a_default_may_be_absent():
    plain = to_plain(a_spec())
    del plain["starts_from"]
    assert from_plain(RunSpec, plain) == a_spec()


def test_a_tuple_of_fixed_length_is_not_read_from_another_length():
    with pytest.raises(LedgerError, match="aliases"):
        from_plain(Design, {"name": "d", "kind": "full", "factors": [], "rows": [], "aliases": [["A"]]})


def test_a_field_that_came_later_is_written_only_where_it_says_something():
    """The digest of a search as it was before searches could have a cost."""
    before = {"strategy": "greedy", "runs": 50, "batch": 1, "letters": ["C"], "levels": [[-1.0, 0.5]]}
    search = Search(strategy="greedy", runs=50, letters=("C",), levels=((-1.0, 0.5),))
    assert to_plain(search) == before
    text = json.dumps(before, sort_keys=True, separators=(",", ":"))
    assert digest(search) == hashlib.sha256(text.encode()).hexdigest()
    assert from_plain(Search, before) == search
    costly = Search(strategy="asha", runs=None, batch=2, cost=Limit(kind="steps", amount=900))
    assert to_plain(costly)["cost"] == {"kind": "steps", "amount": 900.0}
    assert from_json(Search, to_json(costly)) == costly


@pytest.mark.parametrize("spoiled", [{"runs": None}, {"cost": {"kind": "steps", "amount": 5.0}}])
def test_a_search_that_cannot_be_is_damage(spoiled):
    plain = {**to_plain(Search(strategy="greedy", runs=5)), **spoiled}
    with pytest.raises(LedgerError, match="a search by greedy is given its runs"):
        from_plain(Search, plain)
