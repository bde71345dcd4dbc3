"""Folders of photographs as tables: rows are the faces that an edit of them would change."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from PIL import Image

from mddae_cli import images
from mddae_cli.align import mtcnn
from mddae_cli.align.framing import frame_faces
from mddae_cli.align.options import Align, AlignOptions
from mddae_cli.align.placement import place
from mddae_cli.data import Table, load_table
from mddae_cli.data.celeba import ASPECT, AUTHORS_CROP
from mddae_cli.errors import UsageError
from mddae_cli.header import Header


@pytest.fixture
def faces_header(tiny_header: Header) -> Header:
    preprocess = dataclasses.replace(
        tiny_header.preprocess, image_size=64, channels=3, crop=AUTHORS_CROP, crop_aspect=ASPECT
    )
    return dataclasses.replace(tiny_header, preprocess=preprocess, dataset="celeba")


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A photograph, its mirror image, one of CelebA's proportions, and one without a face."""
    folder = tmp_path / "album"
    folder.mkdir()
    photo = Image.fromarray(skimage.data.astronaut())
    pictures = {
        "photo.png": photo,
        "mirrored.png": photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        "portrait.png": photo.crop((140, 0, 318, 218)),
        "coffee.png": Image.fromarray(skimage.data.coffee()),
    }
    for name, picture in pictures.items():
        picture.save(folder / name)
    lines = [f"{name},{number % 2}" for number, name in enumerate(pictures)]
    (folder / "labels.csv").write_text("\n".join(["file,Smiling", *lines]))
    return folder


def load(album: Path, header: Header, options: AlignOptions, **more: Any) -> Table:
    return load_table(
        "folder",
        data_dir=album,
        csv=album / "labels.csv",
        framing=frame_faces(header, options),
        **more,
    )


def test_rows_are_what_the_model_is_shown_of_each_picture(
    album: Path, faces_header: Header, recorder: Any, cache: Path
) -> None:
    table = load(album, faces_header, AlignOptions(), reporter=recorder)
    assert table.files == ("mirrored.png", "photo.png", "portrait.png")
    assert table.preprocess == faces_header.preprocess
    for row, file in zip(table.images, table.files, strict=True):
        (placed, *_) = place(images.read_image(album / file), faces_header, AlignOptions())
        np.testing.assert_array_equal(row, placed.crop)
        assert (placed.face is None) == (file == "portrait.png")
    (line,) = recorder.lines
    assert line.startswith("1 of 4 pictures are left out: coffee.png: shows no face that is found")
    assert dict(table.skipped).keys() == {"coffee.png"}


def test_each_way_of_aligning_is_decoded_and_kept_by_itself(
    album: Path, faces_header: Header, cache: Path, recorder: Any
) -> None:
    never = AlignOptions(Align.NEVER)
    aligned = load(album, faces_header, AlignOptions()).images
    plain = load(album, faces_header, never, reporter=recorder)
    assert (len(aligned), len(plain.images)) == (3, 4)
    assert len(recorder.jobs) == 1
    load(album, faces_header, AlignOptions(), reporter=recorder)
    load(album, faces_header, never, reporter=recorder)
    assert len(recorder.jobs) == 1
    picture = images.read_image(album / "photo.png")
    wanted = images.fit(picture, faces_header.preprocess)
    np.testing.assert_array_equal(plain.images[plain.files.index("photo.png")], wanted)


def test_what_was_left_out_without_the_detector_is_there_once_it_is(
    album: Path, faces_header: Header, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("second.png", "third.png"):
        shutil.copy(album / "portrait.png", album / name)
        with (album / "labels.csv").open("a") as handle:
            handle.write(f"\n{name},1")
    mtcnn.weights_of.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(mtcnn, "is_installed", lambda: False)
        table = load(album, faces_header, AlignOptions())
        assert table.files == ("portrait.png", "second.png", "third.png")
        assert all("mddae[align]" in reason for _, reason in table.skipped)
        with pytest.raises(UsageError, match=r"mddae\[align\]"):
            frame_faces(faces_header, AlignOptions(Align.ALWAYS))
    assert len(load(album, faces_header, AlignOptions()).images) == 5


@pytest.mark.parametrize("dataset", ["digits", "mnist", "celeba"])
def test_only_a_folder_is_framed(dataset: str, faces_header: Header) -> None:
    with pytest.raises(UsageError, match=f"framing has no meaning for the data set {dataset}"):
        load_table(dataset, framing=frame_faces(faces_header))
