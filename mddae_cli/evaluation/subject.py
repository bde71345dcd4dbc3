"""What is measured: a model, the pictures of a part of its data set, and how.

Axes: N pictures, H and W side, C channels, K names.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mddae_cli.data.table import Indexes, Table
from mddae_cli.editing import Codes, Model
from mddae_cli.evaluation.judge import Judge
from mddae_cli.images import Pixels
from mddae_cli.reporting import Reporter


class Measure(StrEnum):
    """What can be asked for; what a model or a data set does not have is left out."""

    RECONSTRUCTION = "reconstruction"
    SVM = "svm"
    EDITS = "edits"
    CONTROL = "control"
    EXCHANGE = "exchange"
    IDENTITY = "identity"
    SWAPS = "swaps"
    STYLE = "style"
    LEAK = "leak"
    DEPENDENCE = "dependence"


# Those in which the judge looks at edited pictures.
JUDGED = (Measure.EDITS, Measure.CONTROL, Measure.EXCHANGE, Measure.SWAPS)


@dataclass(frozen=True)
class Subject:
    """A model and the pictures that it is measured on.

    Attributes:
        model: The model.
        table: The data set; probes, SVMs and verifier learn from its train part.
        rows: The part's rows of the table, (N,).
        codes: Of those pictures.
        judge: An independent judge of the same names, if there is one.
        judge_rows: The rows of the table by which the judge is held against labels, if those
            measured are not fit for it.
        people: Who is in each row of the table, −1 where nobody knows, if that is known.
        batch_size: Pictures at a time; it does not change the figures.
        max_images: At most so many pictures for each edited attribute, or for the swaps.
        seed: Of all choices.
        reporter: Told of the progress.
    """

    model: Model
    table: Table
    rows: Indexes
    codes: Codes
    judge: Judge | None
    judge_rows: Indexes | None
    people: Indexes | None
    batch_size: int
    max_images: int | None
    seed: int
    reporter: Reporter

    @property
    def images(self) -> Pixels:
        """The pictures, uint8 (N, H, W, C)."""
        return self.table.images[self.rows]

    @property
    def labels(self) -> Pixels:
        """Their labels, (N, K)."""
        return self.table.labels[self.rows]
