"""Processes beside the model: what they read and write is what threads do, whatever ends them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mddae_cli import editing, images, workers
from mddae_cli.align.options import Align, AlignOptions, Size
from mddae_cli.editing import Codes, Model
from mddae_cli.formats import READ_DEFAULTS, WRITE_DEFAULTS, WriteOptions
from mddae_cli.pipeline import Edited, Failed, Result, Source, edit_photographs
from mddae_cli.workers import Workers, Written, start_workers

MODEL_SIZE = AlignOptions(size=Size.MODEL)


@pytest.fixture(scope="module")
def faces() -> Model:
    return editing.load("celeba64", device="cpu")


@pytest.fixture
def ordinary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let processes start for any number of pictures."""
    monkeypatch.setattr(workers, "WORTH_IT", 1)


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 pictures of CelebA's proportions, every seventh with alpha, every ninth broken."""
    root = tmp_path_factory.mktemp("album")
    rng = np.random.default_rng(0)
    for number in range(40):
        small = rng.integers(0, 256, (11, 9, 4 if number % 7 == 0 else 3), np.uint8)
        picture = Image.fromarray(small).resize((178, 218), Image.Resampling.BICUBIC)
        if number % 9 == 4:
            (root / f"{number:02}.png").write_bytes(b"no picture")
        else:
            picture.save(root / f"{number:02}.png")
    return root


def start(model: Model, count: int, options: AlignOptions = MODEL_SIZE) -> Iterator[Workers | None]:
    return start_workers(count, model.header, options, READ_DEFAULTS, WRITE_DEFAULTS)  # type: ignore[return-value]


def run(
    model: Model,
    names: list[str],
    out: Path,
    pool: Workers | None,
    options: AlignOptions = MODEL_SIZE,
    during: Callable[[], None] = lambda: None,
) -> tuple[list[Result], list[str]]:
    """Return what became of each picture, and which of them this process has written."""
    jobs = [(Source(name, Path(name).name), out / f"{Path(name).stem}.png") for name in names]
    here: list[str] = []

    def write(target: Path | None, picture: object) -> None:
        assert target is not None
        assert isinstance(picture, np.ndarray)
        here.append(target.name)
        images.make_folder(target)
        images.write_image(target, picture)

    change: Callable[[Codes], Codes] = lambda codes: codes.set({"Smiling": 1.5})  # noqa: E731
    results = []
    flow = edit_photographs(model, jobs, change, options, write=write, workers=pool, batch_size=8)
    for result in flow:
        results.append(result)
        during()
    return results, here


def names_of(folder: Path) -> list[str]:
    return [str(path) for path in sorted(folder.iterdir())]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.usefixtures("ordinary")
def test_they_give_what_threads_give(faces: Model, album: Path, tmp_path: Path) -> None:
    names = [*names_of(album), str(tmp_path / "missing.png")]
    plain, here = run(faces, names, tmp_path / "plain", None)
    assert len(here) == 36
    with start(faces, len(names)) as pool:
        results, here = run(faces, names, tmp_path / "out", pool)
    assert here == []
    assert contents(tmp_path / "out") == contents(tmp_path / "plain")
    assert len(results) == len(plain) == 41
    for result, wanted in zip(results, plain, strict=True):
        assert type(result) is type(wanted)
        assert result.source == wanted.source
        if isinstance(result, Failed) and isinstance(wanted, Failed):
            assert result.reason == wanted.reason
        if isinstance(result, Edited) and isinstance(wanted, Edited):
            np.testing.assert_array_equal(result.after, wanted.after)
            assert result.elapsed_s > 0


@pytest.mark.usefixtures("ordinary")
def test_what_is_no_work_for_them_is_done_here(faces: Model, album: Path, tmp_path: Path) -> None:
    """A face has to be found in the square one, and the other's file is large."""
    noise = np.random.default_rng(0).integers(0, 256, (1090, 890, 3), np.uint8)
    large, square, small = tmp_path / "a.png", tmp_path / "b.png", names_of(album)[1]
    Image.fromarray(noise).save(large)
    Image.fromarray(noise[:300, :300]).save(square)
    with start(faces, 3) as pool:
        results, here = run(faces, [str(large), str(square), small], tmp_path / "out", pool)
    assert [type(result) for result in results] == [Edited, Failed, Edited]
    assert isinstance(results[1], Failed)
    assert results[1].reason.startswith("shows no face")
    assert here == ["a.png"]


