"""Pictures found, decoded and encoded in order, and failures that stop nothing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from mddae_cli import checkpoint, editing, images
from mddae_cli.editing import Codes, Model
from mddae_cli.errors import ImageError
from mddae_cli.header import Header
from mddae_cli.model import AutoEncoder
from mddae_cli.pipeline import Encoded, Failed, Source, encode_sources, find_sources, search


@pytest.fixture
def model(tmp_path: Path, tiny_header: Header) -> Model:
    torch.manual_seed(0)
    checkpoint.save(tmp_path / "m.safetensors", AutoEncoder(tiny_header.model), tiny_header)
    return editing.load(tmp_path / "m.safetensors", device="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven pictures in two folders, one broken, one text, one hidden."""
    rng = np.random.default_rng(0)
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    for name in ("a.png", "b.png", "c.png", "sub/a.png", "sub/d.png", "sub/e.png"):
        images.write_image(root / name, rng.integers(0, 256, (40, 30, 3), dtype=np.uint8))
    (root / "broken.png").write_bytes((root / "a.png").read_bytes()[:60])
    (root / "notes.txt").write_text("no picture")
    (root / ".hidden.png").write_bytes((root / "a.png").read_bytes())
    return root


def test_folders_files_and_patterns_become_sources_in_order(folder: Path) -> None:
    below = ["a.png", "b.png", "broken.png", "c.png", "sub/a.png", "sub/d.png", "sub/e.png"]
    assert find_sources([str(folder)]) == [Source(str(folder / b), b) for b in below]
    named = [str(folder / "c.png"), "-", str(folder / "sub" / "[de].png"), "missing.png"]
    assert [source.name for source in find_sources(named)] == [
        str(folder / "c.png"), "-", str(folder / "sub/d.png"), str(folder / "sub/e.png"),
        "missing.png",
    ]  # fmt: skip


def test_only_a_folder_of_results_within_the_pictures_is_left_out(folder: Path) -> None:
    everything = find_sources([str(folder)])
    (folder / "sub" / "notes.txt").write_text("beside results")
    for elsewhere in (folder.parent, folder, folder.parent / "out"):
        assert find_sources([str(folder)], outside=elsewhere) == everything
    within = find_sources([str(folder)], outside=folder / "sub")
    assert [source.below for source in within] == ["a.png", "b.png", "broken.png", "c.png"]
    assert search([str(folder)]).others == 2
    assert search([str(folder)], outside=folder / "sub").others == 1


def test_links_that_lead_nowhere_fail_and_a_folder_that_is_closed_too(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "nowhere.png").symlink_to("gone")
    (folder / "circle.png").symlink_to("circle.png")
    os.mkfifo(folder / "pipe.png")
    real = os.scandir

    def scandir(place: str) -> object:
        if str(place).endswith("/sub"):
            raise PermissionError(13, "Permission denied", str(place))
        return real(place)

    monkeypatch.setattr(os, "scandir", scandir)
    found = search([str(folder)])
    assert found.others == 2  # notes.txt, and a pipe that nobody writes to
    results = list(encode_sources(model, found.sources))
    reasons = {r.source.below: r.reason for r in results if isinstance(r, Failed)}
    assert sorted(reasons) == ["broken.png", "circle.png", "nowhere.png", "sub"]
    assert reasons["nowhere.png"] == "does not exist."
    assert "symbolic links" in reasons["circle.png"]
    assert reasons["sub"] == "is a folder, no picture, or one that may not be listed."
    assert len(results) == 7


def test_a_name_with_a_patterns_signs_is_itself_where_it_exists(tmp_path: Path) -> None:
    odd = tmp_path / "odd[1].png"
    odd.write_bytes(b"")
    assert find_sources([str(odd)]) == [Source(str(odd), "odd[1].png")]


@pytest.mark.parametrize(("what", "said"), [("", "holds no picture"), ("*.png", "matches nothing")])
def test_what_holds_no_picture_is_refused(tmp_path: Path, what: str, said: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match=said):
        find_sources([str(tmp_path / "empty" / what)])


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_codes_are_those_of_each_picture_alone(model: Model, folder: Path, batch_size: int) -> None:
    sources = find_sources([str(folder), "missing.png"])
    results = list(encode_sources(model, sources, batch_size=batch_size))
    assert [result.source for result in results] == sources
    failed = [result for result in results if isinstance(result, Failed)]
    assert [Path(f.source.name).name for f in failed] == ["broken.png", "missing.png"]
    assert failed[1].reason == "does not exist."
    for result in results:
        if isinstance(result, Encoded):
            pixels = images.fit(images.read_image(result.source.name), model.header.preprocess)
            alone = model.encode(pixels[None])
            assert (result.y_hat == alone.y_hat[0].numpy()).all()
            assert (result.z == alone.z[0].numpy()).all()
            assert result.elapsed_s > 0


def test_decoding_the_codes_is_the_reconstruction(model: Model, folder: Path) -> None:
    sources = find_sources([str(folder / "sub")])
    results = [r for r in encode_sources(model, sources) if isinstance(r, Encoded)]
    codes = Codes(
        torch.from_numpy(np.stack([r.y_hat for r in results])),
        torch.from_numpy(np.stack([r.z for r in results])),
        model.names,
    )
    pixels = [images.fit(images.read_image(s.name), model.header.preprocess) for s in sources]
    wanted = model.reconstruct(np.stack(pixels))
    torch.testing.assert_close(model.decode(codes), wanted, rtol=0, atol=1e-6)


def test_few_pictures_are_decoded_ahead_of_the_model(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real = images.decode

    def counted(source: Path, *, name: str, max_pixels: int) -> images.Decoded:
        read.append(name)
        return real(source, name=name, max_pixels=max_pixels)

    monkeypatch.setattr(images, "decode", counted)
    sources = find_sources([str(folder / "a.png")]) * 50
    results = encode_sources(model, sources, batch_size=2)
    next(results)
    assert len(read) <= 2 + 2 * 2 + 1
    results.close()
