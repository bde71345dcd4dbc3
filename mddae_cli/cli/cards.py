"""Score cards side by side: tables for people, records for programs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mddae_cli.cli import console

if TYPE_CHECKING:
    from mddae_cli.evaluation import EditScores, ScoreCard, SwapScores

# Each goal counts attributes: seen so often, at some value up to this, with no more collateral.
_GOALS: tuple[dict[str, float], ...] = (
    {"seen": 0.7, "max_value": 4.0, "max_collateral": 0.08},
    {"seen": 0.9, "max_value": 2.5, "max_collateral": 0.08},
)
_ABSENT = "–"
Named = tuple[str, "ScoreCard"]


def record(name: str, card: ScoreCard) -> dict[str, Any]:
    """Return every figure of a card as JSON values, the goals that :func:`say` counts included."""
    return {"model": name, **card.to_dict(), "reached": _reached(card)}


def say(named: Sequence[Named]) -> None:
    """Print the cards side by side and, under the tables, what the figures mean."""
    rows = [_summary(name, card) for name, card in named]
    headings = dict.fromkeys(heading for row in rows for heading in row)
    shown = [h for h in headings if any(row.get(h) is not None for row in rows)]
    console.say_table(shown, [[row.get(h) or _ABSENT for h in shown] for row in rows])
    if any(card.edits for _, card in named):
        console.say("")
        _say_edits(named)
    if len(named) == 1 and (swaps := named[0][1].swaps) is not None:
        console.say("")
        _say_matrix(swaps)
    console.say("")
    for line in dict.fromkeys(_conventions(named)):
        console.say(line)


def _summary(name: str, card: ScoreCard) -> dict[str, str | None]:
    """Return a model's row: its cells by heading, None where there is no such figure."""
    pixels, swaps = card.reconstruction, card.swaps
    leaks = {
        f"{leak.probe} leak (chance)": f"{_number(leak.mean, 4)} ({_number(leak.chance, 3)})"
        for leak in card.leaks
    }
    goals = {
        f"≥{100 * goal['seen']:.0f}% at ≤{goal['max_value']:g}": f"{goal['count']}/{goal['of']}"
        for goal in _reached(card)
    }
    return {
        "model": name,
        "pictures": str(pixels.num_images),
        "RMSE": _number(pixels.rmse_mean, 4),
        "PSNR dB": _number(pixels.psnr_db_mean, 2),
        "SSIM": _number(pixels.ssim_mean, 4),
        "MS-SSIM": _number(pixels.ms_ssim_mean, 4),
        "ŷ accuracy": None if card.targets is None else _number(card.targets.accuracy, 4),
        **leaks,
        "swaps %": None if swaps is None else _percent(swaps.success, 2),
        "worst %": None if swaps is None else f"{_percent(swaps.worst, 2)} (to {swaps.worst_name})",
        **goals,
    }


def _reached(card: ScoreCard) -> list[dict[str, float]]:
    """Return each goal with how many of the edited attributes reach it.

    Its limit is the greatest value tried that the goal allows; a goal without any is left out.
    """
    from mddae_cli.evaluation.edit_success import count_reached

    values = {edit.value for edit in card.edits if edit.value is not None}
    edited = len({edit.name for edit in card.edits})
    found = []
    for goal in _GOALS:
        within = [value for value in values if value <= goal["max_value"]]
        if within:
            tried = goal | {"max_value": max(within)}
            found.append({**tried, "count": count_reached(card.edits, **tried), "of": edited})
    return found


def _say_edits(named: Sequence[Named]) -> None:
    """Print a row per attribute and model: the base line, then each value."""
    attributes = dict.fromkeys(edit.name for _, card in named for edit in card.edits)
    rows: list[list[str]] = []
    values: list[str] = []
    for attribute in attributes:
        for name, card in named:
            scores = [edit for edit in card.edits if edit.name == attribute]
            if scores:
                rows.append([attribute, name, *_edit_cells(scores)])
                values = [f"{edit.value:g}" for edit in scores[1:]]
    headings = ["attribute", "model", "pictures", "judge", "reconstruction", *values]
    console.say_table(headings, rows)


def _edit_cells(scores: Sequence[EditScores]) -> list[str]:
    base, *edits = scores
    trust = f"{_percent(base.judge_accuracy)} / {_percent(base.judge_accuracy_reconstructed)}"
    shown = [f"{_percent(edit.seen)} / {_percent(edit.collateral)}" for edit in edits]
    return [str(base.num_images), trust, _percent(base.seen), *shown]


def _say_matrix(swaps: SwapScores) -> None:
    """Print the share of each class (rows) in which each wanted class (columns) is seen."""
    cells = [[_ABSENT if v is None else _percent(v) for v in row] for row in swaps.matrix]
    rows = [[name, *row] for name, row in zip(swaps.names, cells, strict=True)]
    console.say_table(["class \\ wanted", *swaps.names], rows)


def _conventions(named: Sequence[Named]) -> Iterator[str]:
    cards = [card for _, card in named]
    for card in cards:
        yield from card.reconstruction.conventions
    yield "The first table shows means; --json holds deviations and the figures of every name."
    for card in cards:
        yield from _card_conventions(card)
    yield from _judge_lines(named)


def _card_conventions(card: ScoreCard) -> Iterator[str]:
    if card.leaks:
        classes = card.leaks[0].measure == "accuracy"
        measure = "the share of right classes" if classes else "the mean AUROC over attributes"
        yield (
            f"Leak: {measure} that a fresh probe, fitted on z of the train part, reaches on z of "
            "these pictures. What it does not find a stronger one may."
        )
    if card.edits:
        yield from _EDIT_CONVENTIONS
        for goal in _reached(card):
            yield (
                f"≥{100 * goal['seen']:.0f}% at ≤{goal['max_value']:g}: attributes seen in at "
                f"least so many pictures at some value up to {goal['max_value']:g} with a "
                f"collateral of at most {100 * goal['max_collateral']:g} %, of those edited."
            )
    if card.swaps is not None:
        yield (
            "Swaps: share of all pictures of the other classes in which the judge sees the wanted "
            "class once two entries of ŷ are exchanged; worst: the wanted class with the least. "
            "On the diagonal of a matrix: plain reconstructions."
        )


_EDIT_CONVENTIONS = (
    "Edits: seen % / collateral % at each value of ŷ (0 without, 1 with, more is extrapolation), "
    "on pictures whose label lacks the attribute. Seen: the judge sees it; reconstruction: so "
    "without an edit. Collateral: the judge's other labels that differ from the reconstruction's.",
    "Judge in a row: how many % of its labels of that attribute are right, on real test pictures "
    "/ on the model's reconstructions.",
)


def _judge_lines(named: Iterable[Named]) -> Iterator[str]:
    for name, card in named:
        if card.judge_accuracy is not None and card.judge_accuracy_reconstructed is not None:
            yield (
                f"Judge, trained on real pictures only: accuracy {card.judge_accuracy:.4f} on real "
                f"test pictures, {card.judge_accuracy_reconstructed:.4f} on reconstructions by "
                f"{name}."
            )


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else _ABSENT


def _percent(share: float, digits: int = 1) -> str:
    return _number(100 * share, digits)
