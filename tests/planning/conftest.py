"""A study of five factors on the simulator, planned; summaries made up."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from foldover.core import ConditionSummary, Study
from foldover.planning import Plan, plan_screen
from foldover.planning.stages import Resolve
from foldover.trainers import get_trainer


@pytest.fixture(scope="session")
def resolve() -> Resolve:
    return get_trainer("simulator").resolve


@pytest.fixture(scope="session")
def screen(quick_study: Study, resolve: Resolve) -> Plan:
    """The plan of the screen of `quick`."""
    return plan_screen(quick_study, quick_study.stage("screen"), resolve)


@pytest.fixture
def summary_of() -> Callable[..., ConditionSummary]:
    def make(condition: str, mean: float, *, package: str = "screen @ 5 min", n: int = 3) -> ConditionSummary:
        return ConditionSummary(
            package=package,
            budget=package.partition(" @ ")[2],
            condition=condition,
            n=n,
            mean=mean,
            sd=None,
            low=None,
            high=None,
            level=0.95,
            seeds=tuple(range(n)),
        )

    return make
