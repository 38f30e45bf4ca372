"""The public names of foldover.stats: complete, sorted, loaded when they are used."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import foldover.stats as stats


def typed_names() -> dict[str, str]:
    """What a type checker sees: public name -> module, from the imports under TYPE_CHECKING."""
    assert stats.__file__ is not None
    tree = ast.parse(Path(stats.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and isinstance(node.test, ast.Name))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names if alias.asname == alias.name}


def loaded_by(statement: str) -> set[str]:
    """Modules of a fresh interpreter after `statement`."""
    code = f"{statement}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_public_names_are_sorted_and_stand_once() -> None:
    assert stats.__all__ == sorted(set(stats.__all__))


def test_type_checkers_see_the_names_that_load_from_where_they_load() -> None:
    homes = {name: f"foldover.stats.{home}" for name, home in stats._HOME_OF.items()}
    assert typed_names() == homes


@pytest.mark.parametrize("name", stats.__all__)
def test_a_public_name_is_defined_where_it_is_said_to_be(name: str) -> None:
    value = getattr(stats, name)
    home = f"foldover.stats.{stats._HOME_OF[name]}"
    assert value is getattr(importlib.import_module(home), name)
    assert getattr(value, "__module__", home) in (home, "typing")


def test_a_public_name_never_hides_a_module() -> None:
    folder = Path(str(stats.__file__)).parent
    assert not {path.stem for path in folder.glob("*.py")} & set(stats.__all__)


def test_public_names_are_offered_by_dir() -> None:
    assert set(stats.__all__) <= set(dir(stats))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute `estimate_efects`"):
        _ = stats.estimate_efects  # type: ignore[attr-defined]


def test_importing_the_package_loads_neither_its_modules_nor_numpy() -> None:
    loaded = loaded_by("import foldover.stats")
    assert {name for name in loaded if name.startswith("foldover.")} == {"foldover.stats"}
    assert "numpy" not in loaded


def test_estimating_effects_loads_only_what_it_needs() -> None:
    loaded = {name.rpartition(".")[2] for name in loaded_by("from foldover.stats import estimate_effects")}
    assert {"effects", "estimators", "tails"} <= loaded
    assert not loaded & {"allocation", "anova", "power", "surface", "paper", "resample", "scipy"}
