"""Pages are true: links lead somewhere, commands exist, examples run, trees are whole."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from foldover.cli import app
from foldover.studyfile import parse
from foldover.trainers import get_trainer

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# What a command makes is not there before it has run.
MADE = ("demo/", "foldover-train/", "runs/")


def test_relative_links_lead_to_files_that_are_there(pages: dict[str, str], root: Path) -> None:
    missing = [
        f"{page}: {target}"
        for page, text in pages.items()
        for target in links(text)
        if target.partition("#")[0] and not ((root / page).parent / target.partition("#")[0]).exists()
    ]
    assert missing == []


def test_links_into_pages_name_a_heading_that_is_there(pages: dict[str, str], root: Path) -> None:
    anchors = {page: {anchor(heading) for heading in headings(text)} for page, text in pages.items()}
    missing = []
    for page, text in pages.items():
        for target in links(text):
            path, sign, name = target.partition("#")
            to = ((root / page).parent / path).resolve().relative_to(root).as_posix() if path else page
            if sign and to in anchors and name not in anchors[to]:
                missing.append(f"{page}: {target}")
    assert missing == []


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/study-guide.md"])
def test_paths_in_code_style_are_there(pages: dict[str, str], root: Path, page: str) -> None:
    written = re.findall(r"`([\w.-]+(?:/[\w.-]+)*/?)`", FENCE.sub("", pages[page]))
    is_path = re.compile(r"(src|tests|docs|studies|benchmarks)/.*|.*\.(md|toml|py)|Makefile|LICENSE")
    wanted = [path for path in written if is_path.fullmatch(path) and not path.startswith(MADE)]
    places = (root, root / "src", root / "src" / "foldover", root / "docs")
    assert [path for path in wanted if not any((place / path).exists() for place in places)] == []


def test_pages_have_shell_examples_to_check(pages: dict[str, str]) -> None:
    assert len(list(shell_lines(pages["README.md"]))) >= 8


def test_foldover_commands_of_shell_examples_parse(pages: dict[str, str]) -> None:
    for page, text in pages.items():
        for line in shell_lines(text):
            name, *arguments = shlex.split(line, comments=True) or [""]
            if name == "foldover" and arguments and not arguments[0].startswith("-"):
                with_page = f"{page}: {line}"
                assert arguments[0] in app.commands, with_page
                try:
                    context = app.commands[arguments[0]].make_context(arguments[0], arguments[1:])
                except click.ClickException as error:
                    pytest.fail(f"{with_page}: {error.format_message()}")
                for setting in context.params.get("settings") or ():
                    lever, _, value = setting.partition("=")
                    get_trainer("lm").levers.find(lever).parse(value)


def test_make_targets_of_shell_examples_exist(pages: dict[str, str], root: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page, text in pages.items():
        for line in shell_lines(text):
            name, *arguments = shlex.split(line, comments=True) or [""]
            if name == "make":
                assert {a for a in arguments if "=" not in a} <= targets, f"{page}: {line}"


def test_study_files_of_shell_examples_are_there(pages: dict[str, str], root: Path) -> None:
    named = {word for text in pages.values() for line in shell_lines(text) for word in re.findall(r"studies/\S+", line)}
    assert named
    assert [path for path in sorted(named) if not (root / path).is_file()] == []


@pytest.mark.parametrize("page", ["README.md", "docs/study-guide.md", "docs/statistics.md"])
def test_python_examples_run(
    pages: dict[str, str], page: str, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = [content for language, content in FENCE.findall(pages[page]) if language == "python"]
    assert blocks
    monkeypatch.chdir(root)
    for block in blocks:
        exec(compile(block, page, "exec"), {"__name__": "example"})  # noqa: S102 - our own pages
    assert capsys.readouterr().out


def test_complete_study_files_in_pages_are_valid(pages: dict[str, str]) -> None:
    found = [
        content
        for page, text in pages.items()
        for language, content in FENCE.findall(text)
        if language == "toml" and content.startswith("[study]") and page != "docs/own-trainer.md"  # has its own test
    ]
    assert found
    for content in found:
        assert parse(content, "example.toml", get_trainer).stages


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md"])
def test_every_package_is_in_the_tree_of(pages: dict[str, str], root: Path, page: str) -> None:
    packages = sorted(path.parent.name for path in (root / "src" / "foldover").glob("*/__init__.py"))
    lacking = [name for name in packages if not re.search(rf"^\W*`?{name}/?`?\W", pages[page], re.MULTILINE)]
    assert lacking == []


def test_every_entry_of_the_repository_is_in_the_tree_of_the_readme(
    pages: dict[str, str], tracked: tuple[str, ...]
) -> None:
    entries = sorted({path.partition("/")[0] for path in tracked})
    tree = next(content for _, content in FENCE.findall(pages["README.md"]) if "src/foldover" in content)
    assert [name for name in entries if not re.search(rf"^\W*{re.escape(name.lstrip('.'))}", tree, re.MULTILINE)] == []


def test_every_page_of_docs_is_in_the_index(pages: dict[str, str]) -> None:
    names = [path.removeprefix("docs/") for path in pages if path.startswith("docs/") and path != "docs/index.md"]
    assert [name for name in names if f"]({name})" not in pages["docs/index.md"]] == []


def test_every_built_in_status_and_decision_is_in_the_glossary(pages: dict[str, str]) -> None:
    from typing import get_args

    from foldover.core import Decision, StageKind, Status

    words = [word for kind in (Status, Decision, StageKind) for word in get_args(kind)]
    assert [word for word in words if f"`{word}`" not in pages["docs/glossary.md"]] == []


def links(text: str) -> list[str]:
    """Targets of relative links, outside of code."""
    plain = re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))
    return [t for t in re.findall(r"\]\(([^)\s]+)\)", plain) if not t.startswith(("http://", "https://"))]


def headings(text: str) -> list[str]:
    """Headings of a page, without their marks."""
    return re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)


def anchor(heading: str) -> str:
    """What a heading is called in a link, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def shell_lines(text: str) -> Iterator[str]:
    """Commands of the fenced shell blocks, with continued lines joined."""
    for language, content in FENCE.findall(text):
        if language in ("sh", "bash", "console"):
            for line in content.replace("\\\n", " ").splitlines():
                yield line.strip().removeprefix("$ ")
