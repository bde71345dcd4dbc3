"""Measures of what a model can do, a measure a file, and the score card that joins them."""

from mddae_cli.evaluation.edit_success import (
    EditScores,
    best_edit,
    edit_success,
)
from mddae_cli.evaluation.intensity import measure_intensity
from mddae_cli.evaluation.judge import Judge, load_or_train_judge, train_judge
from mddae_cli.evaluation.probes import LeakScores, Probe, probe_leak
from mddae_cli.evaluation.reconstruction import ReconstructionScores, reconstruct_metrics
from mddae_cli.evaluation.scorecard import ScoreCard, TargetScores, score_card
from mddae_cli.evaluation.subject import Measure
from mddae_cli.evaluation.swaps import SwapScores, swap_success
from mddae_cli.evaluation.working_range import working_ranges

__all__ = [
    "EditScores",
    "Judge",
    "LeakScores",
    "Measure",
    "Probe",
    "ReconstructionScores",
    "ScoreCard",
    "SwapScores",
    "TargetScores",
    "best_edit",
    "edit_success",
    "load_or_train_judge",
    "measure_intensity",
    "probe_leak",
    "reconstruct_metrics",
    "score_card",
    "swap_success",
    "train_judge",
    "working_ranges",
]
