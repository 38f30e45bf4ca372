"""val_bpb: bits per UTF-8 byte of the validation text (levers: none; the definition is a constant).

    bpb = sum of nll over the scored targets, in nats / (ln 2 * sum of the bytes that targets stand for)

Which targets are scored and how many bytes each stands for is the data's to say (`foldover.data.scored_rows`); a
beginning-of-document token has no bytes and, as context, stays. Source: karpathy/autoresearch 228791f,
`evaluate_bpb`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from foldover.core import DataError
from foldover.evaluation.score import Score, ratio_error


@torch.inference_mode()
def bits_per_byte(
    logits_of: Callable[[Tensor], Tensor],
    ids: NDArray[np.uint16],
    target_bytes: NDArray[np.int64],
    is_scored: NDArray[np.bool_],
    *,
    device: torch.device,
    batch_rows: int,
) -> Score:
    """Score rows of ids (R, T+1): position t is predicted from the positions before it in its row.

    logits_of: ids (B, T) int64 -> logits (B, T, V). target_bytes, is_scored: (R, T), of the targets. Log-probabilities
    and sums are in float64, so that the result does not depend on `batch_rows` beyond rounding of the logits. The
    standard error is over rows. Raises DataError if nothing is scored.
    """
    num_bytes = int(target_bytes.sum())
    if num_bytes == 0 or not is_scored.any():
        raise DataError("no byte of the validation stream is scored", fix="Raise `eval_tokens`.")
    nats = torch.zeros((), dtype=torch.float64, device=device)
    row_nats = []
    for start in range(0, len(ids), batch_rows):
        batch = slice(start, start + batch_rows)
        rows = torch.from_numpy(ids[batch].astype(np.int64)).to(device)
        counts = torch.from_numpy(is_scored[batch]).to(device)
        logits = logits_of(rows[:, :-1]).double()
        nll = logits.logsumexp(dim=-1) - logits.gather(-1, rows[:, 1:].unsqueeze(-1)).squeeze(-1)
        nats += (nll * counts).sum()
        row_nats.append((nll * counts).sum(dim=-1))
    return Score(
        nats=float(nats),
        tokens=int(is_scored.sum()),
        bytes=num_bytes,
        standard_error=ratio_error(torch.cat(row_nats).cpu().numpy(), target_bytes.sum(axis=1)),
    )
