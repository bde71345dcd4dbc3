"""``mddae evaluate``: how strongly, how cleanly and how controllably models edit."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mddae_cli.cli import cards, console, report
from mddae_cli.cli.align_options import AlignOption, FaceOption, one_face
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
from mddae_cli.cli.tables import Labels, ask_labels, data_of, load_tables
from mddae_cli.config import ModelKind, Sight, TargetKind
from mddae_cli.errors import UsageError, fold_name, resolve_name
from mddae_cli.header import DEFAULT_FACES, Header, read_header
from mddae_cli.reporting import Reporter

if TYPE_CHECKING:
    from mddae_cli.data import Table
    from mddae_cli.data.table import Indexes
    from mddae_cli.evaluation import Judge, ScoreCard

DEFAULT_VALUES = "1,1.5,2,2.5,3,4"
# Those of ``evaluation``, named here so that ``--help`` needs no torch; the second need a judge.
MEASURES = ("reconstruction", "svm", "identity", "style", "leak", "dependence")
JUDGED = ("edits", "control", "exchange", "swaps")
FIGURE_FORMATS = ("png", "svg", "pdf")
SHORT_HELP = "Measure how strongly, cleanly and controllably models edit."
HELP = (
    "Example: mddae evaluate runs/a runs/b --attr Smiling --values 0,1,2\n\n"
    "The paper's protocol first: linear SVMs learn each attribute from real training faces, test "
    "faces without it are edited to each value, and the share that is not seen is the error. Then "
    "what a judge sees, what else changes, whether it follows the value, whether it is the same "
    "person, and what z still tells. SVMs, judge, verifier and codes are made once and kept. "
    "Pictures are cut, sized and parted as they were in the model's own training; in a folder of "
    "photographs a model of faces is shown the face that mddae edit would change."
)


class Part(StrEnum):
    """The part that is measured; probes and judge have learnt from the train part."""

    VAL = "val"
    TEST = "test"


class FeatureName(StrEnum):
    """What the SVMs look at."""

    PIXELS = "pixels"
    HOG = "hog"
    JUDGE = "judge"


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
    more_models: Annotated[
        list[Path] | None,
        typer.Option("--model", "-m", metavar="MODEL", help="Another one; may be repeated."),
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
    measures: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help=f"Some of {', '.join((*MEASURES, *JUDGED))}. Default: all that fit.",
            rich_help_panel="Measures",
        ),
    ] = None,
    runs: Annotated[
        int,
        typer.Option(
            min=1, help="SVMs for each attribute, each on its own draw.", rich_help_panel="Measures"
        ),
    ] = 5,
    features: Annotated[
        FeatureName,
        typer.Option(
            metavar="NAME",
            help=f"What the SVMs look at: {', '.join(FeatureName)}.",
            rich_help_panel="Measures",
        ),
    ] = FeatureName.PIXELS,
    judge_floor: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="Balanced accuracy on real pictures below which the judge is not asked about an "
            "attribute.",
            rich_help_panel="Measures",
        ),
    ] = 0.6,
    sight: Annotated[
        Sight,
        typer.Option(
            "--judge",
            metavar="NAME",
            help="sharp has learnt from real pictures as they are; soft also from softened ones, "
            "as reconstructions are, and sees more in them. The one of faces takes three times as "
            "long.",
            rich_help_panel="Measures",
        ),
    ] = Sight.SHARP,
    new_judge: Annotated[
        bool,
        typer.Option(
            "--new-judge",
            help="Train the judge on the data set's own train part, also where one comes with "
            "the package.",
            rich_help_panel="Measures",
        ),
    ] = False,
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
        typer.Option(help="Of SVMs, probes and choices.", rich_help_panel="Measures"),
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
    align: AlignOption = "auto",
    face: FaceOption = "largest",
    device: Device = None,
    threads: Threads = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Draw error over value, a panel for each attribute, as .png, .svg or .pdf.",
            rich_help_panel="Output",
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write everything with its figures as one page.",
            rich_help_panel="Output",
        ),
    ] = None,
    as_csv: Annotated[
        bool,
        typer.Option("--csv", help="Print a row for each value as CSV.", rich_help_panel="Output"),
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Measure each model and print the score cards side by side."""
    models = [*(models or []), *(more_models or [])] or [Path(DEFAULT_FACES)]
    headers = [read_header(model) for model in models]
    wanted = _measures(measures)
    options: dict[str, Any] = {
        "values": parse_values(DEFAULT_VALUES if values is None else values),
        "measures": wanted,
        "leak_probes": [probe.value for probe in dict.fromkeys(probes or ProbeName)],
        "runs": runs,
        "features": features.value,
        "judge_floor": judge_floor,
        "max_images": max_images,
        "seed": seed,
    }
    _check_outputs(plot, html, as_csv, as_json)
    names = [
        _attributes(model, header, attrs, given=bool(attrs) or values is not None)
        for model, header in zip(models, headers, strict=True)
    ]
    aligned = one_face(align, face)
    where = [
        ask_labels(header, data_of(header, dataset, data_dir, labels, aligned))
        for header in headers
    ]
    conditions = _wanted_labels(where_labels or ())
    judged = bool(set(JUDGED) & set(wanted)) or features is FeatureName.JUDGE
    with console.reporting(quiet=quiet) as reporter:
        from mddae_cli import runtime

        runtime.set_threads(threads)
        tables = load_tables(where, reporter)
        eyes: dict[str, Any] = {"sight": sight, "bundled": not new_judge}
        eyes |= {"device": device or "auto", "reporter": reporter}
        judges = _judges(headers, tables, part, eyes, judged=judged)
        people = _people(tables, where, wanted, reporter)
        chosen = [table.narrowed(part.value, conditions) for table in tables]
        whole = [table.splits[part.value] for table in tables]
        ready = list(zip(models, names, chosen, judges, whole, people, strict=True))
        measured = _measure(ready, part, device or "auto", options, reporter, raw=raw)
    _write_figures(measured, plot, html)
    if as_json:
        records = [cards.record(name, card) for name, card in measured]
        how = {"seed": seed, "max_images": max_images, "raw": raw}
        console.say_json({**how, "models": records})
    elif as_csv and (rows := cards.csv_rows(measured)):
        console.say_csv(rows)
    elif as_csv:
        console.note("nothing was edited, so there are no rows: --json has the other figures.")
    else:
        cards.say(measured)


