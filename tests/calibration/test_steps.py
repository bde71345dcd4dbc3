"""Steps beyond 1: found on training pictures, along what makes an edit look stronger."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mddae_cli import calibration
from mddae_cli import model as networks
from mddae_cli.calibration import steps
from mddae_cli.config import TargetKind
from mddae_cli.data.table import Table
from mddae_cli.editing import Model
from mddae_cli.header import Calibration, Header
from mddae_cli.model import QuadraticErasure

NAMES = ("Bent", "Other")
LATENT = 6
# How much brighter a raw ŷ of 1 draws the pixel of an attribute, and one of the latent.
DRAWN, BY_LATENT = 0.2, 0.01
GREY = 2 * 128 / 255 - 1


class SaturatingNet(nn.Module):
    """Its ŷ draws less and less; the latent makes the same pixels brighter.

    The latent is the third row of the picture, the first two pixels of the first row show the
    attributes; two more rows are as much darker, so that neither tints. Coordinate 0 of the
    latent makes the first attribute's pixel brighter, coordinate 1 both, coordinate 2 the second,
    coordinate 3 the first, and the whole picture.
    """

    def __init__(self, erasure: QuadraticErasure | None) -> None:
        super().__init__()
        self.erasure = erasure

    def encode(self, x: Tensor) -> networks.Codes:
        return networks.Codes(self.activation(x), 8 * (x[:, 0, 2] - GREY))

    def activation(self, x: Tensor) -> Tensor:
        return x[:, 0, 0, :2] - GREY

    def soft_target(self, logits: Tensor) -> Tensor:
        return (logits > DRAWN / 2).float()

    def decoder_target(self, y_hat: Tensor) -> Tensor:
        return y_hat

    def decode(self, y_hat: Tensor, z: Tensor) -> Tensor:
        h = z if self.erasure is None else self.erasure.inverse(z, y_hat)
        by_latent = torch.stack([h[:, 0] + h[:, 1] + h[:, 3], h[:, 1] + h[:, 2]], dim=1)
        shown = DRAWN * torch.tanh(y_hat) / math.tanh(1) + BY_LATENT * by_latent
        x = torch.full((len(z), 1, LATENT, LATENT), GREY)
        x[:, 0, 0, :2] += shown
        x[:, 0, 5, :2] -= shown
        x[:, 0, 2] += h / 8
        x[:, 0, 3] -= h / 8
        return x + 0.2 * BY_LATENT * h[:, 3, None, None, None]


@pytest.fixture
def header(tiny_header: Header) -> Header:
    kind = TargetKind.ATTRIBUTES
    spec = dataclasses.replace(
        tiny_header.model, num_targets=2, target_kind=kind, image_size=LATENT, latent_dim=LATENT
    )
    spec = dataclasses.replace(spec, erase_directions=1)
    pre = dataclasses.replace(tiny_header.preprocess, image_size=LATENT, value_range=(-1.0, 1.0))
    fields = {"model": spec, "preprocess": pre, "names": NAMES, "base_rates": (0.5,) * 2}
    return dataclasses.replace(tiny_header, **fields)


@pytest.fixture
def model(header: Header) -> Model:
    erasure = QuadraticErasure(header.model)
    erasure.fitted.fill_(True)
    return Model(SaturatingNet(erasure), header, torch.device("cpu"))  # type: ignore[arg-type]  # the same methods


def faces(header: Header, count: int = 200) -> Table:
    """Pictures whose latent is noise, and a little more where they have the first attribute."""
    rng = np.random.default_rng(0)
    labels = (np.arange(count)[:, None] // np.array([1, 2]) % 2).astype(np.uint8)
    images = np.full((count, LATENT, LATENT, 1), 128, np.uint8)
    images[:, 2, :, 0] = rng.integers(100, 156, (count, LATENT), dtype=np.uint8)
    images[:, 2, 0, 0] += 48 * labels[:, 0]
    images[:, 0, :2, 0] += np.uint8(round(DRAWN * 127.5)) * labels
    rows = np.arange(count)
    return Table(
        images=images,
        labels=labels,
        names=NAMES,
        kind=TargetKind.ATTRIBUTES,
        splits={"train": rows[: count // 2], "val": rows[count // 2 :], "test": rows[:0]},
        preprocess=header.preprocess,
        name="folder",
        split="random",
        split_seed=0,
    )


def steps_of(model: Model) -> Tensor:
    assert model.net.erasure is not None
    return model.net.erasure.steps.steps


def test_a_step_goes_where_the_edit_looks_stronger_and_little_else_does(
    model: Model, header: Header
) -> None:
    calibration.calibrate_with_steps(model, faces(header))
    first = steps_of(model)[0]
    assert float(first.norm()) == pytest.approx(6.0)
    # Coordinate 0 says nothing of the other attribute; 1 says of both, and 2 takes that back.
    assert first[0] > 4.2
    assert first[0] > first[1] > 0 > first[2]
    assert float(first[4:].abs().max()) < 0.7


def test_a_step_is_whole_where_two_and_a_half_was_without_it(model: Model, header: Header) -> None:
    table = faces(header)
    plain = calibration.calibrate(model, table)
    calibration.calibrate_with_steps(model, table)
    erasure = model.net.erasure
    assert erasure is not None
    assert float(erasure.steps.whole_at[0]) == pytest.approx(plain.to_raw(0, 2.5), rel=1e-5)


def test_the_unit_is_found_with_the_steps(model: Model, header: Header) -> None:
    """1 lies beyond a raw ŷ of 1 here, so that with the step less of ŷ is needed."""
    table = faces(header)
    plain = calibration.calibrate(model, table)
    found = calibration.calibrate_with_steps(model, table)
    assert plain.one[0] > 1.1
    assert 1 < found.one[0] < plain.one[0] - 0.02
    assert found == calibration.calibrate(model, table)


def test_where_pictures_with_the_attribute_are_alike_no_step_goes(
    model: Model, header: Header
) -> None:
    erasure = model.net.erasure
    assert erasure is not None
    erasure.directions[0] = torch.eye(LATENT)[:, :1]
    erasure.log_variances[0, 1] = -0.01
    calibration.calibrate_with_steps(model, faces(header))
    assert float(steps_of(model)[0, 0].abs()) < 1e-5
    assert float(steps_of(model)[0].norm()) == pytest.approx(6.0)


def test_a_step_does_not_tint(model: Model, header: Header) -> None:
    """Coordinate 3 makes the attribute's pixel as much brighter as coordinate 0 does."""
    calibration.calibrate_with_steps(model, faces(header))
    first = steps_of(model)[0]
    assert abs(float(first[3])) < 0.1 * float(first[0])


