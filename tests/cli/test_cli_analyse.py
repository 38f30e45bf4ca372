"""`foldover analyse FILE`: known answers, what it reads, what it warns of, what it refuses."""

from __future__ import annotations

import itertools
import json
import math
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = ROOT / "docs" / "data"
FILTRATION = ("analyse", DATA / "filtration.csv", "--response", "rate", "--maximize", "--factors")
NAMES = "temperature,pressure,formaldehyde,stirring"
YIELD = ("analyse", DATA / "process_yield.csv", "--response", "yield", "--factors", "A,B,C,D,E")
ASKED = ("--response", "y", "--factors", "A,B,C")

Rows = Sequence[Sequence[object]]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A CSV file of a header and rows."""

    def made(header: str, rows: Rows, *, delimiter: str = ",", name: str = "t.csv", encoding: str = "utf-8") -> Path:
        lines = [header, *(delimiter.join(map(str, row)) for row in rows)]
        path = tmp_path / name
        path.write_bytes(("\n".join(lines) + "\n").encode(encoding))
        return path

    return made


def screen(seeds: int = 3, *, low: object = -1, high: object = 1) -> list[list[object]]:
    """2^3 under seeds: effects A 2, B -1, AB 0.5; a seed's shift; a noise that is fixed."""
    rows: list[list[object]] = []
    for i, (a, b, c) in enumerate(itertools.product((-1, 1), repeat=3)):
        for seed in range(1, seeds + 1):
            y = 10 + a - 0.5 * b + 0.25 * a * b + 0.3 * seed + 0.01 * math.sin(7.0 * i + 3.0 * seed)
            rows.append([*(high if x > 0 else low for x in (a, b, c)), seed, f"{y:.6f}"])
    return rows


def effects_of(document: dict, part: int = 0) -> dict[str, float]:
    return {effect["term"]: effect["estimate"] for effect in document["parts"][part]["effects"]}


def kinds_of(document: dict) -> set[str]:
    own = [caution["kind"] for caution in document["cautions"]]
    return {*own, *(caution["kind"] for part in document["parts"] for caution in part["cautions"])}


# Known answers: Montgomery, Design and Analysis of Experiments; Lenth's figures by R's unrepx 1.0.2.


def test_filtration_effects_are_those_of_the_book(call):
    found = effects_of(call(*FILTRATION, NAMES, "--json").json)
    book = {"A": 21.625, "B": 3.125, "C": 9.875, "D": 14.625, "AC": -18.125, "AD": 16.625, "CD": -1.125}
    assert {term: found[term] for term in book} == pytest.approx(book, abs=1e-8)


def test_filtration_is_judged_by_lenth(call):
    found = call(*FILTRATION, NAMES, "--json").json["parts"][0]["lenth"]
    assert (found["pse"], found["margin"], found["simultaneous"]) == pytest.approx((2.625, 6.747777318, 13.698959563))
    assert sorted(found["active"]) == ["A", "AC", "AD", "C", "D"]


def test_yield_fraction_is_recognised_with_its_aliases(call):
    document = call(*YIELD, "--json").json
    assert document["design"]["generators"] == ["E=ABCD"]
    aliases = {effect["term"]: effect["aliased_with"] for effect in document["parts"][0]["effects"]}
    assert (aliases["AB"], aliases["A"]) == (["CDE"], ["BCDE"])


def test_reduced_model_of_the_yield_has_the_residual_sd_of_the_book(call):
    found = call(*YIELD, "--model", "A,B,C,A:B", "--method", "paper", "--json").json["parts"][0]
    sigma = found["effects"][0]["se"] * 4 / 2
    assert (sigma, found["effects"][0]["df"]) == pytest.approx((1.60078105935821, 11))


def test_centre_points_give_the_curvature_test_of_the_book(call, tmp_path):
    path = tmp_path / "centres.csv"
    text = (DATA / "filtration.csv").read_text()
    path.write_text(text + "".join(f"0,0,0,0,{y}\n" for y in (73, 75, 66, 69)))
    part = call("analyse", path, *FILTRATION[2:], NAMES, "--json").json["parts"][0]
    assert part["curvature"]["f"] == pytest.approx(0.0930769230769231)
    assert effects_of({"parts": [part]})["A"] == pytest.approx(21.625)


# What it reads


