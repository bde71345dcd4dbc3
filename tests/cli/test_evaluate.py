"""``mddae evaluate``: models side by side, as tables and as JSON, with a judge of one epoch."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import Result

from mddae_cli import checkpoint, data, evaluation, training
from mddae_cli.cli import cards, evaluate
from mddae_cli.cli.options import parse_values
from mddae_cli.config import make_config
from mddae_cli.editing import load
from mddae_cli.evaluation import EditScores, Probe, ScoreCard, score_card
from mddae_cli.evaluation import judge as judging
from mddae_cli.model import AutoEncoder

Cli = Callable[..., Result]
MakeModel = Callable[..., Path]
SMALL = {"image_size": 28, "width": 4, "latent_dim": 4}


@pytest.fixture(autouse=True)
def _quick_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "default_epochs", lambda num_images: 1)


@pytest.fixture
def no_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test fail that asks for a judge."""

    def fail(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a judge was asked for")

    monkeypatch.setattr(evaluation, "load_or_train_judge", fail)


@pytest.fixture
def faces(make_celeba: Callable[..., Path], cache: Path) -> Path:
    return make_celeba(40)


@pytest.fixture
def make_model(faces: Path, tmp_path: Path) -> MakeModel:
    """Return a function that writes a model of the faces with untrained weights."""

    def make(preset: str = "default", seed: int = 0, **changes: Any) -> Path:
        config = make_config("celeba", preset, **SMALL, **changes)
        table = data.load_table("celeba", data_dir=faces, image_size=28, attrs=config.attrs)
        header = training.make_header(config, table)
        torch.manual_seed(seed)
        path = tmp_path / f"{preset}-{seed}.safetensors"
        checkpoint.save(path, AutoEncoder(header.model).eval(), header)
        return path

    return make


def sections(text: str) -> list[list[str]]:
    """Return the tables and the notes: what stands between empty lines."""
    return [part.splitlines() for part in text.split("\n\n")]


def test_two_models_of_attributes_stand_side_by_side(
    cli: Cli, make_model: MakeModel, faces: Path
) -> None:
    first, second = make_model(seed=1), make_model(seed=2)
    words = ("--data-dir", faces, "--attr", "smiling", "--attr", "Bald", "--values", "0:2:1")
    result = cli("evaluate", first, second, *words)
    assert result.exit_code == 0
    (head, *models), (edit_head, *edits), notes = sections(result.stdout)
    for heading in (
        "RMSE",
        "ŷ accuracy",
        "linear leak (chance)",
        "mlp leak (chance)  small-mlp leak (chance)",
    ):
        assert heading in head
    assert head.endswith("≥70% at ≤2  ≥90% at ≤2")
    assert "swaps" not in head
    assert [row.split()[0] for row in models] == [str(first), str(second)]
    assert all(row.split()[-1].endswith("/2") for row in models)
    assert edit_head.split()[-5:] == ["judge", "reconstruction", "0", "1", "2"]
    assert [row.split()[:2] for row in edits] == [
        [name, str(model)] for name in ("Bald", "Smiling") for model in (first, second)
    ]
    assert any("MS-SSIM of" in note for note in notes)
    assert sum("on real test pictures" in note and str(second) in note for note in notes) == 1


def test_models_of_one_table_share_it_and_the_judge_whose_training_is_announced(
    cli: Cli, make_model: MakeModel, faces: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [make_model(seed=1), make_model("ae", seed=2), make_model("disae", seed=3)]
    loaded, real = [], data.load_table

    def count(**arguments: Any) -> data.Table:
        loaded.append(arguments)
        return real(**arguments)

    monkeypatch.setattr(data, "load_table", count)
    words = ("--data-dir", faces, "--values", "1", "--probe", "linear")
    result = cli("evaluate", *models, *words)
    assert result.exit_code == 0
    assert len(loaded) == 1
    (kept,) = (cache / "judges").iterdir()
    assert result.stderr.count(str(kept)) == result.stderr.count("has no judge yet") == 1
    again = cli("evaluate", *models, *words)
    assert again.stdout == result.stdout
    assert "judge" not in again.stderr


def test_json_holds_every_figure_under_stable_keys(
    cli: Cli, make_model: MakeModel, faces: Path
) -> None:
    model = make_model()
    words = ("--data-dir", faces, "--json", "--max-images", "3", "--seed", "5", "--split", "val")
    result = cli("evaluate", model, *words, "--probe", "linear", "--values", "1,5")
    assert result.exit_code == 0
    told = json.loads(result.stdout, parse_constant=pytest.fail)
    assert (told["seed"], told["max_images"]) == (5, 3)
    (card,) = told["models"]
    assert list(card) == [
        *("model", "reconstruction", "targets", "leaks", "edits", "swaps"),
        *("judge_accuracy", "judge_accuracy_reconstructed", "reached"),
    ]
    assert card["model"] == str(model)
    assert card["reconstruction"]["part"] == "val"
    assert [leak["probe"] for leak in card["leaks"]] == ["linear"]
    assert {edit["value"] for edit in card["edits"]} == {None, 1.0, 5.0}
    assert max(edit["num_images"] for edit in card["edits"]) == 3
    assert [goal["max_value"] for goal in card["reached"]] == [1.0, 1.0]


def test_quiet_leaves_results_alone(cli: Cli, make_model: MakeModel, faces: Path) -> None:
    words = ("--data-dir", faces, "--attr", "all", "--values", "1", "--probe", "linear")
    result = cli("evaluate", make_model(), *words, "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout


@pytest.mark.usefixtures("no_judge")
def test_a_plain_auto_encoder_needs_no_judge_and_has_no_edits(
    cli: Cli, make_model: MakeModel, faces: Path
) -> None:
    result = cli("evaluate", make_model("ae"), "--data-dir", faces)
    assert result.exit_code == 0
    (head, row), notes = sections(result.stdout)
    assert head.endswith("linear leak (chance)  mlp leak (chance)  small-mlp leak (chance)")
    assert "ŷ accuracy" not in head
    assert "–" not in row
    assert not any("Judge" in note or "Edits" in note for note in notes)


def test_a_plain_auto_encoder_beside_another_has_gaps(
    cli: Cli, make_model: MakeModel, faces: Path
) -> None:
    models = make_model("ae"), make_model()
    words = ("--data-dir", faces, "--values", "1", "--probe", "mlp", "--attr", "Bangs")
    result = cli("evaluate", *models, *words)
    (_, plain, full), (_, *edits), _ = sections(result.stdout)
    assert (plain.count("–"), full.count("–")) == (3, 0)
    assert [row.split()[1] for row in edits] == [str(models[1])]


def test_classes_are_swapped_and_one_model_shows_its_matrix(cli: Cli, digits_run: Path) -> None:
    one = cli("evaluate", digits_run, "--probe", "linear")
    assert one.exit_code == 0
    (head, row), (matrix_head, *matrix), notes = sections(one.stdout)
    assert head.split()[-4:] == ["swaps", "%", "worst", "%"]
    assert "(to " in row
    assert matrix_head.split()[-10:] == list("0123456789")
    assert [line.split()[0] for line in matrix] == list("0123456789")
    assert all(len(line.split()) == 11 for line in matrix)
    assert any(note.startswith("Swaps:") for note in notes)
    two = cli("evaluate", digits_run, digits_run, "--probe", "linear")
    (_, first, second), _ = sections(two.stdout)
    assert first == second == row


def test_a_cap_reaches_the_swaps(cli: Cli, digits_run: Path) -> None:
    words = ("--probe", "linear", "--json", "--max-images", "7")
    (card,) = json.loads(cli("evaluate", digits_run, *words).stdout)["models"]
    assert card["swaps"]["num_images"] == 7
    assert card["reconstruction"]["num_images"] > 7


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--attr", "Smilng"], "attribute 'Smilng' does not exist. Did you mean Smiling?"),
        (["--values", "1,nan"], "'nan' is no finite number"),
        (["--values", ""], "'' is no finite number"),
        (["--values", "3:1:0.5"], "runs backwards"),
        (["--probe", "forest"], "'forest' is not one of 'linear', 'mlp', 'small-mlp'"),
        (["--split", "train"], "'train' is not one of 'val', 'test'"),
        (["--max-images", "0"], "'--max-images'"),
        (["nowhere"], "model 'nowhere' does not exist"),
        (["--dataset", "celebb"], "data set 'celebb' does not exist. Did you mean celeba?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_refused_before_anything_is_loaded(
    cli: Cli,
    header_only: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    said: str,
) -> None:
    monkeypatch.setattr(data, "load_table", pytest.fail)
    result = cli("evaluate", header_only(), *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


@pytest.mark.parametrize("words", [["--attr", "7"], ["--values", "1"]], ids=" ".join)
def test_what_attributes_take_is_refused_for_classes(
    cli: Cli, digits_run: Path, words: list[str]
) -> None:
    result = cli("evaluate", digits_run, *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "has classes, which are swapped: leave out --attr and --values" in result.stderr


@pytest.mark.usefixtures("no_judge")
@pytest.mark.parametrize("classes", [("cat", "dog"), tuple("0123456789")], ids="-".join)
def test_a_data_set_of_other_pictures_or_names_is_refused_before_a_judge_is_trained(
    cli: Cli,
    make_model: MakeModel,
    digits_run: Path,
    make_classes: Callable[..., Path],
    classes: tuple[str, ...],
) -> None:
    pictures = make_classes(*classes)
    result = cli("evaluate", make_model(), "--dataset", pictures)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "data set 'folder' has different names" in result.stderr
    result = cli("evaluate", digits_run, "--dataset", pictures)
    assert result.exit_code == 2
    assert "the model takes pictures of (28, 28, 1)" in result.stderr


@pytest.mark.usefixtures("no_judge")
def test_a_missing_data_set_is_named_with_what_to_put_where(
    cli: Cli, make_model: MakeModel, tmp_path: Path
) -> None:
    model = make_model()
    result = cli("evaluate", model)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "CelebA: no folder is given" in result.stderr
    result = cli("evaluate", model, "--data-dir", tmp_path / "empty")
    assert result.exit_code == 2
    assert "list_attr_celeba.txt" in result.stderr


def test_a_goal_takes_its_limit_from_the_values_tried_or_is_left_out(
    make_model: MakeModel, faces: Path
) -> None:
    table = data.load_table("celeba", data_dir=faces, image_size=28)
    plain = score_card(load(make_model()), table, None, leak_probes=[])

    def reached(*edits: tuple[str, float, float, float]) -> list[tuple[Any, ...]]:
        scores = tuple(EditScores(n, v, 9, s, c, 0.0, 1.0, 1.0) for n, v, s, c in edits)
        card: ScoreCard = dataclasses.replace(plain, edits=scores)
        return [tuple(goal.values()) for goal in cards.record("m", card)["reached"]]

    assert reached() == []
    assert reached(("Hat", 5.0, 1.0, 0.0)) == []
    assert reached(("Hat", 3.0, 0.7, 0.08)) == [(0.7, 3.0, 0.08, 1, 1)]
    both = reached(("Hat", 2.0, 0.9, 0.0), ("Hat", 4.0, 1.0, 0.0), ("Tie", 4.0, 0.8, 0.0))
    assert both == [(0.7, 4.0, 0.08, 2, 2), (0.9, 2.0, 0.08, 1, 2)]


def test_the_defaults_are_the_library_s() -> None:
    default = inspect.signature(score_card).parameters["values"].default
    assert tuple(parse_values(evaluate.DEFAULT_VALUES)) == default
    assert [probe.value for probe in evaluate.ProbeName] == [probe.value for probe in Probe]


def test_where_measures_only_pictures_with_that_label(
    cli: Cli, make_model: MakeModel, faces: Path
) -> None:
    model = make_model()
    words = ("--data-dir", faces, "--attr", "Bald", "--values", "1", "--probe", "linear", "--json")
    counts = []
    for where in ((), ("--where", "smiling=0"), ("--where", "Smiling=1")):
        result = cli("evaluate", model, *words, *where)
        assert result.exit_code == 0, result.stderr
        card = json.loads(result.stdout)["models"][0]
        counts.append(card["reconstruction"]["num_images"])
    assert counts[0] == counts[1] + counts[2] == 8
    assert min(counts) > 0


@pytest.mark.parametrize("where", ["Smiling", "Smiling=2", "=1"])
def test_a_condition_that_is_none_is_refused(
    cli: Cli, make_model: MakeModel, faces: Path, where: str
) -> None:
    result = cli("evaluate", make_model(), "--data-dir", faces, "--where", where)
    assert result.exit_code == 2
    assert f"--where {where!r} is no NAME=0 or NAME=1" in result.stderr
