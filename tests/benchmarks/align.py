"""Measure finding, aligning and putting back faces.

    python tests/benchmarks/align.py --data-dir DIR --template        # where CelebA has its eyes
    python tests/benchmarks/align.py --data-dir DIR --faces 300       # found, aligned, edited
    python tests/benchmarks/align.py --photograph portrait.jpg        # 12 megapixels: time, memory

``--faces`` pastes aligned test faces at a random angle (±30°), scale (0.5 to 4) and place into
pictures of scikit-image and scipy, without a soft edge, and finds them again. Each face's eyes
are compared with where they are: by the detector's own word on the aligned original, carried along
by the transform that pasted it. The judge says how often an edit is seen on the aligned
originals, on the faces found again, and in the photographs with the edit in them, which are
taken apart by the true transform.

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
import scipy.datasets
import skimage.data
import torch
from PIL import Image

from mddae_cli import data, editing, images, photographs
from mddae_cli.align import template
from mddae_cli.align.detector import find_faces, look
from mddae_cli.align.options import Align, AlignOptions
from mddae_cli.align.photograph import photograph_of
from mddae_cli.align.placement import Placement, place
from mddae_cli.align.similarity import Points, Similarity
from mddae_cli.align.warp import cut
from mddae_cli.editing import Codes, Model
from mddae_cli.errors import ImageError
from mddae_cli.evaluation.judge import Judge, load_or_train_judge
from mddae_cli.images import Pixels

FRAME = (template.WIDTH, template.HEIGHT)
CANVAS = (1200, 900)  # width and height of the pictures that faces are pasted into
EDITS = {"Smiling": (1.5, 2.0), "Eyeglasses": (1.5, 2.0)}
# Neither has a face that a person would find.
BACKGROUNDS = ("coffee", "chelsea", "rocket", "coins", "brick", "grass", "gravel", "moon")


@dataclass(frozen=True)
class Pasted:
    """A face in a larger picture; ``to_picture`` is true, from the aligned original."""

    original: Pixels
    picture: Pixels
    to_picture: Similarity


def backgrounds() -> list[Pixels]:
    """Return pictures without faces, uint8 (H, W, 3), of one size."""
    found = [np.asarray(getattr(skimage.data, name)()) for name in BACKGROUNDS]
    if (Path(scipy.datasets.__file__).parent / "face.dat").is_file():
        found.append(scipy.datasets.face())  # a raccoon; newer versions of scipy download it
    return [np.asarray(Image.fromarray(picture).convert("RGB").resize(CANVAS)) for picture in found]


def paste(face: Pixels, background: Pixels, rng: np.random.Generator) -> Pasted:
    """Return a face at a random angle, scale and place, its frame's centre well inside."""
    turn = math.radians(rng.uniform(-30, 30))
    scale = math.exp(rng.uniform(math.log(0.5), math.log(4)))
    factor = scale * complex(math.cos(turn), math.sin(turn))
    reach = [min(100 * scale, side / 2 - 1) for side in CANVAS]
    place = complex(*(rng.uniform(r, side - r) for r, side in zip(reach, CANVAS, strict=True)))
    to_picture = Similarity(factor, place - factor * complex(FRAME[0], FRAME[1]) / 2)
    back = to_picture.inverse()
    layer = cut(np.pad(face, ((1, 1), (1, 1), (0, 0))), Similarity(1, 1 + 1j).after(back), *CANVAS)
    inside = np.asarray(
        Image.new("L", FRAME, 255).transform(
            CANVAS, Image.Transform.AFFINE, back.pillow(), Image.Resampling.NEAREST
        )
    )
    return Pasted(face, np.where(inside[:, :, None] > 0, layer, background), to_picture)


def test_faces(folder: Path) -> Iterator[Path]:
    """Yield the pictures of the official test part, in order."""
    for line in (folder / "list_eval_partition.txt").read_text().splitlines():
        name, part = line.split()
        if part == "2":
            yield folder / "img_align_celeba" / name


def measure_template(folder: Path) -> dict[str, Any]:
    """Return medians, means and scatter of the points of aligned pictures."""
    points = np.array([look(images.read_image(path))[0] for path in test_faces(folder)])
    return {
        "faces": len(points),
        "median": np.median(points, axis=0).round(2).tolist(),
        "mean": points.mean(axis=0).round(2).tolist(),
        "deviation": points.std(axis=0).round(2).tolist(),
    }


def nearest_face(pasted: Pasted) -> Points | None:
    """Return the eyes of the face nearest to the true one, as far as it is that one."""
    true = pasted.to_picture.apply(template.POINTS[:2])
    reach = pasted.to_picture.scale * template.EYE_DISTANCE / 2
    near = [
        face.points[:2]
        for face in find_faces(pasted.picture)
        if np.hypot(*(face.points[:2] - true).T).max() < reach
    ]
    return near[0] if near else None


