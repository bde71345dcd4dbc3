"""``mddae evaluate`` and its like on folders of photographs: aligned as ``edit`` does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from typer.testing import Result

from mddae_cli import checkpoint, data, training
from mddae_cli.config import make_config
from mddae_cli.model import AutoEncoder

Cli = Callable[..., Result]


@pytest.fixture
def model(make_celeba: Callable[..., Path], cache: Path, tmp_path: Path) -> Path:
    """A model of faces with untrained weights."""
    size = {"image_size": 28, "width": 4, "latent_dim": 4}
    config = make_config("celeba", "default", **size)
    table = data.load_table("celeba", data_dir=make_celeba(), image_size=28)
    header = training.make_header(config, table)
    torch.manual_seed(0)
    path = tmp_path / "faces.safetensors"
    checkpoint.save(path, AutoEncoder(header.model).eval(), header)
    return path


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Twenty photographs of a face in two class folders, two without one, and a CSV file."""
    folder, rng = tmp_path / "album", np.random.default_rng(0)
    photo, coffee = (Image.fromarray(p) for p in (skimage.data.astronaut(), skimage.data.coffee()))
    lines = ["file,Young,Smiling,No_Beard,Eyeglasses,Bangs,Bald"]
    for number in range(22):
        path = folder / ("ab"[number % 2]) / f"{number:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        left, top = (int(v) for v in rng.integers(0, 60, 2))
        shown = coffee if number >= 20 else photo.crop((left, top, left + 400, top + 300))
        shown.save(path)
        labels = np.resize([number % 2, number // 2 % 2], 6)
        lines.append(f"{path.relative_to(folder)},{','.join(map(str, labels))}")
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder


def test_photographs_are_aligned_and_those_without_a_face_left_out(
    cli: Cli, model: Path, album: Path
) -> None:
    words = ("--dataset", album, "--labels", "labels.csv", "--measures", "reconstruction")
    aligned = cli("evaluate", model, *words, "--json")
    assert aligned.exit_code == 0
    said = [line for line in aligned.stderr.splitlines() if "left out" in line]
    assert said[0].startswith("2 of 22 pictures are left out: a/20.jpg: shows no face")
    never = cli("evaluate", model, *words, "--json", "--align", "never")
    assert "left out" not in never.stderr
    cards = [json.loads(result.stdout)["models"][0] for result in (aligned, never)]
    assert cards[0]["names"] == ["Bald", "Bangs", "Eyeglasses", "No_Beard", "Smiling"]
    rmse = [card["reconstruction"]["rmse_mean"] for card in cards]
    assert rmse[0] != pytest.approx(rmse[1], rel=1e-3)
    table = cli("reconstruct-metrics", model, "--dataset", album, "--json")
    assert "2 of 22 pictures are left out" in table.stderr


def test_what_cannot_be_aligned_or_named_is_refused_before_a_picture_is_read(
    cli: Cli, model: Path, album: Path, digits_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "load_table", pytest.fail)
    always = ("--align", "always")
    for command, where, more, said in (
        ("evaluate", model, always, "--align is for folders of photographs"),
        ("evaluate", model, ("--face", "all"), "each picture gives one face"),
        ("evaluate", model, ("--dataset", album), "data set 'folder' has different names"),
        ("calibrate", model, ("--dataset", album), "data set 'folder' has different names"),
        ("evaluate", digits_run, ("--dataset", album, *always), "this one is of digits"),
        ("reconstruct-metrics", model, always, "--align is for folders of photographs"),
        ("calibrate", model, always, "--align is for folders of photographs"),
    ):
        result = cli(command, where, *more)
        assert (result.exit_code, result.stdout) == (2, ""), result.stderr
        assert said in result.stderr
