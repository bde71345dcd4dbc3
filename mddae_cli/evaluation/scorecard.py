"""The score card: everything that is measured of one model, joined.

Axes: N pictures, K names, D latent size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from mddae_cli.config import ModelKind, Sight, TargetKind
from mddae_cli.data.table import Indexes, Table
from mddae_cli.editing import Model
from mddae_cli.errors import UsageError, resolve_name
from mddae_cli.evaluation.attributes import AttributeScores, attribute_scores
from mddae_cli.evaluation.codes import codes_path, judged, load_or_encode, take
from mddae_cli.evaluation.collateral import CollateralScores, collateral_scores
from mddae_cli.evaluation.content import kept_figures
from mddae_cli.evaluation.control import ControlScores
from mddae_cli.evaluation.dependence import DependenceScores, dependence_scores
from mddae_cli.evaluation.edit_success import EditScores, check_judge
from mddae_cli.evaluation.exchange import ExchangeScores
from mddae_cli.evaluation.features import Features
from mddae_cli.evaluation.identity import IdentityScores, VerifierScores
from mddae_cli.evaluation.judge import Judge, label_accuracy
from mddae_cli.evaluation.probes import LeakScores, Probe, probe_leak, shuffled_leak
from mddae_cli.evaluation.readable import Readable, readable
from mddae_cli.evaluation.reconstruction import (
    ReconstructionScores,
    check_part,
    reconstruct_metrics,
)
from mddae_cli.evaluation.style import StyleScores, style_of, style_scores
from mddae_cli.evaluation.subject import JUDGED, Measure, Subject
from mddae_cli.evaluation.svm import SvmScores
from mddae_cli.evaluation.swaps import SwapScores, swap_all, swap_scores
from mddae_cli.evaluation.sweeps import View
from mddae_cli.evaluation.trust import JUDGE_FLOOR, Trust
from mddae_cli.header import Header
from mddae_cli.images import Pixels
from mddae_cli.reporting import Reporter, Silent
from mddae_cli.runtime import derive_seed, some_rows

# Raised whenever the figures that the cache keeps would be others.
FIGURES_VERSION = 1
MAX_PROBE_ROWS = 50_000
DEFAULT_VALUES = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0)


@dataclass(frozen=True)
class TargetScores:
    """How well ŷ gives back the labels.

    ``accuracy`` is the mean over attributes or the share of right classes; ``balanced`` the mean
    of sensitivity and specificity over attributes, or of the recall over classes; names whose
    pictures do not define it are left out.
    """

    accuracy: float
    balanced_accuracy: float
    per_name: tuple[float, ...]


@dataclass(frozen=True)
class ScoreCard:
    """One model's figures; those that were not asked for, or do not fit the model, are empty.

    Attributes of a face model have ``svm`` to ``trust``, classes have ``swaps`` and ``style``; a
    plain auto-encoder has reconstruction and leak alone. ``judge`` is what the judge has learnt
    from, ``judge_accuracy`` its own on all real test pictures, ``judge_accuracy_reconstructed``
    on the reconstructions of all pictures measured; all are None where no judge looked.
    """

    dataset: str
    part: str
    num_images: int
    names: tuple[str, ...]
    reconstruction: ReconstructionScores | None = None
    targets: TargetScores | None = None
    leaks: tuple[LeakScores, ...] = ()
    dependence: DependenceScores | None = None
    svm: tuple[SvmScores, ...] = ()
    edits: tuple[EditScores, ...] = ()
    control: tuple[ControlScores, ...] = ()
    exchange: tuple[ExchangeScores, ...] = ()
    verifier: VerifierScores | None = None
    identity: tuple[IdentityScores, ...] = ()
    trust: Trust | None = None
    swaps: SwapScores | None = None
    style: StyleScores | None = None
    judge: Sight | None = None
    judge_accuracy: float | None = None
    judge_accuracy_reconstructed: float | None = None

    @property
    def collateral(self) -> tuple[CollateralScores, ...]:
        """What each edit does to every other label, a matrix for each value."""
        return collateral_scores(self.edits, self.names)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        return dataclasses.asdict(self)


def score_card(
    model: Model,
    table: Table,
    judge: Judge | None,
    part: str = "test",
    *,
    values: Sequence[float] = DEFAULT_VALUES,
    names: Iterable[str] | None = None,
    measures: Collection[Measure | str] = tuple(Measure),
    leak_probes: Sequence[Probe | str] = (Probe.LINEAR,),
    runs: int = 5,
    features: Features | str = Features.PIXELS,
    people: Indexes | None = None,
    judge_floor: float = JUDGE_FLOOR,
    judge_rows: Indexes | None = None,
    max_images: int | None = None,
    batch_size: int = 250,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> ScoreCard:
    """Return the measures of a model on a part of a data set.

    Args:
        model: The model.
        table: The data set that it was trained on; probes, SVMs and verifier learn from its
            train part.
        judge: An independent judge of the same names; None leaves out what needs one.
        part: What is measured on: ``test`` or ``val``.
        values: What attributes are set to; classes are swapped instead.
        names: Which attributes are edited; all if None.
        measures: What is measured; what the model or the table does not have is left out.
        leak_probes: Any of ``linear``, ``mlp`` and ``small-mlp``.
        runs: SVMs for each attribute.
        features: What the SVMs look at: ``pixels``, ``hog`` or ``judge``.
        people: Who is in each row of the table, −1 where nobody knows; None leaves identity out.
        judge_floor: Balanced accuracy on real pictures below which the judge is not used for an
            attribute.
        judge_rows: The rows of the table on which that is measured; those of the part if None.
            A selection of pictures may lack one of the labels.
        max_images: At most so many pictures per edited attribute, or for the swaps.
        batch_size: Pictures at a time; it does not change the figures.
        seed: Of probes and choices.
        reporter: Told of the progress.

    Raises:
        UsageError: If model, table and judge do not belong together.
        UnknownNameError: If a name does not exist.
        DatasetError: If the part is empty.
    """
    rows = check_table(model.header, table, part)
    reporter, wanted = reporter or Silent(), {Measure(measure) for measure in measures}
    chosen = [resolve_name("attribute", n, model.names) for n in names or model.names]
    codes = load_or_encode(model, table, rows, batch_size, reporter)
    how = judge, judge_rows, people, batch_size, max_images, seed, reporter
    subject = Subject(model, table, rows, codes, *how)
    card = _uncontrolled(subject, part, wanted, leak_probes)
    if model.header.model.kind is ModelKind.AE:
        return card
    if model.header.model.target_kind is TargetKind.CLASSES:
        return _with_classes(card, subject, wanted)
    how_to: dict[str, Any] = {"runs": runs, "features": str(features), "floor": judge_floor}
    return _with_attributes(card, subject, values, chosen, wanted, how_to)


def check_table(header: Header, table: Table, part: str) -> Indexes:
    """Return the rows of a part, once it is sure that the model was trained on such a table.

    Raises:
        UsageError: If shapes or names differ or there is no such part.
        DatasetError: If the part is empty.
    """
    rows = check_part(header, table, part)
    if table.names != header.names:
        raise UsageError(
            f"the model was trained on {header.dataset}; data set {table.name!r} has different "
            "names: use the one it was trained on."
        )
    return rows


def _uncontrolled(
    subject: Subject, part: str, wanted: Collection[Measure], probes: Sequence[Probe | str]
) -> ScoreCard:
    """Return the card with what does not depend on edits."""
    model, table, codes = subject.model, subject.table, subject.codes
    plain = model.header.model.kind is ModelKind.AE
    card = ScoreCard(table.name, part, len(subject.rows), table.names)
    if Measure.RECONSTRUCTION in wanted:
        card = dataclasses.replace(card, reconstruction=_reconstruction(subject, part))
    if not plain:
        scores = target_scores(codes.y_hat.cpu(), subject.labels, table.kind)
        card = dataclasses.replace(card, targets=scores)
    if Measure.LEAK in wanted:
        card = dataclasses.replace(card, leaks=measure_leaks(subject, probes))
    if Measure.DEPENDENCE in wanted and not plain and len(codes.z) >= 4:
        card = dataclasses.replace(card, dependence=_dependence(subject))
    return card


def _reconstruction(subject: Subject, part: str) -> ReconstructionScores:
    path = _figures_path(subject, Measure.RECONSTRUCTION)
    more: dict[str, Any] = {"batch_size": subject.batch_size, "reporter": subject.reporter}

    def measure() -> ReconstructionScores:
        return reconstruct_metrics(subject.model, subject.table, part, **more)

    return kept_figures(path, measure, ReconstructionScores, subject.reporter)


def _dependence(subject: Subject) -> DependenceScores:
    path = _figures_path(subject, Measure.DEPENDENCE, subject.seed)

    def measure() -> DependenceScores:
        subject.reporter.started("dependence", None, "row")
        codes, names = subject.codes, subject.table.names
        found = dependence_scores(codes.y_hat, codes.z, names, seed=subject.seed)
        subject.reporter.finished()
        return found

    return kept_figures(path, measure, DependenceScores, subject.reporter)


def _figures_path(subject: Subject, *about: object) -> Any:
    return codes_path(subject.model, subject.table, subject.rows, FIGURES_VERSION, *about)


def measure_leaks(subject: Subject, probes: Sequence[Probe | str]) -> tuple[LeakScores, ...]:
    """Return what each probe, fitted on the train part, reads from the z of a subject.

    At most 50,000 rows of the train part are used, drawn by the subject's seed; see
    :func:`~mddae_cli.evaluation.readable.readable` for a model with an erasure.

    Args:
        subject: The model and the pictures that are measured.
        probes: Any of ``linear``, ``mlp`` and ``small-mlp``.
    """
    table, reporter = subject.table, subject.reporter
    reporter.started("leak", len(probes), "probe")
    rows = _probe_rows(table.splits["train"], subject.seed)
    read: list[Readable] = []

    def measure(probe: Probe) -> LeakScores:
        if not read:
            read.append(readable(subject, rows))
        z, labels, z_new, refitted = read[0]
        known: dict[str, Any] = {"probe": probe, "seed": subject.seed, "names": table.names}
        fitting = z, labels, z_new, subject.labels, table.kind
        leak = shuffled_leak(probe_leak(*fitting, **known), *fitting, **known)
        return dataclasses.replace(leak, refitted=refitted)

    leaks = []
    for probe in map(Probe, probes):
        path = _figures_path(subject, Measure.LEAK, probe.value, subject.seed)
        leak = kept_figures(path, lambda probe=probe: measure(probe), LeakScores, reporter)  # type: ignore[misc]  # bound at once
        leaks.append(dataclasses.replace(leak, probe=probe))
        reporter.advanced(1, {leak.measure: leak.mean})
    reporter.finished()
    return tuple(leaks)


def _probe_rows(train: Indexes, seed: int) -> Indexes:
    if len(train) <= MAX_PROBE_ROWS:
        return train
    rng = np.random.default_rng(derive_seed(seed, "probe/rows"))
    return rng.choice(train, MAX_PROBE_ROWS, replace=False)


def _with_attributes(
    card: ScoreCard,
    subject: Subject,
    values: Sequence[float],
    names: Collection[str],
    wanted: Collection[Measure],
    how: dict[str, Any],
) -> ScoreCard:
    """Return the card with what edits do."""
    found: AttributeScores = attribute_scores(subject, values, names, wanted, **how)
    fields: dict[str, Any] = {f.name: getattr(found, f.name) for f in dataclasses.fields(found)}
    if found.trust is not None and subject.judge is not None:
        own = found.trust.reconstructed
        fields["judge"] = subject.judge.sight
        fields["judge_accuracy"] = subject.judge.accuracy
        fields["judge_accuracy_reconstructed"] = sum(own) / len(own)
    return dataclasses.replace(card, **fields)


def _with_classes(card: ScoreCard, subject: Subject, wanted: Collection[Measure]) -> ScoreCard:
    """Return the card with what swaps do."""
    model, judge = subject.model, subject.judge
    views: dict[str, View] = {}
    if judge is not None and set(JUDGED) & set(wanted):
        check_judge(model, judge, TargetKind.CLASSES)
        views["judge"] = judge.logits
        seen = judged(model, judge, subject.codes, subject.batch_size)
        card = dataclasses.replace(
            card,
            judge=judge.sight,
            judge_accuracy=judge.accuracy,
            judge_accuracy_reconstructed=label_accuracy(seen, subject.labels, judge.kind)[0],
        )
    if Measure.STYLE in wanted and subject.table.preprocess.channels == 1:
        views["style"] = style_of
    if not views:
        return card
    rows = np.arange(len(subject.rows))
    chosen = some_rows(rows, subject.max_images, subject.seed, "swaps")
    more: dict[str, Any] = {"batch_size": subject.batch_size, "reporter": subject.reporter}
    swaps = swap_all(model, take(subject.codes, torch.from_numpy(chosen)), views, **more)
    y = torch.from_numpy(subject.labels[chosen].argmax(axis=1))
    if judge is not None and "judge" in views:
        card = dataclasses.replace(card, swaps=swap_scores(swaps, judge, y))
    if "style" in views:
        pictures = torch.from_numpy(np.ascontiguousarray(subject.images[chosen]))
        real = style_of(pictures.permute(0, 3, 1, 2).float() / 255)
        card = dataclasses.replace(card, style=style_scores(swaps, real, y))
    return card


def target_scores(y_hat: Tensor, labels: Pixels, kind: TargetKind) -> TargetScores:
    """Return how well soft targets (N, K) give back labels (N, K)."""
    y = torch.tensor(labels).double()
    if kind is TargetKind.CLASSES:
        seen = one_hot(y_hat.argmax(dim=1), y.shape[1]).double()
    else:
        seen = (y_hat > 0.5).double()
    sensitivity = (seen * y).sum(dim=0) / y.sum(dim=0)  # (K,), NaN where there are none
    specificity = ((1 - seen) * (1 - y)).sum(dim=0) / (1 - y).sum(dim=0)
    if kind is TargetKind.CLASSES:
        accuracy, per_name = float((seen * y).sum() / len(y)), sensitivity.nan_to_num()
        balanced = sensitivity
    else:
        per_name = (seen == y).double().mean(dim=0)
        accuracy, balanced = float(per_name.mean()), (sensitivity + specificity) / 2
    return TargetScores(accuracy, float(balanced.nanmean()), tuple(per_name.tolist()))
