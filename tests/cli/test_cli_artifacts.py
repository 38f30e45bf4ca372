"""Options of `foldover export` that contradict each other."""

import pytest


@pytest.mark.parametrize(("option", "value"), [("--set", "codec=zlib"), ("--preset", "uniform")])
def test_an_allocation_is_not_overridden_by_levers_beside_it(call, tmp_path, option, value):
    (tmp_path / "allocation.json").write_text("{}")
    found = call("export", tmp_path, "--allocation", tmp_path / "allocation.json", option, value)
    assert found.code == 2
    assert f"--allocation and {option} cannot be combined" in found.err
