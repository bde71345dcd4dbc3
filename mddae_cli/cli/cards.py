"""Score cards side by side: tables for people, records and rows for programs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mddae_cli.cli import card_notes, console
from mddae_cli.cli.console import Cell

if TYPE_CHECKING:
    from mddae_cli.evaluation import EditScores, ScoreCard

# Each goal counts attributes: seen so often, at some value up to this, with no more collateral.
_GOALS: tuple[dict[str, float], ...] = (
    {"seen": 0.7, "max_value": 4.0, "max_collateral": 0.08},
    {"seen": 0.9, "max_value": 2.5, "max_collateral": 0.08},
)
_ABSENT = "–"
Named = tuple[str, "ScoreCard"]


@dataclass(frozen=True)
class Section:
    """A table: its title, headings and rows of cells."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


def record(name: str, card: ScoreCard) -> dict[str, Any]:
    """Return every figure of a card as JSON values, with what the tables count and average."""
    means = [
        {"value": c.value, "mean": c.mean, "mean_logit_change": c.mean_logit_change}
        for c in card.collateral
    ]
    return {"model": name, **card.to_dict(), "collateral": means, "reached": reached(card)}


def csv_rows(named: Sequence[Named]) -> list[dict[str, Cell]]:
    """Return a row for each model, attribute and value, or for each model and wanted class.

    All have the same columns, None where a model has no such figure.
    """
    rows = [row for name, card in named for row in _csv_rows(name, card)]
    columns = dict.fromkeys(column for row in rows for column in row)
    return [{column: row.get(column) for column in columns} for row in rows]


def say(named: Sequence[Named]) -> None:
    """Print the cards side by side and, under the tables, what the figures mean."""
    for section in sections(named):
        console.say_table(section.headings, section.rows)
        console.say("")
    for line in notes(named):
        console.say(line)


def sections(named: Sequence[Named]) -> list[Section]:
    """Return the tables that the cards fill, the summary with a row for each model first."""
    tables = [_summary(named), _svm(named), _edits(named), _by_value(named), _control(named)]
    tables += [_identity(named), _style(named)]
    if len(named) == 1:
        tables = [tables[0], *map(_without_model, tables[1:])]
    tables += [_matrix(name, card) for name, card in named if len(named) == 1]
    return [table for table in tables if table.rows]


def _without_model(table: Section) -> Section:
    """Return a table without the column that says the same in each row: names need its room."""
    if "model" not in table.headings:
        return table
    k = table.headings.index("model")
    rows = [[*row[:k], *row[k + 1 :]] for row in table.rows]
    return Section(table.title, [*table.headings[:k], *table.headings[k + 1 :]], rows)


def notes(named: Sequence[Named]) -> list[str]:
    """Return what the figures mean, each line once."""
    goals = [goal for _, card in named for goal in reached(card)]
    return list(dict.fromkeys(card_notes.notes(named, goals)))


def summary(name: str, card: ScoreCard) -> dict[str, str]:
    """Return a model's summary: the cells of its row, by heading."""
    return {heading: cell for heading, cell in _summary_cells(name, card).items() if cell}


def _summary(named: Sequence[Named]) -> Section:
    rows = [summary(name, card) for name, card in named]
    shown = [
        h
        for h in dict.fromkeys(h for n, c in named for h in _summary_cells(n, c))
        if any(h in row for row in rows)
    ]
    return Section("Summary", shown, [[row.get(h, _ABSENT) for h in shown] for row in rows])


