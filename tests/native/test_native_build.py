"""Libraries of C sources: built once, anew for other sources, and done without where that is not possible."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from foldover.native import Absent, built, open_library

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


@needs_compiler
def test_a_library_is_built_once_and_anew_for_another_source_or_other_options(tmp_path: Path) -> None:
    source = tmp_path / "small.c"
    source.write_text("int answer(void) { return 42; }")
    first = built(tmp_path / "loops", source=source)
    made = first.stat().st_mtime_ns
    assert built(tmp_path / "loops", source=source) == first
    assert first.stat().st_mtime_ns == made
    assert built(tmp_path / "loops", source=source, options=("-O1",)) != first
    source.write_text("int answer(void) { return 43; }")
    assert built(tmp_path / "loops", source=source) != first
    assert open_library(tmp_path / "loops", source, ()).answer() == 43


@needs_compiler
def test_a_source_that_does_not_compile_says_where_and_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "broken.c"
    source.write_text("int main( {")
    with pytest.raises(Absent, match=r"do not compile: .*broken\.c:1"):
        open_library(tmp_path / "loops", source, ())
    assert not list((tmp_path / "loops").glob("*.so"))


def test_without_a_compiler_there_is_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", str(tmp_path / "none"))
    with pytest.raises(Absent, match="no C compiler"):
        open_library(tmp_path / "loops", tmp_path / "small.c", ())
    assert not (tmp_path / "loops").exists()


def test_a_folder_that_cannot_be_written_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "loops").write_text("a file")
    source = tmp_path / "small.c"
    source.write_text("int answer(void) { return 42; }")
    with pytest.raises(Absent, match="not there"):
        open_library(tmp_path / "loops", source, ())
