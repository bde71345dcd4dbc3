"""``mddae info``: what a checkpoint says about itself, without torch."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from mddae_cli.cli import console
from mddae_cli.cli.options import Json, Quiet, Verbose
from mddae_cli.errors import ModelError
from mddae_cli.header import MODEL_FILE, Header, bundled_models, find_model_file, read_header

SHORT_HELP = "Say what a model is and how good it was."
HELP = (
    "Example: mddae info runs/digits\n\n"
    "Says what a model was trained on, its names, size, losses and best figures, from the "
    "file's header alone. Without MODEL: lists the models at hand."
)


def command(
    model: Annotated[
        Path | None,
        typer.Argument(
            metavar="MODEL",
            help="A run folder, a .safetensors file or a bundled name. Default: lists all.",
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Print one model's description, or the list of models."""
    if model is None:
        _list_models(as_json, quiet)
        return
    description = describe(model)
    if as_json:
        console.say_json(description)
        return
    for label, value in _lines(description):
        console.say(f"{label + ':':<14}{value}")


def describe(where: Path) -> dict[str, Any]:
    """Return the header of a checkpoint with its place and size, as JSON values.

    Args:
        where: A run folder or a file.

    Raises:
        ModelError: If there is no readable model.
    """
    file = find_model_file(where)
    values = dataclasses.asdict(read_header(file))
    return {"path": str(file), "size_bytes": file.stat().st_size, **values}


def _lines(d: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the description as labelled lines."""
    net, config, picture = d["model"], d["config"], d["preprocess"]
    low, high = picture["value_range"]
    losses = (
        "reduction",
        "alpha",
        "beta",
        "gamma",
        "reg",
        "y_moved_by",
        "cycle",
        "cycle_keep",
        "cycle_z",
    )
    lines = [
        ("model", f"{d['path']} ({d['size_bytes'] / 1e6:.1f} MB)"),
        ("trained on", f"{d['dataset']}, split {d['split']} (seed {d['split_seed']})"),
        ("preset", str(config.get("preset", "unknown"))),
        ("network", f"{net['kind']}, {net['arch']}, width {net['width']}, depth {net['depth']}"),
        ("latent size", f"{net['latent_dim']}, {_latent_of(net)}"),
        ("targets", f"{net['num_targets']} {net['target_kind']}, {net['targets']}"),
        ("names", ", ".join(d["names"])),
        ("pictures", f"{picture['image_size']} px, {picture['channels']} channels"),
        ("value range", f"{low:g} to {high:g}"),
        ("intensities", "raw" if d["calibration"] is None else "calibrated"),
        ("losses", console.format_figures({k: config.get(k) for k in losses})),
        ("figures", console.format_figures(d["figures"]) or "none recorded"),
        ("written by", f"mddae {d['package_version']}, format {d['format_version']}"),
    ]
    return lines


def _latent_of(net: dict[str, Any]) -> str:
    parts = [f"normalisation {net['z_norm']}"]
    if layers := net["flow_layers"]:
        parts.append(f"flow of {layers} layers")
    if directions := net["erase_directions"]:
        parts.append(f"quadratic erasure along {directions} directions")
    return ", ".join(parts)


def _list_models(as_json: bool, quiet: bool) -> None:
    """Print the bundled models and those under ``runs``; a broken one is named."""
    found: list[tuple[str, Header]] = []
    here = [str(file.parent) for file in sorted(Path("runs").glob(f"*/{MODEL_FILE}"))]
    for name in [*bundled_models(), *here]:
        try:
            found.append((name, read_header(name)))
        except ModelError as exc:
            console.note(f"warning: {exc}")
    if as_json:
        console.say_json([{"path": path, **dataclasses.asdict(head)} for path, head in found])
    elif found:
        rows = [[path, head.dataset, str(len(head.names)), _best(head)] for path, head in found]
        console.say_table(["model", "trained on", "names", "figures"], rows)
    if not here and not quiet:
        console.note(
            "No model lies under ./runs.\nTrain one: mddae train --dataset digits -o runs/digits"
        )


def _best(header: Header) -> str:
    keys = ("val_rmse", "val_psnr_db", "y_accuracy", "leak_auroc")
    return console.format_figures({key: header.figures.get(key) for key in keys})
