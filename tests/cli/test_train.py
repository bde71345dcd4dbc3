"""``mddae train``: options become a configuration, signals save, the run folder is printed."""

from __future__ import annotations

import dataclasses
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from mddae_cli import training
from mddae_cli.cli import train as train_command
from mddae_cli.config import PRESETS, Reg, TrainConfig, load_config, make_config
from mddae_cli.errors import InterruptedRun
from mddae_cli.reporting import Reporter
from mddae_cli.training import TrainResult

Cli = Callable[..., Result]
Start = Callable[..., "subprocess.Popen[str]"]
# What a recipe settles; --config changes it.
CONFIG_ONLY = {
    *("adam_beta1", "adam_beta2", "weight_decay", "schedule", "warmup", "ema"),
    *("flip", "shift", "noise", "colour", "cycle_share", "cycle_disturbed", "cycle_margin"),
    *("cycle_still", "cycle_variation", "cycle_detail", "cycle_colour"),
    *("cycle_features", "observers", "observers_balance", "settle", "ssim_stride"),
}
TINY = ("--limit", "40", "--width", "4", "--latent-dim", "4", "--batch-size", "20")


@dataclasses.dataclass
class Calls:
    """What the library was called with."""

    config: TrainConfig | None = None
    run: Path | None = None
    resumed: Path | None = None
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Stand in for the library's training."""
    seen = Calls()

    def work(run: Path, reporter: Reporter) -> TrainResult:
        run.mkdir(parents=True, exist_ok=True)
        (run / "config.json").touch()
        reporter.started("train", 40, "image")
        reporter.advanced(20, {"epoch": 1, "rec": 0.5})
        reporter.measured({"epoch": 1, "val_rmse": 0.25})
        reporter.finished()
        return TrainResult(run, run / "model.safetensors", 1, {"val_rmse": 0.25})

    def train(config: TrainConfig, run: Path, **more: Any) -> TrainResult:
        seen.config, seen.run = config, run
        return work(run, more["reporter"])

    def resume(run: Path, *, reporter: Reporter, stop: object, **changes: Any) -> TrainResult:
        seen.resumed, seen.changes = run, changes
        return work(run, reporter)

    monkeypatch.setattr(training, "train", train)
    monkeypatch.setattr(training, "resume", resume)
    return seen


def test_without_options_the_default_recipe_trains_on_digits(cli: Cli, calls: Calls) -> None:
    result = cli("train")
    assert result.exit_code == 0
    assert calls.config == make_config("digits")
    assert re.fullmatch(r"runs/digits-default-\d{8}-\d{6}\n", result.stdout)


def test_every_option_reaches_the_configuration(cli: Cli, calls: Calls) -> None:
    given: dict[str, Any] = {
        "dataset": "mnist",
        "data_dir": "digits-here",
        "split": "official",
        "split_seed": 5,
        "image_size": 32,
        "limit": 1000,
        "model": "disae",
        "arch": "cdnet",
        "latent_dim": 7,
        "width": 8,
        "depth": 2,
        "inject": "first",
        "upsample": "transposed",
        "z_norm": "none",
        "flow_layers": 0,
        "erase_directions": 2,
        "encoder": "separate",
        "dropout": 0.1,
        "targets": "discrete",
        "reg": "xcov",
        "alpha": 0.5,
        "beta": 2.0,
        "gamma": 3.0,
        "gamma_ramp": 0.25,
        "y_moved_by": "dis",
        "y_epochs": 1,
        "reduction": "sum",
        "reg_memory": 64,
        "cycle": 0.5,
        "cycle_keep": 4.0,
        "cycle_z": 0.25,
        "flow_pull": 0.125,
        "epochs": 3,
        "batch_size": 32,
        "lr": 0.01,
        "seed": 11,
        "device": "cpu",
        "precision": "fp32",
        "threads": 1,
    }
    words = [w for k, v in given.items() for w in (f"--{k.replace('_', '-')}", v)]
    result = cli("train", *words, "--max-time", "1h30m", "-o", "run")
    assert result.stderr.startswith("train: 40 images")
    assert calls.config == make_config(**given, max_time_s=5400.0)
    assert (calls.run, result.stdout) == (Path("run"), "run\n")


