"""A verifier of made-up people, and models that keep or change them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mddae_cli.config import TargetKind
from mddae_cli.evaluation import verifier as verifying
from mddae_cli.evaluation.codes import codes_of
from mddae_cli.evaluation.identity import IdentityScores, identity_scores, verifier_scores
from mddae_cli.evaluation.sweeps import Viewers, look, sweep
from mddae_cli.evaluation.verifier import load_or_fit_verifier, real_embeddings
from mddae_cli.reporting import Silent

ATTRIBUTES = TargetKind.ATTRIBUTES


@pytest.fixture
def people() -> np.ndarray:
    """One of 80 people in each of 400 rows; nobody is in two parts of a table."""
    return np.repeat(np.arange(80), 5)


@pytest.fixture
def table(pixel_table: Any, people: np.ndarray) -> Any:
    """Faces: a pattern of the person, with noise over it; the first pixels are labels."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, (400, 4)).astype(np.uint8)
    table = pixel_table(labels, ATTRIBUTES)
    pattern = rng.integers(0, 200, (80, 12, 12, 1))[people]
    images = (pattern + rng.integers(0, 56, pattern.shape)).astype(np.uint8)
    images.reshape(400, -1)[:, :4] = labels * 255
    object.__setattr__(table, "images", images)
    return table


class Stranger(torch.nn.Module):
    """Wraps a net: with a hat it draws the same stranger whoever it was."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name) if name == "net" else getattr(self.net, name)

    def decode(self, y_hat: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        x = self.net.decode(y_hat, z)
        stranger = torch.rand(x.shape[1:], generator=torch.Generator().manual_seed(9))
        return torch.where((y_hat[:, 0] > 1.5)[:, None, None, None], stranger, x)


def measured(model: Any, table: Any, people: np.ndarray, batch: int = 250) -> list[IdentityScores]:
    rows = table.splits["test"]
    verifier = load_or_fit_verifier(table, people)
    images = table.images[rows]
    viewers = Viewers({"identity": verifier.embed})
    codes = codes_of(model, images, np.arange(len(rows)), batch)
    plain = look(model, codes, viewers.all(), batch)
    lacking = torch.from_numpy(np.flatnonzero(table.labels[rows, 0] == 0))
    more: Any = {"batch_size": batch, "reporter": Silent()}
    swept = sweep(model, codes, viewers, "Hat", [1.0, 2.0], plain, lacking, **more)
    real = real_embeddings(verifier, images)
    return list(identity_scores(swept, verifier, real, people[rows]))


@pytest.mark.usefixtures("cache")
def test_a_model_that_keeps_the_person_and_one_that_does_not(pixel_model, table, people):
    kept = measured(pixel_model(ATTRIBUTES, paints=(0,)), table, people)
    assert [s.value for s in kept] == [None, 1.0, 2.0]
    assert min(s.matched for s in kept) > 0.9
    model = pixel_model(ATTRIBUTES, paints=(0,))
    object.__setattr__(model, "net", Stranger(model.net))
    plain, one, two = measured(model, table, people)
    assert min(plain.matched, one.matched) > 0.9
    assert two.matched < 0.2
    assert two.similarity < one.similarity - 0.3


@pytest.mark.usefixtures("cache")
def test_the_verifier_s_own_figures_are_of_people_it_has_not_seen(table, people):
    verifier = load_or_fit_verifier(table, people)
    rows = table.splits["test"]
    told = verifier_scores(verifier, real_embeddings(verifier, table.images[rows]), people[rows])
    assert told.num_people == 16
    assert told.auroc > 0.95
    assert told.matches_same > 0.85 > 0.2 > told.matches_other
    assert told.same > told.other + 0.3


def test_without_structure_a_verifier_is_a_coin(table, people, cache):
    object.__setattr__(
        table, "images", np.random.default_rng(0).integers(0, 256, table.images.shape, np.uint8)
    )
    verifier = load_or_fit_verifier(table, people)
    rows = table.splits["test"]
    told = verifier_scores(verifier, real_embeddings(verifier, table.images[rows]), people[rows])
    assert told.auroc == pytest.approx(0.5, abs=0.1)


@pytest.mark.usefixtures("cache")
def test_the_batch_size_changes_nothing(pixel_model, table, people):
    model = pixel_model(ATTRIBUTES, paints=(0,))
    first, other = measured(model, table, people, 7), measured(model, table, people, 100)
    assert [s.matched for s in first] == [s.matched for s in other]
    assert [s.similarity for s in first] == pytest.approx([s.similarity for s in other], abs=1e-6)


def test_a_verifier_is_kept_and_depends_on_who_is_who(table, people, cache, monkeypatch):
    first = load_or_fit_verifier(table, people)
    fits: list[int] = []
    real = verifying._fit
    monkeypatch.setattr(verifying, "_fit", lambda *args: (fits.append(1), real(*args))[1])
    again = load_or_fit_verifier(table, people)
    assert (again.threshold, fits) == (first.threshold, [])
    assert torch.equal(again.turn, first.turn)
    load_or_fit_verifier(table, people[::-1].copy())
    assert fits == [1]


def test_too_few_people_make_no_verifier(table, people, cache):
    assert load_or_fit_verifier(table, np.arange(400)) is None
    assert load_or_fit_verifier(table, np.full(400, -1)) is None
