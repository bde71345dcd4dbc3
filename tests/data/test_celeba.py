"""CelebA's layout: parts, attributes, crops, subsets, and every way to be incomplete."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mddae_cli.config import Crop, Split, TargetKind
from mddae_cli.data import Table, load_table
from mddae_cli.errors import DatasetError, UnknownNameError, UsageError


def sizes(table: Table) -> dict[str, int]:
    return {name: len(part) for name, part in table.splits.items()}


def test_celeba_follows_the_official_partition(make_celeba: Callable[..., Path]) -> None:
    table = load_table("celeba", data_dir=make_celeba(20))
    assert table.split == "official"
    assert table.splits["val"].tolist() == [12, 13, 14, 15]
    assert sizes(table) == {"train": 12, "val": 4, "test": 4}
    assert table.kind is TargetKind.ATTRIBUTES
    assert table.images.shape == (20, 64, 64, 3)
    assert table.preprocess.value_range == (-1.0, 1.0)
    assert table.files[0] == "img_align_celeba/000001.jpg"


def test_celeba_without_a_partition_is_parted_by_the_seed(make_celeba: Callable[..., Path]) -> None:
    folder = make_celeba(20, partition=False)
    table = load_table("celeba", data_dir=folder)
    assert (table.split, sizes(table)) == ("random", {"train": 16, "val": 2, "test": 2})
    other = load_table("celeba", data_dir=folder, split_seed=7)
    assert other.splits["train"].tolist() != table.splits["train"].tolist()
    with pytest.raises(DatasetError, match=r"list_eval_partition\.txt cannot be read"):
        load_table("celeba", data_dir=folder, split=Split.OFFICIAL)


def test_celeba_can_be_parted_at_random_despite_its_partition(
    make_celeba: Callable[..., Path],
) -> None:
    table = load_table("celeba", data_dir=make_celeba(20), split=Split.RANDOM)
    assert (table.split, sizes(table)) == ("random", {"train": 16, "val": 2, "test": 2})


def test_celeba_labels_are_those_of_the_attribute_file(make_celeba: Callable[..., Path]) -> None:
    table = load_table("celeba", data_dir=make_celeba(20))
    wanted = np.random.default_rng(0).choice(["1", "-1"], (20, 5)) == "1"
    np.testing.assert_array_equal(table.labels, wanted)
    assert table.names == ("Bald", "Bangs", "Eyeglasses", "No_Beard", "Smiling")
    assert table.base_rates == pytest.approx(wanted[:12].mean(axis=0))


def test_celeba_selects_and_orders_attributes(make_celeba: Callable[..., Path]) -> None:
    folder = make_celeba(20)
    table = load_table("celeba", data_dir=folder, attrs=["smiling", "no beard"])
    assert table.names == ("Smiling", "No_Beard")
    np.testing.assert_array_equal(
        table.labels, load_table("celeba", data_dir=folder).labels[:, [4, 3]]
    )
    with pytest.raises(
        UnknownNameError, match=r"'Eyeglases' does not exist. Did you mean Eyeglass"
    ):
        load_table("celeba", data_dir=folder, attrs=["Eyeglases"])


def test_celeba_rows_are_the_authors_crop_or_the_central_square(
    make_celeba: Callable[..., Path],
) -> None:
    folder = make_celeba(6)
    pixels = np.asarray(Image.open(folder / "img_align_celeba" / "000003.jpg"))
    for crop, square in [(Crop.AUTHORS, pixels[40:188, 15:163]), (Crop.FULL, pixels[20:198])]:
        wanted = Image.fromarray(square).resize((32, 32), Image.Resampling.BICUBIC)
        table = load_table("celeba", data_dir=folder, image_size=32, crop=crop)
        np.testing.assert_array_equal(table.images[2], np.asarray(wanted))


@pytest.mark.parametrize("give", ["folder", "parent", "environment"])
def test_celeba_is_found(
    make_celeba: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, give: str
) -> None:
    folder = make_celeba(6)
    monkeypatch.setenv("MDDAE_DATA", str(folder.parent if give == "environment" else "/nowhere"))
    data_dir = {"folder": folder, "parent": folder.parent, "environment": None}[give]
    assert len(load_table("celeba", data_dir=data_dir).images) == 6


def test_celeba_takes_any_subset_and_counts_what_is_absent(
    make_celeba: Callable[..., Path], recorder: Any
) -> None:
    folder = make_celeba(20)
    for number in (2, 14, 20):
        (folder / "img_align_celeba" / f"{number:06}.jpg").unlink()
    table = load_table("celeba", data_dir=folder, reporter=recorder)
    assert len(table.images) == len(table.labels) == len(table.files) == 17
    assert sizes(table) == {"train": 11, "val": 3, "test": 3}
    assert any("3 pictures of list_attr_celeba.txt are not on disk" in x for x in recorder.lines)
    whole = np.random.default_rng(0).choice(["1", "-1"], (20, 5)) == "1"
    np.testing.assert_array_equal(table.labels[1], whole[2])  # row 1 is picture 000003


def test_celeba_leaves_out_unlabelled_and_broken_pictures_by_name(
    make_celeba: Callable[..., Path], recorder: Any, make_picture: Callable[..., None]
) -> None:
    folder = make_celeba(20)
    pictures = folder / "img_align_celeba"
    make_picture(pictures / "999999.jpg", 0)
    (pictures / "000002.jpg").write_bytes(b"")
    for _ in range(2):  # built, then from the cache
        recorder.lines.clear()
        table = load_table("celeba", data_dir=folder, reporter=recorder)
        assert dict(table.skipped) == {
            "img_align_celeba/000002.jpg": "is empty (0 bytes).",
            "img_align_celeba/999999.jpg": "no line in list_attr_celeba.txt",
        }
        assert recorder.lines[0].startswith("2 of 21 pictures are left out: 000002.jpg: is empty")
        assert len(table.images) == len(table.labels) == len(table.files) == 19
        assert "img_align_celeba/000002.jpg" not in table.files
        assert sizes(table) == {"train": 11, "val": 4, "test": 4}


def test_celeba_pictures_without_a_part_are_in_none(make_celeba: Callable[..., Path]) -> None:
    folder = make_celeba(20)
    path = folder / "list_eval_partition.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    table = load_table("celeba", data_dir=folder)
    assert sizes(table) == {"train": 11, "val": 4, "test": 4}
    assert 0 not in table.splits["train"]


def test_celeba_subset_without_test_pictures_falls_back_to_the_seed(
    make_celeba: Callable[..., Path], recorder: Any
) -> None:
    folder = make_celeba(20)
    for number in range(17, 21):
        (folder / "img_align_celeba" / f"{number:06}.jpg").unlink()
    table = load_table("celeba", data_dir=folder, reporter=recorder)
    assert (table.split, sizes(table)) == ("random", {"train": 14, "val": 1, "test": 1})
    assert any("none of the pictures on disk into test" in line for line in recorder.lines)
    with pytest.raises(DatasetError, match=r"into test. Use split random"):
        load_table("celeba", data_dir=folder, split=Split.OFFICIAL)


def test_celeba_missing_says_which_files_to_put_where(
    make_celeba: Callable[..., Path], tmp_path: Path
) -> None:
    wanted = r"img_align_celeba/[\s\S]*list_attr_celeba\.txt[\s\S]*list_eval_partition\.txt"
    with pytest.raises(DatasetError, match=f"no folder is given[\\s\\S]*{wanted}"):
        load_table("celeba")
    with pytest.raises(DatasetError, match=f"was not found in[\\s\\S]*{wanted}"):
        load_table("celeba", data_dir=tmp_path)
    folder = make_celeba(6)
    (folder / "list_attr_celeba.txt").unlink()
    with pytest.raises(DatasetError, match=f"lacks list_attr_celeba.txt[\\s\\S]*{wanted}"):
        load_table("celeba", data_dir=folder)


def test_celeba_without_a_single_labelled_picture_is_refused(
    make_celeba: Callable[..., Path],
) -> None:
    folder = make_celeba(6)
    for path in (folder / "img_align_celeba").iterdir():
        path.unlink()
    with pytest.raises(DatasetError, match="none of the 0 pictures"):
        load_table("celeba", data_dir=folder)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must begin with a count"),
        ("image_id,Bald\n1.jpg,1\n", "must begin with a count"),
        ("1\nBald Bangs\n000001.jpg 1\n", "line 3: 1 values, not 2"),
        ("1\nBald Bangs\n000001.jpg 1 2\n", "line 3: '2' is not 1 or -1"),
    ],
)
def test_celeba_names_the_damaged_line_of_the_attributes(
    make_celeba: Callable[..., Path], text: str, reason: str
) -> None:
    folder = make_celeba(6)
    (folder / "list_attr_celeba.txt").write_text(text)
    with pytest.raises(DatasetError, match=reason):
        load_table("celeba", data_dir=folder)


def test_celeba_names_what_is_damaged_in_the_lists(make_celeba: Callable[..., Path]) -> None:
    folder = make_celeba(6)
    (folder / "list_eval_partition.txt").write_text("000001.jpg 0\n000002.jpg 5\n")
    with pytest.raises(DatasetError, match=r"list_eval_partition\.txt, line 2: expected"):
        load_table("celeba", data_dir=folder)
    (folder / "list_attr_celeba.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="is no text file"):
        load_table("celeba", data_dir=folder)


def test_celeba_refuses_a_csv(make_celeba: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match="csv has no meaning"):
        load_table("celeba", data_dir=make_celeba(6), csv="labels.csv")


@pytest.mark.data
def test_celeba_has_its_counts_parts_and_base_rates(data_root: Path) -> None:
    table = load_table("celeba", data_dir=data_root)
    assert sizes(table) == {"train": 19_000, "val": 1_600, "test": 2_000}
    assert table.split == "official"
    assert len(table.names) == 40
    assert table.skipped == ()
    test = dict(zip(table.names, table.labels[table.splits["test"]].mean(axis=0), strict=True))
    assert test["Eyeglasses"] == pytest.approx(0.065, abs=0.01)
    assert test["Smiling"] == pytest.approx(0.50, abs=0.02)


@pytest.mark.data
def test_celeba_loads_from_the_cache_with_little_work_for_each_picture(data_root: Path) -> None:
    """In calls of Python functions, which are as many on every machine; 13 of them now."""
    load_table("celeba", data_dir=data_root)
    calls = 0

    def profile(frame: object, event: str, arg: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(profile)
    try:
        table = load_table("celeba", data_dir=data_root)
    finally:
        sys.setprofile(None)
    assert calls < 20 * len(table.images)
