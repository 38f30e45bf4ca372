"""The reference pages say all that the program has."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType

import click
import pytest

from foldover import core
from foldover.cli import app
from foldover.core import errors
from foldover.trainers import get_trainer

# Commands by their words after `foldover`; those of a group instead of the group.
COMMANDS = {
    " ".join((name, *below)): command
    for name, outer in app.commands.items()
    for below, command in (
        [((inner,), one) for inner, one in outer.commands.items()] if isinstance(outer, click.Group) else [((), outer)]
    )
}


@pytest.mark.parametrize("name", ["api.md", "cli.md", "levers.md"])
def test_generated_page_is_up_to_date(reference: ModuleType, name: str) -> None:
    wanted = {path.name: page for path, page in reference.pages().items()}
    assert (reference.DOCS / name).read_text(encoding="utf-8") == wanted[name], "run `make docs`"


def test_check_mode_names_a_stale_page_and_writes_nothing(
    reference: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "cli.md"
    page.write_text("old", encoding="utf-8")
    monkeypatch.setattr(reference, "pages", lambda: {page: "new"})
    assert reference.main(["--check"]) == 1
    assert "cli.md" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == "old"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_of_a_command_is_in_its_section(root: Path, name: str) -> None:
    page = (root / "docs" / "cli.md").read_text(encoding="utf-8")
    section = page.split(f"\n## foldover {name}\n")[1].split("\n## ")[0]
    options = [o for p in COMMANDS[name].params if isinstance(p, click.Option) for o in p.opts]
    assert options
    assert [option for option in options if option not in section] == []


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_a_json_form_as_the_readme_says(name: str) -> None:
    assert any("--json" in parameter.opts for parameter in COMMANDS[name].params)


@pytest.mark.parametrize("name", ["lm", "simulator"])
def test_every_lever_constant_and_preset_is_on_the_levers_page(root: Path, name: str) -> None:
    page = (root / "docs" / "levers.md").read_text(encoding="utf-8")
    section = page.split(f"\n## Trainer `{name}`\n")[1].split("\n## Trainer")[0]
    trainer = get_trainer(name)
    wanted = [*trainer.levers, *trainer.constants, *trainer.presets]
    assert [entry for entry in wanted if f"`{entry}`" not in section] == []


@pytest.mark.parametrize("name", ["lm", "simulator"])
def test_what_the_command_lists_of_a_lever_is_in_its_row_of_the_page(
    root: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (root / "docs" / "levers.md").read_text(encoding="utf-8")
    section = page.split(f"\n## Trainer `{name}`\n")[1].split("\n## Trainer")[0]
    rows = {line.split("`")[1]: line for line in section.splitlines() if line.startswith("| `")}
    app(["levers", name], standalone_mode=False)
    printed = capsys.readouterr().out
    trainer = get_trainer(name)
    for lever in (*trainer.levers.values(), *trainer.constants.values()):
        row = rows[lever.name].replace("\\|", "|")
        entry = printed.split(f"\n  {lever.name} = ")[1].split("\n  ")
        listed = " ".join(entry[:1] + [line for line in entry[1:4] if line.startswith("    ")])
        said = (lever.domain(), lever.doc, lever.unit, lever.phase, lever.source, *lever.aliases)
        assert [text for text in said if text not in row] == [], lever.name
        assert [text for text in said if text not in listed] == [], lever.name
        if lever.neutral is not None:
            assert (f"`{lever.neutral}`" in row, f"neutral {lever.neutral}" in listed) == (True, True), lever.name


def test_every_lever_of_the_built_in_trainer_says_where_it_comes_from() -> None:
    trainer = get_trainer("lm")
    declared = (*trainer.levers.values(), *trainer.constants.values())
    assert [lever.name for lever in declared if not (lever.doc and lever.source)] == []


def test_every_error_class_is_public_and_documented(root: Path) -> None:
    page = (root / "docs" / "api.md").read_text(encoding="utf-8")
    names = [name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)]
    assert names
    assert set(names) <= set(core.__all__)
    assert [name for name in names if f"| `{name}` |" not in page] == []
