"""Options that several commands share, and how commands print."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from foldover.core import Settings, to_plain

Command = TypeVar("Command", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
dir_argument = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
study_argument = click.argument("study", metavar="STUDY", type=click.Path(path_type=Path, dir_okay=False))
jobs_option = click.option(
    "--jobs", type=click.IntRange(min=1), default=None, help="Runs at a time [default: as many as usable cores]."
)
threads_option = click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Threads of each run."
)
device_option = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N; a GPU takes one run at a time."
)


def settings_from(jobs: int | None, threads: int, device: str) -> Settings:
    """The machine settings that the options name; by default a run a core, or one run at a time on a GPU."""
    from foldover.execution import usable_cores

    if jobs is None:
        is_gpu = device.startswith("cuda") or (device == "auto" and Path("/dev/nvidia0").exists())
        jobs = 1 if is_gpu else max(1, len(usable_cores()) // threads)
    return Settings(jobs=jobs, threads=threads, device=device)


def print_json(content: object) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(to_plain(content), indent=1, ensure_ascii=False, allow_nan=False))


def text_width() -> int:
    """Columns of the terminal, within what reads well."""
    return max(80, min(140, shutil.get_terminal_size((120, 40)).columns))


def duration(seconds: float) -> str:
    """`45 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
