"""Photographs edited whole: what changes, what stays, and that the edit is the model's."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from mddae_cli import editing, images, photographs
from mddae_cli.align import prepared, template
from mddae_cli.align.options import DEFAULTS, Align, AlignOptions, Size
from mddae_cli.align.paste import difference_of
from mddae_cli.align.photograph import Photograph
from mddae_cli.align.placement import place
from mddae_cli.align.similarity import Similarity
from mddae_cli.align.warp import corners, cut
from mddae_cli.editing import Codes, Model
from mddae_cli.errors import ImageError, UsageError
from mddae_cli.pipeline import Edited, Failed, Skipped, Source, edit_photographs
from mddae_cli.pipeline import photographs as flow

EYES = AlignOptions(Align.ALWAYS, (204.0, 101.0, 248.0, 103.0))
CHANGE = {"Smiling": -0.8}


@pytest.fixture(scope="module")
def faces() -> Model:
    return editing.load("celeba64", device="cpu")


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return skimage.data.astronaut()


@pytest.fixture(scope="module")
def photo(astronaut: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(astronaut).save(buffer, "PNG")
    return buffer.getvalue()


def seen_square(photograph: Photograph, options: AlignOptions, model: Model) -> np.ndarray:
    """Return the corners of what the model saw."""
    placed = place(photograph.pixels, model.header, options)[0]
    return corners(placed.to_picture, 64, 64)


def test_outside_the_face_no_bit_differs(faces: Model, photo: bytes, astronaut: np.ndarray) -> None:
    result = photographs.edit_photograph(photo, faces, EYES, **CHANGE)
    box = seen_square(result, EYES, faces)
    (left, top), (right, bottom) = np.floor(box.min(axis=0)), np.ceil(box.max(axis=0))
    changed = (result.pixels != astronaut).any(axis=2)
    assert changed.sum() > 1000
    changed[int(top) : int(bottom), int(left) : int(right)] = False
    assert not changed.any()


def test_a_value_that_the_face_has_already_changes_nothing(
    faces: Model, photo: bytes, astronaut: np.ndarray
) -> None:
    placed = place(astronaut, faces.header, EYES)[0]
    y_hat = faces.encode(placed.crop[None]).y_hat[0]
    raw = dataclasses.replace(faces, raw=True)
    for name in ("Smiling", "Eyeglasses", "Male"):
        # As encode and --json print it.
        same = {name: float(f"{float(y_hat[faces.names.index(name)]):.9g}")}
        result = photographs.edit_photograph(photo, raw, EYES, **same)
        np.testing.assert_array_equal(result.pixels, astronaut)


def test_what_is_added_lies_where_the_model_saw_it(
    faces: Model, photo: bytes, astronaut: np.ndarray
) -> None:
    change = {"Black_Hair": 1.0}  # in the three places something else each
    placed = place(astronaut, faces.header, EYES)[0]
    codes = faces.encode(placed.crop[None])
    before, after = (photographs.to_floats(faces.decode(c))[0] for c in (codes, codes.set(change)))
    wanted = difference_of(placed.crop, before, after)
    result = photographs.edit_photograph(photo, faces, EYES, **change)
    added = result.pixels.astype(np.float32) - astronaut
    middle = placed.to_picture.apply(np.array([[32.5, 45.5], [20.5, 30.5], [44.5, 30.5]]))
    reach = round(1.5 * placed.to_picture.scale)  # three of the model's pixels across
    for (x, y), (column, row) in zip(middle, [(32, 45), (20, 30), (44, 30)], strict=True):
        rows, columns = (slice(int(v) - reach, int(v) + reach + 1) for v in (y, x))
        seen = wanted[row - 1 : row + 2, column - 1 : column + 2].mean(axis=(0, 1))
        np.testing.assert_allclose(added[rows, columns].mean(axis=(0, 1)) / 255, seen, atol=0.02)


def test_there_is_no_seam(faces: Model, photo: bytes, astronaut: np.ndarray) -> None:
    """The change is no steeper near the border of the square than inside it."""
    result = photographs.edit_photograph(photo, faces, EYES, Blond_Hair=3.0, Pale_Skin=2.0)
    placed = place(astronaut, faces.header, EYES)[0]
    added = (result.pixels.astype(float) - astronaut).mean(axis=2)
    steep = np.hypot(*np.gradient(added))
    height, width = added.shape
    y, x = np.mgrid[:height, :width] + 0.5
    inside = placed.to_picture.inverse().apply(np.stack([x.ravel(), y.ravel()], axis=1))
    depth = np.minimum(inside, 64 - inside).min(axis=1).reshape(height, width)
    border, middle = steep[(depth > -2) & (depth < 6)], steep[depth >= 11]
    assert border.max() <= middle.max()
    assert border.mean() <= middle.mean()


@pytest.mark.parametrize(("degrees", "scale"), [(-30, 0.5), (30, 1.0), (15, 4.0)])
@pytest.mark.parametrize("given", [True, False])
def test_the_edit_of_a_turned_copy_is_that_of_the_aligned_face(
    faces: Model, astronaut: np.ndarray, degrees: float, scale: float, given: bool
) -> None:
    from mddae_cli.align.detector import face_at

    face = face_at(np.array(EYES.eyes).reshape(2, 2))
    aligned = cut(astronaut, face.to_picture, template.WIDTH, template.HEIGHT)
    factor = scale * complex(np.exp(1j * np.radians(degrees)))
    to_copy = Similarity(factor, complex(520, 380) - factor * (89 + 120j))
    copy = cut(aligned, to_copy.inverse(), 1000, 800)
    eyes = tuple(to_copy.apply(template.POINTS[:2]).ravel().tolist())
    options = AlignOptions(Align.ALWAYS, eyes) if given else AlignOptions(Align.ALWAYS)
    # The aligned picture is brought there as the copy is, so that only finding it can differ.
    own = AlignOptions(Align.NEVER) if given else options
    wanted = photographs.edit_photograph(png(aligned), faces, own, **CHANGE).pixels
    result = photographs.edit_photograph(png(copy), faces, options, **CHANGE).pixels
    back, plain = (cut(p, to_copy, template.WIDTH, template.HEIGHT) for p in (result, copy))
    got = (back.astype(float) - plain)[40:188, 15:163] / 255
    due = (wanted.astype(float) - aligned)[40:188, 15:163] / 255
    assert np.abs(due).max() > 0.1
    assert np.sqrt(((got - due) ** 2).mean()) < 0.02


def png(pixels: np.ndarray) -> bytes:
    return images.image_bytes(pixels)


def test_every_face_is_changed_where_all_are_meant(faces: Model, astronaut: np.ndarray) -> None:
    head = astronaut[20:220, 130:330]
    picture = np.concatenate([head, head[:, ::-1]], axis=1)
    result = photographs.edit_photograph(png(picture), faces, AlignOptions(face=None), **CHANGE)
    changed = (result.pixels != picture).any(axis=2)
    assert changed[:, :200].sum() > 1000
    assert changed[:, 200:].sum() > 1000


def test_models_of_classes_and_missing_faces_are_refused(faces: Model) -> None:
    with pytest.raises(ImageError, match=r"^picture: shows no face"):
        photographs.edit_photograph(png(skimage.data.coffee()), faces, **CHANGE)
    header = dataclasses.replace(faces.header, dataset="folder")
    other = dataclasses.replace(faces, header=header)
    with pytest.raises(UsageError, match="this one is of folder"):
        photographs.edit_photograph(b"", other, EYES, **CHANGE)


# Many photographs


@pytest.fixture
def album(tmp_path: Path, astronaut: np.ndarray) -> Path:
    """An astronaut, one turned by EXIF, a cup of coffee, a CelebA-like one, a broken one."""
    root = tmp_path / "album"
    root.mkdir()
    Image.fromarray(astronaut).save(root / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    side = Image.fromarray(astronaut).transpose(Image.Transpose.ROTATE_90)
    side.save(root / "b.jpg", exif=exif, quality=95)
    Image.fromarray(skimage.data.coffee()).save(root / "c.png")
    Image.fromarray(astronaut[:218, 130:308]).save(root / "d.png")
    (root / "e.png").write_bytes(b"no picture")
    return root


def run(
    model: Model, root: Path, out: Path, options: AlignOptions = DEFAULTS, **more: int
) -> list[Edited | Failed | Skipped]:
    jobs = [(Source(str(p), p.name), out / p.name) for p in sorted(root.iterdir())]

    def write(target: Path | None, picture: Photograph | images.Pixels) -> None:
        assert target is not None
        if isinstance(picture, Photograph):
            picture.save(target)
        else:
            images.write_image(target, picture)

    out.mkdir(exist_ok=True)
    change: Callable[[Codes], Codes] = lambda codes: codes.set(CHANGE)  # noqa: E731
    return list(edit_photographs(model, jobs, change, options, write=write, **more))


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_photographs_come_out_in_order_and_at_their_size(
    faces: Model, album: Path, tmp_path: Path, batch_size: int
) -> None:
    out = tmp_path / "out"
    results = run(faces, album, out, batch_size=batch_size)
    kinds = [type(result).__name__ for result in results]
    assert kinds == ["Edited", "Edited", "Failed", "Edited", "Failed"]
    sides = [images.read_image(out / name).shape[:2] for name in ("a.png", "b.jpg", "d.png")]
    assert sides == [(512, 512), (512, 512), (64, 64)]
    alone = photographs.edit_photograph(album / "a.png", faces, **CHANGE)
    off = np.abs(images.read_image(out / "a.png").astype(int) - alone.pixels)
    assert off.max() <= 1  # batches round differently
    first, second = results[0], results[1]
    assert isinstance(first, Edited) and isinstance(second, Edited)
    np.testing.assert_allclose(first.faces[0].points, second.faces[0].points, atol=1.5)
    assert isinstance(results[2], Failed)
    assert results[2].reason.startswith("shows no face")


def test_what_is_there_is_skipped(faces: Model, album: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(faces, album, out)
    before = {p.name: p.stat().st_mtime_ns for p in out.iterdir()}
    kinds = [type(result).__name__ for result in run(faces, album, out)]
    assert kinds == ["Skipped", "Skipped", "Failed", "Skipped", "Failed"]
    assert {p.name: p.stat().st_mtime_ns for p in out.iterdir()} == before


@pytest.mark.parametrize(
    ("size", "sides"), [(Size.MODEL, (64, 64, 64)), (Size.NATIVE, (512, 512, 178))]
)
def test_the_size_is_what_was_asked_for(
    faces: Model, album: Path, tmp_path: Path, size: Size, sides: tuple[int, ...]
) -> None:
    run(faces, album, tmp_path / "out", AlignOptions(size=size))
    names = ("a.png", "b.jpg", "d.png")
    widths = [images.read_image(tmp_path / "out" / name).shape[1] for name in names]
    assert tuple(widths) == sides


def test_celeba_s_proportions_give_what_edit_image_gives(
    faces: Model, album: Path, tmp_path: Path
) -> None:
    run(faces, album, tmp_path / "out", batch_size=1)
    wanted = editing.edit_image(faces, images.read_image(album / "d.png"), CHANGE)
    np.testing.assert_array_equal(images.read_image(tmp_path / "out" / "d.png"), wanted)


def test_few_photographs_are_held_at_a_time(
    faces: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "_MOST_PIXELS", 2_000_000)
    root = tmp_path / "many"
    root.mkdir()
    big = np.zeros((1000, 900, 3), np.uint8)
    for i in range(30):
        Image.fromarray(big).save(root / f"{i:02}.png")
    read: list[str] = []
    real = prepared.read_photograph

    def counted(source: str | Path | bytes, **more: object) -> Photograph:
        read.append(str(source))
        return real(source, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(prepared, "read_photograph", counted)
    options = AlignOptions(Align.NEVER, size=Size.NATIVE)
    written: list[Path | None] = []
    jobs = [(Source(str(p), p.name), tmp_path / p.name) for p in sorted(root.iterdir())]
    results = edit_photographs(
        faces, jobs, lambda codes: codes, options, write=lambda target, _: written.append(target)
    )
    next(results)
    assert len(read) < 12
    assert len(list(results)) == 29
    assert len(written) == 30


def test_all_cores_are_given_batches_of_the_threads_that_torch_has(
    faces: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow.os, "cpu_count", lambda: 8)
    monkeypatch.setattr(flow.torch, "get_num_threads", lambda: 4)
    assert flow._model_threads(faces) == 2
    monkeypatch.setattr(flow.torch, "get_num_threads", lambda: 16)
    assert flow._model_threads(faces) == 1
    monkeypatch.setattr(flow.torch, "get_num_threads", lambda: 1)
    on_gpu = dataclasses.replace(faces, device=torch.device("cuda"))
    assert flow._model_threads(on_gpu) == 1