@pytest.mark.usefixtures("ordinary")
def test_a_result_that_cannot_be_written_fails_alone(
    faces: Model, album: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / "02.png").mkdir(parents=True)
    jobs = names_of(album)[:4]
    with start(faces, len(jobs)) as pool:
        flow = edit_photographs(
            faces,
            [(Source(name, name), out / Path(name).name) for name in jobs],
            lambda codes: codes,
            MODEL_SIZE,
            overwrite=True,
            write=lambda target, picture: pytest.fail("written here"),
            workers=pool,
        )
        results = list(flow)
    assert [type(result) for result in results] == [Edited, Edited, Failed, Edited]
    assert isinstance(results[2], Failed)
    assert "02.png" in results[2].reason


@pytest.mark.usefixtures("ordinary")
def test_when_they_are_killed_all_is_done_none_the_less(
    faces: Model, album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = names_of(album)
    written_here: list[int] = []
    real = workers._write_each

    def counted(results: list[tuple[Path, images.Pixels]], options: WriteOptions) -> list[Written]:
        written_here.append(len(results))
        return real(results, options)

    monkeypatch.setattr(workers, "_write_each", counted)
    run(faces, names, tmp_path / "plain", None)
    with start(faces, len(names)) as pool:
        assert pool is not None

        def kill() -> None:
            for number in list(pool._pool._processes or ()):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)

        results, _ = run(faces, names, tmp_path / "out", pool, during=kill)
    assert len(results) == len(names)
    assert contents(tmp_path / "out") == contents(tmp_path / "plain")
    assert written_here


def test_few_pictures_and_whole_photographs_are_for_threads(faces: Model) -> None:
    few = workers.WORTH_IT - 1
    for count, options in [
        (few, MODEL_SIZE),
        (9999, AlignOptions(size=Size.NATIVE)),
        (9999, AlignOptions(Align.ALWAYS)),
    ]:
        with start(faces, count, options) as pool:
            assert pool is None
    with start(faces, workers.WORTH_IT) as pool:
        assert pool is not None


def test_a_system_without_semaphores_goes_without_them(
    faces: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no semaphores")

    monkeypatch.setattr(workers, "ProcessPoolExecutor", refuse)
    with start(faces, 9999) as pool:
        assert pool is None


def test_they_import_no_torch() -> None:
    script = "import sys, mddae_cli.workers; print([m for m in sys.modules if m == 'torch'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


# A process of its own, which may be killed; in the background a shell has SIGINT ignored.
_EDIT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from mddae_cli import workers
workers.WORTH_IT = 1
from mddae_cli.cli.app import main
main()
"""


def edit_until(album: Path, out: Path, number: int) -> tuple[int, str, list[int]]:
    """Send a signal to the command's group while it edits; exit code, stderr, workers left."""
    many = out.parent / "many"
    many.mkdir()
    original = (album / "01.png").read_bytes()
    for place in range(3000):
        (many / f"{place:04}.png").write_bytes(original)
    words = ["edit", str(many), "--set", "Smiling=1", "-q", "-o", str(out), "--device", "cpu"]
    with subprocess.Popen(
        [sys.executable, "-c", _EDIT, *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        while process.poll() is None and not (out.is_dir() and any(out.iterdir())):
            time.sleep(0.01)
        children = descendants(process.pid)
        if number == signal.SIGKILL:
            process.kill()
        else:
            os.killpg(process.pid, number)
        # A worker that lives holds the other end.
        said = process.communicate(timeout=60)[1]
    assert len(children) >= 2
    end = time.monotonic() + 10
    while any(alive(child) for child in children) and time.monotonic() < end:
        time.sleep(0.01)
    return process.returncode, said, [child for child in children if alive(child)]


def descendants(number: int) -> list[int]:
    found = Path(f"/proc/{number}/task/{number}/children").read_text().split()
    return [int(child) for child in found]


def alive(number: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{number}/status").read_text()
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_they_end_with_the_command(album: Path, tmp_path: Path, number: int, code: int) -> None:
    returned, said, left = edit_until(album, tmp_path / "out", number)
    assert (returned, left) == (code, [])
    # Of a killed process Python itself tells that its semaphores were left.
    assert not said or number == signal.SIGKILL
    for path in (tmp_path / "out").iterdir():
        images.read_image(path)
