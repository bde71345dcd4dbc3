"""``mddae reconstruct-metrics``: how well models reconstruct a part of a data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
)
from mddae_cli.cli.tables import Labels, data_of, load_tables
from mddae_cli.errors import UsageError
from mddae_cli.header import read_header
from mddae_cli.reporting import Reporter

if TYPE_CHECKING:
    from mddae_cli.evaluation.reconstruction import ReconstructionScores

SHORT_HELP = "Measure how well models reconstruct."
HELP = (
    "Example: mddae reconstruct-metrics runs/a runs/b --dataset mnist --split test\n\n"
    "Prints RMSE, PSNR, SSIM and multi-scale SSIM, mean and standard deviation over the pictures, "
    "in a row for each model; the conventions stand under the table. Pictures are cut, sized "
    "and parted as they were in the model's own training."
)
_MEASURES = {"rmse": "RMSE", "psnr_db": "PSNR dB", "ssim": "SSIM", "ms_ssim": "MS-SSIM"}


class Part(StrEnum):
    """The part of a data set that is measured."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


def command(
    models: Annotated[
        list[Path],
        typer.Argument(metavar="MODEL", help="Run folders, .safetensors files or bundled names."),
    ],
    dataset: Dataset = None,
    data_dir: DataDir = None,
    labels: Labels = None,
    part: Annotated[
        Part, typer.Option("--split", help="The part to measure.", rich_help_panel="Data")
    ] = Part.TEST,
    align: AlignOption = "auto",
    face: FaceOption = "largest",
    device: Device = None,
    threads: Threads = None,
    as_json: Json = False,
    as_csv: Annotated[
        bool,
        typer.Option("--csv", help="Print CSV on standard output.", rich_help_panel="Output"),
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure each model and print the table."""
    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other: give one.")
    headers = [read_header(model) for model in models]
    aligned = one_face(align, face)
    where = [data_of(header, dataset, data_dir, labels, aligned) for header in headers]
    with console.reporting(quiet=quiet) as reporter:
        scores = _measure(models, where, part, device or "auto", threads, reporter)
    _show(scores, as_json=as_json, as_csv=as_csv)


def _measure(
    models: Sequence[Path],
    where: Sequence[dict[str, Any]],
    part: Part,
    device: str,
    threads: int | None,
    reporter: Reporter,
) -> list[ReconstructionScores]:
    """Return the scores of each model; models that want the same table share it."""
    from mddae_cli import editing, runtime
    from mddae_cli.evaluation.reconstruction import reconstruct_metrics

    runtime.set_threads(threads)
    scores = []
    for path, table in zip(models, load_tables(where, reporter), strict=True):
        net = editing.load(path, device=device)
        row = reconstruct_metrics(net, table, part.value, name=str(path), reporter=reporter)
        scores.append(row)
    return scores


def _show(scores: Sequence[ReconstructionScores], *, as_json: bool, as_csv: bool) -> None:
    records = [dataclasses.asdict(score) for score in scores]
    if as_json:
        console.say_json(records)
    elif as_csv:
        console.say_csv([{**row, "conventions": " ".join(row["conventions"])} for row in records])
    else:
        columns = ["model", "pictures", *_MEASURES.values()]
        console.say_table(columns, [_row(record) for record in records])
        console.say("")
        for line in dict.fromkeys(line for row in records for line in row["conventions"]):
            console.say(line)


def _row(record: dict[str, Any]) -> list[str]:
    cells = [f"{record[f'{key}_mean']:.4f} ± {record[f'{key}_std']:.4f}" for key in _MEASURES]
    return [record["name"], str(record["num_images"]), *cells]
