"""The networks: the auto-encoder, and what stands between its encoder and its decoder."""

from mddae_cli.model.autoencoder import AutoEncoder, Output
from mddae_cli.model.conv import ConvTower, default_depth
from mddae_cli.model.encoders import Codes
from mddae_cli.model.erasure import QuadraticErasure
from mddae_cli.model.flow import CouplingFlow
from mddae_cli.model.layers import ResizeConv, TargetBias
from mddae_cli.model.norm import LatentNorm, Regression, ridged
from mddae_cli.model.steps import LatentSteps

__all__ = [
    "AutoEncoder",
    "Codes",
    "ConvTower",
    "CouplingFlow",
    "LatentNorm",
    "LatentSteps",
    "Output",
    "QuadraticErasure",
    "Regression",
    "ResizeConv",
    "TargetBias",
    "default_depth",
    "ridged",
]
