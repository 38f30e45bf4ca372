"""What is minimised (levers `loss.*`). What is reported and evaluated is always the plain cross-entropy.

With every lever at its neutral value the model's own fused loss is used. Otherwise logits are made and each token
gets a loss and a weight; what a model learns beside the next token (levers `head.*`) is added with its weight:

    l = (1 - p)^focal ((1 - e) nll + e mean over V of -log p_v) + c logsumexp(logits)^2
    objective = sum of w l / sum of w, over all tokens of the step, and the model's auxiliary terms

p: probability of the target, not detached; e: label smoothing; logits as the model gives them, capped. The sums
run over the step, not the micro-batch, so that how a step is cut into micro-batches changes nothing.

Legend: B rows, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

import torch
from torch import Tensor, nn

from foldover.lm.levers_training import Loss
from foldover.lm.model import CROSS_ENTROPY
from foldover.lm.token_classes import TokenClasses


class LossModel(Protocol):
    """What an objective needs of a model. Auxiliary terms are means over the rows, and come weighted."""

    def loss_terms(self, ids: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """The mean cross-entropy in nats, by the name `cross_entropy`, and the auxiliary terms."""

    def logits_and_terms(self, ids: Tensor, targets: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Logits (B, T, V), and the auxiliary terms."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Share:
    """What a micro-batch counts in its step. rows: of the step's rows; tokens: weights (B, T), of a sum of 1."""

    rows: float
    tokens: Tensor | None = None

    def part(self, rows: slice, *, of: int) -> Share:
        """What some of the micro-batch's rows count. of: how many it has."""
        tokens = None if self.tokens is None else self.tokens[rows]
        return Share(rows=self.rows * ((rows.stop - rows.start) / of), tokens=tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Of one micro-batch. objective: its share of what is minimised; plain: its mean cross-entropy, detached."""

    objective: Tensor
    plain: Tensor


class Objective(Protocol):
    """What is minimised."""

    def shares(self, micro_batches: Sequence[Tensor], *, progress: float) -> list[Share]:
        """Of the micro-batches of a step, rows (B, T+1)."""

    def losses(self, model: LossModel, rows: Tensor, share: Share) -> Losses:
        """The losses of a micro-batch of rows (B, T+1)."""


class PlainObjective:
    """The mean cross-entropy, by the model's fused loss, and its auxiliary terms."""

    def shares(self, micro_batches: Sequence[Tensor], *, progress: float) -> list[Share]:
        """By rows."""
        return [Share(rows=part) for part in row_shares(micro_batches)]

    def losses(self, model: LossModel, rows: Tensor, share: Share) -> Losses:
        """Means, by the share of rows."""
        terms = model.loss_terms(rows[:, :-1], rows[:, 1:])
        total = reduce(torch.add, terms.values())
        return Losses(objective=total * share.rows, plain=terms[CROSS_ENTROPY].detach())


class WeightedObjective:
    """Every lever of `loss.*`. weighting: weight of each token before the norm, (B, T), from rows and progress."""

    def __init__(self, loss: Loss, weighting: Callable[[Tensor, float], Tensor]) -> None:
        self._loss = loss
        self._weighting = weighting

    def shares(self, micro_batches: Sequence[Tensor], *, progress: float) -> list[Share]:
        """By class and position of the tokens; ignored ones 0."""
        found = [self._weighting(rows, progress) for rows in micro_batches]
        total = torch.stack([w.sum() for w in found]).sum().clamp_min(1e-12)
        parts = row_shares(micro_batches)
        return [Share(rows=part, tokens=w / total) for part, w in zip(parts, found, strict=True)]

    def losses(self, model: LossModel, rows: Tensor, share: Share) -> Losses:
        """The weighted sum, and auxiliary terms by the share of rows."""
        assert share.tokens is not None, "the share has no weights"
        loss, targets, weights = self._loss, rows[:, 1:], share.tokens
        logits, terms = model.logits_and_terms(rows[:, :-1], targets)
        logits = logits.float()
        log_p = logits.log_softmax(dim=-1)  # (B, T, V)
        nll = -log_p.gather(-1, targets.unsqueeze(-1)).squeeze(-1)  # (B, T)
        token = nll
        if loss.label_smoothing:
            token = (1.0 - loss.label_smoothing) * token - loss.label_smoothing * log_p.mean(dim=-1)
        if loss.focal_gamma:
            token = (-torch.expm1(-nll)).clamp_min(1e-12).pow(loss.focal_gamma) * token
        if loss.z_loss:
            token = token + loss.z_loss * logits.logsumexp(dim=-1).square()
        if loss.mile_gamma:
            weights = weights * mile_weights(log_p.detach(), loss.mile_gamma)
        total = reduce(torch.add, (term * share.rows for term in terms.values()), (weights * token).sum())
        return Losses(objective=total, plain=nll.detach().mean())


class TokenWeights(nn.Module):
    """(rows (B, T+1), progress) -> weights (B, T), not normalised."""

    of_target: Tensor
    of_input: Tensor
    is_start: Tensor

    def __init__(self, loss: Loss, classes: TokenClasses) -> None:
        super().__init__()
        is_start = torch.from_numpy(classes.word_start)
        is_suffix, is_end = torch.from_numpy(classes.short_suffix), torch.from_numpy(classes.sentence_end)
        of_target = torch.ones(len(is_start)).masked_fill(is_suffix, loss.suffix_weight)
        of_target = of_target.masked_fill(is_start, loss.word_start_weight)
        if 0 <= loss.ignore_token < len(of_target):
            of_target[loss.ignore_token] = 0.0
        self.register_buffer("of_target", of_target, persistent=False)
        self.register_buffer("is_start", is_start, persistent=False)
        self.register_buffer(
            "of_input", torch.ones(len(is_end)).masked_fill(is_end, loss.sentence_end_weight), persistent=False
        )
        self._ramp_from = loss.word_start_ramp_from
        self._position_end = loss.position_weight

    def forward(self, rows: Tensor, progress: float) -> Tensor:
        """The product of all that applies to a token."""
        inputs, targets = rows[:, :-1], rows[:, 1:]
        weights = self.of_target[targets] * self.of_input[inputs]
        if self._ramp_from != 1.0:
            share = self._ramp_from + (1.0 - self._ramp_from) * progress
            weights = torch.where(self.is_start[targets], weights * share, weights)
        ramp = torch.linspace(1.0, self._position_end, inputs.shape[1], device=rows.device)
        return weights * ramp


def row_shares(micro_batches: Sequence[Tensor]) -> list[float]:
    """Each micro-batch's share of the rows."""
    num_rows = sum(len(rows) for rows in micro_batches)
    return [len(rows) / num_rows for rows in micro_batches]


def mile_weights(log_p: Tensor, gamma: float) -> Tensor:
    """MiLe: (1 + H)^gamma, H the entropy of the prediction in nats, over its mean in the row; (B, T).

    Su et al. 2024, arXiv 2310.19531. The mean is over a row rather than a batch, so that micro-batches do not matter.
    """
    entropy = -(log_p.exp() * log_p).sum(dim=-1)
    weights = (1.0 + entropy).pow(gamma)
    normed: Tensor = weights / weights.mean(dim=-1, keepdim=True)
    return normed


def is_plain(loss: Loss) -> bool:
    """Whether every lever is at its neutral value."""
    return loss == NEUTRAL


def build_objective(loss: Loss, classes: Callable[[], TokenClasses], device: torch.device) -> Objective:
    """The objective of a recipe. classes: asked for only where a lever needs them."""
    if is_plain(loss):
        return PlainObjective()
    return WeightedObjective(loss, TokenWeights(loss, classes()).to(device))


NEUTRAL = Loss()
