"""``mddae calibrate``: the unit of intensity and the working ranges, stored in a checkpoint."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from mddae_cli.cli import console
from mddae_cli.cli.align_options import AlignOption, FaceOption, one_face
from mddae_cli.cli.options import (
    DataDir,
    Dataset,
    Device,
    Json,
    Quiet,
    Threads,
    Verbose,
    parse_values,
)
from mddae_cli.cli.tables import Labels, ask_labels, data_of, load_tables
from mddae_cli.config import TargetKind
from mddae_cli.errors import UsageError
from mddae_cli.header import Header, read_header

DEFAULT_VALUES = "0:4:0.25"
SHORT_HELP = "Find what intensities mean and how far they go."
HELP = (
    "Example: mddae calibrate runs/celeba --data-dir DIR\n\n"
    "Finds on validation pictures which raw soft target looks like an average picture without "
    "an attribute (0) and with it (1), on training pictures which way the latent goes along "
    "beyond 1, and how far each attribute can be turned before a judge sees other labels change. "
    "All are stored in the checkpoint: the first is the unit of --set, the last is what mddae edit "
    "--list shows. Training does the first two by itself."
)


def command(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="A run folder or a .safetensors file.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="The new checkpoint. Default: MODEL itself."
        ),
    ] = None,
    values: Annotated[
        str, typer.Option(metavar="LIST", help="Intensities at which the judge looks.")
    ] = DEFAULT_VALUES,
    max_images: Annotated[
        int, typer.Option(min=1, help="At most so many pictures for each attribute.")
    ] = 200,
    seed: Annotated[int, typer.Option(help="Of the choice of pictures.")] = 0,
    dataset: Dataset = None,
    data_dir: DataDir = None,
    labels: Labels = None,
    align: AlignOption = "auto",
    face: FaceOption = "largest",
    device: Device = None,
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Calibrate a model and print each attribute's unit and working range."""
    header = read_header(model)
    header.require_targets(TargetKind.ATTRIBUTES)
    if output is None and not model.exists():
        raise UsageError(f"{str(model)!r} comes with the package: add -o FILE for the new one.")
    asked = parse_values(values)
    place = data_of(header, dataset, data_dir, labels, one_face(align, face))
    where = [ask_labels(header, place)]
    with console.reporting(quiet=quiet) as reporter:
        from mddae_cli import checkpoint, evaluation, runtime

        runtime.set_threads(threads)
        table = load_tables(where, reporter)[0]
        found = evaluation.measure_intensity(
            model,
            table,
            values=asked,
            max_images=max_images,
            seed=seed,
            device=device or "auto",
            reporter=reporter,
        )
        checkpoint.replace_header(model, found.header, output, steps_of=found.net)
    if as_json:
        console.say_json(_record(found.header))
    else:
        _say(found.header)


def _record(header: Header) -> dict[str, Any]:
    unit = None if header.calibration is None else dataclasses.asdict(header.calibration)
    return {"names": header.names, "calibration": unit, "working_ranges": header.working_ranges}


def _say(header: Header) -> None:
    keys = ("seen_50", "seen_90", "collateral_5", "collateral_8", "falls")
    rows = []
    for k, name in enumerate(header.names):
        own = (header.working_ranges or {}).get(name, {})
        unit = header.calibration
        ends = [] if unit is None else [f"{unit.zero[k]:.2f}", f"{unit.one[k]:.2f}"]
        cells = ["" if own.get(key) is None else f"{own[key]:.2f}" for key in keys]
        rows.append([name, *ends, *cells])
    title = ["attribute", "raw ŷ of 0", "of 1", "seen 50 %", "90 %", "others 5 %", "8 %", "falls"]
    console.say_table(title, rows)
