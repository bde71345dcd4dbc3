"""The two consoles: results on standard output, everything else on standard error.

Nobody else in the package prints. Rich draws on a terminal alone; what goes into a pipe or a
file is plain text, JSON or CSV.
"""

from __future__ import annotations

import csv
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from mddae_cli.errors import InterruptedRun, MddaeError
from mddae_cli.reporting import Figures, Reporter

Cell = str | int | float | None


def is_terminal(stream: TextIO) -> bool:
    """Return whether ``stream`` is a terminal that can draw."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")


def say(line: str) -> None:
    """Print one line of results on standard output, as it is."""
    sys.stdout.write(line + "\n")


def note(line: str) -> None:
    """Print one line for the user on standard error."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def in_one_line(name: str) -> str:
    """Return a file's name without control characters, which break lines or paint the terminal."""
    return name.translate({code: f"\\x{code:02x}" for code in (*range(32), 127)})


def error_text(exc: MddaeError) -> str:
    """Return what the user reads of a failure; an interrupted run is none."""
    return str(exc) if isinstance(exc, InterruptedRun) else f"error: {exc}"


def say_json(value: Any, *, indent: int | None = 2) -> None:
    """Print ``value`` as JSON on standard output; numbers that are not finite become null."""
    say(json.dumps(_finite(value), indent=indent, allow_nan=False, ensure_ascii=False))


def say_csv(rows: Sequence[Mapping[str, Cell]]) -> None:
    """Print ``rows`` as CSV with a header line on standard output."""
    writer = csv.DictWriter(sys.stdout, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def say_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on standard output: drawn on a terminal, aligned plain text elsewhere.

    Args:
        columns: The headings. The first column is aligned left, the others right.
        rows: The cells, as many in each row as there are headings.
    """
    if not is_terminal(sys.stdout):
        for line in _plain_table([columns, *rows]):
            say(line)
        return
    style = "" if "NO_COLOR" in os.environ else "bold"
    table = Table(header_style=style)
    for position, heading in enumerate(columns):
        table.add_column(Text(heading), justify="right" if position else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    Console(file=sys.stdout, highlight=False).print(table)


def format_figures(figures: Figures, *, skip: Sequence[str] = ()) -> str:
    """Return ``name value`` pairs in one line, numbers to four significant digits."""
    shown = {k: v for k, v in figures.items() if v is not None and k not in skip}
    return "  ".join(f"{key} {format_number(value)}" for key, value in shown.items())


def format_number(value: float | int | str) -> str:
    """Return ``value`` as people read it: four significant digits of a float."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@contextmanager
def reporting(
    *, quiet: bool, as_json: bool = False, log: Path | None = None, opened_by: str = ""
) -> Iterator[Reporter]:
    """Yield the reporter that fits the terminal and the options, and close it at the end.

    Args:
        quiet: Nothing on standard error; results, JSON and the log are written all the same.
        as_json: JSON Lines on standard output instead of lines on standard error.
        log: A file that receives, as plain lines, what is printed.
        opened_by: See :class:`LogFile`.
    """
    reporters: list[Reporter] = []
    if as_json:
        reporters.append(JsonReporter())
    elif not quiet:
        drawn = is_terminal(sys.stderr)
        reporters.append(TerminalReporter() if drawn else PlainReporter(note))
    log_file = LogFile(log, opened_by) if log is not None else None
    if log_file is not None:
        reporters.append(PlainReporter(log_file.write))
    tee = TeeReporter(reporters)
    try:
        yield tee
    except Exception as exc:
        if log_file is not None:
            log_file.write(error_text(exc) if isinstance(exc, MddaeError) else repr(exc))
        raise
    finally:
        tee.close()


class LogFile:
    """A file of lines that is opened when its folder has become a run.

    Lines that come before wait in memory, so that the library alone makes the folder and a
    folder that it refuses is not touched.

    Args:
        path: Where the lines go, behind what is there.
        opened_by: Name of a file in the same folder whose existence opens the log.
    """

    def __init__(self, path: Path, opened_by: str) -> None:
        self._path = path
        self._sign = path.parent / opened_by
        self._waiting: list[str] = []

    def write(self, line: str) -> None:
        """Append one line."""
        self._waiting.append(line + "\n")
        if self._sign.exists():
            with self._path.open("a", encoding="utf-8") as handle:
                handle.writelines(self._waiting)
            self._waiting.clear()


class PlainReporter:
    """Lines: where a job begins, a row of figures, what the user should read.

    Args:
        write: Called with each line.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def started(self, job: str, total: int | None, unit: str) -> None:
        """Print what begins."""
        self._write(job if total is None else f"{job}: {total:,} {unit}{'s' * (total != 1)}")

    def advanced(self, steps: int, figures: Figures) -> None:
        """Print nothing: a line a step would drown the rest."""

    def measured(self, figures: Figures) -> None:
        """Print a row of figures."""
        self._write(format_figures(figures))

    def noted(self, line: str) -> None:
        """Print the line."""
        self._write(line)

    def finished(self) -> None:
        """Print nothing."""


class JsonReporter:
    """JSON Lines on standard output: an object per event, its kind under the key ``event``."""

    def started(self, job: str, total: int | None, unit: str) -> None:
        """Print ``{"event": "started", "job", "total", "unit"}``."""
        self._event("started", {"job": job, "total": total, "unit": unit})

    def advanced(self, steps: int, figures: Figures) -> None:
        """Print nothing: what counts comes with the measured figures."""

    def measured(self, figures: Figures) -> None:
        """Print ``{"event": "measured", ...figures}``."""
        self._event("measured", figures)

    def noted(self, line: str) -> None:
        """Print ``{"event": "noted", "line"}``."""
        self._event("noted", {"line": line})

    def finished(self) -> None:
        """Print ``{"event": "finished"}``."""
        self._event("finished", {})

    def _event(self, event: str, values: Mapping[str, Any]) -> None:
        say_json({"event": event, **values}, indent=None)
        sys.stdout.flush()


class TerminalReporter:
    """A progress bar with the running figures under it and a line for each row of results."""

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console(file=sys.stderr, highlight=False)
        self._progress = _FiguresProgress(console)
        self._jobs: list[TaskID] = []

    def started(self, job: str, total: int | None, unit: str) -> None:
        """Draw a bar."""
        fields: dict[str, Any] = {"unit": unit, "epoch": None, "calls": 0, "figures": ""}
        self._jobs.append(self._progress.add_task(job, total=total, **fields))
        self._progress.start()

    def advanced(self, steps: int, figures: Figures) -> None:
        """Move the bar that began last and show the running figures."""
        if not self._jobs:
            return
        job = self._jobs[-1]
        task = next(task for task in self._progress.tasks if task.id == job)
        if not task.completed and not figures:
            # What an earlier process did counts for the bar, not for the speed.
            self._progress.reset(job, completed=steps)
            return
        self._progress.update(
            job,
            advance=steps,
            epoch=figures.get("epoch"),
            calls=figures.get("step", task.fields["calls"] + 1),
            figures=format_figures(figures, skip=("epoch", "step")),
        )

    def measured(self, figures: Figures) -> None:
        """Print a row of figures above the bar, where it stays."""
        self.noted(format_figures(figures))

    def noted(self, line: str) -> None:
        """Print a line above the bar, where it stays."""
        self._progress.console.print(Text(line))

    def finished(self) -> None:
        """Take the bar that began last away."""
        self._progress.remove_task(self._jobs.pop())
        if not self._jobs:
            self._progress.stop()

    def close(self) -> None:
        """Give the terminal back, whatever happened."""
        self._progress.stop()


class _FiguresProgress(Progress):
    """Rich's progress with the figures of the newest job in a line of their own."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            TextColumn("{task.description}", markup=False),
            _StepColumn(),
            BarColumn(),
            _SpeedColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=console,
            transient=True,
            refresh_per_second=4,
        )

    def get_renderables(self) -> Iterator[RenderableType]:
        """Yield the bars, then the running figures."""
        yield from super().get_renderables()
        if self.tasks and self.tasks[-1].fields["figures"]:
            yield Text(self.tasks[-1].fields["figures"], overflow="ellipsis", no_wrap=True)


