"""``mddae edit`` and ``mddae encode`` on photographs: faces found, aligned and put back."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image, ImageChops
from typer.testing import Result

import mddae_cli
from mddae_cli import editing, images
from mddae_cli.align import mtcnn
from mddae_cli.align.options import AlignOptions
from mddae_cli.align.placement import place
from mddae_cli.config import TargetKind

Cli = Callable[..., Result]
Write = Callable[..., Path]
EYES = "eyes:204,101,248,103"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A photograph of 512×512 pixels with one face, and a camera's name in it."""
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    path = tmp_path / "album" / "photo.jpg"
    path.parent.mkdir()
    Image.fromarray(skimage.data.astronaut()).save(path, quality=95, exif=exif)
    return path


@pytest.fixture
def coffee(photo: Path) -> Path:
    path = photo.with_name("coffee.png")
    Image.fromarray(skimage.data.coffee()).save(path)
    return path


@pytest.fixture
def no_detector(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    mtcnn.weights_of.cache_clear()
    monkeypatch.setattr(mtcnn, "is_installed", lambda: False)
    yield
    mtcnn.weights_of.cache_clear()


def side(path: str | Path) -> int:
    return len(images.read_image(path))


def test_a_photograph_comes_back_whole_with_the_edit_in_it(cli: Cli, photo: Path) -> None:
    result = cli("edit", photo, "--set", "Smiling=-1", "-o", "out.jpg", "--device", "cpu")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "out.jpg\n", "")
    moved = np.abs(images.read_image("out.jpg").astype(int) - images.read_image(photo)).max(axis=2)
    assert moved.shape == (512, 512)
    assert moved[90:180, 180:270].mean() > 5
    assert moved[250:].mean() < 2  # the encoder's loss
    with Image.open("out.jpg") as image:
        assert image.getexif()[0x010F] == "Camera"


def test_given_eyes_need_no_detector(cli: Cli, photo: Path, no_detector: None) -> None:
    result = cli("edit", photo, "--set", "Smiling=-1", "--align", EYES, "-o", "out.png")
    assert (result.exit_code, side("out.png")) == (0, 512)


def test_without_the_detector_it_is_said_what_to_install(
    cli: Cli, photo: Path, no_detector: None
) -> None:
    auto = cli("edit", photo, "--set", "Smiling=1", "-o", "out.png")
    always = cli("edit", photo, "--set", "Smiling=1", "--align", "always", "-o", "out.png")
    assert (auto.exit_code, always.exit_code) == (1, 2)
    for result in (auto, always):
        assert "pip install 'mddae[align]', or say" in result.stderr
        assert "--align eyes:x1,y1,x2,y2" in result.stderr
    assert not Path("out.png").exists()


def test_a_photograph_without_a_face_fails_and_the_others_are_done(
    cli: Cli, photo: Path, coffee: Path
) -> None:
    result = cli("edit", photo.parent, "--set", "Smiling=1", "-o", "out")
    assert result.exit_code == 1
    assert f"error: {coffee}: shows no face that is found" in result.stderr
    assert "edited 1, skipped 0, failed 1" in result.stderr
    assert sorted(path.name for path in Path("out").iterdir()) == ["photo.png"]


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        (("--align", "never"), 64),
        (("--size", "model"), 64),
        (("--align", "never", "--size", "native"), 512),
    ],
)
def test_the_size_follows_from_what_is_said(
    cli: Cli, photo: Path, more: tuple[str, ...], wanted: int
) -> None:
    result = cli("edit", photo, "--set", "Smiling=1", *more, "-o", "out.png")
    assert (result.exit_code, side("out.png")) == (0, wanted)


def test_native_names_that_are_made_up_keep_the_suffix(cli: Cli, photo: Path, coffee: Path) -> None:
    arguments = ("--set", "Smiling=1", "--size", "native", "--align", "never")
    assert cli("edit", photo, *arguments).stdout == "photo.edited.jpg\n"
    cli("edit", photo.parent, *arguments, "-o", "out")
    assert sorted(path.name for path in Path("out").iterdir()) == ["coffee.png", "photo.jpg"]


def test_json_says_where_the_eyes_are(cli: Cli, photo: Path) -> None:
    result = cli("edit", photo, "--set", "Smiling=1", "--raw", "-o", "out.png", "--json")
    record = json.loads(result.stdout)
    (face,) = record["faces"]
    assert face["left_eye"] == pytest.approx([204, 101], abs=3)
    assert face["eye_distance"] == pytest.approx(43, abs=3)
    assert set(face) == {"left_eye", "right_eye", "eye_distance", "degrees", "score"}
    assert record["y_hat_after"]["Smiling"] == 1


