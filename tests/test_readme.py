"""The README: each command that it shows exists, with the options that it gives."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from mddae_cli.cli.app import app

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group
# What a shell puts between two commands.
BETWEEN = {"&&", "|", ";", "||"}


def shown() -> list[list[str]]:
    """Return the words of each ``mddae`` call in a block of shell."""
    calls: list[list[str]] = []
    for block in re.findall(r"```(?:bash|console)\n(.*?)```", README, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            words = [piece for word in words for piece in re.split(r"(;)$", word) if piece]
            starts = [i + 1 for i, word in enumerate(words) if word == "mddae"]
            for start in starts:
                rest = words[start:]
                end = next((i for i, word in enumerate(rest) if word in BETWEEN), len(rest))
                calls.append(rest[:end])
    return calls


@pytest.mark.parametrize("words", shown(), ids=" ".join)
def test_the_readme_s_commands_and_options_exist(words: list[str]) -> None:
    assert words[0] in COMMANDS, words
    options = [
        o for param in COMMANDS[words[0]].params for o in (*param.opts, *param.secondary_opts)
    ]
    given = [word.split("=")[0] for word in words[1:] if re.match(r"--?[a-z0-9]", word)]
    assert [word for word in given if word not in options and word != "--help"] == []


def test_the_readme_shows_every_command() -> None:
    assert {words[0] for words in shown()} == set(COMMANDS)
