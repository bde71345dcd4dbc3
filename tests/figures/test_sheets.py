"""What the cells of sheets show, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mddae_cli import figures
from mddae_cli.editing import Model
from mddae_cli.errors import ImageError, UnknownNameError, UsageError
from mddae_cli.figures import ClassFigure, Style, Sweep, SweepFigure, class_sheet, sweep
from mddae_cli.figures.cells import decode_variants
from mddae_cli.figures.sheets import read_cells

SMILING = Sweep("Smiling", (0.0, 1.0, 2.5))
BANGS = Sweep("Bangs", (0.0, 2.0))


@pytest.fixture
def picture() -> np.ndarray:
    return np.full((40, 30, 3), 200, np.uint8)


def shades(cells: object) -> list[int]:
    return [int(cell.mean()) for cell in cells]  # type: ignore[attr-defined]


def test_a_strip_shows_original_reconstruction_and_values(
    faces: Model, picture: np.ndarray
) -> None:
    figure = SweepFigure((SMILING,))
    (row,) = figure.rows(read_cells(picture, faces, figure))
    assert shades(row.cells) == [200, 110, 100, 110, 125]
    assert row.headings == (
        "original", "reconstruction", "Smiling=0", "Smiling=1", "Smiling=2.5",
    )  # fmt: skip
    assert figure.labels == row.headings[1:]
    assert figure.shape == (1, 5)


def test_two_sweeps_make_a_grid_with_the_first_down(faces: Model, picture: np.ndarray) -> None:
    figure = SweepFigure((SMILING, BANGS))
    first, *rows = figure.rows(read_cells(picture, faces, figure), "a.png")
    assert (shades(first.cells), first.label) == ([200, 110], "a.png")
    assert [shades(row.cells) for row in rows] == [[0, 200], [10, 210], [25, 225]]
    assert [row.label for row in rows] == ["Smiling=0", "Smiling=1", "Smiling=2.5"]
    assert {row.headings for row in rows} == {("Bangs=0", "Bangs=2")}
    assert figure.labels[:3] == ("reconstruction", "Smiling=0,Bangs=0", "Smiling=0,Bangs=2")
    assert figure.shape == (4, 2)


def test_other_changes_are_in_every_swept_cell_and_not_in_the_reconstruction(
    faces: Model, picture: np.ndarray
) -> None:
    for figure in (
        SweepFigure((SMILING,), values={"Bangs": 0.0}),
        SweepFigure((SMILING,), deltas={"Bangs": -1.0}),
    ):
        assert shades(read_cells(picture, faces, figure).variants) == [110, 0, 10, 25]


def test_a_class_sheet_shows_the_original_and_every_class(
    digits: Model, picture: np.ndarray
) -> None:
    figure = ClassFigure(digits.names)
    (row,) = figure.rows(read_cells(picture, digits, figure))
    assert row.headings == ("original", "0", "1", "2")
    # ŷ is (1, 1, 0): swapped with itself, with an equal, with the third entry.
    assert shades(row.cells) == [200, 110, 110, 100]
    assert figure.shape == (1, 4)


def test_many_variants_are_decoded_in_batches(faces: Model, picture: np.ndarray) -> None:
    figure = SweepFigure((Sweep("Smiling", tuple(map(float, range(150)))),))
    codes = faces.encode(np.zeros((1, 28, 28, 3), np.uint8))
    assert len(decode_variants(faces, codes, figure)) == 151
    assert faces.batches == [64, 64, 23]  # type: ignore[attr-defined]


def test_sweep_of_several_files_is_a_row_each_with_its_name(
    faces: Model, picture: np.ndarray, tmp_path: Path
) -> None:
    from mddae_cli.images import write_image

    files = [tmp_path / "a.png", tmp_path / "b.png"]
    for file in files:
        write_image(file, picture)
    one = sweep(files[0], {"smiling": [0, 1]}, faces, style=Style(1)).pixels
    two = sweep(files, {"smiling": [0, 1]}, faces, style=Style(1)).pixels
    assert len(two) == len(one) + 28 + 6
    assert two.shape[1] > one.shape[1]
    np.testing.assert_array_equal(
        one, sweep(picture, {"Smiling": [0, 1]}, faces, style=Style(1)).pixels
    )


def test_what_sweeps_contradict_is_refused(faces: Model, picture: np.ndarray) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean Smiling"):
        sweep(picture, {"Smilng": [0]}, faces)
    with pytest.raises(UsageError, match="Smiling is swept and changed besides"):
        sweep(picture, {"smiling": [0]}, faces, changes={"Smiling": 1})
    with pytest.raises(UsageError, match="Smiling is swept and changed besides"):
        SweepFigure((SMILING, SMILING))
    with pytest.raises(UsageError, match="3 sweeps are given: one makes a row, two a grid"):
        sweep(picture, {"Smiling": [0], "Bangs": [0], "Young": [0]}, faces)
    with pytest.raises(UsageError, match="a sweep has no values"):
        sweep(picture, {"Smiling": []}, faces)
    with pytest.raises(UsageError, match="no picture is given"):
        sweep([], {"Smiling": [0]}, faces)
    with pytest.raises(ImageError, match=r"gone\.png: does not exist"):
        sweep("gone.png", {"Smiling": [0]}, faces)


def test_a_figure_is_refused_by_a_model_of_the_other_kind(
    faces: Model, digits: Model, picture: np.ndarray
) -> None:
    with pytest.raises(UsageError, match="use mddae swap-class"):
        read_cells(picture, digits, SweepFigure((SMILING,)))
    with pytest.raises(UsageError, match="use mddae edit"):
        class_sheet(picture, faces)


def test_a_sheet_too_large_for_memory_is_refused_before_anything_is_read(faces: Model) -> None:
    values = [number / 1000 for number in range(1000)]
    with pytest.raises(UsageError, match=r"too large .* million pixels, at most 100"):
        sweep("gone.png", {"Smiling": values, "Bangs": values}, faces)
    with pytest.raises(UsageError, match="-o FOLDER"):
        figures.check_size(ClassFigure(("0", "1")), 10_000, 28, Style())
    figures.check_size(ClassFigure(("0", "1")), 10_000, 28, Style(1))
    with pytest.raises(UsageError, match="at most 100"):  # long labels make it wide
        figures.check_size(ClassFigure(("0", "a class of a long name")), 10_000, 28, Style(1))