def _summary_cells(name: str, card: ScoreCard) -> dict[str, str | None]:
    """Return a model's row: its cells by heading, None where there is no such figure."""
    leaks = {
        f"{leak.probe} leak (chance, shuffled)": f"{_number(leak.mean, 4)} "
        f"({_number(leak.chance, 3)}, {_number(leak.shuffled, 3)})"
        for leak in card.leaks
    }
    goals = {
        f"≥{100 * goal['seen']:.0f}% at ≤{goal['max_value']:g}": f"{goal['count']}/{goal['of']}"
        for goal in reached(card)
    }
    targets, depends, swaps = card.targets, card.dependence, card.swaps
    return {
        "model": name,
        "pictures": str(card.num_images),
        **_pixel_cells(card),
        "ŷ accuracy": None if targets is None else _number(targets.accuracy, 4),
        **leaks,
        "dCor² (p)": None
        if depends is None
        else f"{_number(depends.joint, 3)} ({_number(depends.joint_p, 3)})",
        "swaps %": None if swaps is None else _percent(swaps.success, 2),
        "worst %": None if swaps is None else f"{_percent(swaps.worst, 2)} (to {swaps.worst_name})",
        **goals,
    }


def _pixel_cells(card: ScoreCard) -> dict[str, str | None]:
    pixels = card.reconstruction
    if pixels is None:
        return {}
    return {
        "RMSE": _number(pixels.rmse_mean, 4),
        "PSNR dB": _number(pixels.psnr_db_mean, 2),
        "SSIM": _number(pixels.ssim_mean, 4),
        "MS-SSIM": _number(pixels.ms_ssim_mean, 4),
    }


def reached(card: ScoreCard) -> list[dict[str, float]]:
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


def _grouped(named: Sequence[Named], figure: str) -> Iterator[tuple[str, str, list[Any]]]:
    """Yield attribute, model and that model's scores of the attribute, attributes together."""
    attributes = dict.fromkeys(s.name for _, card in named for s in getattr(card, figure))
    for attribute in attributes:
        for name, card in named:
            scores = [s for s in getattr(card, figure) if s.name == attribute]
            if scores:
                yield attribute, name, scores


def _values(named: Sequence[Named], figure: str) -> list[str]:
    """Return the headings of the values at which something was measured."""
    values = (s.value for _, card in named for s in getattr(card, figure))
    return [f"{value:g}" for value in dict.fromkeys(values) if value is not None]


def _svm(named: Sequence[Named]) -> Section:
    rows = []
    for attribute, name, scores in _grouped(named, "svm"):
        base = scores[0]
        own = base.real_error, base.reconstructed_error, base.real_missed
        errors = [f"{_percent(s.error_mean)} ± {_percent(s.error_std)}" for s in scores]
        told = [str(base.num_images), str(base.num_faces), " / ".join(map(_percent, own))]
        rows.append([attribute, name, *told, *errors])
    headings = ["SVM error %", "model", "pictures", "faces", "own"]
    return Section(
        "The paper's protocol: error of a linear SVM",
        [*headings, "reconstruction", *_values(named, "svm")],
        rows,
    )


def _edits(named: Sequence[Named]) -> Section:
    rows = [[a, name, *_edit_cells(scores)] for a, name, scores in _grouped(named, "edits")]
    headings = ["attribute", "model", "pictures", "judge", "reconstruction"]
    return Section("Edits, as the judge sees them", [*headings, *_values(named, "edits")], rows)


def _edit_cells(scores: Sequence[EditScores]) -> list[str]:
    base, *edits = scores
    trust = f"{_percent(base.judge_accuracy)} / {_percent(base.judge_accuracy_reconstructed)}"
    shown = [f"{_percent(edit.seen)} / {_percent(edit.collateral)}" for edit in edits]
    return [str(base.num_images), trust, _percent(base.seen), *shown]


def _by_value(named: Sequence[Named]) -> Section:
    """Return a row for each value and model: means over the edited attributes, Acc and Err."""
    rows = []
    tried: list[float | None] = [e.value for _, card in named for e in card.edits]
    tried += [e.value for _, card in named for e in card.exchange]
    for value in dict.fromkeys(value for value in tried if value is not None):
        for name, card in named:
            edits = [e for e in card.edits if e.value == value]
            exchange = next((e for e in card.exchange if e.value == value), None)
            if edits or exchange:
                cells = [
                    _percent(_mean(getattr(e, f) for e in edits)) for f in ("seen", "collateral")
                ]
                moved = _number(_mean(e.logit_change for e in edits), 2)
                rows.append([f"{value:g}", name, *cells, moved, *_exchange_cells(exchange)])
    headings = [
        "value",
        "model",
        "seen %",
        "collateral %",
        "logit change",
        "Acc %",
        "Err %",
        "of 13",
    ]
    return Section("Means over attributes", headings, rows)


