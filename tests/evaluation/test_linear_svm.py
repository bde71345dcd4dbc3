"""The solver against scikit-learn's, and that its columns do not know of each other."""

from __future__ import annotations

import pytest
import torch
from sklearn.svm import LinearSVC

from mddae_cli.evaluation.linear_svm import fit_linear_svms


def problem(rows: int = 120, width: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features and noisy labels of three columns."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(rows, width, generator=rng)
    return x, (x[:, :3] + torch.randn(rows, 3, generator=rng) > 0.4).float()


@pytest.mark.parametrize("penalty", [0.05, 1.0])
def test_the_weights_are_those_of_scikit_learn(penalty: float) -> None:
    x, y = problem()
    chosen = torch.ones(y.shape, dtype=torch.bool)
    w, b = fit_linear_svms(x, y, chosen, penalty)
    for k in range(3):
        # A large scale of the constant takes its penalty away, as here.
        theirs = LinearSVC(C=1 / (penalty * len(x)), intercept_scaling=100.0, tol=1e-9)
        theirs.set_params(max_iter=200_000).fit(x.numpy(), y[:, k].numpy())
        ours = torch.cat([w[:, k], b[k : k + 1]])
        other = torch.tensor([*theirs.coef_[0], *theirs.intercept_], dtype=torch.float32)
        assert float((ours - other).norm() / other.norm()) < 0.02


def test_rows_that_are_not_chosen_do_not_matter() -> None:
    x, y = problem()
    chosen = torch.zeros(y.shape, dtype=torch.bool)
    chosen[:80] = True
    all_rows = fit_linear_svms(x, y, chosen, 0.3)
    some = fit_linear_svms(x[:80], y[:80], chosen[:80], 0.3)
    assert torch.allclose(all_rows[0], some[0], atol=1e-5)
    assert torch.allclose(all_rows[1], some[1], atol=1e-5)


def test_a_machine_is_the_same_alone_and_among_others() -> None:
    x, y = problem()
    chosen = torch.ones(y.shape, dtype=torch.bool)
    together = fit_linear_svms(x, y, chosen, 0.3)[0][:, 1]
    alone = fit_linear_svms(x, y[:, 1:2], chosen[:, 1:2], 0.3)[0][:, 0]
    assert torch.allclose(together, alone, atol=1e-5)
