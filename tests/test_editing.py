"""Edits of the soft target: what is set, what is exchanged, and what stays."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from mddae_cli import checkpoint, editing
from mddae_cli.config import ModelKind, TargetKind
from mddae_cli.editing import Codes, Model
from mddae_cli.errors import UnknownNameError, UsageError
from mddae_cli.header import Header
from mddae_cli.images import fit, read_image, write_image
from mddae_cli.model import AutoEncoder

NAMES = ("Eyeglasses", "Pale_Skin", "Smiling")


def make_model(header: Header) -> Model:
    torch.manual_seed(0)
    return Model(AutoEncoder(header.model).eval(), header, torch.device("cpu"))


@pytest.fixture
def digits(tiny_header: Header) -> Model:
    return make_model(tiny_header)


@pytest.fixture
def faces(tiny_header: Header) -> Model:
    spec = dataclasses.replace(
        tiny_header.model, num_targets=3, target_kind=TargetKind.ATTRIBUTES, channels=3
    )
    pre = dataclasses.replace(tiny_header.preprocess, channels=3, value_range=(-1.0, 1.0))
    header = dataclasses.replace(
        tiny_header, model=spec, preprocess=pre, names=NAMES, base_rates=(0.5,) * 3
    )
    return make_model(header)


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)


def test_set_replaces_the_named_entries_alone() -> None:
    codes = Codes(torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]), torch.zeros(2, 4), NAMES)
    edited = codes.set({"pale skin": 1.7}, smiling=-1)
    torch.testing.assert_close(edited.y_hat, torch.tensor([[0.1, 1.7, -1.0], [0.4, 1.7, -1.0]]))
    assert codes.y_hat[0, 1] == pytest.approx(0.2)
    assert edited.z is codes.z


def test_set_of_an_unknown_name_gives_the_nearest() -> None:
    codes = Codes(torch.zeros(1, 3), torch.zeros(1, 4), NAMES)
    with pytest.raises(UnknownNameError, match="Did you mean Smiling"):
        codes.set(smilng=1.0)


def test_swap_exchanges_two_entries_and_keeps_the_sum() -> None:
    y_hat = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
    swapped = Codes(y_hat, torch.zeros(2, 4), ("0", "1", "2")).swap("2").y_hat
    torch.testing.assert_close(swapped, torch.tensor([[0.1, 0.2, 0.7], [0.1, 0.3, 0.6]]))
    torch.testing.assert_close(swapped.sum(dim=1), y_hat.sum(dim=1))


def test_edit_without_changes_is_the_reconstruction(faces: Model, picture: np.ndarray) -> None:
    fitted = fit(picture, faces.header.preprocess)[None]
    plain = editing.to_pixels(faces.reconstruct(fitted))[0]
    assert plain.shape == (28, 28, 3)
    np.testing.assert_array_equal(editing.edit_image(faces, picture, {}), plain)


def test_edit_changes_the_picture_and_more_so_further_out(
    faces: Model, picture: np.ndarray
) -> None:
    plain = editing.edit_image(faces, picture, {}).astype(int)
    change = [
        np.abs(editing.edit_image(faces, picture, {"Smiling": value}) - plain).mean()
        for value in (2.0, 20.0)
    ]
    assert 0 < change[0] < change[1]


def test_swap_class_gives_a_picture_of_the_models_size(digits: Model, picture: np.ndarray) -> None:
    assert editing.swap_class(digits, picture, "7").shape == (28, 28, 1)
    with pytest.raises(UnknownNameError, match="class '11'"):
        editing.swap_class(digits, picture, "11")


def test_wrong_kind_of_model_names_the_other_command(
    digits: Model, faces: Model, picture: np.ndarray
) -> None:
    with pytest.raises(UsageError, match="use mddae swap-class"):
        editing.edit_image(digits, picture, {})
    with pytest.raises(UsageError, match="use mddae edit"):
        editing.swap_class(faces, picture, "Smiling")


def test_plain_auto_encoder_cannot_edit(tiny_header: Header, picture: np.ndarray) -> None:
    spec = dataclasses.replace(tiny_header.model, kind=ModelKind.AE)
    model = make_model(dataclasses.replace(tiny_header, model=spec))
    with pytest.raises(UsageError, match="no soft target"):
        editing.swap_class(model, picture, "3")


def test_a_picture_comes_out_the_same_to_the_bit_in_any_company() -> None:
    model = editing.load("celeba64", device="cpu")
    images = np.random.default_rng(1).integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    together = model.encode(images)
    drawn = model.decode(together)
    for count in (1, 7, 33):
        some = model.encode(images[-count:])
        assert torch.equal(some.z, together.z[-count:])
        assert torch.equal(some.y_hat, together.y_hat[-count:])
        assert torch.equal(model.decode(some), drawn[-count:])


def test_no_picture_at_all_gives_no_codes(faces: Model) -> None:
    codes = faces.encode(np.zeros((0, 28, 28, 3), np.uint8))
    assert (len(codes.y_hat), len(codes.z), len(faces.decode(codes))) == (0, 0, 0)


def test_load_takes_a_file_and_a_run_folder(tmp_path: Path, tiny_header: Header) -> None:
    file = tmp_path / "model.safetensors"
    checkpoint.save(file, AutoEncoder(tiny_header.model), tiny_header)
    assert editing.load(file, "cpu").names == editing.load(tmp_path, "cpu").names


def test_pictures_of_another_shape_are_refused(faces: Model) -> None:
    with pytest.raises(ValueError, match="uint8"):
        faces.encode(np.zeros((1, 28, 28, 1), dtype=np.uint8))


def test_edit_takes_files_and_saves_what_edit_image_gives(
    faces: Model, picture: np.ndarray, tmp_path: Path
) -> None:
    write_image(tmp_path / "in.png", picture)
    checkpoint.save(tmp_path / "model.safetensors", faces.net, faces.header)
    editing.edit(tmp_path / "in.png", tmp_path, smiling=1.5).save(tmp_path / "out.png")
    wanted = editing.edit_image(faces, picture, {"Smiling": 1.5})
    np.testing.assert_array_equal(read_image(tmp_path / "out.png"), wanted)
