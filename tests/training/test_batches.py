"""Batches: order, range, and what is done to pictures on the way."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from mddae_cli.config import TrainConfig, make_config
from mddae_cli.data import load_table
from mddae_cli.data.table import Table
from mddae_cli.training.batches import Batches, to_model_range, to_unit_range

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def table() -> Table:
    return load_table("digits")


def batches(table: Table, **changes: Any) -> Batches:
    return Batches(table, make_config("digits", **({"batch_size": 50} | changes)), CPU)


def all_of(batches: Batches, epoch: int, **options: Any) -> torch.Tensor:
    return torch.cat([batch.x for batch in batches.epoch(epoch, **options)])


def test_pixels_become_the_models_range_and_back() -> None:
    pixels = np.array([0, 51, 255], dtype=np.uint8).reshape(1, 1, 3, 1)
    x = to_model_range(pixels, (-1.0, 1.0), CPU)
    torch.testing.assert_close(x.flatten(), torch.tensor([-1.0, -0.6, 1.0]))
    unit = to_unit_range(x, (-1.0, 1.0))
    torch.testing.assert_close(unit.flatten(), torch.tensor([0.0, 0.2, 1.0]))


def test_epochs_differ_in_order_and_repeat_by_seed(table: Table) -> None:
    first = all_of(batches(table), 0)
    assert torch.equal(first, all_of(batches(table), 0))
    assert not torch.equal(first, all_of(batches(table), 1))
    assert not torch.equal(first, all_of(batches(table, seed=1), 0))


def test_later_start_gives_the_rest_of_the_same_epoch(table: Table) -> None:
    whole = all_of(batches(table, flip=True), 3)
    rest = all_of(batches(table, flip=True), 3, first_step=4)
    assert torch.equal(whole[200:], rest)


def test_labels_belong_to_the_pictures(table: Table) -> None:
    x, y, _ = next(batches(table).epoch(0))
    pixels = to_unit_range(x, (0.0, 1.0)).mul(255).round().byte().permute(0, 2, 3, 1).numpy()
    rows = table.splits["train"]
    for picture, label in zip(pixels, y, strict=True):
        same = rows[(table.images[rows] == picture).all(axis=(1, 2, 3))]
        assert (table.labels[same] == label.numpy()).all(axis=1).any()


def test_flip_mirrors_about_half_of_the_pictures(table: Table) -> None:
    plain, some = all_of(batches(table), 0), all_of(batches(table, flip=True), 0)
    mirrored = (some == plain.flip(3)).all(dim=(1, 2, 3)) & ~(some == plain).all(dim=(1, 2, 3))
    untouched = (some == plain).all(dim=(1, 2, 3))
    assert bool((mirrored | untouched).all())
    assert 0.4 < float(mirrored.float().mean()) < 0.6


@pytest.mark.parametrize("flip", [False, True])
def test_a_batch_tells_which_of_every_picture_it_holds(table: Table, flip: bool) -> None:
    some = batches(table, flip=flip)
    every = torch.cat(list(some.every_picture()))
    assert len(every) == len(some.rows) * (2 if flip else 1)
    for batch in some.epoch(1, first_step=15):
        assert torch.equal(batch.x, every[batch.picture])


def test_pictures_move_only_when_asked(table: Table) -> None:
    moving = batches(table, shift=2)
    assert torch.equal(all_of(moving, 0), all_of(batches(table, shift=0), 0))
    moved, plain = all_of(moving, 0, moved=True), all_of(moving, 0)
    assert moved.shape == plain.shape
    assert not torch.equal(moved, plain)


def test_small_part_gives_one_smaller_batch(table: Table) -> None:
    part = dataclasses.replace(table, splits=table.splits | {"train": np.arange(7)})
    some = Batches(part, TrainConfig(batch_size=50), CPU)
    assert [len(batch.x) for batch in some.epoch(0)] == [7]
