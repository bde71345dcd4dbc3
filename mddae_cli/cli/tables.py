"""The data sets that models are measured on: cut and parted as in training, each loaded once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mddae_cli.cli.options import resolve_dataset
from mddae_cli.config import Split, coerce_option
from mddae_cli.header import Header
from mddae_cli.reporting import Reporter

if TYPE_CHECKING:
    from mddae_cli.data import Table

_KEPT = ("attrs", "crop")
Labels = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="For a folder: the file that was --csv in training.",
        rich_help_panel="Data",
    ),
]


def data_of(
    header: Header, dataset: str | None, data_dir: Path | None, labels: Path | None
) -> dict[str, Any]:
    """Return the arguments of ``load_table`` that give a model pictures as in its training.

    Args:
        header: The model's; its configuration says how pictures were cut and parted.
        dataset: What ``--dataset`` says, if anything.
        data_dir: What ``--data-dir`` says, if anything.
        labels: What ``--labels`` says, if anything.
    """
    name, folder = resolve_dataset(dataset or header.dataset, data_dir)
    places = {"dataset": name, "data_dir": folder, "csv": labels}
    size = header.preprocess.image_size
    if name != header.dataset:
        return {**places, "image_size": size}
    kept = {key: coerce_option(key, header.config[key]) for key in _KEPT if key in header.config}
    parts = {"split": Split(header.split), "split_seed": header.split_seed}
    return {**places, **parts, **kept, "image_size": size}


def load_tables(where: Sequence[dict[str, Any]], reporter: Reporter) -> list[Table]:
    """Return a table for each of ``where``, what :func:`data_of` returned; equals share one."""
    from mddae_cli import data

    loaded: dict[str, Table] = {}
    for arguments in where:
        key = repr(arguments)
        if key not in loaded:
            loaded[key] = data.load_table(**arguments, reporter=reporter)
    return [loaded[repr(arguments)] for arguments in where]
