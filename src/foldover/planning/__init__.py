"""Study and records in, the next runs out. Pure: nothing here reads, writes or waits."""

from foldover.planning.cost import Cost, CostKey, cost_key, estimate_cost, measured_seconds
from foldover.planning.expand import count_reruns, expand, package_name
from foldover.planning.gate import judge, rule_text, send_back
from foldover.planning.plan import Condition, Plan
from foldover.planning.recommend import Candidate, best_candidate, candidates, compare, recommend
from foldover.planning.requests import with_follow_ups
from foldover.planning.rungs import carried_on, expected_runs, most_runs, what_is_left
from foldover.planning.search import is_whole, plan_search, space_of, spent_by
from foldover.planning.stages import (
    best_of,
    longest_budget,
    ordered_conditions,
    plan_confirm,
    plan_picked,
    plan_refine,
    plan_screen,
    recipe_at,
)
from foldover.planning.trunks import Sharing, share_training, spent_before

__all__ = [
    "Candidate",
    "Condition",
    "Cost",
    "CostKey",
    "Plan",
    "Sharing",
    "best_candidate",
    "best_of",
    "candidates",
    "carried_on",
    "compare",
    "cost_key",
    "count_reruns",
    "estimate_cost",
    "expand",
    "expected_runs",
    "is_whole",
    "judge",
    "longest_budget",
    "measured_seconds",
    "most_runs",
    "ordered_conditions",
    "package_name",
    "plan_confirm",
    "plan_picked",
    "plan_refine",
    "plan_screen",
    "plan_search",
    "recipe_at",
    "recommend",
    "rule_text",
    "send_back",
    "share_training",
    "space_of",
    "spent_before",
    "spent_by",
    "what_is_left",
    "with_follow_ups",
]
