"""Shapes, ranges and what reaches what in every architecture."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from mddae_cli.config import (
    Arch,
    Encoder,
    Inject,
    ModelKind,
    TargetKind,
    Targets,
    Upsample,
    ZNorm,
)
from mddae_cli.header import Header, ModelSpec
from mddae_cli.model import AutoEncoder, ResizeConv, TargetBias, default_depth


@pytest.fixture
def spec(tiny_header: Header):
    """Return a function that makes a small specification with changes."""

    def make(**changes: Any) -> ModelSpec:
        size = changes.get("image_size", 28)
        depth = default_depth(size) if size in (28, 32, 64, 128) else 2
        return dataclasses.replace(tiny_header.model, **({"depth": depth} | changes))

    return make


def build(spec: ModelSpec, seed: int = 0) -> AutoEncoder:
    torch.manual_seed(seed)
    return AutoEncoder(spec)


def pictures(spec: ModelSpec, n: int = 4) -> torch.Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.rand(n, spec.channels, spec.image_size, spec.image_size, generator=rng)


@pytest.mark.parametrize("side", [28, 32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("encoder", list(Encoder))
@pytest.mark.parametrize("inject", list(Inject))
def test_codes_and_pictures_have_the_promised_shapes(spec, side, channels, encoder, inject):
    given = spec(image_size=side, channels=channels, encoder=encoder, inject=inject)
    x = pictures(given)
    out = build(given)(x)
    assert out.logits.shape == out.y_hat.shape == (4, 10)
    assert out.z.shape == (4, 4)
    assert out.x_hat.shape == x.shape
    assert out.x_hat.dtype is torch.float32


@pytest.mark.parametrize("encoder", list(Encoder))
@pytest.mark.parametrize("inject", list(Inject))
@pytest.mark.parametrize(("side", "channels"), [(28, 1), (64, 3)])
def test_cdnet_has_the_promised_shapes(spec, encoder, inject, side, channels):
    given = spec(
        arch=Arch.CDNET, image_size=side, channels=channels, encoder=encoder, inject=inject
    )
    with torch.device("meta"):  # at 64 px it has hundreds of millions of weights
        net = AutoEncoder(given)
        logits, z = net.encoder(torch.empty(2, channels, side, side))
        x_hat = net.synthesise(logits, z)
    assert x_hat.shape == (2, channels, side, side)
    assert (logits.shape, z.shape) == ((2, 10), (2, 4))


@pytest.mark.parametrize(
    ("side", "channels", "targets", "latent_dim", "millions"),
    [(28, 1, 10, 10, 9.6), (64, 3, 40, 1000, 228.0)],
)
def test_cdnet_has_as_many_weights_as_the_authors_network(
    spec, side, channels, targets, latent_dim, millions
):
    given = spec(
        arch=Arch.CDNET,
        image_size=side,
        channels=channels,
        num_targets=targets,
        latent_dim=latent_dim,
        encoder=Encoder.SEPARATE,
    )
    with torch.device("meta"):
        count = sum(p.numel() for p in AutoEncoder(given).parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.015)


def test_cdnet_has_the_layers_of_the_authors_network(spec):
    given = spec(arch=Arch.CDNET, num_targets=10, latent_dim=10, inject=Inject.ALL)
    net = build(given)

    def sizes(module: torch.nn.Module, kind: type) -> list[tuple[int, ...]]:
        return [tuple(m.weight.shape) for m in module.modules() if isinstance(m, kind)]

    encoder, decoder = net.encoder.to_z, net.decoder
    assert sizes(encoder, torch.nn.Conv2d) == [(32, 1, 4, 4), (64, 32, 4, 4)]
    assert sizes(encoder, torch.nn.Linear) == [(1000, 3136), (10, 1000)]
    assert sizes(decoder, torch.nn.Linear) == [(1000, 20), (3136, 1010)]
    ups = sizes(decoder, torch.nn.ConvTranspose2d)
    assert ups == [(64 + 10, 32, 4, 4), (32 + 10, 1, 4, 4)]  # ŷ at the input of every layer


@pytest.mark.parametrize("side", [32, 128])
def test_cdnet_is_refused_at_sides_it_was_never_built_for(spec, side):
    with pytest.raises(ValueError, match=f"28 and 64 px, not for {side}"):
        AutoEncoder(spec(arch=Arch.CDNET, image_size=side))


def test_sides_and_depths_that_cannot_be_built_are_refused(spec):
    with pytest.raises(ValueError, match="none of"):
        default_depth(48)
    with pytest.raises(ValueError, match="depth 3 does not divide image_size 28"):
        AutoEncoder(spec(depth=3))


@pytest.mark.parametrize("kind", list(TargetKind))
def test_soft_targets_follow_equations_4_and_5(spec, kind):
    net = build(spec(target_kind=kind))
    a = torch.randn(5, 10, dtype=torch.float64)
    if kind is TargetKind.CLASSES:
        expected = a.exp() / a.exp().sum(dim=1, keepdim=True)
    else:
        expected = 1 / (1 + (-a).exp())
    torch.testing.assert_close(net.soft_target(a), expected, rtol=1e-12, atol=1e-12)


def test_the_printed_sign_of_equation_4_only_turns_the_last_layer_over(spec):
    net = build(spec(target_kind=TargetKind.CLASSES)).eval()
    x = pictures(net.spec)
    y_hat = net(x).y_hat
    with torch.no_grad():
        net.encoder.to_logits.out.weight.neg_()
        net.encoder.to_logits.out.bias.neg_()
        a = net.encode(x).logits
    printed = (-a).exp() / (-a).exp().sum(dim=1, keepdim=True)
    torch.testing.assert_close(printed, y_hat, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", list(TargetKind))
def test_discrete_models_decode_the_nearest_label(spec, kind):
    net = build(spec(target_kind=kind, targets=Targets.DISCRETE, num_targets=3))
    y_hat = torch.tensor([[0.2, 0.7, 0.6], [0.9, 0.05, 0.05]])
    expected = [[0, 1, 1], [1, 0, 0]] if kind is TargetKind.ATTRIBUTES else [[0, 1, 0], [1, 0, 0]]
    assert net.decoder_target(y_hat).tolist() == expected
    soft = build(spec(target_kind=kind, num_targets=3))
    assert soft.decoder_target(y_hat) is y_hat


def test_a_discrete_models_pass_decodes_the_label_and_returns_the_soft_target(spec):
    net = build(spec(target_kind=TargetKind.ATTRIBUTES, targets=Targets.DISCRETE)).eval()
    out = net(pictures(net.spec))
    torch.testing.assert_close(out.x_hat, net.decode((out.y_hat > 0.5).float(), out.z))
    assert not torch.equal(out.y_hat, out.y_hat.round())


@pytest.mark.parametrize("arch", list(Arch))
@pytest.mark.parametrize("inject", list(Inject))
def test_a_target_changes_the_picture_unless_the_model_is_a_plain_auto_encoder(spec, arch, inject):
    for kind in ModelKind:
        net = build(spec(kind=kind, arch=arch, inject=inject)).eval()
        z = torch.randn(3, 4)
        some, other = net.decode(torch.zeros(3, 10), z), net.decode(torch.ones(3, 10), z)
        assert torch.equal(some, other) is (kind is ModelKind.AE)


@pytest.mark.parametrize("arch", list(Arch))
def test_the_target_enters_every_decoder_layer_or_the_first_alone(spec, arch):
    counts = {}
    for inject in Inject:
        net = build(spec(arch=arch, inject=inject))
        counts[inject] = sum(p.numel() for p in net.decoder.parameters())
    outs_of_later_layers = {Arch.CONV: 8 * 7 * 7 + 4 + 1, Arch.CDNET: 3136 + 16 * 32 + 16 * 1}[arch]
    assert counts[Inject.ALL] - counts[Inject.FIRST] == 10 * outs_of_later_layers


def test_a_target_adds_to_each_place_what_belongs_there_once_that_is_learnt():
    layer = TargetBias(2, 3, grid=4)
    h, y_hat = torch.randn(5, 3, 8, 8), torch.rand(5, 2)
    everywhere = h + layer.linear(y_hat)[:, :, None, None]
    torch.testing.assert_close(layer(h, y_hat), everywhere)
    with torch.no_grad():
        layer.linear.weight.zero_()
        layer.places.weight.view(4, 4, 3, 2)[1, 2, 0, 1] = 1.0
    added = layer(torch.zeros_like(h), y_hat).detach()
    assert not added[:, 1:].any()
    # The middle of that place is between the pixels 2 and 3, 4 and 5.
    torch.testing.assert_close(added[:, 0, 2:4, 4:6].mean((1, 2)), y_hat[:, 1] * 0.75**2)
    added[:, 0, 1:5, 3:7] = 0
    assert not added.any()


def test_an_authors_decoder_takes_places_for_all_layers(spec):
    sizes = {
        inject: [tuple(w.shape) for w in build(spec(arch=Arch.CDNET, inject=inject)).parameters()]
        for inject in Inject
    }
    assert sizes[Inject.PLACES] == sizes[Inject.ALL] != sizes[Inject.FIRST]


@pytest.mark.parametrize(("channels", "low"), [(1, 0.0), (3, -1.0)])
def test_pictures_stay_in_the_range_of_their_channels(spec, channels, low):
    net = build(spec(channels=channels)).eval()
    x_hat = net.decode(50 * torch.randn(20, 10), 50 * torch.randn(20, 4))
    assert float(x_hat.detach().min()) >= low
    assert float(x_hat.detach().max()) <= 1.0
    assert float(x_hat.detach().min()) < low + 0.2


@pytest.mark.parametrize("encoder", list(Encoder))
def test_the_activation_is_had_alone(spec, encoder):
    net = build(spec(encoder=encoder, flow_layers=2)).eval()
    x = pictures(net.spec, 5)
    torch.testing.assert_close(net.activation(x), net.encode(x).logits)


@pytest.mark.parametrize("targets", list(Targets))
@pytest.mark.parametrize(("map_", "tolerance"), [("flow", 1e-6), ("erasure", 1e-5)])
def test_a_flow_or_an_erasure_changes_the_latent_and_not_the_reconstruction(
    spec, targets, map_, tolerance
):
    wanted = {"flow": {"flow_layers": 4}, "erasure": {"erase_directions": 2}}[map_]
    net = build(spec(targets=targets, **wanted)).eval()
    x = pictures(net.spec, 5)
    plain = net(x)
    with torch.no_grad():
        for weight in net.flow.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
        if net.erasure is not None:
            net.erasure.log_variances.normal_()
            net.erasure.slopes.normal_()
            net.erasure.fitted.fill_(True)
    moved = net(x)
    assert float((moved.z - plain.z).detach().abs().mean()) > 0.01
    torch.testing.assert_close(net.analyse(x).z, plain.z)
    torch.testing.assert_close(moved.x_hat, plain.x_hat, rtol=0, atol=tolerance)


@pytest.mark.parametrize("arch", list(Arch))
@pytest.mark.parametrize("z_norm", list(ZNorm))
def test_in_evaluation_a_picture_does_not_depend_on_its_batch(spec, arch, z_norm):
    net = build(spec(arch=arch, z_norm=z_norm, dropout=0.3)).eval()
    x = pictures(net.spec, 5)
    whole = net(x)
    for part, full in zip(net(x[2:3]), whole, strict=True):
        torch.testing.assert_close(part, full[2:3], rtol=1e-4, atol=1e-5)


def test_a_resize_convolution_is_repeated_pixels_and_a_convolution():
    torch.manual_seed(0)
    layer = ResizeConv(3, 5, bias=True).double()
    x = torch.randn(2, 3, 6, 4, dtype=torch.float64)
    repeated = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    wanted = torch.nn.functional.conv2d(repeated, layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(layer(x), wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("how", list(Upsample))
def test_a_decoder_grows_in_the_way_its_description_says(spec, how):
    layers = build(spec(upsample=how)).decoder.ups
    kinds = {Upsample.TRANSPOSED: torch.nn.ConvTranspose2d, Upsample.RESIZE: ResizeConv}
    assert all(type(layer) is kinds[how] for layer in layers)


@pytest.mark.parametrize("arch", list(Arch))
@pytest.mark.parametrize("encoder", list(Encoder))
@pytest.mark.parametrize("inject", list(Inject))
def test_every_weight_gets_a_gradient(spec, arch, encoder, inject):
    net = build(spec(arch=arch, encoder=encoder, inject=inject)).train()
    out = net(pictures(net.spec, 8))
    (out.x_hat.square().mean() + out.logits.square().mean()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_separate_encoders_share_nothing_and_a_shared_one_everything_but_the_last_layer(spec):
    x = pictures(spec())
    separate, shared = (
        build(spec(encoder=encoder)) for encoder in (Encoder.SEPARATE, Encoder.SHARED)
    )
    separate.encode(x).z.sum().backward()
    assert all(p.grad is None for p in separate.encoder.to_logits.parameters())
    counts = [sum(p.numel() for p in net.encoder.parameters()) for net in (separate, shared)]
    assert counts[0] > counts[1]


def test_the_same_seed_builds_the_same_network(spec):
    first, second, other = (build(spec(), seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)
