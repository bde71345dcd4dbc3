"""``mddae edit --sweep`` and ``--animate``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import Result

from mddae_cli import editing, figures

Cli = Callable[..., Result]
Write = Callable[..., Path]
RANGES = {
    "Smiling": {
        "first": 0.0,
        "last": 4.0,
        "seen_50": 0.8,
        "seen_90": 1.25,
        "collateral_5": 1.9,
        "collateral_8": 3.0,
        "falls": None,
    }
}


@pytest.fixture
def faces(header_only: Write, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model of Smiling, Eyeglasses and No_Beard whose ŷ is 0.5 and whose pictures are grey."""

    class Grey(editing.Model):
        def encode(self, pixels: np.ndarray) -> editing.Codes:
            half = torch.full((len(pixels), len(self.names)), 0.5)
            return editing.Codes(half, torch.zeros(len(pixels), 2), self.names)

        def decode(self, codes: editing.Codes) -> torch.Tensor:
            return torch.full((len(codes.y_hat), 3, 28, 28), 77 / 255)

    def load(where: Path, device: str, raw: bool = False) -> editing.Model:
        from mddae_cli.header import read_header
        from mddae_cli.model import AutoEncoder

        header = read_header(where)
        return Grey(AutoEncoder(header.model), header, torch.device("cpu"), raw)

    monkeypatch.setattr(editing, "load", load)
    return header_only(working_ranges=RANGES)


def size(path: str | Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_a_sweep_of_one_picture_is_a_strip(cli: Cli, faces: Path, picture: Path) -> None:
    words = ("edit", picture, "-m", faces, "--sweep", "smiling=0:2:0.5")
    result = cli(*words, "-o", "strip.png")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "strip.png\n", "")
    wide, high = size("strip.png")
    assert wide >= 7 * 112
    assert 112 < high < 2 * 112
    cli(*words, "--scale", "1", "-o", "small.png")
    assert size("small.png")[1] == high - 112 + 28


def test_several_pictures_become_rows_where_the_output_is_a_file(
    cli: Cli, faces: Path, album: Path
) -> None:
    words = ("edit", album, "-m", faces, "--sweep", "Smiling=0,1", "-o", "sheet.png")
    result = cli(*words)
    assert (result.exit_code, result.stdout) == (1, "sheet.png\n")
    assert result.stderr.splitlines()[0].startswith(f"error: {album / 'bad.jpg'}: is no picture")
    assert result.stderr.splitlines()[1].startswith("edited 3, skipped 0, failed 1")
    assert 3 * 112 < size("sheet.png")[1] < 4 * 112
    again = cli(*words)
    assert (again.exit_code, again.stdout) == (0, "")
    assert again.stderr.startswith("edited 0, skipped 4, failed 0")


def test_several_pictures_become_a_strip_each_in_a_folder(
    cli: Cli, faces: Path, album: Path
) -> None:
    result = cli("edit", album, "-m", faces, "--sweep", "Smiling=0,1", "-o", "out")
    assert result.stdout.splitlines() == ["out/a.png", "out/b.png", "out/sub/a.png"]
    assert len({size(path)[1] for path in result.stdout.split()}) == 1


def test_a_template_names_what_is_swept(cli: Cli, faces: Path, picture: Path) -> None:
    words = ("--sweep", "Smiling=0:2:1", "--set", "no beard=1", "-o", "{stem} {edit}.png")
    result = cli("edit", picture, "-m", faces, *words)
    assert result.stdout == "one Smiling=0..2,No_Beard=1.png\n"


def test_two_sweeps_make_a_grid(cli: Cli, faces: Path, picture: Path) -> None:
    words = ("--sweep", "Smiling=0,1,2", "--sweep", "Eyeglasses=0,1", "-o", "grid.png")
    result = cli("edit", picture, "-m", faces, *words)
    assert result.exit_code == 0
    wide, high = size("grid.png")
    assert 4 * 112 < high < 5 * 112
    assert 2 * 112 < wide < 4 * 112


def test_a_sheet_inside_the_folder_is_not_read_again(cli: Cli, faces: Path, album: Path) -> None:
    (album / "bad.jpg").unlink()
    words = ("edit", album, "-m", faces, "--sweep", "Smiling=0,1", "-o", album / "sheet.png")
    for again in ((), ("--overwrite",)):
        assert cli(*words, *again).stderr.startswith("edited 3, skipped 0, failed 0")


def test_a_sheet_does_not_replace_a_picture_of_its_own(cli: Cli, faces: Path, album: Path) -> None:
    pair = (album / "a.png", album / "b.jpg")
    result = cli("edit", *pair, "-m", faces, "--sweep", "Smiling=0,1", "-o", pair[0])
    assert result.exit_code == 2
    assert "is the picture itself" in result.stderr


