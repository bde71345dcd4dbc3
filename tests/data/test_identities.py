"""CelebA's identity file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mddae_cli import data
from mddae_cli.data.identities import IDENTITIES, identities_of
from mddae_cli.errors import DatasetError


def test_rows_get_their_people_wherever_the_file_lies(
    make_celeba: Callable[..., Path], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_celeba(12)
    table = data.load_table("celeba", data_dir=folder, image_size=28)
    assert identities_of(table, folder) is None
    names = [Path(file).name for file in table.files]
    lines = [f"{name} {7 * i}" for i, name in enumerate(names[:-1])]
    (folder / IDENTITIES).write_text("\n".join([*lines, ""]), encoding="utf-8")
    expected = [7 * i for i in range(11)] + [-1]
    assert identities_of(table, folder).tolist() == expected
    assert identities_of(table) is None
    monkeypatch.setenv("MDDAE_DATA", str(folder))
    assert identities_of(table).tolist() == expected


def test_a_broken_line_is_named(make_celeba: Callable[..., Path], cache: Path) -> None:
    folder = make_celeba(12)
    table = data.load_table("celeba", data_dir=folder, image_size=28)
    (folder / IDENTITIES).write_text("000001.jpg 5\n000002.jpg\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="line 2: expected a picture and a number"):
        identities_of(table, folder)
