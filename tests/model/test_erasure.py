"""Quadratic erasure: z has the same mean and covariance whatever ŷ is, and nothing is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mddae_cli.config import TargetKind
from mddae_cli.evaluation.probes import probe_leak
from mddae_cli.header import Header, ModelSpec
from mddae_cli.model import QuadraticErasure


@pytest.fixture
def spec(tiny_header: Header) -> ModelSpec:
    """Return a specification of two attributes, a latent of 6 and one direction."""
    return replace(tiny_header.model, num_targets=2, latent_dim=6, erase_directions=1)


def sample(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return latents (N, 6) and ŷ (N, 2).

    Along one oblique line they spread three times as far with the first attribute as without.
    The second goes with the first in 80 %, and by itself moves the mean.
    """
    rng = torch.Generator().manual_seed(seed)
    first = (torch.rand(n, generator=rng) < 0.4).float()
    second = torch.where(torch.rand(n, generator=rng) < 0.8, first, 1 - first)
    h = torch.randn(n, 6, generator=rng)
    line = torch.tensor([2.0, 1.0, -1.0, 0.5, 0.0, 0.0])
    line = line / line.norm()
    h = h + (2 * first * (h @ line))[:, None] * line
    h[:, 5] += 1.5 * second
    turn = torch.randn(6, 6, generator=torch.Generator().manual_seed(9))
    return h @ turn + 3, torch.stack([first, second], dim=1)


def fitted(spec: ModelSpec, n: int = 4000) -> QuadraticErasure:
    erasure = QuadraticErasure(spec)
    erasure.fit(*sample(n), torch.arange(n))
    return erasure


def leaks(z: torch.Tensor, y: torch.Tensor) -> tuple[float | None, ...]:
    """Return what an MLP reads of each attribute from the rows that the erasure has not seen."""
    half = len(z) // 2
    args = z[:half], y[:half], z[half:], y[half:], TargetKind.ATTRIBUTES
    return probe_leak(*args, probe="mlp").per_name


def test_before_it_is_fitted_it_changes_nothing(spec: ModelSpec) -> None:
    features, y = sample(20)
    erasure = QuadraticErasure(spec)
    assert torch.equal(erasure(features, y), features)
    assert torch.equal(erasure.inverse(features, y), features)


def test_the_inverse_gives_the_latent_back(spec: ModelSpec) -> None:
    erasure, (features, y) = fitted(spec), sample(50, seed=1)
    soft = y * 0.7 + 0.1
    z = erasure(features, soft)
    assert float((z - features).abs().max()) > 0.5
    torch.testing.assert_close(erasure.inverse(z, soft), features, rtol=0, atol=1e-4)


def test_an_mlp_no_longer_reads_mean_or_spread_from_new_latents(spec: ModelSpec) -> None:
    features, y = sample(6000, seed=2)
    z = fitted(spec)(features, y)
    before, after = leaks(features, y), leaks(z, y)
    assert all(leak is not None and leak > 0.7 for leak in before)
    assert all(leak is not None and leak < 0.54 for leak in after)


def test_what_does_not_tell_the_attribute_is_hardly_moved(spec: ModelSpec) -> None:
    erasure, (features, y) = fitted(spec), sample(2000, seed=3)
    turn = torch.randn(6, 6, generator=torch.Generator().manual_seed(9))
    quiet = torch.linalg.inv(turn)[:, 4]  # the fifth coordinate, before it was turned
    moved = (erasure(features, y) - features) @ quiet
    assert float(moved.std()) < 0.1 * float((features @ quiet).std())


def test_an_attribute_of_few_pictures_is_left_alone(spec: ModelSpec) -> None:
    features, y = sample(1000)
    y[:, 0] = 0.0
    y[:40, 0] = 1.0
    erasure = QuadraticErasure(spec)
    erasure.fit(features, y, torch.arange(1000))
    assert not erasure.log_variances[0].any()
    assert erasure.log_variances[1].all()


def test_noise_of_a_small_sample_is_not_taken_for_a_difference(spec: ModelSpec) -> None:
    """Variances along directions that a sample itself has chosen would differ by half."""
    rng = torch.Generator().manual_seed(4)
    wide = replace(spec, latent_dim=40, erase_directions=40, num_targets=1)
    features = torch.randn(300, 40, generator=rng)
    y = (torch.rand(300, 1, generator=rng) < 0.5).float()
    erasure = QuadraticErasure(wide)
    erasure.fit(features, y, torch.arange(300))
    differences = erasure.log_variances[0, 1] - erasure.log_variances[0, 0]
    assert float(differences.square().mean().sqrt()) < 0.35


