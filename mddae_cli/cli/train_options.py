"""The options of ``mddae train``, one for each thing that a run can be asked for.

A default is None and means: what data set and preset decide, see ``config.make_config``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mddae_cli.cli.options import preset_default
from mddae_cli.config import (
    Arch,
    Crop,
    Encoder,
    Inject,
    ModelKind,
    Precision,
    Reduction,
    Reg,
    Split,
    Targets,
    Upsample,
    YMovedBy,
    ZNorm,
)


def _option(
    panel: str, field: str, *flags: str, help: str, default: str | None = None, **more: Any
) -> Any:
    """Return a Typer option whose help ends with the default of the configuration's ``field``."""
    flags = flags or (f"--{field.replace('_', '-')}",)
    text = f"{help} Default: {preset_default(field) if default is None else default}."
    return typer.Option(*flags, help=text, rich_help_panel=panel, **more)


SplitOption = Annotated[
    Split | None,
    _option("Data", "split", help="The data set's own partition, or a random one."),
]
SplitSeed = Annotated[
    int | None, _option("Data", "split_seed", help="What a random split is drawn with.")
]
Attrs = Annotated[
    str | None,
    _option(
        "Data",
        "attrs",
        metavar="A,B",
        help="The attributes to learn, in this order.",
        default="all",
    ),
]
Csv = Annotated[
    Path | None,
    _option(
        "Data",
        "csv",
        metavar="FILE",
        help="For a folder: a path and 0/1 attributes in each line.",
        default="classes by sub-folder",
    ),
]
ImageSize = Annotated[
    int | None, _option("Data", "image_size", help="Side of the model's pictures in pixels.")
]
CropOption = Annotated[
    Crop | None,
    _option("Data", "crop", help="What to cut out of a CelebA picture."),
]
Limit = Annotated[
    int | None,
    _option("Data", "limit", help="Train on the first N only.", default="all"),
]
ModelOption = Annotated[
    ModelKind | None,
    _option("Model", "model", help="A plain, discrete-target or soft-target auto-encoder."),
]
ArchOption = Annotated[
    Arch | None, _option("Model", "arch", help="The default network, or that of CDNet.")
]
LatentDim = Annotated[int | None, _option("Model", "latent_dim", help="Size of z.")]
Width = Annotated[int | None, _option("Model", "width", help="Channels of the first layer.")]
Depth = Annotated[
    int | None,
    _option("Model", "depth", help="Number of down-samplings.", default="by the image size"),
]
InjectOption = Annotated[
    Inject | None,
    _option(
        "Model",
        "inject",
        help="The decoder layers that are offered y_hat; places: all, and each place for itself.",
    ),
]
UpsampleOption = Annotated[
    Upsample | None,
    _option("Model", "upsample", help="How the decoder doubles a side."),
]
ZNormOption = Annotated[ZNorm | None, _option("Model", "z_norm", help="How z is normalised.")]
FlowLayers = Annotated[
    int | None,
    _option(
        "Model",
        "flow_layers",
        help="Layers of the flow that frees z of what is not linear in y_hat; 0 for none.",
        default="8 for digits and mnist, 0 for celeba and folders",
    ),
]
EraseDirections = Annotated[
    int | None,
    _option(
        "Model",
        "erase_directions",
        help="Directions of z whose variance shall not tell an attribute; 0 for none.",
        default="64 for celeba, 0 otherwise",
    ),
]
EncoderOption = Annotated[
    Encoder | None,
    _option("Model", "encoder", help="One network for y_hat and z, or one each."),
]
Dropout = Annotated[
    float | None, _option("Model", "dropout", help="Share of units dropped before y_hat.")
]
TargetsOption = Annotated[
    Targets | None,
    _option("Model", "targets", help="What the decoder gets while training."),
]
Regulariser = Annotated[
    Reg | None,
    _option(
        "Losses",
        "reg",
        metavar="NAME",
        help=f"The loss that keeps y_hat and z apart: {', '.join(Reg)}.",
    ),
]
Alpha = Annotated[
    float | None, _option("Losses", "alpha", help="Weight of structural dissimilarity.")
]
Beta = Annotated[float | None, _option("Losses", "beta", help="Weight of the discriminative loss.")]
Gamma = Annotated[
    float | None, _option("Losses", "gamma", help="Weight of the decorrelation loss.")
]
GammaRamp = Annotated[
    float | None,
    _option("Losses", "gamma_ramp", help="Share of the run over which gamma grows from 0."),
]
YMovedByOption = Annotated[
    YMovedBy | None,
    _option("Losses", "y_moved_by", help="The losses that may move y_hat."),
]
YEpochs = Annotated[
    int | None,
    _option("Losses", "y_epochs", help="Epochs in which only the encoder of y_hat learns."),
]
ReductionOption = Annotated[
    Reduction | None,
    _option("Losses", "reduction", help="How squared errors of a picture are added up."),
]
RegMemory = Annotated[
    int | None,
    _option("Losses", "reg_memory", help="Earlier pictures that the estimate also uses."),
]
Cycle = Annotated[
    float | None,
    _option("Losses", "cycle", help="Weight of the loss on edited pictures."),
]
CycleKeep = Annotated[
    float | None,
    _option("Losses", "cycle_keep", help="Its part that keeps the other attributes."),
]
CycleZ = Annotated[float | None, _option("Losses", "cycle_z", help="Its part that keeps z.")]
FlowPull = Annotated[
    float | None,
    _option("Losses", "flow_pull", help="How little the flow may move a latent between targets."),
]
Epochs = Annotated[int | None, _option("Run", "epochs", help="Passes over the data.")]
MaxTime = Annotated[
    str | None,
    _option(
        "Run",
        "max_time_s",
        "--max-time",
        metavar="TIME",
        help="90s, 15m or 1h30m: the schedule fits itself to it.",
        default="no limit",
    ),
]
BatchSize = Annotated[int | None, _option("Run", "batch_size", help="Pictures in a step.")]
LearningRate = Annotated[float | None, _option("Run", "lr", help="Learning rate.")]
Seed = Annotated[int | None, _option("Run", "seed", help="Of every random choice.")]
RunFolder = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="RUN",
        help="The run folder; new or empty. Default: runs/DATASET-PRESET-TIME.",
        rich_help_panel="Run",
    ),
]
ResumeFolder = Annotated[
    Path | None,
    typer.Option(metavar="RUN", help="Go on with an interrupted run.", rich_help_panel="Run"),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Options as JSON, such as a run's config.json; what is typed wins.",
        rich_help_panel="Run",
    ),
]
PrecisionOption = Annotated[
    Precision | None,
    _option(
        "Machine",
        "precision",
        help="Arithmetic of the networks; auto: bf16 where the processor multiplies it.",
    ),
]
