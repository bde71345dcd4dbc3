"""What the figures of score cards mean, in lines for under the tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from mddae_cli.config import Sight

if TYPE_CHECKING:
    from mddae_cli.evaluation import ScoreCard


def notes(
    named: Sequence[tuple[str, ScoreCard]], goals: Iterable[dict[str, float]]
) -> Iterator[str]:
    """Yield the lines; equal ones may come again.

    Args:
        named: The cards with their models' names.
        goals: Those that the summary counts.
    """
    cards = [card for _, card in named]
    for card in cards:
        if card.reconstruction is not None:
            yield from card.reconstruction.conventions
    yield "The first table shows means; --json holds deviations and the figures of every name."
    for card in cards:
        yield from _card_lines(card)
    for goal in goals:
        yield (
            f"≥{100 * goal['seen']:.0f}% at ≤{goal['max_value']:g}: attributes seen in at "
            f"least so many pictures at some value up to {goal['max_value']:g} with a "
            f"collateral of at most {100 * goal['max_collateral']:g} %, of those edited."
        )
    for name, card in named:
        yield from _judge_lines(name, card)
        yield from _verifier_lines(card)


def _card_lines(card: ScoreCard) -> Iterator[str]:
    if card.leaks:
        classes = card.leaks[0].measure == "accuracy"
        measure = "the share of right classes" if classes else "the mean AUROC over attributes"
        yield (
            f"Leak: {measure} that a fresh probe, fitted on z of the train part, reaches on z of "
            "these pictures; in brackets what knowing nothing reaches, and the same probe fitted "
            "to shuffled labels. What it does not find a stronger one may."
        )
    if any(leak.refitted for leak in card.leaks):
        yield (
            "The erasure of z was fitted again for the probes: to a half of the train part, while "
            "they learn from the other half. From the pictures that it is fitted to it takes more "
            "than from others."
        )
    if card.dependence is not None:
        yield (
            f"dCor²: squared distance correlation of ŷ and z without the bias of small samples, on "
            f"{card.dependence.num_rows} pictures; p of {card.dependence.num_permutations} "
            "permutations. A large p does not show that z is clean: probe it."
        )
    for figure, lines in _LINES.items():
        if getattr(card, figure):
            yield from lines


_LINES: dict[str, tuple[str, ...]] = {
    "svm": (
        "SVM error: share of the pictures without the attribute that linear SVMs on real training "
        "faces do not see as having it, mean ± deviation over runs; each run learns from so many "
        "faces with it and as many without, drawn anew. Own: its error on real faces / on plain "
        "reconstructions (mean of misses and false alarms) / real faces with it that it misses.",
    ),
    "edits": (
        "Edits: seen % / collateral % at each value (0 without, 1 with, more is extrapolation; "
        "with --raw of ŷ itself), on pictures whose label lacks the attribute. Seen: the judge "
        "sees it; reconstruction: so without an edit. Collateral: the judge's other labels that "
        "differ from the reconstruction's.",
        "Judge in a row: how many % of its labels of that attribute are right, on real test "
        "pictures / on the model's reconstructions.",
    ),
    "exchange": (
        "Acc, Err: edited ones of AttGAN's thirteen attributes turned over in all pictures, set to "
        "the value or, where they are there, to 1 minus it; Acc: the judge sees the opposite of "
        "the label; Err: labels of the other twelve that differ from the reconstruction's.",
    ),
    "control": (
        "Controllability: rank correlation between value and the judge's logit in each picture, "
        "mean; monotone: it never falls; 10 % and 90 %: the value at which success reaches them, "
        "between the values tried; falls by: success lost again from the best value to the last.",
    ),
    "swaps": (
        "Swaps: share of all pictures of the other classes in which the judge sees the wanted "
        "class once two entries of ŷ are exchanged; worst: the wanted class with the least. "
        "On the diagonal of a matrix: plain reconstructions.",
    ),
    "style": (
        "Style: correlation of slant, thickness and width between the picture and its swaps, "
        "within own and wanted class / between the picture and its plain reconstruction.",
    ),
}


def _judge_lines(name: str, card: ScoreCard) -> Iterator[str]:
    if card.judge_accuracy is not None and card.judge_accuracy_reconstructed is not None:
        sight = (card.judge or Sight.SHARP).capitalize()
        yield (
            f"{sight} judge, trained on real pictures only: accuracy {card.judge_accuracy:.4f} on "
            f"real test pictures, {card.judge_accuracy_reconstructed:.4f} on reconstructions by "
            f"{name}."
        )
    if card.trust is not None and card.trust.refused:
        refused = [f"{name} ({_share(share)})" for name, share in card.trust.refused.items()]
        yield (
            f"Not left to the judge, whose balanced accuracy on real pictures is below "
            f"{card.trust.floor:g} there: {', '.join(refused)}."
        )


def _share(value: Any) -> str:
    return "not both labels" if value is None else f"{value:.2f}"


def _verifier_lines(card: ScoreCard) -> Iterator[str]:
    v = card.verifier
    if v is not None:
        yield (
            f"Same person: share of the person's other photographs that the edited face still "
            f"matches. The verifier on real photographs of {v.num_people} people it has not "
            f"learnt from: AUROC {v.auroc:.3f}; at its threshold {100 * v.matches_same:.0f} % of "
            f"the pairs of one person match and {100 * v.matches_other:.0f} % of the pairs of two "
            f"(cosine {v.same:.2f} ± {v.same_std:.2f} and {v.other:.2f} ± {v.other_std:.2f})."
        )