class _StepColumn(TextColumn):
    """Epoch and step of a training job; how much is done of any other."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        """Return the text for one bar."""
        if task.fields["epoch"] is not None:
            return Text(f"epoch {task.fields['epoch']} step {task.fields['calls']}")
        total = "" if task.total is None else f"/{task.total:.0f}"
        return Text(f"{task.completed:.0f}{total}")


class _SpeedColumn(TextColumn):
    """How many units a second are done."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        """Return the text for one bar."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} {task.fields['unit']}s/s")


class TeeReporter:
    """Hands every call to several reporters.

    Args:
        reporters: Who receives it.
    """

    def __init__(self, reporters: Sequence[Reporter]) -> None:
        self._reporters = reporters

    def started(self, job: str, total: int | None, unit: str) -> None:
        """Pass it on."""
        for reporter in self._reporters:
            reporter.started(job, total, unit)

    def advanced(self, steps: int, figures: Figures) -> None:
        """Pass it on."""
        for reporter in self._reporters:
            reporter.advanced(steps, figures)

    def measured(self, figures: Figures) -> None:
        """Pass it on."""
        for reporter in self._reporters:
            reporter.measured(figures)

    def noted(self, line: str) -> None:
        """Pass it on."""
        for reporter in self._reporters:
            reporter.noted(line)

    def finished(self) -> None:
        """Pass it on."""
        for reporter in self._reporters:
            reporter.finished()

    def close(self) -> None:
        """Close those that hold the terminal."""
        for reporter in self._reporters:
            if isinstance(reporter, TerminalReporter):
                reporter.close()


def _plain_table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells]).rstrip()


def _finite(value: Any) -> Any:
    """Return ``value`` with None for every number that JSON cannot hold."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
