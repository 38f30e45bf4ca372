"""What must not be in any file of the repository."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

# Put together here, so that this file does not hold what it forbids.
HOSTS = ("pypi" + ".org", "files.python" + "hosted", "registry." + "npmjs", "deb." + "debian.org")
FOLDERS = ("/" + "work/", "/" + "farm/", "/" + "tmp/bash_jobs", "/" + "home/", "/" + "root/", "/" + "Users/")
MARKS = ("<" * 7 + " ", ">" * 7 + " ")


@pytest.mark.parametrize("words", [HOSTS, FOLDERS, MARKS], ids=["registry hosts", "machine paths", "merge marks"])
def test_no_tracked_file_holds(tracked: tuple[str, ...], root: Path, words: tuple[str, ...]) -> None:
    pattern = re.compile(b"|".join(re.escape(word).encode() for word in words))
    found = [name for name in tracked if pattern.search((root / name).read_bytes())]
    assert found == []


def test_nothing_that_is_made_is_tracked(tracked: tuple[str, ...]) -> None:
    made = re.compile(r"(^|/)(__pycache__|\.venv|demo|dist|build|.*\.egg-info|.*_cache)/|\.(pyc|sqlite|log)$")
    assert [name for name in tracked if made.search(name)] == []


def test_ci_runs_what_the_readme_says(root: Path) -> None:
    assert os.access(root / ".ci" / "run", os.X_OK)
    script = (root / ".ci" / "run").read_text(encoding="utf-8")
    readme = (root / "README.md").read_text(encoding="utf-8")
    for command in ("make check", "make test"):
        assert f"\n{command}\n" in script
        assert command in readme


def test_version_is_the_same_everywhere(root: Path) -> None:
    import foldover

    project = (root / "pyproject.toml").read_text(encoding="utf-8")
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f'\nversion = "{foldover.__version__}"\n' in project
    assert f"\n## [{foldover.__version__}]" in changelog


def test_everything_installed_by_make_is_pinned(root: Path) -> None:
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [line for line in pins if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    project = (root / "pyproject.toml").read_text(encoding="utf-8")
    wanted = {re.split(r"[<>=]", name)[0].lower() for name in re.findall(r'"([a-zA-Z][\w-]*[<>=]=[^"]*)"', project)}
    assert wanted <= {line.partition("==")[0].lower() for line in pins}
