"""Figures of what a model does to pictures: strips, grids, class sheets and animations."""

from mddae_cli.figures.animation import (
    FRAME_MS,
    Animation,
    animate,
    animation_format,
    check_animation,
    draw_frames,
)
from mddae_cli.figures.cells import Cells, ClassFigure, Figure, Sweep, SweepFigure
from mddae_cli.figures.flow import draw_sources
from mddae_cli.figures.layout import Style
from mddae_cli.figures.sheets import check_size, class_sheet, draw, sweep

__all__ = [
    "FRAME_MS",
    "Animation",
    "Cells",
    "ClassFigure",
    "Figure",
    "Style",
    "Sweep",
    "SweepFigure",
    "animate",
    "animation_format",
    "check_animation",
    "check_size",
    "class_sheet",
    "draw",
    "draw_frames",
    "draw_sources",
    "sweep",
]
