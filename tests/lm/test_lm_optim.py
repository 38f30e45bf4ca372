import pytest
import torch
from torch import nn

from foldover.core import TrainerError, bind
from foldover.lm.levers import LEVERS, MICRO, TrainConfig
from foldover.lm.levers_optimizer import Optimizer
from foldover.lm.model import build_model
from foldover.lm.model.parameter import RoleParameter, new_parameter
from foldover.lm.optim import AdamW, Muon, build_optimizer
from foldover.lm.optim.groups import adam_groups
from foldover.lm.optim.transforms import orthogonalize, scale_lines


def matrix(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(16, 16), (64, 16), (16, 64)])
def test_orthogonalize_brings_singular_values_near_one(shape: tuple[int, int]) -> None:
    singular = torch.linalg.svdvals(orthogonalize(matrix(*shape).unsqueeze(0), dtype=torch.float64)[0])
    assert float(singular.min()) > 0.85
    assert float(singular.max()) < 1.15


def test_orthogonalize_keeps_the_singular_vectors() -> None:
    u, _, vt = torch.linalg.svd(matrix(24, 12).double(), full_matrices=False)
    result = orthogonalize(matrix(24, 12).unsqueeze(0).double(), dtype=torch.float64)[0]
    rotated = u.T @ result @ vt.T
    torch.testing.assert_close(rotated, torch.diag(rotated.diagonal()), atol=1e-6, rtol=0.0)


def test_an_orthogonal_matrix_keeps_its_direction() -> None:
    q, _ = torch.linalg.qr(matrix(16, 16).double())
    result = orthogonalize(q.unsqueeze(0), dtype=torch.float64)[0]
    assert float((result * q).sum() / (result.norm() * q.norm())) == pytest.approx(1.0, abs=1e-6)


def test_a_matrix_of_one_row_works() -> None:
    result = orthogonalize(matrix(1, 8).unsqueeze(0), dtype=torch.float32)
    assert float(result.norm()) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("shape", [(16, 16), (64, 16), (16, 64)])
def test_scaling_lines_keeps_the_norm_and_evens_out_the_lines(shape: tuple[int, int]) -> None:
    X = matrix(*shape).unsqueeze(0) * torch.linspace(0.1, 3.0, shape[0]).view(1, -1, 1)
    dim = -1 if shape[0] >= shape[1] else -2
    second = torch.zeros(X.square().mean(dim=dim, keepdim=True).shape)
    scaled = scale_lines(X, second, beta2=0.95)
    assert float(scaled.norm()) == pytest.approx(float(X.norm()), rel=1e-3)
    lines = scaled.square().mean(dim=dim)
    assert float(lines.std() / lines.mean()) < 1e-3


def muon_of(start: torch.Tensor, **levers: object) -> tuple[nn.Parameter, Muon]:
    parameter = nn.Parameter(start.clone())
    return parameter, Muon([parameter], Optimizer(**{"matrix_lr": 0.1, **levers}), dtype=start.dtype)


def test_ema_momentum_and_classic_nesterov_momentum_give_one_direction() -> None:
    gradients = [matrix(8, 8, seed) for seed in range(5)]
    mu = 0.9
    parameter, muon = muon_of(torch.zeros(8, 8))
    buffer, expected = torch.zeros(8, 8), torch.zeros(8, 8)
    second = torch.zeros(1, 8, 1)
    for gradient in gradients:
        muon.gradients[0].copy_(gradient)
        muon.step(lr_multiplier=1.0, momentum=mu, weight_decay=0.0)
        buffer = mu * buffer + gradient
        X = orthogonalize((gradient + mu * buffer).unsqueeze(0), dtype=torch.float32)
        expected -= 0.1 * scale_lines(X, second, beta2=0.95)[0]
    torch.testing.assert_close(parameter.detach(), expected, atol=2e-5, rtol=1e-4)


def test_stacking_matrices_of_one_shape_equals_one_at_a_time() -> None:
    starts, gradients = [matrix(8, 4, s) for s in (1, 2, 3)], [matrix(8, 4, s) for s in (4, 5, 6)]
    together = [nn.Parameter(s.clone()) for s in starts]
    muon = Muon(together, Optimizer(matrix_lr=0.1), dtype=torch.float32)
    for i, gradient in enumerate(gradients):
        together[i].grad.copy_(gradient)
    muon.step(lr_multiplier=1.0, momentum=0.9, weight_decay=0.2)
    for i, start in enumerate(starts):
        alone, single = muon_of(start)
        single.gradients[0].copy_(gradients[i])
        single.step(lr_multiplier=1.0, momentum=0.9, weight_decay=0.2)
        torch.testing.assert_close(together[i].detach(), alone.detach(), atol=1e-6, rtol=1e-5)


