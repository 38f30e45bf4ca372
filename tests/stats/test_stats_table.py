"""Tables of runs: what counts, what is left out and why, and plain columns."""

from __future__ import annotations

from dataclasses import replace

import pytest

from foldover.core import AnalysisError, Budget, Limit, Outcome, Recipe, RunRecord, RunSpec, Values
from foldover.stats import Table, table_from_columns, tabulate

BUDGET = Budget(limit=Limit(kind="seconds", amount=300))


def record(
    condition: str = "c01",
    levels: tuple[float, ...] = (-1.0, -1.0),
    seed: int = 1,
    *,
    y: float | None = 1.0,
    status: str = "finished",
    exclusion: str = "",
    budget: Budget = BUDGET,
    host: str = "h1",
    attempt: int = 1,
) -> RunRecord:
    spec = RunSpec(
        study="s",
        stage="screen",
        package="screen@5",
        condition=condition,
        levels=levels,
        recipe=Recipe(trainer="sim", values=Values(x=levels[0] if levels else 0.0)),
        budget=budget,
        seed=seed,
    )
    outcome = Outcome(
        run_id=spec.run_id,
        status=status,  # type: ignore[arg-type]
        started="2026-01-01T00:00:00Z",
        finished="2026-01-01T00:05:00Z",
        responses=Values() if y is None else Values(val_bpb=y),
        machine=Values(host=host),
        fired=("warmdown",),
    )
    return RunRecord(spec=spec, attempt=attempt, outcome=outcome, exclusion=exclusion)


def square() -> list[RunRecord]:
    corners = {"c01": (-1.0, -1.0), "c02": (1.0, -1.0), "c03": (-1.0, 1.0), "c04": (1.0, 1.0)}
    return [
        record(label, levels, seed, y=1.0 + 0.1 * levels[0] + 0.01 * seed * levels[1])
        for label, levels in corners.items()
        for seed in (1, 2)
    ]


def table() -> Table:
    return tabulate(square(), response="val_bpb", letters="AB")


def test_counting_records_become_rows_with_their_columns() -> None:
    found = table()
    assert (len(found), found.levels.shape, found.hosts[0], found.budgets[0]) == (8, (8, 2), "h1", "5 min")
    assert found.seeds[:2] == (1, 2)
    assert found.fired[0] == ("warmdown",)


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        (record(seed=9, status="diverged", y=None), "diverged"),
        (record(seed=9, exclusion="wrong corpus"), "excluded: wrong corpus"),
        (record(seed=9, y=None), "finished without `val_bpb`"),
        (record("bridge", (), 9), "condition bridge has 0 coded levels, not 2"),
    ],
)
def test_a_run_that_does_not_count_is_listed_with_its_reason(extra: RunRecord, reason: str) -> None:
    found = tabulate([*square(), extra], response="val_bpb", letters="AB")
    assert [run.reason for run in found.left_out] == [reason]
    assert len(found) == 8


def test_one_run_that_counts_twice_is_refused() -> None:
    with pytest.raises(AnalysisError, match="count twice"):
        tabulate([*square(), record(seed=1, attempt=2)], response="val_bpb", letters="AB")


def test_a_failed_first_attempt_beside_a_finished_second_is_no_duplicate() -> None:
    first = record(seed=7, status="lost", y=None)
    second = record(seed=7, attempt=2)
    assert len(tabulate([*square(), first, second], response="val_bpb", letters="AB")) == 9


def test_a_table_of_failures_only_says_what_happened() -> None:
    with pytest.raises(AnalysisError, match="diverged"):
        tabulate([record(status="diverged", y=None)], response="val_bpb", letters="AB")


def test_conditions_with_the_same_results_under_every_seed_are_pointed_out() -> None:
    rows = [record(c, (x, -1.0), s, y=1.0 + 0.1 * s) for c, x in (("c01", -1.0), ("c02", 1.0)) for s in (1, 2)]
    found = tabulate(rows, response="val_bpb", letters="AB")
    assert "c01, c02 gave the same results" in found.notes[0]


def test_where_keeps_rows_and_left_out_runs_of_the_label() -> None:
    other = record(seed=5, status="timeout", y=None, budget=Budget(limit=Limit(kind="seconds", amount=600)))
    found = tabulate([*square(), other], response="val_bpb", letters="AB").where(budget="5 min", seed=2)
    assert (len(found), found.left_out) == (4, ())


def test_where_without_a_match_names_the_labels_that_exist() -> None:
    with pytest.raises(AnalysisError, match="5 min"):
        table().where(budget="9 min")


