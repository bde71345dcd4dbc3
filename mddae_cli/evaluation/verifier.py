"""The verifier: a metric learnt from photographs of the same people says who is who.

Oriented gradients and coarse colours of a face are turned into few numbers that differ little
between photographs of one person and much between people (Fisher's discriminant in the space of
the principal components). Closed form: no seed, seconds instead of a training. Axes: N
pictures, F features, E embedding.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mddae_cli import metrics
from mddae_cli.data.table import Indexes, Table
from mddae_cli.evaluation.codes import batches
from mddae_cli.evaluation.content import keep, kept, kept_path, table_digest
from mddae_cli.evaluation.features import oriented_gradients
from mddae_cli.images import Pixels
from mddae_cli.reporting import Reporter, Silent

VERIFIER_VERSION = 1
# Best on the validation people of CelebA: 0.887, against 0.868 with 128 and 0.883 with 1,200.
_COMPONENTS, _EMBEDDING = 800, 48
# With fewer rows for each direction some of them keep a person together by chance.
_ROWS_EACH = 8
_COLOUR_SIDE = 16
_FEWEST_PEOPLE = 10


@dataclass(frozen=True)
class Verifier:
    """A learnt metric, and from where on two photographs count as of one person.

    Attributes:
        mean: Of the features, (F,).
        turn: From features to the embedding, (F, E).
        threshold: The cosine at which, on people of the validation part, as large a share of
            the pairs of one person lies below as of the pairs of two above.
    """

    mean: Tensor
    turn: Tensor
    threshold: float

    def embed(self, images: Tensor) -> Tensor:
        """Return embeddings (N, E) of length 1 of pictures (N, C, H, W) in [0, 1]."""
        return F.normalize((face_features(images).cpu() - self.mean) @ self.turn, dim=1)


def face_features(images: Tensor) -> Tensor:
    """Return oriented gradients and colours on a grid of 16 of pictures, (N, F)."""
    x = images.float()
    return torch.cat([oriented_gradients(x), F.adaptive_avg_pool2d(x, _COLOUR_SIDE).flatten(1)], 1)


def load_or_fit_verifier(
    table: Table, people: Indexes, *, reporter: Reporter | None = None
) -> Verifier | None:
    """Return the verifier of a table, fitted once and kept in the cache.

    Args:
        table: Real faces; only the train part is learnt from, the validation part gives the
            threshold.
        people: Who is in each row, −1 for nobody known, shape (N,).
        reporter: Told of the fitting.

    Returns:
        None where fewer than ten people have two photographs in the train part, or the
        validation part has no pair of one person.
    """
    reporter = reporter or Silent()
    train, val = (_known(table.splits[part], people) for part in ("train", "val"))
    if len(_shared(people[train])) < _FEWEST_PEOPLE or not len(_shared(people[val])):
        return None
    who = hashlib.sha256(np.ascontiguousarray(people).tobytes()).hexdigest()
    about = VERIFIER_VERSION, _COMPONENTS, _EMBEDDING, who
    path = kept_path("verifiers", table, table_digest(table, *about, parts=("train", "val")))
    entry = kept(path)
    if entry is not None:
        tensors, figures = entry
        return Verifier(tensors["mean"], tensors["turn"], float(str(figures["threshold"])))
    reporter.started("verifier", len(train) + len(val), "image")
    mean, turn = _fit(_features(table.images, train, reporter), people[train])
    found = Verifier(mean, turn, 0.0)
    same, other = pair_similarities(real_embeddings(found, table.images[val]), people[val])
    found = Verifier(mean, turn, _equal_error(same, other))
    reporter.advanced(len(val), {})
    reporter.finished()
    keep(path, {"mean": mean, "turn": turn}, reporter, threshold=found.threshold)
    return found


def _known(rows: Indexes, people: Indexes) -> Indexes:
    return rows[people[rows] >= 0]


def _shared(people: Indexes) -> Indexes:
    """Return the people with at least two photographs."""
    who, counts = np.unique(people, return_counts=True)
    return who[counts > 1]


def _features(images: Pixels, rows: Indexes, reporter: Reporter) -> Tensor:
    """Return the features (N, F) of real faces."""
    parts = []
    for some in batches(rows, 250):
        parts.append(face_features(_pictures(images[some])))
        reporter.advanced(len(some), {})
    return torch.cat(parts)


def _pictures(pixels: Pixels) -> Tensor:
    batch = torch.from_numpy(np.ascontiguousarray(pixels))
    return batch.permute(0, 3, 1, 2).float() / 255


def _fit(features: Tensor, people: Indexes) -> tuple[Tensor, Tensor]:
    """Return the mean of the features (F,) and the turn to the embedding (F, E).

    Principal components with a variance of one each; of those directions the ones in which
    photographs of one person lie closest, each divided by that spread.
    """
    mean = features.mean(dim=0)
    centered = features.sub_(mean)
    scale = centered.square().mean(dim=0).sqrt().clamp_min(1e-6)
    centered /= scale
    variances, directions = torch.linalg.eigh(centered.T @ centered / len(centered))
    kept = (variances > variances[-1] * 1e-6).nonzero()[:, 0]
    kept = kept[-min(_COMPONENTS, max(len(centered) // _ROWS_EACH, 1)) :]
    whiten = directions[:, kept] / variances[kept].sqrt()  # (F, P)
    white = centered @ whiten
    who = torch.from_numpy(np.unique(people, return_inverse=True)[1])
    counts = torch.bincount(who)
    means = white.new_zeros(len(counts), white.shape[1]).index_add_(0, who, white)
    apart = (white - (means / counts[:, None])[who])[counts[who] > 1]
    spread, turns = torch.linalg.eigh(apart.T @ apart / len(apart))
    closest = turns[:, :_EMBEDDING] / spread[:_EMBEDDING].clamp_min(1e-6).sqrt()
    return mean, (whiten @ closest) / scale[:, None]


def real_embeddings(verifier: Verifier, images: Pixels) -> Tensor:
    """Return the embeddings (N, E) of real faces, uint8 (N, H, W, C)."""
    rows = np.arange(len(images))
    return torch.cat([verifier.embed(_pictures(images[some])) for some in batches(rows, 250)])


def pair_similarities(embeddings: Tensor, people: Indexes) -> tuple[Tensor, Tensor]:
    """Return the cosines of all pairs of one person, and of all pairs of two."""
    who = torch.from_numpy(people)
    first, second = torch.triu_indices(len(who), len(who), 1)
    cosines = (embeddings @ embeddings.T)[first, second]
    same = who[first] == who[second]
    return cosines[same], cosines[~same]


def verification_auroc(same: Tensor, other: Tensor) -> float:
    """Return how often a pair of one person is closer than a pair of two, ties counted half."""
    scores = torch.cat([same, other])[:, None]
    labels = torch.cat([torch.ones_like(same), torch.zeros_like(other)])[:, None]
    return float(metrics.auroc(scores, labels))


def _equal_error(same: Tensor, other: Tensor) -> float:
    """Return the cosine that as large a share of ``same`` misses as of ``other`` reaches."""
    levels = torch.linspace(-1, 1, 2001)
    missed = torch.searchsorted(same.sort().values, levels) / len(same)
    taken = 1 - torch.searchsorted(other.sort().values, levels) / len(other)
    return float(levels[(missed - taken).abs().argmin()])
