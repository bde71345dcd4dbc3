"""The unit of intensity: found on pictures that the model has not learnt from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mddae_cli import calibration
from mddae_cli import model as networks
from mddae_cli.calibration import Curve
from mddae_cli.config import TargetKind
from mddae_cli.data.table import Table
from mddae_cli.editing import Codes, Model
from mddae_cli.errors import DatasetError, UsageError
from mddae_cli.header import Calibration, Eyes, Header

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


class FooledNet(PixelNet):
    """One whose encoder takes what the decoder has drawn of the first for three times as much."""

    drawn = 0.0

    def decode(self, y_hat: Tensor, z: Tensor) -> Tensor:
        self.drawn = float(y_hat[0, 0])
        return super().decode(y_hat, z)

    def activation(self, x: Tensor) -> Tensor:
        seen = super().activation(x)
        seen[:, 0] += 2 * 10 * DRAWN[0] * self.drawn
        return seen


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
    """Pictures whose pixel k is at 20 of 255 without attribute k, and REAL above with it."""
    labels = (np.arange(60)[:, None] // np.array([1, 2, 4]) % 2).astype(np.uint8)
    images = np.full((60, 4, 4, 1), 20, np.uint8)
    images[:, 0, :3, 0] += np.uint8(round(REAL * 255)) * labels
    rows = np.arange(60)
    return Table(
        images=images,
        labels=labels,
        names=NAMES,
        kind=TargetKind.ATTRIBUTES,
        splits={"train": rows[:20], "val": rows[20:50], "test": rows[50:]},
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


def linear(x: Tensor) -> Tensor:
    """An observer to whom an edit is as strong as it is."""
    return 3 * x[:, 0, 0, :3] - 1


def bent(x: Tensor) -> Tensor:
    """One to whom weak edits are weaker and strong ones stronger."""
    return x[:, 0, 0, :3].square()


def backwards(x: Tensor) -> Tensor:
    """One who does not tell pictures with an attribute from those without it."""
    return -x[:, 0, 0, :3]


def one_of(*looks: Callable[[Curve], Curve]) -> float:
    """Return where the mean strength of those who look reaches 1: of the first attribute."""
    values, low = np.array(calibration.RAW_VALUES), 20 / 255
    high = low + round(REAL * 255) / 255
    drawn = low + float(DRAWN[0]) * values
    each = [(look(drawn) - look(low)) / (look(high) - look(low)) for look in looks]
    return float(np.interp(1, np.maximum.accumulate(np.mean(each, axis=0)), values))


def test_observers_make_up_for_what_the_encoder_is_fooled_by(model: Model, table: Table) -> None:
    own = calibration.calibrate(model, table)
    assert own.eyes is Eyes.ENCODER
    # This encoder takes the first for three times what it is.
    fooled = dataclasses.replace(model, net=FooledNet())  # type: ignore[arg-type]  # the same methods
    alone = calibration.calibrate(fooled, table)
    assert alone.one[0] == pytest.approx(own.one[0] / 3, rel=1e-5)
    found = calibration.calibrate(fooled, table, observers=[linear])
    assert found.eyes is Eyes.OBSERVERS
    assert found.one[0] == pytest.approx(own.one[0] / 2, rel=1e-5)  # (3 + 1) / 2 = 2
    assert found.one[1] == pytest.approx(own.one[1], rel=1e-5)


def test_encoder_and_observers_have_half_the_weight_each(model: Model, table: Table) -> None:
    straight: Callable[[Curve], Curve] = np.asarray
    found = [
        calibration.calibrate(model, table, observers=who).one[0]
        for who in ([], [bent], [bent, bent], [linear, bent])
    ]
    expected = [
        one_of(straight),
        one_of(straight, np.square),
        one_of(straight, np.square),
        one_of(straight, straight, straight, np.square),
    ]
    assert found == pytest.approx(expected, rel=1e-5)
    assert len({round(one, 3) for one in found}) == 3


def test_who_does_not_tell_an_attribute_is_not_asked_for_it(model: Model, table: Table) -> None:
    with_bent = calibration.calibrate(model, table, observers=[bent])
    assert calibration.calibrate(model, table, observers=[bent, backwards]) == with_bent
    alone = calibration.calibrate(model, table)
    assert calibration.calibrate(model, table, observers=[backwards]).one == alone.one
    blind = dataclasses.replace(model, net=BlindNet())  # type: ignore[arg-type]  # the same methods
    nobody = calibration.calibrate(blind, table, observers=[backwards])
    assert (nobody.zero, nobody.one) == ((0.0,) * 3, (1.0,) * 3)
    strangers = calibration.calibrate(model, table, observers=[bent], encoder=False)
    assert strangers == calibration.calibrate(blind, table, observers=[bent])


def test_an_attribute_that_is_not_drawn_keeps_the_raw_scale(model: Model, table: Table) -> None:
    found = calibration.calibrate(model, table)
    assert (found.zero[2], found.one[2]) == (0.0, 1.0)


def test_an_attribute_that_no_picture_has_keeps_the_raw_scale(model: Model, table: Table) -> None:
    labels = table.labels.copy()
    labels[:, 0] = 0
    found = calibration.calibrate(model, dataclasses.replace(table, labels=labels))
    assert (found.zero[0], found.one[0]) == (0.0, 1.0)


def test_calibrate_looks_at_the_validation_part_alone(model: Model, table: Table) -> None:
    images = table.images.copy()
    images[table.splits["train"]] = 255
    images[table.splits["test"]] = 255
    spoilt = dataclasses.replace(table, images=images)
    assert calibration.calibrate(model, spoilt) == calibration.calibrate(model, table)


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
