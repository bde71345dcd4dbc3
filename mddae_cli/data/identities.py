"""Who is in a picture: CelebA's identity file, which comes beside the attributes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from mddae_cli.data.table import Indexes, Table
from mddae_cli.errors import DatasetError

IDENTITIES = "identity_CelebA.txt"


def identities_of(table: Table, data_dir: str | Path | None = None) -> Indexes | None:
    """Return the person in each row, −1 where nobody knows; None without an identity file.

    Args:
        table: A table whose rows are files.
        data_dir: Where the data set lies; else below ``MDDAE_DATA``.

    Raises:
        DatasetError: If the file has a line that is not a picture and a number.
    """
    path = find_identities(data_dir)
    if path is None or not table.files:
        return None
    known = read_identities(path)
    return np.array([known.get(Path(file).name, -1) for file in table.files], dtype=np.int64)


def find_identities(data_dir: str | Path | None = None) -> Path | None:
    """Return the identity file of a data folder, or of its ``celeba`` folder, if there is one."""
    root = data_dir or os.environ.get("MDDAE_DATA")
    if root is None:
        return None
    places = [Path(root).expanduser() / IDENTITIES, Path(root).expanduser() / "celeba" / IDENTITIES]
    return next((path for path in places if path.is_file()), None)


def read_identities(path: Path) -> dict[str, int]:
    """Return the person's number of each picture of an identity file.

    Raises:
        DatasetError: If a line is not a picture and a number; it says which.
    """
    people: dict[str, int] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        match line.split():
            case []:
                continue
            case [picture, person] if person.isdigit():
                people[picture] = int(person)
            case _:
                raise DatasetError(f"{path}, line {number}: expected a picture and a number.")
    return people
