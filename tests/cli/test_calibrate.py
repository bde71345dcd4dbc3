"""``mddae calibrate``, and what the commands make of its result."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from typer.testing import Result

from mddae_cli import checkpoint, training
from mddae_cli.config import make_config
from mddae_cli.evaluation import judge as judging
from mddae_cli.header import WORKING_RANGE_KEYS, Calibration, read_header

Cli = Callable[..., Result]
Write = Callable[..., Path]
NAMES = ("Smiling", "Eyeglasses", "No_Beard")
RANGE = dict.fromkeys(WORKING_RANGE_KEYS, None) | {"first": 0.0, "last": 4.0}


@pytest.fixture
def faces(make_celeba: Callable[..., Path]) -> Path:
    return make_celeba(200)


@pytest.fixture
def faces_run(faces: Path, tmp_path: Path, cache: Path) -> Path:
    """A run folder of a tiny model of attributes, hardly trained."""
    small = {"image_size": 28, "width": 4, "latent_dim": 12, "epochs": 2, "y_epochs": 1}
    small["erase_directions"] = 2
    config = make_config("celeba", data_dir=faces, batch_size=8, **small)
    run = tmp_path / "run"
    training.train(config, run)
    return run


def test_training_stores_the_unit_of_intensity(faces_run: Path) -> None:
    unit = read_header(faces_run).calibration
    assert unit is not None
    assert len(unit.zero) == len(unit.one) == 5
    assert read_header(faces_run).working_ranges is None


def test_a_file_alone_finds_the_unit_and_the_steps_that_training_has_found(
    cli: Cli, faces_run: Path, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "default_epochs", lambda num_images: 1)
    trained = read_header(faces_run)
    net = checkpoint.load(faces_run).net
    assert net.erasure is not None
    steps = net.erasure.steps.steps.clone()
    assert steps.any()
    net.erasure.steps.put(0, torch.ones(12), 9.0)  # found anew, not beside the old ones
    alone = tmp_path / "alone.safetensors"
    unmeasured = dataclasses.replace(trained, calibration=None)
    checkpoint.replace_header(faces_run, unmeasured, alone, steps_of=net)
    words = ("--data-dir", faces, "--values", "1", "--max-images", "2", "--quiet")
    result = cli("calibrate", alone, *words)
    assert result.exit_code == 0, result.stderr
    found = checkpoint.load(alone)
    assert found.header.calibration == trained.calibration
    assert found.net.erasure is not None
    torch.testing.assert_close(found.net.erasure.steps.steps, steps)


def test_resuming_a_run_that_is_over_finds_the_same_unit(faces_run: Path) -> None:
    before = (faces_run / "model.safetensors").read_bytes()
    training.resume(faces_run)
    assert (faces_run / "model.safetensors").read_bytes() == before


def test_a_run_of_classes_has_no_unit_of_intensity(digits_run: Path) -> None:
    assert read_header(digits_run).calibration is None


def test_calibrate_stores_ranges_beside_the_unit(
    cli: Cli, faces_run: Path, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "default_epochs", lambda num_images: 1)
    out = tmp_path / "told.safetensors"
    words = ("--data-dir", faces, "--values", "0:3:1", "--max-images", "5")
    result = cli("calibrate", faces_run, *words, "-o", out, "--json")
    assert result.exit_code == 0, result.stderr
    header, record = read_header(out), json.loads(result.stdout)
    assert header.working_ranges is not None
    assert {(own["first"], own["last"]) for own in header.working_ranges.values()} == {(0.0, 3.0)}
    assert record["working_ranges"] == header.working_ranges
    assert record["calibration"]["one"] == list(header.calibration.one)
    assert read_header(faces_run).working_ranges is None
    table = cli("calibrate", faces_run, *words)
    assert table.exit_code == 0
    assert table.stdout.split()[0] == "attribute"
    assert read_header(faces_run).working_ranges == header.working_ranges


def test_calibrate_refuses_to_write_into_the_package(cli: Cli) -> None:
    result = cli("calibrate", "celeba64")
    assert result.exit_code == 2
    assert "'celeba64' comes with the package: add -o FILE" in result.stderr


def test_calibrate_refuses_a_model_of_classes(cli: Cli, digits_run: Path) -> None:
    result = cli("calibrate", digits_run)
    assert result.exit_code == 2
    assert "swap-class" in result.stderr


@pytest.mark.parametrize(("value", "warned"), [("9", True), ("-3", True), ("4.5", False)])
def test_a_value_far_outside_the_measured_range_is_warned_about(
    cli: Cli, header_only: Write, picture: Path, value: str, warned: bool
) -> None:
    model = header_only(names=NAMES, working_ranges=dict.fromkeys(NAMES, RANGE))
    asked = ("edit", picture, "-m", model, "--set", f"Smiling={value}", "--set", "No_Beard=1")
    text = f"Smiling={value} lies far outside 0 to 4"
    assert (text in cli(*asked).stderr) is warned
    assert text not in cli(*asked, "--raw").stderr
    assert text not in cli(*asked, "--quiet").stderr


def test_info_says_whether_intensities_are_calibrated(cli: Cli, header_only: Write) -> None:
    unit = Calibration((0.0,) * 3, (1.0,) * 3)
    assert "intensities:  raw" in cli("info", header_only(names=NAMES)).stdout
    path = header_only(names=NAMES, calibration=unit)
    assert "intensities:  calibrated" in cli("info", path).stdout


def test_raw_values_are_the_papers_own_scale(
    cli: Cli, faces_run: Path, picture: Path, tmp_path: Path
) -> None:
    header = read_header(faces_run)
    unit = Calibration((-0.5,) * 5, (0.25,) * 5)
    checkpoint.replace_header(faces_run, dataclasses.replace(header, calibration=unit))
    pixels = {}
    for name, words in {
        "calibrated": ("--set", "Smiling=2"),
        "raw": ("--set", "Smiling=1", "--raw"),
        "other": ("--set", "Smiling=2", "--raw"),
    }.items():
        out = tmp_path / f"{name}.png"
        assert cli("edit", picture, "-m", faces_run, *words, "-o", out).exit_code == 0
        pixels[name] = out.read_bytes()
    assert pixels["calibrated"] == pixels["raw"] != pixels["other"]
