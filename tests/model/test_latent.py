"""The latent: standardised, freed of what is linear in ŷ, and by a flow of the rest."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from mddae_cli.config import TargetKind, ZNorm
from mddae_cli.evaluation.probes import probe_leak
from mddae_cli.header import Header, ModelSpec
from mddae_cli.model import CouplingFlow, LatentNorm

SpecOf = Callable[..., ModelSpec]


@pytest.fixture
def spec(tiny_header: Header) -> SpecOf:
    """Return a small specification with fields changed."""
    return lambda **changes: replace(tiny_header.model, **changes)


def linear_latent(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return z (N, 4) that follows ŷ (N, 10) along a line, with noise, and ŷ."""
    rng = torch.Generator().manual_seed(2)
    y_hat = torch.rand(n, 10, generator=rng)
    noise = torch.randn(n, 4, generator=rng)
    return 3 * y_hat @ torch.randn(10, 4, generator=rng) + 0.5 * noise + 7, y_hat


def correlations(y_hat: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    return torch.corrcoef(torch.cat([y_hat, z], dim=1).T)[:10, 10:].abs()


@pytest.mark.parametrize("z_norm", [ZNorm.BATCH, ZNorm.RESIDUAL])
def test_a_normalised_latent_has_mean_zero_and_variance_one_over_the_batch(spec, z_norm):
    z, y_hat = linear_latent(64)
    out = LatentNorm(spec(z_norm=z_norm)).train()(z, y_hat)
    torch.testing.assert_close(out.mean(0), torch.zeros(4), rtol=0, atol=1e-5)
    torch.testing.assert_close(out.std(0, correction=0), torch.ones(4), rtol=1e-3, atol=0)


def test_a_latent_without_normalisation_stays_as_it_is(spec):
    z, y_hat = linear_latent(64)
    assert torch.equal(LatentNorm(spec(z_norm=ZNorm.NONE))(z, y_hat), z)


def test_a_residual_latent_has_lost_what_is_linear_in_the_target_and_nothing_else(spec):
    z, y_hat = linear_latent(4000)
    norm = LatentNorm(spec(z_norm=ZNorm.RESIDUAL)).train()
    for rows in torch.arange(4000).split(40) * 4:
        norm(z[rows], y_hat[rows])
    out = norm.eval()(z, y_hat)
    assert float(correlations(y_hat, z).max()) > 0.3
    assert float(correlations(y_hat, out).max()) < 0.06
    ones = torch.cat([y_hat, torch.ones(4000, 1)], dim=1)
    rest = z - ones @ torch.linalg.lstsq(ones, z).solution
    same = torch.corrcoef(torch.cat([out, rest], dim=1).T)[:4, 4:].diagonal()
    assert float(same.min()) > 0.99


def test_a_residual_latent_passes_gradients_and_keeps_its_averages_in_evaluation(spec):
    z, y_hat = linear_latent(32)
    z.requires_grad_()
    norm = LatentNorm(spec(z_norm=ZNorm.RESIDUAL)).train()
    (norm(z, y_hat) ** 3).sum().backward()
    assert z.grad is not None
    assert z.grad.isfinite().all()
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    norm.eval()(z, y_hat)
    assert all(torch.equal(before[name], value) for name, value in norm.state_dict().items())


def moved_flow(spec: ModelSpec, size: float = 0.3) -> CouplingFlow:
    """Return a flow whose layers do something, unlike new ones."""
    torch.manual_seed(0)
    flow = CouplingFlow(spec)
    rng = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in flow.parameters():
            weight.add_(size * torch.randn(weight.shape, generator=rng))
    return flow.double()


def latents(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(4)
    y_hat = torch.rand(n, 10, generator=rng, dtype=torch.float64).softmax(dim=1)
    return torch.randn(n, 4, generator=rng, dtype=torch.float64), y_hat


def loss_of(
    flow: CouplingFlow, features: torch.Tensor, y_hat: torch.Tensor, pull: float = 0.0
) -> torch.Tensor:
    return flow.loss(flow(features, y_hat), features, y_hat, pull)


@pytest.mark.parametrize("layers", [0, 1, 6])
def test_the_inverse_of_a_flow_gives_the_latent_back(spec: SpecOf, layers: int) -> None:
    flow = moved_flow(spec(flow_layers=layers))
    features, y_hat = latents(20)
    z = flow(features, y_hat).z
    assert torch.equal(z, features) is (layers == 0)
    torch.testing.assert_close(flow.inverse(z, y_hat), features, rtol=0, atol=1e-7)


def test_a_new_flow_changes_nothing(spec: SpecOf) -> None:
    features, y_hat = latents(20)
    z, log_det = CouplingFlow(spec(flow_layers=4)).double()(features, y_hat)
    assert torch.equal(z, features)
    assert not log_det.any()


def test_the_log_determinant_is_that_of_the_jacobian(spec: SpecOf) -> None:
    flow = moved_flow(spec(flow_layers=4))
    features, y_hat = latents(3)
    log_det = flow(features, y_hat).log_det
    for row in range(3):
        target = y_hat[row : row + 1]
        jacobian = torch.autograd.functional.jacobian(
            lambda f, target=target: flow(f[None], target).z[0], features[row]
        )
        torch.testing.assert_close(log_det[row], torch.linalg.slogdet(jacobian).logabsdet)


def test_the_likelihood_is_that_of_the_normal_density_carried_over(spec: SpecOf) -> None:
    flow = moved_flow(spec(flow_layers=4))
    features, y_hat = latents(50)
    z, log_det = flow(features, y_hat)
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(dim=1)
    constant = 0.5 * math.log(2 * math.pi)
    wanted = -(normal + log_det).mean() / 4 - constant
    torch.testing.assert_close(loss_of(flow, features, y_hat), wanted)


def test_the_pull_is_how_far_latents_move_to_the_targets_of_others(spec: SpecOf) -> None:
    flow = moved_flow(spec(flow_layers=4))
    features, y_hat = latents(50)
    other = torch.cat([y_hat[-1:], y_hat[:-1]])
    moved = flow.inverse(flow(features, y_hat).z, other) - features
    pulled = loss_of(flow, features, y_hat, 2.0) - loss_of(flow, features, y_hat)
    torch.testing.assert_close(pulled, 2.0 * (moved**2).mean())


def test_every_coordinate_is_moved_by_some_layer(spec: SpecOf) -> None:
    for size in (1, 3, 10):
        flow = CouplingFlow(spec(latent_dim=size, flow_layers=2))
        moved = sum(1 - layer.kept for layer in flow.layers)
        assert torch.equal(moved, torch.ones(size))


def test_intensities_beyond_the_soft_target_move_no_latent(spec: SpecOf) -> None:
    flow = moved_flow(spec(flow_layers=4))
    z, y_hat = latents(8)
    beyond, edge = y_hat.clone(), y_hat.clone()
    beyond[:, 2], beyond[:, 5] = 4.0, -3.0
    edge[:, 2], edge[:, 5] = 1.0, 0.0
    assert torch.equal(flow.inverse(z, beyond), flow.inverse(z, edge))


def test_a_fitted_flow_takes_away_what_is_not_linear(spec: SpecOf) -> None:
    """A ring whose radius tells the class: no covariance, and an MLP reads it."""
    rng = torch.Generator().manual_seed(5)
    classes = torch.randint(2, (4000,), generator=rng)
    angle = 2 * math.pi * torch.rand(4000, generator=rng)
    radius = 1.0 + classes + 0.1 * torch.randn(4000, generator=rng)
    features = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
    y = torch.nn.functional.one_hot(classes, 2).float()
    torch.manual_seed(6)
    flow = CouplingFlow(spec(latent_dim=2, num_targets=2, flow_layers=6))
    optimiser = torch.optim.Adam(flow.parameters(), lr=3e-3)
    for step in range(400):
        rows = torch.arange(step * 200, step * 200 + 200) % 3000
        loss = loss_of(flow, features[rows], y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def leak(z: torch.Tensor) -> float:
        args = z[:3000], y[:3000], z[3000:], y[3000:], TargetKind.CLASSES
        return probe_leak(*args, probe="mlp").mean

    with torch.no_grad():
        z = flow(features, y).z
    assert leak(features) > 0.98
    assert leak(z) < 0.62
