"""What practised edits cost for what they do to pixels."""

from __future__ import annotations

import math

import pytest
import torch

from mddae_cli.training.pixels import added_colour, detail_error, fineness, length, variation


def test_moved_pixels_are_weighed_by_their_length() -> None:
    """So that one pixel moved far costs what many moved a little together do."""
    far, little = torch.zeros(2, 1, 28, 28), torch.full((2, 1, 28, 28), 0.5 / 784)
    far[:, :, 3, 3] = 0.5
    few, many = (float(length(moved)) for moved in (far, little))
    floor = 1e-3
    assert few == pytest.approx(floor + 0.5 / 784, rel=1e-2)
    assert many >= floor


def test_a_grid_of_dots_varies_more_than_a_patch_that_moves_as_much() -> None:
    patch, dots = torch.zeros(2, 3, 16, 16), torch.zeros(2, 3, 16, 16)
    patch[:, :, 4:8, 4:8] = 0.5
    dots[:, :, 0:16:4, 0:16:4] = 0.5
    assert float(length(patch)) == pytest.approx(float(length(dots)))
    assert float(variation(dots)) > 2 * float(variation(patch))
    assert float(variation(torch.full((2, 3, 16, 16), 0.5))) == pytest.approx(1e-3)


def striped(fine: float, broad: float = 0.2) -> torch.Tensor:
    """Pictures of fine stripes of one pixel over broad ones, (2, 3, 32, 32).

    The window takes all of the fine ones away, and the variance is the sum of both squares.
    """
    places = torch.arange(32)
    row = 0.5 + broad * torch.where(places < 16, -1.0, 1.0) + fine * torch.cos(math.pi * places)
    return row.expand(2, 3, 32, 32).clone()


def coarse(x: torch.Tensor) -> torch.Tensor:
    """The binomial window by hand: (1, 2, 1) / 4 along each direction, twice."""
    x = torch.nn.functional.pad(x, (2, 2, 2, 2), mode="reflect")
    for _ in range(2):
        x = (x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]) / 4
        x = (x[..., :-2, :] + 2 * x[..., 1:-1, :] + x[..., 2:, :]) / 4
    return x


def test_detail_is_compared_by_its_energy_in_parts_of_the_contrast() -> None:
    x_edit, x_hat = striped(0.2), striped(0.1)
    edge = striped(0.0)
    fine = [float((x - coarse(x)).square().mean()) for x in (x_edit, x_hat)]
    contrast = [float(x.var(dim=(2, 3)).mean()) for x in (x_edit, x_hat)]
    expected = math.log(fine[0] / fine[1]) - math.log(contrast[0] / contrast[1])
    assert expected > 0.5
    assert float(detail_error(x_edit, x_hat)) == pytest.approx(expected, rel=2e-2)
    assert float(detail_error(edge, edge)) == 0


def test_more_contrast_and_less_detail_cost_nothing() -> None:
    x_hat = striped(0.1)
    assert float(detail_error((x_hat - 0.5) * 1.5 + 0.5, x_hat)) < 1e-2
    assert float(detail_error(x_hat + 0.2, x_hat)) == pytest.approx(0.0, abs=1e-5)
    assert float(detail_error(striped(0.05), x_hat)) == 0


def test_an_attribute_brings_its_own_detail_and_contrast_may_bring_more() -> None:
    """Each picture has its own; what is allowed beside it is not added."""
    x_edit, x_hat = striped(0.2), striped(0.1)
    finer = float((fineness(x_edit) - fineness(x_hat)).mean())
    cost = float(detail_error(x_edit, x_hat))
    contrast = finer - cost
    assert contrast > 0.1

    def left(*natural: float) -> float:
        return float(detail_error(x_edit, x_hat, torch.tensor(natural)))

    assert left(contrast / 2, -1.0) == pytest.approx(cost)
    assert left(finer - 0.3, finer - 0.3) == pytest.approx(0.3, abs=0.02)
    assert left(finer - 0.3, finer + 0.1) == pytest.approx(0.2, abs=0.02)
    assert left(finer + 0.2, finer + 0.4) == pytest.approx(0.3, abs=0.02)


def test_a_picture_is_compared_with_its_own_reconstruction() -> None:
    fine, smooth = striped(0.2), striped(0.1)
    mixed, other = torch.stack([fine[0], smooth[0]]), torch.stack([smooth[0], fine[0]])
    expected = float(detail_error(fine, smooth)) / 2
    assert float(detail_error(mixed, other)) == pytest.approx(expected)


def test_detail_that_nobody_sees_is_next_to_none_even_in_a_flat_picture() -> None:
    flat = torch.full((2, 3, 32, 32), 0.5)
    assert float(detail_error(striped(1e-3, 0.0), flat)) < 0.05
    assert float(detail_error(striped(0.1), striped(0.0))) > 1


def tinted(by: float, rows: slice = slice(None)) -> torch.Tensor:
    """Grey pictures, ``by`` redder and bluer in some rows: of energy ``by``² · 2/3 there."""
    x = torch.full((2, 3, 16, 16), 0.5)
    x[:, 0, rows] += by
    x[:, 2, rows] -= by
    return x


def log_ratio(by: float, reference: float) -> float:
    return math.log((by**2 * 2 / 3 + 9e-4) / (reference**2 * 2 / 3 + 9e-4))


def test_colour_is_compared_by_its_energy_place_by_place() -> None:
    half = float(added_colour(tinted(0.2, slice(8)), tinted(0.1)))
    assert half == pytest.approx(log_ratio(0.2, 0.1) / 2, rel=1e-4)


def test_colours_that_one_of_the_references_has_cost_nothing() -> None:
    grey, pale, strong = tinted(0.0), tinted(0.1), tinted(0.2)
    assert float(added_colour(pale, grey)) > 1
    assert float(added_colour(pale, grey, strong)) == 0
    assert float(added_colour(pale, strong, grey)) == 0
    assert float(added_colour(grey, strong)) == 0


def test_brightness_is_no_colour_and_a_tint_that_nobody_sees_is_next_to_none() -> None:
    assert float(added_colour(tinted(0.0) + 0.3, tinted(0.0))) == pytest.approx(0.0, abs=1e-5)
    assert float(added_colour(tinted(5e-3), tinted(0.0))) < 0.02
    one_channel = torch.rand(2, 1, 16, 16)
    assert float(added_colour(one_channel, one_channel.flip(0))) == 0


def test_colours_of_single_pixels_are_taken_together() -> None:
    """Noise has no colour from a distance; a coarse tint has."""
    noise = torch.zeros(2, 3, 16, 16)
    noise[:, 0, ::2], noise[:, 0, 1::2] = 0.2, -0.2
    assert float(added_colour(tinted(0.0) + noise, tinted(0.0))) == pytest.approx(0.0, abs=1e-5)
