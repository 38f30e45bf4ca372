"""The public names of foldover.designs: complete, sorted, loaded when they are used."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from foldover import designs


def test_public_names_are_sorted_and_stand_once() -> None:
    assert designs.__all__ == sorted(set(designs.__all__))


def test_type_checkers_see_the_names_that_load_from_where_they_load() -> None:
    tree = ast.parse(Path(str(designs.__file__)).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and isinstance(node.test, ast.Name))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    typed = {alias.name: str(node.module) for node in imports for alias in node.names}
    assert typed == {name: f"foldover.designs.{home}" for name, home in designs._HOME_OF.items()}


@pytest.mark.parametrize("name", designs.__all__)
def test_a_public_name_loads_from_its_home(name: str) -> None:
    home = importlib.import_module(f"foldover.designs.{designs._HOME_OF[name]}")
    assert getattr(designs, name) is getattr(home, name)


def test_a_public_name_never_hides_a_module() -> None:
    modules = {path.stem for path in Path(str(designs.__file__)).parent.glob("*.py")}
    assert modules & set(designs.__all__) == set()


def test_an_alias_table_loads_no_other_design() -> None:
    code = "from foldover.designs import alias_sets; import sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "foldover.designs.alias" in loaded
    assert {"foldover.designs.optimal", "foldover.designs.response_surface", "numpy"} & set(loaded) == set()
