"""The paper's protocol (section 4.4, Figure 6): a linear SVM says whether an edit shows.

For each attribute: a linear SVM learns from the training faces with and without it, the test
faces without it are edited, and the share that the SVM does not see as having it is the error
rate. Axes: N pictures, D features, R runs, K attributes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mddae_cli.config import TargetKind
from mddae_cli.data.table import Indexes, Table
from mddae_cli.errors import UsageError
from mddae_cli.evaluation.codes import batches
from mddae_cli.evaluation.content import keep, kept, kept_path, table_digest
from mddae_cli.evaluation.features import Extract, Features, extractor
from mddae_cli.evaluation.judge import Judge
from mddae_cli.evaluation.linear_svm import fit_linear_svms
from mddae_cli.evaluation.sweeps import Sweep
from mddae_cli.images import Pixels
from mddae_cli.reporting import Reporter, Silent
from mddae_cli.runtime import derive_seed

SVM_VERSION = 1
# So many faces with and so many without at most, and λ: on the validation faces of CelebA λ = 10
# was right more often than 30, 100 and 300, and 4,000 of each more often than 1,000.
MOST_FACES, PENALTY = 4000, 10.0
_Job = tuple[int, int]  # attribute, run


@dataclass(frozen=True)
class Svms:
    """The machines of one attribute, a run each, on features that they standardise themselves.

    Attributes:
        name: The attribute.
        num_faces: How many training faces with it each has seen, and as many without.
        weights: Shape (R, D).
        constants: Shape (R,).
        extract: From pictures to features.
    """

    name: str
    num_faces: int
    weights: Tensor
    constants: Tensor
    extract: Extract

    def scores(self, images: Tensor) -> Tensor:
        """Return scores (N, R) of pictures (N, C, H, W) in [0, 1]: above 0 it is seen."""
        return torch.addmm(self.constants, self.extract(images), self.weights.T)


@dataclass(frozen=True)
class SvmScores:
    """One attribute set to one value, on pictures whose label says that they lack it.

    ``value`` None is the plain reconstruction. ``errors`` holds, for each run, the share of the
    pictures that the SVM does not see as having the attribute; ``error_mean`` and
    ``error_std`` (population) are over runs. The SVM itself: ``real_error`` is the mean of its
    misses and false alarms on real pictures, ``reconstructed_error`` the same on plain
    reconstructions, ``real_missed`` the share of real pictures with the attribute in which it
    is not seen, which is what a perfect edit would reach.
    """

    name: str
    value: float | None
    num_images: int
    num_faces: int
    error_mean: float
    error_std: float
    errors: tuple[float, ...]
    real_error: float
    real_missed: float
    reconstructed_error: float


def load_or_fit_svms(
    table: Table,
    names: Sequence[str],
    *,
    runs: int = 5,
    seed: int = 0,
    features: Features | str = Features.PIXELS,
    judge: Judge | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Svms]:
    """Return the machines of some attributes, each fitted once and kept in the cache.

    Each run draws as many training faces with the attribute as without: all of the rarer
    kind, at most 4,000 of each; the seeds of the runs differ in that draw alone, since the
    solution is unique. Features are standardised over all training faces. Every machine is
    found by content: pictures, labels, parts, features, seed, run and the version of this code.

    Args:
        table: Real pictures with attributes; only the train part is learnt from.
        names: Attributes of the table. One that fewer than two training faces have, or lack, is
            left out and named.
        runs: How many machines for each.
        seed: Of the draws.
        features: ``pixels``, ``hog`` or ``judge``.
        judge: Whose features are meant by ``judge``.
        reporter: Told of the fitting.

    Raises:
        UsageError: If the table has classes, or the judge's features are wanted without one.
    """
    if table.kind is not TargetKind.ATTRIBUTES:
        raise UsageError("the paper's SVMs need attributes, not classes.")
    features, reporter = Features(features), reporter or Silent()
    extract = extractor(features, judge)
    counts = {n: _faces(table, table.names.index(n)) for n in names}
    for name in [n for n, faces in counts.items() if faces < 2]:
        reporter.noted(f"{name}: too few training faces have or lack it for an SVM.")
    jobs = [(table.names.index(n), run) for n in names if counts[n] > 1 for run in range(runs)]
    found = _load_or_fit(table, jobs, seed, features, extract, _eyes(features, judge), reporter)
    return {
        name: Svms(name, faces, *_stacked(found, table.names.index(name), runs), extract)
        for name, faces in counts.items()
        if faces > 1
    }


def _eyes(features: Features, judge: Judge | None) -> str:
    """Return what tells one judge's features from another's."""
    if features is not Features.JUDGE or judge is None:
        return ""
    return repr([judge.accuracy, *judge.accuracies])


def _faces(table: Table, column: int) -> int:
    """Return how many faces with an attribute, and as many without, a run learns from."""
    labels = table.labels[table.splits["train"], column]
    there = int(labels.sum())
    return min(there, len(labels) - there, MOST_FACES)


def _stacked(found: dict[_Job, Tensor], column: int, runs: int) -> tuple[Tensor, Tensor]:
    rows = torch.stack([found[column, run] for run in range(runs)])  # (R, D + 1)
    return rows[:, :-1].contiguous(), rows[:, -1].contiguous()


def _load_or_fit(
    table: Table,
    jobs: Sequence[_Job],
    seed: int,
    features: Features,
    extract: Extract,
    eyes: str,
    reporter: Reporter,
) -> dict[_Job, Tensor]:
    """Return weights and constant (D + 1,) of each job, from the cache where they are."""
    about = (SVM_VERSION, features.value, eyes, seed, MOST_FACES, PENALTY, table.names)
    digest = table_digest(table, *about)
    places = {job: kept_path("svms", table, f"{digest}-{job[0]}-{job[1]}") for job in jobs}
    stored = {job: kept(path) for job, path in places.items()}
    found = {job: entry[0]["weights"] for job, entry in stored.items() if entry is not None}
    missing = [job for job in jobs if job not in found]
    if not missing:
        return found
    reporter.started("SVMs", len(missing), "fit")
    fitted = _fit(table, missing, seed, extract, reporter)
    for job, weights in zip(missing, fitted, strict=True):
        keep(places[job], {"weights": weights}, reporter)
    reporter.finished()
    return found | dict(zip(missing, fitted, strict=True))


def _fit(
    table: Table, jobs: Sequence[_Job], seed: int, extract: Extract, reporter: Reporter
) -> list[Tensor]:
    """Return weights and constant (D + 1,) of each job, for features as they come."""
    train = table.splits["train"]
    chosen = np.stack([_draw(table, *job, seed) for job in jobs], axis=1)  # (N, jobs)
    used = np.flatnonzero(chosen.any(axis=1))
    mean, scale = _statistics(table.images, train, extract)
    x = torch.empty(len(used), len(mean))
    at = 0
    for part in _features(table.images, train[used], extract):
        x[at : at + len(part)] = (part - mean) / scale
        at += len(part)
    columns = np.array([column for column, _ in jobs])
    y = torch.from_numpy(table.labels[train[used]][:, columns])

    def settled(machines: int) -> None:
        reporter.advanced(machines, {})

    w, b = fit_linear_svms(x, y, torch.from_numpy(chosen[used]), PENALTY, settled)
    w = w / scale[:, None]
    return list(torch.cat([w, (b - mean @ w)[None]]).T.contiguous())


def _draw(
    table: Table, column: int, run: int, seed: int
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which training rows a run learns from, bool (N,)."""
    labels = table.labels[table.splits["train"], column]
    rng = np.random.default_rng(derive_seed(seed, f"svm/{table.names[column]}", run))
    chosen = np.zeros(len(labels), dtype=np.bool_)
    for label in (0, 1):
        rows = np.flatnonzero(labels == label)
        chosen[rng.choice(rows, _faces(table, column), replace=False)] = True
    return chosen


def _features(images: Pixels, rows: Indexes, extract: Extract) -> Iterator[Tensor]:
    """Yield the features of real pictures, some at a time."""
    for some in batches(rows, 250):
        batch = torch.from_numpy(np.ascontiguousarray(images[some]))
        yield extract(batch.permute(0, 3, 1, 2).float() / 255)


def _statistics(images: Pixels, rows: Indexes, extract: Extract) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each feature, (D,); 1 for what never changes."""
    total, squares = torch.zeros(()), torch.zeros(())
    for part in _features(images, rows, extract):
        total, squares = (
            total + part.sum(dim=0).double(),
            squares + part.square().sum(dim=0).double(),
        )
    mean = total / len(rows)
    variance = (squares / len(rows) - mean.square()).clamp_min(0)
    scale = torch.where(variance > 1e-8, variance.sqrt(), torch.ones_like(variance))
    return mean.float(), scale.float()


def real_scores(svms: Svms, images: Pixels) -> Tensor:
    """Return the machines' scores (N, R) of real pictures, uint8 (N, H, W, C)."""
    rows = np.arange(len(images))
    parts = _features(images, rows, svms.extract)
    return torch.cat([torch.addmm(svms.constants, part, svms.weights.T) for part in parts])


def svm_scores(
    sweep: Sweep, svms: Svms, real: Tensor, reconstructed: Tensor, label: Pixels
) -> tuple[SvmScores, ...]:
    """Return the error rates of a sweep: the plain reconstruction, then each value.

    What they cannot tell: an SVM on raw pixels has learnt the same noisy labels as the model and
    takes what goes along with an attribute for the attribute; an edit that is far too strong,
    or that paints the average difference over every face, is rewarded. Compare with the SVM's
    own error, and look at the pictures.

    Args:
        sweep: With the scores (N, R) of these machines under ``svm``.
        svms: The machines.
        real: Their scores of all real pictures, (M, R).
        reconstructed: Of the plain reconstructions of all of them, (M, R).
        label: Whether each has the attribute, 0 or 1, (M,).
    """
    there = torch.tensor(label).bool()
    own = _balanced_error(real, there), _balanced_error(reconstructed, there)
    missed = float((real[there] <= 0).double().mean()) if bool(there.any()) else float("nan")
    return tuple(_scores(svms, value, told, own, missed) for value, told in sweep.pairs("svm"))


def _balanced_error(scores: Tensor, there: Tensor) -> float:
    """Return the mean of misses and false alarms, averaged over runs; of one where it is alone."""
    wrong = (scores > 0) != there[:, None]
    kinds = [
        wrong[there == kind].double().mean() for kind in (False, True) if (there == kind).any()
    ]
    return float(torch.stack(kinds).mean())


def _scores(
    svms: Svms, value: float | None, scores: Tensor, own: tuple[float, float], missed: float
) -> SvmScores:
    errors = (scores <= 0).double().mean(dim=0)  # (R,)
    return SvmScores(
        name=svms.name,
        value=value,
        num_images=len(scores),
        num_faces=svms.num_faces,
        error_mean=float(errors.mean()),
        error_std=float(errors.std(correction=0)),
        errors=tuple(errors.tolist()),
        real_error=own[0],
        real_missed=missed,
        reconstructed_error=own[1],
    )
