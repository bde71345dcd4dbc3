"""What the cache keeps beside pictures, found by what decides it and never by a name alone."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mddae_cli.data.cache import cache_folder
from mddae_cli.data.table import Indexes, Table
from mddae_cli.editing import Model
from mddae_cli.files import write_bytes
from mddae_cli.reporting import Reporter

_METADATA_KEY = "mddae-kept"
T = TypeVar("T")


def table_digest(table: Table, *about: object, parts: Sequence[str] = ("train",)) -> str:
    """Return a digest of all of a table that fitting something on it depends on.

    Args:
        table: Pictures, labels and parts; of the pictures, 256 of the train part stand for all.
        about: What else decides the result, as values with a ``repr`` of their own.
        parts: Those whose rows and labels matter.
    """
    digest = hashlib.sha256(repr((*about, table.preprocess, table.images.shape)).encode())
    for part in parts:
        digest.update(np.ascontiguousarray(table.splits[part], dtype=np.int64).tobytes())
        digest.update(np.ascontiguousarray(table.labels[table.splits[part]]).tobytes())
    digest.update(_sample(table, table.splits["train"]))
    return digest.hexdigest()[:20]


def rows_digest(table: Table, rows: Indexes) -> str:
    """Return a digest of rows, their labels and, for all of them, 256 of their pictures."""
    digest = hashlib.sha256(np.ascontiguousarray(rows, dtype=np.int64).tobytes())
    digest.update(np.ascontiguousarray(table.labels[rows]).tobytes())
    digest.update(_sample(table, rows))
    return digest.hexdigest()


def _sample(table: Table, rows: Indexes) -> bytes:
    some = rows[np.linspace(0, len(rows) - 1, min(len(rows), 256)).astype(np.int64)]
    return np.ascontiguousarray(table.images[some]).tobytes()


def model_digest(model: Model) -> str | None:
    """Return a digest of a model's weights and header; None where it has no weights to go by."""
    state = model.net.state_dict()
    if not state:
        return None
    digest = hashlib.sha256(model.header.to_json().encode())
    for name, value in sorted(state.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:20]


def kept_path(folder: str, table: Table, name: str) -> Path:
    """Return where the cache keeps something of a table: ``folder/table-name.safetensors``."""
    told = "".join(c if c.isalnum() else "_" for c in table.name[:40])
    return cache_folder() / folder / f"{told}-{name}.safetensors"


def keep(path: Path, tensors: dict[str, Tensor], reporter: Reporter, **about: object) -> None:
    """Write tensors and JSON values to the cache; a full disk is told and stops nothing."""
    text = json.dumps(about, sort_keys=True, allow_nan=False)
    state = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, save(state, metadata={_METADATA_KEY: text}))
    except OSError as exc:
        reporter.noted(f"{path.name} cannot be kept in {str(path.parent)!r}: {exc.strerror}.")


def kept(path: Path) -> tuple[dict[str, Tensor], dict[str, object]] | None:
    """Return what :func:`keep` wrote, or None where it is missing or damaged."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()[_METADATA_KEY])
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OSError):
        return None


def kept_figures(
    path: Path | None, measure: Callable[[], T], kind: type[T], reporter: Reporter
) -> T:
    """Return what ``measure`` returned the last time, or measure and keep it.

    Args:
        path: Where it is kept; nothing is where it is None.
        measure: Returns a dataclass of numbers, texts and tuples of them.
        kind: Its class.
        reporter: Told where it cannot be kept.
    """
    entry = kept(path) if path is not None else None
    if entry is not None and (told := entry[1].get("figures")) is not None:
        try:
            return kind(**{name: _as_tuple(value) for name, value in dict(told).items()})  # type: ignore[call-overload]  # JSON
        except (TypeError, ValueError):
            pass
    found = measure()
    if path is not None:
        with contextlib.suppress(ValueError):  # not a number: measured again the next time
            keep(path, {}, reporter, figures=dataclasses.asdict(found))  # type: ignore[call-overload]  # a dataclass
    return found


def _as_tuple(value: object) -> object:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value