def test_budgets_are_ordered_by_amount_not_by_name() -> None:
    rows = [record(budget=Budget(limit=Limit(kind="seconds", amount=a)), y=a) for a in (600, 300, 120)]
    assert tabulate(rows, response="val_bpb", letters="AB").budget_labels() == ("2 min", "5 min", "10 min")


def test_columns_coded_with_minus_and_plus_one_are_taken_as_they_are() -> None:
    found = table_from_columns({"A": ["-1", "1", "0"], "y": ["1", "2", "3"]}, response="y", factors=["A"])
    assert found.levels[:, 0].tolist() == [-1.0, 1.0, 0.0]
    assert found.notes == ()


def test_natural_levels_are_coded_with_a_note() -> None:
    found = table_from_columns({"B": ["48", "72", "60"], "y": ["1", "2", "3"]}, response="y", factors=["B"])
    assert found.levels[:, 0].tolist() == [-1.0, 1.0, 0.0]
    assert found.notes == ("factor B: 48 is coded -1 and 72 is coded +1",)


def test_two_words_are_coded_alphabetically() -> None:
    found = table_from_columns({"act": ["silu", "gelu"], "y": ["1", "2"]}, response="y", factors=["act"])
    assert found.levels[:, 0].tolist() == [1.0, -1.0]


def test_three_words_cannot_be_a_factor() -> None:
    with pytest.raises(AnalysisError, match="more than two levels"):
        table_from_columns({"act": ["a", "b", "c"], "y": ["1", "2", "3"]}, response="y", factors=["act"])


def test_a_missing_response_without_a_status_names_its_line() -> None:
    with pytest.raises(AnalysisError, match=r"lines \[3\]"):
        table_from_columns({"A": ["-1", "1"], "y": ["1", "nan"]}, response="y", factors=["A"])


def test_a_missing_response_with_a_status_is_left_out_by_that_status() -> None:
    columns = {"A": ["-1", "1", "1"], "y": ["1", "", "2"], "status": ["ok", "diverged", ""]}
    found = table_from_columns(columns, response="y", factors=["A"])
    assert [(run.run_id, run.reason, run.levels) for run in found.left_out] == [("line 3", "diverged", (1.0,))]


def test_an_unknown_column_is_answered_with_the_nearest() -> None:
    with pytest.raises(AnalysisError, match="Did you mean `val_bpb`"):
        table_from_columns({"A": ["-1"], "val_bpb": ["1"]}, response="val_bpc", factors=["A"])


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(AnalysisError, match="differ in length"):
        table_from_columns({"A": ["-1", "1"], "y": ["1"]}, response="y", factors=["A"])


def test_rows_with_one_run_id_are_refused() -> None:
    columns = {"A": ["-1", "1"], "y": ["1", "2"], "run_id": ["r", "r"]}
    with pytest.raises(AnalysisError, match="one run_id"):
        table_from_columns(columns, response="y", factors=["A"])


def test_a_file_without_seeds_pairs_nothing() -> None:
    found = table_from_columns({"A": ["-1", "1"], "y": ["1", "2"]}, response="y", factors=["A"])
    with pytest.raises(AnalysisError, match="no seeds"):
        found.column("seed")


def test_seeds_that_are_words_are_numbered_with_a_note() -> None:
    columns = {"A": ["-1", "1"], "y": ["1", "2"], "seed": ["b", "a"]}
    found = table_from_columns(columns, response="y", factors=["A"])
    assert found.seeds == (2, 1)
    assert found.notes == ("seeds are numbered 1 = a, 2 = b",)


def test_rows_identical_in_every_column_are_pointed_out() -> None:
    columns = {"A": ["-1", "1", "1"], "y": ["1", "2", "2"]}
    found = table_from_columns(columns, response="y", factors=["A"])
    assert found.notes == ("rows line 3, line 4 are identical in every column: duplicated?",)


def test_rows_that_differ_in_another_column_are_replicates() -> None:
    columns = {"A": ["-1", "1", "1"], "y": ["1", "2", "2"], "day": ["mon", "mon", "tue"]}
    assert table_from_columns(columns, response="y", factors=["A"]).notes == ()


def test_planned_hosts_and_reruns_are_columns() -> None:
    runs = [replace(record(), spec=replace(record().spec, host="linux", rerun=i)) for i in (0, 1)]
    found = tabulate(runs, response="val_bpb", letters="AB")
    assert found.hosts == ("linux", "linux")
    assert found.column("rerun") == ("0", "1")
    assert "rerun" not in table().others
