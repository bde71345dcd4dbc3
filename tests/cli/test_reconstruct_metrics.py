"""``mddae reconstruct-metrics``: a row per model, as table, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from mddae_cli import data
from mddae_cli.config import Crop, Split

Cli = Callable[..., Result]
KEYS = {
    *("name", "dataset", "part", "num_images", "conventions"),
    *(
        f"{measure}_{of}"
        for measure in ("rmse", "psnr_db", "ssim", "ms_ssim")
        for of in ("mean", "std")
    ),
}


def test_the_table_has_a_row_per_model_and_names_the_conventions(
    cli: Cli, digits_run: Path
) -> None:
    result = cli("reconstruct-metrics", digits_run, digits_run / "model.safetensors")
    assert result.exit_code == 0
    head, first, second, empty, *conventions = result.stdout.splitlines()
    assert head.split() == ["model", "pictures", "RMSE", "PSNR", "dB", "SSIM", "MS-SSIM"]
    assert first.split()[0] == str(digits_run)
    assert second.split()[0] == str(digits_run / "model.safetensors")
    assert first.split()[1:] == second.split()[1:]
    assert first.count("±") == 4
    assert empty == ""
    assert any("MS-SSIM of" in line for line in conventions)


def test_json_and_csv_hold_the_same_numbers(cli: Cli, digits_run: Path) -> None:
    as_json = cli("reconstruct-metrics", digits_run, "--dataset", "digits", "--json")
    (record,) = json.loads(as_json.stdout)
    assert record.keys() == KEYS
    assert record["part"] == "test"
    as_csv = cli("reconstruct-metrics", digits_run, "--dataset", "digits", "--csv")
    (row,) = csv.DictReader(io.StringIO(as_csv.stdout))
    assert row.keys() == KEYS
    assert float(row["rmse_mean"]) == pytest.approx(record["rmse_mean"])


def test_another_part_has_other_pictures(cli: Cli, digits_run: Path) -> None:
    (test,) = json.loads(cli("reconstruct-metrics", digits_run, "--json").stdout)
    (val,) = json.loads(cli("reconstruct-metrics", digits_run, "--json", "--split", "val").stdout)
    assert val["part"] == "val"
    assert val["rmse_mean"] != test["rmse_mean"]


def test_json_and_csv_together_are_refused(cli: Cli, digits_run: Path) -> None:
    result = cli("reconstruct-metrics", digits_run, "--json", "--csv")
    assert result.exit_code == 2
    assert "exclude each other" in result.stderr


def test_a_missing_model_is_named_before_anything_is_measured(cli: Cli, digits_run: Path) -> None:
    result = cli("reconstruct-metrics", digits_run, "nowhere")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "model 'nowhere' does not exist" in result.stderr


class Asked(Exception):
    """Carries what a table was asked for."""


@pytest.fixture
def table_request(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    asked: dict[str, Any] = {}

    def fake(**arguments: Any) -> None:
        asked.update(arguments)
        del asked["reporter"]
        raise Asked

    monkeypatch.setattr(data, "load_table", fake)
    return asked


def test_pictures_are_cut_and_parted_as_in_the_training(
    cli: Cli, header_only: Callable[..., Path], table_request: dict[str, Any]
) -> None:
    config = {"attrs": ["Smiling", "Eyeglasses", "No_Beard"], "crop": "full"}
    model = header_only(dataset="celeba", split="official", config=config)
    cli("reconstruct-metrics", model, "--data-dir", "faces")
    assert table_request == {
        "dataset": "celeba",
        "data_dir": Path("faces"),
        "csv": None,
        "split": Split.OFFICIAL,
        "split_seed": 3,
        "attrs": ("Smiling", "Eyeglasses", "No_Beard"),
        "crop": Crop.FULL,
        "image_size": 28,
    }


def test_another_data_set_is_parted_in_its_own_way(
    cli: Cli, header_only: Callable[..., Path], table_request: dict[str, Any]
) -> None:
    cli("reconstruct-metrics", header_only(), "--dataset", "./pets", "--labels", "pets.csv")
    assert table_request == {
        "dataset": "folder",
        "data_dir": Path("pets"),
        "csv": Path("pets.csv"),
        "image_size": 28,
    }
