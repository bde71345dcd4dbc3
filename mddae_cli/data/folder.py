"""A folder of one's own: class sub-folders, or pictures with a CSV file of attributes.

Axes: N pictures, K classes or attributes.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from mddae_cli.config import Split, TargetKind
from mddae_cli.data.cache import Recipe, Skipped, cached, picture_blocks
from mddae_cli.data.table import (
    PARTS,
    Request,
    Splits,
    Table,
    refuse_options,
    select_attributes,
    tell_left_out,
    tenths_split,
)
from mddae_cli.errors import DatasetError, UsageError
from mddae_cli.header import Preprocess
from mddae_cli.images import FoundImage, find_images

_VALUES = {"1": 1, "0": 0, "-1": 0}
_LAYOUT = (
    "Wanted: a sub-folder with pictures for each of two classes or more (or these in train/, val/ "
    "and test/), or a csv file with a picture's path and its 0/1 attributes in each line."
)


@dataclass(frozen=True)
class _Labelled:
    """What is known before a picture is opened."""

    kind: TargetKind
    names: tuple[str, ...]
    labels: Mapping[str, Sequence[int]]  # per picture, K numbers
    unlabelled: tuple[Skipped, ...]
    parted: bool = False  # the paths begin with train/, val/ or test/


def load_folder(request: Request) -> Table:
    """Return the pictures of a folder with the labels that its sub-folders or a CSV file give.

    Raises:
        UsageError: If no folder is given, or an option does not fit its layout.
        DatasetError: If the folder or the CSV file is missing, or has no such layout.
    """
    if request.data_dir is None:
        raise UsageError("the data set folder needs data_dir: the folder with the pictures.")
    folder = request.data_dir
    if not folder.is_dir():
        raise DatasetError(f"{str(folder)!r} is no folder. {_LAYOUT}")
    found = find_images(folder)
    known = _from_csv(request, found) if request.csv else _from_sub_folders(request, found)
    files = tuple(file for file in found if file.path in known.labels)
    framing = request.framing
    preprocess = framing.preprocess if framing else Preprocess(request.image_size, 3, (-1.0, 1.0))
    variant = str(request.csv or "")
    recipe = Recipe("folder", folder, files, preprocess, len(files), variant, framing)
    entry = cached(recipe, lambda: picture_blocks(recipe), request.reporter)
    skipped = (*entry.skipped, *known.unlabelled)
    tell_left_out(skipped, len(found), request.reporter)
    broken = {path for path, _ in entry.skipped}
    rows = tuple(file.path for file in files if file.path not in broken)
    split, splits = _parts(known, rows, request)
    return Table(
        name="folder",
        images=entry.images,
        labels=np.array([known.labels[path] for path in rows], np.uint8),
        splits=splits,
        names=known.names,
        kind=known.kind,
        split=split.value,
        split_seed=request.split_seed,
        preprocess=preprocess,
        files=rows,
        skipped=skipped,
    )


def _from_sub_folders(request: Request, found: Sequence[FoundImage]) -> _Labelled:
    refuse_options("folder (with class sub-folders)", request, "attrs")
    tops = {file.path.split("/")[0] for file in found if "/" in file.path}
    parted = tops == set(PARTS)
    depth = 1 if parted else 0
    classes = {
        file.path: pieces[depth]
        for file in found
        if len(pieces := file.path.split("/")) > depth + 1
    }
    names = tuple(sorted(set(classes.values())))
    if len(names) < 2:
        raise DatasetError(
            f"{str(request.data_dir)!r} has {len(found)} pictures and {len(names)} class "
            f"sub-folders. {_LAYOUT}"
        )
    columns = {name: [int(name == other) for other in names] for name in names}
    return _Labelled(
        kind=TargetKind.CLASSES,
        names=names,
        labels={path: columns[name] for path, name in classes.items()},
        unlabelled=tuple((f.path, "in no class folder") for f in found if f.path not in classes),
        parted=parted,
    )


def _from_csv(request: Request, found: Sequence[FoundImage]) -> _Labelled:
    path = _csv_path(request)
    names, rows = read_attribute_csv(path)
    columns = select_attributes(request.attrs, names)
    on_disk = {file.path for file in found}
    labels = {p: [row[c] for c in columns] for p, row in rows.items() if p in on_disk}
    if not labels:
        raise DatasetError(
            f"none of the {len(rows)} pictures of {str(path)!r} is below "
            f"{str(request.data_dir)!r}: its first column holds paths relative to that folder."
        )
    absent = len(rows) - len(labels)
    if absent:
        request.reporter.noted(f"{absent:,} pictures of {path.name} are not on disk: left out.")
    return _Labelled(
        kind=TargetKind.ATTRIBUTES,
        names=tuple(names[column] for column in columns),
        labels=labels,
        unlabelled=tuple((p, f"no line in {path.name}") for p in sorted(on_disk - set(labels))),
    )


def _csv_path(request: Request) -> Path:
    """Return the CSV file as it was named, or as it lies in the folder."""
    given = request.csv or Path()
    for path in (given, (request.data_dir or Path()) / given):
        if path.is_file():
            return path
    raise DatasetError(f"csv {str(given)!r} does not exist, here or in the folder of pictures.")


def read_attribute_csv(path: Path) -> tuple[tuple[str, ...], dict[str, list[int]]]:
    """Return the attribute names and, per picture, its attributes (0 or 1).

    The file: a header row, then a path and a 0/1 or -1/1 for each attribute, comma separated.

    Raises:
        DatasetError: If a line is not of that form; it says which.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            lines = [(number, row) for number, row in enumerate(csv.reader(handle), 1) if row]
    except OSError as exc:
        raise DatasetError(f"{path} cannot be read: {exc.strerror}.") from exc
    except (UnicodeDecodeError, csv.Error) as exc:
        raise DatasetError(f"{path} is no CSV file in UTF-8: {exc}.") from exc
    if not lines or len(lines[0][1]) < 2:
        raise DatasetError(f"{path} must begin with a header: a path column, then attributes.")
    names = tuple(name.strip() for name in lines[0][1][1:])
    rows: dict[str, list[int]] = {}
    for number, row in lines[1:]:
        picture = PurePosixPath(row[0].strip().replace("\\", "/")).as_posix()
        if picture in rows:
            raise DatasetError(f"{path}, line {number}: {picture!r} stands there twice.")
        rows[picture] = _parse_values(row[1:], len(names), f"{path}, line {number}")
    return names, rows


def _parse_values(cells: Sequence[str], count: int, where: str) -> list[int]:
    if len(cells) != count:
        raise DatasetError(f"{where}: {len(cells)} values for {count} attributes.")
    try:
        return [_VALUES[cell.strip()] for cell in cells]
    except KeyError as exc:
        raise DatasetError(f"{where}: {exc.args[0]!r} is not 0, 1 or -1.") from exc


def _parts(known: _Labelled, rows: Sequence[str], request: Request) -> tuple[Split, Splits]:
    if not known.parted and request.split is Split.OFFICIAL:
        raise UsageError("this folder has no train/, val/ and test/: use split random.")
    if not known.parted or request.split is Split.RANDOM:
        return Split.RANDOM, tenths_split(len(rows), request.split_seed)
    tops = np.array([path.split("/")[0] for path in rows])
    splits = {name: np.flatnonzero(tops == name) for name in PARTS}
    for name, part in splits.items():
        if not part.size:
            raise DatasetError(f"no picture in {name}/ can be used. Use split random.")
    return Split.OFFICIAL, splits
