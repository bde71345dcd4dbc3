"""``mddae edit`` and ``mddae swap-class``: one picture in, one picture out."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import Result

from mddae_cli import editing, images
from mddae_cli.config import TargetKind
from mddae_cli.header import read_header

Cli = Callable[..., Result]
Write = Callable[..., Path]


class Grey:
    """A model whose every picture is grey, and which remembers what was decoded."""

    def __init__(self, where: Path) -> None:
        self.header = read_header(where)
        self.names = self.header.names
        self.device = torch.device("cpu")
        self.decoded: list[dict[str, float]] = []

    def encode(self, pixels: np.ndarray) -> editing.Codes:
        half = torch.full((len(pixels), len(self.names)), 0.5)
        return editing.Codes(half, torch.zeros(len(pixels), 2), self.names)

    def decode(self, codes: editing.Codes) -> torch.Tensor:
        rows = [dict(zip(self.names, row, strict=True)) for row in codes.y_hat.tolist()]
        self.decoded += [{k: round(v, 6) for k, v in row.items() if v != 0.5} for row in rows]
        return torch.full((len(codes.y_hat), 3, 28, 28), 77 / 255)


@pytest.fixture
def edits(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, float]]:
    """Stand in for the model: a grey picture, and what was asked for."""
    asked: list[dict[str, float]] = []

    def load(where: Path, device: str, *, raw: bool) -> Grey:
        model = Grey(where)
        model.decoded = asked
        return model

    monkeypatch.setattr(editing, "load", load)
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
    cli: Cli, picture: Path, edits: list[dict[str, float]]
) -> None:
    result = cli("edit", picture, "--set", "5 o clock shadow=1.7")  # a name of celeba64 alone
    assert (result.exit_code, edits) == (0, [{"5_o_Clock_Shadow": 1.7}])


def test_without_a_model_swap_class_takes_the_bundled_digits(cli: Cli, tmp_path: Path) -> None:
    cli("examples", "-o", tmp_path)
    out = tmp_path / "seven.png"
    result = cli("swap-class", tmp_path / "digit-3.png", "--to", "7", "-o", out)
    assert (result.exit_code, result.stdout) == (0, f"{out}\n")
    digits = editing.load("mnist")
    seen = digits.encode(images.fit(images.read_image(out), digits.header.preprocess)[None]).y_hat
    assert digits.names[int(seen.argmax())] == "7"


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
    cli: Cli, header_only: Write, edits: list[dict[str, float]], tmp_path: Path, name: str
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


def test_a_folder_is_mirrored_and_what_is_broken_is_named(
    cli: Cli, header_only: Write, album: Path, edits: list[dict[str, float]]
) -> None:
    words = ("edit", album, "--model", header_only(), "--set", "Smiling=1", "-o", "out")
    result = cli(*words)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == ["out/a.png", "out/b.png", "out/sub/a.png"]
    assert result.stderr.splitlines()[0].startswith(f"error: {album / 'bad.jpg'}: is no picture")
    assert result.stderr.splitlines()[1:] == ["edited 3, skipped 0, failed 1; left out by suffix 1"]
    assert {str(p) for p in Path("out").rglob("*.png")} == set(result.stdout.split())
    assert len(edits) == 3
    again = cli(*words)
    assert again.stdout == ""
    assert again.stderr.splitlines()[-1] == "edited 0, skipped 3, failed 1; left out by suffix 1"
    assert len(edits) == 3
    cli(*words, "--overwrite")
    assert len(edits) == 6


def test_results_inside_the_input_folder_are_not_read_again(
    cli: Cli, header_only: Write, album: Path, edits: list[dict[str, float]]
) -> None:
    words = ("edit", album, "--model", header_only(), "--set", "Smiling=1", "-o", album / "sub/out")
    cli(*words)
    again = cli(*words)
    assert again.stderr.splitlines()[-1] == "edited 0, skipped 3, failed 1; left out by suffix 1"


def test_a_template_names_the_results(
    cli: Cli, header_only: Write, album: Path, edits: list[dict[str, float]]
) -> None:
    (album / "bad.jpg").unlink()
    template = "out/{index}-{stem}-{edit}.jpg"
    result = cli("edit", album, "-m", header_only(), "-s", "smiling=1.50", "-o", template)
    names = ["1-a", "2-b", "3-a"]
    assert result.stdout.splitlines() == [f"out/{name}-Smiling=1.5.jpg" for name in names]
    with Image.open(result.stdout.split()[0]) as image:
        assert image.format == "JPEG"


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (None, "pictures need a place: add -o FOLDER"),
        ("-", "-o - takes one picture"),
        ("out/{stem}.png", "would both become 'out/a.png'"),
        ("out/{stm}.png", "{stm} is no field. Known: {stem}"),
        ("out/{stem", "is no template"),
        ("out/{stem}/../../../{index}.png", "would leave 'out'"),
        ("out/{index}.xyz", "cannot be written as .xyz"),
    ],
)
def test_places_that_cannot_be_meant_are_refused_before_the_model_is_loaded(
    cli: Cli,
    header_only: Write,
    album: Path,
    monkeypatch: pytest.MonkeyPatch,
    output: str | None,
    said: str,
) -> None:
    monkeypatch.setattr(editing, "load", lambda *args, **kwargs: pytest.fail("was loaded"))
    place = () if output is None else ("-o", output)
    result = cli("edit", album, "-m", header_only(), "-s", "Smiling=1", *place)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert not Path("out").exists()


def test_a_missing_picture_whose_result_is_there_stops_nothing(
    cli: Cli, header_only: Write, album: Path, edits: list[dict[str, float]]
) -> None:
    Path("out").mkdir()
    Path("out/gone.png").write_text("an earlier result")
    words = ("-m", header_only(), "-s", "Smiling=1", "-o", "out", "--overwrite")
    result = cli("edit", album / "gone.png", album / "b.jpg", *words)
    assert (result.exit_code, result.stdout) == (1, "out/b.png\n")
    assert "gone.png: does not exist." in result.stderr
    assert Path("out/gone.png").read_text() == "an earlier result"


def test_two_pictures_that_would_become_one_file_are_refused(
    cli: Cli, header_only: Write, album: Path
) -> None:
    twins = (album / "a.png", album / "sub" / "a.png")
    result = cli("edit", *twins, "-m", header_only(), "-s", "Smiling=1", "-o", "out")
    assert result.exit_code == 2
    assert f"{str(twins[0])!r} and {str(twins[1])!r} would both become 'out/a.png'" in result.stderr


def test_json_says_what_became_of_each(
    cli: Cli, header_only: Write, album: Path, edits: list[dict[str, float]]
) -> None:
    result = cli("edit", album, "-m", header_only(), "-s", "Smiling=1", "-o", "out", "--json")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["status"] for row in rows] == ["edited", "edited", "failed", "edited"]
    assert rows[0]["input"] == str(album / "a.png")
    assert rows[0]["output"] == "out/a.png"
    assert (rows[0]["y_hat_before"]["Smiling"], rows[0]["y_hat_after"]["Smiling"]) == (0.5, 1.0)
    assert rows[2]["error"].startswith("is no picture")


def test_a_disk_that_refuses_is_that_pictures_failure(
    cli: Cli, header_only: Write, album: Path, edits: list[dict[str, float]]
) -> None:
    Path("out").mkdir()
    Path("out/sub").write_text("a file where a folder is needed")
    result = cli("edit", album, "-m", header_only(), "-s", "Smiling=1", "-o", "out")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == ["out/a.png", "out/b.png"]
    assert f"error: {album / 'sub' / 'a.png'}: folder 'out/sub'" in result.stderr


def test_a_picture_goes_through_a_pipe(
    mddae_process: Callable[..., subprocess.Popen[str]], digits_run: Path, picture: Path
) -> None:
    with picture.open("rb") as handle:
        process = mddae_process(
            *("swap-class", "-", "--model", digits_run, "--to", "7", "-o", "-"),
            stdin=handle,
            text=False,
        )
        out, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert out.startswith(b"\x89PNG")


def test_a_digit_of_the_wanted_class_is_said_to_be_reconstructed(
    cli: Cli, digits_run: Path, picture: Path
) -> None:
    model = editing.load(digits_run, device="cpu")
    pixels = images.fit(images.read_image(picture), model.header.preprocess)[None]
    shown = str(int(model.encode(pixels).y_hat.argmax()))
    result = cli("swap-class", picture, "--model", digits_run, "--to", shown)
    assert result.stderr == f"{picture}: shows {shown} already, so it is reconstructed.\n"
    wanted = editing.to_pixels(model.reconstruct(pixels))[0]
    assert (images.read_image("one.edited.png")[:, :, :1] == wanted).all()


@pytest.mark.parametrize(
    ("words", "asked", "label"),
    [
        (("--add", "smiling=0.25"), {"Smiling": 0.75}, "Smiling+0.25"),
        (("--add", "Smiling=-1", "-s", "Eyeglasses=2"), None, "Eyeglasses=2,Smiling-1"),
        (("--remove", "no beard"), {"No_Beard": 0.0}, "No_Beard=0"),
        (("--reset",), {}, "reset"),
    ],
)
def test_edits_are_also_added_removed_and_left_out(
    cli: Cli,
    header_only: Write,
    picture: Path,
    edits: list[dict[str, float]],
    words: tuple[str, ...],
    asked: dict[str, float] | None,
    label: str,
) -> None:
    result = cli("edit", picture, "-m", header_only(), *words, "-o", "{edit}.png")
    assert (result.exit_code, result.stdout) == (0, f"{label}.png\n")
    assert edits == [{"Smiling": -0.5, "Eyeglasses": 2.0} if asked is None else asked]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no change is given: add --set NAME=VALUE"),
        (("--reset", "--set", "Smiling=1"), "--reset changes nothing"),
        (("--add", "Smiling=1", "--remove", "Smiling"), "Smiling is both set and added to"),
        (("--add", "Smiling"), "--add 'Smiling' is no Name=VALUE"),
        (("--remove", "Smilling"), "Did you mean Smiling"),
    ],
)
def test_changes_that_contradict_are_refused(
    cli: Cli, header_only: Write, picture: Path, words: tuple[str, ...], said: str
) -> None:
    result = cli("edit", picture, "-m", header_only(), *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
