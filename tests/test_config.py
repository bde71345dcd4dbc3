"""Presets, what follows from an option, and values that no run could use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mddae_cli.config import (
    DATASET_DEFAULTS,
    PRESETS,
    Encoder,
    Inject,
    ModelKind,
    Reduction,
    Reg,
    Targets,
    TrainConfig,
    YMovedBy,
    ZNorm,
    coerce_option,
    load_config,
    make_config,
)
from mddae_cli.errors import UnknownNameError, UsageError


def test_paper_preset_is_the_literal_reading() -> None:
    config = make_config("mnist", "paper")
    assert (config.alpha, config.beta, config.gamma, config.reg) == (0.0, 1.0, 5.0, Reg.DCOV)
    assert (config.lr, config.adam_beta1, config.adam_beta2) == (1e-4, 0.5, 0.999)
    assert (config.batch_size, config.reduction) == (100, Reduction.SUM)
    assert (config.y_moved_by, config.encoder) == (YMovedBy.ALL, Encoder.SHARED)
    assert (config.y_epochs, config.cycle, config.z_norm) == (0, 0.0, ZNorm.NONE)
    faces = make_config("celeba", "paper")
    assert (faces.alpha, faces.batch_size) == (1.0, 128)


def test_rows_of_table_1_differ_as_the_paper_says() -> None:
    rows = {name: make_config("celeba", name) for name in PRESETS}
    assert rows["ae"].model is ModelKind.AE
    assert {rows[n].targets for n in ("disae", "disae-xcov")} == {Targets.DISCRETE}
    assert {rows[n].targets for n in ("mddae-xcov", "mddae-dcov")} == {Targets.SOFT}
    regs = [rows[n].reg for n in ("ae", "disae", "disae-xcov", "mddae-xcov", "mddae-dcov")]
    assert regs == [Reg.NONE, Reg.NONE, Reg.XCOV, Reg.XCOV, Reg.DCOV]
    assert [rows[n].alpha for n in ("ae", "disae", "mddae-dcov")] == [0.0, 0.0, 1.0]


def test_the_default_recipe_of_faces_alone_has_observers_and_biases_of_places() -> None:
    recipe = make_config("celeba")
    assert min(*recipe.observers, recipe.cycle_still, recipe.cycle_variation) > 0
    assert min(recipe.cycle_features, recipe.cycle_detail, recipe.cycle_colour) > 0
    assert recipe.inject is Inject.PLACES
    for other in (*(make_config("celeba", n) for n in set(PRESETS) - {"default"}), make_config()):
        assert (other.observers, other.inject) == ((), Inject.ALL)
    assert make_config("mnist").observers == ()


@pytest.mark.parametrize(
    ("changes", "balance"),
    [
        ({}, (0.0, 6.0)),
        ({"observers": (2.0, 2.0)}, ()),  # as a configuration of an earlier version has them
        ({"observers": 2.0}, ()),
        ({"observers": ()}, ()),
        ({"y_epochs": 0}, ()),
        ({"preset": "mddae-dcov"}, ()),
        ({"observers": (2.0,), "observers_balance": 4.0}, (4.0,)),
        ({"observers_balance": ()}, ()),
    ],
    ids=str,
)
def test_of_two_observers_of_faces_one_has_weighed_labels(
    changes: dict[str, Any], balance: tuple[float, ...]
) -> None:
    assert make_config("celeba", **changes).observers_balance == balance


@pytest.mark.parametrize(
    "changes", [{"encoder": "shared"}, {"y_moved_by": "all"}, {"y_epochs": 0}], ids=str
)
def test_faces_whose_target_does_not_learn_alone_have_no_observer(changes: dict[str, Any]) -> None:
    config = make_config("celeba", **changes)
    assert (config.y_epochs, config.observers) == (0, ())
    with pytest.raises(UsageError, match="y_epochs of 1 or more"):
        make_config("celeba", observers=(1.0,), **changes)


@pytest.mark.parametrize("dataset", DATASET_DEFAULTS)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_of_every_data_set_survives_json(dataset: str, preset: str) -> None:
    config = make_config(dataset, preset, attrs=["A", "B"])
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("given", "radii"), [(2, (2.0,)), ("1, 3", (1.0, 3.0)), ([0.5, 2], (0.5, 2.0)), ("", ())]
)
def test_observers_are_one_number_or_several(given: Any, radii: tuple[float, ...]) -> None:
    assert make_config("celeba", observers=given).observers == radii


def test_given_options_win_over_preset_and_data_set() -> None:
    assert make_config("celeba", "paper", gamma=0.5, batch_size=32).gamma == 0.5


def test_plain_auto_encoder_needs_nothing_else_said() -> None:
    config = make_config("mnist", model="ae")
    assert (config.reg, config.y_epochs, config.z_norm) == (Reg.NONE, 0, ZNorm.BATCH)


@pytest.mark.parametrize("changes", [{"encoder": "shared"}, {"y_moved_by": "all"}])
def test_soft_target_that_must_move_is_not_frozen(changes: dict[str, Any]) -> None:
    assert make_config("mnist", **changes).y_epochs == 0
    with pytest.raises(UsageError, match="y_epochs 0"):
        make_config("mnist", y_epochs=2, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gamma": float("nan")}, "not a finite number"),
        ({"gamma": -1.0}, "0 or more"),
        ({"observers": (1.0, -1.0)}, "more than 0"),
        ({"observers": [float("inf")]}, "more than 0"),
        ({"observers": "1,b"}, "numbers expected"),
        ({"observers": True}, "observers"),
        ({"observers": 1, "observers_balance": 1.0}, "more than 1, or 0"),
        ({"observers": 1, "observers_balance": -2.0}, "more than 1, or 0"),
        ({"observers": 1, "observers_balance": float("inf")}, "more than 1, or 0"),
        ({"observers": (1, 2), "observers_balance": 4}, "1 numbers for 2 observers"),
        ({"cycle_still": -1.0}, "0 or more"),
        ({"cycle_variation": -1.0}, "0 or more"),
        ({"cycle_features": -1.0}, "0 or more"),
        ({"cycle_detail": -1.0}, "0 or more"),
        ({"cycle_colour": -1.0}, "0 or more"),
        ({"epochs": 0}, "more than 0"),
        ({"ssim_stride": 0}, "more than 0"),
        ({"batch_size": 2}, "at least 4"),
        ({"ema": 1.0}, r"\[0, 1\)"),
        ({"cycle_share": 0.0}, r"\(0, 1\]"),
        ({"latent_dim": "big"}, "int expected"),
        ({"latent_dim": 2.5}, "int expected"),
        ({"latent_dim": True}, "latent_dim"),
        ({"reg": "dcaw"}, "one of none"),
        ({"model": "ae", "reg": "dcov"}, "no soft target"),
        ({"erase_directions": -1}, "0 or more"),
        ({"erase_directions": 2}, "exclude each other"),
    ],
    ids=str,
)
def test_value_that_no_run_could_use_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_config("mnist", **changes)


@pytest.mark.parametrize("preset", PRESETS)
def test_only_the_default_recipe_estimates_similarity(preset: str) -> None:
    assert make_config("celeba", preset).ssim_stride == (2 if preset == "default" else 1)


def test_unknown_names_give_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean mnist"):
        make_config("mnits")
    with pytest.raises(UnknownNameError, match="Did you mean mddae-dcov"):
        make_config("mnist", "mddae-dcv")
    with pytest.raises(UnknownNameError, match="Did you mean gamma"):
        make_config("mnist", gama=1)


def test_attributes_may_be_a_list_or_one_string() -> None:
    assert coerce_option("attrs", "Smiling, Bald") == ("Smiling", "Bald")
    assert coerce_option("attrs", ["Smiling"]) == ("Smiling",)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "no JSON"), ("[1]", "one JSON object"), ('{"gama": 1}', "Did you mean gamma")],
)
def test_config_file_that_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(UsageError, match=message):
        load_config(tmp_path / "c.json")


def test_missing_config_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_config(tmp_path / "none.json")
