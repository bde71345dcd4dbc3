"""The files of a run folder: configuration, figures per epoch, pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mddae_cli.config import TrainConfig, load_config
from mddae_cli.errors import UsageError
from mddae_cli.files import write_bytes
from mddae_cli.header import LAST_FILE, MODEL_FILE

CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.jsonl"
SAMPLES_FOLDER = "samples"


class RunFolder:
    """A folder that holds one run.

    Args:
        path: Where it is, or shall be.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def create(self, config: TrainConfig) -> None:
        """Make the folder and write the configuration into it.

        Raises:
            UsageError: If another run is already there, or the folder cannot be made.
        """
        if any((self.path / name).exists() for name in (CONFIG_FILE, MODEL_FILE, LAST_FILE)):
            raise UsageError(
                f"{self.path} already holds a run. Go on with it: mddae train --resume "
                f"{self.path}; or give another folder with -o."
            )
        try:
            (self.path / SAMPLES_FOLDER).mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise UsageError(f"{self.path} cannot be made: {exc.strerror}.") from exc
        self.write_config(config)

    def write_config(self, config: TrainConfig) -> None:
        """Write ``config.json``, which ``--config`` reads again."""
        text = json.dumps(config.to_dict(), indent=2) + "\n"
        write_bytes(self.path / CONFIG_FILE, text.encode())

    def read_config(self) -> TrainConfig:
        """Return the configuration of the run.

        Raises:
            UsageError: If the folder holds none.
        """
        if not (self.path / CONFIG_FILE).is_file():
            raise UsageError(f"{self.path} holds no run: it has no {CONFIG_FILE}.")
        return TrainConfig.from_dict(load_config(self.path / CONFIG_FILE))

    def has_model(self) -> bool:
        """Return whether a best checkpoint is there."""
        return (self.path / MODEL_FILE).is_file()

    def sample_file(self, epoch: int) -> Path:
        """Return where the picture of an epoch goes."""
        return self.path / SAMPLES_FOLDER / f"epoch-{epoch:03d}.png"

    @property
    def example_file(self) -> Path:
        """Where one validation picture goes, at the model's size."""
        return self.path / SAMPLES_FOLDER / "example.png"

    def read_metrics(self) -> list[dict[str, Any]]:
        """Return the rows of ``metrics.jsonl``, oldest first."""
        file = self.path / METRICS_FILE
        if not file.is_file():
            return []
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Add a row to ``metrics.jsonl``; the file is replaced as a whole."""
        self._write_metrics([*self.read_metrics(), row])

    def drop_metrics_after(self, step: int) -> None:
        """Remove rows that a resumed run will write again."""
        self._write_metrics([row for row in self.read_metrics() if row["step"] <= step])

    def _write_metrics(self, rows: list[Any]) -> None:
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        write_bytes(self.path / METRICS_FILE, lines.encode())
