"""``mddae evaluate``: how well models reconstruct, how well they edit, and what z still tells."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mddae_cli.cli import cards, console
from mddae_cli.cli.options import (
    DataDir,
    Dataset,
    Device,
    Json,
    Quiet,
    Raw,
    Threads,
    Verbose,
    parse_values,
)
from mddae_cli.cli.tables import Labels, data_of, load_tables
from mddae_cli.config import ModelKind, TargetKind
from mddae_cli.errors import UsageError, fold_name, resolve_name
from mddae_cli.header import DEFAULT_FACES, Header, read_header
from mddae_cli.reporting import Reporter

if TYPE_CHECKING:
    from mddae_cli.data import Table
    from mddae_cli.evaluation import Judge, ScoreCard

DEFAULT_VALUES = "1,1.5,2,2.5,3,4"
SHORT_HELP = "Measure how well models reconstruct, edit and hide."
HELP = (
    "Example: mddae evaluate runs/a runs/b --attr Smiling --values 0,1,2\n\n"
    "Prints a row for each model: reconstruction, accuracy of the soft target, what probes read "
    "from z, and how often a judge sees what an edit or a class swap wanted. The judge is a "
    "network that learns from real pictures only; it is trained once for a data set and kept. "
    "Pictures are cut, sized and parted as they were in the model's own training."
)


class Part(StrEnum):
    """The part that is measured; probes and judge have learnt from the train part."""

    VAL = "val"
    TEST = "test"


class ProbeName(StrEnum):
    """The probes of ``evaluation``, named here so that ``--help`` needs no torch."""

    LINEAR = "linear"
    MLP = "mlp"
    SMALL_MLP = "small-mlp"


def command(
    models: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="MODEL",
            envvar="MDDAE_MODEL",
            help="Run folders, .safetensors files or bundled names. Default: celeba64.",
        ),
    ] = None,
    attrs: Annotated[
        list[str] | None,
        typer.Option(
            "--attr",
            metavar="NAME",
            help="An attribute to edit; may be given several times. Default: all.",
            rich_help_panel="Measures",
        ),
    ] = None,
    values: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="What attributes are set to: numbers with commas, or FIRST:LAST:STEP with both "
            f"ends. Default: {DEFAULT_VALUES}.",
            rich_help_panel="Measures",
        ),
    ] = None,
    raw: Raw = False,
    probes: Annotated[
        list[ProbeName] | None,
        typer.Option(
            "--probe",
            metavar="NAME",
            help=f"A probe of z: {', '.join(ProbeName)}; may be given several times. Default: all.",
            rich_help_panel="Measures",
        ),
    ] = None,
    max_images: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Edit at most so many pictures for each attribute, or swap so many. Default: all.",
            rich_help_panel="Measures",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(help="Of the probes and of that choice.", rich_help_panel="Measures"),
    ] = 0,
    dataset: Dataset = None,
    data_dir: DataDir = None,
    labels: Labels = None,
    part: Annotated[
        Part, typer.Option("--split", help="The part to measure.", rich_help_panel="Data")
    ] = Part.TEST,
    where_labels: Annotated[
        list[str] | None,
        typer.Option(
            "--where",
            metavar="NAME=0|1",
            help="Measure only pictures with this label; may be given several times.",
            rich_help_panel="Data",
        ),
    ] = None,
    device: Device = None,
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure each model and print the score cards side by side."""
    models = models or [Path(DEFAULT_FACES)]
    headers = [read_header(model) for model in models]
    options: dict[str, Any] = {
        "values": parse_values(DEFAULT_VALUES if values is None else values),
        "leak_probes": [probe.value for probe in dict.fromkeys(probes or ProbeName)],
        "max_images": max_images,
        "seed": seed,
    }
    names = [
        _attributes(model, header, attrs, given=bool(attrs) or values is not None)
        for model, header in zip(models, headers, strict=True)
    ]
    where = [data_of(header, dataset, data_dir, labels) for header in headers]
    wanted = _wanted_labels(where_labels or ())
    with console.reporting(quiet=quiet) as reporter:
        from mddae_cli import runtime

        runtime.set_threads(threads)
        tables = load_tables(where, reporter)
        judges = _judges(headers, tables, part, device or "auto", reporter)
        chosen = [table.narrowed(part.value, wanted) for table in tables]
        ready = list(zip(models, names, chosen, judges, strict=True))
        measured = _measure(ready, part, device or "auto", options, reporter, raw=raw)
    if as_json:
        records = [cards.record(name, card) for name, card in measured]
        console.say_json({"seed": seed, "max_images": max_images, "raw": raw, "models": records})
    else:
        cards.say(measured)


def _attributes(
    model: Path, header: Header, attrs: Sequence[str] | None, *, given: bool
) -> list[str] | None:
    """Return the attributes to edit under the model's own names, None for all.

    Args:
        model: Where the model is.
        header: Its header.
        attrs: What ``--attr`` says, if anything.
        given: Whether anything about attributes was asked for.

    Raises:
        UsageError: If something was, and the model has classes.
        UnknownNameError: If a name does not exist.
    """
    if given and header.model.target_kind is TargetKind.CLASSES:
        raise UsageError(
            f"model {str(model)!r} was trained on {header.dataset} and has classes, which are "
            "swapped: leave out --attr and --values."
        )
    if not attrs or "all" in map(fold_name, attrs):
        return None
    return [resolve_name("attribute", name, header.names) for name in attrs]


def _wanted_labels(conditions: Sequence[str]) -> dict[str, int]:
    """Return the labels that ``--where`` options ask for.

    Raises:
        UsageError: If one is no NAME=0 or NAME=1.
    """
    wanted = {}
    for condition in conditions:
        name, _, label = condition.rpartition("=")
        if not name or label not in ("0", "1"):
            raise UsageError(f"--where {condition!r} is no NAME=0 or NAME=1, such as Male=0.")
        wanted[name] = int(label)
    return wanted


def _judges(
    headers: Sequence[Header], tables: Sequence[Table], part: Part, device: str, reporter: Reporter
) -> list[Judge | None]:
    """Return each model's judge: one for a table, None where only plain models use it.

    Every model is held against its table before the first judge is trained.
    """
    from mddae_cli.evaluation import load_or_train_judge
    from mddae_cli.evaluation.scorecard import check_table

    for header, table in zip(headers, tables, strict=True):
        check_table(header, table, part.value)
    judges: dict[int, Judge] = {}
    for header, table in zip(headers, tables, strict=True):
        if header.model.kind is not ModelKind.AE and id(table) not in judges:
            judges[id(table)] = load_or_train_judge(table, device=device, reporter=reporter)
    return [judges.get(id(table)) for table in tables]


def _measure(
    ready: Sequence[tuple[Path, list[str] | None, Table, Judge | None]],
    part: Part,
    device: str,
    options: dict[str, Any],
    reporter: Reporter,
    *,
    raw: bool,
) -> list[tuple[str, ScoreCard]]:
    """Return the score card of each model with its path."""
    from mddae_cli import editing
    from mddae_cli.evaluation import score_card

    measured = []
    for path, names, table, judge in ready:
        reporter.noted(f"model {path}")
        net = editing.load(path, device=device, raw=raw)
        choice = {"names": names, "reporter": reporter, **options}
        measured.append((str(path), score_card(net, table, judge, part.value, **choice)))
    return measured
