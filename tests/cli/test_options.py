"""What people type into options."""

from __future__ import annotations

from pathlib import Path

import pytest

from mddae_cli.cli.options import (
    parse_changes,
    parse_duration,
    parse_names,
    parse_values,
    preset_default,
    resolve_dataset,
)
from mddae_cli.errors import UnknownNameError, UsageError

NAMES = ("Smiling", "Eyeglasses", "5_o_Clock_Shadow")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("1h30m", 5400), ("1.5h", 5400), ("2H", 7200), ("1h1s", 3601)],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "15", "0s", "-5m", "m", "5 minutes", "nans", "30m1h"])
def test_a_duration_that_means_nothing_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(UsageError, match="90s, 15m or 1h30m"):
        parse_duration(text)


def test_names_with_commas_are_parted_and_stripped() -> None:
    assert parse_names(" Smiling, Bangs,") == ["Smiling", "Bangs"]


def test_an_empty_list_of_names_is_refused() -> None:
    with pytest.raises(UsageError, match="names no attribute"):
        parse_names(" , ")


@pytest.mark.parametrize(
    "given", ["Eyeglasses=1.7", "eyeglasses=1.7", "EYE-GLASSES=17e-1", "eye glasses = 1.7"]
)
def test_a_name_is_forgiven_its_case_spaces_and_hyphens(given: str) -> None:
    assert parse_changes([given], NAMES) == {"Eyeglasses": 1.7}


def test_several_settings_keep_their_values() -> None:
    changes = parse_changes(["smiling=-0.5", "5oclockshadow=2"], NAMES)
    assert changes == {"Smiling": -0.5, "5_o_Clock_Shadow": 2.0}


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e400", "1_0", "", "strong"])
def test_a_value_that_is_no_finite_number_is_refused(number: str) -> None:
    with pytest.raises(UsageError, match="is no finite number"):
        parse_changes([f"Smiling={number}"], NAMES)


@pytest.mark.parametrize("setting", ["Smiling", "=1.7", " =1"])
def test_a_setting_without_name_or_value_is_refused(setting: str) -> None:
    with pytest.raises(UsageError, match="is no Name=VALUE"):
        parse_changes([setting], NAMES)


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="sets Smiling a second time"):
        parse_changes(["Smiling=1", "smiling=2"], NAMES)


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean Eyeglasses"):
        parse_changes(["eyeglases=1"], NAMES)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0,1,2", [0, 1, 2]),
        (" 1.5 , -1", [1.5, -1]),
        ("0:1:0.1", [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]),
        ("0:1:0.4", [0, 0.4, 0.8]),
        ("-1:1:1,4,1", [-1, 0, 1, 4]),
        ("2:2:1", [2]),
    ],
)
def test_a_list_or_a_range_of_values_is_read(text: str, values: list[float]) -> None:
    assert parse_values(text) == values


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'' is no finite number"),
        ("1,,2", "'' is no finite number"),
        ("nan", "'nan' is no finite number"),
        ("0:inf:1", "'inf' is no finite number"),
        ("strong", "'strong' is no finite number"),
        ("0:3", "FIRST:LAST:STEP"),
        ("3:0:0.5", "runs backwards"),
        ("0:3:-1", "runs backwards"),
        ("0:3:0", "stands still"),
        ("0:1:1e-9", "more than 1000 values"),
        ("-1e308:1e308:1", "more than 1000 values"),
    ],
)
def test_values_that_cannot_be_used_are_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_values(text)


@pytest.mark.parametrize("dataset", ["mnist", "MNIST", "m-nist"])
def test_a_data_set_is_known_by_its_name(dataset: str) -> None:
    assert resolve_dataset(dataset, Path("x")) == ("mnist", Path("x"))


def test_a_path_is_a_folder_of_pictures(tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    assert resolve_dataset(str(tmp_path / "mnist"), None) == ("folder", tmp_path / "mnist")


def test_a_path_beside_data_dir_is_refused() -> None:
    with pytest.raises(UsageError, match="leave out --data-dir"):
        resolve_dataset("./pets", Path("elsewhere"))


def test_an_unknown_data_set_gets_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean celeba"):
        resolve_dataset("celebA1", None)


def test_a_default_names_the_data_sets_that_differ() -> None:
    text = preset_default("image_size")
    assert text.startswith("28; ")
    assert "celeba 64" in text
    assert "mnist" not in text
