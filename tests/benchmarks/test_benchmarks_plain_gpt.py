"""The plain trainer of the benchmarks is the same trainer: same weights, same loss, same first steps."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from benchmarks.plain_gpt import PlainGpt, PlainOptimizer, PlainShape, schedule
from torch import Tensor

from foldover.core import bind
from foldover.lm.levers import LEVERS, TrainConfig
from foldover.lm.model import Gpt, build_model
from foldover.lm.optim import build_optimizer
from foldover.lm.schedule import Moment, rates_at

STEPS = 4


def config(pattern: str) -> TrainConfig:
    values = {
        "depth": 4,
        "aspect": 16,
        "head_dim": 32,
        "context": 64,
        "vocab_size": 300,
        "total_batch": 256,
        "window_pattern": pattern,
        "momentum_warmup": 3,
    }
    return bind(TrainConfig, LEVERS.complete(values))


def models(pattern: str) -> tuple[TrainConfig, Gpt, PlainGpt]:
    made = config(pattern)
    own = build_model(made, seed=1, device=torch.device("cpu"))
    # Everything that begins at zero gets weights, so that all of the network is compared.
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.02)
    windows = {"L": (64, 64, 64, 64), "SSSL": (32, 32, 32, 64)}[pattern]
    plain = PlainGpt(PlainShape(width=64, num_heads=2, vocab_size=300, context=64, windows=windows))
    plain.load(dict(own.named_parameters()))
    return made, own, plain


def rows(step: int) -> tuple[Tensor, Tensor]:
    ids = torch.randint(300, (4, 65), generator=torch.Generator().manual_seed(step))
    return ids[:, :-1], ids[:, 1:]


@pytest.mark.parametrize("pattern", ["L", "SSSL"])
def test_equal_weights_give_an_equal_loss(pattern: str) -> None:
    _, own, plain = models(pattern)
    ids, targets = rows(0)
    with torch.no_grad():
        assert float(plain(ids, targets)) == pytest.approx(float(own.loss(ids, targets)), abs=1e-5)


def test_windows_are_felt() -> None:
    """Else the comparison above would say nothing of them."""
    _, _, full = models("L")
    _, _, windowed = models("SSSL")
    ids, targets = rows(0)
    with torch.no_grad():
        assert abs(float(full(ids, targets)) - float(windowed(ids, targets))) > 1e-5


def test_first_steps_are_equal() -> None:
    made, own, plain = models("L")
    ours = build_optimizer(own, made.optimizer, width=64, muon_dtype=torch.float32)
    theirs = PlainOptimizer(plain, width=64, dtype=torch.float32)
    before = {name: p.detach().clone() for name, p in own.named_parameters()}
    for step in range(STEPS):
        ids, targets = rows(step)
        loss, plain_loss = own.loss(ids, targets), plain(ids, targets)
        assert plain_loss.item() == pytest.approx(loss.item(), abs=1e-4)
        loss.backward()
        plain_loss.backward()
        rates = rates_at(made, Moment(progress=step / STEPS, step=step))
        expected = schedule(step, STEPS, momentum_warmup=3)
        assert expected == pytest.approx(
            {name: getattr(rates, name) for name in ("lr_multiplier", "momentum", "weight_decay")}
        )
        ours.step(**expected)
        theirs.step(**expected)
    moved = _as_loaded(plain, own)
    for name, parameter in own.named_parameters():
        change, other = parameter.detach() - before[name], moved[name] - before[name]
        assert float((change - other).norm()) <= 2e-3 * float(change.norm()), name


def test_weights_that_are_left_over_are_refused() -> None:
    _, own, plain = models("L")
    with pytest.raises(KeyError, match="left over"):
        plain.load({**dict(own.named_parameters()), "more": torch.zeros(1)})


def _as_loaded(plain: PlainGpt, own: Gpt) -> Mapping[str, Tensor]:
    """The plain model's weights by foldover's names: each is looked up by what `load` writes to it."""
    probe = {name: torch.full(p.shape, float(i + 1)) for i, (name, p) in enumerate(own.named_parameters())}
    names = list(probe)
    marked = PlainGpt(PlainShape(width=64, num_heads=2, vocab_size=300, context=64, windows=(64,) * 4))
    marked.load(probe)
    found: dict[str, Tensor] = {}
    for mark, value in zip(marked.parameters(), plain.parameters(), strict=True):
        for number in mark.unique().tolist():
            name = names[int(number) - 1]
            found[name] = value.detach()[mark == number].view(probe[name].shape)
    return found
