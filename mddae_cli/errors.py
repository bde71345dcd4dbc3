"""The exception tree: one base class, an exit code for each kind of failure.

::

    MddaeError                 1   something failed and was named
    ├── UsageError             2   a value or an option that cannot be used
    │   └── UnknownNameError   2   an attribute, class, preset or data set that does not exist
    ├── DatasetError           2   a data set that is missing or cannot be read
    ├── ModelError             2   a model that is missing, hostile, damaged or too new
    ├── ImageError             1   one picture that cannot be read or written
    ├── DivergedError          1   a loss that became NaN or infinite
    └── InterruptedRun         130 stopped by a signal after saving
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MddaeError(Exception):
    """A failure with one to three lines for the user: the subject, the fact, the remedy."""

    exit_code = 1


class UsageError(MddaeError):
    """A value or a combination of options that cannot be used."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that does not exist, with the nearest that do.

    Args:
        kind: What the name stands for, such as ``"attribute"``.
        name: The name as it was given.
        known: Every name that would have been accepted.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = list(known)
        folded = {fold_name(candidate): candidate for candidate in names}
        near = [folded[key] for key in difflib.get_close_matches(fold_name(name), folded, n=3)]
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        super().__init__(f"{kind} {name!r} does not exist. {hint}Known: {', '.join(names)}.")


class DatasetError(MddaeError):
    """A data set that is missing, incomplete or unreadable."""

    exit_code = 2


class ModelError(MddaeError):
    """A checkpoint or run folder that is missing, hostile, damaged or too new."""

    exit_code = 2


class ImageError(MddaeError):
    """One picture that cannot be read or written."""


class DivergedError(MddaeError):
    """Training stopped because a loss became NaN or infinite."""


class InterruptedRun(MddaeError):
    """Training stopped by a signal after everything was saved."""

    exit_code = 130


def fold_name(name: str) -> str:
    """Return ``name`` without case, spaces, hyphens and underscores, for forgiving comparison."""
    return "".join(c for c in name.casefold() if c not in " -_")


def resolve_name(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the member of ``known`` that ``name`` means.

    Args:
        kind: What the name stands for; used in the error.
        name: The name as it was given; case, spaces, hyphens and underscores do not matter.
        known: The names that exist.

    Raises:
        UnknownNameError: If none matches; it names the nearest.
    """
    names = list(known)
    for candidate in names:
        if fold_name(candidate) == fold_name(name):
            return candidate
    raise UnknownNameError(kind, name, names)
