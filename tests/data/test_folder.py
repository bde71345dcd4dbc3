"""A folder of one's own: class sub-folders, ready-made parts, and CSV files of attributes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mddae_cli.config import Split, TargetKind
from mddae_cli.data import Table, load_table
from mddae_cli.errors import DatasetError, UnknownNameError, UsageError


def sizes(table: Table) -> dict[str, int]:
    return {name: len(part) for name, part in table.splits.items()}


def write_csv(folder: Path, text: str) -> Path:
    (folder / "labels.csv").write_text(text)
    return folder / "labels.csv"


def test_folder_takes_sub_folders_as_classes(make_classes: Callable[..., Path]) -> None:
    table = load_table("folder", data_dir=make_classes("dog", "cat", "ant"))
    assert table.names == ("ant", "cat", "dog")
    assert table.kind is TargetKind.CLASSES
    assert sizes(table) == {"train": 24, "val": 3, "test": 3}
    assert table.images.shape == (30, 64, 64, 3)
    assert table.preprocess.value_range == (-1.0, 1.0)
    for path, label in zip(table.files, table.labels, strict=True):
        assert table.names[label.argmax()] == path.split("/")[0]
        assert label.sum() == 1


def test_folder_fits_pictures_centrally(make_classes: Callable[..., Path]) -> None:
    folder = make_classes()
    table = load_table("folder", data_dir=folder, image_size=16)
    pixels = np.asarray(Image.open(folder / table.files[3]))  # 40 wide, 30 high
    wanted = Image.fromarray(pixels[:, 5:35]).resize((16, 16), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(table.images[3], np.asarray(wanted))


def test_folder_reads_grey_pictures_as_rgb(make_classes: Callable[..., Path]) -> None:
    folder = make_classes("a", "b", count=2)
    for path in folder.rglob("*.png"):
        Image.new("L", (8, 8), 77).save(path)
    table = load_table("folder", data_dir=folder, image_size=8)
    assert (table.images == 77).all()
    assert table.images.shape == (4, 8, 8, 3)


def test_folder_with_train_val_and_test_keeps_its_parts(
    tmp_path: Path, make_picture: Callable[..., None]
) -> None:
    for part, count in [("train", 4), ("val", 2), ("test", 1)]:
        for name in ("cat", "dog"):
            for i in range(count):
                make_picture(tmp_path / "set" / part / name / f"{i}.png", i, (8, 8))
    table = load_table("folder", data_dir=tmp_path / "set", image_size=8)
    assert (table.split, sizes(table)) == ("official", {"train": 8, "val": 4, "test": 2})
    assert table.names == ("cat", "dog")
    assert all(table.files[i].startswith("test/") for i in table.splits["test"])
    pooled = load_table("folder", data_dir=tmp_path / "set", image_size=8, split=Split.RANDOM)
    assert (pooled.split, sizes(pooled)) == ("random", {"train": 12, "val": 1, "test": 1})
    assert pooled.names == ("cat", "dog")


def test_folder_leaves_out_loose_and_broken_pictures_by_name(
    make_classes: Callable[..., Path], recorder: Any
) -> None:
    folder = make_classes()
    (folder / "loose.png").write_bytes((folder / "cat" / "1.png").read_bytes())
    (folder / "cat" / "0.png").write_text("no picture")
    table = load_table("folder", data_dir=folder, reporter=recorder)
    assert dict(table.skipped).keys() == {"cat/0.png", "loose.png"}
    assert "no picture in a known format" in dict(table.skipped)["cat/0.png"]
    assert len(table.images) == len(table.labels) == len(table.files) == 19
    assert recorder.lines[0].startswith("2 of 21 pictures are left out: cat/0.png")
    dogs = table.labels[:, 1].astype(bool)
    assert table.files[int(dogs.argmax())] == "dog/0.png"


def test_folder_reads_attributes_from_a_csv(
    make_classes: Callable[..., Path], recorder: Any
) -> None:
    folder = make_classes("a", "b", count=3)
    path = write_csv(
        folder,
        '\ufeff"file, below the folder",Red Hair,Old\n'
        "a/0.png,1,-1\na\\1.png,0,1\n./b/0.png, 1 ,1\n\nb/1.png,0,0\n"
        "gone.png,1,1\n",
    )
    table = load_table("folder", data_dir=folder, csv=path, reporter=recorder)
    assert table.kind is TargetKind.ATTRIBUTES
    assert table.names == ("Red Hair", "Old")
    assert table.files == ("a/0.png", "a/1.png", "b/0.png", "b/1.png")
    assert table.labels.tolist() == [[1, 0], [0, 1], [1, 1], [0, 0]]
    assert dict(table.skipped) == {
        "a/2.png": "no line in labels.csv",
        "b/2.png": "no line in labels.csv",
    }
    assert any("1 pictures of labels.csv are not on disk" in line for line in recorder.lines)
    one = load_table("folder", data_dir=folder, csv="labels.csv", attrs=["old"])
    assert (one.names, one.labels.ravel().tolist()) == (("Old",), [0, 1, 1, 0])
    with pytest.raises(UnknownNameError, match="attribute 'young' does not exist"):
        load_table("folder", data_dir=folder, csv=path, attrs=["young"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must begin with a header"),
        ("file\na/0.png\n", "must begin with a header"),
        ("file,x\na/0.png,2\n", "line 2: '2' is not 0, 1 or -1"),
        ("file,x\na/0.png,\n", "line 2: '' is not 0, 1 or -1"),
        ("file,x,y\na/0.png,1\n", "line 2: 1 values for 2 attributes"),
        ("file,x\na/0.png,1\na/0.png,0\n", "line 3: 'a/0.png' stands there twice"),
        ("file,x\nelsewhere/0.png,1\n", "none of the 1 pictures"),
    ],
)
def test_folder_names_what_is_wrong_in_a_csv(
    make_classes: Callable[..., Path], text: str, reason: str
) -> None:
    folder = make_classes("a", "b", count=2)
    with pytest.raises(DatasetError, match=reason):
        load_table("folder", data_dir=folder, csv=write_csv(folder, text))


def test_folder_refuses_a_csv_that_is_missing_or_no_text(make_classes: Callable[..., Path]) -> None:
    folder = make_classes("a", "b", count=2)
    with pytest.raises(DatasetError, match=r"csv 'gone\.csv' does not exist"):
        load_table("folder", data_dir=folder, csv="gone.csv")
    (folder / "bad.csv").write_bytes(b"file,x\n\xff\xfe,1\n")
    with pytest.raises(DatasetError, match="is no CSV file in UTF-8"):
        load_table("folder", data_dir=folder, csv="bad.csv")


def test_folder_says_which_layout_it_wants(
    tmp_path: Path, make_classes: Callable[..., Path]
) -> None:
    with pytest.raises(UsageError, match="folder needs data_dir"):
        load_table("folder")
    with pytest.raises(DatasetError, match=r"is no folder. Wanted: a sub-folder"):
        load_table("folder", data_dir=tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"10 pictures and 1 class sub-folders\. Wanted"):
        load_table("folder", data_dir=make_classes("only"))


def test_folder_refuses_options_that_do_not_fit_its_layout(
    make_classes: Callable[..., Path],
) -> None:
    folder = make_classes()
    with pytest.raises(UsageError, match=r"no train/, val/ and test/"):
        load_table("folder", data_dir=folder, split=Split.OFFICIAL)
    with pytest.raises(UsageError, match="attrs has no meaning"):
        load_table("folder", data_dir=folder, attrs=["cat"])


def test_folder_of_broken_pictures_alone_is_refused(
    make_classes: Callable[..., Path], cache: Path
) -> None:
    folder = make_classes(count=2)
    for path in folder.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"can be used\. The first: cat/0\.png: is empty"):
        load_table("folder", data_dir=folder)
    assert list(cache.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such file names")
def test_folder_reads_file_names_that_are_no_utf_8(make_classes: Callable[..., Path]) -> None:
    folder = make_classes()
    (folder / "cat" / "0.png").rename(folder / "cat" / os.fsdecode(b"\xff.png"))
    for _ in range(2):
        assert os.fsdecode(b"cat/\xff.png") in load_table("folder", data_dir=folder).files
