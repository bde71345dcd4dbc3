"""The layers of the package, and the checks that everybody runs."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "contract", ["layers", "model-layers", "cli-layers", "cli-libraries", "light"]
)
def test_imports_keep(
    contract: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    broken = lint_imports(limit_to_contracts=(contract,), no_cache=True)
    assert not broken, capsys.readouterr().out
    assert "1 kept, 0 broken" in capsys.readouterr().out


def test_every_module_has_a_layer() -> None:
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["id"] == "layers")
    named = set(re.findall(r"\w+", " ".join(layers)))
    modules = {path.stem for path in (ROOT / "mddae_cli").glob("[!_]*.py")}
    modules |= {path.parent.name for path in (ROOT / "mddae_cli").glob("*/__init__.py")}
    assert modules <= named


def test_typer_and_rich_are_kept_out_of_every_module_but_cli() -> None:
    contracts = PYPROJECT["tool"]["importlinter"]["contracts"]
    sources = next(c["source_modules"] for c in contracts if c["id"] == "cli-libraries")
    package = ROOT / "mddae_cli"
    modules = {path.stem for path in package.glob("[!_]*.py")}
    modules |= {path.parent.name for path in package.glob("*/__init__.py")} - {"cli"}
    assert {source.removeprefix("mddae_cli.") for source in sources} == modules


def _commands(path: str, pattern: str) -> list[str]:
    return re.findall(pattern, (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)


def test_pre_commit_mirrors_the_checks_of_ci() -> None:
    script = _commands("tests/run", r"^((?:ruff|mypy|lint-imports|pytest).*)$")
    hooks = _commands(".pre-commit-config.yaml", r"^ +entry: (.*)$")
    assert [line.removesuffix(' "$@"') for line in script] == hooks
    assert len(hooks) == 5


def test_ci_runs_the_readme_s_test_command_word_for_word() -> None:
    shown = subprocess.run(
        ["bash", str(ROOT / ".ci" / "run"), "--show"], capture_output=True, text=True, check=True
    ).stdout
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"```bash\n{shown}```" in readme
    assert "pip install -e '.[dev]'" in shown
    assert "bash tests/run" in shown


def test_ci_does_without_shells_that_cannot_be_had(tmp_path: Path) -> None:
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "id").chmod(0o755)
    script = ROOT / ".ci" / "shells"
    bash = shutil.which("bash") or "bash"
    done = subprocess.run(
        [bash, str(script)], capture_output=True, env={"PATH": str(tmp_path)}, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert '"$root/.ci/shells"' in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_the_heavy_libraries_are_banned_where_the_command_line_starts() -> None:
    lint = PYPROJECT["tool"]["ruff"]["lint"]
    banned = set(lint["flake8-tidy-imports"]["banned-module-level-imports"])
    assert banned == {"torch", "torchvision", "sklearn", "matplotlib", "numpy", "PIL"}
    check = ["ruff", "check", "--quiet", "--select=TID253", "--no-cache", "-"]
    for place in ("cli/x", "cli/commands/x", "__init__", "config/options", "header", "errors"):
        done = subprocess.run(
            [*check, f"--stdin-filename=mddae_cli/{place}.py"],
            input="import torch\n",
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        assert "TID253" in done.stdout, place