def test_every_field_of_the_configuration_is_an_option_or_known_to_be_none(cli: Cli) -> None:
    shown = set(re.findall(r"--([a-z][a-z-]*)", cli("train", "--help", COLUMNS="200").stdout))
    options = {name.replace("-", "_") for name in shown} | {"max_time_s"}
    fields = {field.name for field in dataclasses.fields(TrainConfig)}
    assert fields - options == CONFIG_ONLY
    assert "max-time" in shown


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_decides_what_is_not_typed(cli: Cli, calls: Calls, preset: str) -> None:
    result = cli("train", "--preset", preset, "--dataset", "celeba", "--epochs", "2")
    assert result.exit_code == 0, result.stderr
    assert calls.config == make_config("celeba", preset, epochs=2)


def test_attributes_are_parted_at_commas(cli: Cli, calls: Calls) -> None:
    cli("train", "--dataset", "celeba", "--attrs", "Smiling, Bangs", "--csv", "a.csv")
    assert calls.config is not None
    assert calls.config.attrs == ("Smiling", "Bangs")
    assert calls.config.csv == "a.csv"


def test_a_path_as_data_set_means_a_folder_of_pictures(cli: Cli, calls: Calls) -> None:
    cli("train", "--dataset", "./pets")
    assert calls.config == make_config("folder", data_dir="pets")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--dataset", "mnst"], "Did you mean mnist"),
        (["--preset", "papr"], "Did you mean paper"),
        (["--max-time", "15"], "90s, 15m or 1h30m"),
        (["--lr", "nan"], "lr = nan is not a finite number"),
        (["--gamma", "inf"], "gamma = inf is not a finite number"),
        (["--batch-size", "0"], "batch_size = 0"),
        (["--attrs", ","], "names no attribute"),
        (["--config", "missing.json"], "config 'missing.json' cannot be read"),
        (["--resume", "run", "-o", "other"], "leave out -o"),
        (["--resume", "run", "--config", "other"], "leave out --config"),
    ],
    ids=" ".join,
)
def test_a_wrong_option_is_refused_with_2(
    cli: Cli, calls: Calls, args: list[str], said: str
) -> None:
    result = cli("train", *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert calls == Calls()


def test_what_is_typed_wins_over_the_file_and_the_file_over_the_recipe(
    cli: Cli, calls: Calls
) -> None:
    Path("file.json").write_text(json.dumps({"dataset": "mnist", "epochs": 60, "flip": True}))
    cli("train", "--config", "file.json", "--gamma", "2")
    assert calls.config == make_config("mnist", epochs=60, flip=True, gamma=2.0)


def test_a_whole_config_gives_the_same_run_again(cli: Cli, calls: Calls) -> None:
    config = make_config("celeba", "paper", attrs=["Smiling"], gamma=2.0)
    Path("config.json").write_text(json.dumps(config.to_dict()))
    cli("train", "--config", "config.json")
    assert calls.config == config


def test_another_preset_keeps_what_the_file_changed(cli: Cli, calls: Calls) -> None:
    config = make_config("celeba", "paper", latent_dim=9)
    Path("config.json").write_text(json.dumps(config.to_dict()))
    cli("train", "--config", "config.json", "--preset", "mddae-xcov")
    assert calls.config == make_config("celeba", "mddae-xcov", latent_dim=9)
    assert calls.config.reg is Reg.XCOV


def test_another_data_set_leaves_the_places_of_the_former(cli: Cli, calls: Calls) -> None:
    config = make_config("celeba", data_dir="faces", attrs=["Smiling"], gamma=7.0)
    Path("config.json").write_text(json.dumps(config.to_dict()))
    cli("train", "--config", "config.json", "--dataset", "mnist")
    assert calls.config == make_config("mnist", gamma=7.0)


def test_a_file_without_data_set_keeps_its_values(cli: Cli, calls: Calls) -> None:
    same_as_digits = make_config("digits").epochs
    Path("file.json").write_text(json.dumps({"epochs": same_as_digits}))
    cli("train", "--config", "file.json", "--dataset", "mnist")
    assert calls.config == make_config("mnist", epochs=same_as_digits)


@pytest.mark.parametrize("taken", ["folder", "file"])
def test_a_run_folder_that_is_taken_is_refused_and_untouched(
    cli: Cli, calls: Calls, taken: str
) -> None:
    run = Path("my run")
    if taken == "folder":
        run.mkdir()
        (run / "train.log").write_text("former\n")
    else:
        run.write_text("former\n")
    result = cli("train", "-o", run)
    assert result.exit_code == 2
    assert "'my run'" in result.stderr
    assert calls == Calls()
    file = run / "train.log" if taken == "folder" else run
    assert file.read_text() == "former\n"
    if taken == "folder":
        assert "mddae train --resume 'my run'" in result.stderr


def test_an_empty_run_folder_is_used(cli: Cli, calls: Calls) -> None:
    Path("run").mkdir()
    assert cli("train", "-o", "run").exit_code == 0


def test_the_log_holds_what_was_printed(cli: Cli, calls: Calls) -> None:
    result = cli("train", "-o", "run")
    assert result.stderr == "train: 40 images\nepoch 1  val_rmse 0.25\n"
    assert Path("run/train.log").read_text() == result.stderr


def test_quiet_leaves_the_run_folder_alone_on_standard_output(cli: Cli, calls: Calls) -> None:
    result = cli("train", "-o", "run", "--quiet")
    assert (result.stdout, result.stderr) == ("run\n", "")


def test_json_lines_end_with_run_model_and_figures(cli: Cli, calls: Calls) -> None:
    result = cli("train", "-o", "run", "--json")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [event["event"] for event in events] == ["started", "measured", "finished", "done"]
    assert events[-1] == {
        "event": "done",
        "run": "run",
        "model": "run/model.safetensors",
        "epochs": 1,
        "figures": {"val_rmse": 0.25},
    }
    assert result.stderr == ""


def test_resume_passes_only_what_is_typed(cli: Cli, calls: Calls) -> None:
    result = cli("train", "--resume", "run", "--epochs", "9", "--max-time", "1h", "--threads", "2")
    assert (result.exit_code, result.stdout) == (0, "run\n")
    assert calls.resumed == Path("run")
    assert calls.changes == {"epochs": 9, "max_time_s": 3600.0, "threads": 2}


def test_an_interrupted_run_says_how_to_go_on(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(config: TrainConfig, run: Path, **more: Any) -> TrainResult:
        run.mkdir()
        (run / "config.json").touch()
        raise InterruptedRun("stopped after step 3 and saved.")

    monkeypatch.setattr(training, "train", interrupted)
    result = cli("train", "-o", "my run")
    assert result.exit_code == 130
    assert result.stdout == ""
    said = "stopped after step 3 and saved.\nGo on with: mddae train --resume 'my run'\n"
    assert result.stderr == said
    assert Path("my run/train.log").read_text() == said


def test_a_tiny_run_on_digits_leaves_a_whole_run_folder(cli: Cli) -> None:
    result = cli("train", *TINY, "--epochs", "1", "-o", "run", "--quiet", "--y-epochs", "0")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "run\n", "")
    names = {path.name for path in Path("run").iterdir()}
    wanted = {"config.json", "model.safetensors", "last.safetensors", "metrics.jsonl", "samples"}
    assert names == wanted | {"train.log"}
    assert load_config("run/config.json")["width"] == 4
    assert Path("run/train.log").read_text().splitlines()[-1].startswith("epoch 1  ")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_ends_with_130_and_the_line_that_resumes(
    mddae_process: Start, cli: Cli, number: signal.Signals
) -> None:
    words = (*TINY, "--epochs", "1000000", "-o", "run", "--threads", "1")
    process = mddae_process("train", *words)
    deadline = time.monotonic() + 300
    while not Path("run/metrics.jsonl").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(number)
    out, said = process.communicate(timeout=300)
    assert (process.returncode, out) == (130, "")
    *_, last = said.splitlines()
    assert last == "Go on with: mddae train --resume run"
    rows = Path("run/metrics.jsonl").read_text().splitlines()
    result = cli("train", "--resume", "run", "--epochs", len(rows) + 1, "--quiet")
    assert (result.exit_code, result.stdout) == (0, "run\n")


def test_the_example_in_the_help_runs(cli: Cli, calls: Calls) -> None:
    example = train_command.HELP.splitlines()[0].removeprefix("Example: mddae ")
    result = cli(*example.split())
    assert (result.exit_code, result.stdout) == (0, "runs/mnist\n")
    assert calls.config == make_config("mnist", max_time_s=900.0)
