"""How far z depends on ŷ: bias-corrected distance correlation with a permutation test.

Axes: N rows, K names, D latent size, P permutations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mddae_cli import metrics
from mddae_cli.runtime import derive_seed

# N² distances for each name are held at once: 160 MB for 40 names and 1,000 rows.
MOST_ROWS, PERMUTATIONS = 1000, 199


@dataclass(frozen=True)
class DependenceScores:
    """Squared distance correlation of ŷ and z, without the bias of small samples.

    Attributes:
        names: The K names.
        num_rows: How many pictures it was estimated on.
        num_permutations: P; no p-value is below 1 / (P + 1).
        joint: Of all of ŷ with z, dimensionless, about 0 (also below) for independent ones.
        joint_p: Share of random pairings, the real one included, that depend as much.
        per_name: Of each entry of ŷ with z.
        per_name_p: Their p-values, each for itself: of 40 at 0.05, two are expected by chance.
    """

    names: tuple[str, ...]
    num_rows: int
    num_permutations: int
    joint: float
    joint_p: float
    per_name: tuple[float, ...]
    per_name_p: tuple[float, ...]


def dependence_scores(
    y_hat: Tensor,
    z: Tensor,
    names: tuple[str, ...],
    *,
    seed: int = 0,
    max_rows: int = MOST_ROWS,
    permutations: int = PERMUTATIONS,
) -> DependenceScores:
    """Return how far z depends on ŷ.

    What it cannot tell: a p-value above 0.05 never shows that z is clean. In many dimensions the
    distance correlation is close to a sum of squared covariances and sees little of what a single
    attribute does, nonlinearly least of all: a probe finds more.

    Args:
        y_hat: Soft targets, shape (N, K).
        z: Latents, shape (N, D).
        names: The K names.
        seed: Of the rows and permutations.
        max_rows: At most so many rows, by chance.
        permutations: P.

    References:
        Székely, Rizzo (2014), Ann. Statist. 42(6), 2382-2412.
    """
    rng = np.random.default_rng(derive_seed(seed, "dependence"))
    rows = torch.from_numpy(np.sort(rng.permutation(len(z))[:max_rows]))
    y_hat, z = y_hat.cpu()[rows].float(), z.cpu()[rows].float()
    n = len(rows)
    if n < 4:
        raise ValueError(f"{n} rows are too few for a distance correlation: at least 4.")
    centered = [metrics.center_u(metrics.pairwise_distances(y_hat))]
    centered += [metrics.center_u(metrics.pairwise_distances(c[:, None])) for c in y_hat.T]
    ours = torch.stack([_unit(c) for c in centered]).flatten(1)  # (K + 1, N²)
    theirs = _unit(metrics.center_u(metrics.pairwise_distances(z)))
    found = ours @ theirs.flatten()  # (K + 1,)
    as_much = torch.ones_like(found, dtype=torch.float64)
    for _ in range(permutations):
        order = torch.from_numpy(rng.permutation(n))
        as_much += ours @ theirs[order][:, order].flatten() >= found
    p = (as_much / (permutations + 1)).tolist()
    return DependenceScores(
        names=names,
        num_rows=n,
        num_permutations=permutations,
        joint=float(found[0]),
        joint_p=p[0],
        per_name=tuple(found[1:].tolist()),
        per_name_p=tuple(p[1:]),
    )


def _unit(centered: Tensor) -> Tensor:
    """Return U-centred distances (N, N) of length 1; zeros where nothing varies."""
    length = centered.square().sum().sqrt()
    return centered / length if float(length) > 1e-12 * centered.shape[0] else centered * 0
