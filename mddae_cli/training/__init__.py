"""Training: one call that makes a run folder, one that goes on with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mddae_cli
from mddae_cli import data, metrics, runtime
from mddae_cli.config import TrainConfig
from mddae_cli.data.table import Table
from mddae_cli.errors import UsageError
from mddae_cli.header import Header, ModelSpec
from mddae_cli.model import AutoEncoder, default_depth
from mddae_cli.reporting import Reporter, Silent
from mddae_cli.training.loop import Trainer, TrainResult
from mddae_cli.training.runfolder import RunFolder

__all__ = ["TrainResult", "resume", "train"]

# What a resumed run may change without becoming another run.
_CHANGEABLE = ("epochs", "max_time_s", "device", "threads", "data_dir")


def _never() -> bool:
    return False


def train(
    config: TrainConfig,
    run: str | Path,
    *,
    reporter: Reporter | None = None,
    stop: Callable[[], bool] = _never,
) -> TrainResult:
    """Train a model from scratch into a run folder.

    Args:
        config: The options; :func:`mddae_cli.config.make_config` fills in a recipe.
        run: The folder to make. It must not hold a run.
        reporter: Told about every step and epoch.
        stop: Asked after each step; True saves and ends the run.

    Raises:
        DatasetError: If the data set is missing.
        UsageError: If options do not fit each other or the folder is taken.
        InterruptedRun: After saving, when ``stop`` turned true.
        DivergedError: If a loss became NaN or infinite.
    """
    reporter = reporter or Silent()
    folder = RunFolder(run)
    runtime.set_threads(config.threads)
    runtime.keep_freed_memory()
    table = _load(config, reporter)
    header = make_header(config, table)
    folder.create(config)
    return Trainer(config, table, header, folder, reporter, stop).fit()


def resume(
    run: str | Path,
    *,
    reporter: Reporter | None = None,
    stop: Callable[[], bool] = _never,
    **changes: Any,
) -> TrainResult:
    """Go on with a run from its newest state.

    Args:
        run: The run folder.
        reporter: Told about every step and epoch.
        stop: Asked after each step; True saves and ends the run.
        changes: ``epochs``, ``max_time_s``, ``device``, ``threads`` or ``data_dir``.

    Raises:
        UsageError: If the folder holds no run or something else is to be changed.
        ModelError: If the saved state is missing or damaged.
        InterruptedRun: After saving, when ``stop`` turned true.
    """
    reporter = reporter or Silent()
    folder = RunFolder(run)
    config = folder.read_config()
    for name in changes:
        if name not in _CHANGEABLE:
            raise UsageError(
                f"a resumed run keeps its {name}; only {', '.join(_CHANGEABLE)} can change."
            )
    config = TrainConfig.from_dict(dataclasses.asdict(config) | changes)
    runtime.set_threads(config.threads)
    runtime.keep_freed_memory()
    table = _load(config, reporter)
    trainer = Trainer(config, table, make_header(config, table), folder, reporter, stop)
    trainer.restore()
    folder.write_config(config)
    return trainer.fit()


def _load(config: TrainConfig, reporter: Reporter) -> Table:
    return data.load_table(
        config.dataset,
        data_dir=config.data_dir,
        split=config.split,
        split_seed=config.split_seed,
        attrs=config.attrs,
        csv=config.csv,
        image_size=config.image_size,
        crop=config.crop,
        limit=config.limit,
        reporter=reporter,
    )


def make_header(config: TrainConfig, table: Table) -> Header:
    """Return what a checkpoint of this run on this table says about itself.

    Raises:
        UsageError: If no network can be built for these options and image side.
    """
    preprocess = table.preprocess
    try:
        depth = config.depth or default_depth(preprocess.image_size)
        spec = ModelSpec(
            kind=config.model,
            arch=config.arch,
            image_size=preprocess.image_size,
            channels=preprocess.channels,
            num_targets=len(table.names),
            target_kind=table.kind,
            targets=config.targets,
            latent_dim=config.latent_dim,
            width=config.width,
            depth=depth,
            inject=config.inject,
            upsample=config.upsample,
            z_norm=config.z_norm,
            encoder=config.encoder,
            dropout=config.dropout,
            flow_layers=config.flow_layers,
            erase_directions=config.erase_directions,
        )
        AutoEncoder(spec)
    except ValueError as exc:
        raise UsageError(f"{exc}.") from exc
    for part in ("train", "val"):
        if len(table.splits[part]) < 4:
            raise UsageError(f"the {part} part has {len(table.splits[part])} images: 4 are needed.")
    kept = {k: v for k, v in config.to_dict().items() if k not in ("data_dir", "csv")}
    return Header(
        model=spec,
        preprocess=preprocess,
        ssim=metrics.default_ssim_spec(preprocess.image_size),
        names=table.names,
        base_rates=table.base_rates,
        dataset=table.name,
        split=table.split,
        split_seed=table.split_seed,
        config=kept,
        package_version=mddae_cli.__version__,
    )
