"""A temperature fitted to training tokens (lever `evaluate.fitted_temperature`)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from foldover.core import DataError
from foldover.evaluation.scoring_model import ScoringModel
from foldover.evaluation.stream import Stream

LOWEST, HIGHEST = 0.25, 4.0


@torch.no_grad()
def fit_temperature(model: ScoringModel, rows: NDArray[np.uint16], *, validation: Stream) -> float:
    """The temperature at which rows of training tokens (R, T + 1) are likeliest, between 1/4 and 4.

    The loss is convex in 1 / temperature, so that the minimum is the only one. A few thousand tokens do: all their
    logits are held. Raises DataError if a row lies in the validation stream, or there is none.
    """
    from scipy.optimize import minimize_scalar  # late: only fitting needs it

    if not len(rows):
        raise DataError("there are no training rows to fit a temperature to")
    refuse_validation(rows, validation)
    ids = torch.from_numpy(rows.astype(np.int64)).to(model.device)
    logits = torch.cat([model.logits(row[None, :-1]).double()[0] for row in ids])  # (R T, V)
    targets = ids[:, 1:].reshape(-1, 1)

    def loss(inverse: float) -> float:
        scaled = logits * inverse
        return float((scaled.logsumexp(dim=-1) - scaled.gather(-1, targets).squeeze(-1)).mean())

    found = minimize_scalar(loss, bounds=(1.0 / HIGHEST, 1.0 / LOWEST), method="bounded", options={"xatol": 1e-6})
    return 1.0 / float(found.x)


def refuse_validation(rows: NDArray[np.uint16], validation: Stream) -> None:
    """Raises DataError if one of the rows stands in the validation stream word for word."""
    stream = validation.ids.astype("<u2").tobytes()
    for index, row in enumerate(rows):
        pattern = row.astype("<u2").tobytes()
        place = stream.find(pattern)
        while place >= 0:
            if place % 2 == 0:
                raise DataError(
                    f"row {index} of the training rows stands in the validation stream, at token {place // 2}",
                    fix="Calibrate on training text alone.",
                )
            place = stream.find(pattern, place + 1)