def eye_errors(some: list[Pasted]) -> list[float]:
    """Return, per face, the farther eye's distance in shares of that between the eyes."""
    errors = []
    for pasted in some:
        eyes = nearest_face(pasted)
        known = find_faces(pasted.original)
        own = known[0].points[:2] if known else look(pasted.original)[0][:2]
        if eyes is None:
            errors.append(math.inf)
            continue
        off = pasted.to_picture.inverse().apply(eyes) - own
        errors.append(float(np.hypot(*off.T).max() / template.EYE_DISTANCE))
    return errors


def measure_faces(folder: Path, count: int, model: Model, judge: Judge | None) -> dict[str, Any]:
    """Return how many faces are found and aligned, and what the judge sees of their edits."""
    rng = np.random.default_rng(0)
    scenes = backgrounds()
    paths = list(test_faces(folder))
    chosen = sorted(rng.permutation(len(paths))[:count])
    some = [paste(images.read_image(paths[i]), scenes[i % len(scenes)], rng) for i in chosen]
    started = time.process_time()
    errors = np.array(eye_errors(some))
    result: dict[str, Any] = {
        "faces": len(some),
        "found": float(np.isfinite(errors).mean()),
        "eyes_within_5_percent": float((errors <= 0.05).mean()),
        "median_error": float(np.median(errors)),
        "search_cpu_s": (time.process_time() - started) / len(some) / 2,
    }
    if judge is not None:
        result["edits"] = {name: seen(some, name, model, judge) for name in EDITS}
    return result


def seen(some: list[Pasted], name: str, model: Model, judge: Judge) -> dict[str, Any]:
    """Return the share of faces without the attribute whose edits the judge sees."""
    own = np.stack([images.fit(pasted.original, model.header.preprocess) for pasted in some])
    column = judge.names.index(name)
    shown = judge.logits(torch.from_numpy(own).permute(0, 3, 1, 2) / 255)[:, column] > 0
    without = [i for i, has in enumerate(shown.tolist()) if not has]
    placed = {i: placement for i in without if (placement := found_again(some[i], model))}
    result: dict[str, Any] = {"faces": len(without), "found": len(placed)}
    for value in EDITS[name]:
        changes = {name: value}
        originals = edited(model, own[without], changes)
        again = edited(model, np.stack([p.crop for p in placed.values()]), changes)
        whole = [unwarped(some[i], p, model, changes) for i, p in placed.items()]
        result[f"{value:g}"] = {
            "aligned": share(judge, originals, column),
            "found_again": share(judge, again, column),
            "in_the_photograph": share(
                judge, torch.from_numpy(np.stack(whole)).permute(0, 3, 1, 2) / 255, column
            ),
        }
    return result


def found_again(pasted: Pasted, model: Model) -> Placement | None:
    """Return where the model would look in the picture, if it is at the face."""
    try:
        options = AlignOptions(Align.ALWAYS)
        placement = place(pasted.picture, model.header, options)[0]
    except ImageError:
        return None
    return placement


def edited(model: Model, crops: Pixels, changes: dict[str, float]) -> torch.Tensor:
    """Return edits, float (N, C, S, S)."""
    return model.decode(model.encode(crops).set(changes))


def unwarped(
    pasted: Pasted, placement: Placement, model: Model, changes: dict[str, float]
) -> Pixels:
    """Return the photograph with the edit in it, brought back by the true transform."""
    codes: Codes = model.encode(placement.crop[None])
    after, before = (photographs.to_floats(model.decode(c)) for c in (codes.set(changes), codes))
    photograph = photographs.put_back(photograph_of(pasted.picture), [placement], after - before)
    fine = max(1, math.ceil(pasted.to_picture.scale))
    back = cut(
        photograph.pixels,
        pasted.to_picture.after(Similarity(1 / fine, 0)),
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


def main() -> None:
    """Measure what the command line asks for and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--model", default="celeba64")
    parser.add_argument("--template", action="store_true")
    parser.add_argument("--faces", type=int, default=0)
    parser.add_argument("--no-judge", action="store_true", help="only find and align")
    parser.add_argument("--photograph", type=Path)
    given = parser.parse_args()
    if given.template:
        print(json.dumps({"template": measure_template(given.data_dir)}, indent=2))
    if given.faces:
        judge = None
        if not given.no_judge:
            judge = load_or_train_judge(data.load_table("celeba", data_dir=given.data_dir))
        model = editing.load(given.model)
        print(json.dumps(measure_faces(given.data_dir, given.faces, model, judge), indent=2))
    if given.photograph:
        print(json.dumps(measure_photograph(given.photograph), indent=2))
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
