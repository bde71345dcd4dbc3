"""Help, version, exit codes and the error boundary."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from mddae_cli import __version__, errors, training
from mddae_cli.cli import app as app_module

Cli = Callable[..., Result]
Start = Callable[..., "subprocess.Popen[str]"]
COMMANDS = tuple(app_module.COMMANDS)
HEAVY = ("torch", "torchvision", "numpy", "PIL", "sklearn", "matplotlib")


def test_version_is_printed_on_standard_output(cli: Cli) -> None:
    result = cli("--version")
    assert (result.exit_code, result.stdout) == (0, f"mddae {__version__}\n")


def test_help_lists_every_command(cli: Cli) -> None:
    result = cli("--help")
    assert result.exit_code == 0
    assert all(name in result.stdout for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_begins_with_an_example_of_it(cli: Cli, command: str) -> None:
    result = cli(command, "--help")
    assert result.exit_code == 0
    lines = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    assert lines[1].startswith(f"Example: mddae {command} ")


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_is_ascii_but_for_the_frames(cli: Cli, command: tuple[str, ...]) -> None:
    help_text = cli(*command, "--help").stdout
    assert not set(help_text) - set(map(chr, range(128))) - set("╭─╮│╰╯…")


def test_options_of_train_stand_in_panels(cli: Cli) -> None:
    text = cli("train", "--help").stdout
    for panel in ("Data", "Model", "Losses", "Run", "Machine", "Output"):
        assert f"─ {panel} ─" in text


_PROBE = """
import json, os, sys

heavy = set(json.loads(sys.argv[1]))
found = {}
for words, env in json.loads(sys.argv[2]):
    os.environ.update(env)
    sys.argv = ["mddae", *words]
    try:
        from mddae_cli.cli.app import main
        main()
    except SystemExit as done:
        found[" ".join(words) + str(env)] = [done.code, sorted(heavy & set(sys.modules))]
    for name in env:
        del os.environ[name]
