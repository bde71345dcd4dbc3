"""README and pages: commands that they show exist, with their options, and links lead on."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from mddae_cli.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").glob("*.md")))
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group
# What a shell puts between two commands.
BETWEEN = {"&&", "|", ";", "||"}


def shown(page: Path) -> list[list[str]]:
    """Return the words of each ``mddae`` call in a block of shell."""
    calls: list[list[str]] = []
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"```(?:bash|console)\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True)
            words = [piece for word in words for piece in re.split(r"(;)$", word) if piece]
            starts = [i + 1 for i, word in enumerate(words) if word == "mddae"]
            for start in starts:
                rest = words[start:]
                end = next((i for i, word in enumerate(rest) if word in BETWEEN), len(rest))
                calls.append(rest[:end])
    return calls


def anchors(page: Path) -> set[str]:
    """Return what a link may name in a page: its headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("words", [w for page in PAGES for w in shown(page)], ids=" ".join)
def test_the_commands_and_options_that_are_shown_exist(words: list[str]) -> None:
    assert words[0] in COMMANDS, words
    options = [
        o for param in COMMANDS[words[0]].params for o in (*param.opts, *param.secondary_opts)
    ]
    given = [word.split("=")[0] for word in words[1:] if re.match(r"--?[a-z0-9]", word)]
    assert [word for word in given if word not in options and word != "--help"] == []


def test_the_readme_shows_every_command() -> None:
    assert {words[0] for words in shown(README)} == set(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings_that_are_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    lost = []
    for link in (link for link in links if "://" not in link):
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []
