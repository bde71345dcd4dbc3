"""Everything that is measured on edited attributes, each edit decoded once for all of it.

Axes: N pictures, V values, K attributes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from mddae_cli.config import TargetKind
from mddae_cli.evaluation.control import ControlScores, control_scores
from mddae_cli.evaluation.edit_success import EditScores, check_judge, edit_scores
from mddae_cli.evaluation.exchange import THIRTEEN, ExchangeScores, exchange_scores, mirrored
from mddae_cli.evaluation.identity import (
    IdentityScores,
    VerifierScores,
    identity_scores,
    verifier_scores,
)
from mddae_cli.evaluation.judge import real_logits
from mddae_cli.evaluation.subject import JUDGED, Measure, Subject
from mddae_cli.evaluation.svm import Svms, SvmScores, load_or_fit_svms, real_scores, svm_scores
from mddae_cli.evaluation.sweeps import Seen, Sweep, View, Viewers, look, sweep, with_label
from mddae_cli.evaluation.trust import Trust, trust_in
from mddae_cli.evaluation.verifier import Verifier, load_or_fit_verifier, real_embeddings


@dataclass(frozen=True)
class AttributeScores:
    """What edited attributes show; each field is empty where it was not measured."""

    svm: tuple[SvmScores, ...] = ()
    edits: tuple[EditScores, ...] = ()
    control: tuple[ControlScores, ...] = ()
    exchange: tuple[ExchangeScores, ...] = ()
    verifier: VerifierScores | None = None
    identity: tuple[IdentityScores, ...] = ()
    trust: Trust | None = None


@dataclass
class _Found:
    """What grows from attribute to attribute."""

    svm: list[SvmScores] = field(default_factory=list)
    edits: list[EditScores] = field(default_factory=list)
    control: list[ControlScores] = field(default_factory=list)
    identity: list[IdentityScores] = field(default_factory=list)
    pairs: list[tuple[Sweep, Sweep]] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class _Experts:
    """Who looks at edits, and what they say of real pictures and reconstructions."""

    viewers: Viewers
    plain: Seen
    trust: Trust | None
    svms: dict[str, Svms]
    verifier: Verifier | None
    real: Tensor | None  # embeddings


def attribute_scores(
    subject: Subject,
    values: Sequence[float],
    names: Collection[str],
    measures: Collection[Measure],
    *,
    runs: int,
    features: str,
    floor: float,
) -> AttributeScores:
    """Return what is asked for of some attributes.

    Args:
        subject: A model of attributes and its pictures.
        values: What attributes are set to.
        names: Which attributes, as the model calls them.
        measures: What is asked for.
        runs: Of the SVMs.
        features: Of the SVMs.
        floor: The balanced accuracy below which the judge is not asked about an attribute.

    Raises:
        UsageError: If the judge is not one of the same attributes.
    """
    experts = _experts(subject, names, measures, runs, features, floor)
    labels, model = subject.labels, subject.model
    limits = subject.max_images, subject.seed
    lacking = {n: with_label(labels[:, model.names.index(n)], 0, *limits, n) for n in names}
    having = {
        n: with_label(labels[:, model.names.index(n)], 1, *limits, n)
        for n in names
        if Measure.EXCHANGE in measures and n in THIRTEEN and _judged(experts, model.names.index(n))
    }
    edited = sum(map(len, lacking.values())) + sum(map(len, having.values()))
    subject.reporter.started("edits", len(values) * edited, "image")
    found = _Found()
    for name in [n for n in model.names if n in lacking and len(lacking[n])]:
        swept = _sweep(subject, experts.viewers, experts.plain, name, values, lacking[name])
        _rate(subject, experts, swept, measures, found)
        if name in having:
            only = Viewers({"judge": experts.viewers.common["judge"]})
            plain = {"judge": experts.plain["judge"]}
            back = _sweep(subject, only, plain, name, mirrored(values), having[name])
            found.pairs.append((swept, back))
            found.rates.append(float(labels[:, swept.column].mean()))
    subject.reporter.finished()
    return _joined(subject, experts, found)


def _experts(
    subject: Subject,
    names: Collection[str],
    measures: Collection[Measure],
    runs: int,
    features: str,
    floor: float,
) -> _Experts:
    """Return who looks, once all have learnt and have seen the plain reconstructions."""
    judge, table = subject.judge, subject.table
    common: dict[str, View] = {}
    svms, verifier = {}, None
    if judge is not None and set(JUDGED) & set(measures):
        check_judge(subject.model, judge, TargetKind.ATTRIBUTES)
        common["judge"] = judge.logits
    if Measure.SVM in measures:
        more: dict[str, Any] = {"runs": runs, "seed": subject.seed, "features": features}
        ordered = [name for name in subject.model.names if name in names]
        svms = load_or_fit_svms(table, ordered, judge=judge, reporter=subject.reporter, **more)
    if Measure.IDENTITY in measures and subject.people is not None:
        verifier = load_or_fit_verifier(table, subject.people, reporter=subject.reporter)
    if verifier is not None:
        common["identity"] = verifier.embed
    viewers = Viewers(common, {name: machine.scores for name, machine in svms.items()})
    plain = look(subject.model, subject.codes, viewers.all(), subject.batch_size)
    trust = None
    if judge is not None and "judge" in common:
        known = subject.rows if subject.judge_rows is None else subject.judge_rows
        real = real_logits(judge, table.images, known), table.labels[known]
        trust = trust_in(judge, real, (plain["judge"], subject.labels), floor)
    faces = None if verifier is None else real_embeddings(verifier, subject.images)
    return _Experts(viewers, plain, trust, svms, verifier, faces)


def _judged(experts: _Experts, column: int) -> bool:
    """Return whether the judge is asked about an attribute."""
    return experts.trust is not None and bool(experts.trust.trusted[column])


def _sweep(
    subject: Subject,
    viewers: Viewers,
    plain: Seen,
    name: str,
    values: Sequence[float],
    rows: Tensor,
) -> Sweep:
    more: dict[str, Any] = {"batch_size": subject.batch_size, "reporter": subject.reporter}
    return sweep(subject.model, subject.codes, viewers, name, values, plain, rows, **more)


def _rate(
    subject: Subject,
    experts: _Experts,
    swept: Sweep,
    measures: Collection[Measure],
    found: _Found,
) -> None:
    """Add what a sweep shows to what was found."""
    if swept.name in experts.svms:
        svms = experts.svms[swept.name]
        seen = experts.plain[f"svm/{swept.name}"]
        own = real_scores(svms, subject.images), seen, subject.labels[:, swept.column]
        found.svm += svm_scores(swept, svms, *own)
    if experts.trust is not None and _judged(experts, swept.column):
        if Measure.EDITS in measures:
            found.edits += edit_scores(swept, experts.trust)
        control = control_scores(swept) if Measure.CONTROL in measures else None
        found.control += [] if control is None else [control]
    if experts.verifier is not None and experts.real is not None and subject.people is not None:
        people = subject.people[subject.rows]
        found.identity += identity_scores(swept, experts.verifier, experts.real, people)


def _joined(subject: Subject, experts: _Experts, found: _Found) -> AttributeScores:
    verifier = None
    if experts.verifier is not None and experts.real is not None and subject.people is not None:
        people = subject.people[subject.rows]
        verifier = verifier_scores(experts.verifier, experts.real, people)
    exchange: tuple[ExchangeScores, ...] = ()
    if experts.trust is not None:
        exchange = exchange_scores(found.pairs, experts.trust, found.rates)
    return AttributeScores(
        svm=tuple(found.svm),
        edits=tuple(found.edits),
        control=tuple(found.control),
        exchange=exchange,
        verifier=verifier,
        identity=tuple(found.identity),
        trust=experts.trust,
    )