def test_json_of_a_sheet_is_a_record_a_picture(cli: Cli, faces: Path, album: Path) -> None:
    words = ("--sweep", "Smiling=0,1", "-o", "sheet.png", "--json")
    result = cli("edit", album / "a.png", album / "bad.jpg", "-m", faces, *words)
    first, second = map(json.loads, result.stdout.splitlines())
    wanted = {
        "input": str(album / "a.png"),
        "output": "sheet.png",
        "status": "edited",
        "error": None,
        "y_hat_before": {"Smiling": 0.5, "Eyeglasses": 0.5, "No_Beard": 0.5},
        "cells": ["reconstruction", "Smiling=0", "Smiling=1"],
    }
    assert {key: first[key] for key in wanted} == wanted
    assert (second["status"], second["output"]) == ("failed", None)


def test_a_sweep_far_outside_what_was_measured_is_warned_of_once(
    cli: Cli, faces: Path, picture: Path
) -> None:
    words = ("edit", picture, "-m", faces, "--sweep", "Smiling=0:9:1", "-o", "a.png")
    assert cli(*words).stderr.startswith("warning: Smiling=9 lies far outside 0 to 4")
    assert cli(*words, "--overwrite", "--quiet").stderr == ""


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_a_sweep_becomes_an_animation(cli: Cli, faces: Path, picture: Path, suffix: str) -> None:
    words = ("--sweep", "Smiling=0,1,2", "--animate", f"new/{{stem}}.{suffix}", "--frame-ms", "90")
    result = cli("edit", picture, "-m", faces, *words)
    assert (result.exit_code, result.stdout) == (0, f"new/one.{suffix}\n")
    with Image.open(f"new/one.{suffix}") as image:
        image.load()
        assert (image.n_frames, image.info["duration"]) == (4, 90)  # type: ignore[attr-defined]


def test_the_help_names_the_time_that_a_frame_takes(cli: Cli) -> None:
    text = " ".join(cli("edit", "--help").stdout.replace("│", " ").split())
    assert f"Milliseconds for each value of an animation. Default: {figures.FRAME_MS}." in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--sweep", "Smilng=0,1"), "Did you mean Smiling"),
        (("--sweep", "Smiling"), "--sweep 'Smiling' is no Name=VALUES"),
        (("--sweep", "Smiling=1:0:1"), "--sweep 'Smiling=1:0:1' runs backwards"),
        (("--sweep", "Smiling=0,x"), "'x' is no finite number"),
        (("--sweep", "Smiling=0", "--set", "smiling=1"), "Smiling is swept and changed besides"),
        (("--sweep", "Smiling=0", "--add", "smiling=1"), "Smiling is swept and changed besides"),
        (("--sweep", "Smiling=0", "--reset"), "--reset changes nothing"),
        (("--sweep", "Smiling=0") * 3, "3 sweeps are given"),
        (("--sweep", "Smiling=0:4:.01", "--sweep", "No_Beard=0:4:.1"), "too large"),
        (("--sweep", "Smiling=0,1", "--animate", "a.jpg"), "animations cannot be written as .jpg"),
        (("--sweep", "Smiling=0,1", "--animate", "-"), "--animate - has no suffix"),
        (("--sweep", "Smiling=0", "--animate", "a.gif"), "one sweep with two values or more"),
        (("--sweep", "Smiling=0,1", "--animate", "a.gif", "-o", "b"), "leave out -o"),
        (("--sweep", "Smiling=0,1", "--frame-ms", "90"), "--frame-ms is for animations"),
        (("--set", "Smiling=1", "--animate", "a.gif"), "--animate is for sheets: add --sweep"),
        (("--sweep", "Smiling=0,1", "--animate", "a.webp", "--quality", "80"), "are of sheets"),
        (("--sweep", "Smiling=0,1", "-o", "a.png", "--quality", "80"), "is of JPEG and WebP"),
        (("--sweep", "Smiling=0,1", "-o", "a.png", "--shard", "1/2"), "name a folder with -o"),
        (("--set", "Smiling=1", "--scale", "2"), "--scale is for sheets: add --sweep"),
        (("--set", "Smiling=1", "--pixelated"), "--pixelated is for sheets: add --sweep"),
        (("--sweep", "Smiling=0", "--from-encoding", "a.csv"), "leave out"),
        (("--list",), "--list shows attributes: leave out pictures and changes"),
    ],
)
def test_sweeps_that_cannot_be_meant_are_refused_before_the_model_is_loaded(
    cli: Cli,
    header_only: Write,
    picture: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.setattr(editing, "load", lambda *args, **kwargs: pytest.fail("was loaded"))
    result = cli("edit", picture, "-m", header_only(), *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert not list(Path().iterdir())
