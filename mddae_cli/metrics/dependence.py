"""Distance covariance and correlation of two batches (equations 10 to 14).

Axes: N batch, D width of a variable, K columns.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Up to this many multiplications distances are taken by subtraction, exactly; beyond, through
# one matrix product, which loses about half of the digits of very small distances.
_EXACT_PRODUCTS = 2**24
# Share of a column's squared distances below which its U-centred norm is taken as rounding.
_SMALLEST_NORM = 1e-4


def pairwise_distances(x: Tensor) -> Tensor:
    """Return all Euclidean distances within a batch (equations 10 and 11).

    Args:
        x: Shape (N, D), floating point.

    Returns:
        Shape (N, N), zero on the diagonal; the gradient at coincident points is 0.

    Raises:
        ValueError: If ``x`` is not two-dimensional.
    """
    if x.ndim != 2:
        raise ValueError(f"a batch of vectors (N, D) is needed, not {tuple(x.shape)}")
    n, d = x.shape
    if d == 1:
        return (x - x.T).abs()
    if n * n * d <= _EXACT_PRODUCTS:
        return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    x = x - x.mean(dim=0)
    norms = x.square().sum(dim=1)
    squares = norms[:, None] + norms[None, :] - 2 * x @ x.T
    tiny = torch.finfo(x.dtype).eps * norms.detach().mean()
    near = squares.detach() <= tiny
    near.fill_diagonal_(True)
    return squares.masked_fill(near, 1.0).sqrt().masked_fill(near, 0.0)


def center_double(distances: Tensor) -> Tensor:
    """Return doubly centred distances (equations 12 and 13), shape (..., N, N)."""
    rows = distances.mean(dim=-1, keepdim=True)
    columns = distances.mean(dim=-2, keepdim=True)
    return distances - rows - columns + rows.mean(dim=-2, keepdim=True)


def center_u(distances: Tensor) -> Tensor:
    """Return U-centred distances, zero on the diagonal, shape (..., N, N); N above 3.

    References:
        Székely, Rizzo (2014), Ann. Statist. 42(6), 2382-2412, definition 2.
    """
    n = distances.shape[-1]
    rows = distances.sum(dim=-1, keepdim=True) / (n - 2)
    columns = distances.sum(dim=-2, keepdim=True) / (n - 2)
    total = distances.sum(dim=(-2, -1), keepdim=True) / ((n - 1) * (n - 2))
    centered = distances - rows - columns + total
    diagonal = torch.eye(n, dtype=torch.bool, device=distances.device)
    return centered.masked_fill(diagonal, 0.0)


def _check_pair(x: Tensor, y: Tensor) -> int:
    if x.ndim != 2 or y.ndim != 2 or x.shape[0] != y.shape[0]:
        raise ValueError(
            f"two batches (N, D_x), (N, D_y) are needed, not {tuple(x.shape)} and {tuple(y.shape)}"
        )
    return x.shape[0]


def distance_covariance2(x: Tensor, y: Tensor) -> Tensor:
    r"""Return the squared sample distance covariance, V-statistic (equation 14).

    .. math:: dCov^2(x, y) = \frac{1}{N^2} \sum_{n,m} A_{nm} B_{nm}

    Args:
        x: First variable, shape (N, D_x), floating point.
        y: Second variable, shape (N, D_y), dtype and device of ``x``.

    Returns:
        Scalar tensor in the unit of ``x`` times that of ``y``, at least 0.

    Raises:
        ValueError: If an input is not two-dimensional or the batch sizes differ.

    Note:
        Biased upwards at batch size, the more so the wider the variables are.
    """
    _check_pair(x, y)
    a, b = center_double(pairwise_distances(x)), center_double(pairwise_distances(y))
    return (a * b).mean()


def distance_covariance2_u(x: Tensor, y: Tensor) -> Tensor:
    """Return the unbiased estimate of the squared distance covariance.

    Args:
        x: First variable, shape (N, D_x), floating point.
        y: Second variable, shape (N, D_y), dtype and device of ``x``.

    Returns:
        Scalar tensor, about 0 (and also below) for independent variables; 0 where N is below
        4, since nothing can be estimated there.

    Raises:
        ValueError: If an input is not two-dimensional or the batch sizes differ.

    References:
        Székely, Rizzo (2014), Ann. Statist. 42(6), 2382-2412, equation 3.1 and proposition 1.
    """
    n = _check_pair(x, y)
    if n < 4:
        return (x.sum() + y.sum()) * 0.0
    a, b = center_u(pairwise_distances(x)), center_u(pairwise_distances(y))
    return (a * b).sum() / (n * (n - 3))


def distance_correlation2_u(x: Tensor, y: Tensor, *, eps: float = 1e-12) -> Tensor:
    """Return the bias-corrected squared distance correlation.

    Args:
        x: First variable, shape (N, D_x), floating point. Shift and scale do not matter.
        y: Second variable, shape (N, D_y), dtype and device of ``x``.
        eps: Floor of the denominator. Constant input gives 0.

    Returns:
        Scalar tensor, dimensionless, at most 1, about 0 for independent variables.

    Raises:
        ValueError: If an input is not two-dimensional or the batch sizes differ.

    References:
        Székely, Rizzo (2014), Ann. Statist. 42(6), 2382-2412, section 3.
    """
    n = _check_pair(x, y)
    if n < 4:
        return (x.sum() + y.sum()) * 0.0
    a, b = center_u(pairwise_distances(x)), center_u(pairwise_distances(y))
    scale = (a * a).sum() * (b * b).sum()
    return (a * b).sum() / scale.clamp_min((eps * n * (n - 3)) ** 2).sqrt()


def _column_variances(x: Tensor) -> Tensor:
    """Return the U-centred squared norm of each column's distance matrix, shape (K,), N above 3.

    Of one number per row, the row sums of all distances follow from the sorted values, and the
    sum of their squares from the moments, so that no N² array is needed. A column in which
    one row alone differs has norm 0; the floor keeps rounding from standing in for it.
    """
    n = x.shape[0]
    x = x - x.mean(dim=0)
    ordered = x.sort(dim=0).values
    rank = torch.arange(n, dtype=x.dtype, device=x.device)[:, None]
    below = ordered.cumsum(dim=0)
    rows = ordered * (2 * rank + 2 - n) + below[-1:] - 2 * below  # (N, K)
    raw = 2 * n * x.square().sum(dim=0)
    squares = raw - rows.square().sum(dim=0) * (2 / (n - 2))
    squares = squares + rows.sum(dim=0).square() / ((n - 1) * (n - 2))
    return torch.maximum(squares, _SMALLEST_NORM * raw.detach())


def distance_correlation2_per_column(x: Tensor, z: Tensor, *, eps: float = 1e-12) -> Tensor:
    """Return the bias-corrected squared distance correlation of each column of x with z.

    Args:
        x: Variables one by one, shape (N, K), floating point.
        z: The other variable, shape (N, D), dtype and device of ``x``.
        eps: Floor of the denominator. A constant column gives 0.

    Returns:
        Shape (K,), dimensionless, at most 1; zeros where N is below 4.

    Raises:
        ValueError: If an input is not two-dimensional or the batch sizes differ.
    """
    n = _check_pair(x, z)
    if n < 4:
        return (x.sum(dim=0) + z.sum()) * 0.0
    b = center_u(pairwise_distances(z))
    # U-centring is a projection: with b centred, the columns' distances need no centring.
    products = torch.stack(
        [((column[:, None] - column[None, :]).abs() * b).sum() for column in x.T]
    )
    scale = _column_variances(x) * b.square().sum()
    return products / scale.clamp_min((eps * n * (n - 3)) ** 2).sqrt()


def mean_distance_correlation2(x: Tensor, z: Tensor, *, eps: float = 1e-12) -> Tensor:
    """Return the mean over columns of :func:`distance_correlation2_per_column`, fast.

    The sum over columns of distance matrices, each divided by its norm, is the matrix of
    weighted L1 distances, so that K columns cost little more than one.

    Args:
        x: Variables one by one, shape (N, K), floating point.
        z: The other variable, shape (N, D), dtype and device of ``x``.
        eps: Floor of the denominators.

    Returns:
        Scalar tensor, dimensionless, at most 1; 0 where N is below 4.

    Raises:
        ValueError: If an input is not two-dimensional or the batch sizes differ.
    """
    n = _check_pair(x, z)
    if n < 4:
        return (x.sum() + z.sum()) * 0.0
    floor = (eps * n * (n - 3)) ** 2
    weights = _column_variances(x).clamp_min(floor).rsqrt() / x.shape[1]  # (K,)
    weights = weights.masked_fill((x == x[:1]).all(dim=0), 0.0)
    weighted = x * weights
    a = torch.cdist(weighted, weighted, p=1.0)
    b = center_u(pairwise_distances(z))
    return (a * b).sum() / b.square().sum().clamp_min(floor).sqrt()
