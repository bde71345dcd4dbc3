"""SSIM and multi-scale SSIM held against loops over windows and against other packages."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from mddae_cli import metrics
from mddae_cli.header import SsimSpec

SIDES = [28, 32, 64, 128]


def gaussian(window: int, sigma: float) -> np.ndarray:
    offsets = np.arange(window) - window // 2
    line = np.exp(-(offsets**2) / (2 * sigma**2))
    kernel = np.outer(line, line)
    return kernel / kernel.sum()


def ssim_by_loops(x: np.ndarray, y: np.ndarray, window: int, sigma: float) -> tuple[float, float]:
    """Return SSIM and its contrast-structure term of one channel, place by place."""
    kernel = gaussian(window, sigma)
    values, contrasts = [], []
    for top in range(x.shape[0] - window + 1):
        for left in range(x.shape[1] - window + 1):
            a, b = (v[top : top + window, left : left + window] for v in (x, y))
            mean_a, mean_b = (kernel * a).sum(), (kernel * b).sum()
            var_a = (kernel * (a - mean_a) ** 2).sum()
            var_b = (kernel * (b - mean_b) ** 2).sum()
            both = (kernel * (a - mean_a) * (b - mean_b)).sum()
            contrast = (2 * both + 0.03**2) / (var_a + var_b + 0.03**2)
            luminance = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
            contrasts.append(contrast)
            values.append(luminance * contrast)
    return float(np.mean(values)), float(np.mean(contrasts))


@pytest.mark.parametrize(("window", "sigma"), [(7, 1.5), (11, 1.5), (5, 0.8)])
def test_ssim_agrees_with_loops_over_every_window(images, window, sigma):
    x, x_hat = images(14, n=2, channels=2)
    got = metrics.ssim(x, x_hat, window=window, sigma=sigma)
    for i in range(2):
        each = [
            ssim_by_loops(x[i, c].numpy(), x_hat[i, c].numpy(), window, sigma)[0] for c in (0, 1)
        ]
        assert float(got[i]) == pytest.approx(np.mean(each), abs=1e-12)


def test_ms_ssim_agrees_with_loops_over_scales(images):
    x, x_hat = images(20, n=2, channels=2)
    spec = SsimSpec(5, 1.5, (0.3, 0.5, 0.2))
    got = metrics.ms_ssim(x, x_hat, SsimSpec(5, 1.5, spec.weights))
    for i in range(2):
        channels = []
        for c in range(2):
            a, b, product = x[i, c].numpy(), x_hat[i, c].numpy(), 1.0
            for scale, weight in enumerate(spec.weights):
                if scale:
                    a, b = (v.reshape(len(v) // 2, 2, -1, 2).mean(axis=(1, 3)) for v in (a, b))
                similarity, contrast = ssim_by_loops(a, b, 5, 1.5)
                product *= (similarity if scale == 2 else contrast) ** weight
            channels.append(product)
        assert float(got[i]) == pytest.approx(np.mean(channels), abs=1e-12)


@pytest.mark.reference
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ssim_agrees_with_scikit_image(images, side, dtype):
    structural_similarity = pytest.importorskip("skimage.metrics").structural_similarity
    x, x_hat = images(side, dtype=dtype)
    got = metrics.ssim(x, x_hat)
    for i in range(len(x)):
        expected = structural_similarity(
            x[i].numpy(),
            x_hat[i].numpy(),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
            channel_axis=0,
        )
        assert float(got[i]) == pytest.approx(
            expected, abs=1e-4 if dtype is torch.float32 else 1e-9
        )


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("window", [7, 11])
def test_ssim_agrees_with_pytorch_msssim(images, side, window):
    from pytorch_msssim import ssim

    x, x_hat = images(side, dtype=torch.float32)
    expected = ssim(x, x_hat, data_range=1.0, win_size=window, win_sigma=1.5, size_average=False)
    torch.testing.assert_close(metrics.ssim(x, x_hat, window=window), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("side", SIDES)
def test_ms_ssim_agrees_with_the_pieces_of_pytorch_msssim(images, side):
    from pytorch_msssim.ssim import _fspecial_gauss_1d, _ssim

    x, x_hat = images(side, dtype=torch.float32)
    spec = metrics.default_ssim_spec(side)
    window = _fspecial_gauss_1d(spec.window, spec.sigma).repeat(3, 1, 1, 1)
    product, a, b = torch.ones(3, 3), x, x_hat
    for scale, weight in enumerate(spec.weights):
        if scale:
            padding = [s % 2 for s in a.shape[2:]]
            a, b = (torch.nn.functional.avg_pool2d(v, 2, padding=padding) for v in (a, b))
        similarity, contrast = _ssim(a, b, 1.0, window, False)
        last = scale == len(spec.weights) - 1
        product = product * (similarity if last else contrast).relu() ** weight
    torch.testing.assert_close(metrics.ms_ssim(x, x_hat, spec), product.mean(1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("side", [161, 176])
def test_the_published_form_agrees_with_pytorch_msssim(images, side):
    from pytorch_msssim import ms_ssim

    x, x_hat = images(side, n=2, dtype=torch.float32)
    weights = metrics.PUBLISHED_WEIGHTS
    expected = ms_ssim(x, x_hat, data_range=1.0, size_average=False, weights=list(weights))
    got = metrics.ms_ssim(x, x_hat, SsimSpec(11, 1.5, weights))
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("side", "scales"), [(28, 2), (32, 2), (64, 3), (128, 5), (12, 1)])
def test_the_default_variant_fits_the_side_and_its_weights_add_up_to_one(images, side, scales):
    spec = metrics.default_ssim_spec(side)
    assert len(spec.weights) == scales
    assert sum(spec.weights) == pytest.approx(1.0)
    assert str(scales) in spec.name
    assert "window 7" in spec.name
    x, x_hat = images(side)
    values = metrics.ms_ssim(x, x_hat, spec)
    assert ((values > 0) & (values < 1)).all()
    assert (values.diff() < 0).all()  # more noise, less similarity


@pytest.mark.parametrize("measure", ["ssim", "ms_ssim"])
def test_identical_pictures_have_a_similarity_of_one(images, measure):
    x, _ = images(32)
    spec = metrics.default_ssim_spec(32)
    got = metrics.ssim(x, x) if measure == "ssim" else metrics.ms_ssim(x, x, spec)
    torch.testing.assert_close(got, torch.ones_like(got), rtol=0, atol=1e-12)


def test_similarity_does_not_depend_on_batch_size_or_memory_layout(images):
    x, x_hat = images(32, n=5, dtype=torch.float32)
    spec = metrics.default_ssim_spec(32)
    whole = metrics.ms_ssim(x, x_hat, spec)
    single = torch.cat([metrics.ms_ssim(x[i : i + 1], x_hat[i : i + 1], spec) for i in range(5)])
    torch.testing.assert_close(whole, single, rtol=1e-5, atol=1e-6)
    last = [v.contiguous(memory_format=torch.channels_last) for v in (x, x_hat)]
    torch.testing.assert_close(metrics.ms_ssim(*last, spec), whole, rtol=1e-6, atol=1e-6)


def test_a_window_larger_than_the_picture_is_refused(images):
    x, x_hat = images(8)
    with pytest.raises(ValueError, match="window of 11"):
        metrics.ssim(x, x_hat)
    with pytest.raises(ValueError, match="window of 7"):
        metrics.ms_ssim(x, x_hat, SsimSpec(7, 1.5, (0.5, 0.5)))


@pytest.mark.parametrize("case", ["noise", "identical", "inverted", "constant"])
def test_ms_ssim_has_finite_gradients(images, case):
    x, noisy = images(28, dtype=torch.float32)
    flat = torch.full_like(x, 0.5)
    x_hat = {"noise": noisy, "identical": x, "inverted": 1 - x, "constant": flat}[case].clone()
    x_hat.requires_grad_()
    metrics.ms_ssim(x, x_hat, metrics.default_ssim_spec(28)).sum().backward()
    assert x_hat.grad is not None
    assert x_hat.grad.isfinite().all()


def test_ms_ssim_passes_the_gradient_check(images):
    x, x_hat = images(14, n=1, channels=1)
    x_hat = x_hat.requires_grad_()
    spec = SsimSpec(5, 1.5, (0.4, 0.6))
    assert torch.autograd.gradcheck(lambda v: metrics.ms_ssim(x, v, spec), (x_hat,))
    both = x.clone().requires_grad_()  # also where the picture itself needs a gradient
    assert torch.autograd.gradcheck(lambda u, v: metrics.ms_ssim(u, v, spec), (both, x_hat))


def plain_ms_ssim(x: Tensor, x_hat: Tensor, spec: SsimSpec, stride: int = 1) -> Tensor:
    """Multi-scale SSIM by depthwise convolutions, left to autograd."""
    kernel = torch.from_numpy(gaussian(spec.window, spec.sigma)).to(x)
    kernel = kernel.expand(x.shape[1], 1, -1, -1)

    def blur(v: Tensor) -> Tensor:
        step = stride if v.shape[-1] == side else 1
        return torch.nn.functional.conv2d(v, kernel, stride=step, groups=x.shape[1])

    side, result = x.shape[-1], torch.ones(x.shape[:2], dtype=x.dtype)
    for scale, weight in enumerate(spec.weights):
        if scale:
            odd = [side % 2 for side in x.shape[2:]]
            x, x_hat = (torch.nn.functional.avg_pool2d(v, 2, padding=odd) for v in (x, x_hat))
        m, m_hat = blur(x), blur(x_hat)
        variances = blur(x**2) - m**2 + blur(x_hat**2) - m_hat**2
        similarity = (2 * (blur(x * x_hat) - m * m_hat) + 0.0009) / (variances + 0.0009)
        if scale == len(spec.weights) - 1:
            similarity = similarity * (2 * m * m_hat + 0.0001) / (m**2 + m_hat**2 + 0.0001)
        result = result * similarity.mean(dim=(2, 3)).clamp_min(1e-6) ** weight
    return result.mean(dim=1)


# 30 px are halved to 15 and 8; 70 px need more than one block of the banded matrices.
@pytest.mark.parametrize("side", [28, 30, 64, 70])
@pytest.mark.parametrize("pixels", [1, 2 * 3 * 70 * 70, 2**24])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_ms_ssim_has_the_gradient_of_the_plain_formulation(
    images, monkeypatch, side, pixels, stride
):
    monkeypatch.setattr(metrics.similarity, "_CPU_PIXELS", pixels)
    spec = SsimSpec(7, 1.5, (0.2, 0.3, 0.5)[: 3 if side > 28 else 2])
    x, x_hat = images(side, n=5)
    pairs = [tuple(v.clone().requires_grad_() for v in (x, x_hat)) for _ in range(2)]
    values = (
        metrics.ms_ssim(*pairs[0], spec, stride=stride),
        plain_ms_ssim(*pairs[1], spec, stride),
    )
    torch.testing.assert_close(*values, rtol=0, atol=1e-12)
    weights = torch.arange(1.0, 6.0, dtype=torch.float64)
    for value in values:
        (value * weights).sum().backward()
    for mine, plain in zip(*pairs, strict=True):
        torch.testing.assert_close(mine.grad, plain.grad, rtol=1e-9, atol=1e-12)


def test_the_gradient_of_ms_ssim_is_right_in_float32_too(images):
    x, x_hat = images(64, n=4)
    spec = metrics.default_ssim_spec(64)
    gradients = []
    for dtype, measure in ((torch.float32, metrics.ms_ssim), (torch.float64, plain_ms_ssim)):
        v = x_hat.to(dtype).requires_grad_()
        measure(x.to(dtype), v, spec).sum().backward()
        gradients.append(v.grad.double())
    off = (gradients[0] - gradients[1]).abs().max() / gradients[1].abs().max()
    assert float(off) < 1e-4


def test_windows_two_pixels_apart_estimate_all_of_them():
    fine = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    soft = torch.nn.functional.avg_pool2d(fine, 2)
    x, x_hat = (
        torch.nn.functional.interpolate(v, (64, 64), mode="bicubic").clamp(0, 1)
        for v in (fine, soft)
    )
    spec = metrics.default_ssim_spec(64)
    values, gradients = [], []
    for stride in (1, 2):
        v = x_hat.clone().requires_grad_()
        value = metrics.ms_ssim(x, v, spec, stride=stride)
        gradients.append(torch.autograd.grad(value.sum(), v)[0])
        values.append(value.detach())
    torch.testing.assert_close(*values, rtol=0, atol=1e-3)
    off = (gradients[1] - gradients[0]).norm() / gradients[0].norm()
    assert 0 < float(off) < 0.05


def test_a_stride_of_nothing_is_refused(images):
    x, x_hat = images(28)
    with pytest.raises(ValueError, match="stride of 0"):
        metrics.ms_ssim(x, x_hat, metrics.default_ssim_spec(28), stride=0)


def test_a_scale_below_the_floor_passes_no_gradient(images):
    x, _ = images(28, dtype=torch.float64)
    x_hat = (1 - x).requires_grad_()
    metrics.ms_ssim(x, x_hat, metrics.default_ssim_spec(28)).sum().backward()
    assert torch.equal(x_hat.grad, torch.zeros_like(x_hat))


def test_ssim_passes_the_gradient_check_also_where_it_is_negative(images):
    x, _ = images(9, n=2, channels=1)
    x_hat = 1 - x
    assert float(metrics.ssim(x, x_hat, window=5).max()) < 0
    x_hat.requires_grad_()
    assert torch.autograd.gradcheck(lambda v: metrics.ssim(x, v, window=5), (x_hat,))


def test_ms_ssim_maps_the_value_range_to_the_unit_range(images):
    x, x_hat = images(32)
    spec = metrics.default_ssim_spec(32)
    unit, wide = x_hat.clone().requires_grad_(), (2 * x_hat - 1).requires_grad_()
    expected = metrics.ms_ssim(x, unit, spec)
    got = metrics.ms_ssim(2 * x - 1, wide, spec, value_range=(-1.0, 1.0))
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    expected.sum().backward()
    got.sum().backward()
    torch.testing.assert_close(2 * wide.grad, unit.grad, rtol=1e-9, atol=1e-12)


def test_the_gradient_of_ms_ssim_has_the_memory_layout_of_the_reconstruction(images):
    x, x_hat = images(32, dtype=torch.float32)
    x_hat = x_hat.contiguous(memory_format=torch.channels_last).requires_grad_()
    metrics.ms_ssim(x, x_hat, metrics.default_ssim_spec(32)).sum().backward()
    assert x_hat.grad.is_contiguous(memory_format=torch.channels_last)


def test_ms_ssim_is_computed_in_float32_under_autocast(images):
    x, x_hat = images(32, dtype=torch.float32)
    spec = metrics.default_ssim_spec(32)
    with torch.autocast("cpu", torch.bfloat16):
        got = metrics.ms_ssim(x, x_hat, spec)
    assert torch.equal(got, metrics.ms_ssim(x, x_hat, spec))


def test_a_second_derivative_of_ms_ssim_is_refused(images):
    x, x_hat = images(28)
    x_hat.requires_grad_()
    value = metrics.ms_ssim(x, x_hat, metrics.default_ssim_spec(28)).sum()
    with pytest.raises(NotImplementedError, match="differentiable once"):
        torch.autograd.grad(value, x_hat, create_graph=True)


@pytest.mark.parametrize("shape", [(2, 3, 28, 27), (1, 3, 28, 28), (3, 28, 28)])
def test_pictures_of_different_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"two batches \(N, C, H, W\)"):
        metrics.ssim(torch.zeros(2, 3, 28, 28), torch.zeros(shape))


@pytest.mark.gpu
def test_ms_ssim_and_its_gradient_are_the_same_on_a_gpu(images):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    x, x_hat = images(64, dtype=torch.float32)
    spec = metrics.default_ssim_spec(64)
    here, there = x_hat.clone().requires_grad_(), x_hat.cuda().requires_grad_()
    values = metrics.ms_ssim(x, here, spec), metrics.ms_ssim(x.cuda(), there, spec)
    torch.testing.assert_close(values[0], values[1].cpu(), rtol=0, atol=1e-5)
    for value in values:
        value.sum().backward()
    torch.testing.assert_close(here.grad, there.grad.cpu(), rtol=1e-3, atol=1e-7)
