"""The exact regression of the latent on ŷ: nothing linear is left, reconstructions stay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from mddae_cli.config import Arch, Inject, ModelKind, TargetKind, Targets, ZNorm
from mddae_cli.header import Header, ModelSpec
from mddae_cli.model import AutoEncoder, Output
from mddae_cli.training.settling import can_settle, settle


@pytest.fixture
def spec(tiny_header: Header) -> ModelSpec:
    return replace(tiny_header.model, z_norm=ZNorm.RESIDUAL)


def pictures(spec: ModelSpec, count: int = 200) -> Iterator[torch.Tensor]:
    rng = torch.Generator().manual_seed(5)
    for _ in range(count // 20):
        yield torch.rand(20, spec.channels, spec.image_size, spec.image_size, generator=rng)


def learnt(spec: ModelSpec) -> AutoEncoder:
    """Return a model whose averages have seen some batches, and are off."""
    torch.manual_seed(0)
    net = AutoEncoder(spec)
    for x in pictures(spec, 60):
        net(x)
    return net.eval()


@torch.no_grad()
def passed(net: AutoEncoder) -> Output:
    output: Output = net(torch.cat(list(pictures(net.spec))))
    return output


def correlation(out: Output) -> float:
    """Return the largest of z with ŷ."""
    columns = torch.cat([out.y_hat, out.z], dim=1).double()
    k = out.y_hat.shape[1]
    return float(torch.corrcoef(columns.T)[:k, k:].abs().max())


CHANGES: list[dict[str, Any]] = [
    {},
    {"target_kind": TargetKind.ATTRIBUTES},
    {"arch": Arch.CDNET},
    {"inject": Inject.FIRST},
    {"image_size": 64, "channels": 3, "depth": 4},  # no connected layer before the grid
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_nothing_linear_is_left_and_reconstructions_stay(
    spec: ModelSpec, changes: dict[str, Any]
) -> None:
    net = learnt(replace(spec, **changes))
    before = passed(net)
    assert settle(net, pictures(net.spec))
    after = passed(net)
    torch.testing.assert_close(after.x_hat, before.x_hat, atol=2e-5, rtol=0)
    torch.testing.assert_close(after.logits, before.logits)
    assert correlation(before) > 0.05
    assert correlation(after) < 1e-3


def test_what_is_exact_stays_as_it_is(spec: ModelSpec) -> None:
    net = learnt(spec)
    settle(net, pictures(spec))
    state = {name: value.clone() for name, value in net.state_dict().items()}
    assert not settle(net, pictures(spec))
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def test_few_pictures_say_too_little(spec: ModelSpec) -> None:
    net = learnt(spec)
    assert not settle(net, pictures(spec, 80))
    assert settle(net, pictures(spec, 100))


@pytest.mark.parametrize(
    "changes",
    [
        {"z_norm": ZNorm.BATCH},
        {"kind": ModelKind.AE},
        {"targets": Targets.DISCRETE},
        {"flow_layers": 2},
    ],
    ids=str,
)
def test_models_whose_decoder_could_not_make_up_for_it_are_left(
    spec: ModelSpec, changes: dict[str, Any]
) -> None:
    assert can_settle(spec)
    assert not can_settle(replace(spec, **changes))