def test_a_step_that_does_not_do_what_was_promised_is_not_taken(
    model: Model, header: Header, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among these pictures the first attribute goes with coordinate 4, which does not draw it."""
    table, plain = faces(header), model.net.decode

    def decode(y_hat: Tensor, z: Tensor) -> Tensor:
        x = plain(y_hat, z)
        more = 12 * BY_LATENT * z[:, 4]  # steps do not move z itself
        x[:, 0, 0, 0] += more
        x[:, 0, 5, 0] -= more
        return x

    monkeypatch.setattr(model.net, "decode", decode)
    calibration.calibrate_with_steps(model, table)
    assert not steps_of(model)[0].any()
    assert steps_of(model)[1].any()


def test_steps_are_found_anew_not_beside_the_old_ones(model: Model, header: Header) -> None:
    table = faces(header)
    first = calibration.calibrate_with_steps(model, table), steps_of(model).clone()
    again = calibration.calibrate_with_steps(model, table), steps_of(model)
    assert first[0] == again[0]
    assert torch.equal(first[1], again[1])


def test_too_few_pictures_leave_the_latent_alone(model: Model, header: Header) -> None:
    """An attribute needs three pictures without it for each of 6 + 2 numbers."""
    table = faces(header, 90)
    unit = calibration.calibrate_with_steps(model, table)
    assert not steps_of(model).any()
    assert unit == calibration.calibrate(model, table)


def test_an_attribute_that_stays_below_one_takes_no_step(
    model: Model, header: Header, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = Calibration((0.0, 0.0), (0.4, 0.5))
    monkeypatch.setattr(steps, "calibrate", lambda *args, **more: unit)
    calibration.calibrate_with_steps(model, faces(header))
    assert not steps_of(model)[0].any()
    assert steps_of(model)[1].any()


@pytest.mark.parametrize("erased", [False, True])
def test_without_an_erasure_it_is_the_unit_alone(header: Header, *, erased: bool) -> None:
    erasure = QuadraticErasure(header.model) if erased else None  # not fitted
    model = Model(SaturatingNet(erasure), header, torch.device("cpu"))  # type: ignore[arg-type]  # the same methods
    table = faces(header)
    assert calibration.calibrate_with_steps(model, table) == calibration.calibrate(model, table)
    assert erasure is None or not steps_of(model).any()


def test_the_test_part_is_not_looked_at(model: Model, header: Header) -> None:
    table = faces(header)
    split = {"train": table.splits["train"], "val": table.splits["val"][:80]}
    shorter = dataclasses.replace(table, splits=split | {"test": table.splits["val"][80:]})
    calibration.calibrate_with_steps(model, shorter)
    before = steps_of(model).clone()
    images = shorter.images.copy()
    images[shorter.splits["test"]] = 255 - images[shorter.splits["test"]]
    calibration.calibrate_with_steps(model, dataclasses.replace(shorter, images=images))
    assert torch.equal(steps_of(model), before)
