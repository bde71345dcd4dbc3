"""Edits and swaps of models whose effect on the picture is known."""

from __future__ import annotations

import numpy as np
import pytest

from mddae_cli.config import TargetKind
from mddae_cli.errors import UnknownNameError, UsageError
from mddae_cli.evaluation import EditScores, best_edit, edit_success, swap_success
from mddae_cli.evaluation.edit_success import count_reached

ATTRIBUTES, CLASSES = TargetKind.ATTRIBUTES, TargetKind.CLASSES
NAMES = ("Hat", "Smile", "Beard", "Scarf")
ALL = (0, 1, 2, 3)


def by_value(scores: tuple[EditScores, ...], name: str) -> dict[float | None, EditScores]:
    return {s.value: s for s in scores if s.name == name}


def test_a_model_that_paints_the_attribute_succeeds_everywhere_without_collateral(
    pixel_model, pixel_judge, pictures, attributes
):
    model, judge = pixel_model(ATTRIBUTES, paints=ALL), pixel_judge(ATTRIBUTES)
    scores = edit_success(model, judge, pictures(attributes), attributes, [1.0, 1.7])
    for name in NAMES:
        edits = by_value(scores, name)
        assert edits[None].seen == 0.0
        for value in (1.0, 1.7):
            assert edits[value].seen == 1.0
            assert edits[value].collateral == 0.0
            assert edits[value].logit_change == pytest.approx(0.0, abs=1e-4)


