"""Equations 10 to 14 and their unbiased forms held against loops and against dcor."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from mddae_cli import metrics

Pair = tuple[Tensor, Tensor]


def normals(n: int, d: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def distances_by_loops(x: np.ndarray) -> np.ndarray:
    n = len(x)
    a = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            a[i, j] = math.sqrt(sum((x[i, d] - x[j, d]) ** 2 for d in range(x.shape[1])))
    return a


def centered_by_loops(a: np.ndarray, unbiased: bool) -> np.ndarray:
    n = len(a)
    out = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if not unbiased:  # equations 12 and 13
                out[i, j] = a[i, j] - a[i].mean() - a[:, j].mean() + a.mean()
            elif i != j:  # Székely, Rizzo (2014), definition 2
                out[i, j] = (
                    a[i, j]
                    - a[i].sum() / (n - 2)
                    - a[:, j].sum() / (n - 2)
                    + a.sum() / ((n - 1) * (n - 2))
                )
    return out


def by_loops(x: Tensor, y: Tensor, what: str) -> float:
    a, b = (centered_by_loops(distances_by_loops(v.numpy()), unbiased=what != "v") for v in (x, y))
    n = len(a)
    match what:
        case "v":
            return float((a * b).sum() / n**2)
        case "u":
            return float((a * b).sum() / (n * (n - 3)))
    return float((a * b).sum() / math.sqrt((a * a).sum() * (b * b).sum()))


MEASURES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "v": metrics.distance_covariance2,
    "u": metrics.distance_covariance2_u,
    "cor": metrics.distance_correlation2_u,
}


def dependent(n: int, d_x: int, d_y: int) -> Pair:
    x = normals(n, d_x)
    return x, x[:, :1].square() + 0.5 * normals(n, d_y, seed=1)


@pytest.mark.parametrize("what", MEASURES)
@pytest.mark.parametrize(("n", "d_x", "d_y"), [(4, 1, 1), (7, 3, 2), (30, 10, 16), (25, 1, 5)])
def test_distance_measures_agree_with_equations_10_to_14_written_out(what, n, d_x, d_y):
    x, y = dependent(n, d_x, d_y)
    got = MEASURES[what](x, y)
    assert got.shape == ()
    assert float(got) == pytest.approx(by_loops(x, y, what), abs=1e-12)


@pytest.mark.reference
@pytest.mark.slow
def test_distance_measures_agree_with_dcor():
    dcor = pytest.importorskip("dcor")
    others = {
        "v": dcor.distance_covariance_sqr,
        "u": dcor.u_distance_covariance_sqr,
        "cor": dcor.u_distance_correlation_sqr,
    }
    for n, d_x, d_y in ((5, 1, 1), (40, 3, 7), (100, 10, 64)):
        for x, y in (dependent(n, d_x, d_y), (normals(n, d_x), normals(n, d_y, seed=2))):
            for what, other in others.items():
                expected = float(other(x.numpy(), y.numpy()))
                assert float(MEASURES[what](x, y)) == pytest.approx(expected, abs=1e-10)
            columns = metrics.distance_correlation2_per_column(x, y)
            for k in range(d_x):
                expected = float(dcor.u_distance_correlation_sqr(x[:, k].numpy(), y.numpy()))
                assert float(columns[k]) == pytest.approx(expected, abs=1e-10)


def test_each_column_has_the_correlation_that_it_has_alone_and_the_mean_is_theirs():
    x, y = dependent(20, 4, 3)
    alone = torch.stack([metrics.distance_correlation2_u(x[:, k : k + 1], y) for k in range(4)])
    columns = metrics.distance_correlation2_per_column(x, y)
    torch.testing.assert_close(columns, alone, rtol=0, atol=1e-12)
    mean = metrics.mean_distance_correlation2(x, y)
    torch.testing.assert_close(mean, alone.mean(), rtol=0, atol=1e-12)


def test_ties_and_rare_attributes_are_counted_exactly():
    x = torch.zeros(40, 3, dtype=torch.float64)
    x[:2, 0], x[:20, 1], x[:13, 2] = 1.0, 1.0, 0.3
    y = normals(40, 3) + x[:, :1]
    alone = torch.stack([metrics.distance_correlation2_u(x[:, k : k + 1], y) for k in range(3)])
    columns = metrics.distance_correlation2_per_column(x, y)
    torch.testing.assert_close(columns, alone, rtol=0, atol=1e-10)


@pytest.mark.parametrize("rest", [0.0, 1e-5, 1e-3])
def test_an_attribute_that_one_picture_alone_has_does_not_blow_up_in_float32(rest):
    # U-centring takes a lone point away entirely, which leaves rounding errors to divide by.
    y_hat = rest * torch.rand(128, 40, generator=torch.Generator().manual_seed(0))
    y_hat[torch.arange(40), torch.arange(40)] = 0.95
    z = normals(128, 32, dtype=torch.float32)
    z.requires_grad_()
    mean = metrics.mean_distance_correlation2(y_hat, z)
    mean.backward()
    assert z.grad is not None
    exact = metrics.mean_distance_correlation2(y_hat.double(), z.detach().double())
    assert abs(float(mean.detach()) - float(exact)) < 0.02
    assert float(z.grad.abs().max()) < 0.1
    columns = metrics.distance_correlation2_per_column(y_hat, z.detach())
    assert float(columns.abs().max()) <= 1.0


@pytest.mark.parametrize("d", [1, 3, 40])
def test_both_ways_to_distances_agree(monkeypatch, d):
    x = normals(30, d)
    exact = metrics.pairwise_distances(x)
    np.testing.assert_allclose(exact.numpy(), distances_by_loops(x.numpy()), rtol=0, atol=1e-12)
    monkeypatch.setattr(metrics.dependence, "_EXACT_PRODUCTS", 0)
    torch.testing.assert_close(metrics.pairwise_distances(x), exact, rtol=0, atol=1e-7)
    assert (metrics.pairwise_distances(x).diagonal() == 0).all()


def test_correlation_is_one_for_a_variable_with_itself_and_ignores_shift_and_scale():
    x, y = dependent(30, 3, 2)
    assert float(metrics.distance_correlation2_u(x, x)) == pytest.approx(1.0, abs=1e-12)
    moved = metrics.distance_correlation2_u(3 * x - 7, 0.01 * y + 2)
    torch.testing.assert_close(moved, metrics.distance_correlation2_u(x, y), rtol=1e-9, atol=0)


def test_covariance_grows_with_the_scale_of_the_latent():
    x, y = dependent(30, 3, 2)
    for measure in (metrics.distance_covariance2, metrics.distance_covariance2_u):
        torch.testing.assert_close(measure(x, 5 * y), 5 * measure(x, y), rtol=1e-9, atol=0)


def test_bias_correction_takes_independent_variables_to_zero():
    values = [
        float(metrics.distance_correlation2_u(normals(64, 8, seed=s), normals(64, 5, seed=99 + s)))
        for s in range(40)
    ]
    assert abs(np.mean(values)) < 0.01
    assert min(values) < 0
    assert float(metrics.distance_covariance2(normals(64, 8), normals(64, 5, seed=9))) > 0.1


ALL = MEASURES | {
    "columns": lambda x, y: metrics.distance_correlation2_per_column(x, y).sum(),
    "mean": metrics.mean_distance_correlation2,
}


@pytest.mark.parametrize("what", ALL)
@pytest.mark.parametrize("n", [2, 3, 4, 32])
@pytest.mark.parametrize("case", ["ordinary", "coincident", "constant ŷ", "constant z", "near"])
@pytest.mark.parametrize("exact", [True, False])
def test_gradients_are_finite_at_ties_and_in_the_smallest_batches(
    monkeypatch, what, n, case, exact
):
    if not exact:
        monkeypatch.setattr(metrics.dependence, "_EXACT_PRODUCTS", 0)
    y_hat, z = normals(n, 5, dtype=torch.float32).sigmoid(), normals(n, 7, 1, torch.float32)
    if case == "coincident":
        y_hat[n // 2 :], z[n // 2 :] = y_hat[0], z[0]
    if case == "constant ŷ":
        y_hat[:] = 0.25
    if case == "constant z":
        z[:] = 3.0
    if case == "near":
        y_hat = 0.5 + 1e-7 * y_hat
    y_hat.requires_grad_()
    z.requires_grad_()
    value = ALL[what](y_hat, z)
    value.backward()
    assert value.isfinite()
    for tensor in (y_hat, z):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()
    if case in ("constant ŷ", "constant z"):
        assert float(value.detach()) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("what", ALL)
def test_distance_measures_pass_the_gradient_check(what):
    x, y = dependent(8, 3, 2)
    assert torch.autograd.gradcheck(ALL[what], (x.requires_grad_(), y.requires_grad_()))


@pytest.mark.parametrize("what", ALL)
def test_shapes_that_do_not_fit_are_refused(what):
    with pytest.raises(ValueError, match=r"\(N, D"):
        ALL[what](normals(5, 2), normals(6, 2))
    with pytest.raises(ValueError, match=r"\(N, D"):
        ALL[what](normals(5, 2)[:, 0], normals(5, 2))


def test_distances_of_no_matrix_are_refused():
    with pytest.raises(ValueError, match=r"\(N, D\)"):
        metrics.pairwise_distances(torch.zeros(3))
