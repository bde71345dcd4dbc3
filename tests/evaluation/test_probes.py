"""Probes on latents whose content is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mddae_cli import metrics
from mddae_cli.config import TargetKind
from mddae_cli.evaluation import LeakScores, Probe, probe_leak
from mddae_cli.evaluation.probes import shuffled_leak

ATTRIBUTES, CLASSES = TargetKind.ATTRIBUTES, TargetKind.CLASSES
PROBES = list(Probe)


def normals(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def probe(z: torch.Tensor, y: torch.Tensor, kind: TargetKind, which: Probe) -> LeakScores:
    """Fit on two thirds of the rows, measure on the rest."""
    cut = len(z) * 2 // 3
    return probe_leak(z[:cut], y[:cut], z[cut:], y[cut:], kind, probe=which)


@pytest.mark.parametrize("which", PROBES)
def test_a_latent_that_holds_the_attributes_is_read_completely(which):
    z = normals(900, 6)
    scores = probe(z, (z[:, :3] > 0).to(torch.uint8), ATTRIBUTES, which)
    assert scores.mean > 0.99
    assert min(scores.per_name) > 0.99
    assert (scores.measure, scores.chance) == ("auroc", 0.5)


@pytest.mark.parametrize("which", PROBES)
def test_an_independent_latent_gives_chance(which):
    y = (normals(3000, 4, seed=1) > 0.5).to(torch.uint8)
    scores = probe(normals(3000, 5), y, ATTRIBUTES, which)
    assert scores.mean == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("which", PROBES)
def test_classes_are_read_where_the_latent_holds_them(which):
    labels = torch.arange(900) % 3
    y = torch.nn.functional.one_hot(labels)
    z = normals(900, 4)
    z[torch.arange(900), labels] += 20.0
    scores = probe(z, y, CLASSES, which)
    assert scores.mean > 0.99
    assert scores.per_name == pytest.approx((1.0, 1.0, 1.0), abs=0.02)
    assert scores.measure == "accuracy"


@pytest.mark.parametrize("which", PROBES)
def test_an_independent_latent_gives_the_majority_of_classes(which):
    labels = (torch.rand(3000, generator=torch.Generator().manual_seed(3)) > 0.7).long()
    scores = probe(normals(3000, 5), torch.nn.functional.one_hot(labels), CLASSES, which)
    assert scores.chance == pytest.approx(0.7, abs=0.03)
    assert scores.mean == pytest.approx(scores.chance, abs=0.02)


def test_chance_is_what_the_most_frequent_training_class_reaches_on_the_test_rows():
    y_train, y_test = torch.eye(2)[[0, 0, 0, 1]], torch.eye(2)[[0, 1, 1, 1]]
    scores = probe_leak(normals(4, 1), y_train, normals(4, 1), y_test, CLASSES)
    assert scores.chance == 0.25


def test_what_is_not_linear_is_read_by_the_mlp_alone():
    z = normals(2400, 3)
    y = (z[:, :1] * z[:, 1:2] > 0).to(torch.uint8)
    assert probe(z, y, ATTRIBUTES, Probe.LINEAR).mean < 0.6
    assert probe(z, y, ATTRIBUTES, Probe.MLP).mean > 0.9


def test_the_small_probe_sees_less_than_the_mlp():
    z = normals(9000, 6)
    y = (z[:, :4].prod(dim=1, keepdim=True) > 0).to(torch.uint8)
    small, full = (probe(z, y, ATTRIBUTES, which).mean for which in (Probe.SMALL_MLP, Probe.MLP))
    assert 0.6 < small < full - 0.05


def test_a_label_in_a_direction_of_tiny_variance_is_read_all_the_same():
    z = normals(1500, 8)
    y = (z[:, :2] + 0.3 * normals(1500, 2, seed=1) > 0).to(torch.uint8)
    plain = probe(z, y, ATTRIBUTES, Probe.LINEAR)
    scaled = z * torch.tensor([1e-2, 1e-1, 1, 1, 10, 50, 1, 1]) + 5.0
    mixed = scaled @ torch.linalg.qr(normals(8, 8, seed=2))[0]
    assert probe(mixed, y, ATTRIBUTES, Probe.LINEAR).mean == pytest.approx(plain.mean, abs=0.01)


def test_constant_columns_of_the_latent_do_no_harm():
    z = torch.cat([normals(600, 2), torch.ones(600, 2)], dim=1)
    y = (z[:, :1] > 0).to(torch.uint8)
    assert probe(z, y, ATTRIBUTES, Probe.LINEAR).mean > 0.99


def test_the_linear_probe_is_as_strong_as_scikit_learns():
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    z = normals(1500, 20) @ normals(20, 20, seed=1)
    y = (z[:, :3] / 4 + 0.3 * normals(1500, 20, seed=2)[:, :3] * 5 > 1.0).to(torch.uint8)
    scores = probe(z, y, ATTRIBUTES, Probe.LINEAR)
    scaler = StandardScaler().fit(z[:1000])
    for k in range(3):
        other = LogisticRegression(max_iter=1000)
        other.fit(scaler.transform(z[:1000]), y[:1000, k])
        seen = torch.from_numpy(other.decision_function(scaler.transform(z[1000:])))
        area = float(metrics.auroc(seen[:, None], y[1000:, k : k + 1]))
        assert scores.per_name[k] > area - 0.005


@pytest.mark.parametrize("which", PROBES)
def test_the_same_seed_reads_the_same_and_leaves_torchs_own_generator_alone(which):
    z, y = normals(300, 5), (normals(300, 2, seed=4) > 0).to(torch.uint8)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = probe(z, y, ATTRIBUTES, which)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    assert probe(z, y, ATTRIBUTES, which) == first


def test_another_seed_holds_other_rows_out():
    z, y = normals(200, 5), (normals(200, 2, seed=4) > 0).to(torch.uint8)
    scores = [probe_leak(z, y, z, y, ATTRIBUTES, probe="mlp", seed=s).mean for s in (0, 1)]
    assert scores[0] != scores[1]


def test_an_attribute_that_the_test_rows_do_not_define_is_none_and_not_in_the_mean():
    z = normals(300, 3)
    y = torch.stack([z[:, 0] > 0, torch.ones(300, dtype=torch.bool)], dim=1).to(torch.uint8)
    scores = probe(z, y, ATTRIBUTES, Probe.LINEAR)
    assert scores.per_name[1] is None
    assert scores.mean == scores.per_name[0]


def test_numpy_and_half_precision_are_taken():
    z = normals(300, 3)
    y = (z[:, :1] > 0).numpy().astype(np.uint8)
    halves = z.to(torch.bfloat16)
    assert probe_leak(halves, y, z.numpy(), y, ATTRIBUTES).mean > 0.99


@pytest.mark.parametrize(
    ("z", "y", "z_new", "y_new"),
    [
        ((9, 2), (8, 1), (9, 2), (9, 1)),
        ((9, 2), (9, 1), (9, 3), (9, 1)),
        ((9, 2), (9, 1), (9, 2), (9, 2)),
        ((3, 2), (3, 1), (9, 2), (9, 1)),
        ((9, 2), (9, 1), (0, 2), (0, 1)),
        ((9,), (9, 1), (9, 2), (9, 1)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(z, y, z_new, y_new):
    with pytest.raises(ValueError, match=r"latents|columns|matrix"):
        probe_leak(*(torch.zeros(shape) for shape in (z, y, z_new, y_new)), ATTRIBUTES)


def test_an_unknown_probe_is_refused():
    y = torch.eye(4)
    with pytest.raises(ValueError, match="forest"):
        probe_leak(y, y, y, y, CLASSES, probe="forest")


def test_shuffled_labels_leave_a_probe_at_chance():
    rng = np.random.default_rng(3)
    y = rng.integers(0, 2, (800, 3))
    z = np.concatenate([y * 2.0, rng.normal(size=(800, 3))], axis=1)  # z holds every label
    fitting = z[:600], y[:600], z[600:], y[600:], TargetKind.ATTRIBUTES
    leak = shuffled_leak(probe_leak(*fitting), *fitting)
    assert leak.mean == 1.0
    assert leak.shuffled == pytest.approx(0.5, abs=0.12)
