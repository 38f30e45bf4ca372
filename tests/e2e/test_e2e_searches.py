"""Searches over rungs, killed in the middle: every run ends once, and the study ends as if nothing had happened."""

from __future__ import annotations

from pathlib import Path

import pytest

SHIPPED = Path(__file__).parents[2] / "studies" / "searches.toml"
PACE = 0.0002
KEPT = ("asha", "bohb")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Two of the shipped searches and nothing else, each for 45 minutes of training."""
    text = SHIPPED.read_text(encoding="utf-8")
    stages = {block.split('"')[1]: block for block in text.split("[[stages]]\n")[1:]}
    whole = text[: text.index("# 16 conditions")].replace('"calibrated"\n', f'"calibrated"\npace = {PACE}\n')
    for name in KEPT:
        whole += "[[stages]]\n" + stages[name].replace('matched_to = "screen"', 'cost = "45min"')
    path = tmp_path / "small.toml"
    path.write_text(whole, encoding="utf-8")
    return path


def test_searches_that_are_killed_go_on_and_end_the_same(killed_twice, small):
    responses = []
    for session in killed_twice(small):
        with session.ledger(read_only=True) as ledger:
            responses.append({record.spec.run_id: record.outcome.responses for record in ledger.records()})
    assert responses[0] == responses[1]
