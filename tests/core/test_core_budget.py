"""Limits and budgets: reading, labels, refusals."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldover.core import Budget, BudgetError, Limit, Settings, common_ratio, ladder_to


@pytest.mark.parametrize(
    ("text", "kind", "amount"),
    [
        ("300s", "seconds", 300.0),
        ("1.5s", "seconds", 1.5),
        ("90 sec", "seconds", 90.0),
        ("5min", "seconds", 300.0),
        ("5 m", "seconds", 300.0),
        ("0.5 minutes", "seconds", 30.0),
        ("12h", "seconds", 43200.0),
        ("2 hours", "seconds", 7200.0),
        (" 300 Steps ", "steps", 300.0),
        ("1e9 tokens", "tokens", 1e9),
        ("1_000 tokens", "tokens", 1000.0),
        ("2.5e15 flops", "flops", 2.5e15),
    ],
)
def test_a_limit_is_read_from_its_text(text, kind, amount):
    assert Limit.parse(text) == Limit(kind=kind, amount=amount)


@pytest.mark.parametrize("text", ["", "5", "min", "-5s", "5 parsecs", "1.2.3s", "5 s s", "1__0s", "five s", "0x10s"])
def test_a_text_that_is_no_limit_is_shown_with_what_to_write(text):
    with pytest.raises(BudgetError, match=r'a budget is not readable .*Write e\.g\. "300s"') as caught:
        Limit.parse(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["0s", "0 steps"])
def test_a_limit_of_nothing_is_refused(text):
    with pytest.raises(BudgetError, match="must be positive"):
        Limit.parse(text)


@pytest.mark.parametrize("amount", [float("inf"), float("nan"), -1.0])
def test_a_limit_is_a_positive_finite_number(amount):
    with pytest.raises(BudgetError, match="must be positive"):
        Limit(kind="seconds", amount=amount)


@pytest.mark.parametrize("text", ["1.5 steps", "0.5 tokens", "2.5 flops"])
def test_only_seconds_come_in_parts(text):
    with pytest.raises(BudgetError, match="must be a whole number"):
        Limit.parse(text)


def test_an_unknown_kind_of_limit_is_refused():
    with pytest.raises(BudgetError, match=r"unknown kind of limit \(got 'days'\)\. Use seconds, steps"):
        Limit(kind="days", amount=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("2s", "2 s"),
        ("1.5s", "1.5 s"),
        ("60s", "1 min"),
        ("90s", "90 s"),
        ("10min", "10 min"),
        ("60min", "1 h"),
        ("12h", "12 h"),
        ("90min", "90 min"),
        ("300 steps", "300 steps"),
        ("1e9 tokens", "1e9 tokens"),
        ("375000000000 flops", "3.75e11 flops"),
        ("1234567 tokens", "1,234,567 tokens"),
        ("4096 tokens", "4,096 tokens"),
    ],
)
def test_labels_are_short_and_exact(text, label):
    assert Limit.parse(text).label() == label


@given(st.floats(min_value=1e-4, max_value=1e7).map(lambda x: float(f"{x:.9g}")))
def test_limits_in_seconds_that_differ_have_labels_that_differ(amount):
    shown = Limit(kind="seconds", amount=amount).label()
    number, unit = shown.split()
    assert float(number) * {"s": 1, "min": 60, "h": 3600}[unit] == pytest.approx(amount, rel=1e-9)


def test_a_budget_is_named_by_its_limit():
    assert Budget(limit=Limit.parse("5min"), grace_seconds=1, artifact_bytes=2**24).label() == "5 min"


@pytest.mark.parametrize("grace", [0, -1.0, float("nan")])
def test_grace_is_positive(grace):
    with pytest.raises(BudgetError, match="grace must be positive"):
        Budget(limit=Limit.parse("1s"), grace_seconds=grace)


def test_a_cap_on_the_artifact_is_positive():
    with pytest.raises(BudgetError, match="an artifact cap must be positive"):
        Budget(limit=Limit.parse("1s"), artifact_bytes=0)


@pytest.mark.parametrize(("name", "value"), [("jobs", 0), ("processes", 0), ("threads", 0)])
def test_machine_settings_begin_at_one(name, value):
    with pytest.raises(BudgetError, match=f"{name} must be at least 1"):
        Settings(**{name: value})


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1"])
def test_known_devices_are_accepted(device):
    assert Settings(device=device).device == device


@pytest.mark.parametrize("device", ["", "gpu", "cud", "cuda:", "cuda:x", "CPU"])
def test_an_unknown_device_is_refused_before_any_run(device):
    with pytest.raises(BudgetError, match=r"unknown device .* Use auto, cpu, cuda or cuda:N"):
        Settings(device=device)


def limits(kind, *amounts):
    return [Limit(kind=kind, amount=amount) for amount in amounts]


@pytest.mark.parametrize(
    ("kind", "amounts", "ratio"),
    [
        ("seconds", (60, 180, 540), 3.0),
        ("seconds", (66.67, 200, 600), 3.0),  # written with four digits
        ("seconds", (100, 150, 225), 1.5),
        ("seconds", (120, 300), 2.5),
        ("steps", (34, 100, 300), 3.0),  # 100, 300, 900 times a third, rounded up
        ("steps", (100, 250, 625), 2.5),
        ("flops", (1.11e12, 3.33e12, 1e13), 3.0),
        ("seconds", (120, 300, 600), None),
        ("seconds", (60, 180, 545), None),
        ("steps", (100, 300, 950), None),
    ],
)
def test_limits_of_one_rate_are_told_from_others(kind, amounts, ratio):
    found = common_ratio(limits(kind, *amounts))
    assert found == (None if ratio is None else pytest.approx(ratio))
    assert found is None or ratio != int(ratio) or found == ratio


@given(st.integers(1, 10**6), st.integers(2, 5), st.integers(2, 5), st.floats(0.01, 3.0))
def test_a_ladder_of_steps_that_is_scaled_and_rounded_up_stays_one(least, ratio, rungs, factor):
    scaled = [max(1, math.ceil(round(least * ratio**i * factor, 6))) for i in range(rungs)]
    assert common_ratio(limits("steps", *scaled)) == ratio or len(set(scaled)) < rungs or scaled[0] < 10


@given(st.floats(10.0, 1e6), st.integers(2, 5), st.integers(2, 6), st.sampled_from(["seconds", "steps"]))
def test_the_ladder_that_is_shown_is_one(largest, ratio, rungs, kind):
    limit = Limit(kind=kind, amount=largest if kind == "seconds" else round(largest) * ratio**rungs)
    ladder = ladder_to(limit, ratio=ratio, rungs=rungs)
    assert (len(ladder), common_ratio(ladder)) == (rungs, ratio)
    assert [Limit.parse(each.label().replace(",", "")) for each in ladder] == list(ladder)
