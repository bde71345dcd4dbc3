"""What can stand at the cursor, the scripts that ask, and what an answer costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import Result

from mddae_cli.align.options import Align
from mddae_cli.cli.app import COMMANDS, app
from mddae_cli.cli.completing import parameters_of, reply_to
from mddae_cli.cli.completion import Shell, script_of
from mddae_cli.config import TargetKind

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    Shell.BASH: "mddae.bash",
    Shell.ZSH: "_mddae",
    Shell.FISH: "mddae.fish",
    Shell.POWERSHELL: "mddae.ps1",
}
Cli = Callable[..., Result]
Write = Callable[..., Path]


def values(line: str, rest: str = "") -> list[str]:
    return [reply.split("\t")[0] for reply in list(reply_to(line, rest))[1:]]


def kind(line: str) -> str:
    return next(iter(reply_to(line))).split("\t")[0]


@pytest.fixture
def run(header_only: Write) -> Path:
    return header_only(
        names=("Blond", "Red_Hat", "Smiling"), where="here/runs/a b/model.safetensors"
    )


@pytest.mark.parametrize("shell", list(Shell))
def test_the_scripts_are_those_that_the_command_makes(cli: Cli, shell: Shell) -> None:
    assert cli("completion", shell).stdout == script_of(shell)
    assert (ROOT / "completions" / FILES[shell]).read_text(encoding="utf-8") == script_of(shell)


def test_there_is_a_script_for_each_shell_and_no_other() -> None:
    assert {path.name for path in (ROOT / "completions").iterdir()} == set(FILES.values())


def test_the_powershell_script_sets_no_key() -> None:
    assert "PSReadLine" not in script_of(Shell.POWERSHELL)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_options_are_those_that_the_parser_takes(command: str) -> None:
    parser = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]  # a group
    taken = {name: p.is_flag for p in parser.params for name in p.opts if name.startswith("-")}
    assert all(not p.secondary_opts for p in parser.params)
    found = {name: not p.takes_value for p in parameters_of(command) for name in p.names}
    assert found == taken | {"--help": True, "-h": True}


def test_commands_and_options_come_with_their_help() -> None:
    assert "edit\tSet attributes of pictures" in list(reply_to("mddae e"))
    assert set(COMMANDS) < set(values("mddae "))
    (_, option) = reply_to("mddae edit --rese")
    assert option == "--reset\tChange nothing: write the reconstruction"


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        ("mddae edit --model 'runs/a b' --set ", ""),
        ("mddae edit --model='runs/a b' --add ", ""),
        ("mddae edit x.png -m runs/a\\ b --set Smiling=1 --set ", ""),
        ("mddae edit --set ", "--model 'runs/a b'"),
    ],
)
def test_settings_are_the_attributes_of_the_model_on_the_line(
    run: Path, line: str, rest: str
) -> None:
    assert values(line, rest) == ["Blond=", "Red_Hat=", "Smiling="]


def test_the_model_may_come_from_the_environment_or_with_the_package(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Eyeglasses=" in values("mddae edit --set ")
    monkeypatch.setenv("MDDAE_MODEL", "runs/a b")
    assert values("mddae edit --remove R") == ["Red_Hat"]
    assert values("mddae evaluate --attr ") == ["Blond", "Red_Hat", "Smiling"]
    assert "Eyeglasses" in values("mddae evaluate celeba64 --attr ")


def test_a_name_is_forgiven_as_in_the_command(run: Path) -> None:
    assert values("mddae edit -m 'runs/a b' --set red-h") == ["Red_Hat="]


def test_ways_to_align() -> None:
    assert values("mddae edit --align ") == [*Align, "eyes:"]
    assert values("mddae evaluate --align=a") == ["--align=auto", "--align=always"]
    assert values("mddae encode --align E") == ["eyes:"]
    assert list(reply_to("mddae edit --align eyes:")) == ["values\teyes:"]


def test_a_value_is_not_guessed_and_no_file() -> None:
    assert list(reply_to("mddae edit --set Smiling=")) == ["values\tSmiling="]
    assert list(reply_to("mddae edit --batch-size ")) == ["values\t"]


def test_classes_presets_data_sets_and_formats(header_only: Write) -> None:
    model = header_only(kind=TargetKind.CLASSES, names=("six", "seven"))
    assert values(f"mddae swap-class --model {model} --to ") == ["six", "seven", "all"]
    assert values("mddae swap-class --to ") == [*"0123456789", "all"]
    assert values("mddae train --preset dis") == ["disae", "disae-xcov"]
    assert values("mddae train --dataset ") == ["digits", "mnist", "celeba", "folder"]
    assert values("mddae encode --format=s") == ["--format=safetensors"]
    assert values("mddae train --model d") == ["disae"]
    assert values("mddae completion ") == list(Shell)


def test_models_are_bundled_runs_and_what_lies_below_a_path(run: Path) -> None:
    Path("runs/empty").mkdir()
    assert values("mddae info ") == ["celeba64", "mnist", "runs/a b"]
    assert values("mddae edit --model runs/") == ["runs/a b", "runs/empty/"]
    assert values("mddae edit --model './ru") == ["./runs/"]
    assert values(f"mddae evaluate {Path.cwd()}/runs/a") == [f"{Path.cwd()}/runs/a b"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("mddae edit ", "files"),
        ("mddae edit a.png --from-encoding ", "files"),
        ("mddae edit --model=", "files"),
        ("mddae train --data-dir ", "files"),
        ("mddae edit a.png -o ", "files"),
        ("mddae edit --set ", "values"),
        ("mddae evaluate --values ", "values"),
        ("mddae examples ", "values"),
        ("mddae edit --bogus=", "values"),
        ("mddae bogus ", "values"),
        ("mddae ", "values"),
    ],
)
def test_files_are_offered_where_they_can_stand(line: str, expected: str) -> None:
    assert kind(line) == expected


def test_a_model_that_cannot_be_read_has_no_names() -> None:
    assert values("mddae edit --model none --set ") == []


_ANSWER = """
from mddae_cli.__main__ import main
main()
"""
_HEAVY = """
import json, sys
heavy = {"torch", "torchvision", "numpy", "PIL", "sklearn", "matplotlib", "pydantic"}
print(json.dumps(sorted(heavy & set(sys.modules))), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "line", ["mddae edit --set ", "mddae edit --model ", "mddae ", "mddae train --"]
)
def test_an_answer_comes_in_a_moment_and_takes_no_heavy_library(
    line: str, calls_of: Callable[..., int]
) -> None:
    env = {"MDDAE_COMPLETE_LINE": line}
    words = [sys.executable, "-c", _ANSWER + _HEAVY]
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | env, check=True)
    assert json.loads(done.stderr.splitlines()[-1]) == []
    assert done.stdout.count("\n") > 1
    assert calls_of(_ANSWER, **env) < 3 * calls_of("import typer")
