"""Equation 1: which losses move which weights, the ramp, and what is known beforehand."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch

from mddae_cli import losses as loss_functions
from mddae_cli.config import TargetKind, make_config
from mddae_cli.header import Header
from mddae_cli.model import AutoEncoder
from mddae_cli.training.balance import Balance
from mddae_cli.training.known import Known
from mddae_cli.training.objective import Objective, Part, StepLosses, add_up, frozen


def step(header: Header, **changes: Any) -> tuple[AutoEncoder, Any]:
    torch.manual_seed(0)
    net = AutoEncoder(header.model)
    config = make_config("digits", **({"gamma_ramp": 0.0} | changes))
    x = torch.rand(8, header.model.channels, 28, 28)
    y = torch.eye(header.model.num_targets)[torch.arange(8) % header.model.num_targets]
    rng = torch.Generator().manual_seed(1)
    return net, added(Objective(config, header).parts(net, x, y, progress=1.0, rng=rng))


def added(parts: list[Part]) -> StepLosses:
    return add_up(part.losses() for part in parts)


@pytest.mark.parametrize(
    ("moved_by", "rec_moves", "dec_moves"),
    [
        ("dis", False, False),
        ("dis+rec", True, False),
        ("dis+dec", False, True),
        ("all", True, True),
    ],
)
def test_only_the_named_losses_move_the_soft_target(
    tiny_header: Header, moved_by: str, rec_moves: bool, dec_moves: bool
) -> None:
    for term, moves in (("rec", rec_moves), ("dec", dec_moves)):
        net, losses = step(tiny_header, y_moved_by=moved_by)
        getattr(losses, term).backward()
        grad = net.encoder.to_logits.out.weight.grad
        assert (grad is not None and bool(grad.abs().sum() > 0)) is moves


def test_total_is_the_weighted_sum_of_equation_1(tiny_header: Header) -> None:
    _, losses = step(tiny_header, beta=2.0, gamma=3.0, cycle=0.5)
    total = losses.rec + 2.0 * losses.dis + 3.0 * losses.dec + 0.5 * losses.cycle
    torch.testing.assert_close(losses.total, total)


@pytest.mark.parametrize("stride", [1, 2])
def test_similarity_is_estimated_with_the_stride_of_the_run(
    tiny_header: Header, stride: int
) -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(4, tiny_header.model.channels, 28, 28, generator=rng)
    x_hat = x + 0.2 * torch.rand(x.shape, generator=rng)
    config = make_config("digits", alpha=1.0, ssim_stride=stride)
    got = Objective(config, tiny_header).reconstruction(x, x_hat)
    value_range = tiny_header.preprocess.value_range
    dssim = loss_functions.dssim(x, x_hat, tiny_header.ssim, value_range, stride=stride)
    expected = (x - x_hat).square().mean() + dssim
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=0)


def with_flow(header: Header, **changes: Any) -> tuple[AutoEncoder, Any]:
    return step(replace(header, model=replace(header.model, flow_layers=2)), **changes)


def test_the_flow_learns_from_its_own_loss_alone(tiny_header: Header) -> None:
    net, losses = with_flow(tiny_header, cycle=1.0)
    (losses.rec + losses.dis + losses.dec + losses.cycle).backward(retain_graph=True)
    assert all(p.grad is None for p in net.flow.parameters())
    others = [p for name, p in net.named_parameters() if not name.startswith("flow.")]
    before = [None if p.grad is None else p.grad.clone() for p in others]
    losses.flow.backward()
    assert all(p.grad is not None for p in net.flow.parameters())
    for parameter, grad in zip(others, before, strict=True):
        assert grad is None or torch.equal(parameter.grad, grad)


def test_the_flow_is_part_of_the_total(tiny_header: Header) -> None:
    _, losses = with_flow(tiny_header, beta=2.0, gamma=3.0, cycle=0.5)
    total = losses.rec + 2.0 * losses.dis + 3.0 * losses.dec + 0.5 * losses.cycle + losses.flow
    assert float(losses.flow.detach()) > 0
    torch.testing.assert_close(losses.total, total)


def test_the_target_is_learnt_from_disturbed_pictures(tiny_header: Header) -> None:
    net, seen = AutoEncoder(tiny_header.model), []
    net.target_tower.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x, y = torch.rand(6, 1, 28, 28), torch.eye(10)[:6]
    for noise in (0.0, 0.2):
        objective = Objective(make_config("digits", noise=noise), tiny_header)
        added(objective.learn_target(net, x, y, rng=torch.Generator().manual_seed(2)))
    assert torch.equal(seen[0], x)
    assert 0.02 < float((seen[1] - x).std()) < 0.2


def test_gamma_rises_along_its_ramp(tiny_header: Header) -> None:
    objective = Objective(make_config("digits", gamma=4.0, gamma_ramp=0.2), tiny_header)
    assert [objective.gamma(p) for p in (0.0, 0.1, 0.2, 1.0)] == [0.0, 2.0, 4.0, 4.0]


def test_consistency_teaches_the_decoder_and_not_the_encoder(tiny_header: Header) -> None:
    net, losses = step(tiny_header, cycle=1.0)
    losses.cycle.backward()
    assert all(p.grad is None for p in net.encoder.parameters())
    assert net.decoder.from_codes.weight.grad.abs().sum() > 0


def test_consistency_works_for_attributes(tiny_header: Header) -> None:
    model = replace(tiny_header.model, target_kind=TargetKind.ATTRIBUTES)
    net, losses = step(replace(tiny_header, model=model), cycle=1.0)
    losses.cycle.backward()
    assert net.decoder.from_codes.weight.grad.isfinite().all()
    assert float(losses.cycle.detach()) > 0


def test_what_is_known_of_pictures_need_not_be_asked(tiny_header: Header) -> None:
    """The losses are the same, and neither observers nor ŷ's network see the pictures."""
    header = replace(
        tiny_header, model=replace(tiny_header.model, target_kind=TargetKind.ATTRIBUTES)
    )
    net = AutoEncoder(header.model)
    net.target_tower.eval()
    objective = Objective(make_config("digits", cycle=1.0, observers=(1.0,)), header).eval()
    x, y = torch.rand(9, 1, 28, 28), torch.eye(10)[:9]
    with torch.no_grad():
        known = Known(net.target_tower(x), [observer(x) for observer in objective.observers])
    shown: list[torch.Tensor] = []
    for network in (net.target_tower, *objective.observers):
        network.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0]))
    how: dict[str, Any] = {"progress": 1.0}
    totals, asked = [], []
    for told in (None, known):
        rng = torch.Generator().manual_seed(4)
        same, fresh = copy.deepcopy(objective), copy.deepcopy(net)
        parts = same.parts(fresh, x, y, rng=rng, known=told, **how)
        totals.append(float(added(parts).total.detach()))
        asked.append([len(other) for other in shown if torch.equal(x[: len(other)], other)])
        shown.clear()
    assert totals[0] == pytest.approx(totals[1], rel=1e-5)
    assert asked == [[9, 2], []]  # edits are practised on a share of 0.33