@pytest.mark.parametrize(
    ("delimiter", "encoding"), [(",", "utf-8"), (";", "utf-8"), ("\t", "utf-8-sig"), (",", "utf-16"), (",", "latin-1")]
)
def test_delimiters_and_encodings_of_other_tools_are_read(call, write, delimiter, encoding):
    header = delimiter.join(["A", "B", "C", "seed", "y"])
    document = call("analyse", write(header, screen(), delimiter=delimiter, encoding=encoding), *ASKED, "--json").json
    assert effects_of(document)["A"] == pytest.approx(2.0, abs=0.02)


def test_quoted_cells_may_hold_delimiters_and_line_breaks(call, tmp_path):
    rows = [f'{a},{b},{c},{s},{y},"a, b\nc"' for a, b, c, s, y in screen()]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["A,B,C,seed,y,remark", *rows]))
    document = call("analyse", path, *ASKED, "--json").json
    assert effects_of(document)["B"] == pytest.approx(-1.0, abs=0.02)


def test_decimal_commas_between_semicolons_are_numbers_and_said(call, write):
    rows = [[*row[:4], str(row[4]).replace(".", ",")] for row in screen()]
    document = call("analyse", write("A;B;C;seed;y", rows, delimiter=";"), *ASKED, "--json").json
    assert effects_of(document)["A"] == pytest.approx(2.0, abs=0.02)
    assert "decimal commas" in document["cautions"][0]["message"]


@pytest.mark.parametrize(("low", "high"), [("low", "high"), ("off", "on"), ("Low", "HIGH"), ("no", "yes"), (48, 72)])
def test_levels_may_be_words_or_natural(call, write, low, high):
    document = call("analyse", write("A,B,C,seed,y", screen(low=low, high=high)), *ASKED, "--json").json
    assert effects_of(document)["A"] == pytest.approx(2.0, abs=0.02)
    assert document["factors"][0] | {"letter": "A", "low": str(low), "high": str(high)} == document["factors"][0]


def test_words_that_do_not_say_which_is_low_are_coded_in_order_and_said(call, write):
    document = call("analyse", write("A,B,C,seed,y", screen(low="adam", high="muon")), *ASKED, "--json").json
    assert any("alphabetical order" in caution["message"] for caution in document["cautions"])


@pytest.mark.parametrize("names", [("C", "Q", "I"), ("depth", "I", "np"), ("learning rate", "y hat", "seed(s)")])
def test_names_that_mean_something_to_formulas_trip_nothing(call, write, names):
    path = write(",".join([*names, "seed", "y"]), screen())
    document = call("analyse", path, "--response", "y", "--factors", ",".join(names), "--json").json
    letters = {factor["column"]: factor["letter"] for factor in document["factors"]}
    assert effects_of(document)[letters[names[0]]] == pytest.approx(2.0, abs=0.02)
    assert "I" not in letters.values()


def test_a_column_of_the_file_never_takes_the_letter_of_a_factor(call, write):
    rows = [[*row, "note"] for row in screen()]
    path = write("depth,lr,C,seed,y,A", rows)
    document = call("analyse", path, "--response", "y", "--factors", "depth,lr,C", "--json").json
    assert [factor["letter"] for factor in document["factors"]] == ["B", "D", "C"]


def test_terms_may_be_written_with_column_names(call, write):
    path = write("depth,lr,C,seed,y", screen())
    asked = ("--response", "y", "--factors", "depth,lr,C", "--model", "depth,lr,depth:lr", "--json")
    assert effects_of(call("analyse", path, *asked).json)["AB"] == pytest.approx(0.5, abs=0.02)


def test_a_design_file_gives_levels_and_aliases(call, tmp_path):
    factors = tmp_path / "f.csv"
    factors.write_text("letter,name,low,high\nA,depth,6,8\nB,lr,0.1,0.2\nC,gain,1,2\n")
    design = tmp_path / "d.json"
    call("design", "--factors", factors, "--generators", "C=AB", "-o", design)
    path = tmp_path / "t.csv"
    path.write_text("depth,lr,gain,y\n6,0.1,2,1\n6,0.2,1,2\n8,0.1,1,4\n8,0.2,2,5.5\n")
    asked = ("--response", "y", "--factors", "depth,lr,gain", "--design", design, "--model", "main", "--json")
    document = call("analyse", path, *asked).json
    assert document["design"]["source"] == "given"
    assert effects_of(document)["A"] == pytest.approx(3.25)
    assert document["parts"][0]["effects"][0]["aliased_with"] == ["BC"]


