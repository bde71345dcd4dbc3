"""Many pictures into sheets: order, failures, what is there, and memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mddae_cli.editing import Model
from mddae_cli.errors import ImageError
from mddae_cli.figures import Cells, Sweep, SweepFigure, draw_sources
from mddae_cli.images import write_image
from mddae_cli.pipeline import Drawn, Failed, Skipped, Source

FIGURE = SweepFigure((Sweep("Smiling", (0.0, 2.0)),))


@pytest.fixture
def sources(tmp_path: Path) -> list[Source]:
    """Four pictures of rising shades, the third one broken."""
    found = []
    for number in range(4):
        path = tmp_path / f"{number}.png"
        write_image(path, np.full((28, 28, 3), 10 * number, np.uint8))
        found.append(Source(str(path), path.name))
    Path(found[2].name).write_bytes(b"no picture")
    return found


class Writer:
    """Keeps what was to be written; refuses some targets."""

    def __init__(self, *refused: Path) -> None:
        self.refused = refused
        self.written: dict[Path | None, list[str]] = {}

    def __call__(self, target: Path | None, pictures: Sequence[Cells]) -> None:
        if target in self.refused:
            raise ImageError("the disk is full.")
        self.written[target] = [cells.name for cells in pictures]


def test_one_target_gets_all_pictures_in_order_but_the_broken(
    faces: Model, sources: list[Source], tmp_path: Path
) -> None:
    write, target = Writer(), tmp_path / "sheet.png"
    results = list(draw_sources(faces, [(s, target) for s in sources], FIGURE, write=write))
    assert [result.source for result in results] == sources
    assert [type(result) for result in results] == [Drawn, Drawn, Failed, Drawn]
    assert write.written == {target: ["0.png", "1.png", "3.png"]}
    first = results[0]
    assert isinstance(first, Drawn)
    assert (first.target, first.before.tolist()) == (target, [1, 1, 0])
    assert first.cells == ("reconstruction", "Smiling=0", "Smiling=2")


def test_each_target_gets_its_own_and_a_refused_one_fails_alone(
    faces: Model, sources: list[Source], tmp_path: Path
) -> None:
    jobs = [(source, tmp_path / f"out{number}.png") for number, source in enumerate(sources)]
    write = Writer(tmp_path / "out1.png")
    results = list(draw_sources(faces, jobs, FIGURE, write=write))
    assert [type(result) for result in results] == [Drawn, Failed, Failed, Drawn]
    assert isinstance(results[1], Failed)
    assert results[1].reason == "the disk is full."
    assert write.written == {jobs[0][1]: ["0.png"], jobs[3][1]: ["3.png"]}


def test_what_is_there_is_skipped_unless_it_is_to_be_made_again(
    faces: Model, sources: list[Source], tmp_path: Path
) -> None:
    jobs = [(source, tmp_path / f"out{number}.png") for number, source in enumerate(sources)]
    (tmp_path / "out0.png").write_bytes(b"earlier")
    results = list(draw_sources(faces, jobs, FIGURE, write=Writer()))
    assert [type(result) for result in results] == [Skipped, Drawn, Failed, Drawn]
    write = Writer()
    again = list(draw_sources(faces, jobs, FIGURE, overwrite=True, write=write))
    assert isinstance(again[0], Drawn)
    assert jobs[0][1] in write.written


def test_a_sheet_of_nothing_but_failures_is_not_written(
    faces: Model, sources: list[Source], tmp_path: Path
) -> None:
    write = Writer()
    results = list(draw_sources(faces, [(sources[2], tmp_path / "a.png")], FIGURE, write=write))
    assert ([type(result) for result in results], write.written) == ([Failed], {})


def test_pictures_do_not_pile_up_before_a_slow_disk(
    faces: Model, sources: list[Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    jobs = [(sources[0], tmp_path / f"{number}.out.png") for number in range(60)]
    lock, held, most = threading.Lock(), [0], [0]

    def write(target: Path | None, pictures: Sequence[Cells]) -> None:
        time.sleep(0.005)
        with lock:
            held[0] += 1

    drawn = faces.batches  # type: ignore[attr-defined]
    for _ in draw_sources(faces, jobs, FIGURE, batch_size=4, write=write):
        with lock:
            most[0] = max(most[0], len(drawn) - held[0])
    assert held[0] == 60
    assert most[0] <= 2 * 2 + 1
