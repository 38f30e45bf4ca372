"""Text that a model writes itself, for calibration without training text (parameter-golf, record of 2026-03-25)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from foldover.core import OutsideError


@torch.no_grad()
def write_text(
    logits_of: Callable[[Tensor], Tensor],
    *,
    first: Tensor,
    length: int,
    temperature: float,
    seed: int,
) -> Tensor:
    """Token ids (B, length), each drawn from what the model makes of those before it.

    logits_of: ids (B, t) to logits (B, t, V), through the forward of evaluation; first: (B,), what each row begins
    with, as BOS or random tokens; temperature: above 0. Equal seeds give equal text. Raises OutsideError for logits
    that are not finite.
    """
    generator = torch.Generator().manual_seed(seed)
    ids = torch.empty(len(first), length, dtype=torch.int64, device=first.device)
    ids[:, 0] = first
    for t in range(1, length):
        logits = logits_of(ids[:, :t])[:, -1].float().cpu()
        if not torch.isfinite(logits).all():
            raise OutsideError(f"the model gives logits that are not finite at position {t}", fix="It diverged.")
        shares = torch.softmax(logits / temperature, dim=-1)
        ids[:, t] = torch.multinomial(shares, 1, generator=generator).squeeze(1).to(ids.device)
    return ids


def first_tokens(num_rows: int, vocab_size: int, *, bos_id: int | None, seed: int) -> Tensor:
    """(num_rows,) on the CPU: BOS, or random tokens where there is none."""
    if bos_id is not None:
        return torch.full((num_rows,), bos_id, dtype=torch.int64)
    return torch.randint(vocab_size, (num_rows,), generator=torch.Generator().manual_seed(seed))
