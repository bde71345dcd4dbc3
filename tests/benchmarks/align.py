"""Measure finding, aligning and putting back faces.

    python tests/benchmarks/align.py --data-dir DIR --template        # where CelebA has its eyes
    python tests/benchmarks/align.py --data-dir DIR --faces 300       # found, aligned, edited
    python tests/benchmarks/align.py --photograph portrait.jpg        # 12 megapixels: time, memory
    python tests/benchmarks/align.py --figure photograph.jpg sheet.jpg  # the README's figure

``--faces`` pastes aligned test faces at a random angle (±30°), scale (0.5 to 4) and place into
pictures of scikit-image (scipy's would be downloaded), without a soft edge, and looks for the
largest face in each. Its eyes are compared with where they are: by the detector's own word on the
aligned original, carried along by the transform that pasted it. The judge says how often an edit
is seen on the aligned originals and on the faces found again, in the decoder's pictures and put
back. It looks at the latter twice, brought to the model's side by the true transform and by that
which was found: faces of CelebA lie some per cent off their template, so that these differ.

Axes: N faces, S the model's side, C channels.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import torch
from PIL import Image, ImageDraw

from mddae_cli import data, editing, images, photographs
from mddae_cli.align import template
from mddae_cli.align.detector import find_faces, look
from mddae_cli.align.options import Align, AlignOptions
from mddae_cli.align.photograph import photograph_of
from mddae_cli.align.placement import Placement, place
from mddae_cli.align.similarity import Similarity
from mddae_cli.align.warp import cut
from mddae_cli.editing import Codes, Model
from mddae_cli.errors import ImageError
from mddae_cli.evaluation.judge import Judge, load_or_train_judge
from mddae_cli.images import Pixels

FRAME = (template.WIDTH, template.HEIGHT)
CANVAS = (1200, 900)  # width and height of the pictures that faces are pasted into
# In the unit of intensity for the figure, in raw ŷ for the judge.
SHOWN = {
    "Eyeglasses": 2.0,
    "Smiling": -0.5,
    "Bangs": 2.5,
    "Black_Hair": 2.0,
    "Bushy_Eyebrows": 2.0,
    "Narrow_Eyes": 3.0,
    "Male": 1.0,
}
EDITS = {"Smiling": (1.5, 2.0), "Eyeglasses": (1.5, 2.0)}
# None has a face that a person would find.
BACKGROUNDS = ("coffee", "chelsea", "rocket", "coins", "brick", "grass", "gravel", "moon")


@dataclass(frozen=True)
class Pasted:
    """A face in a larger picture; ``to_picture`` is true, from the aligned original."""

    original: Pixels
    background: Pixels
    to_picture: Similarity

    @property
    def picture(self) -> Pixels:
        """The larger picture, made anew each time: hundreds would fill the memory."""
        back = self.to_picture.inverse()
        framed = np.pad(self.original, ((1, 1), (1, 1), (0, 0)))
        layer = cut(framed, Similarity(1, 1 + 1j).after(back), *CANVAS)
        inside = Image.new("L", FRAME, 255).transform(
            CANVAS, Image.Transform.AFFINE, back.pillow(), Image.Resampling.NEAREST
        )
        return np.where(np.asarray(inside)[:, :, None] > 0, layer, self.background)


def backgrounds() -> list[Pixels]:
    """Return pictures without faces, uint8 (H, W, 3), of one size."""
    found = [Image.fromarray(getattr(skimage.data, name)()) for name in BACKGROUNDS]
    return [np.asarray(picture.convert("RGB").resize(CANVAS)) for picture in found]


def paste(face: Pixels, background: Pixels, rng: np.random.Generator) -> Pasted:
    """Return a face at a random angle, scale and place, mostly inside the picture."""
    turn = math.radians(rng.uniform(-30, 30))
    scale = math.exp(rng.uniform(math.log(0.5), math.log(4)))
    factor = scale * complex(math.cos(turn), math.sin(turn))
    reach = [min(100 * scale, side / 2 - 1) for side in CANVAS]
    centre = complex(*(rng.uniform(r, side - r) for r, side in zip(reach, CANVAS, strict=True)))
    to_picture = Similarity(factor, centre - factor * complex(FRAME[0], FRAME[1]) / 2)
    return Pasted(face, background, to_picture)


def faces_of_test_part(folder: Path) -> Iterator[Path]:
    """Yield the pictures of the official test part, in order."""
    for line in (folder / "list_eval_partition.txt").read_text().splitlines():
        name, part = line.split()
        if part == "2":
            yield folder / "img_align_celeba" / name


def measure_template(folder: Path) -> dict[str, Any]:
    """Return medians, means and scatter of the points of aligned pictures."""
    points = np.array([look(images.read_image(path))[0] for path in faces_of_test_part(folder)])
    return {
        "faces": len(points),
        "median": np.median(points, axis=0).round(2).tolist(),
        "mean": points.mean(axis=0).round(2).tolist(),
        "deviation": points.std(axis=0).round(2).tolist(),
    }


def found_again(pasted: Pasted, model: Model) -> Placement | None:
    """Return where the model looks in the picture, if it is at the face that was pasted."""
    try:
        placement = place(pasted.picture, model.header, AlignOptions(Align.ALWAYS))[0]
    except ImageError:
        return None
    return placement if eye_error(pasted, placement) < 0.5 else None


def as_it_is(picture: Pixels, model: Model) -> Placement:
    """Return where the model looks in a picture that is aligned already."""
    return place(picture, model.header, AlignOptions(Align.NEVER))[0]


def eye_error(pasted: Pasted, placement: Placement) -> float:
    """Return how far off the worse eye is, in shares of the distance between the eyes."""
    known = find_faces(pasted.original)
    own = known[0].points if known else look(pasted.original)[0]
    face = placement.face
    if face is None:
        return math.inf
    found = pasted.to_picture.inverse().apply(face.points)
    return float(np.hypot(*(found - own)[:2].T).max() / template.EYE_DISTANCE)


def measure_faces(folder: Path, count: int, model: Model, judge: Judge | None) -> dict[str, Any]:
    """Return how many faces are found and aligned, and what the judge sees of their edits."""
    rng = np.random.default_rng(0)
    scenes = backgrounds()
    paths = list(faces_of_test_part(folder))
    chosen = sorted(rng.permutation(len(paths))[:count])
    some = [paste(images.read_image(paths[i]), scenes[i % len(scenes)], rng) for i in chosen]
    started = time.process_time()
    placed = [found_again(pasted, model) for pasted in some]
    spent = time.process_time() - started
    pairs = zip(some, placed, strict=True)
    errors = [eye_error(pasted, where) for pasted, where in pairs if where is not None]
    result: dict[str, Any] = {
        "faces": len(some),
        "found": len(errors) / len(some),
        "eyes_within_5_percent": sum(error <= 0.05 for error in errors) / len(some),
        "median_error": float(np.median(errors)),
        "cpu_s_each": round(spent / len(some), 3),
    }
    if judge is not None:
        result["edits"] = {name: seen(some, placed, name, model, judge) for name in EDITS}
    return result


def seen(
    some: list[Pasted], placed: list[Placement | None], name: str, model: Model, judge: Judge
) -> dict[str, Any]:
    """Return how often the judge sees an edit of the faces in which it saw nothing before."""
    own = np.stack([images.fit(pasted.original, model.header.preprocess) for pasted in some])
    column = judge.names.index(name)
    shown = judge.logits(torch.from_numpy(own).permute(0, 3, 1, 2) / 255)[:, column] > 0
    without = [i for i, has in enumerate(shown.tolist()) if not has]
    again = [(some[i], where) for i in without if (where := placed[i]) is not None]
    crops = np.stack([where.crop for _, where in again])
    result: dict[str, Any] = {"faces": len(without), "found": len(again)}
    for value in EDITS[name]:
        changes = {name: value}
        put_back = [
            unwarped(picture, Similarity(1, 0), as_it_is(picture, model), model, changes)
            for picture in (some[i].original for i in without)
        ]
        put_back_again = [
            unwarped(pasted.picture, pasted.to_picture, where, model, changes)
            for pasted, where in again
        ]
        put_back_as_found = [
            unwarped(pasted.picture, where.face.to_picture, where, model, changes)
            for pasted, where in again
            if where.face is not None
        ]
        result[f"{value:g}"] = {
            "aligned": share(judge, edited(model, own[without], changes), column),
            "found_again": share(judge, edited(model, crops, changes), column),
            "put_back_aligned": share(judge, to_tensor(put_back), column),
            "put_back_found_again": share(judge, to_tensor(put_back_again), column),
            "put_back_seen_as_found": share(judge, to_tensor(put_back_as_found), column),
        }
    return result


def edited(model: Model, crops: Pixels, changes: dict[str, float]) -> torch.Tensor:
    """Return edits, float (N, C, S, S)."""
    return model.decode(model.encode(crops).set(changes))


def to_tensor(pictures: list[Pixels]) -> torch.Tensor:
    """Return pictures uint8 (S, S, C) as float (N, C, S, S) in [0, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255


def unwarped(
    picture: Pixels,
    from_template: Similarity,
    placement: Placement,
    model: Model,
    changes: dict[str, float],
) -> Pixels:
    """Return a picture with the edit in it, brought back by the transform from the template."""
    codes: Codes = model.encode(placement.crop[None])
    after, before = (photographs.to_floats(model.decode(c)) for c in (codes.set(changes), codes))
    photograph = photographs.put_back(photograph_of(picture), [placement], before, after)
    fine = max(1, math.ceil(from_template.scale))
    back = cut(
        photograph.pixels,
        from_template.after(Similarity(1 / fine, 0)),
        *(side * fine for side in FRAME),
    )
    return images.fit(back, model.header.preprocess)


def share(judge: Judge, pictures: torch.Tensor, column: int) -> float:
    """Return the share of pictures in which the judge sees the attribute, in per cent."""
    return round(100 * float((judge.logits(pictures)[:, column] > 0).float().mean()), 1)


def measure_photograph(portrait: Path) -> dict[str, float]:
    """Return time and memory of ``mddae edit`` on 12 megapixels beyond importing torch."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        picture = np.asarray(Image.open(portrait).convert("RGB").resize((1500, 1837)))
        canvas = np.random.default_rng(0).integers(90, 166, (3000, 4000, 3), dtype=np.uint8)
        canvas[600 : 600 + 1837, 1200 : 1200 + 1500] = picture
        Image.fromarray(canvas).save(folder / "photo.jpg", quality=92)
        edit = ["edit", "photo.jpg", "--set", "Smiling=1.5", "-o", "out.jpg", "--overwrite"]
        whole = [timed([sys.executable, "-m", "mddae_cli", *edit], folder) for _ in range(3)]
        torch_alone = [timed([sys.executable, "-c", "import torch"], folder) for _ in range(3)]
    best, base = (
        {key: min(run[key] for run in runs) for key in runs[0]} for runs in (whole, torch_alone)
    )
    return {key: round(best[key] - base[key], 2) for key in best} | {
        f"torch_{key}": round(value, 2) for key, value in base.items()
    }


def timed(command: list[str], folder: Path) -> dict[str, float]:
    """Return wall clock, processor time and peak memory of a process."""
    script = (
        "import resource,subprocess,sys,json,time\n"
        "t=time.perf_counter(); subprocess.run(sys.argv[1:],check=True,stdout=2)\n"
        "r=resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(json.dumps([time.perf_counter()-t,r.ru_utime+r.ru_stime,r.ru_maxrss/1024]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, *command],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    wall, cpu, memory = json.loads(run.stdout)
    return {"wall_s": wall, "cpu_s": cpu, "peak_mib": memory}


def draw_figure(photograph: Path, target: Path, model: Model) -> None:
    """Write a photograph's face before and after edits, each at full size, four in a row."""
    (face,) = find_faces(images.read_image(photograph))
    x, y = face.points[2]
    half = round(3.2 * face.eye_distance)
    top = max(0, round(y) - half)
    box = (round(x) - half, top, round(x) + half, top + 2 * half)
    edits = [{}, *({name: value} for name, value in SHOWN.items())]
    tiles = []
    for changes in edits:
        result = photographs.edit_photograph(photograph, model, **changes)
        tile = Image.fromarray(result.pixels).crop(box)
        label = " ".join(f"{name}={value:g}" for name, value in changes.items()) or "the photograph"
        ImageDraw.Draw(tile).text((8, 6), label, "white", stroke_width=2, stroke_fill="black")
        tiles.append(tile)
    sheet = Image.new("RGB", (4 * 2 * half, math.ceil(len(tiles) / 4) * 2 * half), "white")
    for i, tile in enumerate(tiles):
        sheet.paste(tile, (i % 4 * 2 * half, i // 4 * 2 * half))
    sheet.save(target, quality=90)


def main() -> None:
    """Measure what the command line asks for and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--model", default="celeba64")
    parser.add_argument("--template", action="store_true")
    parser.add_argument("--faces", type=int, default=0)
    parser.add_argument("--no-judge", action="store_true", help="only find and align")
    parser.add_argument("--photograph", type=Path)
    parser.add_argument("--figure", type=Path, nargs=2, metavar=("PHOTOGRAPH", "SHEET"))
    given = parser.parse_args()
    if given.template:
        print(json.dumps({"template": measure_template(given.data_dir)}, indent=2))
    if given.faces:
        judge = None
        if not given.no_judge:
            judge = load_or_train_judge(data.load_table("celeba", data_dir=given.data_dir))
        model = editing.load(given.model, raw=True)
        print(json.dumps(measure_faces(given.data_dir, given.faces, model, judge), indent=2))
    if given.photograph:
        print(json.dumps(measure_photograph(given.photograph), indent=2))
    if given.figure:
        draw_figure(*given.figure, editing.load(given.model))
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
