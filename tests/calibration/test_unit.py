"""The unit of intensity: found on pictures that the model has not learnt from."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mddae_cli import calibration
from mddae_cli import model as networks
from mddae_cli.config import TargetKind
from mddae_cli.data.table import Table
from mddae_cli.editing import Codes, Model
from mddae_cli.errors import DatasetError, UsageError
from mddae_cli.header import Calibration, Header

NAMES = ("Strong", "Weak", "Undrawn")
# How much brighter the pixel of an attribute becomes per raw ŷ.
DRAWN = torch.tensor([0.5, 0.1, 0.0])
# How much brighter that pixel is in pictures that have it.
REAL = 0.3


class PixelNet(nn.Module):
    """An encoder that reads attribute k off pixel k; a decoder that draws it there by ``DRAWN``."""

    def encode(self, x: Tensor) -> networks.Codes:
        return networks.Codes(self.activation(x), x.flatten(1))

    def activation(self, x: Tensor) -> Tensor:
        return 10 * x[:, 0, 0, :3]

    def soft_target(self, logits: Tensor) -> Tensor:
        return torch.zeros_like(logits)

    def decoder_target(self, y_hat: Tensor) -> Tensor:
        return y_hat

    def decode(self, y_hat: Tensor, z: Tensor) -> Tensor:
        x = z.reshape(-1, 1, 4, 4).clone()
        x[:, 0, 0, :3] += DRAWN * y_hat
        return x


class BlindNet(PixelNet):
    """One whose encoder has it the wrong way round."""

    def activation(self, x: Tensor) -> Tensor:
        return -super().activation(x)


@pytest.fixture
def header(tiny_header: Header) -> Header:
    spec = dataclasses.replace(
        tiny_header.model, num_targets=3, target_kind=TargetKind.ATTRIBUTES, image_size=4
    )
    pre = dataclasses.replace(tiny_header.preprocess, image_size=4, value_range=(0.0, 1.0))
    return dataclasses.replace(
        tiny_header, model=spec, preprocess=pre, names=NAMES, base_rates=(0.5,) * 3
    )


@pytest.fixture
def model(header: Header) -> Model:
    return Model(PixelNet(), header, torch.device("cpu"))  # type: ignore[arg-type]  # the same methods


@pytest.fixture
def table(header: Header) -> Table:
    """Pictures whose pixel k is at 20 of 255 without attribute k, and REAL above with it.

    In each of the first two parts every combination of labels is as common as the others.
    """
    labels = (np.arange(60)[:, None] // np.array([1, 2, 4]) % 2).astype(np.uint8)
    images = np.full((60, 4, 4, 1), 20, np.uint8)
    images[:, 0, :3, 0] += np.uint8(round(REAL * 255)) * labels
    rows = np.arange(60)
    return Table(
        images=images,
        labels=labels,
        names=NAMES,
        kind=TargetKind.ATTRIBUTES,
        splits={"train": rows[:24], "val": rows[24:48], "test": rows[48:]},
        preprocess=header.preprocess,
        name="folder",
        split="random",
        split_seed=0,
    )


def test_one_is_the_value_at_which_an_edit_looks_like_pictures_with_the_attribute(
    model: Model, table: Table
) -> None:
    found = calibration.calibrate(model, table)
    level = round(REAL * 255) / 255
    np.testing.assert_allclose(found.zero[:2], 0.0, atol=1e-6)
    np.testing.assert_allclose(found.one[:2], [level / 0.5, level / 0.1], rtol=1e-5)


def bent(x: Tensor) -> Tensor:
    """One to whom weak edits are weaker and strong ones stronger."""
    return x[:, 0, 0, :3] ** 3


def test_another_eye_finds_a_unit_of_its_own(model: Model, table: Table) -> None:
    values, low = np.array(calibration.RAW_VALUES), 20 / 255
    drawn = (low + DRAWN[0].item() * values) ** 3
    expected = np.interp((low + round(REAL * 255) / 255) ** 3, drawn, values)
    found = calibration.calibrate(model, table, eye=bent)
    assert found.one[0] == pytest.approx(expected, rel=1e-5)
    assert found.one[0] != pytest.approx(calibration.calibrate(model, table).one[0], rel=1e-2)


def test_an_eye_that_does_not_tell_an_attribute_leaves_the_raw_scale(
    model: Model, table: Table
) -> None:
    nothing = calibration.calibrate(model, table, eye=lambda x: -bent(x))
    assert (nothing.zero, nothing.one) == ((0.0,) * 3, (1.0,) * 3)


def test_the_regression_turns_round_an_encoder_that_has_it_the_wrong_way(
    model: Model, table: Table
) -> None:
    blind = dataclasses.replace(model, net=BlindNet())  # type: ignore[arg-type]  # the same methods
    found, expected = (calibration.calibrate(which, table) for which in (blind, model))
    np.testing.assert_allclose(found.one, expected.one, rtol=1e-5)


@pytest.mark.parametrize("together", [True, False])
def test_what_goes_with_an_attribute_counts_for_it(
    model: Model, table: Table, *, together: bool
) -> None:
    """Where the first label is noisy in the picture and the second says as much about it."""
    labels = table.labels.copy()
    if together:
        labels[:, 1] = labels[:, 0]
    noise = np.random.default_rng(0).integers(0, 80, 60)
    images = np.full_like(table.images, 20)
    images[:, 0, :3, 0] += np.uint8(round(REAL * 255)) * labels
    images[:, 0, 0, 0] += noise.astype(np.uint8)
    faces = dataclasses.replace(table, images=images, labels=labels)
    alone = calibration.calibrate(model, faces, eye=model.net.activation).one[0]
    found = calibration.calibrate(model, faces).one[0]
    if together:  # the edit shows the first alone, so that more of it is asked for
        assert found > 2 * alone
    else:
        assert found == pytest.approx(alone, rel=0.2)


def test_an_attribute_that_is_not_drawn_keeps_the_raw_scale(model: Model, table: Table) -> None:
    found = calibration.calibrate(model, table)
    assert (found.zero[2], found.one[2]) == (0.0, 1.0)


def test_an_attribute_that_no_picture_has_keeps_the_raw_scale(model: Model, table: Table) -> None:
    labels = table.labels.copy()
    labels[:, 0] = 0
    found = calibration.calibrate(model, dataclasses.replace(table, labels=labels))
    assert (found.zero[0], found.one[0]) == (0.0, 1.0)


def test_calibrate_does_not_look_at_the_test_part(model: Model, table: Table) -> None:
    found = calibration.calibrate(model, table)
    for part, same in (("test", True), ("train", False)):
        images = table.images.copy()
        images[table.splits[part], 0, 0] = 255 - images[table.splits[part], 0, 0]
        spoilt = dataclasses.replace(table, images=images)
        assert (calibration.calibrate(model, spoilt) == found) is same


def test_calibrate_draws_its_pictures_by_the_seed(model: Model, table: Table) -> None:
    images = table.images.copy()
    images[:, 0, :3, 0] += np.random.default_rng(0).integers(0, 60, (60, 3), dtype=np.uint8)
    varied = dataclasses.replace(table, images=images)
    few = [calibration.calibrate(model, varied, max_images=5, seed=s) for s in (0, 0, 1)]
    assert few[0] == few[1] != few[2]


def test_calibrate_refuses_classes_and_an_empty_part(
    tiny_header: Header, model: Model, table: Table
) -> None:
    digits = dataclasses.replace(model, header=tiny_header)
    with pytest.raises(UsageError, match="swap-class"):
        calibration.calibrate(digits, table)
    empty = dataclasses.replace(table, splits=table.splits | {"val": np.arange(0)})
    with pytest.raises(DatasetError, match="val part is empty"):
        calibration.calibrate(model, empty)


def test_set_and_add_take_calibrated_values() -> None:
    unit = Calibration((-1.0, 0.0, 0.0), (1.0, 0.5, 1.0))
    codes = Codes(torch.zeros(1, 3), torch.zeros(1, 2), NAMES, unit)
    torch.testing.assert_close(codes.set(Strong=2.0, Weak=0).y_hat, torch.tensor([[3.0, 0.0, 0.0]]))
    torch.testing.assert_close(codes.add({"Weak": 3.0}).y_hat, torch.tensor([[0.0, 1.5, 0.0]]))


def test_a_raw_model_leaves_its_calibration_unused(model: Model, table: Table) -> None:
    unit = Calibration((0.0,) * 3, (0.5,) * 3)
    calibrated = dataclasses.replace(
        model, header=dataclasses.replace(model.header, calibration=unit)
    )
    images = table.images[:2]
    assert calibrated.encode(images).calibration == unit
    assert dataclasses.replace(calibrated, raw=True).encode(images).calibration is None


def test_from_raw_undoes_to_raw() -> None:
    unit = Calibration((-0.2,), (0.6,))
    assert unit.from_raw(0, unit.to_raw(0, 1.7)) == pytest.approx(1.7)
