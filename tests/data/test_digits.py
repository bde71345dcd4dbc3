"""The embedded digits: shapes, split, and their values against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from mddae_cli.config import Split, TargetKind
from mddae_cli.data import load_table
from mddae_cli.errors import UsageError


def test_digits_are_a_table_of_28_pixels_in_80_10_10() -> None:
    table = load_table("digits")
    assert table.images.shape == (1797, 28, 28, 1)
    assert table.images.dtype == np.uint8
    assert not table.images.flags.writeable
    assert {name: len(part) for name, part in table.splits.items()} == {
        "train": 1439,
        "val": 179,
        "test": 179,
    }
    assert table.names == tuple("0123456789")
    assert table.kind is TargetKind.CLASSES
    assert (table.labels.sum(axis=1) == 1).all()
    assert table.preprocess.value_range == (0.0, 1.0)
    assert (table.files, table.skipped) == ((), ())


def test_digits_keep_pixels_and_classes_at_their_own_size() -> None:
    table = load_table("digits", image_size=8)
    planes, classes = load_digits(return_X_y=True)
    np.testing.assert_array_equal(
        table.images[..., 0], np.rint(planes.reshape(-1, 8, 8) * 255 / 16)
    )
    np.testing.assert_array_equal(table.labels.argmax(axis=1), classes)


def test_digits_depend_on_the_split_seed() -> None:
    first, second = (load_table("digits", split_seed=seed) for seed in (0, 1))
    assert first.splits["test"].tolist() != second.splits["test"].tolist()
    assert second.split_seed == 1


def test_digits_refuse_what_they_do_not_have() -> None:
    with pytest.raises(UsageError, match="no official split"):
        load_table("digits", split=Split.OFFICIAL)
    with pytest.raises(UsageError, match="attrs has no meaning for the data set digits"):
        load_table("digits", attrs=["Smiling"])
