"""Strokes whose slant, thickness and width are known."""

from __future__ import annotations

import pytest
import torch

from mddae_cli.evaluation.style import style_of, style_scores
from mddae_cli.evaluation.swaps import Swaps


def bar(slant: float, width: float, height: int = 20) -> torch.Tensor:
    """Return a picture (1, 40, 40) of a bar that leans by ``slant`` px to the right per px up."""
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    middle = 20 - slant * (y - 20)
    ink = (width / 2 + 0.5 - (x - middle).abs()).clamp(0, 1) * ((y - 20).abs() <= height / 2)
    return ink[None]


@pytest.mark.parametrize("slant", [-0.4, 0.0, 0.3])
@pytest.mark.parametrize("width", [3.0, 6.0])
def test_a_bar_is_measured_as_it_was_drawn(slant: float, width: float) -> None:
    told = style_of(bar(slant, width)[None])[0]
    assert float(told[0]) == pytest.approx(slant, abs=0.03)
    along = 21 * (1 + slant**2) ** 0.5
    assert float(told[1]) == pytest.approx(width * 21 / (along + width), rel=0.1)
    assert float(told[2]) == pytest.approx(width, rel=0.1)


def test_a_wide_thin_ring_is_wide_and_thin() -> None:
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    ring = (((x - 20) ** 2 + (y - 20) ** 2).sqrt() - 12).abs() < 1.5
    told = style_of(ring.float()[None, None])[0]
    assert float(told[1]) == pytest.approx(3, rel=0.25)
    assert float(told[2]) > 25


def test_an_empty_picture_has_no_style() -> None:
    assert style_of(torch.zeros(1, 1, 8, 8)).tolist() == [[0.0, 0.0, 0.0]]


def swaps(plain: torch.Tensor, swapped: torch.Tensor) -> Swaps:
    return Swaps(torch.zeros(len(plain), 2), {"style": plain}, {"style": swapped})


def test_a_swap_that_keeps_the_style_and_one_that_forgets_it() -> None:
    rng = torch.Generator().manual_seed(0)
    real = torch.randn(400, 3, generator=rng).double()
    y = torch.arange(400) % 2
    kept = style_scores(swaps(real, torch.stack([real + 5, 2 * real])), real, y)
    assert kept.swapped == pytest.approx((1.0, 1.0, 1.0))
    assert kept.reconstructed == pytest.approx((1.0, 1.0, 1.0))
    noise = torch.randn(2, 400, 3, generator=rng).double()
    forgot = style_scores(swaps(real, noise), real, y)
    assert forgot.swapped == pytest.approx((0.0, 0.0, 0.0), abs=0.12)
    assert forgot.reconstructed == pytest.approx((1.0, 1.0, 1.0))


def test_what_comes_from_the_class_alone_is_no_style() -> None:
    rng = torch.Generator().manual_seed(0)
    y = torch.arange(400) % 2
    real = torch.randn(400, 3, generator=rng).double() + 10 * y[:, None]
    swapped = torch.randn(2, 400, 3, generator=rng).double() + 10 * y[:, None]
    told = style_scores(swaps(real, swapped), real, y)
    assert told.swapped == pytest.approx((0.0, 0.0, 0.0), abs=0.15)


def test_without_pictures_to_compare_there_is_no_figure() -> None:
    real = torch.zeros(4, 3).double()
    told = style_scores(swaps(real, torch.stack([real, real])), real, torch.tensor([0, 0, 0, 1]))
    assert told.swapped == (None, None, None)
