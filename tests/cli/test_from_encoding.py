"""``mddae edit --from-encoding``: codes that a script may have changed become pictures."""

from __future__ import annotations

import csv
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from mddae_cli import load, save_codes

Cli = Callable[..., Result]


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Codes of three random pictures by the bundled faces, as CSV, in folders."""
    model = load("celeba64", device="cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("codes") / "codes.csv"
    save_codes(path, ["in/a.png", "in/b/a.png", "in/b/c.png"], model.encode(pixels))
    return path


def change_cell(path: Path, row: int, column: str, value: str) -> Path:
    """Write a copy with one cell changed into the current folder."""
    rows = list(csv.DictReader(path.read_text().splitlines()))
    rows[row][column] = value
    copy = Path("changed.csv")
    with copy.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return copy


def test_outputs_follow_the_rules_for_pictures(cli: Cli, codes: Path) -> None:
    result = cli("edit", "--from-encoding", codes, "--set", "smiling=1.5", "-o", "out")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == ["out/a.png", "out/b/a.png", "out/b/c.png"]
    result = cli(
        *("edit", "--from-encoding", codes, "--add", "Smiling=0.5"),
        *("-o", "t/{index}-{stem}-{edit}.png"),
    )
    assert result.stdout.splitlines()[2] == "t/3-c-Smiling+0.5.png"
    result = cli("edit", "--from-encoding", codes, "-o", "{stem}-{edit}.png")
    assert result.exit_code == 2
    assert "would both become 'a-decoded.png'" in result.stderr
    result = cli("edit", "--from-encoding", codes)
    assert (result.exit_code, result.stderr) == (
        2,
        "error: 3 pictures need a place: add -o FOLDER.\n",
    )


def test_changes_apply_to_the_codes(cli: Cli, codes: Path) -> None:
    changed = change_cell(codes, 1, "Smiling", "1.5")
    assert cli("edit", "--from-encoding", changed, "-o", "by-script").exit_code == 0
    assert (
        cli(
            "edit", "--from-encoding", codes, "-o", "as-set", "--set", "Smiling=1.5", "--raw"
        ).exit_code
        == 0
    )
    assert cli("edit", "--from-encoding", codes, "-o", "plain", "--reset").exit_code == 0
    script, as_set, plain = (
        [Path(folder, name).read_bytes() for name in ("a.png", "b/a.png", "b/c.png")]
        for folder in ("by-script", "as-set", "plain")
    )
    assert script == [plain[0], as_set[1], plain[2]]
    assert as_set[1] != plain[1]


def test_a_bad_row_is_named_and_the_rest_is_done(cli: Cli, codes: Path) -> None:
    changed = change_cell(codes, 1, "Smiling", "strong")
    result = cli("edit", "--from-encoding", changed, "-o", "out")
    assert (result.exit_code, result.stdout) == (1, "out/a.png\nout/b/c.png\n")
    assert result.stderr == (
        "error: in/b/a.png: line 3 of changed.csv: Smiling is 'strong', which is no finite "
        "number.\nedited 2, skipped 0, failed 1\n"
    )


def test_one_row_without_a_place_is_written_beside_the_user(cli: Cli, codes: Path) -> None:
    one = Path("one.csv")
    one.write_text("".join(codes.read_text().splitlines(keepends=True)[:2]))
    assert cli("edit", "--from-encoding", one).stdout == "a.edited.png\n"
    assert cli("edit", "--from-encoding", one, "-o", "b.png").stdout == "b.png\n"
    assert cli("edit", "--from-encoding", one, "-o", "out").stdout == "out/a.png\n"


def test_codes_of_another_model_are_refused_by_its_name(
    cli: Cli, codes: Path, digits_run: Path
) -> None:
    result = cli("edit", "--from-encoding", codes, "--model", digits_run, "-o", "out")
    assert result.exit_code == 2
    assert f"256 values of z, but model '{digits_run}' has 4" in result.stderr
    assert not Path("out").exists()


def test_pictures_beside_codes_are_refused(cli: Cli, codes: Path) -> None:
    result = cli("edit", "a.png", "--from-encoding", codes, "-o", "out")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "leave out IMAGE and lists" in result.stderr


_PIPE = r"""
set -euo pipefail
mddae encode in --quiet |
    awk -F, -v OFS=, '
        NR == 1 {for (i = 1; i <= NF; i++) if ($i == "Smiling") column = i}
        NR > 1 {$column = 1.5} 1' |
    mddae edit --from-encoding - -o piped --quiet
mddae edit in --set Smiling=1.5 --raw -o straight --quiet
"""


@pytest.mark.slow
@pytest.mark.usefixtures("mddae_on_path")
def test_encode_awk_edit_is_a_pipe(make_picture: Callable[..., None]) -> None:
    for name in ("bash", "awk"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
    for seed, name in enumerate(("in/one.png", "in/sub/two.jpg")):
        make_picture(Path(name), seed)
    done = subprocess.run(["bash", "-c", _PIPE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        *("piped/one.png", "piped/sub/two.png"),
        *("straight/one.png", "straight/sub/two.png"),
    ]
    for name in ("one.png", "sub/two.png"):
        assert Path("piped", name).read_bytes() == Path("straight", name).read_bytes()
