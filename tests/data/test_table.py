"""Splits, labels and base rates of a table, and what load_table refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mddae_cli.config import DATASET_DEFAULTS, Split, TargetKind
from mddae_cli.data import load_table
from mddae_cli.data.table import (
    Table,
    one_hot,
    random_split,
    select_attributes,
    tell_left_out,
    tenths_split,
)
from mddae_cli.errors import DatasetError, UnknownNameError, UsageError
from mddae_cli.header import Preprocess


def test_random_split_parts_every_row_once() -> None:
    splits = random_split(100, 3, 20, 10)
    assert {name: len(part) for name, part in splits.items()} == {
        "train": 70,
        "val": 20,
        "test": 10,
    }
    assert sorted(np.concatenate(list(splits.values())).tolist()) == list(range(100))
    assert all(part.dtype == np.int64 for part in splits.values())


def test_random_split_depends_on_the_seed_alone() -> None:
    first, again, other = (random_split(50, seed, 5, 5)["train"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.tolist() != other.tolist()


def test_tenths_split_gives_small_sets_a_picture_in_each_part() -> None:
    assert {name: len(part) for name, part in tenths_split(3, 0).items()} == {
        "train": 1,
        "val": 1,
        "test": 1,
    }
    with pytest.raises(DatasetError, match="2 pictures are too few"):
        tenths_split(2, 0)


def test_one_hot_sets_one_column_per_row() -> None:
    labels = one_hot(np.array([2, 0]), 3)
    assert labels.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert labels.dtype == np.uint8


@pytest.fixture
def two_labels() -> Table:
    return Table(
        name="x",
        images=np.zeros((4, 1, 1, 1), np.uint8),
        labels=np.array([[1, 0], [1, 1], [0, 1], [0, 1]], np.uint8),
        splits={"train": np.array([0, 1]), "val": np.array([2]), "test": np.array([3])},
        names=("a", "b"),
        kind=TargetKind.ATTRIBUTES,
        split="random",
        split_seed=0,
        preprocess=Preprocess(1, 1, (0.0, 1.0)),
    )


def test_base_rates_are_the_label_means_of_the_training_part_alone(two_labels: Table) -> None:
    assert two_labels.base_rates == (1.0, 0.5)


def test_narrowed_keeps_the_rows_of_one_part_whose_labels_are_as_wanted(two_labels: Table) -> None:
    women = two_labels.narrowed("train", {"B": 0})
    assert women.splits["train"].tolist() == [0]
    assert women.splits["val"].tolist() == [2]
    assert two_labels.narrowed("train", {"a": 1, "b": 1}).splits["train"].tolist() == [1]
    assert two_labels.splits["train"].tolist() == [0, 1]


def test_narrowed_to_nothing_or_by_an_unknown_name_is_refused(two_labels: Table) -> None:
    with pytest.raises(DatasetError, match="no picture of the test part has a=1, b=1"):
        two_labels.narrowed("test", {"a": 1, "b": 1})
    with pytest.raises(UnknownNameError, match="label 'c' does not exist"):
        two_labels.narrowed("test", {"c": 1})


def test_select_attributes_forgives_spelling_and_keeps_the_wanted_order() -> None:
    known = ["Bald", "No_Beard", "Smiling"]
    assert select_attributes(["smiling", "no beard"], known) == [2, 1]
    assert select_attributes(None, known) == [0, 1, 2]
    with pytest.raises(UnknownNameError, match=r"'Smilling' does not exist. Did you mean Smiling"):
        select_attributes(["Smilling"], known)
    with pytest.raises(UsageError, match="Bald is given twice"):
        select_attributes(["Bald", "bald"], known)
    with pytest.raises(UsageError, match="attrs is empty"):
        select_attributes([], known)


def test_tell_left_out_names_three_in_one_line(recorder: Any) -> None:
    tell_left_out([], 9, recorder)
    assert recorder.lines == []
    tell_left_out([(f"{i}.jpg", "is empty (0 bytes).") for i in range(4)], 9, recorder)
    (line,) = recorder.lines
    assert line.startswith("4 of 9 pictures are left out: 0.jpg: is empty (0 bytes); 1.jpg")
    assert "2.jpg" in line
    assert "3.jpg" not in line


def test_load_table_knows_every_data_set_that_has_defaults() -> None:
    with pytest.raises(UnknownNameError, match=r"'minst' does not exist. Did you mean mnist") as e:
        load_table("minst")
    assert all(name in str(e.value) for name in DATASET_DEFAULTS)


@pytest.mark.parametrize("size", [0, -1, 5000])
def test_load_table_refuses_an_impossible_image_size(size: int) -> None:
    with pytest.raises(UsageError, match=f"image_size = {size} must lie between"):
        load_table("digits", image_size=size)


def test_load_table_cuts_the_training_part_to_the_limit(make_classes: Callable[..., Path]) -> None:
    folder = make_classes()
    whole = load_table("folder", data_dir=folder)
    table = load_table("folder", data_dir=folder, limit=5)
    np.testing.assert_array_equal(table.splits["train"], whole.splits["train"][:5])
    np.testing.assert_array_equal(table.splits["test"], whole.splits["test"])
    assert len(load_table("folder", data_dir=folder, limit=999).splits["train"]) == 16
    with pytest.raises(UsageError, match="limit = 0"):
        load_table("folder", data_dir=folder, limit=0)


def test_loading_pictures_imports_neither_torch_nor_sklearn(
    make_classes: Callable[..., Path],
) -> None:
    code = (
        "import sys; from mddae_cli.data import load_table; "
        f"load_table('folder', data_dir={str(make_classes())!r}); "
        "print([m for m in ('torch', 'torchvision', 'sklearn', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_split_auto_is_the_default() -> None:
    assert load_table("digits").split == Split.RANDOM
