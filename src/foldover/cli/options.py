"""Options that several commands share, and how commands print."""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from foldover.core import Settings, UserError, to_plain
from foldover.core.settings import COMPUTE, KERNELS, WORKERS

Command = TypeVar("Command", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
dir_argument = click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
study_argument = click.argument("study", metavar="STUDY", type=click.Path(path_type=Path, dir_okay=False))
jobs_option = click.option(
    "--jobs", type=click.IntRange(min=1), default=None, help="Runs at a time [default: as many as GPUs or cores serve]."
)
threads_option = click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of each process."
)
device_option = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N; a process has a GPU to itself."
)
workers_option = click.option(
    "--workers",
    type=click.Choice(WORKERS),
    default="reset",
    show_default=True,
    help="A run's process: a worker that goes on to the next, a fork of one, or a fresh one.",
)
cap_option = click.option(
    "--cap", type=click.IntRange(min=1), default=None, help="Bytes that artifact and counted code may have."
)
count_code_option = click.option(
    "--count-code",
    "code",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    help="A file or folder whose code counts towards the cap; may be repeated.",
)
code_packing_option = click.option(
    "--code-packing",
    type=click.Choice(("none", "lzma", "brotli")),
    default="none",
    show_default=True,
    help="How the counted code is shipped.",
)
own_threads_option = click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Of the process."
)
own_device_option = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
_MACHINE_OPTIONS = (
    click.option(
        "--processes", type=click.IntRange(min=1), default=1, show_default=True, help="That share the rows of a run."
    ),
    threads_option,
    device_option,
    click.option("--compute", type=click.Choice(COMPUTE), default="auto", show_default=True, help="Number format."),
    click.option(
        "--kernels", type=click.Choice(KERNELS), default="auto", show_default=True, help="Loops of a CPU: C or torch's."
    ),
    click.option("--compile", is_flag=True, help="Compile the loss with torch.compile; its time is not counted."),
    click.option(
        "--save-every",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        metavar="STEPS",
        help="A checkpoint, from which a run that died goes on; 0: none.",
    ),
    click.option("--keep-state", is_flag=True, help="Keep the trained weights in the run's folder."),
)
_MACHINE_SETTINGS = (
    "processes",
    "threads",
    "device",
    "compute",
    "kernels",
    "compile",
    "save_every",
    "keep_state",
)


def machine_options(command: Command) -> Command:
    """Options that say how runs are executed here; the command gets them as `machine`, a `Settings` of one job."""

    @functools.wraps(command)
    def with_machine(*arguments: Any, **named: Any) -> Any:
        found = {name: named.pop(name) for name in _MACHINE_SETTINGS}
        return command(*arguments, machine=Settings(**found), **named)

    for option in reversed(_MACHINE_OPTIONS):
        with_machine = option(with_machine)
    return cast(Command, with_machine)


def with_jobs(machine: Settings, jobs: int | None) -> Settings:
    """The settings with so many runs at a time; None: as many as there are GPUs, or else cores, for their processes."""
    from foldover.execution import usable_cores, visible_gpus

    if jobs is None:
        gpus = len(visible_gpus(os.environ)) if machine.device == "auto" or machine.device.startswith("cuda") else 0
        jobs = len(usable_cores()) // (machine.threads * machine.processes)
        if gpus or machine.device.startswith("cuda"):
            jobs = gpus // machine.processes if machine.device in ("auto", "cuda") else 1
    return replace(machine, jobs=max(1, jobs))


def pairs(settings: Iterable[str]) -> dict[str, str]:
    """`NAME=VALUE` texts as a mapping. Raises UserError for one without a sign."""
    found = {}
    for setting in settings:
        name, sign, text = setting.partition("=")
        if not sign:
            raise UserError("a setting has no `=`", value=setting, fix="Write LEVER=VALUE.")
        found[name.strip()] = text
    return found


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


def host_option(command: Command) -> Command:
    """`--host NAME`, as often as this machine has names."""
    text = "A host of the study that this machine stands for (default: those that the study says are here)."
    return click.option("--host", "hosts", multiple=True, metavar="NAME", help=text)(command)


def scale_option(command: Command) -> Command:
    """`--scale`."""
    return click.option(
        "--scale", type=click.FloatRange(min=0, min_open=True), default=1.0, help="Multiply every budget by this."
    )(command)