def test_mirror_images_are_held_out_with_their_pictures(spec: ModelSpec) -> None:
    """Were a copy elsewhere, held-out pictures would be known after all."""
    rng = torch.Generator().manual_seed(5)
    wide = replace(spec, latent_dim=40, erase_directions=40, num_targets=1)
    features = torch.randn(303, 40, generator=rng)
    y = (torch.rand(303, 1, generator=rng) < 0.5).float()
    once, twice = QuadraticErasure(wide), QuadraticErasure(wide)
    once.fit(features, y, torch.arange(303))
    numbers = torch.arange(303).repeat(2)
    twice.fit(features.repeat(2, 1), y.repeat(2, 1), numbers)
    torch.testing.assert_close(twice.log_variances, once.log_variances, rtol=0, atol=1e-3)


def spread_at(erasure: QuadraticErasure, z: torch.Tensor, *values: float) -> list[float]:
    """Return how far latents spread along the first attribute's direction at its values of ŷ."""
    at = []
    for value in values:
        h = erasure.whitened(erasure.inverse(z, torch.tensor([[value, 0.0]]).expand(len(z), 2)))
        at.append(float((h @ erasure.directions[0]).std()))
    return at


def test_intensities_below_zero_move_no_latent(spec: ModelSpec) -> None:
    erasure, (z, _) = fitted(spec), sample(8, seed=6)
    below, edge = torch.tensor([[-4.0, -0.3]] * 8), torch.zeros(8, 2)
    assert torch.equal(erasure.inverse(z, below), erasure.inverse(z, edge))


def test_beyond_one_latents_are_drawn_together_where_the_attribute_spreads_them(
    spec: ModelSpec,
) -> None:
    erasure, (features, y) = fitted(spec), sample(500, seed=6)
    z = erasure(features, y)
    without, having, half, typical, far = spread_at(erasure, z, 0.0, 1.0, 1.2, 1.4, 9.0)
    assert having > 2 * without
    assert without > half > 5 * typical
    assert typical == far
    # Across that direction they stay where they are.
    ends = (torch.tensor([[value, 0.0]]).expand(500, 2) for value in (1.0, 1.4))
    one, more = (erasure.whitened(erasure.inverse(z, end)) for end in ends)
    across = torch.eye(6) - erasure.directions[0] @ erasure.directions[0].T
    torch.testing.assert_close(one @ across, more @ across, rtol=0, atol=1e-4)


def test_beyond_one_latents_stay_where_the_attribute_makes_pictures_alike(spec: ModelSpec) -> None:
    features, y = sample(4000)
    erasure = QuadraticErasure(spec)
    erasure.fit(features, torch.stack([1 - y[:, 0], y[:, 1]], dim=1), torch.arange(4000))
    without, having, far = spread_at(erasure, features[:500], 0.0, 1.0, 9.0)
    assert without > 2 * having
    assert far == having


def test_a_coordinate_that_never_varies_stays_as_it_is(spec: ModelSpec) -> None:
    features, y = sample(2000)
    features[:, 2] = 7.0
    erasure = QuadraticErasure(spec)
    erasure.fit(features, y, torch.arange(2000))
    z = erasure(features, y)
    assert bool(z.isfinite().all())
    torch.testing.assert_close(z[:, 2], features[:, 2], rtol=0, atol=1e-3)


def test_steps_move_the_latent_beyond_one_alone(spec: ModelSpec) -> None:
    """Within 0 to 1, where reconstructions are, and on the way to z, nothing changes."""
    erasure, (features, y) = fitted(spec), sample(50, seed=7)
    soft = y * 0.7 + 0.1
    z, beyond = erasure(features, soft), soft + torch.tensor([2.0, 0.0])
    before = [erasure.inverse(z, at) for at in (soft, beyond)]
    line = torch.zeros(6)
    line[2] = 2.0
    erasure.steps.put(0, line, 1.5)
    within, moved = (erasure.inverse(z, at) for at in (soft, beyond))
    assert torch.equal(erasure(features, soft), z)
    assert torch.equal(within, before[0])
    both = torch.linalg.qr(torch.cat(list(erasure.directions), dim=1)).Q
    across = torch.eye(6) - both @ both.T
    went = (erasure.whitened(moved) - erasure.whitened(before[1])) @ across
    torch.testing.assert_close(went, (line @ across).expand(50, 6), rtol=0, atol=1e-4)


def test_steady_directions_are_those_that_differ_less_with_the_attribute(spec: ModelSpec) -> None:
    erasure = QuadraticErasure(replace(spec, erase_directions=3))
    erasure.log_variances[1] = torch.tensor([[0.0, 0.0, 0.0], [0.4, -0.1, 0.0]])
    assert torch.equal(erasure.steady(1), erasure.directions[1][:, 1:2])