def test_the_preview_needs_no_change_and_one_picture(cli: Cli, photo: Path, coffee: Path) -> None:
    result = cli("edit", photo, "--show-faces", "faces.png")
    assert (result.exit_code, result.stdout) == (0, "faces.png\n")
    assert (images.read_image("faces.png") != images.read_image(photo)).any()
    assert cli("edit", photo, coffee, "--show-faces", "f.png").exit_code == 2
    failed = cli("edit", coffee, "--show-faces", "f.png")
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert f"{coffee}: shows no face" in failed.stderr
    assert not Path("f.png").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--align", "sometimes"), "none of auto, never, always"),
        (("--face", "some"), "none of largest, all"),
        (("--face", "all", "--size", "model"), "--face all"),
        (("--size", "native", "--fit", "stretch"), "cannot put back"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_read(
    cli: Cli, tmp_path: Path, more: tuple[str, ...], said: str
) -> None:
    result = cli("edit", tmp_path / "missing.jpg", "--set", "Smiling=1", *more)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_model_of_other_pictures_is_not_aligned(
    cli: Cli, header_only: Write, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editing, "load", lambda *args, **kwargs: pytest.fail("was loaded"))
    model = header_only(TargetKind.ATTRIBUTES, dataset="folder")
    result = cli("edit", photo, "-m", model, "--set", "Smiling=1", "--align", "always")
    assert result.exit_code == 2
    assert "this one is of folder" in result.stderr


def test_a_pipe_gives_back_the_format_it_took(
    mddae_process: Callable[..., object], photo: Path
) -> None:
    process = mddae_process(
        *("edit", "-", "--set", "Smiling=1", "-o", "-", "--device", "cpu"),
        text=False,
        stdin=subprocess.PIPE,
    )
    assert isinstance(process, subprocess.Popen)
    out, err = process.communicate(photo.read_bytes(), timeout=120)
    assert (process.returncode, err) == (0, b"")
    with Image.open(io.BytesIO(out)) as image:
        assert (image.format, image.size) == ("JPEG", (512, 512))


@pytest.mark.usefixtures("one_thread")
def test_encode_aligns_as_edit_does(cli: Cli, photo: Path, coffee: Path) -> None:
    result = cli("encode", photo, coffee, "--soft-target-only", "--device", "cpu")
    assert result.exit_code == 1
    assert f"{coffee}: shows no face" in result.stderr
    heading, row = csv.reader(io.StringIO(result.stdout))
    model = editing.load("celeba64", device="cpu")
    picture = images.read_image(photo)
    (placed,) = place(picture, model.header, AlignOptions())
    wanted = model.encode(placed.crop[None]).y_hat[0].numpy()
    np.testing.assert_allclose(np.array(row[1:], float), wanted, atol=1e-4)
    assert heading[1:] == list(model.names)
    never = cli("encode", photo, "--soft-target-only", "--align", "never", "--device", "cpu")
    assert never.stdout != result.stdout


@pytest.fixture
def one_thread() -> Iterator[None]:
    """With another number of threads a face is found elsewhere by a rounding."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_a_sweep_shows_the_aligned_face_and_what_becomes_of_it(
    cli: Cli, photo: Path, coffee: Path
) -> None:
    words = ("--sweep", "Smiling=0,2", "--scale", "1", "--device", "cpu")
    result = cli("edit", photo, coffee, *words, "-o", "out/{stem}.png")
    assert (result.exit_code, result.stdout) == (1, "out/photo.png\n")
    assert f"{coffee}: shows no face" in result.stderr
    model = editing.load("celeba64", device="cpu")
    (placed,) = place(images.read_image(photo), model.header, AlignOptions())
    assert shows(images.read_image("out/photo.png"), placed.crop)
    sheet = mddae_cli.sweep(photo, {"Smiling": [0]}, model, style=mddae_cli.Style(1))
    assert shows(sheet.pixels, placed.crop)
    cli("edit", photo, *words, "--align", "never", "-o", "never.png")
    assert not shows(images.read_image("never.png"), placed.crop)


def shows(sheet: np.ndarray, cell: np.ndarray) -> bool:
    """Return whether a cell stands in a sheet, pixel by pixel."""
    windows = np.lib.stride_tricks.sliding_window_view(sheet[..., :3], cell.shape)
    corners = np.argwhere((windows[:, :, 0, 0, 0] == cell[0, 0]).all(axis=2))
    return any((windows[y, x, 0] == cell).all() for y, x in corners)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--face", "all"), "each picture gives one face"),
        (("--size", "native"), "no size of a sheet"),
        (("--align", "sometimes"), "none of auto, never, always"),
    ],
)
def test_a_sheet_shows_one_face_at_the_model_s_size(
    cli: Cli, photo: Path, more: tuple[str, ...], said: str
) -> None:
    result = cli("edit", photo, "--sweep", "Smiling=0,1", *more, "-o", "out.png")
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_panorama_of_100_megapixels_is_edited_once_its_size_is_allowed(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # put back afterwards
    panorama, out = tmp_path / "panorama.tif", tmp_path / "out.tif"
    canvas = Image.new("RGB", (20_000, 5_000), (150, 160, 170))
    face = Image.fromarray(skimage.data.astronaut()[:300, 100:350])
    canvas.paste(face.resize((2_000, 2_400)), (9_000, 1_500))
    canvas.save(panorama)
    words = ("edit", panorama, "--set", "Smiling=-1", "-o", out, "--device", "cpu")
    refused = cli(*words)
    assert (refused.exit_code, out.exists()) == (1, False)
    assert "has 20000×5000 pixels, more than the limit of 89478485" in refused.stderr
    assert cli(*words, "--max-pixels", 100_000_000).exit_code == 0
    with Image.open(out) as edited:
        moved = ImageChops.difference(edited, canvas)
    left, top, right, bottom = moved.getbbox() or (0, 0, 0, 0)
    assert 9_000 < left < right < 11_000
    assert 1_500 < top < bottom < 3_900
    assert np.asarray(moved.crop((9_600, 2_000, 10_200, 2_800))).max(axis=2).mean() > 5
