"""CelebA in its own layout; any subset of its pictures will do (N pictures, K attributes)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mddae_cli.config import Crop, Split, TargetKind
from mddae_cli.data.cache import Recipe, cached, picture_blocks
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
from mddae_cli.errors import DatasetError
from mddae_cli.header import Preprocess
from mddae_cli.images import find_images
from mddae_cli.reporting import Reporter

PICTURES = "img_align_celeba"
ATTRIBUTES = "list_attr_celeba.txt"
PARTITION = "list_eval_partition.txt"
# Columns 15 to 163 and rows 40 to 188 of 178×218: the authors' later code, CDNet.
AUTHORS_CROP = (15 / 178, 40 / 218, 163 / 178, 188 / 218)
ASPECT = 178 / 218
_VALUES = {"1": 1, "-1": 0, "0": 0}

Labels = dict[str, list[int]]


def load_celeba(request: Request) -> Table:
    """Return the faces that are on disk and labelled, in the official parts where they are known.

    Raises:
        DatasetError: If files are missing or damaged.
        UnknownNameError: If an attribute does not exist.
    """
    refuse_options("celeba", request, "csv", "framing")
    folder = _find_folder(request.data_dir)
    names, labels = read_attributes(folder / ATTRIBUTES)
    columns = select_attributes(request.attrs, names)
    found = find_images(folder / PICTURES)
    files = tuple(file for file in found if file.path in labels)
    if not files:
        raise DatasetError(
            f"none of the {len(found)} pictures in {str(folder / PICTURES)!r} is named in "
            f"{ATTRIBUTES}. {_LAYOUT}"
        )
    preprocess = _preprocess(request)
    recipe = Recipe("celeba", folder / PICTURES, files, preprocess, rows=len(files))
    entry = cached(recipe, lambda: picture_blocks(recipe), request.reporter)
    unlabelled = [(f.path, f"no line in {ATTRIBUTES}") for f in found if f.path not in labels]
    skipped = (*entry.skipped, *unlabelled)
    tell_left_out(skipped, len(found), request.reporter)
    _tell_absent(len(labels) - len(files), request.reporter)
    broken = {path for path, _ in entry.skipped}
    rows = [file.path for file in files if file.path not in broken]
    split, splits = _parts(folder / PARTITION, rows, request)
    return Table(
        name="celeba",
        images=entry.images,
        labels=np.array([labels[path] for path in rows], np.uint8)[:, columns],
        splits=splits,
        names=tuple(names[column] for column in columns),
        kind=TargetKind.ATTRIBUTES,
        split=split.value,
        split_seed=request.split_seed,
        preprocess=preprocess,
        files=tuple(f"{PICTURES}/{path}" for path in rows),
        skipped=tuple((f"{PICTURES}/{path}", reason) for path, reason in skipped),
    )


def _preprocess(request: Request) -> Preprocess:
    cropped = request.crop is Crop.AUTHORS
    return Preprocess(
        image_size=request.image_size,
        channels=3,
        value_range=(-1.0, 1.0),
        crop=AUTHORS_CROP if cropped else None,
        crop_aspect=ASPECT if cropped else None,
    )


_LAYOUT = (
    f"Wanted in one folder: {PICTURES}/ with the aligned pictures (000001.jpg and so on) and "
    f"{ATTRIBUTES}; {PARTITION} for the official parts."
)


def _find_folder(data_dir: Path | None) -> Path:
    root = data_dir or (Path(given) if (given := os.environ.get("MDDAE_DATA")) else None)
    if root is None:
        raise DatasetError(f"CelebA: no folder is given (data_dir, or MDDAE_DATA).\n{_LAYOUT}")
    for folder in (root, root / "celeba"):
        missing = [name for name in (PICTURES, ATTRIBUTES) if not (folder / name).exists()]
        if not missing:
            return folder
        if len(missing) == 1:
            raise DatasetError(f"CelebA in {str(folder)!r} lacks {missing[0]}.\n{_LAYOUT}")
    raise DatasetError(f"CelebA was not found in {str(root)!r}.\n{_LAYOUT}")


def read_attributes(path: Path) -> tuple[tuple[str, ...], Labels]:
    """Return the attribute names and the labels (0 or 1) of each picture of an attribute file.

    The file: the number of pictures, the names, then per picture its name and 1 or -1 for each.

    Raises:
        DatasetError: If a line is not of that form; it says which.
    """
    lines = _read_lines(path)
    if len(lines) < 2 or not lines[0].strip().isdigit():
        raise DatasetError(f"{path} must begin with a count and a line of attribute names.")
    names = tuple(lines[1].split())
    labels: Labels = {}
    for number, line in enumerate(lines[2:], start=3):
        picture, *values = line.split() or [""]
        try:
            row = [_VALUES[value] for value in values]
        except KeyError as exc:
            raise DatasetError(f"{path}, line {number}: {exc.args[0]!r} is not 1 or -1.") from exc
        if picture and len(row) != len(names):
            raise DatasetError(f"{path}, line {number}: {len(row)} values, not {len(names)}.")
        if picture:
            labels[picture] = row
    return names, labels


def read_partition(path: Path) -> dict[str, int]:
    """Return the part (0 train, 1 val, 2 test) of each picture of a partition file.

    Raises:
        DatasetError: If a line is not a name and a part; it says which.
    """
    parts: dict[str, int] = {}
    for number, line in enumerate(_read_lines(path), start=1):
        match line.split():
            case []:
                continue
            case [picture, ("0" | "1" | "2") as part]:
                parts[picture] = int(part)
            case _:
                raise DatasetError(f"{path}, line {number}: expected a picture and 0, 1 or 2.")
    return parts


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError as exc:
        raise DatasetError(f"{path} cannot be read: {exc.strerror}.") from exc
    except UnicodeDecodeError as exc:
        raise DatasetError(f"{path} is no text file.") from exc


def _parts(path: Path, rows: Sequence[str], request: Request) -> tuple[Split, Splits]:
    """Return the partition and which kind it is."""
    if request.split is Split.RANDOM or (request.split is Split.AUTO and not path.exists()):
        return Split.RANDOM, tenths_split(len(rows), request.split_seed)
    parts = read_partition(path)
    splits = _official(parts, rows)
    empty = [name for name in PARTS if not splits[name].size]
    if not empty:
        return Split.OFFICIAL, splits
    fact = f"{PARTITION} puts none of the pictures on disk into {' and '.join(empty)}"
    if request.split is Split.OFFICIAL:
        raise DatasetError(f"{fact}. Use split random, or add pictures.")
    request.reporter.noted(f"{fact}: the parts are drawn by split seed {request.split_seed}.")
    return Split.RANDOM, tenths_split(len(rows), request.split_seed)


def _official(parts: Mapping[str, int], rows: Sequence[str]) -> Splits:
    numbers = np.array([parts.get(path, -1) for path in rows])
    return {name: np.flatnonzero(numbers == part) for part, name in enumerate(PARTS)}


def _tell_absent(count: int, reporter: Reporter) -> None:
    if count:
        reporter.noted(f"{count:,} pictures of {ATTRIBUTES} are not on disk: left out.")
