"""Practised edits: what is asked of them, who looks, and what that weighs."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch

from mddae_cli.config import TargetKind, make_config
from mddae_cli.header import Header
from mddae_cli.model import AutoEncoder
from mddae_cli.training.effects import Effects
from mddae_cli.training.objective import Objective, frozen
from mddae_cli.training.observer import Observers
from mddae_cli.training.pixels import added_colour, detail_error
from mddae_cli.training.practice import Pictures


def pictures_of(net: AutoEncoder, count: int) -> Pictures:
    torch.manual_seed(1)
    spec = net.spec
    x, x_hat = torch.rand(2, count, spec.channels, 28, 28)
    return Pictures(
        x, torch.rand(count, spec.num_targets), torch.randn(count, spec.latent_dim), x_hat
    )


def of_attributes(header: Header) -> Header:
    return replace(header, model=replace(header.model, target_kind=TargetKind.ATTRIBUTES))


def of_three_attributes(header: Header) -> Header:
    header = of_attributes(header)
    model = replace(header.model, num_targets=3)
    return replace(header, model=model, names=("a", "b", "c"))


def drawing_one_edit(
    header: Header,
) -> tuple[AutoEncoder, Pictures, torch.Tensor, list[torch.Tensor]]:
    """A model that draws the same whatever is asked, and what it was asked for."""
    net = AutoEncoder(header.model)
    pictures, x_edit = pictures_of(net, 6), torch.rand(6, header.model.channels, 28, 28)
    changed: list[torch.Tensor] = []
    net.synthesise = lambda y_hat, z: changed.append(y_hat) or x_edit  # type: ignore[assignment,func-returns-value]
    return net, pictures, x_edit, changed


def consistency(header: Header, **changes: Any) -> float:
    """The loss of one batch for attributes."""
    header = of_attributes(header)
    torch.manual_seed(0)
    net, objective = AutoEncoder(header.model), Objective(make_config("digits", **changes), header)
    rng = torch.Generator().manual_seed(1)
    loss = objective.practice.loss(net, frozen(net), pictures_of(net, 8), None, rng)
    return float(loss.detach())


@pytest.mark.parametrize("weight", [0.0, 0.5])
@pytest.mark.parametrize("disturbance", [{"shift": 3}, {"noise": 0.2}])
def test_an_edit_is_looked_at_disturbed_where_that_is_asked(
    tiny_header: Header, weight: float, disturbance: dict[str, float]
) -> None:
    plain, unasked, disturbed = (
        consistency(tiny_header, cycle_z=weight, **how)
        for how in ({}, disturbance, disturbance | {"cycle_disturbed": True})
    )
    assert plain == unasked
    assert plain != disturbed


@pytest.mark.parametrize("weight", ["cycle_keep", "cycle_z"])
def test_what_an_edit_must_keep_is_weighed(tiny_header: Header, weight: str) -> None:
    alone = {"cycle_keep": 0.0, "cycle_z": 0.0}
    none, once, twice = (
        consistency(tiny_header, **(alone | {weight: value})) for value in (0.0, 1.0, 2.0)
    )
    assert once > none
    assert twice - none == pytest.approx(2 * (once - none), rel=1e-4)


def test_a_stronger_edit_has_to_be_seen_more_surely(tiny_header: Header) -> None:
    """Where a picture shows nothing of its edit, the loss is that of the margin alone."""
    header, margin = of_three_attributes(tiny_header), 2.0
    net = AutoEncoder(header.model)
    seen: list[torch.Tensor] = []
    net.synthesise = lambda changed, z: seen.append(changed) or torch.rand(len(z), 1, 28, 28)  # type: ignore[assignment,func-returns-value]
    net.activation = lambda x: torch.zeros(len(x), 3)  # type: ignore[assignment]
    y_hat, z = torch.full((30, 3), 0.2), torch.zeros(30, header.model.latent_dim)
    config = make_config("digits", cycle_keep=0.0, cycle_share=1.0, cycle_margin=margin)
    x_hat, rng = torch.rand(30, 1, 28, 28), torch.Generator().manual_seed(2)
    loss = Objective(config, header).practice.loss(
        net, frozen(net), Pictures(x_hat, y_hat, z, x_hat), None, rng
    )
    (changed,) = seen
    values = changed[changed != y_hat]
    assert len(values) == 30
    wanted = torch.nn.functional.softplus(margin * (values - 0.5)).mean()
    torch.testing.assert_close(loss, wanted)


@pytest.mark.parametrize("kind", list(TargetKind))
def test_where_there_is_an_observer_it_looks_and_only_the_decoder_learns(
    tiny_header: Header, kind: TargetKind
) -> None:
    header = replace(tiny_header, model=replace(tiny_header.model, target_kind=kind))
    net = AutoEncoder(header.model)
    objective = Objective(make_config("digits", cycle=1.0, observers=(1.0,)), header)
    objective.requires_grad_(False).eval()
    shown: list[torch.Tensor] = []
    objective.observers[0].register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0]))
    net.activation = None  # type: ignore[assignment]  # the encoder is not asked
    y_hat, observed = torch.full((8, 10), 0.2), [torch.zeros(8, 10)]
    rng, z = torch.Generator().manual_seed(1), torch.zeros(8, header.model.latent_dim)
    x_hat = torch.rand(8, 1, 28, 28)
    objective.practice.loss(
        net, frozen(net), Pictures(x_hat, y_hat, z, x_hat), observed, rng
    ).backward()
    assert [len(x) for x in shown] == [2]
    assert net.decoder.from_codes.weight.grad.abs().sum() > 0
    assert all(p.grad is None for p in [*net.encoder.parameters(), *objective.parameters()])


def test_an_observed_edit_is_as_strong_as_its_value_and_nothing_else_changes(
    tiny_header: Header,
) -> None:
    """The loss is 0 where the changed logit is on the line and all others are as before."""
    header, before = of_three_attributes(tiny_header), torch.tensor([-2.0, 0.5, 1.0])
    net = AutoEncoder(header.model)
    config = make_config("digits", observers=(1.0,), cycle_keep=2.0, cycle_share=1.0)
    values: list[torch.Tensor] = []
    net.synthesise = lambda changed, z: values.append(changed) or torch.zeros(len(z), 1, 28, 28)  # type: ignore[assignment,func-returns-value]
    y_hat, z = torch.full((20, 3), 0.2), torch.zeros(20, header.model.latent_dim)

    def loss(strength: float, others: float) -> float:
        objective = Objective(config, header)
        (observer,) = objective.observers
        observer.means = torch.tensor([[-3.0] * 3, [1.0] * 3])
        values.clear()

        def see(x: torch.Tensor) -> torch.Tensor:
            changed = values[0] != y_hat
            return torch.where(changed, observer.aim(values[0]) + strength, before + others)

        observer.forward = see  # type: ignore[method-assign]
        rng, x_hat = torch.Generator().manual_seed(2), torch.ones(20, 1, 28, 28)
        observed = [before.expand(20, 3)]
        return float(
            objective.practice.loss(
                net, frozen(net), Pictures(x_hat, y_hat, z, x_hat), observed, rng
            )
        )

    assert loss(0.0, 0.0) == pytest.approx(0.0, abs=1e-6)
    assert loss(3.0, 0.0) == loss(-3.0, 0.0) == pytest.approx(2.5)  # of Huber: |3| - 1/2
    assert loss(0.0, 1.0) > 0.1


def test_what_several_observers_say_counts_alike(tiny_header: Header) -> None:
    header = of_attributes(tiny_header)
    net, model = AutoEncoder(header.model), header.model
    both = Objective(make_config("digits", observers=(1.0, 2.0), cycle_keep=2.0), header).eval()
    assert [o.radius for o in both.observers] == [1.0, 2.0]
    y_hat, x_hat = torch.full((8, 10), 0.2), torch.rand(8, 1, 28, 28)
    z, observed = torch.zeros(8, model.latent_dim), [torch.zeros(8, 10), torch.ones(8, 10)]

    def told(*which: int) -> float:
        objective = copy.deepcopy(both)
        objective.practice.observers = Observers(list(objective.observers)[i] for i in which)
        rng = torch.Generator().manual_seed(3)
        given = [observed[i] for i in which]
        return float(
            objective.practice.loss(
                net, frozen(net), Pictures(x_hat, y_hat, z, x_hat), given, rng
            ).detach()
        )

    assert told(0) != pytest.approx(told(1), rel=1e-3)
    assert told(0, 1) == pytest.approx((told(0) + told(1)) / 2)


@pytest.mark.parametrize("weight", ["cycle_still", "cycle_variation"])
def test_what_an_edit_moves_is_weighed(tiny_header: Header, weight: str) -> None:
    once, twice, none = (consistency(tiny_header, **{weight: w}) for w in (1.0, 2.0, 0.0))
    assert twice - none == pytest.approx(2 * (once - none), rel=1e-4)
    assert once > none


@pytest.mark.parametrize("weight", ["cycle_detail", "cycle_colour"])
def test_detail_and_colour_that_come_with_an_edit_are_weighed(
    tiny_header: Header, weight: str
) -> None:
    """Of the edited pictures, in parts of the range of a pixel; the picture lends its colours."""
    low, high = -1.0, 1.0
    header = replace(
        tiny_header,
        model=replace(tiny_header.model, channels=3),
        preprocess=replace(tiny_header.preprocess, value_range=(low, high)),
    )
    torch.manual_seed(0)
    net, shape = AutoEncoder(header.model), (4, 3, 28, 28)
    blocks = torch.rand(4, 3, 7, 7).repeat_interleave(4, 2).repeat_interleave(4, 3)
    x_edit = low + (high - low) * (blocks + torch.rand(shape)) / 2
    pictures = pictures_of(net, 4)
    net.synthesise = lambda y_hat, z: smooth if torch.equal(y_hat, pictures.y_hat) else x_edit  # type: ignore[assignment,func-returns-value]
    smooth = low + (high - low) * torch.linspace(0, 1, 28).expand(shape)
    coloured = low + (high - low) * torch.rand(4, 3, 1, 1).expand(shape) / 4

    def loss(value: float, x: torch.Tensor) -> float:
        config = make_config("digits", cycle_share=1.0, **{weight: value})
        rng, practice = torch.Generator().manual_seed(1), Objective(config, header).practice
        shown = pictures._replace(x=x, x_hat=smooth)
        return float(practice.loss(net, frozen(net), shown, None, rng).detach())

    for x in (smooth, coloured):
        edit, plain, own = ((each - low) / (high - low) for each in (x_edit, smooth, x))
        cost = {"cycle_detail": detail_error(edit, plain)}
        cost["cycle_colour"] = added_colour(edit, plain, own)
        assert cost[weight] > 0.1
        assert loss(2.0, x) - loss(0.0, x) == pytest.approx(2 * float(cost[weight]), rel=1e-3)


def test_a_decoder_cannot_escape_the_cost_of_detail_by_drawing_everything_softer(
    tiny_header: Header,
) -> None:
    """What makes edits and reconstructions alike finer has no gradient, what edits alone has."""
    net, config = AutoEncoder(tiny_header.model), make_config("digits", cycle_share=1.0)
    pictures = pictures_of(net, 6)
    torch.manual_seed(3)
    shape = (6, tiny_header.model.channels, 28, 28)
    coarse, fine = torch.linspace(0, 1, 28).expand(shape), 0.03 * torch.randn(shape)
    pictures = pictures._replace(x_hat=coarse + fine)
    for_all, for_edits = (torch.ones((), requires_grad=True) for _ in range(2))

    def drawn(y_hat: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        edited = not torch.equal(y_hat, pictures.y_hat)
        return coarse + for_all * (2 * for_edits if edited else 1) * fine

    net.synthesise = drawn  # type: ignore[assignment]

    def loss(weight: float) -> torch.Tensor:
        practice = Objective(replace(config, cycle_detail=weight), tiny_header).practice
        rng = torch.Generator().manual_seed(1)
        return practice.loss(net, frozen(net), pictures, None, rng)

    added = loss(1.0) - loss(0.0)
    all_alike, edits_alone = torch.autograd.grad(added, [for_all, for_edits])
    assert float(edits_alone) > 1
    assert abs(float(all_alike)) < 0.1


@pytest.mark.parametrize("radii", [(), (1.0, 2.0)], ids=["encoder", "observers"])
def test_an_edit_is_as_much_finer_as_its_attribute_at_the_strength_that_is_seen(
    tiny_header: Header, monkeypatch: pytest.MonkeyPatch, radii: tuple[float, ...]
) -> None:
    """Of the changed attribute alone; without observers at the strength that was asked for."""
    header = of_attributes(tiny_header)
    net, pictures, x_edit, changed = drawing_one_edit(header)
    config = make_config("digits", observers=radii, cycle_share=1.0, cycle_detail=1.0)
    objective = Objective(config, header).requires_grad_(False).eval()
    finer = torch.linspace(-0.3, 0.6, header.model.num_targets)
    objective.practice.finer = finer
    seen = []
    for index, observer in enumerate(objective.observers):
        observer.tower.out.weight *= 1000  # or it sees hardly anything
        observer.means = torch.stack([torch.zeros(10), torch.full((10,), 0.5 + index)])
        logits = [observer.view(x).logits for x in (x_edit, pictures.x)]
        seen.append((logits[0] - logits[1]) / (0.5 + index))
    allowed: list[torch.Tensor] = []

    def added(edit: torch.Tensor, plain: torch.Tensor, natural: torch.Tensor) -> torch.Tensor:
        allowed.append(natural)
        return torch.zeros(())

    monkeypatch.setattr("mddae_cli.training.pixels.detail_error", added)
    rng = torch.Generator().manual_seed(1)
    objective.practice.loss(net, frozen(net), pictures, None, rng)
    by = changed[0] - pictures.y_hat
    picked = by.abs().argmax(dim=1)
    moved = (torch.stack(seen).mean(dim=0) if radii else by)[torch.arange(6), picked]
    if radii:  # nothing counts for stronger than 3
        assert 1 <= int((moved.abs() > 3).sum()) < 6
    torch.testing.assert_close(allowed[0], moved.clamp(-3, 3) * finer[picked])
    assert float(allowed[0].abs().max()) > 0.05


def test_maps_have_to_move_as_the_effect_of_the_changed_attribute_says(
    tiny_header: Header,
) -> None:
    """The loss grows by the distances of all levels of all observers, times the weight."""
    header = of_attributes(tiny_header)
    net, pictures, x_edit, changed = drawing_one_edit(header)
    options = {"observers": (1.0, 2.0), "cycle_share": 1.0}
    objective = Objective(make_config("digits", **options), header).requires_grad_(False).eval()
    for observer in objective.observers:
        maps = observer.view(x_edit).maps
        shapes = [(header.model.num_targets, *each.shape[1:]) for each in maps]
        observer.effects = [Effects(torch.randn(s), torch.full((s[1], 1, 1), 0.1)) for s in shapes]

    def loss(weight: float) -> float:
        objective.practice.config = make_config("digits", cycle_features=weight, **options)
        rng = torch.Generator().manual_seed(1)
        return float(objective.practice.loss(net, frozen(net), pictures, None, rng))

    none, twice = loss(0.0), loss(2.0)
    by = changed[-1] - pictures.y_hat
    assert int((by != 0).sum()) == 6
    distances = [
        float(effects.distance(maps, before, by))
        for observer in objective.observers
        for effects, maps, before in zip(
            observer.effects,
            observer.view(x_edit).maps,
            observer.view(pictures.x).maps,
            strict=True,
        )
    ]
    assert len(distances) == 4
    assert twice - none == pytest.approx(2 * sum(distances) / 2, rel=1e-4)