def test_a_filled_worksheet_is_analysed_as_it_is(call, tmp_path):
    sheet = tmp_path / "d.csv"
    call("design", "2^3", "--csv", sheet)
    lines = sheet.read_text().splitlines()
    lines[1] += ",y"
    lines[2:] = [f"{line},{i * i % 7}" for i, line in enumerate(lines[2:])]
    sheet.write_text("\n".join(lines))
    document = call("analyse", sheet, *ASKED, "--json").json
    assert document["design"]["kind"] == "full"
    assert len(document["parts"][0]["contrasts"]) == 7


def test_budgets_are_analysed_apart_and_their_effects_relax(call, write):
    rows = [
        [*row[:4], budget, float(str(row[4])) * scale] for budget, scale in ((5, 1.0), (10, 0.5)) for row in screen()
    ]
    document = call("analyse", write("A,B,C,seed,minutes,y", rows), *ASKED, "--budget", "minutes", "--json").json
    assert [part["budget"] for part in document["parts"]] == ["5", "10"]
    steps = {step["term"]: step["ratio"]["ratio"] for step in document["relaxation"]["steps"] if step["ratio"]}
    assert steps["A"] == pytest.approx(0.5)


def test_more_levels_are_fitted_by_the_second_order_model(call, write):
    points = [*itertools.product((2.0, 4.0, 6.0), repeat=2), (4.0, 4.0), (4.0, 4.0)]
    wobble = itertools.cycle([0.01, -0.02, 0.015])
    rows = [[x, z, 5 + (x - 5) ** 2 + (z - 3) ** 2 + next(wobble)] for x, z in points]
    path = write("x,z,y", rows)
    document = call("analyse", path, "--response", "y", "--factors", "x,z", "--model", "second-order", "--json").json
    surface = document["parts"][0]["surface"]
    assert surface["nature"] == "minimum"
    assert {name: float(value) for name, value in surface["natural"]} == pytest.approx({"x": 5.0, "z": 3.0}, abs=0.05)


def test_a_logarithmic_factor_has_its_centre_at_the_geometric_mean(call, write):
    rows = [[lr, b, y] for (lr, b), y in zip(itertools.product((0.01, 0.04), (1, 2)), (1, 2, 3, 5), strict=True)]
    rows += [[0.02, 1.5, 2.5], [0.02, 1.5, 2.7]]
    path = write("lr,b,y", rows)
    asked = ("--response", "y", "--factors", "lr,b", "--log", "lr", "--json")
    assert call("analyse", path, *asked).json["parts"][0]["curvature"]["num_centers"] == 2


# What it warns of


def test_a_status_leaves_runs_out_with_their_reason(call, write):
    rows = [[*row, "ok"] for row in screen()]
    rows[4][-2:] = ["", "diverged"]
    document = call("analyse", write("A,B,C,seed,y,status", rows), *ASKED, "--json").json
    assert [(out["run_id"], out["reason"]) for out in document["left_out"]] == [("line 6", "diverged")]
    assert {"left_out", "unbalanced"} <= kinds_of(document)


@pytest.mark.parametrize(("cell", "reason"), [("", "missing"), ("NaN", "not a number"), ("inf", "not a number")])
def test_missing_responses_are_left_out_by_name_when_asked(call, write, cell, reason):
    rows = screen()
    rows[7][4] = cell
    document = call("analyse", write("A,B,C,seed,y", rows), *ASKED, "--leave-out-missing", "--json").json
    assert [(out["run_id"], out["reason"]) for out in document["left_out"]] == [("line 9", reason)]


def test_identical_rows_are_pointed_out(call, write):
    rows = [row[:3] + row[4:] for row in screen(1)]
    document = call("analyse", write("A,B,C,y", [*rows, rows[0]]), *ASKED, "--model", "main", "--json").json
    assert "duplicates" in kinds_of(document)


def test_conditions_with_equal_results_are_pointed_out(call, write):
    rows = screen()
    for i in range(3):
        rows[3 + i][4] = rows[i][4]
    assert "same_results" in kinds_of(call("analyse", write("A,B,C,seed,y", rows), *ASKED, "--json").json)


def test_main_effects_aliased_with_interactions_are_warned_of(call, write):
    rows = [[a, b, a * b, y] for (a, b), y in zip(itertools.product((-1, 1), repeat=2), (1, 2, 4, 8), strict=True)]
    document = call("analyse", write("A,B,C,y", rows), *ASKED, "--json").json
    assert {"aliased", "model"} <= kinds_of(document)


