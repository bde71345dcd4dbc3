"""The figures of score cards: error over the value as in Figure 6, collateral and swaps as maps."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mddae_cli.evaluation.collateral import CollateralScores
from mddae_cli.evaluation.scorecard import ScoreCard
from mddae_cli.evaluation.swaps import SwapScores
from mddae_cli.files import write_bytes

FORMATS = ("png", "svg", "pdf")
_COLUMNS, _PANEL = 4, 2.6  # inches
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999999")
_MARKERS = "osD^vP*X"
Named = Sequence[tuple[str, ScoreCard]]


def error_curves(named: Named) -> Figure | None:
    """Return a panel for each attribute with a line for each model, None where none was measured.

    A line is the mean error of the SVMs over the value, the band around it one standard deviation
    over runs, the dotted line the mean error of the plain reconstructions. Without SVMs it
    is what the judge does not see, which has no band.
    """
    figure_of = "svm" if any(card.svm for _, card in named) else "edits"
    attributes = list(dict.fromkeys(s.name for _, c in named for s in getattr(c, figure_of)))
    if not attributes:
        return None
    columns = min(_COLUMNS, len(attributes))
    rows = math.ceil(len(attributes) / columns)
    size = columns * _PANEL + 0.6, rows * _PANEL * 0.85 + 0.7
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for panel, attribute in zip(axes, attributes, strict=False):
        for i, (name, card) in enumerate(named):
            _line(panel, [s for s in getattr(card, figure_of) if s.name == attribute], name, i)
        panel.set_title(attribute, fontsize=9)
        panel.set_ylim(-2, 102)
        panel.grid(alpha=0.3)
        panel.tick_params(labelsize=7)
    for panel in axes[len(attributes) :]:
        panel.set_axis_off()
    who = "linear SVM" if figure_of == "svm" else "judge"
    figure.supxlabel("value of the attribute", fontsize=9)
    figure.supylabel(f"error of the {who}, %", fontsize=9)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", fontsize=7, ncols=2)
    return figure


def _line(panel: Axes, scores: Sequence[object], name: str, number: int) -> None:
    """Draw one model's errors; ``scores`` are of one attribute, the base line among them."""
    points = sorted((s.value, *_error(s)) for s in scores if s.value is not None)  # type: ignore[attr-defined]  # SvmScores or EditScores
    base = [_error(s)[0] for s in scores if s.value is None]  # type: ignore[attr-defined]
    if not points:
        return
    colour, marker = _COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]
    values, means, stds = (np.array(column) for column in zip(*points, strict=True))
    panel.plot(values, means, color=colour, marker=marker, markersize=3, linewidth=1.2, label=name)
    panel.fill_between(values, means - stds, means + stds, color=colour, alpha=0.2, linewidth=0)
    for error in base:
        panel.axhline(error, color=colour, linestyle=":", linewidth=0.8)


def _error(scores: object) -> tuple[float, float]:
    """Return error and its deviation in per cent."""
    mean = getattr(scores, "error_mean", None)
    if mean is None:
        return 100 * (1 - scores.seen), 0.0  # type: ignore[attr-defined]  # EditScores
    return 100 * mean, 100 * scores.error_std  # type: ignore[attr-defined]  # SvmScores


def collateral_map(name: str, scores: CollateralScores) -> Figure:
    """Return the matrix of what each edit does to every other label as a heat map."""
    matrix = np.array([[math.nan if v is None else 100 * v for v in r] for r in scores.changed])
    title = f"{name}: labels that change at {scores.value:g}, % (mean {100 * scores.mean:.1f})"
    return _map(matrix, scores.edited, scores.names, title, ("edited", "label"))


def swap_map(name: str, swaps: SwapScores) -> Figure:
    """Return the matrix of classes turned into each other as a heat map."""
    matrix = np.array([[math.nan if v is None else 100 * v for v in row] for row in swaps.matrix])
    title = f"{name}: wanted class seen, %"
    return _map(matrix, swaps.names, swaps.names, title, ("class", "wanted"))


def _map(
    matrix: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    labels: tuple[str, str],
) -> Figure:
    width, height = (2.4 + 0.22 * len(columns), 2.0 + 0.22 * len(rows))
    figure = Figure(figsize=(max(width, 4.0), max(height, 2.4)), layout="constrained")
    panel = figure.subplots()
    colours = mpl.colormaps["viridis"].with_extremes(bad="#dddddd")
    top = np.nanmax(matrix) if np.isfinite(matrix).any() else 1.0
    drawn = panel.imshow(matrix, cmap=colours, vmin=0, vmax=max(top, 1.0), aspect="auto")
    panel.set_xticks(range(len(columns)), columns, rotation=90, fontsize=7)
    panel.set_yticks(range(len(rows)), rows, fontsize=7)
    panel.set_ylabel(labels[0], fontsize=8)
    panel.set_xlabel(labels[1], fontsize=8)
    panel.set_title(title, fontsize=9)
    figure.colorbar(drawn, ax=panel).ax.tick_params(labelsize=7)
    return figure


def drawn(figure: Figure, kind: str) -> bytes:
    """Return a figure as ``png``, ``svg`` or ``pdf``, the same bytes for the same figures."""
    buffer = io.BytesIO()
    dates = {"png": None, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with mpl.rc_context({"svg.hashsalt": "mddae", "svg.fonttype": "path"}):
        figure.savefig(buffer, format=kind, dpi=150, metadata=dates[kind])
    return buffer.getvalue()


def plot(named: Named, path: Path) -> bool:
    """Write the figure of some cards: error curves of attributes, or the swaps of classes.

    Args:
        named: The cards with their models' names.
        path: Where to; the suffix, one of :data:`FORMATS`, decides the format.

    Returns:
        Whether there was anything to draw; where not, nothing is written.
    """
    figure = error_curves(named)
    swaps = [(name, card.swaps) for name, card in named if card.swaps is not None]
    if figure is None and swaps:
        figure = swap_map(*swaps[0])
    if figure is not None:
        write_bytes(path, drawn(figure, path.suffix[1:].lower()))
    return figure is not None
