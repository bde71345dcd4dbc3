"""The command line under test: a runner without a terminal, and small models for it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from mddae_cli.config import TargetKind
from mddae_cli.header import METADATA_KEY, Header, read_header

# Typer reads this when it is imported: no colour, whatever runs the tests.
os.environ["_TYPER_FORCE_DISABLE_TERMINAL"] = "1"
Cli = Callable[..., Result]


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run in an empty folder, 120 columns wide, with nothing of ours in the environment."""
    for name in ("MDDAE_MODEL", "NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def cli() -> Cli:
    """Return a function that runs ``mddae`` with arguments inside this process."""
    from mddae_cli.cli.app import app

    def invoke(*args: object, **env: str) -> Result:
        return CliRunner(env=env).invoke(app, [str(arg) for arg in args], prog_name="mddae")

    return invoke


@pytest.fixture
def mddae_process() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Yield a function that starts ``python -m mddae_cli`` as a process of its own."""
    with contextlib.ExitStack() as started:

        def start(*args: object, **more: Any) -> subprocess.Popen[str]:
            command = [sys.executable, "-m", "mddae_cli", *map(str, args)]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
            process = started.enter_context(subprocess.Popen(command, **({"text": True} | pipes)))
            started.callback(process.kill)
            return process

        yield start


@pytest.fixture
def mddae_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let shells find this code by the name ``mddae``."""
    script = tmp_path / "bin" / "mddae"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mddae_cli "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")


_COUNT = """
import sys

count = 0


def profile(frame, event, arg):
    global count
    count += event == "call"


sys.setprofile(profile)
{script}
sys.setprofile(None)
print(count, file=sys.stderr)
"""


@pytest.fixture(scope="session")
def calls_of() -> Callable[..., int]:
    """Return a function that counts the calls of Python functions in a script.

    It runs in a process of its own, with keywords in its environment. Work that is counted is the
    same on every machine, and whatever else that machine does.
    """

    def count(script: str, **env: str) -> int:
        words = [sys.executable, "-c", _COUNT.format(script=script)]
        for _ in range(2):  # the first time modules may have to be compiled
            done = subprocess.run(
                words, capture_output=True, text=True, env=os.environ | env, check=True
            )
        return int(done.stderr.splitlines()[-1])

    return count


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory: pytest.TempPathFactory, session_cache: Path) -> Path:
    """A run folder of a tiny model of digits, hardly trained."""
    from mddae_cli import training
    from mddae_cli.config import make_config

    run = tmp_path_factory.mktemp("runs") / "digits"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MDDAE_CACHE", str(session_cache))
        config = make_config("digits", epochs=1, limit=40, width=4, latent_dim=4, batch_size=20)
        training.train(config, run)
    return run


def make_header(trained: Path, kind: TargetKind, names: tuple[str, ...], **more: Any) -> Header:
    """Return the header of a trained model with other names and records."""
    header = read_header(trained)
    model = dataclasses.replace(header.model, target_kind=kind, num_targets=len(names))
    values: dict[str, Any] = {
        "dataset": "mnist",
        "split": "random",
        "split_seed": 3,
        "config": {"preset": "mddae-dcov", "gamma": 0.1, "reg": "dcov"},
        "figures": {"val_rmse": 0.1, "y_accuracy": 0.99},
    } | more
    rates = (0.1,) * len(names)
    return dataclasses.replace(header, model=model, names=names, base_rates=rates, **values)


@pytest.fixture
def header_only(tmp_path: Path, digits_run: Path) -> Callable[..., Path]:
    """Return a function that writes a checkpoint with a header and no weights.

    A command that needs more than the header fails on it.
    """

    def write(
        kind: TargetKind = TargetKind.ATTRIBUTES,
        names: tuple[str, ...] = ("Smiling", "Eyeglasses", "No_Beard"),
        where: str = "header-only.safetensors",
        **more: Any,
    ) -> Path:
        text = make_header(digits_run, kind, names, **more).to_json()
        blob = json.dumps({"__metadata__": {METADATA_KEY: text}}).encode()
        path = tmp_path / where
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(struct.pack("<Q", len(blob)) + blob)
        return path

    return write


@pytest.fixture
def picture(make_picture: Callable[..., None], tmp_path: Path) -> Path:
    """A picture file outside the current folder."""
    path = tmp_path / "pictures" / "one.png"
    make_picture(path, 0, (28, 28))
    return path


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Three pictures in two folders, a broken one and a text."""
    from mddae_cli import images

    root = tmp_path / "album"
    (root / "sub").mkdir(parents=True)
    for number, name in enumerate(("a.png", "b.jpg", "sub/a.png")):
        images.write_image(root / name, np.full((30, 28, 3), 60 * number, np.uint8))
    (root / "bad.jpg").write_bytes(b"no picture")
    (root / "notes.txt").write_text("a text")
    return root
