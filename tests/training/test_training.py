"""Runs: what they write, how they stop, and that they go on as if they had not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from mddae_cli import checkpoint
from mddae_cli.config import TrainConfig, make_config
from mddae_cli.data import load_table
from mddae_cli.errors import DivergedError, InterruptedRun, ModelError, UsageError
from mddae_cli.header import read_header
from mddae_cli.images import read_image
from mddae_cli.model import AutoEncoder, QuadraticErasure
from mddae_cli.training import resume, train
from mddae_cli.training.loop import Trainer
from mddae_cli.training.objective import Objective
from mddae_cli.training.pixels import fineness
from mddae_cli.training.validation import encode_rows

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    "y_epochs": 1,
    "epochs": 2,
    "width": 4,
    "limit": 400,
    "batch_size": 50,
    "threads": 1,
}


def small_config(**changes: Any) -> TrainConfig:
    values = SMALL | changes
    if "preset" in changes:
        del values["y_epochs"]
    return make_config("digits", **values)


def stop_at(step: int) -> Callable[[], bool]:
    calls = iter(range(1, 10**6))
    return lambda: next(calls) == step


def run_bytes(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    train(small_config(cycle=0.1, reg_memory=60), run)
    return run


def test_train_writes_the_run_folder(whole_run: Path) -> None:
    names = {path.relative_to(whole_run).as_posix() for path in whole_run.rglob("*.*")}
    assert names == {
        "config.json",
        "model.safetensors",
        "last.safetensors",
        "metrics.jsonl",
        "samples/example.png",
        "samples/epoch-002.png",
        "samples/epoch-003.png",
    }
    rows = [json.loads(line) for line in (whole_run / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    wanted = {
        "rec",
        "dis",
        "dec",
        "cycle",
        "val_rmse",
        "y_accuracy",
        "dcor2",
        "z_std",
        "leak_auroc",
    }
    assert wanted <= set(rows[1])
    assert rows[2]["rec"] < rows[1]["rec"]


def test_written_config_is_the_config_of_the_run(whole_run: Path) -> None:
    values = json.loads((whole_run / "config.json").read_text())
    assert TrainConfig.from_dict(values) == small_config(cycle=0.1, reg_memory=60)


def test_header_tells_what_the_model_is(whole_run: Path) -> None:
    header = read_header(whole_run)
    assert header.dataset == "digits"
    assert header.names == tuple("0123456789")
    assert sum(header.base_rates) == pytest.approx(1.0)
    assert header.ssim.window == 7
    assert header.figures["epoch"] == 3


def test_same_seed_gives_the_same_bytes_and_another_seed_others(
    whole_run: Path, tmp_path: Path
) -> None:
    train(small_config(cycle=0.1, reg_memory=60), tmp_path / "again")
    assert run_bytes(tmp_path / "again") == run_bytes(whole_run)
    train(small_config(cycle=0.1, reg_memory=60, seed=1, epochs=1), tmp_path / "other")
    assert run_bytes(tmp_path / "other") != run_bytes(whole_run)


@pytest.mark.parametrize("step", [3, 8, 11, 16, 20])
def test_resumed_run_ends_with_the_bytes_of_an_uninterrupted_one(
    whole_run: Path, tmp_path: Path, step: int
) -> None:
    run = tmp_path / "run"
    with pytest.raises(InterruptedRun):
        train(small_config(cycle=0.1, reg_memory=60), run, stop=stop_at(step))
    result = resume(run)
    assert run_bytes(run) == run_bytes(whole_run)
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 3
    assert result.epochs == 3


@pytest.mark.parametrize(
    ("step", "weights"),
    [(4, {}), (12, {}), (12, {"cycle_features": 2.0}), (12, {"cycle_detail": 1.0})],
    ids=str,
)
def test_a_run_with_an_observer_resumes_to_the_same_bytes(
    tmp_path: Path, step: int, weights: dict[str, float]
) -> None:
    config = small_config(cycle=0.1, observers=(1.0,), epochs=1, **weights)
    train(config, tmp_path / "whole")
    with pytest.raises(InterruptedRun):
        train(config, tmp_path / "run", stop=stop_at(step))
    resume(tmp_path / "run")
    assert run_bytes(tmp_path / "run") == run_bytes(tmp_path / "whole")


def test_the_observer_learns_with_the_target_and_is_no_part_of_the_model(tmp_path: Path) -> None:
    train(small_config(cycle=0.1, observers=(1.0,), epochs=1), tmp_path / "run")
    state = load_file(tmp_path / "run" / "last.safetensors")
    names = [name for name in state if name.startswith("objective.observers.0.tower")]
    torch.manual_seed(0)
    assert names
    assert int(state["objective.observers.0.tower.convs.0.1.num_batches_tracked"]) == 3 * 8
    assert not any("observer" in n for n in load_file(tmp_path / "run" / "model.safetensors"))


@pytest.mark.parametrize(("largest", "weighed"), [(0.0, False), (4.0, True)])
def test_labels_are_weighed_for_observers_where_that_is_asked_for(
    tmp_path: Path,
    make_celeba: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    largest: float,
    weighed: bool,
) -> None:
    """By all training pictures; also in a run that was stopped while they were learning."""
    trainers: list[Trainer] = []
    monkeypatch.setattr(Trainer, "_calibrate", lambda self: trainers.append(self))
    config = make_config(
        "celeba",
        data_dir=str(make_celeba(60)),
        **(SMALL | {"batch_size": 10, "epochs": 1, "observers": (1.0, 1.0), "image_size": 28}),
        observers_balance=(0.0, largest),
    )
    train(config, tmp_path / "whole")
    with pytest.raises(InterruptedRun):
        train(config, tmp_path / "run", stop=stop_at(2))
    resume(tmp_path / "run")
    assert run_bytes(tmp_path / "run") == run_bytes(tmp_path / "whole")
    labels = trainers[0].table.labels[trainers[0].table.splits["train"]]
    for trainer in trainers:
        none, balance = trainer.objective.balances
        assert none is None
        assert (balance is not None) == weighed
        if balance is not None:
            assert balance.common.tolist() == pytest.approx(labels.mean(axis=0).tolist())
            assert balance.largest == largest


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_observers_learn_what_labels_do_to_their_maps_where_these_are_weighed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, weight: float
) -> None:
    trainers: list[Trainer] = []
    monkeypatch.setattr(Trainer, "_calibrate", lambda self: trainers.append(self))
    options = {"observers": (1.0, 2.0), "cycle_features": weight, "precision": "fp32"}
    train(small_config(cycle=0.1, epochs=1, **options), tmp_path / "run")
    (trainer,) = trainers
    pictures = torch.cat(list(trainer.batches.every_picture()))
    labels = trainer.batches.every_label()
    for observer in trainer.objective.observers:
        assert len(observer.effects) == (2 if weight else 0)
        with torch.no_grad():
            levels = observer.view(pictures).maps
        for effects, maps in zip(observer.effects, levels, strict=False):
            assert effects.directions.shape == (10, *maps.shape[1:])
            absent, present = (maps[labels[:, 3] == side].mean(dim=0) for side in (0, 1))
            found = effects.directions[3] - effects.directions.mean(dim=0)
            torch.testing.assert_close(found / 0.9, present - absent, rtol=0, atol=0.05)


@pytest.mark.parametrize("flip", [False, True])
def test_what_labels_do_to_detail_is_found_on_the_training_pictures_where_it_is_weighed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flip: bool
) -> None:
    trainers: list[Trainer] = []
    monkeypatch.setattr(Trainer, "_calibrate", lambda self: trainers.append(self))
    for cycle, weight in ((0.0, 1.0), (0.1, 0.0), (0.1, 1.0)):
        config = small_config(cycle=cycle, epochs=1, cycle_detail=weight, flip=flip)
        train(config, tmp_path / f"{cycle}-{weight}")
    *nothing, found = (each.objective.practice.finer for each in trainers)
    trainer = trainers[-1]
    pictures = torch.cat(list(trainer.batches.every_picture(mirrored=False)))
    labels = trainer.batches.every_label()[: len(pictures)]
    low, high = trainer.header.preprocess.value_range
    fine = fineness((pictures - low) / (high - low))
    assert nothing == [None, None]
    assert found is not None
    means = torch.stack([fine[labels[:, k] == 1].mean() for k in range(10)])
    # Exclusive classes: what they have in common is the mean's.
    torch.testing.assert_close(found - found.mean(), means - means.mean(), rtol=0.05, atol=0.02)
    assert float((means - means.mean()).abs().max()) > 0.1


def test_all_convolutions_of_a_step_have_their_channels_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []

    def fit(trainer: Trainer) -> None:
        found = (*trainer.net.parameters(), *trainer.objective.parameters())
        seen.extend(weight for weight in found if weight.ndim == 4)

    monkeypatch.setattr(Trainer, "fit", fit)
    train(small_config(cycle=0.1, observers=(1.0,), epochs=1), tmp_path / "run")
    assert len(seen) > 4
    assert all(w.is_contiguous(memory_format=torch.channels_last) for w in seen)


@pytest.mark.slow
def test_run_killed_between_saves_resumes_to_the_same_bytes(
    whole_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    code = (
        "import sys; from mddae_cli.config import TrainConfig;"
        "from mddae_cli.training import train; import json;"
        "train(TrainConfig.from_dict(json.loads(sys.argv[1])), sys.argv[2])"
    )
    config = json.dumps(small_config(cycle=0.1, reg_memory=60, epochs=2).to_dict())
    process = subprocess.Popen([sys.executable, "-c", code, config, str(run)])
    deadline = time.monotonic() + 300
    while not (run / "last.safetensors").exists() and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resume(run)
    assert run_bytes(run) == run_bytes(whole_run)


def test_a_run_without_a_flow_leaves_no_linear_trace_of_the_target(tmp_path: Path) -> None:
    config = small_config(flow_layers=0, settle=0.9)
    train(config, tmp_path / "run")
    net, table = checkpoint.load(tmp_path / "run").net, load_table("digits", limit=400)
    with torch.no_grad():
        codes = encode_rows(net, table, table.splits["train"], CPU)
    both = torch.cat([codes.y_hat, codes.z], dim=1).double()
    assert float(torch.corrcoef(both.T)[:10, 10:].abs().max()) < 2e-3


def test_a_run_ends_with_an_erasure_of_all_training_pictures(tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(small_config(flow_layers=0, erase_directions=3, flip=True), run)
    assert not load_file(run / "last.safetensors")["net.erasure.fitted"]
    net, table = checkpoint.load(run).net, load_table("digits", limit=400)
    rows = table.splits["train"]
    both = np.concatenate([table.images[rows], table.images[rows][:, :, ::-1]])
    with torch.no_grad():
        codes = encode_rows(net, replace(table, images=both), np.arange(len(both)), CPU)
        features = net.to_features(codes.y_hat, codes.z)
    erasure = QuadraticErasure(net.spec)
    erasure.fit(features, codes.y_hat, torch.arange(len(both)) % len(rows))
    assert net.erasure is not None
    assert net.erasure.fitted
    assert not torch.equal(codes.z, features)
    torch.testing.assert_close(net.erasure.log_variances, erasure.log_variances, atol=0.02, rtol=0)
    before = run_bytes(run)
    resume(run)
    assert run_bytes(run) == before


def test_a_run_on_few_pictures_has_no_erasure(tmp_path: Path) -> None:
    train(small_config(flow_layers=0, erase_directions=3, limit=90), tmp_path / "run")
    erasure = checkpoint.load(tmp_path / "run").net.erasure
    assert erasure is not None
    assert not erasure.fitted


@pytest.mark.parametrize("step", [20, 29, 30, 31])
def test_a_run_that_settles_resumes_to_the_same_bytes(tmp_path: Path, step: int) -> None:
    """It settles after step 30 of 32: 8 were of ŷ, and nine tenths of the other 24 are over."""
    config = small_config(flow_layers=0, settle=0.9, epochs=3)
    train(config, tmp_path / "whole")
    with pytest.raises(InterruptedRun):
        train(config, tmp_path / "run", stop=stop_at(step))
    _, position = checkpoint.load_state(tmp_path / "run" / "last.safetensors")
    assert position["settled"] == (step > 30)
    resume(tmp_path / "run")
    assert run_bytes(tmp_path / "run") == run_bytes(tmp_path / "whole")


def test_more_epochs_for_a_run_that_has_settled_let_the_regression_follow_again(
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    train(small_config(flow_layers=0, settle=0.9, epochs=1), run)
    seen = int(load_file(run / "last.safetensors")["net.z_norm.seen"])
    resume(run, epochs=2)
    assert int(load_file(run / "last.safetensors")["net.z_norm.seen"]) > seen


def test_run_that_is_over_is_not_changed_by_resume(whole_run: Path) -> None:
    before = run_bytes(whole_run)
    resume(whole_run)
    assert run_bytes(whole_run) == before


def test_resume_can_add_epochs_and_nothing_else(tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(small_config(epochs=1), run)
    assert resume(run, epochs=2).epochs == 3
    with pytest.raises(UsageError, match="latent_dim"):
        resume(run, latent_dim=3)


def test_resume_of_a_folder_without_a_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no run"):
        resume(tmp_path)


def test_resume_of_a_damaged_state_says_so(tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(small_config(epochs=1), run)
    (run / "last.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="damaged"):
        resume(run)


def test_resume_of_a_state_of_another_version_says_so(tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(small_config(epochs=1), run)
    tensors, facts = checkpoint.load_state(run / "last.safetensors")
    tensors["net.unheard_of"] = tensors["sums"].clone()
    checkpoint.save_state(run / "last.safetensors", tensors, facts)
    before = run_bytes(run)
    with pytest.raises(ModelError, match="begun by another one"):
        resume(run, epochs=2)
    assert run_bytes(run) == before


def test_folder_of_another_run_is_refused_and_kept(whole_run: Path) -> None:
    before = run_bytes(whole_run)
    with pytest.raises(UsageError, match="already holds a run"):
        train(small_config(), whole_run)
    assert run_bytes(whole_run) == before


def test_diverging_loss_stops_the_run_and_keeps_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = Objective.reconstruction
    steps = iter(range(10**6))

    def diverging(self: Objective, *images: Tensor) -> Tensor:
        loss = honest(self, *images)
        return loss * float("nan") if next(steps) == 10 else loss

    monkeypatch.setattr(Objective, "reconstruction", diverging)
    run = tmp_path / "run"
    with pytest.raises(DivergedError, match=r"'rec' became NaN.*step 18.*best checkpoint"):
        train(small_config(), run)
    assert checkpoint.load(run).header.figures["epoch"] == 2


def test_time_limit_ends_the_run_at_the_end_of_its_schedule(tmp_path: Path) -> None:
    started = time.monotonic()
    result = train(small_config(epochs=100000, max_time_s=1.5), tmp_path / "run")
    assert result.epochs < 100000
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("limit_s", [1e-6, 1.5])
def test_time_limit_leaves_time_for_the_model_however_long_the_target_learns(
    tmp_path: Path, limit_s: float, recorder: Any
) -> None:
    config = small_config(epochs=100000, y_epochs=100000, max_time_s=limit_s)
    result = train(config, tmp_path / "run", reporter=recorder)
    assert result.model_file.is_file()
    assert "val_rmse" in recorder.rows[-1]
    for row in recorder.rows[:-1]:
        assert 0 < row["dis"] < 3  # a mean over the steps that were done


def test_longer_time_after_resuming_does_not_go_back_to_the_target(tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(small_config(epochs=100000, y_epochs=100000, max_time_s=0.8), run)
    trained = checkpoint.load(run).net.target_tower.state_dict()
    with pytest.raises(InterruptedRun):
        resume(run, max_time_s=1000.0, stop=stop_at(12))
    state, _ = checkpoint.load_state(run / "last.safetensors")
    for name, value in trained.items():
        assert torch.equal(state[f"net.encoder.to_logits.{name}"], value)


def test_progress_reaches_the_reporter(tmp_path: Path, recorder: Any) -> None:
    train(small_config(), tmp_path / "run", reporter=recorder)
    assert ("train", 1200, "image") in recorder.jobs
    assert recorder.steps == 1200
    assert [row["epoch"] for row in recorder.rows] == [1, 2, 3]


@pytest.mark.parametrize(
    "changes",
    [
        {"preset": "paper"},
        {"preset": "ae"},
        {"preset": "disae"},
        {"preset": "disae-xcov"},
        {"preset": "mddae-xcov"},
        {"preset": "mddae-dcov"},
        {"reg": "dcov-u"},
        {"reg": "dcor-attr"},
        {"inject": "first", "z_norm": "none", "y_moved_by": "all", "depth": 1, "y_epochs": 0},
        {"y_moved_by": "dis+rec", "y_epochs": 0, "alpha": 0.5, "shift": 2, "flip": True},
        {"image_size": 32, "y_moved_by": "dis+dec", "y_epochs": 0},
    ],
    ids=str,
)
def test_every_kind_of_model_trains(changes: dict[str, Any], tmp_path: Path) -> None:
    result = train(small_config(**(changes | {"epochs": 1})), tmp_path / "run")
    assert 0 < result.figures["val_rmse"] < 1
    assert result.model_file.is_file()


def test_impossible_network_is_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="depth 5 does not divide"):
        train(small_config(depth=5), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_dropout_draws_the_same_after_resuming(tmp_path: Path) -> None:
    config = small_config(arch="cdnet", epochs=1, limit=100)
    train(config, tmp_path / "whole")
    with pytest.raises(InterruptedRun):
        train(config, tmp_path / "parts", stop=stop_at(1))
    torch.manual_seed(os.getpid())
    resume(tmp_path / "parts")
    assert run_bytes(tmp_path / "parts") == run_bytes(tmp_path / "whole")


def test_a_frozen_target_is_worked_out_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, differences = Objective.parts, []

    def watched(self: Objective, net: AutoEncoder, x: Tensor, *args: Any, **named: Any) -> Any:
        with torch.no_grad():
            told = [net.target_tower(x), *(observer(x) for observer in self.observers)]
            known = [named["known"].logits, *named["known"].observed]
            differences.append(torch.cat(told, dim=1) - torch.cat(known, dim=1))
        return honest(self, net, x, *args, **named)

    monkeypatch.setattr(Objective, "parts", watched)
    config = small_config(flip=True, precision="fp32", cycle=0.1, observers=(1.0,))
    train(config, tmp_path / "run")
    torch.testing.assert_close(torch.cat(differences), torch.zeros(800, 20), rtol=0, atol=1e-4)


def test_without_averaging_weights_are_copied_once_an_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    honest = Trainer._follow

    def counted(self: Trainer, step: int) -> None:
        steps.append(step)
        honest(self, step)

    monkeypatch.setattr(Trainer, "_follow", counted)
    train(small_config(), tmp_path / "plain")
    assert steps == [8, 16, 24]
    state, _ = checkpoint.load_state(tmp_path / "plain" / "last.safetensors")
    for name, weight in checkpoint.load(tmp_path / "plain").net.named_parameters():
        assert torch.equal(state[f"average.{name}"], state[f"net.{name}"]), weight.shape
    train(small_config(ema=0.9), tmp_path / "averaged")
    assert len(steps) == 3 + 24


def test_a_run_in_bfloat16_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    config = small_config(precision="bf16", device="cpu", limit=200, cycle=0.1)
    train(config, tmp_path / "whole")
    with pytest.raises(InterruptedRun):
        train(config, tmp_path / "parts", stop=stop_at(6))
    resume(tmp_path / "parts")
    assert run_bytes(tmp_path / "parts") == run_bytes(tmp_path / "whole")


def test_example_is_the_first_validation_picture(whole_run: Path) -> None:
    table = load_table("digits")
    example = read_image(whole_run / "samples" / "example.png")
    wanted = table.images[table.splits["val"][0]]
    assert (example == wanted).all()
