"""Machine options: what they become, and devices that are not there."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
import torch
from click.testing import CliRunner

from foldover.cli import app
from foldover.cli.options import machine_options, with_jobs
from foldover.core import Settings, UserError
from foldover.lm.device import check_gpus

ROOT = Path(__file__).parents[2]


@click.command()
@machine_options
def shown(machine: Settings) -> None:
    click.echo(repr(machine))


def test_machine_options_are_settings() -> None:
    arguments = ["--processes", "2", "--threads", "3", "--device", "cuda:1", "--compute", "fp32"]
    arguments += ["--kernels", "torch", "--compile"]
    result = CliRunner().invoke(shown, arguments)
    wanted = Settings(processes=2, threads=3, device="cuda:1", compute="fp32", kernels="torch", compile=True)
    assert result.output.strip() == repr(wanted)
    assert CliRunner().invoke(shown, []).output.strip() == repr(Settings())


@pytest.mark.parametrize(
    ("settings", "jobs"),
    [
        (Settings(device="cuda"), 4),
        (Settings(device="auto", processes=2), 2),
        (Settings(device="cuda", processes=8), 1),
        (Settings(device="cuda:2"), 1),
        (Settings(device="cpu"), 6),
        (Settings(device="cpu", processes=3), 2),
        (Settings(device="cpu", threads=7), 1),
    ],
)
def test_as_many_runs_at_a_time_as_gpus_or_cores_serve(
    settings: Settings, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    monkeypatch.setattr("foldover.execution.usable_cores", lambda: tuple(range(6)))
    assert with_jobs(settings, None).jobs == jobs
    assert with_jobs(settings, 9).jobs == 9


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("command", [["train", "--steps", "2"], ["run", str(ROOT / "studies" / "demo.toml")]])
def test_a_gpu_that_is_not_there_is_told_once_and_nothing_is_run(command: list[str], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, [*command, "--dir", str(tmp_path), "--device", "cuda", "--quiet"])
    assert isinstance(result.exception, UserError)  # which `main` prints once, with exit code 2
    assert str(result.exception).startswith("no CUDA device is available")
    assert list(tmp_path.rglob("outcome.json")) == []


@pytest.mark.parametrize(
    ("settings", "needed"),
    [
        (Settings(device="cuda", jobs=2, processes=3), 6),
        (Settings(device="cuda:3"), 4),
        (Settings(device="cuda:1", processes=3), 4),
    ],
)
def test_too_few_gpus_are_told(settings: Settings, needed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: needed - 1)
    with pytest.raises(UserError, match=f"{needed} GPUs are needed"):
        check_gpus(settings)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: needed)
    check_gpus(settings)
