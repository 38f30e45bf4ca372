"""Widths and steps for every tensor under a cap, written down and exported again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from foldover.core import BudgetError, RecipeError, Settings, UserError
from foldover.lab.allocation import FILE, PICTURE, allocate_run, read_allocation, thinned
from foldover.lab.artifacts import export_levers, export_run

SETTINGS = Settings(device="cpu")
CAP = 60_000


@pytest.fixture(scope="module")
def trained(train_small) -> Path:
    return train_small(3)


@pytest.fixture(scope="module")
def allocated(trained, tmp_path_factory):
    out = tmp_path_factory.mktemp("allocated") / "new"
    return allocate_run(trained, export_levers({}), SETTINGS, cap=CAP, tokens=1024, out=out), out


def test_the_choice_lands_just_under_the_cap_and_exports_as_predicted(trained, allocated, tmp_path):
    found, out = allocated
    assert 0.98 * CAP < found.num_bytes <= CAP
    exported = export_run(trained, read_allocation(out / FILE), SETTINGS, out=tmp_path / "a")
    assert 0.98 * CAP < exported.bytes <= CAP
    assert abs(exported.predicted - found.num_bytes) < 0.01 * CAP
    chosen = {name: scheme.format for name, scheme in found.schemes.items()}
    assert {each.name: each.format for each in exported.tensors if each.name in chosen} == chosen


def test_the_frontier_falls_and_its_picture_is_whole(allocated):
    found, out = allocated
    losses = [point.loss for point in found.frontier]
    assert losses == sorted(losses, reverse=True)
    sizes = [point.num_bytes for point in found.frontier]
    assert sizes == sorted(sizes)
    picture = (out / PICTURE).read_text()
    assert picture.startswith("<svg")
    assert ">cap</text>" in picture
    assert f"{found.num_bytes:,} bytes" in picture
    few = thinned(found.frontier, 5)
    assert (len(few), few[0], few[-1]) == (5, found.frontier[0], found.frontier[-1])


def test_integer_widths_are_chosen_too(trained):
    config = export_levers({"grid.clip": "absmax", "calibration.gptq": "false"}, preset="public")
    found = allocate_run(trained, config, SETTINGS, cap=70_000, tokens=1024)
    assert found.num_bytes <= 70_000
    widths = {scheme.format for scheme in found.schemes.values() if not scheme.is_float}
    assert widths <= {"int8", "int7", "int6", "int5", "int4", "int3", "int2"}
    assert len(widths) > 1


def test_a_single_row_of_text_is_enough_and_has_no_standard_error(train_small):
    place = train_small(3, eval_tokens=64)
    config = export_levers({"grid.clip": "absmax", "calibration.gptq": "false"}, preset="public")
    found = allocate_run(place, config, SETTINGS, cap=70_000, tokens=1024)
    assert (found.tokens, found.error) == (64, None)
    assert {each.standard_error for each in found.sensitivities} == {None}
    assert all(each.bytes_saved > 0 for each in found.sensitivities)


def test_a_cap_below_all_names_the_smallest_size(trained):
    with pytest.raises(BudgetError, match=r"takes [0-9,]+ bytes.*Raise the cap to [0-9,]+"):
        allocate_run(trained, export_levers({}), SETTINGS, cap=5_000, tokens=1024)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", RecipeError),
        ("[1, 2]", RecipeError),
        ('{"format": 2, "levers": {}}', RecipeError),
        ('{"format": 1}', RecipeError),
        ('{"format": 1, "levers": {"export.schme": "step"}}', RecipeError),
        ('{"format": 1, "levers": {"export.overrides": "a=int99"}}', RecipeError),
        ("[" * 100_000, RecipeError),
    ],
)
def test_what_is_no_allocation_is_refused(tmp_path, text, error):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(error):
        read_allocation(path)
    with pytest.raises(UserError):
        read_allocation(tmp_path / "missing.json")


def test_the_commands_agree(trained, allocated, tmp_path):
    found, out = allocated

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "foldover", *arguments, "--device", "cpu"]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    done = call("allocate", str(trained), "--cap", str(CAP), "--tokens", "1024", "--json")
    assert json.loads(done.stdout)["num_bytes"] == found.num_bytes
    done = call("export", str(trained), "--allocation", str(out / FILE), "--out", "b", "--cap", str(CAP), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bytes"] <= CAP
    done = call("allocate", str(trained), "--cap", "4000")
    assert done.returncode == 2
    assert "Raise the cap to" in done.stderr
    done = call("export", str(trained), "--allocation", str(out / FILE), "--set", "BITS=int5")
    assert done.returncode == 2
