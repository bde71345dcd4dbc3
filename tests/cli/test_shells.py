"""The completion scripts in real shells: what a line becomes when Tab is pressed."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mddae_cli.config import TargetKind

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "completions"
Write = Callable[..., Path]
# Each shell runs a file of ours at its start that lets Ctrl-X p write the line into a file.
_BASH = r"""
PS1='ready> '
source SCRIPTS/mddae.bash
show() { printf '%s' "$READLINE_LINE" > line.tmp; mv line.tmp line; }
bind -x '"\C-xp": show'
"""
_ZSH = r"""
PS1='ready> ' LISTMAX=10000
fpath=(SCRIPTS $fpath)
autoload -Uz compinit && compinit -u -d zcompdump
show() { print -rn -- "$BUFFER" > line.tmp; mv line.tmp line }
zle -N show && bindkey '^Xp' show
"""

# What is typed, and what bash and zsh make of it.
TABS = {
    "mddae edi": "mddae edit ",
    "mddae edit --overw": "mddae edit --overwrite ",
    "mddae edit --fro": "mddae edit --from-",
    "mddae edit --set Eyeg": "mddae edit --set Eyeglasses=",
    "mddae edit --set=Eyeg": "mddae edit --set=Eyeglasses=",
    "mddae edit --set Eyeglasses=": "mddae edit --set Eyeglasses=",
    "mddae edit --align ey": "mddae edit --align eyes:",
    "mddae edit --align=nev": "mddae edit --align=never ",
    "mddae edit --set Zz": "mddae edit --set Zz",
    "mddae edit picture-o": "mddae edit picture-one.png ",
    "mddae edit --remove Mou": "mddae edit --remove Mouth_Slightly_Open ",
    "mddae edit --model my": r"mddae edit --model my\ run ",
    r"mddae edit --model my\ run --add Hat": r"mddae edit --model my\ run --add Hat\ red=",
    "mddae edit --model 'my run' --set Bl": "mddae edit --model 'my run' --set Blond=",
    'mddae edit --model "my run" --set "Bl': 'mddae edit --model "my run" --set "Blond=',
    "mddae swap-class --model classes --to se": "mddae swap-class --model classes --to seven ",
    "mddae evaluate my\\ run --attr Bl": "mddae evaluate my\\ run --attr Blond ",
    "mddae info celeb": "mddae info celeba64 ",
    "mddae train --dataset cel": "mddae train --dataset celeba ",
    "mddae train --preset pa": "mddae train --preset paper ",
    "mddae encode --format saf": "mddae encode --format safetensors ",
    "true | mddae edi": "true | mddae edit ",
}


@pytest.fixture(autouse=True)
def _place(header_only: Write, mddae_on_path: None, tmp_path: Path) -> None:
    """Put models and a picture into the current folder."""
    header_only(names=("Blond", "Hat red", "Smiling"), where="here/my run/model.safetensors")
    header_only(
        kind=TargetKind.CLASSES, names=("six", "seven"), where="here/classes/model.safetensors"
    )
    (tmp_path / "here" / "picture-one.png").touch()


def started(shell: str, start: str, words: list[str]) -> Iterator[int]:
    """Yield the terminal of a shell that reads ``start`` first."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    Path("start").write_text(start.replace("SCRIPTS", str(SCRIPTS)))
    near, far = pty.openpty()
    env = os.environ | {"TERM": "xterm", "ZDOTDIR": str(Path.cwd()), "HOME": str(Path.cwd())}
    Path("start").rename(".zshrc" if shell == "zsh" else "start")
    with subprocess.Popen(
        [shell, *words], stdin=far, stdout=far, stderr=far, env=env, start_new_session=True
    ) as process:
        os.close(far)
        wait(near, lambda said: b"ready> " in said)
        yield near
        process.kill()
        os.close(near)


def wait(terminal: int, there: Callable[[bytes], bool]) -> None:
    """Read what the shell prints until it has done something."""
    os.set_blocking(terminal, False)
    said = b""
    until = time.monotonic() + 60
    while not there(said):
        assert time.monotonic() < until, f"the shell does not answer: {said!r}"
        try:
            said += os.read(terminal, 65536)
        except BlockingIOError:
            time.sleep(0.02)


def tabbed(terminal: int, line: str) -> str:
    """Return what the line is after Tab, and leave an empty one."""
    Path("line").unlink(missing_ok=True)
    os.write(terminal, line.encode() + b"\t\x18p\x15")
    wait(terminal, lambda _: Path("line").exists())
    return Path("line").read_text()


@pytest.fixture
def bash() -> Iterator[int]:
    yield from started("bash", _BASH, ["--noprofile", "--rcfile", "start", "-i"])


@pytest.fixture
def zsh() -> Iterator[int]:
    yield from started("zsh", _ZSH, ["-d", "-i"])


@pytest.mark.slow
def test_bash_completes(bash: int) -> None:
    quoted = 'mddae edit --model "my run" --set "Bl'
    expected = TABS | {quoted: 'mddae edit --model "my run" --set "Blond="'}
    assert {line: tabbed(bash, line) for line in TABS} == expected


@pytest.mark.slow
def test_zsh_completes_from_the_first_tab_on(zsh: int) -> None:
    assert {line: tabbed(zsh, line) for line in TABS} == TABS


# fish completes a line given to it; what follows a value is its description.
FISH = {
    "mddae edi": ["edit\tSet attributes of pictures"],
    "mddae edit --set Eyeg": ["Eyeglasses="],
    "mddae edit --set=Eyeg": ["--set=Eyeglasses="],
    "mddae edit --set Eyeglasses=": [],
    "mddae edit --align ey": ["eyes:\tx1,y1,x2,y2 in pixels"],
    "mddae edit --set Zz": [],
    "mddae edit picture-o": ["picture-one.png"],
    "mddae edit --model my": ["my run"],
    "mddae edit --from-encoding=picture-o": ["--from-encoding=picture-one.png"],
    r"mddae edit --model my\ run --add Hat": ["Hat red="],
    "mddae swap-class --model classes --to se": ["seven"],
    "mddae info celeb": ["celeba64\tcomes with mddae"],
    "mddae train --preset pa": ["paper"],
    "true | mddae edi": ["edit\tSet attributes of pictures"],
}


@pytest.mark.slow
def test_fish_completes_and_asks_once(tmp_path: Path) -> None:
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    program = tmp_path / "bin" / "mddae"
    program.write_text(program.read_text().replace("exec", f'echo >> "{tmp_path}/asked"\nexec'))
    found = {}
    for line in FISH:
        words = ["fish", "--no-config", "-c", f"source {SCRIPTS}/mddae.fish; complete -C $argv[1]"]
        done = subprocess.run([*words, line], capture_output=True, text=True, check=True)
        found[line] = done.stdout.splitlines()
        assert done.stderr == ""
    assert found == FISH
    assert len((tmp_path / "asked").read_text()) == len(FISH)