def test_decay_acts_only_where_update_and_weight_agree_in_sign() -> None:
    start = matrix(6, 6, 1)
    plain, muon = muon_of(start)
    muon.gradients[0].copy_(matrix(6, 6, 2))
    muon.step(lr_multiplier=1.0, momentum=0.9, weight_decay=0.0)
    update = start - plain.detach()
    decayed, muon = muon_of(start)
    muon.gradients[0].copy_(matrix(6, 6, 2))
    muon.step(lr_multiplier=1.0, momentum=0.9, weight_decay=0.5)
    expected = start - update - 0.1 * 0.5 * start * (update * start >= 0)
    torch.testing.assert_close(decayed.detach(), expected, atol=1e-6, rtol=1e-5)


def test_tall_matrices_take_larger_steps() -> None:
    tall, muon = muon_of(torch.zeros(64, 16))
    muon.gradients[0].copy_(matrix(64, 16))
    muon.step(lr_multiplier=1.0, momentum=0.0, weight_decay=0.0)
    flat, muon = muon_of(torch.zeros(16, 64))
    muon.gradients[0].copy_(matrix(64, 16).T)
    muon.step(lr_multiplier=1.0, momentum=0.0, weight_decay=0.0)
    assert float((tall.norm() / flat.norm()).detach()) == pytest.approx(2.0, rel=0.05)


def test_beta2_acts() -> None:
    results = []
    for beta2 in (0.5, 0.99):
        parameter, muon = muon_of(torch.zeros(8, 8), muon_beta2=beta2)
        for seed in range(3):
            muon.gradients[0].copy_(matrix(8, 8, seed))
            muon.step(lr_multiplier=1.0, momentum=0.9, weight_decay=0.0)
        results.append(parameter.detach().clone())
    assert not torch.allclose(results[0], results[1])


def test_adamw_agrees_with_torch() -> None:
    start = matrix(5, 3, 1)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    adam = AdamW([ours], lr=0.01, beta1=0.8, beta2=0.95, eps=1e-10)
    reference = torch.optim.AdamW([theirs], lr=0.01, betas=(0.8, 0.95), eps=1e-10, weight_decay=0.0)
    for seed in range(5):
        ours.grad, theirs.grad = matrix(5, 3, seed), matrix(5, 3, seed)
        adam.step(lr_multiplier=1.0)
        reference.step()
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_width_rule_scales_embeddings_and_head_but_not_scalars() -> None:
    groups = {g.roles[0]: g for g in adam_groups(Optimizer(), width=384)}
    assert groups["head"].lr == pytest.approx(0.004 * 1.4142, rel=1e-4)
    assert groups["embedding"].lr == pytest.approx(0.6 * 1.4142, rel=1e-4)
    assert groups["residual_scale"].lr == pytest.approx(0.005)
    assert (groups["x0_scale"].lr, groups["x0_scale"].beta1) == (0.5, 0.96)


def test_a_parameter_of_no_group_is_an_error() -> None:
    class Stray(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight: RoleParameter = new_parameter("matrix", 4, 4)
            self.weight.role = "unheard of"

    with pytest.raises(TrainerError, match="unheard of"):
        build_optimizer(Stray(), Optimizer(), width=4, muon_dtype=torch.float32)


def test_every_parameter_of_a_model_moves() -> None:
    config = bind(TrainConfig, LEVERS.complete({"depth": 3}, MICRO))
    model = build_model(config, seed=0, device=torch.device("cpu"))
    optimizer = build_optimizer(model, config.optimizer, width=96, muon_dtype=torch.float32)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    ids = torch.randint(0, 1024, (2, 129), generator=torch.Generator().manual_seed(0))
    for _ in range(3):  # zero-initialised paths wake up one after the other
        model.loss(ids[:, :-1], ids[:, 1:]).backward()
        optimizer.step(lr_multiplier=1.0, momentum=0.9, weight_decay=0.0)
    still = [name for name, p in model.named_parameters() if torch.equal(before[name], p)]
    assert still == []
