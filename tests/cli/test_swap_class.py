"""``mddae swap-class --to all`` and ``--style-from`` with ``--class-from``."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import Result

from mddae_cli import editing, images
from mddae_cli.config import TargetKind

Cli = Callable[..., Result]
Write = Callable[..., Path]


def size(path: str | Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_to_all_draws_every_class_a_row_a_picture(cli: Cli, digits_run: Path, album: Path) -> None:
    (album / "bad.jpg").unlink()
    words = ("swap-class", album, "-m", digits_run, "--to", "all", "--scale", "1")
    result = cli(*words, "-o", "sheet.png")
    assert (result.exit_code, result.stdout) == (0, "sheet.png\n")
    assert 3 * 28 < size("sheet.png")[1] < 5 * 28
    assert cli(*words, "-o", "out").stdout.split() == ["out/a.png", "out/b.png", "out/sub/a.png"]
    assert size("out/a.png")[1] < 3 * 28
    assert size("out/a.png")[0] > 11 * 28


def test_a_class_that_is_called_all_can_be_wanted(
    cli: Cli, header_only: Write, picture: Path
) -> None:
    model = header_only(TargetKind.CLASSES, ("all", "none"))
    result = cli("swap-class", picture, "-m", model, "--to", "all", "--scale", "1")
    assert "--scale is for sheets" in result.stderr


def test_style_and_class_come_from_two_pictures(cli: Cli, digits_run: Path, album: Path) -> None:
    style, shown = album / "a.png", album / "b.jpg"
    words = ("swap-class", "-m", digits_run, "--style-from", style, "--device", "cpu")
    result = cli(*words, "--class-from", shown, "--json")
    record = json.loads(result.stdout)
    assert (record["input"], record["output"]) == (str(style), "a.edited.png")
    model = editing.load(digits_run, device="cpu")
    z, y_hat = (
        model.encode(images.fit(images.read_image(path), model.header.preprocess)[None])
        for path in (style, shown)
    )
    assert list(record["y_hat_after"].values()) == pytest.approx(y_hat.y_hat[0].tolist())
    wanted = editing.to_pixels(model.decode(editing.Codes(y_hat.y_hat, z.z, model.names)))[0]
    assert (images.read_image("a.edited.png")[:, :, :1] == wanted).all()
    assert (editing.combine(style, shown, model).pixels == wanted).all()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "no class is given: add --to CLASS, --to all, or --style-from"),
        (("--style-from", "{a}"), 2, "go together: give both"),
        (("--class-from", "{a}"), 2, "go together: give both"),
        (("--style-from", "{a}", "--class-from", "{a}", "--to", "1"), 2, "leave out --to"),
        (("--style-from", "{a}", "--class-from", "{a}", "{a}"), 2, "leave out --to and others"),
        (("--style-from", "-", "--class-from", "-"), 2, "standard input can be read once"),
        (("--style-from", "{a}", "--class-from", "{folder}"), 2, "stands for 4 pictures: name one"),
        (("--style-from", "{a}", "--class-from", "gone.png"), 1, "gone.png: does not exist."),
        (("{a}", "--to", "7", "--pixelated"), 2, "--pixelated is for sheets: add --to all"),
    ],
)
def test_contradictions_of_swap_class_are_refused(
    cli: Cli, digits_run: Path, album: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    given = [word.format(a=album / "a.png", folder=album) for word in words]
    result = cli("swap-class", "-m", digits_run, *given)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
    assert not list(Path().iterdir())


def test_a_sheet_goes_through_a_pipe(
    mddae_process: Callable[..., subprocess.Popen[bytes]], digits_run: Path, picture: Path
) -> None:
    words = ("swap-class", "-", "-m", digits_run, "--to", "all", "-o", "-")
    with picture.open("rb") as handle:
        process = mddae_process(*words, stdin=handle, text=False)
        out, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert out.startswith(b"\x89PNG")
