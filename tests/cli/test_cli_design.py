"""`foldover design`: what it prints, writes and refuses."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from foldover.designs import from_csv, from_json
from foldover.lab import read_design


@pytest.fixture
def factor_file(tmp_path: Path) -> Path:
    path = tmp_path / "factors.toml"
    path.write_text(
        '[factors.A]\nname = "model.depth"\nlow = 6\nhigh = 8\n\n'
        '[factors.B]\nname = "lr"\nlow = 0.01\nhigh = 0.04\nscale = "log"\n\n'
        '[factors.C]\nname = "optimizer"\nlow = "adam"\nhigh = "muon"\n'
    )
    return path


def test_half_fraction_of_five_factors_prints_its_relation_and_resolution(call):
    out = call("design", "2^(5-1)").out
    assert "defining relation: I = ABCDE\n" in out
    assert "resolution V;" in out


@pytest.mark.parametrize("chain", ["AB = CDE", "AC = BDE", "AE = BCD", "BC = ADE", "DE = ABC", "A = BCDE"])
def test_half_fraction_says_which_terms_alias_each_interaction(call, chain):
    assert chain in " ".join(call("design", "2^(5-1)").out.split())


def test_a_design_prints_efficiency_and_power(call):
    out = call("design", "2^(5-1)").out
    assert "main          5  100.0%  100.0%  100.0%" in out
    assert "power (two-sided 5%)" in out


def test_json_is_the_design_with_its_card(call):
    document = call("design", "2^(5-1)", "--json").json
    card = document["card"]
    assert from_json(json.dumps(document)).generators == ("E=ABCD",)
    assert (card["resolution"], card["pattern"], card["words"]) == ("V", [0, 0, 1], ["ABCDE"])
    assert dict(card["aliases"])["AB"] == ["CDE"]
    assert [e["d"] for e in card["efficiencies"]] == pytest.approx([100.0, 100.0])


def test_nine_factors_in_sixteen_runs_need_a_fold_over(call):
    card = call("design", "--runs", 16, "--factors", 9, "--json").json["card"]
    assert (card["num_runs"], card["resolution"], card["pattern"][:2]) == (16, "III", [4, 14])
    assert any("--augment foldover" in caution for caution in card["cautions"])


def test_a_fold_over_of_resolution_three_is_four(call):
    card = call("design", "2^(7-4)", "--augment", "foldover", "--json").json["card"]
    assert (card["num_runs"], card["resolution"], card["pattern"][:2]) == (16, "IV", [0, 7])


def test_requirement_and_resolution_together_take_the_fewest_runs_that_have_both(call):
    card = call("design", "--factors", 7, "--clear", "AB,AC", "--resolution", 4, "--json").json["card"]
    assert (card["num_runs"], card["resolution"]) == (32, "IV")
    assert {"AB", "AC"} <= set(card["clear_two_factor"])


def test_power_agrees_with_the_power_function(call):
    from foldover.stats import power_of

    options = ("--sd", 0.012, "--effect", 0.004, "--seeds", "5,24", "--json")
    found = call("design", "2^(5-1)", *options).json["card"]["power"]
    expected = [power_of(0.004, 0.012, runs=16, seeds=n).power for n in (5, 24)]
    assert [p["power"] for p in found] == pytest.approx(expected, abs=1e-12)


def test_factors_of_a_file_have_their_natural_levels_in_the_table(call, factor_file):
    out = call("design", "--factors", factor_file).out
    assert "depth    lr  optimizer" in out
    assert "8  0.04       muon" in out


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "f.json",
            '[{"letter": "A", "name": "depth", "low": 6, "high": 8}, {"name": "lr", "low": 0.01, "high": 0.04}]',
        ),
        ("f.csv", "letter,name,low,high\nA,depth,6,8\n,lr,0.01,0.04\n"),
        ("f.csv", "letter;name;low;high\nA;depth;6;8\nB;lr;0,01;0,04\n"),
    ],
)
def test_factors_are_read_from_json_and_csv(call, tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    factors = call("design", "--factors", path, "--json").json["design"]["factors"]
    assert [(f["letter"], f["lever"], f["low"], f["high"]) for f in factors] == [
        ("A", "depth", 6, 8),
        ("B", "lr", 0.01, 0.04),
    ]


def test_the_worksheet_has_a_row_for_each_run_in_a_random_order(call):
    text = call("design", "2^3", "--csv", "-").out
    rows = list(csv.DictReader(io.StringIO(text.partition("\n")[2])))
    assert sorted(int(row["order"]) for row in rows) == list(range(8))
    assert [int(row["order"]) for row in rows] != list(range(8))


def test_standard_order_leaves_the_rows_as_they_are(call):
    rows = call("design", "2^3", "--order", "standard", "--json").json["design"]["rows"]
    assert [row["order"] for row in rows] == list(range(8))


def test_the_same_seed_gives_the_same_run_order(call):
    first, second, other = (
        call("design", "2^4", "--seed", seed, "--json").json["design"]["rows"] for seed in (7, 7, 8)
    )
    assert first == second
    assert first != other


def test_written_files_are_read_back_as_the_same_design(call, tmp_path, factor_file):
    sheet, document = tmp_path / "d.csv", tmp_path / "d.json"
    assert call("design", "--factors", factor_file, "--csv", sheet, "-o", document).code == 0
    assert read_design(sheet) == read_design(document) == from_csv(sheet.read_text())


def test_a_forbidden_combination_is_an_error_that_names_rows(call):
    done = call("design", "2^3", "--forbid", "A=+ B=+")
    assert done.code == 2
    assert "A=+ & B=+" in done.err
    assert "c07" in done.err


def test_a_forbidden_combination_is_gone_around_by_the_other_half(call):
    options = ("--forbid", "A=+ B=+ C=+", "--on-forbidden", "around", "--json")
    design = call("design", "2^(3-1)", *options).json["design"]
    assert all(row["levels"] != [1.0, 1.0, 1.0] for row in design["rows"])
    assert design["generators"] == ["C=-AB"]


def test_an_optimal_design_keeps_out_of_the_forbidden_corner(call):
    options = ("--kind", "doptimal", "--factors", 4, "--runs", 14, "--forbid", "A=+ B=+", "--json")
    design = call("design", *options).json["design"]
    assert not [row for row in design["rows"] if row["levels"][:2] == [1.0, 1.0]]


@pytest.mark.parametrize(
    ("arguments", "runs"),
    [
        (("--kind", "pb", "--factors", 11), 12),
        (("--kind", "ccd", "--factors", 3), 20),
        (("--kind", "bbd", "--factors", 4), 27),
        (("--kind", "dsd", "--factors", 6), 13),
        (("--kind", "ioptimal", "--factors", 3, "--runs", 12, "--model", "quadratic"), 12),
        (("2^4", "--augment", "centers:4"), 20),
        (("2^3", "--augment", "replicate:2"), 16),
        (("2^(6-2)", "--augment", "semifold:A"), 24),
        (("2^(6-2)", "--augment", "semifold:A:B+"), 24),
        (("2^4", "--blocks", 2), 16),
        (("2^(5-1)", "--whole-plot", "A,B"), 16),
    ],
)
def test_kinds_and_augmentations_have_their_number_of_runs(call, arguments, runs):
    document = call("design", *arguments, "--json").json
    assert document["card"]["num_runs"] == len(document["design"]["rows"]) == runs


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("2^(5-2)", "--generators", "D=A,E=B"), "resolution II"),
        (("2^(5-1)", "--runs", 8), "16 runs, but 8"),
        (("2^(5-1)", "--factors", 6), "5 factors, but 6"),
        (("2^(40-1)",), "40"),
        (("--factors", 20), "--runs"),
        (("--factors", "nowhere.toml"), "neither a number nor a file"),
        (("--factors", 30, "--runs", 30), "multiple of 4"),
        (("--kind", "doptimal", "--factors", 3), "--runs"),
        (("2^4", "--augment", "fold"), "foldover"),
        (("2^4", "--augment", "centers"), "centers:4"),
        (("2^(4-1)", "--effect", "0.1"), "--sd"),
        (("five",), "not readable"),
        ((), "no factors"),
        (("--factors", 0), "1 to"),
        (("2^(8-4)", "--augment", "foldover"), "single factor"),
    ],
)
def test_what_cannot_be_is_refused_and_says_what_to_do(call, arguments, words):
    done = call("design", *arguments)
    assert done.code == 2
    assert words in done.err


def test_an_unknown_field_of_a_factor_is_named(call, tmp_path):
    path = tmp_path / "f.toml"
    path.write_text('[factors.A]\nname = "depth"\nlow = 6\nhgih = 8\n')
    done = call("design", "--factors", path)
    assert done.code == 2
    assert "factor A" in done.err
    assert "hgih" in done.err
