"""``mddae examples``: pictures that every command can be tried on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from typer.testing import Result

Cli = Callable[..., Result]


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_examples_are_a_photograph_a_portrait_of_celebas_size_and_ten_digits(
    cli: Cli, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "pictures"
    result = cli("examples", "-o", out)
    assert (result.exit_code, result.stderr) == (0, "")
    paths = [Path(line) for line in result.stdout.splitlines()]
    assert sorted(paths) == sorted(out.iterdir())
    sizes = {path.name: size_of(path) for path in paths}
    assert sizes.pop("photograph.jpg") == (512, 512)
    assert sizes.pop("portrait.jpg") == (178, 218)
    assert sizes == {f"digit-{k}.png": (28, 28) for k in range(10)}
    assert len({path.read_bytes() for path in paths}) == 12


def test_the_digits_have_the_margin_of_mnist(cli: Cli, tmp_path: Path) -> None:
    cli("examples", "-o", tmp_path)
    for k in range(10):
        with Image.open(tmp_path / f"digit-{k}.png") as image:
            pixels = np.asarray(image)
        assert pixels.max() > 200
        inside = pixels[4:-4, 4:-4].astype(int).sum()
        assert inside == pixels.astype(int).sum()


def test_examples_replace_nothing_unless_told_to(cli: Cli, tmp_path: Path) -> None:
    mine = tmp_path / "digit-3.png"
    mine.write_text("mine")
    result = cli("examples", "-o", tmp_path)
    assert mine.read_text() == "mine"
    assert str(mine) not in result.stdout
    assert result.stderr == "1 there already, left as they are: --overwrite replaces them.\n"
    again = cli("examples", "-o", tmp_path, "--overwrite")
    assert str(mine) in again.stdout
    assert size_of(mine) == (28, 28)


def test_a_folder_that_cannot_be_made_is_named(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = cli("examples", "-o", tmp_path / "file" / "below")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "file/below" in result.stderr