def test_an_outlier_is_named_and_kept(call, write):
    rows = screen(5)
    rows[10][4] = "20"
    document = call("analyse", write("A,B,C,seed,y", rows), *ASKED, "--json").json
    flagged = [c for part in document["parts"] for c in part["cautions"] if c["kind"] == "outlier"]
    assert "line 12" in flagged[0]["rows"]
    assert document["parts"][0]["num_runs"] == 40


def test_main_effects_that_do_not_fit_are_warned_of(call, write):
    assert "lack_of_fit" in kinds_of(call("analyse", write("A,B,C,seed,y", screen()), *ASKED, "--json").json)


def test_both_conditional_effects_are_given_where_factors_interact(call, write):
    part = call("analyse", write("A,B,C,seed,y", screen()), *ASKED, "--json").json["parts"][0]
    found = {effect["term"]: effect["estimate"] for effect in part["conditional"]}
    assert (found["A at B low"], found["A at B high"]) == pytest.approx((1.5, 2.5), abs=0.03)


# What it refuses


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        ({}, ("--response", "z", "--factors", "A,B"), "no column `z`"),
        ({}, ("--response", "y", "--factors", "A,b"), "Did you mean `B`"),
        ({}, ("--response", "y"), "--factors"),
        ({}, ("--response", "y", "--factors", "A,A"), "twice"),
        ({}, ("--response", "y", "--factors", "A,y"), "factor"),
        ({}, (*ASKED, "--family", "A,A"), "twice"),
        ({}, (*ASKED, "--model", "A,B,BA,A:B"), "twice"),
        ({}, (*ASKED, "--model", "A,X"), "X"),
        ({}, (*ASKED, "--where", "seed=9"), "There are 1, 2, 3"),
        ({}, (*ASKED, "--level", "95"), "between 0 and 1"),
        ({(4, 4): ""}, ASKED, "missing in lines 6"),
        ({(4, 4): "nan"}, ASKED, "--leave-out-missing"),
        ({(4, 4): "1.2.3"}, ASKED, "not a number in lines 6"),
        ({(4, 0): ""}, ASKED, "no level in lines 6"),
        ({(0, 0): 0.5}, ASKED, "second-order"),
        ({(1, 3): 1}, ASKED, "Repeats are not replicates"),
    ],
)
def test_bad_input_is_refused_and_says_where(call, write, change, options, words):
    rows = screen()
    for (i, j), value in change.items():
        rows[i][j] = value
    done = call("analyse", write("A,B,C,seed,y", rows), *options)
    assert done.code == 2
    assert words in done.err


@pytest.mark.parametrize("level", [1, "high", "48"])
def test_a_constant_factor_is_refused(call, write, level):
    rows = [[level, *row[1:]] for row in screen()]
    done = call("analyse", write("A,B,C,seed,y", rows), *ASKED)
    assert done.code == 2
    assert "factor `A` does not vary" in done.err


def test_levels_that_are_equal_numbers_are_one_level(call, write):
    rows = [["48" if row[0] == 1 else "48.0", *row[1:]] for row in screen()]
    assert "does not vary" in call("analyse", write("A,B,C,seed,y", rows), *ASKED).err


def test_an_aliased_model_is_refused_with_what_cannot_be_told_apart(call):
    done = call(*YIELD, "--model", "A,B,C,D,E,AB,CDE")
    assert done.code == 2
    assert "AB = CDE" in done.err


def test_a_model_of_more_terms_than_runs_is_refused(call, write):
    rows = [[a, b, a * b, i] for i, (a, b) in enumerate(itertools.product((-1, 1), repeat=2))]
    done = call("analyse", write("A,B,C,y", rows), *ASKED, "--model", "main+2fi")
    assert done.code == 2
    assert "C = AB" in done.err or "AB" in done.err


def test_runs_of_two_hosts_are_not_pooled_without_a_term(call, write):
    rows = [[*row, "one" if i % 2 else "two"] for i, row in enumerate(screen(4))]
    path = write("A,B,C,seed,y,host", rows)
    refused = call("analyse", path, *ASKED, "--block", "none")
    assert refused.code == 2
    assert "(--where host=NAME), or add host by --adjust-for" in refused.err
    assert call("analyse", path, *ASKED, "--block", "none", "--adjust-for", "host", "--method", "paper").code == 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"A,B,C,y\n", "no rows"),
        (b"A,B,C,y\n1,1,1\n1,1,1,2\n", "lines 2"),
        (b"A,A,y\n1,2,3\n", "`A` twice"),
        (b"1,2,3\n4,5,6\n", "no header"),
        (b"A B C y\n1 1 1 2\n", "one column"),
        (b'A,B,C,y\n1,"1,1,2\n', "line 2"),
        (b"PK\x03\x04\x00\x00\x00", "not a text file"),
        (b"A,,y\n1,2,3\n", "have no name"),
    ],
)
def test_files_that_are_no_table_are_refused(call, tmp_path, content, words):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    done = call("analyse", path, *ASKED)
    assert done.code == 2
    assert words in done.err