def _measures(text: str | None) -> list[str]:
    """Return the measures that ``--measures`` names, all for None.

    Raises:
        UnknownNameError: If one does not exist.
    """
    known = (*MEASURES, *JUDGED)
    given = [name for name in (text or ",".join(known)).split(",") if name.strip()]
    if not given or "all" in map(fold_name, given):
        return list(known)
    return list(dict.fromkeys(resolve_name("measure", name.strip(), known) for name in given))


def _check_outputs(plot: Path | None, html: Path | None, as_csv: bool, as_json: bool) -> None:
    """Raise before hours of work where their results could not be written.

    Raises:
        UsageError: If a suffix or a folder does not fit, or two formats want standard output.
    """
    if as_csv and as_json:
        raise UsageError("--csv and --json both want standard output: give one of them.")
    if plot is not None and plot.suffix[1:].lower() not in FIGURE_FORMATS:
        raise UsageError(f"--plot {str(plot)!r} must end in .png, .svg or .pdf.")
    for option, path in (("--plot", plot), ("--html", html)):
        if path is not None and not path.parent.is_dir():
            raise UsageError(f"{option}: the folder {str(path.parent)!r} does not exist.")
        if path is not None and path.is_dir():
            raise UsageError(f"{option}: {str(path)!r} is a folder: name a file.")


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
    headers: Sequence[Header],
    tables: Sequence[Table],
    part: Part,
    eyes: dict[str, Any],
    *,
    judged: bool,
) -> list[Judge | None]:
    """Return each model's judge: one for a table, None where nothing needs it.

    Every model is held against its table before the first judge is trained.
    """
    from mddae_cli.evaluation import load_or_train_judge
    from mddae_cli.evaluation.scorecard import check_table

    for header, table in zip(headers, tables, strict=True):
        check_table(header, table, part.value)
    judges: dict[int, Judge] = {}
    for header, table in zip(headers, tables, strict=True):
        if judged and header.model.kind is not ModelKind.AE and id(table) not in judges:
            judges[id(table)] = load_or_train_judge(table, **eyes)
    return [judges.get(id(table)) for table in tables]


def _people(
    tables: Sequence[Table],
    where: Sequence[dict[str, Any]],
    wanted: Collection[str],
    reporter: Reporter,
) -> list[Indexes | None]:
    """Return who is in each row of each table, None where identity is not measured."""
    from mddae_cli.data.identities import IDENTITIES, identities_of

    if "identity" not in wanted:
        return [None] * len(tables)
    people = [
        identities_of(table, place["data_dir"]) if table.name == "celeba" else None
        for table, place in zip(tables, where, strict=True)
    ]
    if any(who is None and t.name == "celeba" for who, t in zip(people, tables, strict=True)):
        reporter.noted(
            f"identity is left out: put CelebA's {IDENTITIES} beside list_attr_celeba.txt."
        )
    return people


def _measure(
    ready: Sequence[tuple[Path, list[str] | None, Table, Judge | None, Indexes, Indexes | None]],
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
    for path, names, table, judge, whole, people in ready:
        reporter.noted(f"model {path}")
        net = editing.load(path, device=device, raw=raw)
        choice = {"names": names, "people": people, "judge_rows": whole, **options}
        measured.append(
            (str(path), score_card(net, table, judge, part.value, reporter=reporter, **choice))
        )
    return measured


def _write_figures(
    measured: Sequence[tuple[str, ScoreCard]], plot: Path | None, html: Path | None
) -> None:
    """Write what ``--plot`` and ``--html`` ask for, and say where it is."""
    from mddae_cli.evaluation import curves

    if plot is not None:
        done = curves.plot(measured, plot)
        console.note(f"wrote {plot}" if done else f"{plot} was not written: nothing was edited.")
    if html is not None:
        report.write(measured, html)
        console.note(f"wrote {html}")
