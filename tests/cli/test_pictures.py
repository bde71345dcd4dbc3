"""What ``edit``, ``swap-class`` and ``encode`` share: shares, fitting, formats, records."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

from mddae_cli import editing, images
from mddae_cli.formats import Fit

Cli = Callable[..., Result]
WIDE = (40, 28)


@pytest.fixture
def folder(tmp_path: Path, make_picture: Callable[..., None]) -> Path:
    """Seven pictures in two folders, wider than high."""
    root = tmp_path / "in"
    for number in range(7):
        make_picture(root / "ab"[number % 2] / f"{number}.png", number, WIDE)
    return root


def swap(*words: object) -> tuple[object, ...]:
    return ("swap-class", *words, "--to", "7")


def files(folder: str | Path) -> dict[str, bytes]:
    root = Path(folder)
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_shards_share_a_folder_and_together_write_what_one_run_does(
    cli: Cli, digits_run: Path, folder: Path
) -> None:
    parts = []
    for share in ("1/3", "2/3", "3/3"):
        words = ("-m", digits_run, "-o", "out", "--shard", share)
        result = cli(*swap(folder), *words)
        assert result.exit_code == 0
        parts.append(result.stdout.split())
    assert [len(part) for part in parts] == [3, 2, 2]
    assert parts[0] == ["out/a/0.png", "out/a/6.png", "out/b/5.png"]
    cli(*swap(folder), "-m", digits_run, "-o", "whole")
    assert files("out") == files("whole")


def test_a_share_of_nothing_is_nothing(cli: Cli, digits_run: Path, folder: Path) -> None:
    words = ("-m", digits_run, "-o", "out/{index}.jpg", "--shard", "9/9", "--quality", "50")
    result = cli(*swap(folder), *words)
    assert (result.exit_code, result.stdout) == (0, "")


def test_a_shard_keeps_the_numbers_of_the_whole_list_and_finds_its_collisions(
    cli: Cli, digits_run: Path, folder: Path
) -> None:
    words = ("-m", digits_run, "--shard", "2/3")
    result = cli(*swap(folder), *words, "-o", "out/{index}.png")
    assert result.stdout.split() == ["out/2.png", "out/5.png"]
    (folder / "b" / "0.png").write_bytes(b"")
    result = cli(*swap(folder), *words, "-o", "out/{stem}.png")
    assert result.exit_code == 2
    assert "would both become 'out/0.png'" in result.stderr


def test_encode_takes_a_share(cli: Cli, digits_run: Path, folder: Path) -> None:
    words = ("encode", folder, "-m", digits_run, "--soft-target-only", "--shard")
    result = cli(*words, "2/3")
    inputs = [line.split(",")[0] for line in result.stdout.splitlines()[1:]]
    assert inputs == [str(folder / "a/2.png"), str(folder / "b/1.png")]
    assert cli(*words, "0/3").exit_code == 2


@pytest.mark.parametrize("share", ["0/3", "4/3", "3", "1/0", "a/b", "-1/3", "1/3/5", "٣/٣"])
def test_a_share_that_is_none_is_refused(
    cli: Cli, digits_run: Path, folder: Path, share: str
) -> None:
    result = cli(*swap(folder), "-m", digits_run, "-o", "out", "--shard", share)
    assert result.exit_code == 2
    assert f"--shard '{share}' is no share: write 1/8" in result.stderr


@pytest.mark.parametrize("how", Fit)
def test_other_proportions_are_fitted_as_asked(
    cli: Cli, digits_run: Path, folder: Path, how: Fit
) -> None:
    words = ("-m", digits_run, "--fit", how)
    model = editing.load(digits_run, device="cpu")
    pixels = images.read_image(folder / "a/0.png")
    codes = model.encode(images.fit(pixels, model.header.preprocess, how)[None])
    cli(*swap(folder / "a/0.png"), *words, "-o", "out.png")
    wanted = editing.to_pixels(model.decode(codes.swap("7")))[0]
    assert (images.read_image("out.png")[:, :, :1] == wanted).all()
    row = json.loads(cli("encode", folder / "a/0.png", *words, "--format", "jsonl").stdout)
    assert row["z"] == pytest.approx(codes.z[0].tolist(), rel=1e-6)


def test_a_picture_with_more_pixels_than_allowed_fails(
    cli: Cli, digits_run: Path, folder: Path
) -> None:
    for words in (("encode", folder), (*swap(folder), "-o", "out")):
        result = cli(*words, "-m", digits_run, "--max-pixels", 1119)
        assert result.exit_code == 1
        assert result.stderr.count("has 40×28 pixels, more than the limit of 1119.") == 7
        assert cli(*words, "-m", digits_run, "--max-pixels", 1120).exit_code == 0


def test_quality_and_subsampling_reach_the_file(cli: Cli, digits_run: Path, folder: Path) -> None:
    words = (*swap(folder / "a/0.png"), "-m", digits_run)
    cli(*words, "-o", "usual.jpg")
    cli(*words, "-o", "poor.jpg", "--quality", "5", "--subsampling", "4:2:0")
    cli(*words, "-o", "usual.webp")
    cli(*words, "-o", "poor.webp", "--quality", "5")
    for kind in ("jpg", "webp"):
        sizes = [Path(f"{name}.{kind}").stat().st_size for name in ("poor", "usual")]
        assert sizes[0] < sizes[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-o", "x.png", "--quality", "5"), "--quality is of JPEG and WebP, and no result is one"),
        (("-o", "x.webp", "--subsampling", "4:2:0"), "--subsampling is of JPEG"),
        (("-o", "x.jpg", "--quality", "0"), "--quality"),
        (("-o", "x.jpg", "--subsampling", "4:1"), "--subsampling"),
        (("--fit", "squeeze"), "--fit"),
        (("--max-pixels", "0"), "--max-pixels"),
    ],
)
def test_options_of_no_use_are_refused(
    cli: Cli, digits_run: Path, folder: Path, words: tuple[str, ...], said: str
) -> None:
    result = cli(*swap(folder / "a/0.png"), "-m", digits_run, *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert not list(Path().iterdir())


def test_alpha_is_kept_where_the_format_can_hold_it(
    cli: Cli, digits_run: Path, tmp_path: Path
) -> None:
    rgba = np.zeros((28, 40, 4), np.uint8)
    rgba[:, 20:, 3] = 255
    Image.fromarray(rgba).save(tmp_path / "half.png")
    for name, mode in (("o.png", "LA"), ("o.webp", "RGBA"), ("o.tif", "LA"), ("o.jpg", "L")):
        result = cli(*swap(tmp_path / "half.png"), "-m", digits_run, "-o", name)
        assert result.exit_code == 0, result.stderr
        with Image.open(name) as image:
            assert image.mode == mode
            if "A" in mode:
                alpha = np.asarray(image.getchannel("A"))
                assert (alpha == images.fit_alpha(rgba[:, :, 3], model_of(digits_run))).all()


def model_of(run: Path) -> images.Preprocess:
    return editing.load(run, device="cpu").header.preprocess


def test_an_animation_gives_its_first_frame_which_is_said_once(
    cli: Cli, digits_run: Path, tmp_path: Path
) -> None:
    frames = [Image.new("RGB", (28, 28), colour) for colour in ("white", "black")]
    for name in ("a.gif", "b.gif"):
        path = tmp_path / "in" / name
        path.parent.mkdir(exist_ok=True)
        frames[0].save(path, save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "in" / "c.png")
    said = (
        f"{tmp_path / 'in' / 'a.gif'}: has several frames, of which the first is taken (said once)."
    )
    result = cli(*swap(tmp_path / "in"), "-m", digits_run, "-o", "out", "--json")
    assert result.stderr.count("several frames") == result.stderr.count(said) == 1
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["animated"] for row in rows] == [True, True, False]
    assert files("out")["a.png"] == files("out")["c.png"]
    assert cli("encode", tmp_path / "in", "-m", digits_run).stderr.count(said) == 1
    assert "frames" not in cli("encode", tmp_path / "in", "-m", digits_run, "-q").stderr


def test_records_tell_the_seconds_spent(cli: Cli, digits_run: Path, folder: Path) -> None:
    (folder / "bad.png").write_bytes(b"no picture")
    words = (*swap(folder), "-m", digits_run, "-o", "out", "--json")
    for status in ("edited", "skipped"):
        rows = [json.loads(line) for line in cli(*words).stdout.splitlines()]
        assert {row["status"] for row in rows} == {status, "failed"}
        for row in rows:
            assert (row["elapsed_s"] is None) == (row["status"] == "skipped")
            assert row["elapsed_s"] is None or 0 < row["elapsed_s"] < 60


def test_files_with_another_suffix_are_counted(cli: Cli, digits_run: Path, folder: Path) -> None:
    for name in ("a/notes.txt", "movie.mp4", ".hidden"):
        (folder / name).write_text("no picture")
    result = cli(*swap(folder), "-m", digits_run, "-o", folder / "out")
    wanted = "edited 7, skipped 0, failed 0; left out by suffix 2"
    assert result.stderr.splitlines() == [wanted]
    (folder / "out" / "log.txt").write_text("beside results")
    again = cli(*swap(folder), "-m", digits_run, "-o", folder / "out")
    assert again.stderr.splitlines() == ["edited 0, skipped 7, failed 0; left out by suffix 2"]
    encoded = cli("encode", folder / "a", "-m", digits_run)
    assert encoded.stderr == "encoded 4, failed 0; left out by suffix 1\n"


def test_codes_are_decoded_with_a_quality_and_not_shared_out(
    cli: Cli, digits_run: Path, folder: Path
) -> None:
    cli("encode", folder / "a", "-m", digits_run, "-o", "codes.csv")
    words = ("edit", "--from-encoding", "codes.csv", "-m", digits_run, "-o")
    assert cli(*words, "usual/{stem}.jpg").exit_code == 0
    assert cli(*words, "poor/{stem}.jpg", "--quality", 5).exit_code == 0
    sizes = [sum(map(len, files(where).values())) for where in ("poor", "usual")]
    assert sizes[0] < sizes[1]
    for more, said in (
        (("--quality", 5), "--quality is of JPEG and WebP"),
        (("--shard", "1/2"), "--shard takes a share of pictures, not of codes"),
    ):
        result = cli(*words, "out/{stem}.png", *more)
        assert result.exit_code == 2
        assert said in result.stderr
    assert not Path("out").exists()
