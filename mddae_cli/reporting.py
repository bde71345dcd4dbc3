"""How a long job tells what it is doing: a small callback protocol that prints nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

Figures = Mapping[str, float | int | str | None]


class Reporter(Protocol):
    """What a job calls while it runs; ``cli.console`` draws it and a test records it."""

    def started(self, job: str, total: int | None, unit: str) -> None:
        """A job began that will do ``total`` steps of ``unit`` (unknown if None)."""

    def advanced(self, steps: int, figures: Figures) -> None:
        """``steps`` more are done; ``figures`` hold the running values worth showing."""

    def measured(self, figures: Figures) -> None:
        """A row of results is ready, such as the figures of an epoch."""

    def noted(self, line: str) -> None:
        """Something happened that the user should read, in one line."""

    def finished(self) -> None:
        """The job that began last is over."""


class Silent:
    """A reporter that ignores everything."""

    def started(self, job: str, total: int | None, unit: str) -> None: ...

    def advanced(self, steps: int, figures: Figures) -> None: ...

    def measured(self, figures: Figures) -> None: ...

    def noted(self, line: str) -> None: ...

    def finished(self) -> None: ...
