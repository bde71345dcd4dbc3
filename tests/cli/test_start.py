"""What a command has to import before its work begins."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mddae_cli.cli import app as application

_MODULES = "\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
_COUNT_COLLECTIONS = """
import atexit, gc, sys
from mddae_cli.cli.app import main

atexit.register(lambda: print(gc.get_freeze_count(), gc.get_stats()[2]["collections"], flush=True))
sys.argv = ["mddae", "edit", sys.argv[1], "--set", "Smiling=1.5", "-o", "out.png", "-q"]
main()
"""
_EDIT = """
import sys
from mddae_cli.cli.app import app
app(["edit", sys.argv[1], "--set", "Smiling=1.5", "-o", "out.png", "-q"], standalone_mode=False)
"""


def modules_after(script: str, *words: str) -> set[str]:
    """Return the modules that a process has imported at its end."""
    done = subprocess.run(
        [sys.executable, "-c", script + _MODULES, *words],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture
def collection() -> Iterator[None]:
    """Set garbage collection back to what it was before ``main``."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


@pytest.mark.usefixtures("collection")
@pytest.mark.parametrize("given", [None, "ACTIVE"])
def test_threads_of_torch_wait_without_spinning_unless_told_to(
    given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []
    monkeypatch.setattr(application, "app", lambda **_: seen.append(os.getenv("OMP_WAIT_POLICY")))
    monkeypatch.setenv("OMP_WAIT_POLICY", "")  # whatever main sets is taken back afterwards
    if given is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    else:
        monkeypatch.setenv("OMP_WAIT_POLICY", given)
    application.main()
    assert seen == [given or "PASSIVE"]


def test_edit_imports_little_beside_torch(picture: Path) -> None:
    added = modules_after(_EDIT, str(picture)) - modules_after("import torch")
    assert Path("out.png").is_file()
    packages = {name.partition(".")[0] for name in added}
    heavy = {"torchvision", "sklearn", "scipy", "matplotlib", "pandas", "pytorch_msssim", "dcor"}
    assert not packages & heavy
    assert not {name for name in added if name.startswith(("torch.", "sympy", "triton"))}
    unneeded = {"evaluation", "training", "data", "losses", "metrics"}
    assert not {f"mddae_cli.{name}" for name in unneeded} & added


def test_what_torch_loads_is_not_searched_for_garbage(picture: Path) -> None:
    command = [sys.executable, "-c", _COUNT_COLLECTIONS, str(picture)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    frozen, searches = map(int, done.stdout.split()[-2:])
    assert frozen > 100_000
    assert searches <= 1