def test_a_model_that_ignores_the_target_stays_at_its_base_line(
    pixel_model, pixel_judge, pictures, attributes
):
    shown = attributes.copy()
    lacking = np.flatnonzero(attributes[:, 1] == 0)
    shown[lacking[: len(lacking) // 4], 1] = 1  # the label says no, the picture says yes
    model, judge = pixel_model(ATTRIBUTES), pixel_judge(ATTRIBUTES)
    scores = edit_success(model, judge, pictures(shown), attributes, [1.0, 4.0], names=["Smile"])
    expected = (len(lacking) // 4) / len(lacking)
    assert [s.value for s in scores] == [None, 1.0, 4.0]
    assert [s.seen for s in scores] == pytest.approx([expected] * 3)
    assert [s.collateral for s in scores] == [0.0] * 3


def test_only_pictures_without_the_attribute_are_edited(
    pixel_model, pixel_judge, pictures, attributes
):
    model, judge = pixel_model(ATTRIBUTES, paints=ALL), pixel_judge(ATTRIBUTES)
    scores = edit_success(model, judge, pictures(attributes), attributes, [1.0])
    for k, name in enumerate(NAMES):
        assert by_value(scores, name)[1.0].num_images == (attributes[:, k] == 0).sum()


def test_what_an_edit_drags_along_counts_as_collateral(
    pixel_model, pixel_judge, pictures, attributes
):
    model = pixel_model(ATTRIBUTES, paints=(0, 1, 2), drags=True)  # Scarf goes with Hat
    judge = pixel_judge(ATTRIBUTES)
    scores = by_value(edit_success(model, judge, pictures(attributes), attributes, [1.0]), "Hat")
    # Without a hat the plain reconstruction has no scarf, with one it has: one label of three.
    assert scores[1.0].collateral == pytest.approx(1 / 3)
    assert scores[1.0].logit_change == pytest.approx(100 / 3, rel=1e-4)
    assert scores[None].collateral == 0.0


def test_a_value_counts_once_the_judge_sees_it(pixel_model, pixel_judge, pictures, attributes):
    model, judge = pixel_model(ATTRIBUTES, paints=ALL), pixel_judge(ATTRIBUTES)
    scores = edit_success(model, judge, pictures(attributes), attributes, [0.4, 0.6])
    edits = by_value(scores, "Beard")
    assert (edits[0.4].seen, edits[0.6].seen) == (0.0, 1.0)


def test_the_judges_own_accuracies_stand_beside_each_figure(
    pixel_model, pixel_judge, pictures, attributes
):
    shown = attributes.copy()
    shown[:50, 2] ^= 1
    model, judge = pixel_model(ATTRIBUTES), pixel_judge(ATTRIBUTES)
    scores = edit_success(model, judge, pictures(shown), attributes, [1.0], names=["Beard"])
    assert {s.judge_accuracy for s in scores} == {0.7}
    assert {s.judge_accuracy_reconstructed for s in scores} == {0.75}


def test_edit_figures_do_not_depend_on_the_batch_size(
    pixel_model, pixel_judge, pictures, attributes
):
    model = pixel_model(ATTRIBUTES, paints=(0, 2), drags=True)
    judge, images = pixel_judge(ATTRIBUTES), pictures(attributes)
    some = edit_success(model, judge, images, attributes, [0.5, 2.0], batch_size=7)
    assert some == edit_success(model, judge, images, attributes, [0.5, 2.0], batch_size=200)


def test_a_cap_draws_the_same_pictures_for_the_same_seed(
    pixel_model, pixel_judge, pictures, attributes
):
    shown = np.random.default_rng(5).integers(0, 2, attributes.shape).astype(np.uint8)
    model, judge, images = pixel_model(ATTRIBUTES), pixel_judge(ATTRIBUTES), pictures(shown)

    def capped(seed: int) -> tuple[EditScores, ...]:
        return edit_success(model, judge, images, attributes, [1.0], max_images=30, seed=seed)

    assert {s.num_images for s in capped(0)} == {30}
    assert capped(0) == capped(0)
    assert capped(0) != capped(1)


def test_an_attribute_that_every_picture_has_is_left_out(
    pixel_model, pixel_judge, pictures, attributes
):
    attributes[:, 1] = 1
    model, judge = pixel_model(ATTRIBUTES, paints=ALL), pixel_judge(ATTRIBUTES)
    scores = edit_success(model, judge, pictures(attributes), attributes, [1.0])
    assert [s.name for s in scores if s.value is None] == ["Hat", "Beard", "Scarf"]


def test_names_are_forgiven_and_unknown_ones_refused(
    pixel_model, pixel_judge, pictures, attributes
):
    model, judge = pixel_model(ATTRIBUTES, paints=ALL), pixel_judge(ATTRIBUTES)
    scores = edit_success(model, judge, pictures(attributes), attributes, [1.0], names=["smile"])
    assert {s.name for s in scores} == {"Smile"}
    with pytest.raises(UnknownNameError, match="Smile"):
        edit_success(model, judge, pictures(attributes), attributes, [1.0], names=["Smiel"])


@pytest.mark.parametrize("measure", ["edit", "swap"])
def test_a_model_of_the_other_kind_is_refused(
    pixel_model, pixel_judge, pictures, attributes, measure
):
    kind = CLASSES if measure == "edit" else ATTRIBUTES
    model, judge, images = pixel_model(kind), pixel_judge(kind), pictures(attributes)
    with pytest.raises(UsageError, match="attributes" if measure == "edit" else "classes"):
        if measure == "edit":
            edit_success(model, judge, images, attributes, [1.0])
        else:
            swap_success(model, judge, images, attributes)


def test_best_edit_keeps_both_limits(attributes):
    base = EditScores("Hat", None, 9, 0.99, 0.0, 0.0, 1.0, 1.0)
    rows = [(1.0, 0.5, 0.01), (2.0, 0.8, 0.04), (2.5, 0.9, 0.06), (4.0, 1.0, 0.04)]
    scores = [base, *(EditScores("Hat", v, 9, s, c, 0.0, 1.0, 1.0) for v, s, c in rows)]
    best = best_edit(scores, "Hat", max_value=2.5, max_collateral=0.05)
    assert best is not None
    assert best.value == 2.0
    assert best_edit(scores, "Smile", max_value=9, max_collateral=1) is None


def test_attributes_count_as_reached_where_seen_often_enough_within_both_limits():
    rows = [("Hat", 1.0, 0.7, 0.02), ("Smile", 1.0, 0.69, 0.02), ("Beard", 3.0, 0.9, 0.02)]
    rows += [("Scarf", 1.0, 0.9, 0.09), ("Scarf", 2.0, 0.8, 0.08)]
    scores = [EditScores(n, v, 9, s, c, 0.0, 1.0, 1.0) for n, v, s, c in rows]
    assert count_reached(scores, seen=0.7, max_value=2.0, max_collateral=0.08) == 2
    assert count_reached(scores, seen=0.7, max_value=3.0, max_collateral=0.09) == 3


def test_a_cap_on_swaps_draws_the_same_pictures_for_the_same_seed(
    pixel_model, pixel_judge, pictures, classes
):
    shown = np.roll(classes, 1, axis=0)
    model, judge = pixel_model(CLASSES, paints=(1, 2)), pixel_judge(CLASSES)

    def swaps(seed: int) -> object:
        return swap_success(model, judge, pictures(shown), classes, max_images=30, seed=seed)

    assert swaps(1).num_images == 30
    assert swaps(1) == swaps(1) != swaps(2)


def test_a_painted_class_is_seen_in_every_swap(pixel_model, pixel_judge, pictures, classes):
    scores = swap_success(
        pixel_model(CLASSES, paints=ALL), pixel_judge(CLASSES), pictures(classes), classes
    )
    assert scores.success == scores.worst == scores.y_accuracy == 1.0
    assert scores.judge_accuracy_reconstructed == 1.0
    assert scores.matrix == ((1.0,) * 4,) * 4
    assert scores.num_images == 200


def test_swaps_of_a_model_that_ignores_the_target_fail(pixel_model, pixel_judge, pictures, classes):
    scores = swap_success(pixel_model(CLASSES), pixel_judge(CLASSES), pictures(classes), classes)
    assert scores.success == 0.0
    assert scores.per_wanted == (0.0,) * 4
    assert [row[i] for i, row in enumerate(scores.matrix)] == [1.0] * 4  # plain reconstructions


def test_the_class_that_cannot_be_drawn_is_named_as_the_worst(
    pixel_model, pixel_judge, pictures, classes
):
    model = pixel_model(CLASSES, paints=(0, 1, 3))
    scores = swap_success(model, pixel_judge(CLASSES), pictures(classes), classes)
    assert scores.worst_name == "Beard"
    assert scores.worst == 0.0
    assert scores.per_wanted[2] == 0.0
    # A beard that is not painted away stays as strong as what is painted: the judge takes the
    # first of equals, so Hat and Smile win against it and Scarf does not.
    beards = scores.matrix[2]
    assert (beards[0], beards[1], beards[3]) == (1.0, 1.0, 0.0)


def test_a_picture_misread_by_the_encoder_still_counts(pixel_model, pixel_judge, pictures, classes):
    shown = classes.copy()
    shown[:40] = np.roll(shown[:40], 1, axis=1)  # ŷ says the next class
    model, judge = pixel_model(CLASSES, paints=ALL), pixel_judge(CLASSES)
    scores = swap_success(model, judge, pictures(shown), classes)
    assert scores.y_accuracy == pytest.approx(0.8)
    assert scores.success == 1.0
    assert scores.judge_accuracy_reconstructed == pytest.approx(0.8)


def test_swap_figures_do_not_depend_on_the_batch_size_nor_on_missing_classes(
    pixel_model, pixel_judge, pictures, classes
):
    few = classes[classes[:, 0] == 0]
    model, judge = pixel_model(CLASSES, paints=(0, 1, 3)), pixel_judge(CLASSES)
    scores = swap_success(model, judge, pictures(few), few, batch_size=11)
    assert scores == swap_success(model, judge, pictures(few), few)
    assert scores.matrix[0] == (None,) * 4


def test_read_only_pictures_and_labels_are_taken(pixel_model, pixel_judge, pictures, attributes):
    images, judge = pictures(attributes), pixel_judge(ATTRIBUTES)
    expected = edit_success(pixel_model(ATTRIBUTES), judge, images, attributes, [1.0])
    images.setflags(write=False)
    attributes.setflags(write=False)
    assert edit_success(pixel_model(ATTRIBUTES), judge, images, attributes, [1.0]) == expected
