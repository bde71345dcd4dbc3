"""Softened pictures: blurred as asked, as bright as before."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from mddae_cli.evaluation.softness import soften, some_softness


def test_a_softened_point_is_a_gaussian_of_the_width_asked_for() -> None:
    x = torch.zeros(2, 1, 33, 33)
    x[:, :, 16, 16] = 1
    sigma = torch.tensor([1.0, 2.0])
    place = torch.arange(33.0) - 16
    for picture, width in zip(soften(x, sigma), sigma, strict=True):
        bell = torch.exp(-0.5 * (place / width).square())
        bell = bell / bell.sum()
        torch.testing.assert_close(picture[0], bell[:, None] * bell, rtol=1e-3, atol=1e-5)


def test_softening_agrees_with_a_convolution_inside_and_keeps_flat_pictures() -> None:
    x = torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    bell = torch.exp(-0.5 * torch.arange(-7.0, 8.0).square())
    kernel = (bell[:, None] * bell / bell.sum() ** 2).expand(3, 1, 15, 15)
    wanted = F.conv2d(x, kernel, groups=3)
    torch.testing.assert_close(
        soften(x, torch.ones(1))[..., 7:-7, 7:-7], wanted, rtol=1e-4, atol=1e-5
    )
    flat = torch.full((2, 3, 20, 12), 0.7)
    torch.testing.assert_close(soften(flat, torch.tensor([0.0, 3.0])), flat)


def test_no_softness_leaves_a_picture_as_it_is() -> None:
    x = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(soften(x, torch.zeros(2)), x)


def test_about_half_of_the_pictures_stay_sharp() -> None:
    sigma = some_softness(2000, np.random.default_rng(0))
    assert 0.45 < float((sigma == 0).float().mean()) < 0.55
    assert 1.4 < float(sigma.max()) <= 1.5
