"""``mddae encode``: rows out of pictures, folders, lists and pipes."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from mddae_cli import editing, images

Cli = Callable[..., Result]
Start = Callable[..., "subprocess.Popen[bytes]"]
Z = 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    root = tmp_path / "in"
    root.mkdir()
    for name in ("a.png", "b.png"):
        images.write_image(root / name, rng.integers(0, 256, (28, 28, 3), dtype=np.uint8))
    return root


def test_csv_has_a_line_a_picture_with_named_columns(
    cli: Cli, digits_run: Path, folder: Path
) -> None:
    result = cli("encode", folder, "--model", digits_run)
    assert (result.exit_code, result.stderr) == (0, "encoded 2, failed 0\n")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert list(rows[0]) == ["input", *"0123456789", *(f"z{i}" for i in range(Z))]
    assert [row["input"] for row in rows] == [str(folder / "a.png"), str(folder / "b.png")]
    model = editing.load(digits_run, device="cpu")
    pixels = images.fit(images.read_image(folder / "b.png"), model.header.preprocess)
    codes = model.encode(pixels[None])
    read = np.array([float(rows[1][k]) for k in [*"0123456789", "z0", "z1", "z2", "z3"]])
    wanted = np.concatenate([codes.y_hat[0].numpy(), codes.z[0].numpy()])
    np.testing.assert_allclose(read, wanted, rtol=1e-5, atol=1e-6)


def test_jsonl_names_failures_and_the_exit_code_is_1(
    cli: Cli, digits_run: Path, folder: Path
) -> None:
    (folder / "bad.png").write_bytes(b"text")
    words = ("--format", "jsonl", "--soft-target-only", "--model", digits_run)
    result = cli("encode", folder, "none.png", *words)
    assert result.exit_code == 1
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["status"] for row in rows] == ["encoded", "encoded", "failed", "failed"]
    assert sum(rows[0]["y_hat"].values()) == pytest.approx(1.0, abs=1e-5)
    assert "z" not in rows[0]
    assert rows[3] == {"input": "none.png", "status": "failed", "error": "does not exist."}
    assert result.stderr.splitlines()[-1] == "encoded 2, failed 2"
    assert f"error: {folder / 'bad.png'}: " in result.stderr


def test_a_file_of_rows_is_whole_or_not_there(
    cli: Cli, digits_run: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "codes.csv"
    result = cli("encode", folder, "--model", digits_run, "-o", out, "-q")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{out}\n", "")
    before = out.read_bytes()

    def full(*_: object) -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(editing.Model, "encode", full)
    result = cli("encode", folder, "--model", digits_run, "-o", out)
    assert result.exit_code == 1
    assert out.read_bytes() == before
    assert sorted(p.name for p in tmp_path.glob("*codes*")) == ["codes.csv"]


@pytest.mark.parametrize(("end", "words"), [("\n", ()), ("\0", ("-0",))])
def test_a_list_of_paths_comes_through_a_pipe(
    mddae_process: Start, digits_run: Path, folder: Path, end: str, words: tuple[str, ...]
) -> None:
    paths = [str(folder / "b.png"), str(folder / "a.png")]
    process = mddae_process(
        *("encode", "--from-file", "-", *words, "--model", digits_run, "--soft-target-only"),
        stdin=subprocess.PIPE,
    )
    out, _ = process.communicate("".join(path + end for path in paths))
    assert process.returncode == 0
    assert [line.split(",")[0] for line in out.splitlines()] == ["input", *paths]


def test_one_picture_comes_through_a_pipe(
    mddae_process: Start, digits_run: Path, folder: Path
) -> None:
    with (folder / "a.png").open("rb") as picture:
        process = mddae_process(
            *("encode", "-", folder / "a.png", "--model", digits_run), stdin=picture
        )
        out, _ = process.communicate()
    _, piped, named = out.splitlines()
    assert piped.split(",")[0] == "-"
    numbers = [[float(cell) for cell in line.split(",")[1:]] for line in (piped, named)]
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no picture is given"),
        (("--from-file", "none.txt"), "list 'none.txt' cannot be read"),
        (("-", "-"), "standard input can be read once"),
        (("-", "--from-file", "-"), "standard input can be read once"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_2(
    cli: Cli, digits_run: Path, words: tuple[str, ...], said: str
) -> None:
    result = cli("encode", *words, "--model", digits_run)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


@pytest.mark.parametrize("form", ["npz", "safetensors", "parquet"])
def test_a_binary_format_follows_from_the_suffix_and_decodes_to_the_reconstruction(
    cli: Cli, digits_run: Path, folder: Path, form: str
) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="parquet needs pyarrow")
    result = cli("encode", folder, "--model", digits_run, "-o", f"codes.{form}", "-q")
    assert (result.exit_code, result.stdout) == (0, f"codes.{form}\n")
    words = ("--from-encoding", f"codes.{form}", "--model", digits_run, "-o", "out")
    result = cli("edit", *words)
    assert (result.exit_code, result.stdout) == (0, "out/a.png\nout/b.png\n")
    assert result.stderr == "edited 2, skipped 0, failed 0\n"
    model = editing.load(digits_run, device="cpu")
    for name in ("a.png", "b.png"):
        pixels = images.fit(images.read_image(folder / name), model.header.preprocess)
        expected = editing.to_pixels(model.reconstruct(pixels[None]))[0]
        assert (Path("out") / name).read_bytes() == images.image_bytes(expected)
    again = cli("edit", *words)
    assert (again.stdout, again.stderr) == ("", "edited 0, skipped 2, failed 0\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-o", "codes.json"), ".json is no format of codes: add --format csv"),
        (("--append",), "--append adds to a file: add -o FILE."),
        (("--append", "-o", "codes.npz"), "--append adds to csv or jsonl"),
        (("--append", "-o", "other.csv"), "has other columns than csv rows"),
    ],
)
def test_a_place_that_cannot_hold_rows_is_refused(
    cli: Cli, digits_run: Path, folder: Path, words: tuple[str, ...], said: str
) -> None:
    Path("other.csv").write_text("a,b\n1,2\n")
    result = cli("encode", folder, "--model", digits_run, *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert Path("other.csv").read_text() == "a,b\n1,2\n"
    assert not Path("codes.npz").exists()


@pytest.mark.parametrize("form", ["npz", "safetensors", "parquet"])
def test_bytes_are_not_written_onto_a_terminal(
    cli: Cli, digits_run: Path, folder: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="parquet needs pyarrow")
    monkeypatch.setattr("typer.testing._NamedTextIOWrapper.isatty", lambda self: True)
    result = cli("encode", folder, "--model", digits_run, "--format", form)
    assert (result.exit_code, result.stdout) == (2, "")
    assert (
        result.stderr == f"error: {form} is nothing for a terminal: add -o FILE, or redirect it.\n"
    )


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_append_goes_on_behind_the_last_whole_row(
    cli: Cli, digits_run: Path, folder: Path, form: str
) -> None:
    out = Path(f"codes.{form}")
    words = ("--model", digits_run, "-o", out, "--append")
    assert cli("encode", folder, *words).stderr == "encoded 2, failed 0, skipped 0\n"
    whole = out.read_bytes()
    out.write_bytes(whole[:-20])
    result = cli("encode", folder, *words)
    assert (result.exit_code, result.stderr) == (0, "encoded 1, failed 0, skipped 1\n")
    before, after = (data.decode().splitlines() for data in (whole, out.read_bytes()))
    assert len(after) == len(before)
    assert after[:-1] == before[:-1]
    assert after[-1].split(".png")[0] == before[-1].split(".png")[0]
