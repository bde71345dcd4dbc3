"""Identity: does an edited face still match the other photographs of the same person?

Axes: N pictures, E embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mddae_cli.data.table import Indexes
from mddae_cli.evaluation.sweeps import Sweep
from mddae_cli.evaluation.verifier import Verifier, pair_similarities, verification_auroc


@dataclass(frozen=True)
class VerifierScores:
    """The verifier's own figures, on real photographs of people it has not learnt from.

    Attributes:
        num_people: How many people have at least two photographs there.
        auroc: How often a pair of one person is closer than a pair of two; 0.5 is a coin.
        threshold: The cosine from which a pair counts as one person.
        matches_same: Share of the pairs of one person that do.
        matches_other: Share of the pairs of two that do.
        same: Mean cosine of the pairs of one person, ``same_std`` their standard deviation.
        same_std: See there.
        other: Mean cosine of the pairs of two people, ``other_std`` their standard deviation.
        other_std: See there.
    """

    num_people: int
    auroc: float
    threshold: float
    matches_same: float
    matches_other: float
    same: float
    same_std: float
    other: float
    other_std: float


@dataclass(frozen=True)
class IdentityScores:
    """One attribute set to one value; ``value`` None is the plain reconstruction.

    Attributes:
        name: The attribute.
        value: See above.
        num_images: Edited faces whose person has another photograph in the part.
        matched: Mean over faces of the share of those photographs that still match.
        similarity: Mean cosine with them.
    """

    name: str
    value: float | None
    num_images: int
    matched: float
    similarity: float


def verifier_scores(verifier: Verifier, real: Tensor, people: Indexes) -> VerifierScores | None:
    """Return what a verifier can tell on real faces, None where nobody has two photographs.

    What it cannot tell: at 64 px a verifier is weak. It knows hair and light as well as faces,
    so an edit of the hair counts as another person; compare with the reconstruction, which has
    lost part of the person too, and with the two distributions of cosines.

    Args:
        verifier: The verifier.
        real: Embeddings (N, E) of the real faces.
        people: Who they are, −1 for nobody known, (N,).
    """
    known = people >= 0
    same, other = pair_similarities(real[torch.from_numpy(known)], people[known])
    if not len(same) or not len(other):
        return None
    who = torch.from_numpy(people[known])
    return VerifierScores(
        num_people=int((torch.bincount(who.unique(return_inverse=True)[1]) > 1).sum()),
        auroc=verification_auroc(same, other),
        threshold=verifier.threshold,
        matches_same=float((same >= verifier.threshold).double().mean()),
        matches_other=float((other >= verifier.threshold).double().mean()),
        same=float(same.mean()),
        same_std=float(same.std(correction=0)),
        other=float(other.mean()),
        other_std=float(other.std(correction=0)),
    )


def identity_scores(
    sweep: Sweep, verifier: Verifier, real: Tensor, people: Indexes
) -> tuple[IdentityScores, ...]:
    """Return how often the faces of a sweep match the person's other photographs.

    Args:
        sweep: With embeddings (N, E) of the decoded faces under ``identity``.
        verifier: Who made them.
        real: Embeddings (M, E) of all real faces of the part.
        people: Who they are, −1 for nobody known, (M,).
    """
    who = torch.from_numpy(people)
    mine = who[sweep.rows]
    others = (mine[:, None] == who[None]) & (mine[:, None] >= 0)  # (N, M)
    others[torch.arange(len(mine)), sweep.rows] = False
    has = others.any(dim=1)
    if not bool(has.any()):
        return ()
    others = others[has].double()
    count = others.sum(dim=1)
    scores = []
    for value, embedded in sweep.pairs("identity"):
        cosines = (embedded[has] @ real.T).double()
        matched = ((cosines >= verifier.threshold) * others).sum(dim=1) / count
        near = (cosines * others).sum(dim=1) / count
        told = int(has.sum()), float(matched.mean()), float(near.mean())
        scores.append(IdentityScores(sweep.name, value, *told))
    return tuple(scores)