def test_a_file_that_is_too_large_is_refused_before_it_is_read(call, tmp_path, monkeypatch):
    monkeypatch.setattr("foldover.lab.tables.MAX_BYTES", 10)
    path = tmp_path / "t.csv"
    path.write_text("A,B,C,y\n" * 20)
    assert "bytes" in call("analyse", path, *ASKED).err


def test_a_file_that_is_not_there_is_the_users_error(call, tmp_path):
    done = call("analyse", tmp_path / "none.csv", *ASKED)
    assert done.code == 2
    assert "no file" in done.err


def test_options_of_files_are_refused_for_a_study(call, tmp_path):
    done = call("analyse", tmp_path, "--response", "y")
    assert done.code == 2
    assert "--response" in done.err


# What it writes


def test_out_has_the_document_the_text_and_the_pictures(call, tmp_path):
    out = tmp_path / "out"
    document = call(*FILTRATION, NAMES, "--out", out, "--json").json
    assert json.loads((out / "analysis.json").read_text()) == document
    assert "Lenth's margin" in (out / "analysis.txt").read_text()
    names = {"half-normal", "pareto", "main-effects", "interactions", "residuals"}
    assert {path.stem for path in out.glob("*.svg")} == names


def test_a_plain_analysis_writes_nothing(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call(*FILTRATION, NAMES)
    assert list(tmp_path.iterdir()) == []


def test_the_default_analysis_loads_nothing_heavy(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["A,B,C,seed,y", *(",".join(map(str, row)) for row in screen(20))]))
    code = (
        "import atexit, sys\n"
        "names = ('scipy', 'statsmodels', 'pandas', 'matplotlib', 'torch', 'sqlite3', 'jinja2')\n"
        "atexit.register(lambda: print([n for n in names if n in sys.modules], file=sys.stderr))\n"
        "from foldover.cli import main\nmain()"
    )
    command = [sys.executable, "-c", code, "analyse", str(path), *ASKED, "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr.strip()) == (0, "[]")


PAGE = (ROOT / "docs" / "design-and-analyse.md").read_text(encoding="utf-8")
EXAMPLES = [line for line in PAGE.splitlines() if line.startswith("foldover ") and "screen.csv" not in line]


def test_the_page_has_examples():
    assert len(EXAMPLES) >= 10


@pytest.mark.parametrize("line", EXAMPLES)
def test_the_examples_of_the_page_run(call, monkeypatch, line):
    monkeypatch.chdir(ROOT)
    assert call(*shlex.split(line)[1:]).code == 0


# Hostile sizes: each of these once took minutes


def test_more_factors_than_products_can_be_listed_are_analysed(call, write):
    names = [f"x{i}" for i in range(26)]
    rows = [[(i * (j + 3) * 7919 // 64) % 2 * 2 - 1 for j in range(26)] + [math.sin(i)] for i in range(40)]
    path = write(",".join([*names, "y"]), rows)
    done = call("analyse", path, "--response", "y", "--factors", ",".join(names), "--json")
    assert done.code in (0, 2)  # analysed, or refused as aliased: at once either way


def test_thousands_of_single_runs_are_judged_by_the_terms_outside_the_model(call, write):
    letters = "ABCDEFGHJK"
    rows = [[*row, math.sin(i)] for i, row in enumerate(itertools.product((-1, 1), repeat=10))]
    path = write(",".join([*letters, "y"]), rows)
    part = call("analyse", path, "--response", "y", "--factors", ",".join(letters), "--json").json["parts"][0]
    assert (part["method"], part["lenth"]) == ("paper", None)


def test_many_identical_rows_are_told_in_one_caution(call, write):
    rows = [[a, b, y] for a in (-1, 1) for b in (-1, 1) for y in (1, 2, 3, 4)] * 20
    document = call("analyse", write("A,B,y", rows), "--response", "y", "--factors", "A,B", "--json").json
    assert len([c for c in document["cautions"] if c["kind"] == "duplicates"]) == 1
