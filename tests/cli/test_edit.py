"""``mddae edit`` and ``mddae swap-class``: one picture in, one picture out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from mddae_cli import editing, images
from mddae_cli.config import TargetKind

Cli = Callable[..., Result]
Write = Callable[..., Path]


@pytest.fixture
def edits(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    """Stand in for model and edit: a grey picture, and what was asked for."""
    asked: list[dict[str, float]] = []

    def fake(model: object, image: np.ndarray, changes: dict[str, float]) -> np.ndarray:
        asked.append(changes)
        return np.full((28, 28, 3), 77, np.uint8)

    monkeypatch.setattr(editing, "load", lambda where, device: None)
    monkeypatch.setattr(editing, "edit_image", fake)
    return asked


def test_edit_writes_the_picture_and_prints_its_path(
    cli: Cli, header_only: Write, picture: Path, edits: list[dict[str, float]], tmp_path: Path
) -> None:
    out = tmp_path / "new" / "folder" / "out.png"
    result = cli(
        *("edit", picture, "--model", header_only(), "-o", out),
        *("--set", "eyeglasses=1.7", "--set", "no beard=0"),
    )
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{out}\n", "")
    assert edits == [{"Eyeglasses": 1.7, "No_Beard": 0.0}]
    assert (images.read_image(out) == 77).all()


def test_edit_without_output_writes_beside_the_user(
    cli: Cli, header_only: Write, picture: Path, edits: list[dict[str, float]], tmp_path: Path
) -> None:
    result = cli("edit", picture, "--model", header_only(), "--set", "Smiling=1")
    assert result.stdout == "one.edited.png\n"
    assert (tmp_path / "here" / "one.edited.png").is_file()


def test_edit_into_a_folder_keeps_the_name(
    cli: Cli, header_only: Write, picture: Path, edits: list[dict[str, float]], tmp_path: Path
) -> None:
    result = cli("edit", picture, "-m", header_only(), "-s", "Smiling=1", "-o", tmp_path)
    assert result.stdout == f"{tmp_path / 'one.edited.png'}\n"


def test_edit_takes_the_model_from_the_environment(
    cli: Cli, header_only: Write, picture: Path, edits: list[dict[str, float]]
) -> None:
    result = cli("edit", picture, "--set", "Smiling=1", MDDAE_MODEL=str(header_only()))
    assert result.exit_code == 0


def test_without_a_model_edit_takes_the_bundled_faces(
    cli: Cli, picture: Path, edits: list[dict[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(editing, "load", lambda where, device: loaded.append(str(where)))
    result = cli("edit", picture, "--set", "eyeglasses=1.7")
    assert (result.exit_code, loaded) == (0, ["celeba64"])
    assert edits == [{"Eyeglasses": 1.7}]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("Smilling=1", "Did you mean Smiling"),
        ("Smiling", "is no Name=VALUE"),
        ("Smiling=nan", "is no finite number"),
        ("[/x]=1", "attribute '[/x]' does not exist"),
    ],
)
def test_edit_refuses_a_wrong_setting_with_2(
    cli: Cli, header_only: Write, picture: Path, setting: str, said: str
) -> None:
    result = cli("edit", picture, "--model", header_only(), "--set", setting)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_edit_refuses_a_model_of_classes(cli: Cli, header_only: Write, picture: Path) -> None:
    model = header_only(TargetKind.CLASSES, ("0", "1"))
    result = cli("edit", picture, "--model", model, "--set", "1=1")
    assert result.exit_code == 2
    assert "use mddae swap-class --to CLASS" in result.stderr


def test_swap_class_refuses_a_model_of_attributes(
    cli: Cli, header_only: Write, picture: Path
) -> None:
    result = cli("swap-class", picture, "--model", header_only(), "--to", "Smiling")
    assert result.exit_code == 2
    assert "use mddae edit --set NAME=VALUE" in result.stderr


@pytest.mark.parametrize("name", ["missing.png", "text.png"])
def test_a_picture_that_cannot_be_read_is_named_with_1(
    cli: Cli, header_only: Write, tmp_path: Path, name: str
) -> None:
    (tmp_path / "text.png").write_text("no picture")
    result = cli("edit", tmp_path / name, "--model", header_only(), "--set", "Smiling=1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert name in result.stderr
    assert not (tmp_path / "here" / "missing.edited.png").exists()


def test_the_picture_itself_is_not_overwritten(cli: Cli, header_only: Write, picture: Path) -> None:
    before = picture.read_bytes()
    result = cli("edit", picture, "--model", header_only(), "--set", "Smiling=1", "-o", picture)
    assert result.exit_code == 2
    assert "is the picture itself" in result.stderr
    assert picture.read_bytes() == before


def test_a_suffix_that_cannot_be_written_is_refused_before_the_model_is_loaded(
    cli: Cli, header_only: Write, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editing, "load", lambda *args, **kwargs: pytest.fail("was loaded"))
    result = cli("edit", picture, "--model", header_only(), "--set", "Smiling=1", "-o", "x.xyz")
    assert result.exit_code == 2
    assert ".xyz" in result.stderr


def test_swap_class_writes_another_digit(cli: Cli, digits_run: Path, picture: Path) -> None:
    result = cli("swap-class", picture, "--model", digits_run, "--to", "7", "--device", "cpu")
    assert (result.exit_code, result.stdout) == (0, "one.edited.png\n")
    swapped = images.read_image("one.edited.png")
    assert swapped.shape == (28, 28, 3)
    cli("swap-class", picture, "--model", digits_run, "--to", "3", "-o", "three.png")
    assert (swapped != images.read_image("three.png")).any()


def test_swap_class_names_the_classes_of_the_model(
    cli: Cli, digits_run: Path, picture: Path
) -> None:
    result = cli("swap-class", picture, "--model", digits_run, "--to", "seven")
    assert result.exit_code == 2
    assert "class 'seven' does not exist. Known: 0, 1, 2" in result.stderr


def test_a_model_without_weights_is_refused_with_2(
    cli: Cli, header_only: Write, picture: Path
) -> None:
    result = cli("edit", picture, "--model", header_only(), "--set", "Smiling=1")
    assert result.exit_code == 2
    assert "header-only.safetensors" in result.stderr
