"""``mddae edit --list``: the attributes of a model and how far each goes, without torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from mddae_cli.cli import console
from mddae_cli.header import WORKING_RANGE_KEYS, Attribute, list_attributes

_ABSENT = "–"
_HEADINGS = ("attribute", "base", "measured", "seen 50 %", "90 %", "others 5 %", "8 %", "falls")
_LEGEND = (
    "base: % of the training pictures that have it. The others are values of --set.\n"
    "seen: where a judge first sees it in so many pictures; others: where so many of\n"
    "the other labels change; falls: where it begins to be seen less.\n"
    f"{_ABSENT}: not reached within what was measured."
)


def say_attributes(where: Path, *, raw: bool, as_json: bool, quiet: bool) -> None:
    """Print the attributes of a model as a table, or as JSON.

    Args:
        where: The model.
        raw: Whether values are raw ŷ instead of calibrated units.
        as_json: Print a list of objects.
        quiet: No legend on standard error.

    Raises:
        ModelError: If it is missing or damaged.
        UsageError: If it has no attributes.
    """
    attributes = list_attributes(where, raw=raw)
    if as_json:
        console.say_json([dataclasses.asdict(attribute) for attribute in attributes])
        return
    console.say_table(_HEADINGS, [_cells(attribute) for attribute in attributes])
    if not quiet:
        console.note(_LEGEND)


def _cells(attribute: Attribute) -> Sequence[str]:
    shown = [attribute.name, f"{100 * attribute.base_rate:.1f}"]
    found = attribute.working_range
    if found is None:
        return [*shown, "not measured", *[_ABSENT] * (len(_HEADINGS) - 3)]
    first, last, *others = (_number(found[key]) for key in WORKING_RANGE_KEYS)
    return [*shown, f"{first} to {last}", *others]


def _number(value: float | None) -> str:
    return _ABSENT if value is None else f"{value:.3g}"
