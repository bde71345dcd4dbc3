"""Options that commands share, and the parsers of what people type into them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from mddae_cli.config import DATASET_DEFAULTS, PRESETS, make_config
from mddae_cli.errors import UsageError, fold_name, resolve_name

VERBOSE_KEY = "mddae.verbose"
_MOST_VALUES = 1000
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


def _remember_verbose(ctx: typer.Context, value: bool) -> bool:
    """Leave the flag where the error boundary finds it, even if the command never starts."""
    ctx.meta[VERBOSE_KEY] = value
    return value


def preset_default(name: str) -> str:
    """Return the default of a training option in words, as :func:`make_config` decides it."""
    values = {dataset: getattr(make_config(dataset), name) for dataset in DATASET_DEFAULTS}
    usual = values.pop("digits")
    others = [f"{key} {_word(value)}" for key, value in values.items() if value != usual]
    return "; ".join([_word(usual), *others])


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        is_eager=True,
        callback=_remember_verbose,
        help="Say more; show a traceback where something fails.",
        rich_help_panel="Output",
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Nothing but results and errors.", rich_help_panel="Output"),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print JSON on standard output.", rich_help_panel="Output"),
]
Raw = Annotated[
    bool,
    typer.Option(
        "--raw", help="Values are raw soft targets, the paper's scale, not calibrated units."
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="auto, cpu, cuda, cuda:N or mps. Default: auto.",
        rich_help_panel="Machine",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Processor threads of torch. Default: all cores.",
        rich_help_panel="Machine",
    ),
]
ModelPath = Annotated[
    Path | None,
    typer.Option(
        "--model",
        "-m",
        envvar="MDDAE_MODEL",
        metavar="RUN_OR_FILE",
        help="A run folder, a .safetensors file or a bundled name. Default: celeba64; for "
        "classes mnist.",
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        "-d",
        metavar="NAME_OR_FOLDER",
        help=f"{', '.join(DATASET_DEFAULTS)}, or the path of a folder of pictures.",
        rich_help_panel="Data",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="FOLDER",
        help="Where the files of the data set lie. Default: its folder in $MDDAE_DATA.",
        rich_help_panel="Data",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        "-p",
        metavar="NAME",
        help=f"{', '.join(PRESETS)}. Sets what is not given; default edits best.",
        rich_help_panel="Data",
    ),
]


def parse_duration(text: str) -> float:
    """Return the seconds that ``90s``, ``15m`` or ``1h30m`` mean.

    Raises:
        UsageError: If ``text`` is no such duration or 0.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    hours, minutes, seconds = (float(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + seconds
    if total <= 0:
        raise UsageError(f"--max-time {text!r} is no duration: write it as 90s, 15m or 1h30m.")
    return total


def parse_names(text: str) -> list[str]:
    """Return the names of a list with commas.

    Raises:
        UsageError: If there is none.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise UsageError(f"--attrs {text!r} names no attribute: write --attrs Smiling,Bangs.")
    return names


def parse_changes(
    settings: Sequence[str], known: Iterable[str], option: str = "--set"
) -> dict[str, float]:
    """Return what ``--set Name=VALUE`` options ask for, under the model's own names.

    Args:
        settings: The values of the options, such as ``"eyeglasses=1.7"``.
        known: The names that the model has; case, spaces, hyphens and underscores are forgiven.
        option: How errors call the option.

    Raises:
        UsageError: If one is malformed, not finite, or given twice.
        UnknownNameError: If a name does not exist.
    """
    names = list(known)
    changes: dict[str, float] = {}
    for setting in settings:
        given, equals, number = setting.rpartition("=")
        if not equals or not fold_name(given):
            raise UsageError(
                f"{option} {setting!r} is no Name=VALUE: write {option} Eyeglasses=1.7."
            )
        name = resolve_name("attribute", given.strip(), names)
        if name in changes:
            raise UsageError(f"{option} {setting!r} sets {name} a second time: give it once.")
        changes[name] = _finite_number(f"{option} {setting!r}", number)
    return changes


def parse_values(text: str, option: str | None = None) -> list[float]:
    """Return the numbers that ``0,1,2`` or ``0:3:0.5`` (both ends) mean, each once.

    Args:
        text: What was typed.
        option: How errors call it; by default ``--values`` and the text.

    Raises:
        UsageError: If there is none, one is not finite, or a range runs backwards or is endless.
    """
    values: list[float] = []
    option = option or f"--values {text!r}"
    for item in text.split(","):
        pieces = [_finite_number(option, piece.strip()) for piece in item.split(":")]
        values += pieces if len(pieces) == 1 else _expand(option, pieces)
    return list(dict.fromkeys(values))


def _expand(option: str, pieces: Sequence[float]) -> list[float]:
    """Return the numbers of FIRST:LAST:STEP."""
    if len(pieces) != 3:
        raise UsageError(f"{option} is no range: write FIRST:LAST:STEP, such as 0:3:0.5.")
    first, last, step = pieces
    if step <= 0 or last < first:
        raise UsageError(f"{option} runs backwards or stands still: write 0:3:0.5.")
    steps = (last - first) / step
    if steps >= _MOST_VALUES:
        raise UsageError(f"{option} has more than {_MOST_VALUES} values: take a larger step.")
    # The last one counts although 0.1 cannot be written in binary.
    return [round(first + i * step, 10) for i in range(math.floor(steps + 1e-9) + 1)]


def parse_shard(text: str | None) -> slice:
    """Return what ``I/N`` takes of a list: every N-th from the I-th on; all where it is None.

    Raises:
        UsageError: If it is malformed or I is not within 1 to N.
    """
    if text is None:
        return slice(None)
    match = re.fullmatch(r"(\d+)/(\d+)", text, re.ASCII)
    index, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= index <= count:
        raise UsageError(f"--shard {text!r} is no share: write 1/8 for the first of eight.")
    return slice(index - 1, None, count)


def _finite_number(option: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or "_" in text:
        raise UsageError(f"{option}: {text!r} is no finite number.")
    return value


def model_or(model: Path | None, bundled: str) -> Path:
    """Return the checkpoint's place: what ``--model`` or MDDAE_MODEL says, else a bundled one."""
    return Path(bundled) if model is None else model


def resolve_dataset(dataset: str, data_dir: Path | None) -> tuple[str, Path | None]:
    """Return the data set's name and folder; a path means pictures of one's own.

    Raises:
        UsageError: If a path is given twice.
        UnknownNameError: If ``dataset`` is neither a name nor a path.
    """
    known = {fold_name(name): name for name in DATASET_DEFAULTS}
    if fold_name(dataset) in known and "/" not in dataset:
        return known[fold_name(dataset)], data_dir
    path = Path(dataset)
    if not (path.is_dir() or len(path.parts) > 1 or dataset.startswith((".", "~"))):
        return resolve_name("data set", dataset, DATASET_DEFAULTS), data_dir
    if data_dir is not None:
        raise UsageError(f"--dataset {dataset!r} is a folder already: leave out --data-dir.")
    return "folder", path.expanduser()
