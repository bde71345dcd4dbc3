"""Oriented gradients of edges whose direction is known."""

from __future__ import annotations

import torch

from mddae_cli.evaluation.features import Features, extractor, oriented_gradients


def edge(turn: bool = False, falling: bool = False) -> torch.Tensor:
    """Return a picture (1, 3, 16, 16) that becomes bright from left to right, or otherwise."""
    ramp = torch.arange(16.0).expand(16, 16) / 16
    ramp = 1 - ramp if falling else ramp
    return (ramp.T if turn else ramp).expand(1, 3, 16, 16)


def strongest(images: torch.Tensor) -> int:
    return int(oriented_gradients(images).unflatten(1, (12, -1)).sum(dim=2).argmax())


def test_each_direction_has_a_histogram_bin_of_its_own() -> None:
    pictures = edge(), edge(turn=True), edge(falling=True), edge(turn=True, falling=True)
    assert [strongest(picture) for picture in pictures] == [0, 3, 6, 9]


def test_contrast_hardly_matters_and_a_flat_picture_is_zero() -> None:
    strong, weak = oriented_gradients(edge()), oriented_gradients(edge() * 0.5)
    assert torch.allclose(strong, weak, atol=0.05)
    assert not oriented_gradients(torch.full((1, 3, 16, 16), 0.5)).any()


def test_pixels_are_pixels() -> None:
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(extractor(Features.PIXELS)(images), images.flatten(1))
