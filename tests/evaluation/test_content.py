"""What the cache keeps, and when it is made again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mddae_cli.config import TargetKind
from mddae_cli.evaluation.content import (
    keep,
    kept,
    kept_figures,
    model_digest,
    rows_digest,
    table_digest,
)

KIND = TargetKind.ATTRIBUTES


@dataclass(frozen=True)
class Figures:
    mean: float
    matrix: tuple[tuple[float | None, ...], ...]


@pytest.fixture
def counted() -> tuple[list[int], Any]:
    calls: list[int] = []

    def measure() -> Figures:
        calls.append(1)
        return Figures(0.1, ((None, 2.0), (3.0, None)))

    return calls, measure


def test_tensors_and_values_come_back(tmp_path: Path, recorder: Any) -> None:
    path = tmp_path / "new" / "a.safetensors"
    assert kept(path) is None
    keep(path, {"w": torch.arange(3.0)}, recorder, threshold=0.1)
    tensors, about = kept(path)
    assert tensors["w"].tolist() == [0.0, 1.0, 2.0]
    assert about == {"threshold": 0.1}
    path.write_bytes(path.read_bytes()[:20])
    assert kept(path) is None


def test_figures_are_measured_once_and_are_the_same(
    tmp_path: Path, recorder: Any, counted: tuple[list[int], Any]
) -> None:
    calls, measure = counted
    path = tmp_path / "a.safetensors"
    first = kept_figures(path, measure, Figures, recorder)
    assert kept_figures(path, measure, Figures, recorder) == first
    assert calls == [1]
    path.write_bytes(b"")
    assert kept_figures(path, measure, Figures, recorder) == first
    assert calls == [1, 1]
    kept_figures(None, measure, Figures, recorder)
    assert calls == [1, 1, 1]


def test_what_is_no_number_is_not_kept(tmp_path: Path, recorder: Any) -> None:
    path = tmp_path / "a.safetensors"
    found = kept_figures(path, lambda: Figures(math.nan, ()), Figures, recorder)
    assert math.isnan(found.mean)
    assert not path.exists()


def test_a_cache_that_cannot_be_written_stops_nothing(tmp_path: Path, recorder: Any) -> None:
    (tmp_path / "file").touch()
    keep(tmp_path / "file" / "a.safetensors", {}, recorder)
    assert "cannot be kept" in recorder.lines[0]


def test_a_table_s_digest_depends_on_pictures_labels_parts_and_what_is_told(
    pixel_table: Any, attributes: np.ndarray
) -> None:
    def digest(change: str = "") -> str:
        table = pixel_table(attributes, KIND)
        if change == "images":
            table.images[0] ^= 1
        if change == "labels":
            table.labels[0, 0] ^= 1
        if change in ("train", "test"):
            table.splits[change] = table.splits[change][1:]
        return table_digest(table, change == "about")

    changes = ("", "images", "labels", "train", "about")
    assert digest() == digest("test")  # what is learnt from the train part does not care
    assert len({digest(change) for change in changes}) == len(changes)


def test_rows_are_known_by_their_own_pictures_and_labels(
    pixel_table: Any, attributes: np.ndarray
) -> None:
    table = pixel_table(attributes, KIND)
    rows, first = table.splits["test"], rows_digest(table, table.splits["test"])
    assert first != rows_digest(table, rows[1:])
    table.images[rows[0]] ^= 1
    second = rows_digest(table, rows)
    table.labels[rows[0], 0] ^= 1
    assert len({first, second, rows_digest(table, rows)}) == 3


def test_a_model_without_weights_has_no_digest(pixel_model: Any) -> None:
    assert model_digest(pixel_model(KIND)) is None
