"""Public names are documented, and the package re-exports what it says."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import foldover

PACKAGES = sorted(f"foldover.{info.name}" for info in pkgutil.iter_modules(foldover.__path__) if info.ispkg)


@pytest.mark.parametrize("package", ["foldover", *PACKAGES])
def test_every_public_function_and_class_has_a_docstring(package: str) -> None:
    module = importlib.import_module(package)
    values = {name: getattr(module, name) for name in getattr(module, "__all__", ())}
    bare = [name for name, value in values.items() if _needs_words(value) and not _has_words(value)]
    assert bare == []


def test_names_for_type_checkers_are_those_that_are_loaded() -> None:
    tree = ast.parse(Path(inspect.getfile(foldover)).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert sorted(alias.name for node in imports for alias in node.names) == [
        name for name in foldover.__all__ if name != "__version__"
    ]


@pytest.mark.parametrize("name", foldover.__all__)
def test_public_name_can_be_loaded_and_stays(name: str) -> None:
    assert getattr(foldover, name) is getattr(foldover, name)
    assert name in dir(foldover)


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute `estimate_efects`"):
        _ = foldover.estimate_efects  # type: ignore[attr-defined]


def _needs_words(value: object) -> bool:
    return inspect.isclass(value) or inspect.isfunction(value)


def _has_words(value: object) -> bool:
    words = inspect.getdoc(value) or ""
    # A dataclass without a docstring gets its signature as one.
    is_made_up = dataclasses.is_dataclass(value) and words.startswith(f"{getattr(value, '__name__', '')}(")
    return bool(words) and not is_made_up
