"""What is printed, and where: terminals, pipes, JSON, logs."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path

import pytest
from rich.console import Console

from mddae_cli.cli import console
from mddae_cli.errors import DivergedError, InterruptedRun, MddaeError
from mddae_cli.reporting import Reporter

ROWS = [["runs/[b]a", "0.1000 ± 0.0200"], ["b", "12.0"]]
COLUMNS = ["model", "RMSE"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A stream that says it is a terminal, to be made standard output."""
    monkeypatch.setenv("TERM", "xterm-256color")
    return Terminal()


def _table_on(terminal: Terminal) -> str:
    with contextlib.redirect_stdout(terminal):
        console.say_table(COLUMNS, ROWS)
    return terminal.getvalue()


def test_a_table_in_a_pipe_is_plain_and_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    console.say_table(COLUMNS, ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "model                 RMSE",
        "runs/[b]a  0.1000 ± 0.0200",
        "b                     12.0",
    ]


def test_a_table_on_a_terminal_is_drawn(terminal: Terminal) -> None:
    text = _table_on(terminal)
    assert "┃" in text
    assert "runs/[b]a" in text
    assert "\x1b[1m" in text


def test_no_color_leaves_no_escape_in_a_table(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    text = _table_on(terminal)
    assert "\x1b" not in text
    assert "┃" in text


def test_a_dumb_terminal_gets_the_plain_table(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert _table_on(terminal).splitlines()[0] == "model                 RMSE"


def test_columns_bound_the_table_of_a_terminal(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("NO_COLOR", "1")
    assert max(map(len, _table_on(terminal).splitlines())) <= 20


def test_json_has_null_for_what_is_not_finite(capsys: pytest.CaptureFixture[str]) -> None:
    console.say_json({"a": float("nan"), "b": [float("inf"), 1.5], "c": {"ŷ": (1, None)}})
    text = capsys.readouterr().out
    assert json.loads(text) == {"a": None, "b": [None, 1.5], "c": {"ŷ": [1, None]}}


def test_csv_has_a_header_and_quotes_commas(capsys: pytest.CaptureFixture[str]) -> None:
    console.say_csv([{"name": "a,b", "rmse": 0.1}])
    assert capsys.readouterr().out == 'name,rmse\n"a,b",0.1\n'


def _run(reporter: Reporter) -> None:
    reporter.started("train", 2000, "image")
    reporter.advanced(100, {"epoch": 3, "rec": 0.012345678, "dis": 0.25})
    reporter.measured({"epoch": 3, "val_rmse": 0.1234567, "leak_auroc": None})
    reporter.noted("2 pictures are left out: [a].png")
    reporter.finished()


def test_plain_lines_tell_job_figures_and_notes_but_no_step() -> None:
    lines: list[str] = []
    _run(console.PlainReporter(lines.append))
    assert lines == [
        "train: 2,000 images",
        "epoch 3  val_rmse 0.1235",
        "2 pictures are left out: [a].png",
    ]


def test_a_job_of_unknown_length_is_named_alone() -> None:
    lines: list[str] = []
    console.PlainReporter(lines.append).started("probe", None, "step")
    assert lines == ["probe"]


def test_json_lines_have_stable_keys(capsys: pytest.CaptureFixture[str]) -> None:
    _run(console.JsonReporter())
    captured = capsys.readouterr()
    events = [json.loads(line) for line in captured.out.splitlines()]
    assert [(event["event"], sorted(event)) for event in events] == [
        ("started", ["event", "job", "total", "unit"]),
        ("measured", ["epoch", "event", "leak_auroc", "val_rmse"]),
        ("noted", ["event", "line"]),
        ("finished", ["event"]),
    ]
    assert events[1]["val_rmse"] == 0.1234567
    assert captured.err == ""


def _draw(width: int) -> str:
    stream = io.StringIO()
    drawn = Console(file=stream, force_terminal=True, width=width, color_system=None)
    reporter = console.TerminalReporter(drawn)
    reporter.started("train", 2000, "image")
    reporter.advanced(100, {"epoch": 3, "rec": 0.012345678, "dis": 0.25})
    reporter.advanced(100, {"epoch": 3, "rec": 0.023456789, "dis": 0.25})
    reporter.measured({"epoch": 3, "val_rmse": 0.1234567})
    reporter.noted("[a].png is left out")
    reporter._progress.refresh()
    reporter.finished()
    return stream.getvalue()


def test_a_terminal_shows_epoch_step_speed_time_left_losses_and_figures() -> None:
    text = _draw(140)
    for shown in ("train", "epoch 3 step 2", "images/s", "left", "rec 0.02346  dis 0.25"):
        assert shown in text
    assert "epoch 3  val_rmse 0.1235" in text
    assert "[a].png is left out" in text


def test_what_an_earlier_process_did_counts_for_the_bar_but_not_for_the_speed() -> None:
    reporter = console.TerminalReporter(Console(file=io.StringIO(), force_terminal=True))
    reporter.started("train", 2_000_000, "image")
    reporter.advanced(1_000_000, {})
    (task,) = reporter._progress.tasks
    assert (task.completed, task.speed) == (1_000_000, None)
    reporter.advanced(100, {"epoch": 9, "step": 10_001})
    assert (task.completed, task.fields["calls"]) == (1_000_100, 10_001)
    reporter.finished()


def test_a_narrow_terminal_cuts_the_losses_instead_of_wrapping() -> None:
    text = _draw(20)
    assert "rec 0.02346  dis 0.25" not in text
    assert "rec 0.02346  dis 0.…" in text


def test_jobs_within_a_job_are_drawn_and_taken_away() -> None:
    stream = io.StringIO()
    drawn = Console(file=stream, force_terminal=True, width=120, color_system=None)
    reporter = console.TerminalReporter(drawn)
    reporter.started("train", 10, "image")
    reporter.started("decode", None, "picture")
    reporter.advanced(3, {})
    reporter._progress.refresh()
    reporter.finished()
    reporter.advanced(5, {"epoch": 1})
    reporter._progress.refresh()
    reporter.finished()
    reporter.started("again", 10, "image")
    reporter.finished()
    assert "decode" in stream.getvalue()
    assert "epoch 1 step 1" in stream.getvalue()


def test_the_terminal_is_given_back_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm-256color")
    with pytest.raises(DivergedError), console.reporting(quiet=False) as reporter:
        reporter.started("train", 10, "image")
        raise DivergedError("loss became NaN.")
    assert "\x1b[?25l" in stream.getvalue()
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")


def test_no_bar_where_standard_error_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with console.reporting(quiet=False) as reporter:
        _run(reporter)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "\x1b" not in captured.err
    assert captured.err.splitlines()[1] == "epoch 3  val_rmse 0.1235"


def test_quiet_prints_nothing_but_logs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    log = tmp_path / "train.log"
    with console.reporting(quiet=True, log=log, opened_by="config.json") as reporter:
        _run(reporter)
    assert capsys.readouterr() == ("", "")
    assert log.read_text() == (
        "train: 2,000 images\nepoch 3  val_rmse 0.1235\n2 pictures are left out: [a].png\n"
    )


def test_the_log_waits_for_the_run_and_keeps_the_order(tmp_path: Path) -> None:
    log = console.LogFile(tmp_path / "run" / "train.log", "config.json")
    log.write("decoding")
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").touch()
    log.write("train")
    assert (tmp_path / "run" / "train.log").read_text() == "decoding\ntrain\n"


@pytest.mark.parametrize(
    ("exc", "line"),
    [
        (DivergedError("loss 'rec' became NaN."), "error: loss 'rec' became NaN."),
        (InterruptedRun("stopped after step 3 and saved."), "stopped after step 3 and saved."),
    ],
)
def test_the_log_ends_with_what_ended_the_run(tmp_path: Path, exc: MddaeError, line: str) -> None:
    (tmp_path / "config.json").touch()
    log = tmp_path / "train.log"
    with (
        pytest.raises(type(exc)),
        console.reporting(quiet=True, log=log, opened_by="config.json"),
    ):
        raise exc
    assert log.read_text() == f"{line}\n"
