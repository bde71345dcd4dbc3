"""``mddae evaluate``: models side by side, as tables and as JSON, with a judge of one epoch."""

from __future__ import annotations

import csv
import dataclasses
import inspect
import io
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
from mddae_cli.evaluation import EditScores, Measure, Probe, ScoreCard, score_card
from mddae_cli.evaluation import judge as judging
from mddae_cli.evaluation.curves import FORMATS
from mddae_cli.evaluation.features import Features
from mddae_cli.evaluation.subject import JUDGED
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


def tables(text: str) -> dict[str, list[str]]:
    """Return the tables by their first heading, each with its headings, and the notes last.

    They stand between empty lines.
    """
    *parts, notes = [part.splitlines() for part in text.split("\n\n")]
    return {part[0].split("  ")[0]: part for part in parts} | {"notes": notes}


def test_two_models_of_attributes_stand_side_by_side(
    cli: Cli, make_model: MakeModel, faces: Path
) -> None:
    first, second = make_model(seed=1), make_model(seed=2)
    words = ("--data-dir", faces, "--attr", "smiling", "--attr", "Bald", "--values", "0:2:1")
    words += ("--judge-floor", "0")
    result = cli("evaluate", first, second, *words)
    assert result.exit_code == 0
    told = tables(result.stdout)
    assert list(told) == [
        *("model", "SVM error %", "attribute", "value", "controllability", "notes"),
    ]
    (head, *models), (edit_head, *edits), notes = told["model"], told["attribute"], told["notes"]
    for heading in (
        "RMSE",
        "ŷ accuracy",
        "linear leak (chance, shuffled)",
        "mlp leak (chance, shuffled)  small-mlp leak (chance, shuffled)",
        "dCor² (p)",
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
    svm_head, *svms = told["SVM error %"]
    assert svm_head.split()[-4:] == ["reconstruction", "0", "1", "2"]
    assert [row.split()[:2] for row in svms] == [row.split()[:2] for row in edits]
    assert all(row.count("±") == 4 for row in svms)
    assert [row.split()[0] for row in told["value"][1:]] == ["0", "0", "1", "1", "2", "2"]
    assert len(told["controllability"]) == 5
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


def test_the_judge_that_is_asked_for_is_made_and_told(
    cli: Cli, make_model: MakeModel, faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    real = evaluation.load_or_train_judge

    def note(table: data.Table, **how: Any) -> Any:
        asked.append(how)
        return real(table, **how)

    monkeypatch.setattr(evaluation, "load_or_train_judge", note)
    words = ("--data-dir", faces, "--values", "1", "--measures", "edits", "--json")
    for given, judge in (((), "sharp"), (("--judge", "soft"), "soft"), (("--new-judge",), "sharp")):
        result = cli("evaluate", make_model(), *words, *given)
        assert result.exit_code == 0
        (told,) = json.loads(result.stdout)["models"]
        assert told["judge"] == judge
    assert [(how["sight"], how["bundled"]) for how in asked] == [
        *(("sharp", True), ("soft", True), ("sharp", False)),
    ]
    result = cli("evaluate", make_model(), *words[:2], "--measures", "reconstruction", "--json")
    assert json.loads(result.stdout)["models"][0]["judge"] is None


def test_json_holds_every_figure_under_stable_keys(
    cli: Cli, make_model: MakeModel, faces: Path
) -> None:
    model = make_model()
    words = ("--data-dir", faces, "--json", "--max-images", "3", "--seed", "5", "--split", "val")
    words += ("--judge-floor", "0", "--runs", "2")
    result = cli("evaluate", model, *words, "--probe", "linear", "--values", "1,5")
    assert result.exit_code == 0
    told = json.loads(result.stdout, parse_constant=pytest.fail)
    assert (told["seed"], told["max_images"]) == (5, 3)
    (card,) = told["models"]
    assert list(card) == [
        *("model", "dataset", "part", "num_images", "names", "reconstruction", "targets"),
        *("leaks", "dependence", "svm", "edits", "control", "exchange", "verifier", "identity"),
        *("trust", "swaps", "style", "judge", "judge_accuracy", "judge_accuracy_reconstructed"),
        *("collateral", "reached"),
    ]
    assert card["model"] == str(model)
    assert card["reconstruction"]["part"] == "val"
    assert [leak["probe"] for leak in card["leaks"]] == ["linear"]
    assert {edit["value"] for edit in card["edits"]} == {None, 1.0, 5.0}
    assert max(edit["num_images"] for edit in card["edits"]) == 3
    assert {len(svm["errors"]) for svm in card["svm"]} == {2}
    assert [c["value"] for c in card["collateral"]] == [1.0, 5.0]
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
    (head, row), notes = tables(result.stdout).values()
    assert head.endswith("mlp leak (chance, shuffled)  small-mlp leak (chance, shuffled)")
    assert "ŷ accuracy" not in head
    assert "–" not in row
    assert not any("Judge" in note or "Edits" in note for note in notes)


def test_a_plain_auto_encoder_beside_another_has_gaps(
    cli: Cli, make_model: MakeModel, faces: Path
) -> None:
    models = make_model("ae"), make_model()
    words = ("--data-dir", faces, "--values", "1", "--probe", "mlp", "--attr", "Bangs")
    result = cli("evaluate", *models, *words, "--judge-floor", "0")
    told = tables(result.stdout)
    (_, plain, full), (_, *edits) = told["model"], told["attribute"]
    assert (plain.count("–"), full.count("–")) == (4, 0)
    assert [row.split()[1] for row in edits] == [str(models[1])]


def test_classes_are_swapped_and_one_model_shows_its_matrix(cli: Cli, digits_run: Path) -> None:
    one = cli("evaluate", digits_run, "--probe", "linear")
    assert one.exit_code == 0
    told = tables(one.stdout)
    (head, row), (matrix_head, *matrix), notes = (
        told["model"],
        told["class \\ wanted"],
        told["notes"],
    )
    assert told["style: swaps / reconstruction"][0].split()[-3:] == ["slant", "thickness", "width"]
    assert head.split()[-4:] == ["swaps", "%", "worst", "%"]
    assert "(to " in row
    assert matrix_head.split()[-10:] == list("0123456789")
    assert [line.split()[0] for line in matrix] == list("0123456789")
    assert all(len(line.split()) == 11 for line in matrix)
    assert any(note.startswith("Swaps:") for note in notes)
    two = cli("evaluate", digits_run, digits_run, "--probe", "linear")
    _, first, second = tables(two.stdout)["model"]
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
        (["--measures", "svn"], "measure 'svn' does not exist. Did you mean svm?"),
        (["--runs", "0"], "'--runs'"),
        (["--features", "sift"], "'sift' is not one of 'pixels', 'hog', 'judge'"),
        (["--plot", "a.gif"], "--plot 'a.gif' must end in .png, .svg or .pdf"),
        (["--html", "no/a.html"], "--html: the folder 'no' does not exist"),
        (["--html", "."], "'.' is a folder: name a file"),
        (["--csv", "--json"], "--csv and --json both want standard output"),
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
    assert {*evaluate.MEASURES, *evaluate.JUDGED} == set(Measure)
    assert set(evaluate.JUDGED) == set(JUDGED)
    assert [name.value for name in evaluate.FeatureName] == [name.value for name in Features]
    assert evaluate.FIGURE_FORMATS == FORMATS
    given = {name: p.default for name, p in inspect.signature(evaluate.command).parameters.items()}
    signature = inspect.signature(score_card).parameters
    for name in ("runs", "judge_floor", "features", "seed"):
        assert given[name] == signature[name].default
    assert [probe.value for probe in evaluate.ProbeName] == [probe.value for probe in Probe]


@pytest.mark.usefixtures("no_judge")
def test_the_paper_s_protocol_alone_needs_no_judge_and_becomes_rows(
    cli: Cli, make_model: MakeModel, faces: Path
) -> None:
    model = make_model()
    words = ("--data-dir", faces, "--attr", "Smiling", "--values", "0,2", "--measures", "SVM")
    result = cli("evaluate", model, *words, "--csv", "--runs", "2")
    assert result.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [(row["attribute"], row["value"]) for row in rows] == [
        ("Smiling", value) for value in ("", "0.0", "2.0")
    ]
    assert list(rows[0]) == [
        *("model", "attribute", "value", "svm_error_mean", "svm_error_std"),
        *("svm_real_error", "svm_reconstructed_error"),
    ]
    assert all(0 <= float(row["svm_error_mean"]) <= 1 for row in rows)


@pytest.mark.usefixtures("no_judge")
def test_tables_of_one_model_do_not_repeat_its_name(
    cli: Cli, make_model: MakeModel, faces: Path
) -> None:
    model = make_model()
    words = ("--data-dir", faces, "--attr", "Smiling", "--values", "0", "--measures", "svm")
    told = tables(cli("evaluate", model, *words, "--runs", "1").stdout)
    head, row = told["SVM error %"]
    assert head.split() == ["SVM", "error", "%", "pictures", "faces", "own", "reconstruction", "0"]
    assert str(model) not in row
    assert str(model) in told["model"][1]


def test_classes_become_a_row_each(cli: Cli, digits_run: Path) -> None:
    result = cli("evaluate", digits_run, "--csv", "--measures", "swaps", "--max-images", "20")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["class"] for row in rows] == list("0123456789")


def test_rows_of_models_of_different_kinds_have_the_same_columns(
    cli: Cli, digits_run: Path, make_model: MakeModel, faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MDDAE_DATA", str(faces))
    words = ("--csv", "--measures", "svm,swaps", "--max-images", "5", "--runs", "1")
    result = cli("evaluate", make_model(), digits_run, *words)
    assert result.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["class"] for row in rows[-10:]] == list("0123456789")
    assert rows[0]["attribute"] == "Bald"
    assert not any(None in row for row in rows)


def test_without_edits_there_are_no_rows_and_that_is_said(cli: Cli, digits_run: Path) -> None:
    result = cli("evaluate", digits_run, "--csv", "--measures", "reconstruction")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "there are no rows" in result.stderr


@pytest.mark.usefixtures("no_judge")
def test_a_second_value_takes_machines_and_codes_from_the_cache(
    cli: Cli, make_model: MakeModel, faces: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    words = ("--data-dir", faces, "--attr", "Smiling", "--probe", "linear", "--json")
    words += ("--measures", "svm,leak,dependence,reconstruction")
    first = json.loads(cli("evaluate", model, *words, "--values", "1").stdout)
    for place in (
        "svm._fit",
        "codes.codes_of",
        "scorecard.probe_leak",
        "scorecard.dependence_scores",
        "scorecard.reconstruct_metrics",
    ):
        monkeypatch.setattr(f"mddae_cli.evaluation.{place}", pytest.fail)
    again = cli("evaluate", model, *words, "--values", "1,2")
    assert again.exit_code == 0
    second = json.loads(again.stdout)
    old, new = first["models"][0], second["models"][0]
    assert new["svm"][: len(old["svm"])] == old["svm"]
    for figure in ("leaks", "dependence", "reconstruction", "targets"):
        assert new[figure] == old[figure]
    other = cli("evaluate", make_model(seed=4), *words, "--values", "1")
    assert other.exit_code == 1  # another model has codes of its own


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_a_plot_is_drawn_the_same_again(
    cli: Cli, make_model: MakeModel, faces: Path, suffix: str
) -> None:
    words = ("--data-dir", faces, "--attr", "Smiling", "--values", "0,1", "--measures", "svm")
    models = make_model(seed=1), make_model(seed=2)
    result = cli("evaluate", *models, *words, "--plot", f"a.{suffix}", "--runs", "2")
    assert (result.exit_code, "wrote a." + suffix in result.stderr) == (0, True)
    cli("evaluate", *models, *words, "--plot", f"b.{suffix}", "--runs", "2")
    drawn = Path(f"a.{suffix}").read_bytes()
    assert drawn == Path(f"b.{suffix}").read_bytes()
    assert drawn.startswith({"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix])
    if suffix == "svg":
        assert drawn.count(b'id="PolyCollection') + drawn.count(b'id="FillBetween') == 2


def test_where_nothing_is_edited_no_plot_is_left(
    cli: Cli, make_model: MakeModel, faces: Path
) -> None:
    words = ("--data-dir", faces, "--measures", "reconstruction", "--plot", "a.png")
    result = cli("evaluate", make_model(), *words)
    assert (result.exit_code, "nothing was edited" in result.stderr) == (0, True)
    assert not Path("a.png").exists()


def test_the_page_needs_nothing_beside_it(cli: Cli, make_model: MakeModel, faces: Path) -> None:
    words = ("--data-dir", faces, "--attr", "Smiling", "--values", "0,1", "--judge-floor", "0")
    words += ("--probe", "linear", "--html", "a.html", "--quiet")
    models = make_model(seed=1), make_model(seed=2)
    result = cli("evaluate", *models, *words)
    assert result.exit_code == 0
    page = Path("a.html").read_text(encoding="utf-8")
    # Error curves, and the collateral of two models at two values.
    assert page.count('src="data:image/svg+xml;base64,') == page.count("<img ") == 5
    assert page.count('<div class="card">') == 2
    assert "http" not in page.replace("http-equiv", "")
    assert "<td>Smiling</td>" in page
    assert all(str(model) in page for model in models)
    assert "Identity" not in page


def test_the_page_of_digits_shows_its_matrix(cli: Cli, digits_run: Path) -> None:
    result = cli("evaluate", digits_run, "--html", "a.html", "--probe", "linear")
    assert result.exit_code == 0
    page = Path("a.html").read_text(encoding="utf-8")
    assert page.count("<img ") == 1
    assert "Swaps of" in page
    assert "Style kept" in page


def test_a_name_with_markup_is_text_on_the_page(cli: Cli, digits_run: Path, tmp_path: Path) -> None:
    odd = tmp_path / "<b>&.safetensors"
    odd.write_bytes((digits_run / "model.safetensors").read_bytes())
    words = ("--measures", "reconstruction", "--html", "a.html")
    assert cli("evaluate", odd, *words).exit_code == 0
    page = Path("a.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;&amp;.safetensors" in page
    assert "<b>" not in page


def test_people_are_read_from_beside_the_faces_or_asked_for(
    cli: Cli, make_model: MakeModel, make_celeba: Callable[..., Path], cache: Path, faces: Path
) -> None:
    words = ("--data-dir", faces, "--attr", "Bald", "--values", "1", "--measures", "identity")
    model = make_model()
    result = cli("evaluate", model, *words, "--json")
    assert "put CelebA's identity_CelebA.txt beside list_attr_celeba.txt" in result.stderr
    names = sorted(path.name for path in (faces / "img_align_celeba").iterdir())
    # Two pictures of each, wherever the random parts put them.
    text = "\n".join(f"{name} {i % 20}" for i, name in enumerate(names))
    (faces / "identity_CelebA.txt").write_text(text, encoding="utf-8")
    result = cli("evaluate", model, *words, "--json")
    assert result.exit_code == 0
    assert "identity is left out" not in result.stderr


def test_models_may_be_named_by_an_option_too(cli: Cli, digits_run: Path) -> None:
    words = ("--measures", "reconstruction", "--json", "--model", digits_run)
    told = json.loads(cli("evaluate", digits_run, *words).stdout)
    assert [card["model"] for card in told["models"]] == [str(digits_run)] * 2


def test_a_judge_below_the_floor_is_not_used_and_that_is_said(
    cli: Cli, make_model: MakeModel, faces: Path
) -> None:
    words = ("--data-dir", faces, "--attr", "Smiling", "--values", "1", "--judge-floor", "1")
    result = cli("evaluate", make_model(), *words, "--measures", "edits,control")
    assert result.exit_code == 0
    assert "Not left to the judge" in result.stdout
    assert "Smiling (" in result.stdout
    assert "attribute" not in tables(result.stdout)


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
