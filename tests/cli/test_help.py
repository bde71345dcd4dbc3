"""``--help`` of every command: readable at 80 columns, in a pipe and without colour."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable

import pytest
import typer
from typer.testing import Result

from mddae_cli.cli.app import COMMANDS, app

Cli = Callable[..., Result]
WORDS = [(), *((name,) for name in COMMANDS)]


@pytest.mark.parametrize("words", WORDS, ids="-".join)
def test_nothing_is_cut_off_or_wraps_within_a_word_at_80_columns(
    cli: Cli, words: tuple[str, ...]
) -> None:
    lines = cli(*words, "--help", COLUMNS="80").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    for line in lines:
        assert "…" not in line
        assert not re.search(r"<[a-z][^>]*$", line), line


@pytest.mark.parametrize("words", WORDS, ids="-".join)
def test_a_switch_shows_no_type_and_an_argument_no_second_bracket(
    cli: Cli, words: tuple[str, ...]
) -> None:
    text = cli(*words, "--help").stdout
    assert "<bool>" not in text
    assert "[[" not in text
    assert "...}" not in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_but_help_stands_in_a_panel_of_its_own_kind(command: str) -> None:
    parser = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]  # a group
    context = parser.make_context(command, [], resilient_parsing=True)
    params = parser.get_params(context)
    bare = [p.opts for p in params if p.opts[0].startswith("-") and not p.rich_help_panel]
    assert [names for names in bare if "--help" not in names] == []


def _drawn(words: tuple[str, ...], **env: str) -> str:
    """Return what a terminal of 80 columns receives."""
    near, far = pty.openpty()
    settings = os.environ | {"COLUMNS": "80", "TERM": "xterm-256color"} | env
    settings.pop("_TYPER_FORCE_DISABLE_TERMINAL", None)
    command = [sys.executable, "-m", "mddae_cli", *words]
    with subprocess.Popen(command, stdout=far, stderr=far, env=settings) as process:
        os.close(far)
        said = b""
        try:
            while block := os.read(near, 65536):
                said += block
        except OSError:
            pass  # the other side of a terminal is closed
    os.close(near)
    assert process.returncode == 0
    return said.decode()


def test_no_color_and_a_pipe_are_honoured() -> None:
    # Colours are 30 to 37, 90 to 97 and 38; 1 and 2 are bold and faint.
    colour = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|9[0-7])[;m]")
    assert colour.search(_drawn(("edit", "--help")))
    assert not colour.search(_drawn(("edit", "--help"), NO_COLOR="1"))
    piped = subprocess.run(
        [sys.executable, "-m", "mddae_cli", "edit", "--help"], capture_output=True, check=True
    )
    assert b"\x1b" not in piped.stdout
