"""What is done with a trained state, whoever trained it: it is measured.

What levers of the phases `export` and `evaluate` vary belongs here: nothing in this file may depend on how the state
came about, so that a run that trained and one that begins with its state score the same, to the bit.
"""

from __future__ import annotations

from torch import Tensor

from foldover.data import ScoredRows
from foldover.evaluation.bits_per_byte import bits_per_byte
from foldover.evaluation.score import Score
from foldover.lm.device import Device
from foldover.lm.model import Gpt
from foldover.lm.parallel import Alone, Ranks, share_of

# A setting, not a lever: it bounds memory and does not change what is computed beyond rounding.
EVALUATION_TOKENS_AT_ONCE = {"cpu": 4096, "cuda": 65536}


def evaluate(model: Gpt, rows: ScoredRows, device: Device, ranks: Ranks | None = None) -> Score:
    """val_bpb of a model on rows of the pinned stream, through the forward of training.

    ranks: among which the rows are shared; what comes out is that of one process up to the rounding of sums.
    """
    ranks = ranks or Alone()
    own = share_of(len(rows.ids), rank=ranks.rank, size=ranks.size)

    def logits_of(ids: Tensor) -> Tensor:
        with device.compute():
            logits: Tensor = model(ids)
            return logits

    batch_rows = max(1, EVALUATION_TOKENS_AT_ONCE[device.device.type] // (rows.ids.shape[1] - 1))
    nats = 0.0
    if ranks.size == 1 or rows.is_scored[own].any():
        nats = bits_per_byte(
            logits_of,
            rows.ids[own],
            rows.bytes[own],
            rows.is_scored[own],
            device=device.device,
            batch_rows=batch_rows,
        ).nats
    return Score(nats=sum(ranks.gather(nats)), tokens=int(rows.is_scored.sum()), bytes=int(rows.bytes.sum()))