def _exchange_cells(exchange: Any) -> list[str]:
    if exchange is None:
        return [_ABSENT] * 3
    figures = exchange.accuracy, exchange.error
    return [*map(_percent, figures), str(len(exchange.names))]


def _control(named: Sequence[Named]) -> Section:
    rows = []
    for attribute, name, (s,) in _grouped(named, "control"):
        spread = [_number(value, 2) for value in (s.reaches_10, s.reaches_90)]
        told = [_number(s.rank_correlation, 3), _percent(s.monotone), *spread]
        rows.append([attribute, name, *told, f"{s.best_value:g}", _percent(s.falls_by)])
    headings = ["controllability", "model", "rank correlation", "monotone %", "10 % at"]
    return Section("Controllability", [*headings, "90 % at", "best at", "falls by %"], rows)


def _identity(named: Sequence[Named]) -> Section:
    rows = [
        [attribute, name, str(scores[0].num_images), *(_percent(s.matched) for s in scores)]
        for attribute, name, scores in _grouped(named, "identity")
    ]
    headings = ["same person %", "model", "pictures", "reconstruction"]
    return Section("Identity", [*headings, *_values(named, "identity")], rows)


def _style(named: Sequence[Named]) -> Section:
    rows = [
        [
            name,
            *(
                f"{_number(a, 3)} / {_number(b, 3)}"
                for a, b in zip(s.swapped, s.reconstructed, strict=True)
            ),
        ]
        for name, s in ((name, card.style) for name, card in named)
        if s is not None
    ]
    measures = next((card.style.measures for _, card in named if card.style), ())
    return Section("Style kept", ["style: swaps / reconstruction", *measures], rows)


def _matrix(name: str, card: ScoreCard) -> Section:
    """Return the share of each class (rows) in which each wanted class (columns) is seen."""
    swaps = card.swaps
    if swaps is None:
        return Section("Swaps", [], [])
    cells = [[_ABSENT if v is None else _percent(v) for v in row] for row in swaps.matrix]
    rows = [[own, *row] for own, row in zip(swaps.names, cells, strict=True)]
    return Section(f"Swaps of {name}", ["class \\ wanted", *swaps.names], rows)


def _csv_rows(name: str, card: ScoreCard) -> Iterator[dict[str, Cell]]:
    if card.swaps is not None:
        for wanted, share in zip(card.swaps.names, card.swaps.per_wanted, strict=True):
            yield {"model": name, "class": wanted, "seen": share}
        return
    figures: dict[tuple[str, float | None], dict[str, Cell]] = {}
    for s in card.svm:
        own = {"svm_error_mean": s.error_mean, "svm_error_std": s.error_std}
        own |= {"svm_real_error": s.real_error, "svm_reconstructed_error": s.reconstructed_error}
        figures.setdefault((s.name, s.value), {}).update(own)
    for e in card.edits:
        seen = {"seen": e.seen, "collateral": e.collateral, "logit_change": e.logit_change}
        figures.setdefault((e.name, e.value), {}).update(seen)
    for i in card.identity:
        same = {"same_person": i.matched, "similarity": i.similarity}
        figures.setdefault((i.name, i.value), {}).update(same)
    for (attribute, value), row in figures.items():
        yield {"model": name, "attribute": attribute, "value": value, **row}


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known) if known else math.nan


def _number(value: float | None, digits: int) -> str:
    return f"{value:.{digits}f}" if value is not None and math.isfinite(value) else _ABSENT


def _percent(share: float, digits: int = 1) -> str:
    return _number(100 * share, digits)
