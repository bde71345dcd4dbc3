"""Structural similarity of pictures, at one scale or several, with its gradient.

Axes: N pictures, C channels, P = N·C planes, H, W side, H', W' side of the valid part of a blur.
Within the module planes lie as (H, P, W): a blur along H, and one along W, is then one product
with a banded matrix for all planes together, which on a CPU takes a fraction of the time of a
depthwise convolution.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mddae_cli.header import SsimSpec

# Wang, Simoncelli, Bovik (2003), section 4: the exponents of the five scales.
PUBLISHED_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_SCALES = {28: 2, 32: 2, 64: 3, 128: 5}
_C1, _C2 = 0.01**2, 0.03**2
_FLOOR = 1e-6
# So many pixels at once keep a CPU's second-level cache; other devices are better busy.
_CPU_PIXELS, _DEVICE_PIXELS = 3 * 2**17, 2**24
_BLOCK_ROWS = 32


def default_ssim_spec(image_size: int) -> SsimSpec:
    """Return the multi-scale SSIM used at an image side: what fits, with renormalised weights.

    The published form (five scales, window 11) needs 161 px; smaller pictures get a window of
    7 and as many scales as leave a grid of at least the window.
    """
    scales = _SCALES.get(image_size, 1)
    weights = PUBLISHED_WEIGHTS[:scales]
    return SsimSpec(7, 1.5, tuple(w / sum(weights) for w in weights))


def ssim(x: Tensor, x_hat: Tensor, *, window: int = 11, sigma: float = 1.5) -> Tensor:
    """Return the structural similarity of each picture, averaged over channels.

    Args:
        x: Images in [0, 1], shape (N, C, H, W), floating point.
        x_hat: Their reconstructions, same shape.
        window: Side of the Gaussian window in pixels.
        sigma: Its standard deviation in pixels.

    Returns:
        Shape (N,), at most 1; differentiable once.

    Raises:
        ValueError: If the shapes differ or the window is larger than the picture.

    References:
        Wang, Bovik, Sheikh, Simoncelli (2004), IEEE TIP 13(4). Agrees with scikit-image's
        ``gaussian_weights=True, use_sample_covariance=False`` over the valid part.
    """
    return _similarity(
        x, x_hat, _Variant(SsimSpec(window, sigma, (1.0,)), -math.inf, (0.0, 1.0), 1)
    )


def ms_ssim(
    x: Tensor,
    x_hat: Tensor,
    spec: SsimSpec,
    *,
    value_range: tuple[float, float] = (0.0, 1.0),
    stride: int = 1,
) -> Tensor:
    """Return the multi-scale structural similarity of each picture (the SSIM of Table 1).

    Args:
        x: Images, shape (N, C, H, W), floating point.
        x_hat: Their reconstructions, same shape.
        spec: Window, its standard deviation, and a weight per scale.
        value_range: Smallest and largest possible value of both; mapped to [0, 1] first.
        stride: Pixels from a window of the finest scale to the next, along H and W: 1 is the
            measure itself, 2 an estimate for training. That scale has most of the work and the
            least of the weight.

    Returns:
        Shape (N,), in [0, 1]; differentiable once.

    Raises:
        ValueError: If the shapes differ, the window is larger than the coarsest grid, or the
            stride is less than 1.

    References:
        Wang, Simoncelli, Bovik (2003).
    """
    return _similarity(x, x_hat, _Variant(spec, _FLOOR, value_range, stride))


class _Variant(NamedTuple):
    """A measure.

    ``floor`` is the least value of a scale before the power is taken, ``stride`` that of the
    windows of the finest scale.
    """

    spec: SsimSpec
    floor: float
    value_range: tuple[float, float]
    stride: int

    def check(self, x: Tensor, x_hat: Tensor) -> None:
        if x.ndim != 4 or x.shape != x_hat.shape:
            raise ValueError(
                f"two batches (N, C, H, W) are needed, not {tuple(x.shape)} and "
                f"{tuple(x_hat.shape)}"
            )
        if self.stride < 1:
            raise ValueError(f"a stride of {self.stride} is less than 1")
        height, width = x.shape[-2:]
        for _ in self.spec.weights[1:]:
            height, width = -(-height // 2), -(-width // 2)
        if min(height, width) < self.spec.window:
            raise ValueError(
                f"a window of {self.spec.window} does not fit pictures of {(height, width)}"
            )


def _similarity(x: Tensor, x_hat: Tensor, variant: _Variant) -> Tensor:
    variant.check(x, x_hat)
    # In bfloat16 the variances, differences of near numbers, would be noise.
    with torch.autocast(x.device.type, enabled=False):
        values: Tensor = _Similarity.apply(x, x_hat, variant)
    return values


class _Similarity(torch.autograd.Function):
    """The value of each picture and on the way, while all is in the cache, its gradient.

    A picture's value depends on that picture alone, so its gradient is final but for the factor
    that arrives in :meth:`backward`.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, x_hat: Tensor, variant: _Variant) -> Tensor:
        """Return (N,) from pictures (N, C, H, W)."""
        values = x_hat.new_empty(len(x))
        slope_x, slope_x_hat = (
            torch.empty_like(images) if needed else None
            for images, needed in zip((x, x_hat), ctx.needs_input_grad[:2], strict=True)
        )
        limit = _CPU_PIXELS if x.device.type == "cpu" else _DEVICE_PIXELS
        step = max(1, limit // math.prod(x.shape[1:]))
        for start in range(0, len(x), step):
            part = slice(start, start + step)
            if slope_x is not None:
                # The measure is symmetric, and this is rare.
                _measure(x_hat[part], x[part], variant, slope_x[part])
            room = None if slope_x_hat is None else slope_x_hat[part]
            values[part] = _measure(x[part], x_hat[part], variant, room)
        ctx.save_for_backward(slope_x, slope_x_hat)
        return values

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients for both batches, (N, C, H, W) each."""
        # torch's once_differentiable lets a second derivative pass as 0 where the arriving
        # gradient is a constant, as that of a sum is; refusing is the only safe answer.
        if torch.is_grad_enabled():
            raise NotImplementedError("SSIM is differentiable once: leave create_graph off.")
        factor = grad[:, None, None, None]
        return *(None if slope is None else slope * factor for slope in ctx.saved_tensors), None


def _measure(x: Tensor, x_hat: Tensor, variant: _Variant, slope: Tensor | None) -> Tensor:
    """Return the similarity (N,) of pictures and write its gradient for x_hat into ``slope``."""
    spec, (low, high) = variant.spec, variant.value_range
    n, c, h, w = x.shape
    maps = _as_planes(x, x_hat, variant.value_range)
    terms, slopes = [], []
    for scale in range(len(spec.weights)):
        maps = _halve(maps) if scale else maps
        blur = _blur_of(maps, spec, 1 if scale else variant.stride)
        moments = _moments(maps, blur)
        luminance = _luminance(moments) if scale == len(spec.weights) - 1 else None
        similarity = moments.contrast if luminance is None else moments.contrast * luminance
        terms.append(similarity.mean(dim=0).mean(dim=1))
        if slope is not None:
            slopes.append(_slope(maps, blur, moments, luminance, similarity))
    values, factors = _combine(torch.stack(terms), spec.weights, variant.floor)
    if slope is not None:
        total = _add_up(slopes, factors / (c * (high - low)))
        slope.permute(2, 0, 1, 3).copy_(total.view(h, n, c, w))
    return values.view(n, c).mean(dim=1)


def _as_planes(x: Tensor, x_hat: Tensor, value_range: tuple[float, float]) -> Tensor:
    """Return maps (H, 4, P, W), the first two filled with x and x_hat in [0, 1]."""
    n, c, h, w = x.shape
    low, high = value_range
    maps = x_hat.new_empty(h, 4, n * c, w)
    scale = 1 / (high - low)
    shift = torch.full((), -low * scale, dtype=maps.dtype, device=maps.device)
    for index, images in enumerate((x, x_hat)):
        plane = maps[:, index].view(h, n, c, w)
        torch.add(shift, images.permute(2, 0, 1, 3), alpha=scale, out=plane)
    return maps


def _halve(maps: Tensor) -> Tensor:
    """Return maps of half the side, the first two filled with means over 2 by 2 pixels."""
    pair = _pooling_of(maps).forward(maps[:, :2])
    h, _, p, w = pair.shape
    half = maps.new_empty(h, 4, p, w)
    half[:, :2] = pair
    return half


class _Moments(NamedTuple):
    """What windows say, (H', P, W') each: means, contrast-structure c, and its 1 / denominator."""

    mean_x: Tensor
    mean_hat: Tensor
    contrast: Tensor
    inverse: Tensor


def _moments(maps: Tensor, blur: _Operator) -> _Moments:
    r"""Return the moments of x and x_hat; the other two maps are overwritten with products.

    .. math:: c = \frac{2 B(x \hat x) - 2 m \hat m + C_2}{B(x^2 + \hat x^2) - m^2 - \hat m^2 + C_2}
    """
    x, x_hat, product, squares = maps.unbind(1)
    # A blur keeps a constant, so C2 can be added before it, at no cost.
    c2 = torch.full((), _C2, dtype=maps.dtype, device=maps.device)
    torch.addcmul(c2, x, x_hat, value=2, out=product)
    torch.addcmul(c2, x, x, out=squares).addcmul_(x_hat, x_hat)
    blurred = blur.forward(maps)
    mean_x, mean_hat, numerator, denominator = blurred.unbind(1)
    numerator.addcmul_(mean_x, mean_hat, value=-2)
    denominator.addcmul_(mean_x, mean_x, value=-1).addcmul_(mean_hat, mean_hat, value=-1)
    inverse = denominator.reciprocal_()
    return _Moments(mean_x, mean_hat, numerator.mul_(inverse), inverse)


def _luminance(moments: _Moments) -> Tensor:
    """Return the luminance term l, (H', P, W')."""
    energy = moments.mean_x.square().addcmul_(moments.mean_hat, moments.mean_hat).add_(_C1)
    return (moments.mean_x * moments.mean_hat).mul_(2).add_(_C1).div_(energy)


def _slope(
    maps: Tensor, blur: _Operator, moments: _Moments, luminance: Tensor | None, similarity: Tensor
) -> Tensor:
    r"""Return the gradient of each plane's mean similarity S = l c for x_hat, (H, P, W).

    Of the four blurs three are of x_hat. With d the denominator of c, e that of l:

    .. math:: 2 \big[x B^T(l / d) - \hat x B^T(S / d)
        + B^T(\hat m S / d - m l / d + c (m - \hat m l) / e)\big]
    """
    mean_x, mean_hat, contrast, inverse = moments
    slopes = maps.new_empty(len(inverse), 3, *inverse.shape[1:])
    of_product, of_squares, of_mean = slopes.unbind(1)
    if luminance is None:
        of_product.copy_(inverse)
    else:
        torch.mul(luminance, inverse, out=of_product)
    torch.mul(similarity, inverse, out=of_squares)
    torch.mul(mean_hat, of_squares, out=of_mean).addcmul_(mean_x, of_product, value=-1)
    if luminance is not None:
        energy = mean_x.square().addcmul_(mean_hat, mean_hat).add_(_C1)
        of_mean += contrast * (mean_x - mean_hat * luminance) / energy
    product, squares, slope = blur.back(slopes).unbind(1)
    slope.addcmul_(maps[:, 0], product).addcmul_(maps[:, 1], squares, value=-1)
    return slope.mul_(2 / similarity[:, 0].numel())


def _combine(terms: Tensor, weights: tuple[float, ...], floor: float) -> tuple[Tensor, Tensor]:
    """Return the product of all scales' powers, (P,), and its derivative for each term, (S, P)."""
    exponents = terms.new_tensor(weights)[:, None]  # (S, 1)
    floored = terms.clamp_min(floor)
    powers = floored**exponents
    factors = exponents * floored ** (exponents - 1) * (terms >= floor)
    for scale, other in itertools.permutations(range(len(weights)), 2):
        factors[scale] *= powers[other]
    return powers.prod(dim=0), factors


def _add_up(slopes: list[Tensor], factors: Tensor) -> Tensor:
    """Return the gradient through all scales, (H, P, W), from each one's and its factor (S, P)."""
    total = slopes[-1] * factors[-1][:, None]
    for slope, factor in zip(slopes[-2::-1], factors.flip(0)[1:], strict=True):
        total = _pooling_of(slope).back(total).addcmul_(slope, factor[:, None])
    return total


class _Band:
    """A banded matrix (R, S) as blocks of rows, each with the columns where it is not 0."""

    def __init__(self, matrix: Tensor, block: int) -> None:
        self.size = len(matrix)
        self.blocks = []
        count = -(-self.size // block)
        for part in torch.arange(self.size).chunk(count):
            rows = slice(int(part[0]), int(part[-1]) + 1)
            used = matrix[rows].any(dim=0).nonzero()
            columns = slice(int(used[0]), int(used[-1]) + 1)
            self.blocks.append((rows, columns, matrix[rows, columns].contiguous()))

    def along_first(self, maps: Tensor) -> Tensor:
        """Return the product (R, ...) with maps (S, ...)."""
        flat = maps.flatten(1)
        out = maps.new_empty(self.size, flat.shape[1])
        for rows, columns, part in self.blocks:
            torch.mm(part, flat[columns], out=out[rows])
        return out.view(self.size, *maps.shape[1:])

    def along_last(self, maps: Tensor) -> Tensor:
        """Return the product (..., R) with maps (..., S)."""
        flat = maps.view(-1, maps.shape[-1])
        out = maps.new_empty(len(flat), self.size)
        for rows, columns, part in self.blocks:
            torch.mm(flat[:, columns], part.T, out=out[:, rows])
        return out.view(*maps.shape[:-1], self.size)


class _Operator(NamedTuple):
    """A linear map of planes: a band along H and one along W, and both transposed."""

    rows: _Band
    columns: _Band
    rows_back: _Band
    columns_back: _Band

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (H, ..., W) as (H', ..., W')."""
        return self.columns.along_last(self.rows.along_first(maps))

    def back(self, maps: Tensor) -> Tensor:
        """Return the transpose of :meth:`forward`, (H', ..., W') as (H, ..., W)."""
        return self.columns_back.along_last(self.rows_back.along_first(maps))


def _blur_of(maps: Tensor, spec: SsimSpec, stride: int) -> _Operator:
    return _blur(maps.shape[0], maps.shape[-1], spec, stride, maps.dtype, maps.device)


def _pooling_of(maps: Tensor) -> _Operator:
    return _pooling(maps.shape[0], maps.shape[-1], maps.dtype, maps.device)


@functools.lru_cache(maxsize=64)
def _blur(
    height: int,
    width: int,
    spec: SsimSpec,
    stride: int,
    dtype: torch.dtype,
    device: torch.device,
) -> _Operator:
    """Return the valid part of a Gaussian blur, at every ``stride``-th place."""
    offset = torch.arange(spec.window, dtype=torch.float64) - (spec.window - 1) / 2
    kernel = torch.exp(-offset.square() / (2 * spec.sigma**2))
    kernel = kernel / kernel.sum()
    bands = []
    for side in (height, width):
        starts = range(0, side - spec.window + 1, stride)
        band = torch.zeros(len(starts), side, dtype=torch.float64)
        for row, start in enumerate(starts):
            band[row, start : start + spec.window] = kernel
        bands.append(band.to(dtype).to(device))
    return _operator(*bands, block=max(1, _BLOCK_ROWS // stride))


@functools.lru_cache(maxsize=64)
def _pooling(height: int, width: int, dtype: torch.dtype, device: torch.device) -> _Operator:
    """Return the mean over 2 by 2 pixels; an odd side is padded with a 0 before it."""
    bands = []
    for side in (height, width):
        pairs = torch.eye((side + 1) // 2, dtype=torch.float64).repeat_interleave(2, dim=1) / 2
        bands.append(pairs[:, side % 2 : side % 2 + side].to(dtype).to(device))
    return _operator(*bands)


def _operator(rows: Tensor, columns: Tensor, *, block: int = _BLOCK_ROWS) -> _Operator:
    return _Operator(*(_Band(band, block) for band in (rows, columns, rows.T, columns.T)))
