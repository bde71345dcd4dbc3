"""``mddae edit --list``: what each attribute is and how far it goes, from the header alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

from mddae_cli.header import Calibration

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


def test_list_shows_base_rates_and_working_ranges(cli: Cli, header_only: Write) -> None:
    model = header_only(working_ranges=RANGES)
    result = cli("edit", "--list", "-m", model)
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[1] == ["Smiling", "10.0", "0", "to", "4", "0.8", "1.25", "1.9", "3", "–"]
    assert lines[2][:4] == ["Eyeglasses", "10.0", "not", "measured"]
    assert max(map(len, result.stdout.splitlines() + result.stderr.splitlines())) <= 80
    assert cli("edit", "--list", "-m", model, "--quiet").stderr == ""


def test_list_as_json_and_in_raw_units(cli: Cli, header_only: Write) -> None:
    unit = Calibration((0.5, 0.0, 0.0), (2.5, 1.0, 1.0))
    model = header_only(working_ranges=RANGES, calibration=unit)
    plain, raw = (
        json.loads(cli("edit", "--list", "-m", model, "--json", *more).stdout)
        for more in ((), ("--raw",))
    )
    assert plain[0] == {"name": "Smiling", "base_rate": 0.1, "working_range": RANGES["Smiling"]}
    assert plain[1] == {"name": "Eyeglasses", "base_rate": 0.1, "working_range": None}
    assert raw[0]["working_range"] == {
        "first": 0.5, "last": 8.5, "seen_50": 2.1, "seen_90": 3.0,
        "collateral_5": 4.3, "collateral_8": 6.5, "falls": None,
    }  # fmt: skip


def test_list_refuses_a_model_of_classes(cli: Cli, digits_run: Path) -> None:
    result = cli("edit", "--list", "-m", digits_run)
    assert result.exit_code == 2
    assert "use mddae swap-class" in result.stderr


def test_list_refuses_pictures_and_changes(cli: Cli, header_only: Write) -> None:
    for word in ("a.png", "--reset"):
        result = cli("edit", "--list", word, "-m", header_only())
        assert result.exit_code == 2
        assert "--list shows attributes: leave out pictures and changes." in result.stderr