print(json.dumps(found), file=sys.stderr)
"""


def _probe(cases: list[tuple[list[str], dict[str, str]]]) -> dict[str, tuple[int, list[str]]]:
    """Run command lines in one new process; return exit code and heavy modules after each."""
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, json.dumps(HEAVY), json.dumps(cases)],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, tuple[int, list[str]]] = json.loads(done.stderr.splitlines()[-1])
    assert len(found) == len(cases)
    return found


def test_nothing_heavy_is_imported_for_help_version_info_and_wrong_names(
    header_only: Callable[..., Path],
) -> None:
    model = str(header_only())
    good = [["--help"], ["--version"], ["info"], ["info", model], ["info", model, "--json"]]
    good += [["edit", "--list", "--model", model], ["edit", "--list", "--model", model, "--json"]]
    good += [[name, "--help"] for name in COMMANDS]
    wrong = [
        ["edit", "x.png", "--model", model, "--set", "Smilng=1"],
        ["swap-class", "x.png", "--model", model, "--to", "7"],
        ["train", "--dataset", "mnst"],
        ["evaluate", model, "--attr", "Smilng"],
        ["evaluate", model, "--values", "2:1:1"],
    ]
    found = _probe([(words, {}) for words in good + wrong])
    assert [modules for _, modules in found.values()] == [[]] * len(found)
    assert [code for code, _ in found.values()] == [0] * len(good) + [2] * len(wrong)


def test_the_command_line_starts_in_a_moment(calls_of: Callable[..., int]) -> None:
    """Typer itself is what cannot be done without; it takes two fifths of the calls."""
    assert calls_of("import mddae_cli.cli.app") < 3 * calls_of("import typer")


def test_the_probe_sees_what_a_command_imports(picture: Path, digits_run: Path) -> None:
    words = ["swap-class", str(picture), "--model", str(digits_run), "--to", "7"]
    ((code, modules),) = _probe([(words, {})]).values()
    assert code == 0
    assert {"torch", "numpy", "PIL"} <= set(modules)
    assert "torchvision" not in modules


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["trian"], "error: No such command 'trian'. Did you mean 'train'?"),
        (["--bogus"], "error: No such option: --bogus"),
        (["train", "--epochs", "many"], "error: Invalid value for '--epochs'"),
        (["train", "--reg", "foo"], "error: Invalid value for '--reg': 'foo' is not one of 'none'"),
        (["edit", "x.png", "--seet", "A=1"], "error: No such option: --seet"),
        (["calibrate"], "error: Missing argument 'MODEL'"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_ends_with_2_and_plain_lines(
    cli: Cli, args: list[str], said: str
) -> None:
    result = cli(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(said)
    assert "--help' to see what it takes." in result.stderr
    assert "╭" not in result.stderr


def _train_that_raises(monkeypatch: pytest.MonkeyPatch, exc: BaseException) -> None:
    def fake(*args: object, **kwargs: object) -> None:
        raise exc

    monkeypatch.setattr(training, "train", fake)


@pytest.mark.parametrize(
    ("exc", "code"),
    [
        (errors.MddaeError("it [b]broke[/b]."), 1),
        (errors.UsageError("it [b]broke[/b]."), 2),
        (errors.DatasetError("it [b]broke[/b]."), 2),
        (errors.ModelError("it [b]broke[/b]."), 2),
        (errors.ImageError("it [b]broke[/b]."), 1),
        (errors.DivergedError("it [b]broke[/b]."), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_failure_of_the_library_is_one_plain_line(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, exc: Exception, code: int
) -> None:
    _train_that_raises(monkeypatch, exc)
    result = cli("train", "--quiet")
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr == "error: it [b]broke[/b].\n"


def test_an_unforeseen_failure_is_one_line_and_a_hint(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    _train_that_raises(monkeypatch, ZeroDivisionError("by zero\nsecond line"))
    result = cli("train")
    assert result.exit_code == 1
    assert result.stderr == (
        "error: ZeroDivisionError: by zero\n"
        "This was not foreseen: --verbose shows where it happened.\n"
    )


@pytest.mark.parametrize("exc", [ZeroDivisionError("by zero"), errors.DatasetError("not here.")])
def test_verbose_shows_the_traceback(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, exc: Exception
) -> None:
    _train_that_raises(monkeypatch, exc)
    result = cli("train", "--verbose")
    assert "Traceback (most recent call last)" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: ")


def test_a_full_disk_is_named_with_its_file(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    _train_that_raises(monkeypatch, OSError(errno.ENOSPC, "No space left on device", "runs/a"))
    result = cli("train", "--quiet")
    assert (result.exit_code, result.stderr) == (1, "error: runs/a: No space left on device\n")


def test_an_interrupt_ends_with_130_and_says_nothing(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    _train_that_raises(monkeypatch, KeyboardInterrupt())
    result = cli("train", "--quiet")
    assert (result.exit_code, result.stderr) == (130, "")


def test_termination_reaches_the_cleaning_up(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    cleaned = []

    def fake(*args: object, **kwargs: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            cleaned.append(True)

    monkeypatch.setattr(app_module.info, "_list_models", fake)
    former = signal.getsignal(signal.SIGTERM)
    result = cli("info")
    assert (result.exit_code, cleaned) == (130, [True])
    assert signal.getsignal(signal.SIGTERM) is former


@pytest.mark.parametrize("args", [["--version"], ["info", "MODEL", "--json"]], ids=" ".join)
def test_a_closed_pipe_ends_the_program_quietly(
    mddae_process: Start, header_only: Callable[..., Path], args: list[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    words = [str(header_only()) if word == "MODEL" else word for word in args]
    process = mddae_process(*words, stdout=writer)
    os.close(writer)
    _, said = process.communicate(timeout=300)
    assert said == ""
    assert process.returncode in (0, 1)


def test_help_prints_where_the_terminal_knows_ascii_only(mddae_process: Start) -> None:
    env = os.environ | {"PYTHONIOENCODING": "ascii", "COLUMNS": "80"}
    process = mddae_process("train", "--help", env=env)
    out, said = process.communicate(timeout=300)
    assert (process.returncode, said) == (0, "")
    assert "--gamma-ramp" in out
