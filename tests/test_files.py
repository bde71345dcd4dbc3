"""Files that are whole or not there, whatever ends the process."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mddae_cli.files import write_bytes

needs_nameless = pytest.mark.skipif(
    not hasattr(os, "O_TMPFILE"), reason="this system has no files without a name"
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=["nameless", "named"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to write: a system may have files without a name, or not."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    return str(request.param)


def test_a_file_is_written_and_replaced_and_nothing_else_stays(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.bin"
    for data in (b"first", b"second"):
        write_bytes(path, data)
        assert path.read_bytes() == data
        assert names(tmp_path) == ["a.bin"]


def test_what_was_there_stays_where_the_disk_refuses(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.bin").write_bytes(b"old")

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    for name in ("a.bin", "b.bin"):
        with pytest.raises(OSError, match="No space left"):
            write_bytes(tmp_path / name, b"new")
    assert names(tmp_path) == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"old"


def test_the_longest_name_of_any_script_can_be_written(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("🙂" * 62 + ".png")
    for _ in range(2):
        write_bytes(path, b"x")
    assert names(tmp_path) == [path.name]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_the_umask_is_respected_and_never_changed(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = os.umask(0o027)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(os, "umask", lambda mask: pytest.fail("was changed for other threads"))
            write_bytes(tmp_path / "a", b"x")
            write_bytes(tmp_path / "a", b"x")
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


@needs_nameless
def test_a_process_that_is_killed_while_it_writes_leaves_nothing(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from mddae_cli.files import write_atomically\n"
        "def write(handle):\n"
        "    handle.write(b'half'); handle.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_atomically(sys.argv[1], write)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.bin")], check=False)
    assert done.returncode == -9
    assert names(tmp_path) == []
