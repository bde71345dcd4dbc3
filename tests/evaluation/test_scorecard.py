"""The joined figures of models that are known."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from mddae_cli.config import ModelKind, TargetKind
from mddae_cli.editing import Model
from mddae_cli.errors import UsageError
from mddae_cli.evaluation import Measure, Probe, ScoreCard, score_card
from mddae_cli.evaluation.scorecard import target_scores

ATTRIBUTES, CLASSES = TargetKind.ATTRIBUTES, TargetKind.CLASSES
ALL = (0, 1, 2, 3)


def test_a_card_of_attributes_joins_every_measure(
    pixel_model, pixel_judge, pixel_table, attributes
):
    model, table = pixel_model(ATTRIBUTES, paints=ALL), pixel_table(attributes, ATTRIBUTES)
    card = score_card(
        model, table, pixel_judge(ATTRIBUTES), values=[1.0, 2.0], leak_probes=["linear", "mlp"]
    )
    assert card.reconstruction.num_images == 40
    assert card.targets.accuracy == card.targets.balanced_accuracy == 1.0
    assert [leak.probe for leak in card.leaks] == [Probe.LINEAR, Probe.MLP]
    assert card.leaks[0].mean == pytest.approx(1.0)  # z holds every pixel
    assert {s.seen for s in card.edits if s.value} == {1.0}
    assert card.swaps is None
    assert card.judge_accuracy == 0.75


def test_a_card_of_classes_swaps_instead(pixel_model, pixel_judge, pixel_table, classes):
    model, table = pixel_model(CLASSES, paints=ALL), pixel_table(classes, CLASSES)
    card = score_card(model, table, pixel_judge(CLASSES), "val", leak_probes=[])
    assert card.edits == card.leaks == ()
    assert card.swaps is not None
    assert card.swaps.success == 1.0
    assert card.reconstruction.part == "val"


@pytest.mark.parametrize("kind", [ATTRIBUTES, CLASSES])
def test_a_card_becomes_strict_json_with_stable_keys(
    pixel_model, pixel_judge, pixel_table, attributes, classes, kind
):
    labels = attributes if kind is ATTRIBUTES else classes
    model = pixel_model(kind, paints=(0, 1), error=0.01)
    card = score_card(model, pixel_table(labels, kind), pixel_judge(kind), values=[1.0])
    read = json.loads(json.dumps(card.to_dict(), allow_nan=False))
    assert list(read) == [
        "dataset", "part", "num_images", "names", "reconstruction", "targets", "leaks",
        "dependence", "svm", "edits", "control", "exchange", "verifier", "identity", "trust",
        "swaps", "style", "judge", "judge_accuracy", "judge_accuracy_reconstructed",
    ]  # fmt: skip
    assert read["leaks"][0]["probe"] == "linear"


def test_the_same_seed_gives_the_same_card_whatever_the_batch_size(
    pixel_model, pixel_judge, pixel_table, attributes
):
    shown = np.random.default_rng(5).integers(0, 2, attributes.shape).astype(np.uint8)
    table = pixel_table(shown, ATTRIBUTES)
    model, judge = pixel_model(ATTRIBUTES, paints=(1, 2), error=0.02), pixel_judge(ATTRIBUTES)

    def card(batch_size: int) -> ScoreCard:
        return score_card(
            model,
            table,
            judge,
            values=[0.4, 2.0],
            leak_probes=list(Probe),
            max_images=10,
            batch_size=batch_size,
        )

    first, again, other = card(9), card(9), card(40)
    assert first == again
    figures = [dataclasses.astuple(c.reconstruction)[4:-1] for c in (first, other)]
    # Sums of float32 in another order.
    assert figures[0] == pytest.approx(figures[1], rel=1e-5, abs=1e-7)
    assert dataclasses.replace(first, reconstruction=other.reconstruction) == other


def test_a_table_of_other_names_is_refused(pixel_model, pixel_judge, pixel_table, attributes):
    table = pixel_table(attributes, ATTRIBUTES)
    object.__setattr__(table, "names", ("a", "b", "c", "d"))
    with pytest.raises(UsageError, match="different names"):
        score_card(pixel_model(ATTRIBUTES), table, pixel_judge(ATTRIBUTES))


def plain(model: Model) -> Model:
    """Return the model as one that says of itself to be a plain auto-encoder."""
    spec = dataclasses.replace(model.header.model, kind=ModelKind.AE)
    return dataclasses.replace(model, header=dataclasses.replace(model.header, model=spec))


@pytest.mark.parametrize("kind", [ATTRIBUTES, CLASSES])
def test_a_plain_auto_encoder_has_reconstruction_and_leak_alone(
    pixel_model, pixel_judge, pixel_table, attributes, classes, kind
):
    table = pixel_table(attributes if kind is ATTRIBUTES else classes, kind)
    card = score_card(plain(pixel_model(kind)), table, pixel_judge(kind))
    assert card.reconstruction.num_images == 40
    assert card.leaks[0].mean == pytest.approx(1.0)
    assert (card.targets, card.edits, card.swaps) == (None, (), None)
    assert (card.judge_accuracy, card.judge_accuracy_reconstructed) == (None, None)


def test_without_a_judge_nothing_is_edited(pixel_model, pixel_table, attributes):
    card = score_card(pixel_model(ATTRIBUTES), pixel_table(attributes, ATTRIBUTES), None)
    assert card.targets is not None
    assert (card.edits, card.judge_accuracy) == ((), None)


def test_a_card_holds_the_paper_s_protocol_beside_the_judge(
    pixel_model, pixel_judge, pixel_table, attributes
):
    model, table = pixel_model(ATTRIBUTES, paints=ALL), pixel_table(attributes, ATTRIBUTES)
    how = {"values": [0.0, 1.0], "names": ["smile"], "runs": 2, "leak_probes": []}
    card = score_card(model, table, pixel_judge(ATTRIBUTES), **how)
    assert [(s.name, s.value) for s in card.svm] == [("Smile", v) for v in (None, 0.0, 1.0)]
    assert len(card.svm[0].errors) == 2
    assert card.svm[2].error_mean < card.svm[1].error_mean
    (control,) = card.control
    assert (control.rank_correlation, control.monotone) == (1.0, 1.0)
    assert [c.value for c in card.collateral] == [0.0, 1.0]
    assert card.exchange == ()  # none of the thirteen is among these names
    assert card.dependence.num_rows == 40


def test_only_what_is_asked_for_is_measured(pixel_model, pixel_judge, pixel_table, attributes):
    table, judge = pixel_table(attributes, ATTRIBUTES), pixel_judge(ATTRIBUTES)
    empty = ScoreCard("pixels", "test", 40, table.names)
    for measure in Measure:
        card = score_card(pixel_model(ATTRIBUTES), table, judge, values=[1, 2], measures=[measure])
        filled = {
            f.name
            for f in dataclasses.fields(card)
            if getattr(card, f.name) != getattr(empty, f.name)
        }
        field = {"leak": "leaks"}.get(measure, measure)
        fits = measure not in ("exchange", "identity", "swaps", "style")
        assert filled - {"trust", "judge", "judge_accuracy", "judge_accuracy_reconstructed"} == (
            {"targets", field} if fits else {"targets"}
        )


def test_where_the_judge_errs_it_is_not_asked(pixel_model, pixel_judge, pixel_table, attributes):
    table = pixel_table(attributes, ATTRIBUTES)
    wrong = attributes.copy()
    wrong[:, 1] ^= 1  # in real pictures the judge sees the opposite of this label
    object.__setattr__(table, "labels", wrong)
    model, how = pixel_model(ATTRIBUTES, paints=ALL), {"values": [1.0], "leak_probes": []}
    card = score_card(model, table, pixel_judge(ATTRIBUTES), **how)
    assert card.trust.refused == {"Smile": 0.0}
    assert {e.name for e in card.edits} == {"Hat", "Beard", "Scarf"}
    assert {s.name for s in card.svm} == set(table.names)
    assert all(e.changed[1] is None for e in card.edits)
    all_in = score_card(model, table, pixel_judge(ATTRIBUTES), judge_floor=0.0, **how)
    assert len({e.name for e in all_in.edits}) == 4


def test_a_selection_with_one_label_still_has_a_judge(
    pixel_model, pixel_judge, pixel_table, attributes
):
    whole = pixel_table(attributes, ATTRIBUTES)
    some, rows = whole.narrowed("test", {"Hat": 0}), whole.splits["test"]
    how = {"values": [1.0], "names": ["Hat"], "measures": ["edits"]}
    model, judge = pixel_model(ATTRIBUTES, paints=ALL), pixel_judge(ATTRIBUTES)
    assert score_card(model, some, judge, **how).edits == ()
    _, edit = score_card(model, some, judge, judge_rows=rows, **how).edits
    assert (edit.seen, edit.num_images) == (1.0, len(some.splits["test"]))


def test_classes_have_style_where_pictures_are_grey(pixel_model, pixel_judge, pixel_table, classes):
    table = pixel_table(classes, CLASSES)
    card = score_card(pixel_model(CLASSES, paints=ALL), table, None, leak_probes=[])
    assert card.style.reconstructed == pytest.approx((1.0, 1.0, 1.0), abs=0.01)
    assert (card.swaps, card.svm) == (None, ())


def test_the_judge_is_held_against_the_reconstructions_too(
    pixel_model, pixel_judge, pixel_table, attributes
):
    shown = attributes.copy()
    shown[:, 0] ^= 1
    table = pixel_table(shown, ATTRIBUTES)
    object.__setattr__(table, "labels", attributes)  # one label of four is wrong everywhere
    card = score_card(pixel_model(ATTRIBUTES), table, pixel_judge(ATTRIBUTES), values=[])
    assert card.judge_accuracy_reconstructed == pytest.approx(0.75)


def test_the_progress_of_probes_and_edits_is_reported(
    pixel_model, pixel_judge, pixel_table, attributes, recorder, cache
):
    table = pixel_table(attributes, ATTRIBUTES)
    options = {"values": [1.0], "leak_probes": list(Probe), "max_images": 3, "reporter": recorder}
    score_card(pixel_model(ATTRIBUTES), table, pixel_judge(ATTRIBUTES), **options)
    assert recorder.jobs == [
        ("reconstruct", 40, "image"), ("leak", 3, "probe"), ("dependence", None, "row"),
        ("SVMs", 20, "fit"), ("edits", 12, "image"),
    ]  # fmt: skip
    assert (recorder.steps, recorder.ended) == (75, 5)


def test_balanced_accuracy_is_not_flattered_by_a_rare_attribute():
    labels = np.zeros((100, 2), np.uint8)
    labels[:10, 0] = 1
    labels[:, 1] = 1  # always there: its specificity is not defined
    y_hat = torch.zeros(100, 2)
    y_hat[:5, 0] = 0.9
    scores = target_scores(y_hat, labels, ATTRIBUTES)
    assert scores.per_name == pytest.approx((0.95, 0.0))
    assert scores.accuracy == pytest.approx(0.475)
    assert scores.balanced_accuracy == pytest.approx(0.75)


def test_accuracy_of_classes_counts_pictures_and_the_balanced_one_classes():
    labels = np.eye(3, dtype=np.uint8)[[0, 0, 0, 1]]
    y_hat = torch.tensor([[0.9, 0.1, 0.0]] * 4)
    scores = target_scores(y_hat, labels, CLASSES)
    assert scores.accuracy == 0.75
    assert scores.per_name == (1.0, 0.0, 0.0)
    assert scores.balanced_accuracy == 0.5
