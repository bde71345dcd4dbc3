"""Checkpoints: whole, self-describing, and refused with a reason when they are not."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
import struct
from pathlib import Path

import pytest
import safetensors.torch
import torch

from mddae_cli import checkpoint
from mddae_cli.config import Upsample
from mddae_cli.errors import ModelError
from mddae_cli.header import (
    METADATA_KEY,
    WORKING_RANGE_KEYS,
    Calibration,
    Header,
    bundled_models,
    find_model_file,
    parse_header,
    read_header,
)
from mddae_cli.model import AutoEncoder


@pytest.fixture
def saved(tmp_path: Path, tiny_header: Header) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "model.safetensors"
    checkpoint.save(path, AutoEncoder(tiny_header.model), tiny_header)
    return path


def rewrite(path: Path, header: Header, change: dict[str, torch.Tensor | None]) -> None:
    tensors = safetensors.torch.load_file(path) | change
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    safetensors.torch.save_file(kept, path, {METADATA_KEY: header.to_json()})


def test_load_gives_back_weights_and_header(saved: Path, tiny_header: Header) -> None:
    torch.manual_seed(0)
    original = AutoEncoder(tiny_header.model).eval()
    loaded = checkpoint.load(saved)
    assert loaded.header == tiny_header
    x = torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        torch.testing.assert_close(loaded.net(x).x_hat, original(x).x_hat, atol=1e-6, rtol=1e-5)


def test_channels_last_weights_are_saved_as_the_same_bytes(
    saved: Path, tmp_path: Path, tiny_header: Header
) -> None:
    torch.manual_seed(0)
    net = AutoEncoder(tiny_header.model).to(memory_format=torch.channels_last)
    checkpoint.save(tmp_path / "other.safetensors", net, tiny_header)
    assert (tmp_path / "other.safetensors").read_bytes() == saved.read_bytes()


def test_saved_file_has_the_rights_of_the_umask(tmp_path: Path, tiny_header: Header) -> None:
    before = os.umask(0o027)
    try:
        checkpoint.save(tmp_path / "m.safetensors", AutoEncoder(tiny_header.model), tiny_header)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "m.safetensors").stat().st_mode) == 0o640


def test_load_refuses_a_newer_format_version(saved: Path, tiny_header: Header) -> None:
    rewrite(saved, dataclasses.replace(tiny_header, format_version=99), {})
    with pytest.raises(ModelError, match=r"format version 99.*Upgrade"):
        checkpoint.load(saved)


def test_load_refuses_missing_extra_misshapen_and_infinite_weights(
    saved: Path, tiny_header: Header
) -> None:
    name = "encoder.to_z.out.bias"
    whole = saved.read_bytes()
    for tensor, message in (
        (None, "lacks the weights"),
        (torch.zeros(5), "shape"),
        (torch.full((4,), float("nan")), "not finite"),
    ):
        saved.write_bytes(whole)
        rewrite(saved, tiny_header, {name: tensor})
        with pytest.raises(ModelError, match=message):
            checkpoint.load(saved)
    saved.write_bytes(whole)
    rewrite(saved, tiny_header, {"surplus": torch.zeros(1)})
    with pytest.raises(ModelError, match="do not belong"):
        checkpoint.load(saved)


@pytest.fixture
def erased(saved: Path, tiny_header: Header) -> Header:
    """The header of a model with an erasure, whose file has a step beyond 1."""
    spec = dataclasses.replace(tiny_header.model, erase_directions=2)
    header = dataclasses.replace(tiny_header, model=spec)
    net = AutoEncoder(spec)
    assert net.erasure is not None
    net.erasure.steps.put(3, torch.arange(4.0), 1.5)
    checkpoint.save(saved, net, header)
    return header


def steps_in(path: Path) -> torch.Tensor:
    erasure = checkpoint.load(path).net.erasure
    assert erasure is not None
    return erasure.steps.steps


def test_a_file_from_before_steps_takes_none(saved: Path, erased: Header) -> None:
    assert torch.equal(steps_in(saved)[3], torch.arange(4.0))
    names = ("erasure.steps.steps", "erasure.steps.whole_at")
    rewrite(saved, erased, dict.fromkeys(names))
    assert not steps_in(saved).any()


def test_a_header_is_replaced_alone_or_with_steps(
    saved: Path, erased: Header, tmp_path: Path
) -> None:
    other = checkpoint.load(saved).net
    assert other.erasure is not None
    other.erasure.steps.put(0, torch.ones(4), 3.0)
    other.encoder.to_z.out.bias.data.fill_(7.0)  # type: ignore[union-attr]  # a separate encoder
    out = tmp_path / "told.safetensors"
    checkpoint.replace_header(saved, erased, out)
    assert out.read_bytes() == saved.read_bytes()
    checkpoint.replace_header(saved, erased, out, steps_of=other)
    assert torch.equal(steps_in(out), other.erasure.steps.steps)
    before, after = (safetensors.torch.load_file(path) for path in (saved, out))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"erasure.steps.steps", "erasure.steps.whole_at"}


@pytest.mark.parametrize("length", [0, 5, 100, 5000])
def test_truncated_file_is_refused(saved: Path, length: int) -> None:
    saved.write_bytes(saved.read_bytes()[:length])
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        checkpoint.load(saved)


def test_header_that_claims_a_huge_length_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", 2**40) + b"{}")
    with pytest.raises(ModelError, match="no safetensors file"):
        read_header(path)


def test_foreign_safetensors_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match="not written by mddae"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("model", "latent_dim", -1),
        ("model", "latent_dim", 10**9),
        ("model", "kind", "evil"),
        ("model", "num_targets", 3),
        ("preprocess", "value_range", [0]),
    ],
)
def test_damaged_header_is_refused_with_its_reason(
    saved: Path, tiny_header: Header, part: str, key: str, value: object
) -> None:
    raw = json.loads(tiny_header.to_json())
    raw[part][key] = value
    tensors = safetensors.torch.load_file(saved)
    safetensors.torch.save_file(tensors, saved, {METADATA_KEY: json.dumps(raw)})
    with pytest.raises(ModelError, match="damaged header"):
        checkpoint.load(saved)


def test_pickle_is_never_executed(tmp_path: Path) -> None:
    trap = tmp_path / "trap"

    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (trap,))

    path = tmp_path / "m.safetensors"
    torch.save({"x": Hostile()}, path)
    with pytest.raises(ModelError):
        checkpoint.load(path)
    assert not trap.exists()


def test_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        checkpoint.load(tmp_path / "none.safetensors")
    with pytest.raises(ModelError, match=r"folder without model\.safetensors"):
        checkpoint.load(tmp_path)


def test_state_comes_back_as_it_was(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(3), "b": torch.rand(2, 2).double()}
    checkpoint.save_state(tmp_path / "s.safetensors", tensors, {"step": 7, "loss": 0.5})
    again, facts = checkpoint.load_state(tmp_path / "s.safetensors")
    assert facts == {"step": 7, "loss": 0.5}
    assert all(torch.equal(again[k], v) for k, v in tensors.items())


def test_failed_write_keeps_what_was_there(
    saved: Path, tiny_header: Header, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(saved, AutoEncoder(tiny_header.model), tiny_header)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_half_precision_file_is_half_as_large_and_loads_as_float32(
    saved: Path, tmp_path: Path, tiny_header: Header
) -> None:
    net, header = checkpoint.load(saved)
    checkpoint.save(tmp_path / "half.safetensors", net, header, half=True)
    again = checkpoint.load(tmp_path / "half.safetensors").net
    stored = safetensors.torch.load_file(tmp_path / "half.safetensors")
    assert stored["decoder.from_codes.weight"].dtype is torch.float16
    assert stored["decoder.first_norm.running_var"].dtype is torch.float32
    assert (tmp_path / "half.safetensors").stat().st_size < 0.7 * saved.stat().st_size
    assert {t.dtype for t in again.parameters()} == {torch.float32}
    x = torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        torch.testing.assert_close(again(x).x_hat, net(x).x_hat, atol=2e-3, rtol=0)


def test_directions_of_an_erasure_are_half_precision_as_well(
    tmp_path: Path, tiny_header: Header
) -> None:
    spec = dataclasses.replace(tiny_header.model, erase_directions=2)
    header = dataclasses.replace(tiny_header, model=spec)
    path = tmp_path / "half.safetensors"
    checkpoint.save(path, AutoEncoder(header.model), header, half=True)
    stored = safetensors.torch.load_file(path)
    assert stored["erasure.directions"].dtype is torch.float16
    assert stored["erasure.axes"].dtype is torch.float32
    erasure = checkpoint.load(path).net.erasure
    assert erasure is not None
    assert erasure.directions.dtype is torch.float32


def test_bundled_model_is_found_by_its_name_and_a_file_of_that_name_first(
    tmp_path: Path, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_model_file("celeba64").parent.name == "weights"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "celeba64").write_bytes(saved.read_bytes())
    assert find_model_file("celeba64") == Path("celeba64")
    with pytest.raises(ModelError, match="or one of celeba64, mnist"):
        find_model_file("celeba65")


@pytest.mark.parametrize("name", bundled_models())
def test_every_bundled_model_loads_and_is_small(name: str) -> None:
    net, header = checkpoint.load(name)
    assert find_model_file(name).stat().st_size <= 12e6
    assert len(header.names) == header.model.num_targets
    assert all(bool(t.isfinite().all()) for t in net.state_dict().values())


def test_a_header_that_says_nothing_of_upsampling_means_transposed_convolutions(
    tiny_header: Header,
) -> None:
    raw = json.loads(tiny_header.to_json())
    for later in ("upsample", "flow_layers", "erase_directions"):
        del raw["model"][later]
    model = parse_header(json.dumps(raw), "a file").model
    assert model.upsample is Upsample.TRANSPOSED
    assert (model.flow_layers, model.erase_directions) == (0, 0)


@pytest.mark.parametrize("count", [-1, 65537, 1.5, "8", None, True])
@pytest.mark.parametrize("key", ["flow_layers", "erase_directions"])
def test_a_flow_or_an_erasure_of_no_sensible_size_is_refused(
    tiny_header: Header, key: str, count: object
) -> None:
    raw = json.loads(tiny_header.to_json())
    raw["model"][key] = count
    with pytest.raises(ModelError, match=f"{key} is"):
        parse_header(json.dumps(raw), "a file")


def test_replacing_the_header_keeps_the_bytes_of_the_weights(
    saved: Path, tmp_path: Path, tiny_header: Header
) -> None:
    net, header = checkpoint.load(saved)
    half = tmp_path / "half.safetensors"
    checkpoint.save(half, net, header, half=True)
    told = dataclasses.replace(header, calibration=Calibration((0.0,) * 10, (0.5,) * 10))
    checkpoint.replace_header(half, told, tmp_path / "told.safetensors")
    before, after = (
        safetensors.torch.load_file(tmp_path / f"{name}.safetensors") for name in ("half", "told")
    )
    assert read_header(tmp_path / "told.safetensors") == told
    assert read_header(half) == header
    assert before.keys() == after.keys()
    assert all(
        torch.equal(before[k], after[k]) and before[k].dtype == after[k].dtype for k in before
    )
    checkpoint.replace_header(half, told)
    assert half.read_bytes() == (tmp_path / "told.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("zero", "one", "reason"),
    [
        ([0.0] * 9, [1.0] * 9, "9 and 9 for 10 targets"),
        ([0.0] * 10, [0.0] * 10, "1 at or below 0"),
        ([0.0] * 10, [float("inf")] * 10, "not finite"),
    ],
)
def test_a_calibration_that_makes_no_sense_is_refused(
    tiny_header: Header, zero: list[float], one: list[float], reason: str
) -> None:
    raw = json.loads(tiny_header.to_json()) | {"calibration": {"zero": zero, "one": one}}
    with pytest.raises(ModelError, match=reason):
        parse_header(json.dumps(raw), "a file")


def test_base_rates_of_another_number_than_names_are_refused(tiny_header: Header) -> None:
    raw = json.loads(tiny_header.to_json()) | {"base_rates": [0.1] * 9}
    with pytest.raises(ModelError, match="9 base rates for 10 targets"):
        parse_header(json.dumps(raw), "a file")


def test_calibration_and_working_ranges_come_back(tiny_header: Header) -> None:
    ranges = {"3": dict.fromkeys(WORKING_RANGE_KEYS, 1.5) | {"falls": None}}
    unit = Calibration((0.0,) * 10, (0.5,) * 10)
    told = dataclasses.replace(tiny_header, calibration=unit, working_ranges=ranges)
    assert parse_header(told.to_json(), "a file") == told


def test_a_unit_of_an_earlier_version_is_read(tiny_header: Header) -> None:
    ends = {"zero": [0.0] * 10, "one": [1.0] * 10}
    raw = json.loads(tiny_header.to_json()) | {"calibration": ends | {"eyes": "observers"}}
    found = parse_header(json.dumps(raw), "a file").calibration
    assert found == Calibration((0.0,) * 10, (1.0,) * 10)


def test_the_bundled_faces_say_what_intensities_mean_and_how_far_they_go() -> None:
    header = read_header("celeba64")
    assert header.calibration is not None
    assert header.working_ranges is not None
    assert list(header.working_ranges) == list(header.names)
    glasses = header.working_ranges["Eyeglasses"]
    assert 1 < glasses["seen_50"] < glasses["seen_90"] < 1.7 < 2.5 < glasses["collateral_5"]
    assert glasses["collateral_8"] is None  # not up to the last value
    smiles = header.working_ranges["Smiling"]
    assert smiles["seen_90"] < 1 < smiles["collateral_5"] < smiles["collateral_8"] < smiles["last"]
