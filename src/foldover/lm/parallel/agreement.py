"""Ranks must hold the same bits: each moves its own copy of the weights, and nothing brings them together again."""

from __future__ import annotations

import json
from dataclasses import replace

import torch
from torch import nn

from foldover.core import Settings, TrainerError
from foldover.lm.device import Device, open_device
from foldover.lm.parallel.ranks import Ranks


def agreed_formats(own: Device, settings: Settings, ranks: Ranks) -> Device:
    """The device of this process with the number formats and loops that rank 0 chose, by a probe that is partly timed.

    Raises TrainerError where this process does not have them.
    """
    has_bf16 = own.autocast or own.dtype == torch.bfloat16
    chosen = {"compute": "bf16" if has_bf16 else "fp32", "kernels": own.kernels, "precision": own.precision}
    first = json.loads(ranks.tell(json.dumps(chosen)))
    if chosen == first:
        return own
    wanted = replace(settings, device=str(own.device), compute=first["compute"], kernels=first["kernels"])
    device = replace(open_device(wanted), precision=first["precision"])
    if device.kernels != first["kernels"]:
        raise TrainerError(
            f"rank {ranks.rank} has no {first['kernels']} kernels, which rank 0 has: {device.note}",
            fix="Use the setting `kernels` torch.",
        )
    torch.set_float32_matmul_precision(device.precision)
    return device


def check_weights(model: nn.Module, ranks: Ranks) -> None:
    """Raises TrainerError if the weights of the ranks have come apart."""
    with torch.no_grad():
        total = sum(float(parameter.double().sum()) for parameter in model.parameters())
    found = ranks.gather(total)
    if len({str(other) for other in found}) > 1:  # as text: what is not a number is equal to itself there
        raise TrainerError("the weights of the processes have come apart", value=found)
