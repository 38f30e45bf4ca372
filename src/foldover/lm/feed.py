"""Training rows on their way to the device: how many a step, how long, in which micro-batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Feed:
    """Rows (T+1,) of a stream, taken a step at a time. The order of rows depends on no batch size.

    rows: an endless stream; tokens_at_once: bound on a micro-batch, so on memory; that of all processes together.
    """

    def __init__(self, rows: Iterator[NDArray[np.uint16]], *, tokens_at_once: int, device: torch.device) -> None:
        self._rows = rows
        self._tokens_at_once = tokens_at_once
        self._device = device
        self.taken = 0

    def take(self, num_rows: int, *, row_length: int) -> list[Tensor]:
        """The micro-batches of a step, int64 (B, row_length + 1): equal sizes, at most `tokens_at_once` tokens.

        row_length: tokens a row; a divisor of T. Shorter rows are consecutive parts of the long ones.
        """
        rows = torch.from_numpy(np.stack([next(self._rows) for _ in range(num_rows)]).astype(np.int64))
        self.taken += num_rows
        if row_length < rows.shape[1] - 1:
            rows = rows.unfold(1, row_length + 1, row_length).reshape(-1, row_length + 1)
        if self._device.type == "cuda":
            rows = rows.pin_memory()  # else the copy would wait for the device
        rows = rows.to(self._device, non_blocking=True)
        return micro_batches(rows, rows_at_once=max(1, self._tokens_at_once // row_length))

    def skip(self, num_rows: int) -> None:
        """Pass over rows: where a continued run goes on."""
        for _ in range(num_rows):
            next(self._rows)
        self.taken += num_rows


def micro_batches(rows: Tensor, *, rows_at_once: int) -> list[Tensor]:
    """Rows (R, T+1) in as few parts of equal size as have at most `rows_at_once` rows."""
    num_rows = len(rows)
    size = next(num_rows // n for n in range(1, num_rows + 1) if num_rows % n == 0 and num_rows // n <= rows_at_once)
    return list(torch.split(rows, size))


def sizes(micro: Sequence[Tensor]) -> int:
    """Tokens that a step trains on."""
    return sum(rows.shape[0] * (rows.shape[1] - 1) for rows in micro)
