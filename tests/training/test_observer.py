"""The observer: the worst picture in a ball, what it learns from it, and its line of strengths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from mddae_cli import losses
from mddae_cli.config import TargetKind
from mddae_cli.header import Header
from mddae_cli.training.observer import Observer, perturbed

KINDS = list(TargetKind)


def labels(kind: TargetKind, n: int, k: int) -> torch.Tensor:
    if kind is TargetKind.CLASSES:
        return torch.eye(k)[torch.arange(n) % k]
    return (torch.rand(n, k, generator=torch.Generator().manual_seed(3)) < 0.5).float()


def linear_net(k: int, side: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(side * side, k))


def wrong(
    net: nn.Module, y: torch.Tensor, kind: TargetKind = TargetKind.ATTRIBUTES
) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: losses.discriminative(net(x), y, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("radius", [0.1, 2.0])
def test_a_perturbation_stays_in_its_ball_and_raises_the_loss(
    kind: TargetKind, radius: float
) -> None:
    net, y = linear_net(4, 6), labels(kind, 10, 4)
    x = torch.rand(10, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    worst = perturbed(wrong(net, y, kind), x, radius, torch.Generator().manual_seed(2))
    size = (worst - x).flatten(1).norm(dim=1)
    assert float(size.max()) <= radius * (1 + 1e-5)
    before, after = (losses.discriminative(net(picture), y, kind) for picture in (x, worst))
    assert after > before


def test_of_a_linear_net_two_steps_find_the_worst_picture() -> None:
    """For one logit w·x the loss rises along ±w, whatever else is tried."""
    net, y = linear_net(1, 6), torch.tensor([[1.0], [0.0]])
    x, radius = torch.zeros(2, 1, 6, 6), 0.5
    w = net[1].weight.detach()  # type: ignore[index]
    worst = perturbed(wrong(net, y), x, radius, torch.Generator().manual_seed(2))
    reached = (net(worst) - net(x)).flatten().abs() / (radius * w.norm())
    assert float(reached.detach().min()) > 0.9


def test_a_perturbation_teaches_the_net_nothing() -> None:
    net = linear_net(4, 6)
    x, y = torch.rand(5, 1, 6, 6), labels(TargetKind.ATTRIBUTES, 5, 4)
    worst = perturbed(wrong(net, y), x, 1.0, torch.Generator().manual_seed(2))
    assert not worst.requires_grad
    assert all(p.grad is None for p in net.parameters())


def test_pictures_on_which_the_loss_is_flat_are_not_lost() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
    nn.init.zeros_(net[1].weight)
    x, y = torch.rand(3, 1, 6, 6), torch.ones(3, 2)
    worst = perturbed(wrong(net, y), x, 1.0, torch.Generator().manual_seed(2))
    assert bool(worst.isfinite().all())


@pytest.fixture
def attributes(tiny_header: Header) -> Header:
    model = replace(tiny_header.model, target_kind=TargetKind.ATTRIBUTES, num_targets=3)
    return replace(tiny_header, model=model, names=("a", "b", "c"))


def test_the_radius_is_in_parts_of_the_range_of_a_pixel(attributes: Header) -> None:
    preprocess = replace(attributes.preprocess, value_range=(-1.0, 1.0))
    assert Observer(replace(attributes, preprocess=preprocess), 0.5).radius == 1.0


def test_the_loss_is_that_of_the_perturbed_pictures(attributes: Header) -> None:
    observer = Observer(attributes, 1.0).eval()
    x, y = torch.rand(6, 1, 28, 28), labels(TargetKind.ATTRIBUTES, 6, 3)
    plain = losses.discriminative(observer(x), y, TargetKind.ATTRIBUTES)
    loss = observer.loss(x, y, torch.Generator().manual_seed(4))
    assert float(loss.detach()) > float(plain.detach())
    loss.backward()
    assert all(p.grad is not None for p in observer.parameters())


def test_labels_of_no_weight_teach_an_observer_nothing(attributes: Header) -> None:
    """Neither what it learns nor the worst picture knows of them."""
    observer, y = Observer(attributes, 1.0).eval(), labels(TargetKind.ATTRIBUTES, 6, 3)
    x, weights = torch.rand(6, 1, 28, 28), torch.ones(6, 3)
    weights[:, 1] = 0
    other = y.clone()
    other[:, 1] = 1 - y[:, 1]
    weighed, same = (
        observer.loss(x, each, torch.Generator().manual_seed(4), weights) for each in (y, other)
    )
    plain, differ = (
        observer.loss(x, each, torch.Generator().manual_seed(4)) for each in (y, other)
    )
    torch.testing.assert_close(weighed, same, rtol=0, atol=0)
    assert float((plain - differ).abs().detach()) > 1e-4


def test_strengths_lie_on_the_line_through_the_mean_logits(attributes: Header) -> None:
    observer = Observer(attributes, 1.0)
    y = torch.tensor([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    logits = torch.tensor([[-4.0, 2.0, 1.0], [3.0, -1.0, 2.0], [-2.0, -3.0, 3.0]])
    observer.draw_line(logits, y)
    torch.testing.assert_close(observer.means[0], torch.tensor([-3.0, -2.0, 0.0]))
    torch.testing.assert_close(observer.means[1], torch.tensor([3.0, 2.0, 2.0]))
    aim = observer.aim(torch.tensor([[0.0, 1.0, 0.5], [2.0, -0.5, 1.0]]))
    torch.testing.assert_close(aim, torch.tensor([[-3.0, 2.0, 1.0], [9.0, -4.0, 2.0]]))


def test_a_strength_is_what_its_logits_are_aimed_at(attributes: Header) -> None:
    """What it cannot tell apart has a strength all the same, a finite one."""
    observer = Observer(attributes, 1.0)
    observer.means = torch.tensor([[-2.0, 1.0, 0.5], [3.0, 5.0, 0.5]])
    wanted = torch.tensor([[0.0, 1.0, 0.0], [2.5, -0.5, 0.0]])
    torch.testing.assert_close(observer.strength(observer.aim(wanted)), wanted)
    assert bool(observer.strength(torch.full((1, 3), 9.0)).isfinite().all())
