"""What intensities mean: the unit, and what the latent does beyond it."""

from mddae_cli.calibration.readout import Eye
from mddae_cli.calibration.steps import calibrate_with_steps
from mddae_cli.calibration.unit import RAW_VALUES, calibrate

__all__ = ["RAW_VALUES", "Eye", "calibrate", "calibrate_with_steps"]
