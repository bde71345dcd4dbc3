"""What probes learn from: with an erasure, only pictures that it was not fitted to."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch

from mddae_cli.cli.card_notes import notes
from mddae_cli.data import Table, load_table
from mddae_cli.editing import Model
from mddae_cli.evaluation.codes import codes_of
from mddae_cli.evaluation.readable import Readable, readable
from mddae_cli.evaluation.scorecard import ScoreCard, measure_leaks
from mddae_cli.evaluation.subject import Subject
from mddae_cli.header import Header
from mddae_cli.model import AutoEncoder
from mddae_cli.reporting import Silent
from mddae_cli.runtime import generator

CPU = torch.device("cpu")
ModelOf = Callable[..., Model]


@pytest.fixture(scope="module")
def table() -> Table:
    return load_table("digits", limit=600)


@pytest.fixture
def model_of(tiny_header: Header, table: Table) -> ModelOf:
    """Return a function that makes a model with an erasure fitted to so many pictures."""

    def make(count: int, *, flip: bool = False) -> Model:
        spec = dataclasses.replace(tiny_header.model, erase_directions=2)
        torch.manual_seed(0)
        net = AutoEncoder(spec).eval()
        with torch.no_grad():
            for tower in (net.encoder.to_logits, net.encoder.to_z):
                tower.out.weight.mul_(50)  # untrained, all pictures look alike to it
        config = tiny_header.config | {"flip": flip}
        model = Model(net, dataclasses.replace(tiny_header, model=spec, config=config), CPU)
        if count:
            codes = codes_of(model, table.images, table.splits["train"][:count])
            assert net.erasure is not None
            net.erasure.fit(codes.z, codes.y_hat, torch.arange(count))
        return model

    return make


def subject_of(model: Model, table: Table) -> Subject:
    test = table.splits["test"]
    codes = codes_of(model, table.images, test)
    return Subject(model, table, test, codes, None, None, None, 100, None, 0, Silent())


def read(model: Model, table: Table) -> tuple[Readable, torch.Tensor]:
    """Return what probes get of a model, and the codes' own z of the train part."""
    train = table.splits["train"]
    return readable(subject_of(model, table), train), codes_of(model, table.images, train).z


def test_without_a_fitted_erasure_probes_learn_from_the_codes(
    model_of: ModelOf, table: Table
) -> None:
    found, z = read(model_of(0), table)
    assert not found.refitted
    torch.testing.assert_close(found.z, z)
    assert np.array_equal(found.labels, table.labels[table.splits["train"]])


def test_a_fitted_erasure_is_fitted_again_whatever_it_was_fitted_to(
    model_of: ModelOf, table: Table
) -> None:
    (first, z), (second, _) = read(model_of(200), table), read(model_of(400), table)
    assert first.refitted
    assert len(first.z) == len(z) // 2
    torch.testing.assert_close(first.z, second.z, rtol=1e-3, atol=1e-4)
    assert float((first.z[:, None] - z).abs().sum(dim=2).min()) > 1e-3


def test_mirror_images_make_up_for_the_half_that_is_missing(
    model_of: ModelOf, table: Table
) -> None:
    plain, _ = read(model_of(400), table)
    found, z = read(model_of(400, flip=True), table)
    assert len(found.z) == len(z)
    assert torch.equal(found.labels, plain.labels.repeat(2, 1))


def test_pictures_that_probes_learn_from_have_no_say_in_the_erasure(
    model_of: ModelOf, table: Table
) -> None:
    model = model_of(400)
    before, _ = read(model, table)
    rows = table.splits["train"]
    changed = []
    for some in (rows[: len(rows) // 2], rows[len(rows) // 2 :]):
        images = table.images.copy()
        images[some] = 255 - images[some]
        after, _ = read(model, dataclasses.replace(table, images=images))
        changed.append((after.z_new - before.z_new).abs().max())
    assert min(changed) > 1e-3  # the halves are mixed, so either has a say

    order = torch.randperm(len(rows), generator=generator(0, "probe/erasure")).numpy()
    images = table.images.copy()
    unseen = rows[order[-(len(rows) // 2) :]]
    images[unseen] = 255 - images[unseen]
    after, _ = read(model, dataclasses.replace(table, images=images))
    assert torch.equal(after.z_new, before.z_new)
    assert not torch.equal(after.z, before.z)


@pytest.mark.parametrize("count", [0, 400])
def test_the_leak_says_whether_its_erasure_was_fitted_again(
    model_of: ModelOf, table: Table, count: int
) -> None:
    (leak,) = measure_leaks(subject_of(model_of(count), table), ["linear"])
    rows = len(table.splits["train"])
    assert (leak.refitted, leak.num_train) == ((True, rows // 2) if count else (False, rows))
    card = ScoreCard(table.name, "test", leak.num_test, table.names, leaks=(leak,))
    told = [line for line in notes([("it", card)], []) if "fitted again" in line]
    assert len(told) == leak.refitted
