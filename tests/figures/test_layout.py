"""Where cells and labels of a sheet lie, and how large it becomes."""

from __future__ import annotations

import numpy as np
import pytest

from mddae_cli.figures.layout import Row, Style, measure, paint


def cell(shade: int, channels: int = 3) -> np.ndarray:
    return np.full((8, 8, channels), shade, np.uint8)


def draw(rows: list[Row], style: Style) -> np.ndarray:
    return paint(rows, style, measure(rows, style))


@pytest.mark.parametrize(("side", "factor"), [(28, 4), (64, 2), (112, 1), (128, 1)])
def test_small_cells_are_enlarged_until_they_can_be_seen(side: int, factor: int) -> None:
    assert Style().factor(side) == factor
    assert Style(scale=3).factor(side) == 3


def test_cells_stand_in_rows_at_the_pitch_that_was_measured() -> None:
    rows = [Row([cell(10), cell(20)]), Row([cell(30), cell(40)])]
    sheet = draw(rows, Style(scale=2))
    assert sheet.shape == (6 + 16 + 6 + 16 + 6, 6 + 16 + 6 + 16 + 6, 3)
    corners = [sheet[y, x, 0] for y in (6, 28) for x in (6, 28)]
    assert corners == [10, 20, 30, 40]
    assert [sheet[y, x, 0] for y in (21, 43) for x in (21, 43)] == [10, 20, 30, 40]
    assert (sheet[22:28] == 255).all()


def test_grey_cells_make_a_grey_sheet() -> None:
    sheet = draw([Row([cell(10, 1)], ["seven"], "a.png")], Style(scale=1))
    assert sheet.shape[2] == 1


def test_columns_are_as_wide_as_their_longest_heading() -> None:
    row = Row([cell(0), cell(0)], ["a", "5_o_Clock_Shadow=1.25"])
    pitch = measure([row], Style(scale=1)).pitch
    assert pitch > 100
    sheet = draw([row], Style(scale=1))
    assert sheet.shape[1] == 12 + 2 * pitch - 6
    assert (sheet[:, [0, 1, -2, -1]] == 255).all()


def test_headings_are_drawn_again_only_where_they_change() -> None:
    row, other = Row([cell(0)], ["one"]), Row([cell(0)], ["two"])
    once, twice = draw([row, row], Style(scale=1)), draw([row, other], Style(scale=1))
    bare = draw([Row([cell(0)]), Row([cell(0)])], Style(scale=1))
    line = len(once) - len(bare)
    assert line > 0
    assert len(twice) == len(bare) + 2 * line


def test_labels_stand_before_their_row_and_long_ones_are_cut_in_front() -> None:
    plain = measure([Row([cell(0)])], Style(scale=1))
    short = measure([Row([cell(0)], label="a.png")], Style(scale=1))
    long = measure([Row([cell(0)], label="W" * 300 + "end.png")], Style(scale=1))
    assert (plain.left, plain.left < short.left < long.left < 400) == (0, True)
    sheet = draw([Row([cell(77)], label="a.png")], Style(scale=1))
    assert (sheet[:, : short.left] == 0).any()
    assert (sheet[6:14, 6 + short.left : -6] == 77).all()


def test_names_of_any_signs_are_drawn_in_one_line() -> None:
    odd = b"caf\xe9\n\t\x00.png".decode("utf-8", "surrogateescape")
    plain = draw([Row([cell(0)], ["caf????.png"], "caf????.png")], Style(scale=1))
    np.testing.assert_array_equal(draw([Row([cell(0)], [odd], odd)], Style(scale=1)), plain)


def test_pixels_are_repeated_or_blended() -> None:
    edge = cell(0)
    edge[:, 4:] = 200
    blended, repeated = (draw([Row([edge])], Style(4, pixelated)) for pixelated in (False, True))
    assert set(np.unique(repeated)) == {0, 200, 255}
    assert len(np.unique(blended)) > 3
