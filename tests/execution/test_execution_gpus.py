"""Slots get GPUs of their own by name, without torch."""

from __future__ import annotations

import pytest

from foldover.core import Settings
from foldover.execution import visible_gpus
from foldover.execution.profile import cores_of_slot, gpus_of_slot, worker_environment

FOUR = ("4", "5", "6", "7")


def visible(settings: Settings, slot: int) -> str | None:
    gpus = gpus_of_slot(slot, settings, FOUR)
    return worker_environment(settings, {"CUDA_VISIBLE_DEVICES": ",".join(FOUR)}, gpus=gpus)["CUDA_VISIBLE_DEVICES"]


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_every_process_of_every_slot_has_a_gpu(device: str) -> None:
    assert [visible(Settings(jobs=4, device=device), slot) for slot in range(4)] == list(FOUR)
    assert [visible(Settings(jobs=2, processes=2, device=device), slot) for slot in range(2)] == ["4,5", "6,7"]


@pytest.mark.parametrize("settings", [Settings(jobs=4, device="cuda:1"), Settings(jobs=5), Settings(device="cpu")])
def test_nothing_is_handed_out_where_one_is_named_or_slots_must_share(settings: Settings) -> None:
    assert gpus_of_slot(0, settings, FOUR) == ()
    assert visible(settings, 0) == "4,5,6,7"


def test_without_gpus_nothing_is_said_of_them() -> None:
    assert "CUDA_VISIBLE_DEVICES" not in worker_environment(Settings(device="cpu"), {})
    assert worker_environment(Settings(), {"CUDA_VISIBLE_DEVICES": ""})["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.parametrize(("named", "seen"), [("", ()), ("-1", ()), ("2, 0", ("2", "0")), ("1,-1,3", ("1",))])
def test_the_variable_is_read_as_the_driver_reads_it(named: str, seen: tuple[str, ...]) -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": named}) == seen


def test_a_slot_has_cores_for_all_its_processes() -> None:
    settings = Settings(jobs=2, processes=2, threads=2)
    assert [cores_of_slot(slot, settings, tuple(range(8))) for slot in range(2)] == [(0, 1, 2, 3), (4, 5, 6, 7)]
    assert cores_of_slot(0, settings, tuple(range(7))) == ()
