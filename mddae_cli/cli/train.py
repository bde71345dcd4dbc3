"""``mddae train``: a run from options to a run folder, and its resuming."""

from __future__ import annotations

import dataclasses
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mddae_cli.cli import console
from mddae_cli.cli import train_options as opt
from mddae_cli.cli.options import (
    DataDir,
    Dataset,
    Device,
    Json,
    Preset,
    Quiet,
    Threads,
    Verbose,
    parse_duration,
    parse_names,
    resolve_dataset,
)
from mddae_cli.cli.signals import stop_flag
from mddae_cli.config import PRESETS, TrainConfig, load_config, make_config
from mddae_cli.errors import InterruptedRun, UsageError, resolve_name
from mddae_cli.reporting import Reporter

if TYPE_CHECKING:
    from mddae_cli.training import TrainResult

SHORT_HELP = "Train a model."
HELP = (
    "Example: mddae train --dataset mnist --max-time 15m -o runs/mnist\n\n"
    "Trains on digits (built in), mnist, celeba or a folder of pictures, and writes a run folder: "
    "the best checkpoint, the newest, figures and a picture for each epoch. Prints the folder. "
    "Ctrl-C finishes the step, saves, and says how to go on."
)
_NOTICE = "\nstopping after this step and saving; once more stops at once\n"
_CONFIG_FILE = "config.json"
_DATA_PLACES = frozenset({"data_dir", "attrs", "csv"})
_FIELDS = frozenset(field.name for field in dataclasses.fields(TrainConfig))


def command(
    ctx: typer.Context,
    dataset: Dataset = None,
    preset: Preset = None,
    data_dir: DataDir = None,
    split: opt.SplitOption = None,
    split_seed: opt.SplitSeed = None,
    attrs: opt.Attrs = None,
    csv: opt.Csv = None,
    image_size: opt.ImageSize = None,
    crop: opt.CropOption = None,
    limit: opt.Limit = None,
    model: opt.ModelOption = None,
    arch: opt.ArchOption = None,
    latent_dim: opt.LatentDim = None,
    width: opt.Width = None,
    depth: opt.Depth = None,
    inject: opt.InjectOption = None,
    upsample: opt.UpsampleOption = None,
    z_norm: opt.ZNormOption = None,
    flow_layers: opt.FlowLayers = None,
    erase_directions: opt.EraseDirections = None,
    encoder: opt.EncoderOption = None,
    dropout: opt.Dropout = None,
    targets: opt.TargetsOption = None,
    reg: opt.Regulariser = None,
    alpha: opt.Alpha = None,
    beta: opt.Beta = None,
    gamma: opt.Gamma = None,
    gamma_ramp: opt.GammaRamp = None,
    y_moved_by: opt.YMovedByOption = None,
    y_epochs: opt.YEpochs = None,
    reduction: opt.ReductionOption = None,
    reg_memory: opt.RegMemory = None,
    cycle: opt.Cycle = None,
    cycle_keep: opt.CycleKeep = None,
    cycle_z: opt.CycleZ = None,
    flow_pull: opt.FlowPull = None,
    epochs: opt.Epochs = None,
    max_time: opt.MaxTime = None,
    batch_size: opt.BatchSize = None,
    lr: opt.LearningRate = None,
    seed: opt.Seed = None,
    output: opt.RunFolder = None,
    resume: opt.ResumeFolder = None,
    config: opt.ConfigFile = None,
    device: Device = None,
    precision: opt.PrecisionOption = None,
    threads: Threads = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train or resume, and print the run folder."""
    changes = _given(ctx)
    if resume is not None:
        _refuse_beside_resume(output, config)
        run, settings = resume, None
    else:
        settings = _configuration(changes, config)
        run = output or _default_run(settings)
        _require_new(run)
    log = run / "train.log"
    with (
        console.reporting(
            quiet=quiet, as_json=as_json, log=log, opened_by=_CONFIG_FILE
        ) as reporter,
        stop_flag("" if quiet else _NOTICE) as stop,
    ):
        try:
            result = _run(run, settings, changes, reporter, stop)
        except InterruptedRun as exc:
            line = f"mddae train --resume {shlex.quote(str(run))}"
            raise InterruptedRun(f"{exc}\nGo on with: {line}") from exc
    _show(result, as_json)


def _given(ctx: typer.Context) -> dict[str, Any]:
    """Return the fields of :class:`TrainConfig` that were typed."""
    values = {k: v for k, v in ctx.params.items() if k in _FIELDS and v is not None}
    if "attrs" in values:
        values["attrs"] = parse_names(values["attrs"])
    if ctx.params["max_time"] is not None:
        values["max_time_s"] = parse_duration(ctx.params["max_time"])
    if "dataset" in values:
        dataset, data_dir = resolve_dataset(values["dataset"], values.get("data_dir"))
        values |= {"dataset": dataset} | ({} if data_dir is None else {"data_dir": data_dir})
    if "preset" in values:
        values["preset"] = resolve_name("preset", values["preset"], PRESETS)
    return {k: str(v) if isinstance(v, Path) else v for k, v in values.items()}


def _configuration(typed: Mapping[str, Any], file: Path | None) -> TrainConfig:
    """Return the run's configuration: what is typed, then the file, then preset and data set.

    Another data set or preset than the file's keeps only what the file changed in its own recipe.
    """
    stored = {} if file is None else load_config(file)
    others = [key for key in ("dataset", "preset") if typed.get(key) not in (None, stored.get(key))]
    moved = [key for key in others if key in stored]
    if moved:
        own = {key: stored[key] for key in ("dataset", "preset") if key in stored}
        recipe = make_config(**own).to_dict()
        dropped = _DATA_PLACES if "dataset" in moved else frozenset()
        changed = {k: v for k, v in stored.items() if recipe[k] != v and k not in dropped}
        stored = own | changed
    return make_config(**{**stored, **typed})


def _default_run(config: TrainConfig) -> Path:
    moment = time.strftime("%Y%m%d-%H%M%S")
    return Path("runs") / f"{config.dataset}-{config.preset}-{moment}"


def _require_new(run: Path) -> None:
    """Raise :class:`UsageError` where a run would mix with what is there."""
    if run.is_dir() and any(run.iterdir()):
        raise UsageError(
            f"run folder {str(run)!r} is not empty: name another with -o, or go on with\n"
            f"mddae train --resume {shlex.quote(str(run))}"
        )
    if run.exists() and not run.is_dir():
        raise UsageError(f"run folder {str(run)!r} is a file: name another with -o.")


def _refuse_beside_resume(output: Path | None, config: Path | None) -> None:
    for flag, value in (("-o", output), ("--config", config)):
        if value is not None:
            raise UsageError(f"--resume goes on in its own run folder: leave out {flag}.")


def _run(
    run: Path,
    config: TrainConfig | None,
    changes: Mapping[str, Any],
    reporter: Reporter,
    stop: Callable[[], bool],
) -> TrainResult:
    """Call the library; without a configuration the run is resumed."""
    from mddae_cli import training

    if config is None:
        return training.resume(run, reporter=reporter, stop=stop, **changes)
    return training.train(config, run, reporter=reporter, stop=stop)


def _show(result: TrainResult, as_json: bool) -> None:
    if not as_json:
        console.say(str(result.run))
        return
    done = {"event": "done", "run": str(result.run), "model": str(result.model_file)}
    figures = dict(result.figures)
    console.say_json({**done, "epochs": result.epochs, "figures": figures}, indent=None)