def test_the_observer_learns_beside_the_target_from_labels(tiny_header: Header) -> None:
    net = AutoEncoder(tiny_header.model)
    objective = Objective(make_config("digits", observers=(1.0, 2.0)), tiny_header)
    x, y = torch.rand(6, 1, 28, 28), torch.eye(10)[:6]
    losses = added(objective.learn_target(net, x, y, rng=torch.Generator().manual_seed(2)))
    assert float(losses.total.detach()) > float(losses.dis.detach())
    losses.total.backward()
    assert all(p.grad is not None for p in objective.observers.parameters())
    assert all(p.grad is not None for p in net.target_tower.parameters())


def test_labels_are_weighed_for_one_observer_alone(tiny_header: Header) -> None:
    model = replace(tiny_header.model, target_kind=TargetKind.ATTRIBUTES)
    header = replace(tiny_header, model=model)
    net = AutoEncoder(model)
    objective = Objective(make_config("digits", observers=(1.0, 1.0), dropout=0.0), header)
    x, y = torch.rand(40, 1, 28, 28), (torch.rand(40, 10) < 0.5).float()
    y[:30, 1] = y[:30, 0]
    found = []
    for balance in (None, Balance(y, largest=3)):
        objective.balances = [None, balance]
        same, fresh = copy.deepcopy(objective), copy.deepcopy(net)
        rng = torch.Generator().manual_seed(2)
        parts = same.learn_target(fresh, x, y, rng=rng)
        found.append([float(part.losses().total.detach()) for part in parts])
    (target, first, plain), (same_target, same_first, weighed) = found
    assert (target, first) == (same_target, same_first)
    assert abs(plain - weighed) > 1e-4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", list(TargetKind))
def test_a_step_runs_on_cuda_in_bfloat16(tiny_header: Header, kind: TargetKind) -> None:
    header = replace(tiny_header, model=replace(tiny_header.model, target_kind=kind))
    net = AutoEncoder(header.model).cuda()
    config = make_config("digits", cycle=1.0, observers=(1.0,))
    x = torch.rand(8, header.model.channels, 28, 28, device="cuda")
    y = torch.eye(header.model.num_targets, device="cuda")[
        torch.arange(8) % header.model.num_targets
    ]
    objective = Objective(config, header).cuda()
    rng = torch.Generator().manual_seed(1)
    losses = added(objective.parts(net, x, y, progress=1.0, rng=rng, autocast=torch.bfloat16))
    losses.total.backward()
    assert all(bool(term.isfinite()) for term in losses)


def test_a_frozen_module_follows_the_other_and_learns_nothing() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3)).train()
    still = frozen(module)
    x = torch.randn(5, 3, requires_grad=True)
    still(x).square().sum().backward()
    assert x.grad is not None
    assert all(p.grad is None for p in [*module.parameters(), *still.parameters()])
    assert module.training
    assert not module[1].running_mean.any()
    with torch.no_grad():
        module[0].weight += 1.0
    module(x)
    torch.testing.assert_close(still(x), module.eval()(x))


@pytest.mark.parametrize("observers", [(), (1.0,), (0.5, 2.0)])
def test_a_single_attribute_has_no_others_to_keep(
    tiny_header: Header, observers: tuple[float, ...]
) -> None:
    model = replace(tiny_header.model, target_kind=TargetKind.ATTRIBUTES, num_targets=1)
    header = replace(tiny_header, model=model, names=("a",))
    net, losses = step(header, cycle=1.0, observers=observers, cycle_z=0.5)
    losses.total.backward()
    assert bool(losses.total.isfinite())
    assert bool(net.decoder.from_codes.weight.grad.isfinite().all())
