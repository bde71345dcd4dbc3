"""Equations 1 to 15 held against numpy written from the page."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from mddae_cli import losses, metrics
from mddae_cli.config import Reduction, Reg, TargetKind
from mddae_cli.header import SsimSpec

SPEC = SsimSpec(5, 1.5, (0.4, 0.6))
UNIT = (0.0, 1.0)


def rand(*shape: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=rng, dtype=torch.float64)


def randn(*shape: int, seed: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


# --- reconstruction ---------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", list(Reduction))
def test_mse_is_equation_2_averaged_over_the_batch(reduction):
    x, x_hat = rand(4, 3, 5, 6), rand(4, 3, 5, 6, seed=1)
    per_picture = [float(((x[n] - x_hat[n]).numpy() ** 2).sum()) for n in range(4)]
    expected = np.mean(per_picture) / (3 * 5 * 6 if reduction is Reduction.MEAN else 1)
    assert float(losses.mse(x, x_hat, reduction)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
def test_dssim_is_equation_6_on_the_unit_range(low, high):
    x, x_hat = rand(3, 2, 16, 16), rand(3, 2, 16, 16, seed=1)
    similarity = metrics.ms_ssim(x, x_hat, SPEC)
    expected = np.mean([(1 - float(s)) / 2 for s in similarity])
    scaled = [low + (high - low) * v for v in (x, x_hat)]
    got = losses.dssim(*scaled, SPEC, (low, high))
    assert float(got) == pytest.approx(expected, abs=1e-5)
    assert float(losses.dssim(x, x, SPEC, UNIT)) == pytest.approx(0.0, abs=1e-6)


def test_dssim_is_computed_in_float32_whatever_the_network_used():
    x = rand(2, 3, 16, 16).float()
    x_hat = (x + 0.05 * randn(2, 3, 16, 16).float()).clamp(0, 1).bfloat16()
    expected = losses.dssim(x.double(), x_hat.double(), SPEC, UNIT)
    got = losses.dssim(x, x_hat, SPEC, UNIT)
    assert got.dtype is torch.float32
    assert float(got) == pytest.approx(float(expected), abs=1e-5)


def test_dssim_is_not_rounded_inside_autocast():
    x = rand(2, 3, 16, 16).float()
    x_hat = (x + 0.05 * randn(2, 3, 16, 16).float()).clamp(0, 1)
    expected = float(losses.dssim(x, x_hat, SPEC, UNIT))
    with torch.autocast("cpu", torch.bfloat16):
        assert float(losses.dssim(x, x_hat, SPEC, UNIT)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("side", [28, 32, 64, 128])
def test_dssim_works_at_every_side_with_its_default_variant(side):
    x, x_hat = rand(2, 1, side, side), rand(2, 1, side, side, seed=1).requires_grad_()
    loss = losses.dssim(x, x_hat, metrics.default_ssim_spec(side), UNIT)
    loss.backward()
    assert 0 < float(loss.detach()) <= 0.5
    assert x_hat.grad is not None
    assert x_hat.grad.isfinite().all()


@pytest.mark.parametrize("alpha", [0.0, 0.7])
@pytest.mark.parametrize("reduction", list(Reduction))
def test_reconstruction_is_equation_7(alpha, reduction):
    x, x_hat = rand(3, 2, 16, 16), rand(3, 2, 16, 16, seed=1)
    got = losses.reconstruction(
        x, x_hat, alpha=alpha, reduction=reduction, spec=SPEC, value_range=UNIT
    )
    dissimilarity = np.mean([(1 - float(s)) / 2 for s in metrics.ms_ssim(x, x_hat, SPEC)])
    expected = float(losses.mse(x, x_hat, reduction)) + alpha * dissimilarity
    assert float(got) == pytest.approx(expected, abs=1e-5)


# --- discriminative ---------------------------------------------------------------------------


def test_cross_entropy_is_equation_8_of_equation_4():
    a, labels = randn(6, 4).numpy(), [0, 3, 1, 1, 2, 0]
    total = 0.0
    for n in range(6):
        y_hat = np.exp(a[n]) / np.exp(a[n]).sum()
        total -= math.log(y_hat[labels[n]])
    y = torch.eye(4)[labels]
    got = losses.discriminative(torch.from_numpy(a), y, TargetKind.CLASSES)
    assert float(got) == pytest.approx(total / 6, rel=1e-12)


def test_binary_cross_entropy_is_equation_9_of_equation_5():
    a, y = randn(6, 4).numpy(), (rand(6, 4, seed=1) > 0.5).double()
    total = 0.0
    for n in range(6):
        for i in range(4):
            y_hat = 1 / (1 + math.exp(-a[n, i]))
            total -= y[n, i] * math.log(y_hat) + (1 - y[n, i]) * math.log(1 - y_hat)
    got = losses.discriminative(torch.from_numpy(a), y, TargetKind.ATTRIBUTES)
    assert float(got) == pytest.approx(float(total) / (6 * 4), rel=1e-12)


def test_the_printed_sign_of_equation_4_gives_the_same_loss_for_the_opposite_activation():
    a, labels = randn(5, 3).numpy(), [0, 1, 2, 2, 1]
    printed = np.exp(-a) / np.exp(-a).sum(axis=1, keepdims=True)
    expected = -np.mean([math.log(printed[n, c]) for n, c in enumerate(labels)])
    got = losses.discriminative(torch.from_numpy(-a), torch.eye(3)[labels], TargetKind.CLASSES)
    assert float(got) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", list(TargetKind))
def test_discriminative_losses_are_finite_for_certain_wrong_answers(kind):
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    loss = losses.discriminative(logits, torch.tensor([[0, 1], [1, 0]]), kind)
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad.abs().max() > 0


# --- decorrelation ----------------------------------------------------------------------------


def test_xcov_is_equation_15():
    y_hat, z = rand(7, 3).numpy(), randn(7, 4, seed=1).numpy()
    total = 0.0
    for i in range(3):
        for j in range(4):
            products = [
                (y_hat[n, i] - y_hat[:, i].mean()) * (z[n, j] - z[:, j].mean()) for n in range(7)
            ]
            total += np.mean(products) ** 2
    got = losses.xcov(torch.from_numpy(y_hat), torch.from_numpy(z))
    assert float(got) == pytest.approx(total / 2, rel=1e-12)


def test_xcov_goes_with_the_square_of_the_scale_of_the_latent():
    y_hat, z = rand(20, 3), randn(20, 4, seed=1)
    assert float(losses.xcov(y_hat, 3 * z)) == pytest.approx(9 * float(losses.xcov(y_hat, z)))


def test_each_regulariser_is_the_measure_that_it_is_named_after():
    y_hat, z = rand(12, 3), randn(12, 4, seed=1)
    columns = [float(metrics.distance_correlation2_u(y_hat[:, k : k + 1], z)) for k in range(3)]
    expected = {
        Reg.NONE: 0.0,
        Reg.XCOV: float(losses.xcov(y_hat, z)),
        Reg.DCOV: float(metrics.distance_covariance2(y_hat, z)),
        Reg.DCOV_U: float(metrics.distance_covariance2_u(y_hat, z)),
        Reg.DCOR: float(metrics.distance_correlation2_u(y_hat, z)),
        Reg.DCOR_ATTR: float(np.mean(columns)),
    }
    assert set(expected) == set(Reg)
    for reg, value in expected.items():
        assert float(losses.decorrelation(reg, y_hat, z)) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("reg", [reg for reg in Reg if reg is not Reg.NONE])
@pytest.mark.parametrize("n", [2, 3, 4, 16])
@pytest.mark.parametrize("case", ["ordinary", "coincident", "constant ŷ", "constant z"])
def test_no_regulariser_has_a_gradient_that_is_not_finite(reg, n, case):
    y_hat, z = rand(n, 5).float(), randn(n, 7, seed=1).float()
    if case == "coincident":
        y_hat[:], z[:] = y_hat[:1].clone(), z[:1].clone()
    if case == "constant ŷ":
        y_hat[:] = 0.1
    if case == "constant z":
        z[:] = -2.0
    y_hat.requires_grad_()
    z.requires_grad_()
    loss = losses.decorrelation(reg, y_hat, z)
    loss.backward()
    assert loss.isfinite()
    for tensor in (y_hat, z):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()


@pytest.mark.parametrize("reg", [reg for reg in Reg if reg is not Reg.NONE])
def test_every_regulariser_is_larger_for_a_latent_that_holds_the_target(reg):
    y_hat = (rand(100, 4) > 0.5).double()
    clean, leaking = randn(100, 6, seed=1), randn(100, 6, seed=2)
    leaking[:, :4] += 2 * y_hat
    held, free = (float(losses.decorrelation(reg, y_hat, z)) for z in (leaking, clean))
    assert held > 1.2 * free


def test_memory_estimates_over_the_batch_and_the_newest_codes_before_it():
    module = losses.Decorrelation(Reg.DCOR, 3, 4, memory=5).double()
    batches = [(rand(4, 3, seed=s), randn(4, 4, seed=9 + s)) for s in range(3)]
    got = [float(module(y_hat, z)) for y_hat, z in batches]
    y_all, z_all = (torch.cat(v) for v in zip(*batches[::-1], strict=True))  # newest first
    for step, (first, last) in enumerate([(8, 12), (4, 12), (0, 9)]):
        expected = metrics.distance_correlation2_u(y_all[first:last], z_all[first:last])
        assert got[step] == pytest.approx(float(expected), abs=1e-12)


def test_gradients_through_the_memory_are_as_large_as_those_of_the_whole_sample():
    y_hat, z = rand(6, 3), randn(6, 4, seed=1)
    module = losses.Decorrelation(Reg.XCOV, 3, 4, memory=6).double()
    module(y_hat, z)
    batch = z.clone().requires_grad_()
    module(y_hat, batch).backward()  # the memory holds the same codes as the batch
    plain = z.clone().requires_grad_()
    losses.xcov(y_hat, plain).backward()
    torch.testing.assert_close(batch.grad, plain.grad, rtol=1e-9, atol=1e-12)
    assert not module.memory_z.requires_grad


def test_without_memory_nothing_is_remembered():
    y_hat, z = rand(8, 3), randn(8, 4, seed=1)
    plain = losses.Decorrelation(Reg.DCOR, 3, 4)
    once = float(plain(y_hat, z))
    assert float(plain(y_hat, z)) == once


def test_the_state_of_the_memory_can_be_saved_and_goes_on_where_it_was():
    first = losses.Decorrelation(Reg.DCOR, 3, 4, memory=5).double()
    first(rand(4, 3), randn(4, 4, seed=1))
    second = losses.Decorrelation(Reg.DCOR, 3, 4, memory=5).double()
    second.load_state_dict(first.state_dict())
    y_hat, z = rand(4, 3, seed=5), randn(4, 4, seed=6)
    assert float(first(y_hat, z)) == float(second(y_hat, z))
