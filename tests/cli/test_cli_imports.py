"""What a command imports: help nothing heavy, and nothing on the planning path torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "numpy", "scipy", "statsmodels", "pandas", "rich", "matplotlib", "jinja2", "pyDOE"}
# Whatever imports torch fails as where it is not installed.
BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, Blocker())
"""
CALL = """
import atexit, json, sys
def told():
    modules = sorted({name.partition(".")[0] for name in sys.modules})
    print("modules: " + json.dumps(modules), file=sys.stderr)
atexit.register(told)
from foldover.cli import main
main()
"""


def imported(*arguments: object, before: str = "") -> tuple[int, set[str], str]:
    """Exit code, top-level modules at the end, stdout."""
    command = [sys.executable, "-c", before + CALL, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    modules = json.loads(done.stderr.rpartition("modules: ")[2])
    return done.returncode, set(modules), done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["train", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments):
    code, modules, _ = imported(*arguments)
    assert (code, modules & HEAVY) == (0, set())


@pytest.mark.parametrize("command", ["check", "plan"])
def test_a_study_of_the_real_trainer_is_planned_without_torch(quick_path: Path, command):
    code, modules, out = imported(command, quick_path.parent / "demo.toml", before=BLOCKED)
    assert (code, "torch" in modules, "demo" in out) == (0, False, True)


def test_the_block_itself_works():
    done = subprocess.run([sys.executable, "-c", BLOCKED + "import torch"], capture_output=True, text=True)
    assert "No module named 'torch'" in done.stderr


@pytest.mark.parametrize("verb", ["collect", "analyse", "decide", "report", "verify", "status", "execute"])
def test_verbs_on_a_folder_do_not_import_torch_or_what_draws(copy, verb):
    code, modules, _ = imported(verb, copy, before=BLOCKED)
    assert (code, modules & {"torch", "matplotlib", "statsmodels", "pandas"}) == (0, set())


def test_the_catalogue_of_levers_needs_no_torch():
    code, modules, out = imported("levers", "lm", before=BLOCKED)
    assert (code, modules & HEAVY, "model.depth" in out) == (0, set(), True)


def test_the_module_is_the_command(quick_path: Path):
    command = [sys.executable, "-m", "foldover", "check", str(quick_path)]
    assert "no problem" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_installed_command_is_the_module():
    script = Path(sys.executable).with_name("foldover")
    if not script.exists():
        pytest.skip("foldover is not installed as a command here")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("foldover, version ")
