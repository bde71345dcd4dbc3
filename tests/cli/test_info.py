"""``mddae info``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from mddae_cli.config import TargetKind
from mddae_cli.header import bundled_models

Cli = Callable[..., Result]
Write = Callable[..., Path]


def test_info_tells_data_names_size_losses_and_figures(cli: Cli, header_only: Write) -> None:
    path = header_only(TargetKind.CLASSES, ("cat", "dog"))
    result = cli("info", path)
    assert result.exit_code == 0
    lines = dict(line.split(":", 1) for line in result.stdout.splitlines())
    assert lines["names"].strip() == "cat, dog"
    assert lines["trained on"].strip() == "mnist, split random (seed 3)"
    assert lines["latent size"].strip() == "4, normalisation residual, flow of 8 layers"
    assert lines["losses"].strip() == "gamma 0.1  reg dcov"
    assert lines["figures"].strip() == "val_rmse 0.1  y_accuracy 0.99"
    assert lines["pictures"].strip() == "28 px, 1 channels"


def test_info_as_json_is_the_whole_header(cli: Cli, header_only: Write) -> None:
    path = header_only()
    result = cli("info", path, "--json")
    values = json.loads(result.stdout)
    assert values["path"] == str(path)
    assert values["size_bytes"] == path.stat().st_size
    assert values["names"] == ["Smiling", "Eyeglasses", "No_Beard"]
    assert values["model"]["latent_dim"] == 4
    assert {"base_rates", "preprocess", "figures", "config", "format_version"} <= values.keys()


def test_info_tells_of_the_erasure_of_the_bundled_faces(cli: Cli) -> None:
    lines = dict(line.split(":", 1) for line in cli("info", "celeba64").stdout.splitlines())
    erased = "256, normalisation residual, quadratic erasure along 64 directions"
    assert lines["latent size"].strip() == erased


def test_info_reads_a_trained_run(cli: Cli, digits_run: Path) -> None:
    values = json.loads(cli("info", digits_run, "--json").stdout)
    assert values["dataset"] == "digits"
    assert values["names"] == [str(digit) for digit in range(10)]
    assert "val_rmse" in values["figures"]


def test_info_without_a_model_lists_the_bundled_ones_and_how_to_train(cli: Cli) -> None:
    result = cli("info")
    assert result.exit_code == 0
    assert "celeba64" in result.stdout
    assert "mddae train --dataset digits" in result.stderr


def test_info_without_a_model_as_json_lists_headers(cli: Cli) -> None:
    listed = json.loads(cli("info", "--json").stdout)
    assert [model["path"] for model in listed] == list(bundled_models())
    assert all(len(model["names"]) > 1 for model in listed)


def test_info_takes_the_name_of_a_bundled_model(cli: Cli) -> None:
    values = json.loads(cli("info", "celeba64", "--json").stdout)
    assert (values["dataset"], len(values["names"])) == ("celeba", 40)


def test_info_lists_the_runs_here_and_names_a_broken_one(
    cli: Cli, header_only: Write, tmp_path: Path
) -> None:
    header_only(where="here/runs/faces/model.safetensors")
    (tmp_path / "here/runs/broken").mkdir()
    (tmp_path / "here/runs/broken/model.safetensors").write_bytes(b"nonsense")
    result = cli("info")
    assert result.exit_code == 0
    assert "runs/faces" in result.stdout
    assert "val_rmse 0.1" in result.stdout
    assert "warning: runs/broken/model.safetensors" in result.stderr


@pytest.mark.parametrize(
    ("name", "content"), [("missing", None), ("short", b"abc"), ("text", b"x" * 100)]
)
def test_info_refuses_what_is_no_model_with_2(
    cli: Cli, tmp_path: Path, name: str, content: bytes | None
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    result = cli("info", path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert name in result.stderr
